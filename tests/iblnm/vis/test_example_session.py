"""The example of a session shows its signal, its trials and their means."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.config import Settings
from iblnm.data import PhotometrySession
from iblnm.vis.example_choice import choose_example, stored_session_figure
from iblnm.vis.example_session import example_session_figure
from iblnm.vis.panels import NoDataError

SETTINGS = Settings(_env_file=None)

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
    assert [text.get_text() for text in figure.axes[0].texts] == ["raw bands are not loaded"]
    empty = example_session_figure(bands, responses, trials, recording="LC")
    assert "no responses of recording 'LC'; there are: VTA" in empty.texts[-1].get_text()
    none = example_session_figure(
        bands, {"VTA": responses["VTA"].isel(trial=[])}, trials.head(0), recording="VTA"
    )
    assert "no data" in none.texts[-1].get_text()


EID = "0e59dee8-c9d1-4d81-bf80-88eb945dcde2"


def test_the_example_is_the_recording_with_most_trials_of_the_first_target_there_is():
    table = pd.DataFrame(
        {
            "eid": ["b"] * 2 + ["a"] * 3 + ["c"] * 9,
            "fiber_idx": [0, 0, 1, 1, 1] + [0] * 9,
            "target_NM": ["SNc-DA"] * 5 + ["LC-NE"] * 9,
            "trial": [*range(2), *range(3), *range(9)],
            "response_early": 1.0,
        }
    )
    assert choose_example(table, SETTINGS) == ("a", 1)
    # a trial without a response is no reason to choose a recording
    table.loc[table["eid"] == "a", "response_early"] = np.nan
    assert choose_example(table, SETTINGS) == ("b", 0)
    with pytest.raises(NoDataError, match="is empty"):
        choose_example(table.head(0), SETTINGS)


@pytest.mark.slow
def test_a_stored_session_is_drawn_masked_and_with_its_baseline_subtracted(tmp_path, session):
    bands, _, trials = session
    settings = Settings(root=tmp_path)
    row = {"eid": EID, "subject": "m1", "start_time": "2024-05-06T10:00:00"}
    row |= {"brain_region": ["VTA"], "hemisphere": ["l"], "target_NM": ["VTA-DA"]}
    ps = PhotometrySession(row, settings=settings)
    ps.photometry["GCaMP_preprocessed"] = bands["GCaMP_preprocessed"] + 5
    ps.trials = trials
    ps.extract_responses(events=EVENTS)
    ps.save_h5()
    table = pd.DataFrame(
        {"eid": [EID], "fiber_idx": 0, "target_NM": "VTA-DA", "trial": 0, "response_early": 1.0}
    )
    figure = stored_session_figure(table, settings=settings)
    assert "Session m1 2024-05-06, recording VTA (VTA-DA)" in figure.get_suptitle()
    heat = next(ax for ax in figure.axes if ax.images).images[0].get_array()
    # raw bands are elsewhere; the next event comes 0.2 s after the stimulus
    assert not figure.axes[0].lines
    assert heat.mask[:, 37:].all()
    assert not heat.mask[:, :36].any()
    assert abs(heat[:, 27:30].mean()) < 1e-9


@pytest.mark.slow
def test_the_note_says_masked_only_where_something_is(session):
    bands, responses, trials = session
    figure = example_session_figure(bands, responses, trials, recording="VTA")
    assert "gray: masked from the next event on; lines end" in figure.get_suptitle()
    whole = {"VTA": responses["VTA"].fillna(0.0)}
    title = example_session_figure(bands, whole, trials, recording="VTA").get_suptitle()
    assert "gray" not in title
    assert "masked" not in title
    no_event = {"VTA": whole["VTA"].where(whole["VTA"]["trial"] != 3)}
    title = example_session_figure(bands, no_event, trials, recording="VTA").get_suptitle()
    assert "gray: no such event or no signal" in title
    assert "masked" not in title


def test_means_end_where_few_trials_are_left(session):
    bands, responses, trials = session
    values = responses["VTA"].copy()
    values[0, 4:, 50:] = np.nan
    figure = example_session_figure(bands, {"VTA": values}, trials, recording="VTA")
    means = [ax for ax in figure.axes if ax.get_xlabel() == "Time from event (s)"]
    for ax, n_drawn in ((means[0], 50), (means[1], 60)):
        lines = [
            line for line in ax.lines if line.get_label().startswith(("correct", "incorrect"))
        ]
        assert [np.isfinite(line.get_ydata()).sum() for line in lines] == [n_drawn] * 2


def stored(root, session, eid=EID, **settings):
    """A session under a root; no analysis knows it."""
    bands, _, trials = session
    settings = Settings(root=root, **settings)
    row = {"eid": eid, "subject": f"m{eid[0]}", "start_time": "2024-05-06T10:00:00"}
    row |= {"brain_region": ["VTA"], "hemisphere": ["l"], "target_NM": ["VTA-DA"]}
    ps = PhotometrySession(row, settings=settings)
    ps.photometry["GCaMP_preprocessed"] = bands["GCaMP_preprocessed"]
    ps.trials = trials
    ps.extract_responses(events=EVENTS)
    ps.save_h5()
    return settings


def test_a_session_that_no_analysis_takes_is_an_example_too(tmp_path, session):
    empty = RESPONSE_MAGNITUDES.empty()
    missing = stored_session_figure(empty, settings=Settings(root=tmp_path))
    reason = missing.texts[-1].get_text()
    assert "none of 0 stored sessions has responses" in reason
    assert "needs trials and a preprocessed signal" in reason
    settings = stored(tmp_path, session)
    assert (
        "Session m0 2024-05-06" in stored_session_figure(empty, settings=settings).get_suptitle()
    )


@pytest.mark.slow
def test_the_setting_chooses_the_session(tmp_path, session, monkeypatch):
    other = EID.replace("0", "1", 1)
    stored(tmp_path, session)
    settings = stored(tmp_path, session, eid=other)
    table = pd.DataFrame(
        {"eid": [EID], "fiber_idx": 0, "target_NM": "VTA-DA", "trial": 0, "response_early": 1.0}
    )
    assert "Session m0" in stored_session_figure(table, settings=settings).get_suptitle()
    monkeypatch.setenv("IBLNM_FIGURES__EXAMPLE_EID", other)
    chosen = Settings(root=tmp_path)
    assert "Session m1" in stored_session_figure(table, settings=chosen).get_suptitle()
    monkeypatch.setenv("IBLNM_FIGURES__EXAMPLE_EID", "nonsense")
    said = stored_session_figure(table, settings=Settings(root=tmp_path)).texts[-1].get_text()
    assert "session nonsense is not stored" in said
    assert "IBLNM_FIGURES__EXAMPLE_EID chooses one" in said


def test_a_session_without_a_file_is_named(tmp_path):
    table = pd.DataFrame(
        {"eid": [EID], "fiber_idx": 0, "target_NM": "VTA-DA", "trial": 0, "response_early": 1.0}
    )
    figure = stored_session_figure(table, settings=Settings(root=tmp_path))
    assert f"session {EID} is not stored in sessions/" in figure.texts[-1].get_text()
