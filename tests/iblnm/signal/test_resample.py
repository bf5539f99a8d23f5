from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import PchipInterpolator

from iblnm.errors import MalformedFileError
from iblnm.signal.resample import resample_signal


def series(duration_s=60.0, fs=30.0, frequency=1.0, start=7.0):
    t = np.arange(0, duration_s, 1 / fs) + start
    return pd.Series(
        np.sin(2 * np.pi * frequency * t), index=pd.Index(t, name="times"), name="VTA"
    )


@pytest.mark.parametrize("fs", [15.0, 20.0, 29.99, 30.0, 50.0, 100.0])
def test_grid_starts_at_the_first_time_and_excludes_the_last(fs):
    source = series(fs=fs)
    out = resample_signal(source)
    assert out.index[0] == source.index[0]
    assert out.index[-1] < source.index[-1]
    assert source.index[-1] - out.index[-1] <= 1 / 30 + 1e-9
    np.testing.assert_allclose(np.diff(out.index), 1 / 30, rtol=1e-9)
    assert (out.name, out.index.name) == ("VTA", "times")


def test_up_sampling_only_interpolates():
    source = series(fs=15.0)
    out = resample_signal(source)
    expected = PchipInterpolator(source.index, source)(out.index)
    np.testing.assert_allclose(out, expected, atol=1e-12)
    on_samples = np.isclose(out.index.to_numpy()[::2], source.index.to_numpy()[:-1])
    assert on_samples.all()
    np.testing.assert_allclose(out.to_numpy()[::2], source.to_numpy()[:-1], atol=1e-9)


@pytest.mark.parametrize(
    ("frequency", "gain"), [(1.0, 1), (5.0, 1), (11.0, 1), (16.0, 0), (24.0, 0)]
)
def test_down_sampling_passes_the_band_and_stops_aliases(frequency, gain):
    out = resample_signal(series(fs=50.0, frequency=frequency))
    inner = out[(out.index > 10) & (out.index < 60)]
    amplitude = np.sqrt(2) * inner.std()
    assert amplitude == pytest.approx(gain, abs=0.12 if frequency > 10 else 2e-3 * (frequency**2))


def test_down_sampling_shifts_no_phase():
    out = resample_signal(series(fs=50.0, frequency=2.0))
    inner = out[(out.index > 10) & (out.index < 60)]
    t = inner.index.to_numpy()
    np.testing.assert_allclose(inner, np.sin(2 * np.pi * 2.0 * t), atol=5e-3)


def test_short_runs_of_missing_are_filled_and_long_ones_stay():
    source = series(frequency=0.2)
    values = source.to_numpy().copy()
    values[300:302] = np.nan
    values[600:610] = np.nan
    values[:20] = np.nan
    out = resample_signal(pd.Series(values, index=source.index))
    missing = np.flatnonzero(out.isna())
    assert missing.tolist() == [*range(20), *range(600, 610)]
    np.testing.assert_allclose(out.iloc[300:302], source.iloc[300:302], atol=1e-3)


def test_gap_limit_is_the_parameter():
    source = series(frequency=0.2)
    values = source.to_numpy().copy()
    values[300:302] = np.nan
    values[600:603] = np.nan
    gappy = pd.Series(values, index=source.index)
    assert np.flatnonzero(resample_signal(gappy).isna()).tolist() == [600, 601, 602]
    assert resample_signal(gappy, max_gap_s=0.2).notna().all()


@pytest.mark.parametrize("fs", [30.0, 50.0])
def test_gaps_in_times_stay(fs):
    source = series(fs=fs, frequency=0.2)
    source = source[(source.index < 30) | (source.index > 31)]
    out = resample_signal(source)
    inside = (out.index > 30.001) & (out.index < 30.999)
    assert out[inside].isna().all()
    assert out[~((out.index > 29.9) & (out.index < 31.1))].notna().all()


def test_regular_slow_sampling_is_no_gap():
    assert resample_signal(series(fs=8.0, frequency=0.1)).notna().all()


def test_nothing_valid_gives_nothing_valid():
    source = series() * np.nan
    out = resample_signal(source)
    assert len(out) == len(source) - 1
    assert out.isna().all()


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1.0], "1 samples; at least 2"),
        ([0.0, 2.0, 1.0], "sample times do not increase at 1 of 2 steps .* -1 s"),
        ([0.0, np.nan, 1.0], "1 of 3 sample times are not finite"),
    ],
)
def test_unusable_times_are_named(times, message):
    with pytest.raises(MalformedFileError, match=f"VTA: {message}"):
        resample_signal(pd.Series(np.ones(len(times)), index=times, name="VTA"))
