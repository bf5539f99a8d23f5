"""Psychometric curves: points, intervals and fits are those of the trials."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.performance.psychometric_figures import choice_fractions, psychometric_figure
from iblnm.config import Settings
from iblnm.task.psychometric import fit_psychometric

SETTINGS = Settings(_env_file=None)


def test_fractions_and_wilson_intervals_of_known_counts():
    trials = pd.DataFrame({"choice": [-1] * 8 + [1] * 2 + [0] * 5, "signed_contrast": [25.0] * 15})
    row = choice_fractions(trials).iloc[0]
    assert (row["n_right"], row["n_trials"], row["fraction"]) == (8, 10, 0.8)
    # Wilson 1927 by hand: n = 10, p = 0.8, z = 1.96
    assert (row["low"], row["high"]) == pytest.approx((0.4902, 0.9433), abs=1e-4)


@pytest.mark.slow
def test_points_and_fits_of_a_panel_are_those_of_its_trials(magnitudes, settings):
    figure = psychometric_figure(magnitudes, settings=settings)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["VTA-DA (3)", "LC-NE (3)"]
    ax = figure.axes[0]
    own = magnitudes[magnitudes["target_NM"] == "VTA-DA"].drop_duplicates(["eid", "trial"])
    for block, p in (("20", 0.2), ("50", 0.5), ("80", 0.8)):
        trials = own[np.isclose(own["probabilityLeft"], p)]
        points = next(c for c in ax.containers if c.get_label() == block)
        right = trials[trials["choice"] != 0].groupby("signed_contrast")["choice"]
        expected = right.agg(lambda choice: (choice == -1).mean())
        x, y = np.asarray(points.lines[0].get_data(), dtype=float)
        np.testing.assert_allclose(x, expected.index)
        np.testing.assert_allclose(y, expected)
        curve = next(line for line in ax.lines if line.get_gid() == f"fit {block}")
        fit = fit_psychometric(trials)
        # half of the way between the lapses lies at the bias
        middle = (fit["lapse_left"] + 1 - fit["lapse_right"]) / 2
        assert np.interp(fit["bias"], *curve.get_data()) == pytest.approx(middle, abs=0.01)
    animals = {line.get_gid() for line in ax.lines} & set(own["subject"])
    assert animals == set(own["subject"])


def test_trials_count_once_and_no_go_is_no_choice(magnitudes):
    figure = psychometric_figure(magnitudes, settings=SETTINGS)
    unique = magnitudes.drop_duplicates(["eid", "trial"])
    numbers = f"n = 6 mice, 12 sessions, {len(unique):,} trials"
    assert numbers in figure.get_suptitle().replace("\n", " ")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["p(left) = 0.2", "p(left) = 0.5", "p(left) = 0.8"]


def test_one_animal_one_panel_and_nothing(magnitudes):
    one = magnitudes[magnitudes["subject"] == magnitudes["subject"].iloc[0]]
    figure = psychometric_figure(one, by=None, settings=SETTINGS)
    assert len(figure.axes) == 1
    empty = psychometric_figure(magnitudes.head(0), settings=SETTINGS)
    assert "no data" in empty.texts[-1].get_text()
