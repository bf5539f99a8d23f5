"""Checks of arrays that every step of the signal processing starts with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from iblnm.errors import MalformedFileError

if TYPE_CHECKING:
    import pandas as pd


def check_times(times: np.ndarray, what: str, *, min_samples: int = 2) -> np.ndarray:
    """Sample times as finite, strictly increasing float64.

    Parameters
    ----------
    times : array-like (n,)
        s.
    what : str
        Name of the signal, for the message.
    min_samples : int

    Returns
    -------
    ndarray (n,)

    Raises
    ------
    MalformedFileError
        With the value found and the limit.
    """
    times = np.asarray(times, dtype=float)
    if times.ndim != 1 or len(times) < min_samples:
        raise MalformedFileError(
            f"{what}: {times.size} samples; at least {min_samples} in one dimension are needed"
        )
    if not np.isfinite(times).all():
        n_bad = int((~np.isfinite(times)).sum())
        raise MalformedFileError(
            f"{what}: {n_bad} of {len(times)} sample times are not finite; 0 are allowed"
        )
    steps = np.diff(times)
    if not (steps > 0).all():
        n_bad, at = int((steps <= 0).sum()), int(np.argmax(steps <= 0))
        raise MalformedFileError(
            f"{what}: sample times do not increase at {n_bad} of {len(steps)} steps "
            f"(first after sample {at}: {steps[at]:.6g} s); every step must be above 0 s"
        )
    return times


def check_values(values: np.ndarray, times: np.ndarray, what: str) -> np.ndarray:
    """Values as float64, not all missing and not all equal; infinite ones become NaN.

    Raises
    ------
    MalformedFileError
        With the value found and the limit.
    """
    values = np.asarray(values, dtype=float)
    if values.shape != times.shape:
        raise MalformedFileError(
            f"{what}: {values.shape} values for {times.shape} times; they must be as many"
        )
    finite = np.isfinite(values)
    if not finite.any():
        raise MalformedFileError(
            f"{what}: 0 of {len(values)} samples are valid; at least 2 are needed"
        )
    low, high = values[finite].min(), values[finite].max()
    if low == high:
        raise MalformedFileError(
            f"{what}: all {int(finite.sum())} valid samples equal {low:.6g} (range 0); "
            "the range must be above 0"
        )
    return values if finite.all() else np.where(finite, values, np.nan)


def sampling_interval(times: np.ndarray) -> float:
    """Median interval between samples, s."""
    return float(np.median(np.diff(times)))


def as_arrays(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Index and values of a series as float64 arrays."""
    return series.index.to_numpy(dtype=float), series.to_numpy(dtype=float)


def pair_by_time(
    times: np.ndarray, reference_times: np.ndarray, reference: np.ndarray, max_gap_s: float
) -> np.ndarray:
    """Reference at the times of a signal, linear between valid samples.

    Parameters
    ----------
    times : ndarray (n,)
        Times of the signal, s.
    reference_times, reference : ndarray (m,)
        The reference; NaN samples are not used.
    max_gap_s : float
        NaN is returned between valid samples of the reference that lie further apart, and
        further than this outside its range.

    Returns
    -------
    ndarray (n,)
    """
    valid = np.isfinite(reference)
    if valid.sum() < 2:
        return np.full(len(times), np.nan)
    known = reference_times if valid.all() else reference_times[valid]
    paired = np.interp(times, known, reference if valid.all() else reference[valid])
    limit = gap_limit(reference_times, max_gap_s)
    outside = (times < known[0] - limit) | (times > known[-1] + limit)
    return np.where(outside | inside_gap(times, known, limit), np.nan, paired)


def gap_limit(times: np.ndarray, max_gap_s: float) -> float:
    """Longest interval between valid samples that is no gap, s.

    At low rates a regular interval may exceed `max_gap_s`; half a missing sample more than
    the regular interval is then the limit. The margin absorbs rounding and clock jitter.
    """
    step = sampling_interval(times)
    return max(max_gap_s + 0.1 * step, 1.5 * step)


def inside_gap(times: np.ndarray, known: np.ndarray, limit: float) -> np.ndarray:
    """Which times lie strictly between two known times further apart than the limit."""
    gaps = np.flatnonzero(np.diff(known) > limit)
    inside = np.zeros(len(times), dtype=bool)
    if len(gaps):
        first = np.searchsorted(times, known[gaps], side="right")
        last = np.searchsorted(times, known[gaps + 1], side="left")
        for start, stop in zip(first, last, strict=True):
            inside[start:stop] = True
    return inside
