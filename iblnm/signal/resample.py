"""Resampling to one rate: anti-alias, shape-preserving interpolation, gaps kept."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iblnm.signal.checks import (
    as_arrays,
    check_times,
    gap_limit,
    inside_gap,
    sampling_interval,
)

METHOD_VERSION = 1


# Pass band as a share of the new half rate, stop band attenuation, and the excess of the
# rate over the target below which the clock is merely inaccurate.
_PASS_SHARE = 0.8
_STOP_DB = 80.0
_RATE_TOLERANCE = 0.01


def resample_signal(
    series: pd.Series, target_fs: float = 30.0, *, max_gap_s: float = 0.1
) -> pd.Series:
    """Resample a series to a regular grid from its first time, the last time excluded.

    A series of a higher rate passes a zero-phase low-pass first (linear-phase FIR, Kaiser
    window, flat to 0.8 of the new half rate, −80 dB from it on); a series of a lower rate is
    only interpolated (PCHIP: no overshoot).

    Parameters
    ----------
    series : Series
        Float values, indexed by increasing times, s.
    target_fs : float
        Hz.
    max_gap_s : float
        Grid points between valid samples further apart are NaN; shorter runs of NaN are
        interpolated.

    Returns
    -------
    Series
        Same name, index `times`.

    Raises
    ------
    MalformedFileError
        If times are not finite and increasing, or fewer than 2.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> slow = pd.Series(np.arange(5.0), index=np.arange(5) / 15)
    >>> resample_signal(slow).round(3).tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    """
    from scipy.interpolate import PchipInterpolator

    times, values = as_arrays(series)
    times = check_times(times, str(series.name or "signal"))
    grid = regular_grid(times[0], times[-1], target_fs)
    index = pd.Index(grid, name=series.index.name or "times")
    valid = np.isfinite(values)
    if valid.sum() < 2:
        return pd.Series(np.nan, index=index, name=series.name)
    known, y = (times, values) if valid.all() else (times[valid], values[valid])
    rate = 1.0 / sampling_interval(times)
    if rate > target_fs * (1.0 + _RATE_TOLERANCE):
        y = antialias(known, y, rate, target_fs)
    resampled = PchipInterpolator(known, y, extrapolate=False)(grid)
    resampled[inside_gap(grid, known, gap_limit(times, max_gap_s))] = np.nan
    return pd.Series(resampled, index=index, name=series.name)


def regular_grid(start: float, stop: float, fs: float) -> np.ndarray:
    """Times start + k/fs below stop.

    Examples
    --------
    >>> regular_grid(0.0, 0.1, 30.0).round(4)
    array([0.    , 0.0333, 0.0667])
    """
    # A hair less than the exact count, so that rounding never adds the end itself.
    n = int(np.ceil((stop - start) * fs - 1e-6))
    return start + np.arange(max(n, 1)) / fs


def antialias(times: np.ndarray, values: np.ndarray, rate: float, target_fs: float) -> np.ndarray:
    """Low-pass below half of the target rate, without phase shift.

    Parameters
    ----------
    times, values : ndarray (n,)
        Valid samples; missing ones are bridged linearly for the filter.
    rate, target_fs : float
        Rate of the samples and of the grid to come, Hz.

    Returns
    -------
    ndarray (n,)
    """
    from scipy.signal import firwin, kaiserord, oaconvolve

    stop = 0.5 * target_fs
    n_taps, beta = kaiserord(_STOP_DB, (1.0 - _PASS_SHARE) * stop / (0.5 * rate))
    n_taps |= 1
    taps = firwin(n_taps, 0.5 * (1.0 + _PASS_SHARE) * stop, window=("kaiser", beta), fs=rate)
    step = 1.0 / rate
    regular = len(times) == round((times[-1] - times[0]) / step) + 1
    grid = times if regular else np.arange(times[0], times[-1] + 0.5 * step, step)
    y = values if regular else np.interp(grid, times, values)
    half = n_taps // 2
    if len(y) <= half:
        return values
    before = 2 * y[0] - y[half:0:-1]
    after = 2 * y[-1] - y[-2 : -half - 2 : -1]
    center = float(y.mean())
    padded = np.concatenate([before, y, after]) - center
    smooth = oaconvolve(padded, taps, mode="valid") + center
    return smooth if regular else np.interp(times, grid, smooth)
