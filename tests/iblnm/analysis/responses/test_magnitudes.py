"""Early responses: planted truth, the loop over trials, and the functions of one session."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from iblnm.analysis.responses.magnitudes import magnitude_table, recording_magnitudes
from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.analysis.trials import early_responses
from iblnm.constants import ANY_SAMPLE
from iblnm.errors import MalformedFileError
from iblnm.signal.perievent import (
    mask_subsequent_events,
    response_magnitude,
    subtract_baseline,
)

RECORDING = {
    "eid": "a",
    "subject": "m1",
    "session_type": "biased",
    "NM": "DA",
    "target_NM": "VTA-DA",
    "brain_region": "VTA",
    "hemisphere": "r",
    "fiber_idx": 1,
}


@pytest.fixture(scope="module")
def simulated(loops):
    return loops.simulate(0, 200)


def test_planted_magnitudes_are_recovered(loops):
    responses, trials = loops.simulate(1, 40)
    planted = np.linspace(-2, 3, 40)
    time = responses["time"].to_numpy()
    offset = np.arange(40)[:, None] * 0.5
    values = np.where(time >= 0, planted[:, None], 0.0) + offset
    responses = responses.copy(data=np.broadcast_to(values, responses.shape))
    magnitude, n_samples = early_responses(responses, trials, min_coverage=ANY_SAMPLE)
    feedback = responses["event"].to_numpy().tolist().index("feedback_times")
    np.testing.assert_allclose(magnitude[feedback], planted, atol=1e-12)
    assert (n_samples[feedback] == 8).all()
    seen = np.isfinite(magnitude[0])
    np.testing.assert_allclose(magnitude[0][seen], planted[seen], atol=1e-12)


def test_samples_from_the_next_event_on_do_not_count(loops):
    responses, trials = loops.simulate(2, 4)
    # movement after 0.19 s, at once, never, and before the stimulus
    trials["firstMovement_times"] = trials["stimOn_times"] + [0.19, 0.0, np.nan, -0.5]
    trials["feedback_times"] = trials["stimOn_times"] + [0.5, 0.6, 0.29, 0.7]
    time = responses["time"].to_numpy()
    responses = responses.copy(data=np.broadcast_to(np.maximum(time, 0), responses.shape))
    magnitude, n_samples = early_responses(responses, trials, min_coverage=ANY_SAMPLE)
    # 0.1, 0.133, 0.167 before 0.19 s; without a movement the feedback at 0.29 s ends it
    assert n_samples[0].tolist() == [3, 0, 6, 0]
    assert magnitude[0, 0] == pytest.approx(np.mean([3, 4, 5]) / 30)
    assert np.isnan(magnitude[0, [1, 3]]).all()
    assert magnitude[0, 2] == pytest.approx(np.mean(np.arange(3, 9)) / 30)


@pytest.mark.slow
def test_equal_to_the_loop_over_trials(loops, simulated):
    responses, trials = simulated
    part = recording_magnitudes(RECORDING, responses, trials, min_coverage=ANY_SAMPLE)
    loop = loops.loop_magnitudes(responses, trials, "r")
    table = magnitude_table([part])
    assert 0.02 < loop["response_early"].isna().mean() < 0.2
    for name in loop:
        expected = loop[name].to_numpy()
        found = table[name].to_numpy(dtype=expected.dtype)
        if expected.dtype == object:
            assert found.tolist() == expected.tolist(), name
        else:
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, err_msg=name)


def test_equal_to_the_functions_of_one_session(simulated):
    responses, trials = simulated
    prepared = subtract_baseline(mask_subsequent_events(responses, trials))
    expected, counted = response_magnitude(prepared)
    magnitude, n_samples = early_responses(responses, trials, min_coverage=ANY_SAMPLE)
    np.testing.assert_allclose(magnitude, expected, atol=1e-12)
    with_baseline = np.isfinite(magnitude)
    np.testing.assert_array_equal(n_samples[with_baseline], counted.to_numpy()[with_baseline])


@pytest.mark.parametrize(("coverage", "needed"), [(0.0, 1), (0.5, 4), (0.51, 5), (1.0, 8)])
@pytest.mark.slow
def test_minimum_coverage(loops, simulated, coverage, needed):
    responses, trials = simulated
    magnitude, n_samples = early_responses(responses, trials, min_coverage=coverage)
    full, _ = early_responses(responses, trials, min_coverage=ANY_SAMPLE)
    np.testing.assert_array_equal(np.isnan(magnitude), np.isnan(full) | (n_samples < needed))
    loop = loops.loop_magnitudes(responses, trials, min_samples=needed)
    np.testing.assert_allclose(magnitude.ravel(), loop["response_early"], atol=1e-12)


def test_by_default_every_sample_of_the_window_is_needed(simulated):
    responses, trials = simulated
    magnitude, n_samples = early_responses(responses, trials)
    whole, _ = early_responses(responses, trials, min_coverage=1.0)
    np.testing.assert_array_equal(magnitude, whole)
    assert (n_samples[np.isfinite(magnitude)] == 8).all()


def test_trials_keep_their_numbers_when_some_are_left_out(simulated):
    responses, trials = simulated
    some = responses.isel(trial=[5, 17, 120])
    magnitude, _ = early_responses(some, trials)
    np.testing.assert_array_equal(
        magnitude, early_responses(responses, trials)[0][:, [5, 17, 120]]
    )
    part = recording_magnitudes(RECORDING, some, trials)
    assert part["trial"].tolist() == [5, 17, 120] * 3
    np.testing.assert_array_equal(part["contrast"][:3], trials["contrast"].iloc[[5, 17, 120]])


def test_an_event_left_out_of_the_responses_still_ends_the_one_before(simulated):
    responses, trials = simulated
    without = responses.sel(event=["stimOn_times", "feedback_times"])
    magnitude, _ = early_responses(without, trials)
    np.testing.assert_array_equal(magnitude, early_responses(responses, trials)[0][[0, 2]])


@pytest.mark.slow
def test_the_table_is_that_of_the_schema(simulated):
    responses, trials = simulated
    other = {**RECORDING, "fiber_idx": 0, "hemisphere": None, "target_NM": np.nan}
    table = magnitude_table(
        recording_magnitudes(recording, responses, trials) for recording in (RECORDING, other)
    )
    assert len(table) == 2 * 3 * 200
    pd.testing.assert_frame_equal(RESPONSE_MAGNITUDES.validate(table), table)
    unknown = table[table["fiber_idx"] == 0]
    assert unknown[["hemisphere", "side", "relative_contrast", "target_NM"]].isna().all(axis=None)
    known = table[table["fiber_idx"] == 1]
    contra = known["side"] == "contra"
    assert (known.loc[contra, "stim_side"] == "left").all()
    assert (known.loc[contra, "relative_contrast"] >= 0).all()
    zero = known["contrast"] == 0
    assert set(known.loc[zero, "side"]) == {"contra", "ipsi"}


def test_no_recordings_give_the_empty_table():
    pd.testing.assert_frame_equal(magnitude_table([]), RESPONSE_MAGNITUDES.empty())


def test_trials_without_task_columns_are_refused(simulated):
    responses, trials = simulated
    with pytest.raises(MalformedFileError, match="stim_side"):
        recording_magnitudes(RECORDING, responses, trials.drop(columns="stim_side"))


def test_order_of_dimensions_does_not_matter(simulated):
    responses, trials = simulated
    turned = xr.DataArray(responses).transpose("time", "event", "trial")
    np.testing.assert_array_equal(
        early_responses(turned, trials)[0], early_responses(responses, trials)[0]
    )
