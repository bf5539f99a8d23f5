"""Planted truth of the whole signal path: what goes in must come out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.config import SignalSettings
from iblnm.errors import MalformedFileError
from iblnm.signal.bleaching import fit_bleaching, lowpass_baseline
from iblnm.signal.isosbestic import regress_isosbestic
from iblnm.signal.perievent import (
    extract_responses,
    mask_subsequent_events,
    response_magnitude,
    subtract_baseline,
)
from iblnm.signal.preprocess import preprocess_recording, restrict_to_task
from iblnm.signal.qc import qc_table, raw_frame_metrics, sliding_metrics
from iblnm.signal.resample import resample_signal

FS = 30.0
TIMES = np.arange(0, 1800, 1 / FS)
EVENTS = ("stimOn_times", "firstMovement_times", "feedback_times")


def _rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("tau", [300.0, 900.0, 2500.0])
def test_bleaching_time_constant_is_recovered_within_one_percent(tau):
    signal = 0.02 * np.exp(-TIMES / tau) + 0.01 + _rng().normal(0, 1e-4, len(TIMES))
    fit = fit_bleaching(TIMES + 400.0, signal)
    assert fit.tau_s == pytest.approx(tau, rel=0.01)
    assert fit.amplitude == pytest.approx(0.02, rel=0.02)
    assert fit.offset == pytest.approx(0.01, rel=0.03)


@pytest.mark.parametrize("signal", [np.full(len(TIMES), 0.01), 0.01 + 1e-6 * TIMES])
def test_a_signal_that_does_not_bleach_has_no_time_constant_but_a_note(signal):
    fit = fit_bleaching(TIMES, signal)
    assert np.isnan(fit.tau_s)
    assert fit.note


def test_the_baseline_follows_slow_trends_and_not_transients():
    trend = 1 + 0.3 * np.exp(-TIMES / 600)
    transients = 0.05 * (np.sin(2 * np.pi * 0.5 * TIMES) > 0.9)
    baseline = lowpass_baseline(TIMES, trend + transients, order=3, cutoff_hz=0.01)
    inside = (TIMES > 50) & (TIMES[-1] - 50 > TIMES)
    error = baseline - trend - transients.mean()
    assert np.abs(error[inside]).max() < 2e-3


def test_movement_artifacts_are_removed_with_the_slope_that_was_planted():
    rng = _rng(1)
    artifact = np.convolve(rng.normal(size=len(TIMES)), np.hanning(61) / 30, mode="same") * 0.02
    neural = 0.01 * (rng.random(len(TIMES)) < 0.002)
    neural = np.convolve(neural, np.exp(-np.arange(60) / 15), mode="full")[: len(TIMES)]
    bleach = np.exp(-TIMES / 1200)
    signal = pd.Series(0.05 * (0.6 + 0.4 * bleach) * (1 + 1.5 * artifact + neural), TIMES)
    shifted = TIMES + 0.5 / FS
    reference = pd.Series(
        0.03 * (0.8 + 0.2 * bleach) * (1 + np.interp(shifted, TIMES, artifact)), shifted
    )
    recording = preprocess_recording(signal, reference, SignalSettings())
    assert recording.attrs["correction"] == "isosbestic"
    assert recording.attrs["iso_slope"] == pytest.approx(1.5, rel=0.05)
    planted = np.interp(recording["time"], TIMES, neural - neural.mean())
    explained = np.corrcoef(recording["dff"], planted)[0, 1] ** 2
    alone = preprocess_recording(signal, None, SignalSettings())
    assert explained > 0.9 > 5 * np.corrcoef(alone["dff"], planted)[0, 1] ** 2
    assert alone.attrs["correction"] == "signal_only"


@pytest.mark.parametrize("rate", [15.0, 29.99, 30.0, 50.0])
def test_the_stored_signal_has_mean_zero_and_sd_one_at_thirty_hertz(rate):
    times = np.arange(0, 900, 1 / rate)
    values = 1 + 0.1 * np.exp(-times / 300) + _rng(2).normal(0, 0.01, len(times))
    recording = preprocess_recording(pd.Series(values, times), None, SignalSettings())
    assert np.diff(recording["time"]) == pytest.approx(1 / 30, abs=1e-9)
    assert float(recording["signal"].mean()) == pytest.approx(0, abs=1e-12)
    assert float(recording["signal"].std(ddof=0)) == pytest.approx(1, abs=1e-12)
    restored = recording["signal"] * recording.attrs["sd"] + recording.attrs["mean"]
    np.testing.assert_allclose(restored, recording["dff"], atol=1e-12)


def test_gaps_stay_gaps_and_single_lost_samples_are_bridged():
    values = np.sin(2 * np.pi * 0.2 * TIMES)
    values[3000] = np.nan
    values[6000:6060] = np.nan
    out = resample_signal(pd.Series(values, TIMES), FS)
    assert abs(out.iloc[3000] - np.sin(2 * np.pi * 0.2 * TIMES[3000])) < 1e-3
    assert out.iloc[6005:6055].isna().all()
    assert out.iloc[:5990].notna().all()


def test_frequencies_above_half_the_new_rate_do_not_fold_back():
    times = np.arange(0, 60, 1 / 50)
    inside = (times > 5) & (times < 55)
    aliased = resample_signal(pd.Series(np.sin(2 * np.pi * 22 * times), times), 30.0)
    kept = resample_signal(pd.Series(np.sin(2 * np.pi * 2 * times), times), 30.0)
    assert aliased[(aliased.index > 5) & (aliased.index < 55)].abs().max() < 0.05
    assert kept[(kept.index > 5) & (kept.index < 55)].abs().max() > 0.98
    assert inside.any()


def test_responses_are_aligned_to_better_than_a_millisecond():
    smooth = np.sin(2 * np.pi * 0.4 * TIMES)
    events = np.sort(_rng(3).uniform(20, 1700, 200))
    trials = pd.DataFrame({"stimOn_times": events})
    responses = extract_responses(TIMES, smooth, trials, events=["stimOn_times"])
    at = events[:, None] + responses["time"].to_numpy()
    error = responses.sel(event="stimOn_times").to_numpy() - np.sin(2 * np.pi * 0.4 * at)
    one_millisecond = 2 * np.pi * 0.4 * 1e-3
    assert np.abs(error).max() < one_millisecond
    assert responses["time"].to_numpy() == pytest.approx(np.arange(-30, 30) / 30)


def test_a_missing_event_is_a_missing_row_and_the_order_of_trials_stays():
    trials = pd.DataFrame({"stimOn_times": [100.0, np.nan, 50.0]})
    responses = extract_responses(TIMES, TIMES, trials, events=["stimOn_times"])
    rows = responses.sel(event="stimOn_times").to_numpy()
    assert rows[0, 30] == pytest.approx(100.0)
    assert np.isnan(rows[1]).all()
    assert rows[2, 30] == pytest.approx(50.0)


def _three_events():
    trials = pd.DataFrame(
        {
            "stimOn_times": [100.0, 200.0, 300.0],
            "firstMovement_times": [100.19, np.nan, 299.9],
            "feedback_times": [100.6, 200.5, 300.4],
        }
    )
    values = np.zeros(len(TIMES))
    for column, amplitude in zip(EVENTS, (1.0, 2.0, 4.0), strict=True):
        for event in trials[column].dropna():
            values[(event <= TIMES) & (event + 0.5 > TIMES)] += amplitude
    return trials, extract_responses(TIMES, values, trials, events=list(EVENTS))


def test_masking_keeps_what_comes_before_the_next_event():
    trials, responses = _three_events()
    masked = mask_subsequent_events(responses, trials, list(EVENTS))
    time = responses["time"].to_numpy()
    stim = masked.sel(event="stimOn_times").to_numpy()
    assert np.isfinite(stim[0]).tolist() == (time < 0.19).tolist()
    # without a movement the mask falls through to the feedback
    assert np.isfinite(stim[1]).tolist() == (time < 0.5 - 1e-9).tolist()
    # a movement before the stimulus leaves the samples before the stimulus
    assert np.isfinite(stim[2]).tolist() == (time < 0).tolist()
    feedback = masked.sel(event="feedback_times")
    np.testing.assert_array_equal(feedback, responses.sel(event="feedback_times"))


def test_magnitude_recovers_the_planted_amplitude_above_baseline():
    trials, responses = _three_events()
    above = subtract_baseline(responses.sel(event=["stimOn_times"]))
    mean, n_samples = response_magnitude(above, (0.1, 0.35))
    # trial 1 has no movement: the stimulus response alone
    assert float(np.asarray(mean)[0, 1]) == pytest.approx(1.0, abs=1e-6)
    assert int(np.asarray(n_samples)[0, 1]) == 8
    assert len(trials) == 3


def test_windows_equal_those_of_the_library():
    metrics = pytest.importorskip("iblphotometry.metrics")
    from iblphotometry.qc import qc_signals

    rng = _rng(4)
    times = np.cumsum(rng.normal(1 / FS, 2e-4, 30000))
    frame = pd.DataFrame({"VTA": 1 + rng.normal(0, 0.01, 30000).cumsum() / 50}, index=times)
    names = (
        "median_absolute_deviance",
        "percentile_distance",
        "percentile_asymmetry",
        "ar_score",
    )
    theirs = qc_signals(
        {"GCaMP": frame},
        [getattr(metrics, name) for name in names],
        metrics_kwargs={"percentile_asymmetry": {"pc_comp": 75}},
        sliding_kwargs={"w_len": 120, "step_len": 60, "detrend": True},
    ).dropna(subset=["window"])
    table = sliding_metrics(times, frame["VTA"].to_numpy())
    assert len(table) > 10
    for name in names:
        expected = theirs.loc[theirs["metric"] == name, "value"].to_numpy(dtype=float)
        np.testing.assert_allclose(table[name], expected, rtol=0, atol=1e-9)


def test_the_table_means_over_windows_and_counts_unique_raw_values():
    rng = _rng(5)
    values = np.round(1 + rng.normal(0, 0.01, len(TIMES)), 3)
    bands = {"GCaMP": pd.DataFrame({"VTA": values}, index=TIMES)}
    table = qc_table(bands, eid="e", fiber_idx={"VTA": 0}, raw=None, settings=SignalSettings())
    row = table.iloc[0]
    assert row["n_unique_samples"] == len(np.unique(values)) / len(values)
    windows = sliding_metrics(TIMES, values)
    assert row["median_absolute_deviance"] == pytest.approx(
        windows["median_absolute_deviance"].mean()
    )
    assert np.isnan(row["n_band_inversions"])
    assert np.isnan(row["iso_correlation"])


def test_raw_frames_count_planted_faults_and_bridge_lost_labels():
    n = 2000
    times = np.arange(n) / 60
    led = np.where(np.arange(n) % 2, 2, 1)
    led[0] = 7
    assert raw_frame_metrics(times, led, tolerance_s=0.001)["n_band_inversions"] == 0
    lost = led.copy()
    lost[500] = 0
    assert raw_frame_metrics(times, lost, tolerance_s=0.001)["n_band_inversions"] == 0
    inverted = led.copy()
    inverted[700:] = np.where(inverted[700:] == 1, 2, 1)
    assert raw_frame_metrics(times, inverted, tolerance_s=0.001)["n_band_inversions"] == 1
    early = times.copy()
    early[800:] -= 0.005
    assert raw_frame_metrics(early, led, tolerance_s=0.001)["n_early_samples"] == 1
    dark = np.where(np.arange(n) % 2, 2, 0)
    assert raw_frame_metrics(times, dark, tolerance_s=0.001)["n_band_inversions"] == 0


def test_frames_that_run_backwards_are_refused():
    with pytest.raises(MalformedFileError, match=r"median interval is -0\.01667 s"):
        raw_frame_metrics(np.arange(100)[::-1] / 60, np.arange(100) % 2 + 1, tolerance_s=0.001)


def test_regression_recovers_slope_and_resists_outliers_in_the_robust_slope():
    rng = _rng(6)
    reference = rng.normal(0, 0.01, 20000)
    signal = 0.8 * reference + 0.002 + rng.normal(0, 0.001, 20000)
    clean = regress_isosbestic(signal, reference)
    assert clean.slope == pytest.approx(0.8, rel=0.01)
    assert clean.r2 == pytest.approx(0.985, abs=0.01)
    signal[:400] += 0.5 * np.sign(reference[:400])
    dirty = regress_isosbestic(signal, reference)
    assert dirty.slope_robust == pytest.approx(0.8, rel=0.05)
    assert abs(dirty.slope - 0.8) > 5 * abs(dirty.slope_robust - 0.8)


def test_restricting_keeps_the_task_and_its_margins_in_equal_bands():
    bands = {
        "GCaMP": pd.DataFrame({"VTA": TIMES}, index=TIMES),
        "Isosbestic": pd.DataFrame({"VTA": TIMES}, index=TIMES + 0.5 / FS),
    }
    cut = restrict_to_task(bands, 100.0, 200.0)
    assert cut["GCaMP"].index[0] > 95
    assert cut["GCaMP"].index[-1] < 205
    assert len(cut["GCaMP"]) == len(cut["Isosbestic"]) == pytest.approx(110 * FS, abs=2)


@pytest.mark.parametrize(
    "values",
    [
        np.full(len(TIMES), np.nan),
        np.full(len(TIMES), 0.02),
        -1 - 0.01 * np.sin(TIMES),
    ],
    ids=["nothing valid", "constant", "below zero"],
)
def test_a_signal_that_cannot_be_corrected_is_refused_by_name(values):
    with pytest.raises(MalformedFileError, match="VTA"):
        preprocess_recording(pd.Series(values, TIMES, name="VTA"), None, SignalSettings())


def test_a_missing_time_hides_only_the_intervals_beside_it():
    times, led = np.arange(3000) / 60, np.arange(3000) % 2 + 1
    times[[50, 2000]] = np.nan
    times[1000] -= 0.004
    metrics = raw_frame_metrics(times, led, tolerance_s=0.001)
    assert (metrics["n_early_samples"], metrics["n_band_inversions"]) == (1, 0)
    assert metrics["median_interval_s"] == pytest.approx(1 / 60)
    with pytest.raises(MalformedFileError, match="not finite"):
        raw_frame_metrics(times * np.nan, led, tolerance_s=0.001)
