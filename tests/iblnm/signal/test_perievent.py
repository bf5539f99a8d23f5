from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.errors import MalformedFileError
from iblnm.signal.perievent import (
    compute_response_magnitude,
    extract_responses,
    get_responses,
    in_window,
    mask_subsequent_events,
    normalize_responses,
    relative_times,
    response_magnitude,
    sample_at,
    subtract_baseline,
)
from iblnm.signal.preprocess import preprocess_photometry, restrict_to_task

TIMES = 12.34 + np.arange(9000) / 30
EVENTS = ["stimOn_times", "firstMovement_times", "feedback_times"]


def trials_at(*rows):
    return pd.DataFrame(rows, columns=EVENTS, dtype=float)


def smooth(t):
    return np.sin(2 * np.pi * 0.5 * t) + 0.3 * np.cos(2 * np.pi * 0.9 * t)


class TestExtraction:
    def test_alignment_error_is_below_a_millisecond(self):
        rng = np.random.default_rng(0)
        events = rng.uniform(20, 300, 500)
        trials = pd.DataFrame({"stimOn_times": events})
        responses = extract_responses(TIMES, smooth(TIMES), trials, events=["stimOn_times"])
        mean = responses.sel(event="stimOn_times").to_numpy()
        relative = responses["time"].to_numpy()
        slope = (
            smooth(events[:, None] + relative + 1e-4) - smooth(events[:, None] + relative)
        ) / 1e-4
        error = mean - smooth(events[:, None] + relative)
        # Least-squares shift in time that explains the error: the alignment error.
        assert abs((error * slope).sum() / (slope**2).sum()) < 1e-3
        # Linear interpolation is within h²/8·max|f''| everywhere.
        curvature = (2 * np.pi * 0.5) ** 2 + 0.3 * (2 * np.pi * 0.9) ** 2
        assert np.abs(error).max() <= curvature / 8 / 30**2

    def test_shape_and_attributes(self):
        trials = trials_at([100, 100.2, 100.5], [110, 110.2, 110.5])
        responses = extract_responses(TIMES, smooth(TIMES), trials, region="VTA")
        assert responses.dims == ("event", "trial", "time")
        assert responses.shape == (3, 2, 60)
        assert responses.dtype == np.float64
        assert responses["trial"].dtype == np.int64
        assert responses["event"].to_numpy().tolist() == EVENTS
        np.testing.assert_array_equal(responses["time"], np.arange(-30, 30) / 30)
        assert responses.attrs["fs"] == 30.0
        assert responses.attrs["response_window"] == [-1.0, 1.0]
        assert responses.attrs["brain_region"] == "VTA"

    def test_order_of_events_is_kept(self):
        trials = trials_at([100, 101, 102])
        order = ["feedback_times", "stimOn_times"]
        responses = extract_responses(TIMES, TIMES, trials, events=order)
        assert responses["event"].to_numpy().tolist() == order
        np.testing.assert_allclose(responses.sel(time=0.0).to_numpy()[:, 0], [102, 100])

    def test_missing_event_is_a_missing_row(self):
        trials = trials_at([100, np.nan, 101], [np.nan, 120, np.nan])
        responses = extract_responses(TIMES, TIMES, trials)
        missing = np.isnan(responses).all("time").to_numpy()
        np.testing.assert_array_equal(missing, trials.isna().to_numpy().T)
        assert np.isnan(responses).any("time").equals(np.isnan(responses).all("time"))

    def test_outside_the_recording_is_missing(self):
        trials = pd.DataFrame({"stimOn_times": [TIMES[0], TIMES[-1], TIMES[0] - 5, 1e6, np.inf]})
        responses = extract_responses(TIMES, TIMES, trials, events=["stimOn_times"])[0].to_numpy()
        relative = relative_times((-1, 1), 30)
        np.testing.assert_array_equal(np.isfinite(responses[0]), relative >= 0)
        np.testing.assert_array_equal(np.isfinite(responses[1]), relative <= 0)
        assert np.isnan(responses[2:]).all()

    def test_missing_samples_spread_to_their_neighbors_only(self):
        values = smooth(TIMES)
        values[3000] = np.nan
        events = pd.DataFrame({"stimOn_times": [TIMES[3000], TIMES[3000] + 0.01]})
        responses = extract_responses(TIMES, values, events, events=["stimOn_times"])[0].to_numpy()
        assert np.flatnonzero(np.isnan(responses[0])).tolist() == [30]
        assert np.flatnonzero(np.isnan(responses[1])).tolist() == [29, 30]

    def test_irregular_times_equal_numpy_interp(self):
        rng = np.random.default_rng(1)
        times = np.cumsum(rng.uniform(0.01, 0.06, 5000))
        values = rng.normal(size=5000)
        at = rng.uniform(times[0], times[-1], (40, 30))
        np.testing.assert_allclose(sample_at(times, values, at), np.interp(at, times, values))
        assert np.isnan(sample_at(times, values, np.array([times[0] - 1, times[-1] + 1]))).all()

    def test_no_trials(self):
        assert extract_responses(TIMES, TIMES, trials_at()).shape == (3, 0, 60)

    def test_absent_event_column_is_named(self):
        with pytest.raises(MalformedFileError, match="VTA: the trials have 1 of 2 event columns"):
            extract_responses(
                TIMES, TIMES, pd.DataFrame({"a": [1.0]}), events=["a", "b"], region="VTA"
            )

    def test_window_without_samples_is_refused(self):
        with pytest.raises(ValueError, match="holds no sample"):
            relative_times((0.5, 0.5), 30.0)


class TestBaseline:
    def test_three_samples_before_the_event(self):
        trials = trials_at([100, 101, 102])
        responses = extract_responses(TIMES, TIMES**2, trials)
        result = subtract_baseline(responses)
        baseline = responses.to_numpy()[..., 27:30].mean(axis=-1, keepdims=True)
        np.testing.assert_allclose(result, responses.to_numpy() - baseline, rtol=1e-12)
        assert result.dims == responses.dims
        assert result.attrs["baseline_window"] == [-0.1, 0.0]
        assert result.attrs["fs"] == responses.attrs["fs"]

    def test_missing_samples_of_the_baseline_are_left_out(self):
        responses = extract_responses(TIMES, TIMES, trials_at([100, 101, 102]))
        responses[0, 0, 27] = np.nan
        responses[1, 0, 27:30] = np.nan
        result = subtract_baseline(responses)
        expected = responses.to_numpy()[0, 0, 28:30].mean()
        assert result[0, 0, 40] == pytest.approx(responses.to_numpy()[0, 0, 40] - expected)
        assert np.isnan(result[1]).all()
        assert np.isfinite(result[2]).all()


class TestMask:
    def test_each_case(self):
        trials = trials_at(
            [100, 100.205, 100.6],
            [110, np.nan, 110.41],
            [120, 119.9, 120.3],
            [130, np.nan, np.nan],
            [np.nan, 140, 140.2],
        )
        responses = extract_responses(TIMES, smooth(TIMES), trials)
        masked = mask_subsequent_events(responses, trials)
        time = responses["time"].to_numpy()
        kept = np.isfinite(masked).to_numpy()
        stim, movement, feedback = kept
        np.testing.assert_array_equal(stim[0], time < 0.205)
        np.testing.assert_array_equal(stim[1], time < 0.41)
        np.testing.assert_array_equal(stim[2], time < 0)
        assert stim[3].all()
        assert not stim[4].any()
        np.testing.assert_array_equal(movement[0], time < 0.395)
        assert not movement[1].any()
        np.testing.assert_array_equal(movement[4], time < 0.2 - 1e-9)
        assert feedback[[0, 1, 2, 4]].all()
        assert masked.attrs["masked_events"] == EVENTS
        np.testing.assert_array_equal(masked.to_numpy()[kept], responses.to_numpy()[kept])

    def test_event_left_out_of_the_responses_still_masks(self):
        trials = trials_at([100, 100.205, 100.6])
        responses = extract_responses(
            TIMES, smooth(TIMES), trials, events=["stimOn_times", "feedback_times"]
        )
        masked = mask_subsequent_events(responses, trials, EVENTS)
        np.testing.assert_array_equal(np.isfinite(masked[0, 0]), responses["time"] < 0.205)

    def test_event_absent_from_the_trials_falls_through(self):
        trials = trials_at([100, 100.205, 100.605])
        responses = extract_responses(TIMES, smooth(TIMES), trials, events=EVENTS[:1])
        masked = mask_subsequent_events(responses, trials[[EVENTS[0], EVENTS[2]]], EVENTS)
        np.testing.assert_array_equal(np.isfinite(masked[0, 0]), responses["time"] < 0.605)

    def test_selected_trials_keep_their_own_mask(self):
        trials = trials_at([100, 100.205, 100.6], [110, 110.405, 110.8])
        responses = extract_responses(TIMES, smooth(TIMES), trials)
        one = mask_subsequent_events(responses.isel(trial=[1]), trials)
        assert one.identical(mask_subsequent_events(responses, trials).isel(trial=[1]))


class TestMagnitude:
    def test_mean_and_number_of_samples(self):
        trials = trials_at([100, 100.25, 100.6])
        responses = extract_responses(TIMES, TIMES, trials)
        masked = mask_subsequent_events(responses, trials)
        mean, n_samples = response_magnitude(masked)
        # 0.1 to 0.35 s holds k = 3 … 10; the movement at 0.25 s leaves k = 3 … 7.
        assert n_samples.to_numpy()[:, 0].tolist() == [5, 8, 8]
        assert mean[0, 0] == pytest.approx(100 + 5 / 30)
        assert mean[2, 0] == pytest.approx(100.6 + 6.5 / 30)
        assert mean.dims == n_samples.dims == ("event", "trial")

    def test_minimum_coverage(self):
        trials = trials_at([100, 100.25, 100.6])
        masked = mask_subsequent_events(extract_responses(TIMES, TIMES, trials), trials)
        mean, n_samples = response_magnitude(masked, min_samples=6)
        assert np.isnan(mean[0, 0])
        assert n_samples[0, 0] == 5
        assert np.isfinite(mean[1:]).all()

    def test_window_outside_the_response_is_refused(self):
        responses = extract_responses(TIMES, TIMES, trials_at([100, 101, 102]))
        with pytest.raises(ValueError, match="holds none of the 60 times"):
            response_magnitude(responses, (2.0, 3.0))

    def test_window_edges(self):
        time = relative_times((-1, 1), 30)
        assert np.flatnonzero(in_window(time, (-0.1, 0.0))).tolist() == [27, 28, 29]
        assert np.flatnonzero(in_window(time, (0.1, 0.35))).tolist() == list(range(33, 41))


class TestNotebookNames:
    def test_get_responses(self):
        series = pd.Series(smooth(TIMES), index=TIMES)
        responses, tpts = get_responses(series, [100.0, np.nan, 150.017])
        assert responses.shape == (3, 60)
        np.testing.assert_allclose(tpts, np.arange(-30, 30) / 30, atol=1e-9)
        np.testing.assert_allclose(responses[2], smooth(150.017 + tpts), atol=3e-3)
        assert np.isnan(responses[1]).all()

    def test_compute_response_magnitude(self):
        tpts = relative_times((-1, 1), 30)
        resp = np.tile(tpts, (2, 1))
        resp[1, 33] = np.nan
        expected = [np.arange(3, 11).mean() / 30, np.arange(4, 11).mean() / 30]
        np.testing.assert_allclose(compute_response_magnitude(resp, tpts, (0.1, 0.35)), expected)

    def test_normalize_responses(self):
        tpts = relative_times((-1, 1), 30)
        resp = np.stack([2 + (tpts >= 0), 4 + (tpts >= 0), 0 * tpts])
        relative = normalize_responses(resp, tpts)
        np.testing.assert_allclose(relative[:2, 45], [0.5, 0.25])
        assert np.isnan(relative[2]).all()
        difference = normalize_responses(resp, tpts, divide=False)
        np.testing.assert_allclose(difference[:, 45], [1, 1, 0])


@pytest.mark.real
def test_real_recording(fip_40):
    """Mean over trials of the early magnitude (0.1 to 0.35 s, baseline subtracted, unmasked)."""
    bands, trials = fip_40
    bands = restrict_to_task(bands, trials.intervals_0.iloc[0], trials.intervals_1.iloc[-1])
    recordings = preprocess_photometry(bands)
    assert set(recordings) == {"DLS", "DMS", "NAcc"}
    early = {}
    for name, recording in recordings.items():
        assert recording.attrs["correction"] == "signal_only"
        responses = extract_responses(
            recording["time"].to_numpy(), recording["signal"].to_numpy(), trials, region=name
        )
        early[name] = response_magnitude(subtract_baseline(responses))[0]
    rewarded = (trials["feedbackType"] == 1).to_numpy()
    assert float(early["DLS"].sel(event="stimOn_times").mean()) == pytest.approx(2.2, abs=0.06)
    feedback = early["NAcc"].sel(event="feedback_times").to_numpy()
    assert np.nanmean(feedback[rewarded]) == pytest.approx(1.26, abs=0.03)
    assert np.nanmean(feedback[~rewarded]) == pytest.approx(-0.08, abs=0.01)
