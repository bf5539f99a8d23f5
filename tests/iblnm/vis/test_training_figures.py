"""Learning curves, psychometric parameters and sessions to stage: means over animals."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.performance.figures import (
    animal_curves,
    learning_curves_figure,
    sessions_to_stage_figure,
)
from iblnm.analysis.performance.trajectory_figures import (
    fits_on_bound,
    psychometric_trajectories_figure,
)
from iblnm.config import Settings

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def curves():
    rows = []
    for subject, target, level in (("a", "LC-NE", 0.5), ("b", "LC-NE", 0.7), ("c", "VTA-DA", 0.6)):
        for kind, n in (("training", 3 if subject == "a" else 2), ("biased", 1)):
            rows += [
                {
                    "eid": f"{subject}{kind}{i}",
                    "subject": subject,
                    "target_NM": target,
                    "session_type": kind,
                    "stage_index": i,
                    "n_trials": 100,
                    "fraction_correct": level + 0.1 * (i - 1),
                }
                for i in range(1, n + 1)
            ]
    return pd.DataFrame(rows)


def test_curves_are_animals_and_their_mean_in_percent(curves, reason):
    figure = learning_curves_figure(curves, settings=SETTINGS)
    assert "n = 3 mice, 10 sessions, 1,000 trials" in figure.get_suptitle()
    assert figure.get_supylabel() == "Correct choices (%)"
    assert figure.get_supxlabel() == "Session of the task (number)"
    ax = figure.axes[2]
    assert ax.get_title(loc="left") == "LC-NE (2)"
    lines = {line.get_gid() or line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["b"].get_ydata(), [70, 80])
    # the third session is that of one animal, and has no band
    np.testing.assert_allclose(lines["LC-NE"].get_ydata(), [60, 70, 70])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((50, 80))
    assert "is empty" in reason(learning_curves_figure(curves.head(0), settings=SETTINGS))
    assert learning_curves_figure(curves[curves["subject"] == "c"], settings=SETTINGS).axes


def test_sessions_are_numbered_in_whole_numbers_and_recordings_of_others_not_told(curves):
    first = curves[curves["stage_index"] == 1]
    figure = learning_curves_figure(first, counts={"recordings": 99}, settings=SETTINGS)
    assert "recordings" not in figure.get_suptitle()
    for ax in figure.axes:
        low, high = ax.get_xlim()
        ticks = [x for x in ax.get_xticks() if low <= x <= high]
        assert ticks == [1]


def test_a_session_of_two_targets_counts_once(curves):
    twice = pd.concat([curves, curves[curves["subject"] == "c"].assign(target_NM="SNc-DA")])
    assert (
        "n = 3 mice, 10 sessions, 1,000 trials"
        in learning_curves_figure(twice, settings=SETTINGS).get_suptitle()
    )


def test_two_sessions_of_one_number_are_averaged(curves):
    doubled = pd.concat([curves, curves.assign(fraction_correct=1.0)])
    own = doubled[(doubled["target_NM"] == "VTA-DA") & (doubled["session_type"] == "biased")]
    assert animal_curves(own, "fraction_correct").to_numpy().tolist() == [[0.8]]


@pytest.mark.slow
def test_trajectories_are_of_unbiased_trials(curves, reason):
    table = curves.assign(
        block=50,
        threshold=20.0 + curves["stage_index"],
        bias=np.where(curves["subject"] == "a", -4.0, 4.0),
        lapse_left=0.05,
        lapse_right=np.nan,
        bias_shift=np.where(curves["session_type"] == "biased", 8.0, np.nan),
        at_bound=pd.array(curves["stage_index"] == 3, dtype="boolean"),
    )
    others = table.assign(block=20, bias=50.0)
    figure = psychometric_trajectories_figure(pd.concat([table, others]), settings=SETTINGS)
    labels = [ax.get_ylabel() for ax in figure.axes[::2]]
    assert labels == [
        "Threshold\n(% contrast)",
        "Bias\n(% contrast)",
        "Lapse, left\n(%)",
        "Bias shift\n(% contrast)",
    ]
    bias = figure.axes[2]
    drawn = next(c for c in bias.containers if c.get_label() == "LC-NE")
    np.testing.assert_allclose(drawn.lines[0].get_ydata(), [0, 0, -4])
    ends = drawn.lines[2][0].get_segments()[0][:, 1]
    # two animals at ±4: the standard error is 4
    np.testing.assert_allclose(ends, [-4, 4])
    lapse = next(c for c in figure.axes[4].containers if c.get_label() == "VTA-DA")
    np.testing.assert_allclose(lapse.lines[0].get_ydata(), [5, 5])
    title = figure.get_suptitle().replace("\n", " ")
    assert "open: 1 of 10 fits have a parameter on its bound (a)" in title
    # the third training session of animal a, in every row
    for ax, mean in zip(figure.axes[:6:2], (23, -4, 5), strict=True):
        open_ones = [line for line in ax.lines if line.get_label() == "LC-NE on bound"]
        assert [line.get_xydata().tolist() for line in open_ones] == [[[3, mean]]]
        assert open_ones[0].get_markerfacecolor() == "white"
    assert not [line for line in figure.axes[1].lines if "bound" in line.get_label()]
    assert "is empty" in reason(psychometric_trajectories_figure(others, settings=SETTINGS))


def test_without_flags_the_bounds_of_the_fit_tell(curves):
    fits = pd.DataFrame(
        {
            "bias": [0.0, -50.0, 0.0, 0.0, np.nan],
            "threshold": [20.0, 20.0, 10.0, 49.9, np.nan],
            "lapse_left": [0.0, 0.0, 0.0, 0.1, np.nan],
            "lapse_right": [0.0, 0.0, 0.0, 0.2, np.nan],
        }
    )
    assert fits_on_bound(fits).tolist() == [False, True, True, True, False]
    fits["at_bound"] = pd.array([True, False, None, False, False], dtype="boolean")
    assert fits_on_bound(fits).tolist() == [True, False, False, False, False]
    table = curves.assign(block=50, bias=1.0, at_bound=False)
    title = psychometric_trajectories_figure(table, settings=SETTINGS).get_suptitle()
    assert "no fit has a parameter on its bound" in title.replace("\n", " ")


def test_sessions_to_stage_are_points_with_median_and_test(reason):
    stages = pd.DataFrame(
        {
            "subject": list("abcde"),
            "target_NM": ["LC-NE"] * 3 + ["VTA-DA"] * 2,
            "sessions_to_biased": [5.0, 7.0, 12.0, 4.0, np.nan],
            "biased_sessions_to_ephys": [np.nan] * 5,
        }
    )
    tests = pd.DataFrame(
        {
            "measure": ["sessions_to_biased"] * 2,
            "test": ["kruskal_wallis", "mann_whitney"],
            "p_corrected": [0.034, 0.5],
        }
    )
    figure = sessions_to_stage_figure(
        stages, tests, counts={"sessions": 40, "trials": 99}, settings=SETTINGS
    )
    (ax,) = figure.axes
    points = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert points["LC-NE"] == [5.0, 7.0, 12.0]
    assert points["_LC-NE"] == [7.0, 7.0]
    assert points["VTA-DA"] == [4.0]
    assert ax.get_title(loc="left") == "Kruskal–Wallis p = 0.034 (corrected)"
    assert "n = 4 mice, 40 sessions, 99 trials" in figure.get_suptitle()
    assert ax.get_ylabel().endswith("(count)")
    assert "is empty" in reason(sessions_to_stage_figure(stages.tail(1), settings=SETTINGS))
