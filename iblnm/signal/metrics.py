"""Registry of the sliding quality metrics: tables and documentation are generated from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from iblnm.signal.windows import StackedWindows


@dataclass(frozen=True)
class SlidingMetric:
    """A quality metric of a detrended window.

    Parameters
    ----------
    name : str
        Name, and column of the tables.
    unit : str
        Empty for a pure number.
    description : str
        One sentence.
    function : callable
        `StackedWindows` to one float per window; NaN where the metric is not defined.
    """

    name: str
    unit: str
    description: str
    function: Callable[[StackedWindows], np.ndarray]

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    def __call__(self, windows: StackedWindows) -> np.ndarray:
        return np.where(windows.usable, self.function(windows), np.nan)


def median_absolute_deviance(windows: StackedWindows) -> np.ndarray:
    """median|x − median(x)|, in units of the signal; 0 for a straight line."""
    return np.where(windows.flat, 0.0, windows.median_absolute_deviation)


def percentile_distance(windows: StackedWindows) -> np.ndarray:
    """P95 − P50 of the z-scored window; NaN for a straight line."""
    return _ratio(windows.percentile(95) - windows.percentile(50), windows.sd, windows.flat)


def percentile_asymmetry(windows: StackedWindows) -> np.ndarray:
    """|P75 − P50| / |P50 − P25|; NaN where the lower distance is zero."""
    median = windows.percentile(50)
    upper = np.abs(windows.percentile(75) - median)
    lower = np.abs(median - windows.percentile(25))
    return _ratio(upper, lower, windows.flat | (lower == 0))


def ar_score(windows: StackedWindows) -> np.ndarray:
    """1 − RSS/TSS of x[t] on x[t−1] and x[t−2] without intercept, TSS about the mean.

    The second regressor is made orthogonal to the first, so that the strong correlation of
    neighbouring samples costs no accuracy; the sums are those of lag 0, 1 and 2 without
    the samples at the ends. In a window that lacks samples only x[t] that follow two others
    at once are used.
    """
    x, n = windows.values, windows.n_samples
    if n < 5:
        return np.full(len(x), np.nan)
    if windows.follows is not None:
        return _ar_score_of_triples(windows)
    lag0, lag1, lag2 = (windows.lagged_product(lag) for lag in range(3))
    first, second, before_last, last = x[:, 0], x[:, 1], x[:, -2], x[:, -1]
    yy = lag0 - first**2 - second**2
    aa = lag0 - first**2 - last**2
    bb = lag0 - before_last**2 - last**2
    ya = lag1 - first * second
    ab = lag1 - before_last * last
    total = yy - (n * windows.mean - first - second) ** 2 / (n - 2)
    undefined = windows.flat | (aa <= 0) | (total <= 0)
    projection = _ratio(ab, aa, undefined)
    bb_rest = bb - projection * ab
    yb_rest = lag2 - projection * ya
    undefined |= bb_rest <= 0
    explained = _ratio(ya**2, aa, undefined) + _ratio(yb_rest**2, bb_rest, undefined)
    return 1.0 - _ratio(yy - explained, total, undefined)


def _ar_score_of_triples(windows: StackedWindows) -> np.ndarray:
    third = windows.follows[2:] & windows.follows[1:-1]
    score = np.full(len(windows.values), np.nan)
    for i, x in enumerate(windows.values):
        y, lagged = x[2:][third], np.stack([x[1:-1][third], x[:-2][third]], axis=1)
        if len(y) < 3 or windows.flat[i]:
            continue
        rest = y - lagged @ np.linalg.lstsq(lagged, y, rcond=None)[0]
        total = float(((y - y.mean()) ** 2).sum())
        if total > 0:
            score[i] = 1.0 - float(rest @ rest) / total
    return score


def _ratio(numerator: np.ndarray, denominator: np.ndarray, undefined: np.ndarray) -> np.ndarray:
    out = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=out, where=~undefined)


SLIDING_METRICS = (
    SlidingMetric("ar_score", "", "R² of an AR(2) fit", ar_score),
    SlidingMetric(
        "median_absolute_deviance",
        "a.u.",
        "Median absolute distance from the median",
        median_absolute_deviance,
    ),
    SlidingMetric("percentile_asymmetry", "", "|P75 − P50| / |P50 − P25|", percentile_asymmetry),
    SlidingMetric(
        "percentile_distance", "z", "P95 − P50 of the z-scored window", percentile_distance
    ),
)
