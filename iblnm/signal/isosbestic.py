"""Isosbestic correction: regression of the signal on the reference band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from iblnm.config import SignalSettings
from iblnm.signal.checks import as_arrays, pair_by_time

METHOD_VERSION = 1
_HUBER_K = 1.345
_MAD_TO_SD = 1.4826
_MAX_ROBUST_SAMPLES = 8192
_MAX_ROBUST_STEPS = 50
_ROBUST_TOLERANCE = 1e-8


@dataclass(frozen=True)
class IsosbesticFit:
    """Regression of a signal on its reference.

    Parameters
    ----------
    slope, intercept : float
        Ordinary least squares.
    r2 : float
        Explained fraction of the signal's variance.
    slope_robust : float
        Huber estimate of the slope; a large distance from `slope` tells of artifacts.
    """

    slope: float
    intercept: float
    r2: float
    slope_robust: float


def regress_isosbestic(signal: np.ndarray, reference: np.ndarray) -> IsosbesticFit:
    """Regress a signal on a reference sampled at the same times.

    Parameters
    ----------
    signal, reference : ndarray (n,)
        Pairs with a NaN are left out.

    Returns
    -------
    IsosbesticFit
        All NaN with fewer than 3 pairs or a constant reference.

    Notes
    -----
    The robust slope is an M-estimate with Huber's weights (k = 1.345, scale from the median
    absolute residual) by iterated reweighting, on at most 8192 evenly spaced pairs.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 101)
    >>> fit = regress_isosbestic(2 * x + 1, x)
    >>> round(fit.slope, 6), round(fit.intercept, 6), round(fit.r2, 6), round(fit.slope_robust, 6)
    (2.0, 1.0, 1.0, 2.0)
    """
    signal, reference = np.asarray(signal, dtype=float), np.asarray(reference, dtype=float)
    valid = np.isfinite(signal) & np.isfinite(reference)
    if not valid.all():
        signal, reference = signal[valid], reference[valid]
    if len(signal) < 3:
        return IsosbesticFit(np.nan, np.nan, np.nan, np.nan)
    mean_x, mean_y = reference.mean(), signal.mean()
    x, y = reference - mean_x, signal - mean_y
    xx, xy, yy = float(x @ x), float(x @ y), float(y @ y)
    rounding = (len(x) * np.finfo(float).eps) ** 2 * len(x)
    if xx <= rounding * mean_x**2:
        return IsosbesticFit(np.nan, np.nan, np.nan, np.nan)
    slope = xy / xx
    r2 = xy**2 / (xx * yy) if yy > rounding * mean_y**2 else np.nan
    every = -(-len(x) // _MAX_ROBUST_SAMPLES)
    robust = _huber_slope(x[::every], y[::every], slope)
    return IsosbesticFit(slope, float(mean_y - slope * mean_x), r2, robust)


def compute_iso_correlation(
    signal: pd.Series | np.ndarray,
    reference: pd.Series | np.ndarray,
    regression_method: str = "mse",
) -> float:
    """r² of the regression of a signal on its reference, of whatever the two are.

    Parameters
    ----------
    signal, reference : Series or ndarray
        Series are paired by time (the reference is interpolated to the signal's times),
        arrays by position.
    regression_method : {'mse'}
        Ordinary least squares.

    Returns
    -------
    float
        Between 0 and 1; NaN if not defined.
    """
    if regression_method != "mse":
        raise ValueError(f"regression_method {regression_method!r} is not known; use 'mse'")
    if isinstance(signal, pd.Series) and isinstance(reference, pd.Series):
        times, signal = as_arrays(signal)
        reference = pair_by_time(times, *as_arrays(reference), SignalSettings().max_gap_s)
    return regress_isosbestic(signal, reference).r2


def _huber_slope(x: np.ndarray, y: np.ndarray, slope: float) -> float:
    """Slope of a line by iteratively reweighted least squares."""
    intercept = float(np.mean(y) - slope * np.mean(x))
    for _ in range(_MAX_ROBUST_STEPS):
        residual = np.abs(y - slope * x - intercept)
        limit = _HUBER_K * _MAD_TO_SD * float(np.median(residual))
        if limit <= 0:
            break
        weights = limit / np.maximum(residual, limit)
        total = weights.sum()
        mean_x, mean_y = weights @ x / total, weights @ y / total
        centered = weights * (x - mean_x)
        new = float(centered @ y / (centered @ (x - mean_x)))
        change, slope, intercept = abs(new - slope), new, float(mean_y - new * mean_x)
        if change <= _ROBUST_TOLERANCE * max(abs(slope), 1.0):
            break
    return slope
