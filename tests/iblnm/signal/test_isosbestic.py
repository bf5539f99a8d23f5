from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress

from iblnm.signal.checks import pair_by_time
from iblnm.signal.isosbestic import compute_iso_correlation, regress_isosbestic
from iblnm.signal.preprocess import restrict_to_task


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    x = rng.normal(5, 1, 20000)
    return 1.7 * x - 3 + rng.normal(0, 0.8, len(x)), x


def test_equals_linregress(pair):
    fit, expected = regress_isosbestic(*pair), linregress(pair[1], pair[0])
    assert fit.slope == pytest.approx(expected.slope, rel=1e-10)
    assert fit.intercept == pytest.approx(expected.intercept, rel=1e-9)
    assert fit.r2 == pytest.approx(expected.rvalue**2, rel=1e-10)
    assert fit.slope_robust == pytest.approx(1.7, abs=0.02)


def test_pairs_with_a_missing_value_are_left_out(pair):
    y, x = (values.copy() for values in pair)
    y[::5], x[1::7] = np.nan, np.inf
    valid = np.isfinite(x) & np.isfinite(y)
    assert regress_isosbestic(y, x).slope == pytest.approx(
        linregress(x[valid], y[valid]).slope, rel=1e-10
    )


def test_robust_slope_is_deterministic_and_resists_artifacts(pair):
    y, x = pair[0].copy(), pair[1]
    y[:200] += 200 * np.sign(x[:200] - 5)
    fit = regress_isosbestic(y, x)
    assert abs(fit.slope - 1.7) > 1
    assert fit.slope_robust == pytest.approx(1.7, abs=0.1)
    assert fit == regress_isosbestic(y, x)


@pytest.mark.parametrize(
    ("signal", "reference"),
    [
        (np.ones(2), np.arange(2.0)),
        (np.arange(9.0), np.full(9, 0.1)),
        (np.full(9, np.nan), np.ones(9)),
    ],
)
def test_undefined_regressions_are_missing(signal, reference):
    fit = regress_isosbestic(signal, reference)
    assert np.isnan([fit.slope, fit.intercept, fit.r2, fit.slope_robust]).all()


def test_constant_signal_has_slope_zero_and_no_r2():
    fit = regress_isosbestic(np.full(9, 0.1), np.arange(9.0))
    assert fit.slope == pytest.approx(0, abs=1e-15)
    assert np.isnan(fit.r2)


def test_series_are_paired_by_time_not_position():
    t = np.arange(0, 60, 1 / 30)
    signal = pd.Series(np.sin(t), index=t)
    reference = pd.Series(np.sin(t[:-40] + 1.0), index=t[:-40] + 1.0)
    by_time = compute_iso_correlation(signal, reference)
    by_position = compute_iso_correlation(signal.to_numpy()[:-40], reference.to_numpy())
    assert by_time == pytest.approx(1, abs=1e-4)
    assert by_position < 0.5


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="use 'mse'"):
        compute_iso_correlation(np.ones(3), np.ones(3), regression_method="irls")


def test_pairing_leaves_gaps_and_outside_missing():
    reference_times = np.concatenate([np.arange(0, 10, 0.1), np.arange(12, 20, 0.1)])
    times = np.arange(-1, 21, 0.05)
    paired = pair_by_time(times, reference_times, reference_times, 0.1)
    known = np.isfinite(paired)
    assert not known[(times > 9.91) & (times < 11.99)].any()
    assert not known[(times < -0.2) | (times > 20.1)].any()
    assert known[(times >= 0) & (times < 9.9)].all()
    inside = known & (times >= 0) & (times <= 19.9)
    np.testing.assert_allclose(paired[inside], times[inside], atol=1e-9)


@pytest.mark.real
@pytest.mark.parametrize(("region", "r2"), [("SI", 0.9977), ("PPT", 0.9993)])
def test_real_recording(cq002, region, r2):
    # The known values pair frames by position; half a frame of delay changes them by 3e-4.
    bands, trials = cq002
    bands = restrict_to_task(bands, trials.intervals_0.iloc[0], trials.intervals_1.iloc[-1])
    signal, reference = bands["GCaMP"][region], bands["Isosbestic"][region]
    by_position = compute_iso_correlation(signal.to_numpy(), reference.to_numpy())
    assert by_position == pytest.approx(r2, abs=5e-5)
    assert compute_iso_correlation(signal, reference) == pytest.approx(r2, abs=3e-4)
