"""The example of a session shows its signal, its trials and their means."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from iblnm.vis.example_session import example_session_figure

EVENTS = ["stimOn_times", "firstMovement_times", "feedback_times"]


@pytest.fixture
def session():
    rng = np.random.default_rng(0)
    times = np.arange(0, 600, 1 / 30)
    bands = {
        name: pd.DataFrame({"VTA": rng.normal(level, 1, times.size)}, index=times)
        for name, level in (("GCaMP", 20), ("Isosbestic", 10), ("GCaMP_preprocessed", 0))
    }
    onset = np.arange(10, 590, 5.0)
    trials = pd.DataFrame(
        {name: onset + delay for name, delay in zip(EVENTS, (0, 0.2, 0.5), strict=True)}
    )
    trials["feedbackType"] = np.where(np.arange(len(onset)) % 4, 1.0, -1.0)
    values = rng.normal(size=(3, len(onset), 60))
    values[2] += trials["feedbackType"].to_numpy()[:, None]
    values[0, 5, 40:] = np.nan
    coords = {"event": EVENTS, "trial": np.arange(len(onset)), "time": np.arange(-30, 30) / 30}
    response = xr.DataArray(values, coords, ("event", "trial", "time"))
    return bands, {"VTA": response}, trials


def test_means_and_heat_map_are_those_of_the_trials(session):
    bands, responses, trials = session
    figure = example_session_figure(
        bands, responses, trials, recording="VTA", name="x", target="VTA-DA"
    )
    assert "Session x, recording VTA (VTA-DA)" in figure.get_suptitle()
    assert f"n = 1 mouse, 1 session, 1 recording, {len(trials)} trials" in figure.get_suptitle()
    images = [ax for ax in figure.axes if ax.images]
    correct = (trials["feedbackType"] == 1).to_numpy()
    values = responses["VTA"].sel(event="feedback_times").to_numpy()
    np.testing.assert_allclose(
        images[2].images[0].get_array(), np.concatenate([values[correct], values[~correct]])
    )
    assert images[0].images[0].get_array().mask.sum() == 20
    means = [ax for ax in figure.axes if ax.get_xlabel() == "Time from event (s)"]
    drawn = {line.get_label(): line for line in means[2].lines}
    name = f"correct ({correct.sum()})"
    np.testing.assert_allclose(drawn[name].get_ydata(), values[correct].mean(axis=0))


def test_signal_is_in_seconds_with_the_events_of_the_part_shown(session):
    bands, responses, trials = session
    figure = example_session_figure(bands, responses, trials, recording="VTA", zoom_s=20.0)
    raw, whole, part = figure.axes[:3]
    assert [line.get_label() for line in raw.lines] == ["GCaMP", "Isosbestic"]
    assert whole.get_xlabel() == "Time in session (s)"
    assert part.get_ylabel() == "Preprocessed (z)"
    start, stop = part.get_xlim()
    assert stop - start == pytest.approx(20)
    shown = trials["stimOn_times"].between(start, stop).sum()
    marks = [line for line in part.lines if "stim" in line.get_label()]
    assert len(marks) == shown


def test_missing_bands_are_left_out_and_missing_recordings_named(session):
    bands, responses, trials = session
    figure = example_session_figure({}, responses, trials, recording="VTA")
    assert not figure.axes[0].lines
    empty = example_session_figure(bands, responses, trials, recording="LC")
    assert "no responses of recording 'LC'; there are: VTA" in empty.texts[-1].get_text()
    none = example_session_figure(
        bands, {"VTA": responses["VTA"].isel(trial=[])}, trials.head(0), recording="VTA"
    )
    assert "no data" in none.texts[-1].get_text()
