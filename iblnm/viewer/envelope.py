"""Minimum and maximum of a signal per pixel: no peak is lost however far one zooms out."""

from __future__ import annotations

import numpy as np


def envelope(
    times: np.ndarray, values: np.ndarray, start: float, stop: float, n_bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value in each of equal bins of time.

    Parameters
    ----------
    times, values : ndarray (n,)
        Increasing times; NaN are missing samples.
    start, stop : float
        Start of the first and end of the last bin, in the unit of `times`.
    n_bins : int

    Returns
    -------
    low, high : ndarray (n_bins,)
        NaN where a bin has no valid sample.

    Examples
    --------
    >>> low, high = envelope(np.arange(6.0), np.array([0, 5, 1, 1, np.nan, 7.0]), 0, 6, 3)
    >>> low.tolist(), high.tolist()
    ([0.0, 1.0, 7.0], [5.0, 1.0, 7.0])
    """
    edges = np.linspace(start, stop, n_bins + 1)
    at = np.searchsorted(times, edges)
    low, high = np.full(n_bins, np.nan), np.full(n_bins, np.nan)
    filled = np.flatnonzero(at[1:] > at[:-1])
    if filled.size:
        # the runs of filled bins follow each other without a gap
        part, first = values[at[0] : at[-1]], at[filled] - at[0]
        low[filled] = np.fmin.reduceat(part, first)
        high[filled] = np.fmax.reduceat(part, first)
    return low, high


def runs(marks: np.ndarray, times: np.ndarray) -> list[list[float]]:
    """First and last time of every stretch of marked samples.

    Parameters
    ----------
    marks : ndarray of bool (n,)
    times : ndarray (n,)

    Examples
    --------
    >>> runs(np.array([1, 1, 0, 1], dtype=bool), np.array([0.0, 0.5, 1.0, 1.5]))
    [[0.0, 0.5], [1.5, 1.5]]
    """
    edges = np.flatnonzero(np.diff(marks.astype(np.int8), prepend=0, append=0))
    first, last = edges[::2], edges[1::2] - 1
    return [[float(a), float(b)] for a, b in zip(times[first], times[last], strict=True)]
