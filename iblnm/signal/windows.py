"""Windows of a recording, stacked, so that a metric is computed on all of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np


class StackedWindows:
    """Windows with the same number of samples, each with its linear trend removed.

    What several metrics need (order statistics, mean, standard deviation) is computed
    once, on first use.

    Parameters
    ----------
    times : ndarray (n_rows, n_samples)
        Sample times, s.
    values : ndarray (n_windows, n_samples)
        Raw values; n_windows is a multiple of n_rows, for several columns at the same times.
    follows : ndarray of bool (n_samples,), optional
        Which samples come at once after the one before, in a window that lacks some.

    Attributes
    ----------
    values : ndarray (n_windows, n_samples)
        Detrended values.
    usable : ndarray of bool (n_windows,)
        False where a value is not finite.
    flat : ndarray of bool (n_windows,)
        True where nothing but rounding is left after the trend is removed.
    """

    def __init__(self, times: np.ndarray, values: np.ndarray, follows: np.ndarray | None = None):
        self.follows = follows
        self.usable = np.isfinite(values).all(axis=1)
        if not self.usable.all():
            values = np.where(self.usable[:, None], values, 0.0)
        scale = np.maximum(values.max(axis=1), -values.min(axis=1))
        self.values = _detrend(times, values)
        self.n_samples = values.shape[1]
        # Below this the residuals are the rounding error of the regression, not signal.
        rounding = self.n_samples * np.finfo(float).eps * scale
        self.flat = self.sd <= rounding

    @cached_property
    def mean(self) -> np.ndarray:
        return self.values.mean(axis=1)

    @cached_property
    def sd(self) -> np.ndarray:
        # Detrended values have mean zero up to rounding, so nothing cancels here.
        return np.sqrt(np.maximum(self.lagged_product(0) / self.n_samples - self.mean**2, 0.0))

    @cached_property
    def _ordered(self) -> np.ndarray:
        return np.sort(self.values, axis=1)

    @cached_property
    def _lags(self) -> dict[int, np.ndarray]:
        return {}

    def lagged_product(self, lag: int) -> np.ndarray:
        """Sum of x[t]·x[t + lag] per window."""
        if lag not in self._lags:
            n = self.n_samples
            self._lags[lag] = np.einsum(
                "ij,ij->i", self.values[:, : n - lag], self.values[:, lag:]
            )
        return self._lags[lag]

    def percentile(self, percent: float) -> np.ndarray:
        """Percentile of each window, linear between samples, as `numpy.percentile`."""
        return _quantile_of_sorted(self._ordered, percent)

    @cached_property
    def median_absolute_deviation(self) -> np.ndarray:
        """median|x − median(x)| of each window."""
        deviations = self.values - self.percentile(50)[:, None]
        np.abs(deviations, out=deviations)
        # numpy sorts with vector instructions, which makes a full sort faster than a partition.
        deviations.sort(axis=1)
        return _quantile_of_sorted(deviations, 50)


def window_starts(times: np.ndarray, window_s: float, step_s: float) -> np.ndarray:
    """Start times of the windows: every step while a whole window ends before the last sample.

    A recording shorter than one window gives a single window over the whole.

    Examples
    --------
    >>> import numpy as np
    >>> window_starts(np.arange(0.0, 301.0), 120.0, 60.0)
    array([  0.,  60., 120.])
    >>> window_starts(np.arange(0.0, 50.0), 120.0, 60.0)
    array([0.])
    """
    starts = np.arange(times[0], times[-1] - window_s, step_s)
    return starts if len(starts) else times[:1].copy()


def stack_windows(
    times: np.ndarray, values: np.ndarray, window_s: float, step_s: float
) -> Iterator[tuple[np.ndarray, StackedWindows]]:
    """Cut a recording into windows and stack the complete ones of equal sample count.

    Sample times jitter, so windows of the same duration can differ by a sample; stacking
    by length keeps every window exact, without padding.

    Parameters
    ----------
    times : ndarray (n,)
        Increasing sample times, s.
    values : ndarray (n,) or (n, n_columns)
    window_s, step_s : float
        Length and spacing of the windows, s.

    Yields
    ------
    index : ndarray of int (n_windows,)
        Which windows, in the order of `window_starts`.
    windows : StackedWindows
        Windows of the first column, then of the second, and so on.
    """
    starts = window_starts(times, window_s, step_s)
    first = np.searchsorted(times, starts, side="left")
    last = np.searchsorted(times, starts + window_s, side="left")
    if len(starts) == 1 and times[-1] - times[0] <= window_s:
        last[:] = len(times)
    columns = np.ascontiguousarray(values.reshape(len(times), -1).T)
    lengths = last - first
    for length in np.unique(lengths):
        index = np.flatnonzero(lengths == length)
        if length == 0:
            continue
        window_times = np.lib.stride_tricks.sliding_window_view(times, length)[first[index]]
        window_values = np.concatenate(
            [
                np.lib.stride_tricks.sliding_window_view(column, length)[first[index]]
                for column in columns
            ]
        )
        yield index, StackedWindows(window_times, window_values)


def _detrend(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Residuals of the regression of each row of values on its row of times.

    The rows of times repeat for every column: values have a multiple of their rows.
    """
    x = times - times.mean(axis=1, keepdims=True)
    y = (values - values.mean(axis=1, keepdims=True)).reshape(-1, *times.shape)
    sum_of_squares = np.einsum("ij,ij->i", x, x)
    products = np.einsum("ij,cij->ci", x, y)
    slope = np.divide(
        products, sum_of_squares, out=np.zeros_like(products), where=sum_of_squares > 0
    )
    for column, column_slope in zip(y, slope, strict=True):
        column -= column_slope[:, None] * x
    return y.reshape(values.shape)


def _quantile_of_sorted(ordered: np.ndarray, percent: float) -> np.ndarray:
    position = (ordered.shape[1] - 1) * percent / 100.0
    low = int(np.floor(position))
    high = min(low + 1, ordered.shape[1] - 1)
    weight = position - low
    return ordered[:, low] + (ordered[:, high] - ordered[:, low]) * weight
