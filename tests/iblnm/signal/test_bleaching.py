from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit

from iblnm.signal.bleaching import compute_bleaching_tau, fit_bleaching, lowpass_baseline
from iblnm.signal.preprocess import restrict_to_task

TIMES = np.arange(0, 1800, 1 / 30)


def decay(t, tau, amplitude, offset):
    return amplitude * np.exp(-t / tau) + offset


class TestFit:
    def test_is_the_least_squares_optimum(self):
        rng = np.random.default_rng(0)
        values = decay(TIMES, 700, 0.02, 0.03) + rng.normal(0, 2e-3, len(TIMES))
        fit = fit_bleaching(TIMES, values)
        best, _ = curve_fit(decay, TIMES, values, p0=(600, 0.02, 0.03))
        assert fit.tau_s == pytest.approx(best[0], rel=1e-4)
        assert fit.amplitude == pytest.approx(best[1], rel=1e-4)
        assert fit.offset == pytest.approx(best[2], rel=1e-4)

    def test_is_deterministic_and_scale_free(self):
        rng = np.random.default_rng(1)
        values = decay(TIMES, 500, 0.02, 0.03) + rng.normal(0, 1e-3, len(TIMES))
        first, again = fit_bleaching(TIMES, values), fit_bleaching(TIMES, values)
        assert first == again
        scaled = fit_bleaching(TIMES + 1e4, 1e6 * values)
        assert scaled.tau_s == pytest.approx(first.tau_s, rel=1e-6)
        assert scaled.amplitude == pytest.approx(1e6 * first.amplitude, rel=1e-6)

    def test_missing_samples_are_left_out(self):
        values = decay(TIMES, 700, 0.02, 0.03)
        values[10000:15000] = np.nan
        values[::7] = np.inf
        assert fit_bleaching(TIMES, values).tau_s == pytest.approx(700, rel=1e-4)

    @pytest.mark.parametrize(
        ("values", "note"),
        [
            (np.full(len(TIMES), 0.3), "constant"),
            (np.full(len(TIMES), np.nan), "0 valid samples, 20 are needed"),
            (1 - 1e-5 * TIMES, "at its bound (17999.7 s, 10 durations)"),
            (np.where(TIMES < 0.02, 1.0, 0.0), "s outside 0.0667 to 17999.7 s"),
        ],
    )
    def test_unidentified_is_a_note(self, values, note):
        fit = fit_bleaching(TIMES, values)
        assert np.isnan(fit.tau_s)
        assert note in fit.note

    def test_bound_is_a_parameter(self):
        values = decay(TIMES, 2500, 0.02, 0.03)
        assert fit_bleaching(TIMES, values).tau_s == pytest.approx(2500, rel=1e-3)
        assert np.isnan(fit_bleaching(TIMES, values, max_tau_durations=1.0).tau_s)

    def test_rising_signal_is_noted(self):
        fit = fit_bleaching(TIMES, decay(TIMES, 500, -0.02, 0.05))
        assert fit.tau_s == pytest.approx(500, rel=1e-4)
        assert fit.note == "the signal rises: negative amplitude"

    def test_short_recording(self):
        assert np.isnan(fit_bleaching(TIMES[:10], np.arange(10.0)).tau_s)
        assert np.isnan(fit_bleaching(TIMES[:1], np.ones(1)).tau_s)

    @pytest.mark.real
    @pytest.mark.parametrize(("region", "tau"), [("SI", 1320.0), ("PPT", 1385.0)])
    def test_real_recording(self, cq002, region, tau):
        # The known values rest on all samples, the 180 invalid ones at the ends included.
        bands, trials = cq002
        bands = restrict_to_task(bands, trials.intervals_0.iloc[0], trials.intervals_1.iloc[-1])
        series = bands["GCaMP"][region]
        assert compute_bleaching_tau(series) == pytest.approx(tau, rel=0.01)
        t = series.index.to_numpy() - series.index[0]
        best, _ = curve_fit(decay, t, series.to_numpy() * 1e3, p0=(1000, 2, 6))
        assert compute_bleaching_tau(series) == pytest.approx(best[0], rel=1e-4)
        outside = np.zeros(len(series), dtype=bool)
        outside[:90] = outside[-90:] = True
        assert compute_bleaching_tau(series.mask(outside)) == pytest.approx(tau, rel=0.02)


class TestBaseline:
    def test_amplitude_response_is_that_of_the_filter_twice(self):
        t = np.arange(0, 7200, 1 / 30)
        inner = slice(len(t) // 3, 2 * len(t) // 3)
        for frequency in (0.005, 0.01, 0.02):
            wave = np.sin(2 * np.pi * frequency * t)
            baseline = lowpass_baseline(t, 1 + wave)[inner] - 1
            gain = baseline @ wave[inner] / (wave[inner] @ wave[inner])
            assert gain == pytest.approx(1 / (1 + (frequency / 0.01) ** 6), abs=2e-3)
            residual = baseline - gain * wave[inner]
            assert np.abs(residual).max() < 5e-3

    def test_ends_follow_the_trend_and_not_one_noisy_sample(self):
        rng = np.random.default_rng(2)
        truth = 0.02 * np.exp(-TIMES / 300) + 0.02 * np.exp(-TIMES / 1500) + 0.01
        clean = lowpass_baseline(TIMES, truth) / truth - 1
        assert np.abs(clean).max() < 2e-3
        noisy = lowpass_baseline(TIMES, truth + 5e-4 * rng.normal(size=len(TIMES))) / truth - 1
        assert np.abs(noisy).max() < 1e-2

    def test_columns_are_independent(self):
        rng = np.random.default_rng(3)
        values = 1 + 0.1 * rng.normal(size=(9000, 3))
        values[:500, 1] = np.nan
        values[3000:3100, 2] = np.nan
        together = lowpass_baseline(TIMES[:9000], values)
        for i in range(3):
            alone = lowpass_baseline(TIMES[:9000], values[:, i])
            np.testing.assert_allclose(together[:, i], alone, rtol=1e-12)

    def test_missing_samples_are_bridged_and_missing_again(self):
        truth = 0.02 * np.exp(-TIMES / 900) + 0.01
        values = truth.copy()
        values[:600] = values[20000:20300] = values[-90:] = np.nan
        baseline = lowpass_baseline(TIMES, values)
        np.testing.assert_array_equal(np.isnan(baseline), np.isnan(values))
        assert np.nanmax(np.abs(baseline / truth - 1)) < 1e-3

    def test_lost_frames_do_not_shift_the_baseline(self):
        truth = 1 + 0.2 * np.sin(2 * np.pi * TIMES / 600)
        keep = np.ones(len(TIMES), dtype=bool)
        keep[20000:20900] = False
        full, lost = (
            lowpass_baseline(TIMES, truth),
            lowpass_baseline(TIMES[keep], truth[keep]),
        )
        inner = (TIMES[keep] > 100) & (TIMES[keep] < 1700)
        assert np.abs(lost - full[keep])[inner].max() < 5e-3

    @pytest.mark.parametrize("n", [2, 3, 10, 200])
    def test_short_recordings(self, n):
        baseline = lowpass_baseline(TIMES[:n], np.linspace(1, 1.1, n))
        assert np.isfinite(baseline).all()
        assert ((baseline > 0.9) & (baseline < 1.2)).all()

    def test_nothing_valid(self):
        assert np.isnan(lowpass_baseline(TIMES[:90], np.full(90, np.nan))).all()

    def test_cut_off_above_half_the_rate_is_refused(self):
        with pytest.raises(ValueError, match="not below half the rate"):
            lowpass_baseline(np.arange(0, 1e5, 100.0), np.ones(1000))


def test_tau_of_a_series():
    series = pd.Series(decay(TIMES, 700, 0.02, 0.03), index=TIMES + 50)
    assert compute_bleaching_tau(series) == pytest.approx(700, rel=1e-6)
