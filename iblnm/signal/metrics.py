"""The quality metrics: columns, bounds, labels and documentation follow from `METRICS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from iblnm.constants import REFERENCE_BAND, SIGNAL_BAND
from iblnm.signal.windows import StackedWindows

if TYPE_CHECKING:
    from iblnm.config import Settings, SignalSettings

METHOD_VERSION = 1
Source = Literal["frames", "signal", "windows"]


@dataclass(frozen=True)
class RawFrames:
    """Interleaved raw frames after the first.

    Parameters
    ----------
    intervals : ndarray (n_frames - 1,)
        Time from each frame to the next, s.
    median_interval : float
        s.
    led : ndarray of int (n_frames,)
        LED of each frame; regular gaps are filled.
    tolerance_s : float
        Differences from the median interval up to this are no fault.
    """

    intervals: np.ndarray
    median_interval: float
    led: np.ndarray
    tolerance_s: float


@dataclass(frozen=True)
class BandSignal:
    """The signal of one recording in one band.

    Parameters
    ----------
    name, band : str
    times, values : ndarray (n,)
        Session clock, s; NaN where a sample is not valid.
    windows : mapping of str to ndarray (n_windows,)
        Values of the metrics of windows.
    changes : mapping of str to DataFrame
        dF/F of signal and reference, all recordings; empty without reference.
    settings : SignalSettings
    """

    name: str
    band: str
    times: np.ndarray
    values: np.ndarray
    windows: Mapping[str, np.ndarray]
    changes: Mapping[str, Any]
    settings: SignalSettings


@dataclass(frozen=True)
class Metric:
    """One quality metric.

    Parameters
    ----------
    name : str
        Name, and column of the tables.
    unit : str
        Empty for a pure number.
    description : str
        One sentence.
    function : callable
        Of ``frames``: `RawFrames` to a number, the same for all recordings of a session. Of a
        ``signal``: `BandSignal` to a number, or to a number and the reason why it is missing.
        Of ``windows``: `StackedWindows` to one number per window; their mean is the metric.
        NaN where the metric is not defined.
    source : {'frames', 'signal', 'windows'}
        What the function takes.
    bounds : tuple of float or None
        Smallest and largest value that is possible.
    label : str
        What the numbers are, on the axis of a figure; the unit by default.
    bands : tuple of str, optional
        Bands in which it is defined; all by default.
    is_positive : bool
        Zero is impossible, and a wide range is drawn on a logarithmic axis.
    limit : callable, optional
        From settings to the value that a figure marks.
    in_overview : bool
        Drawn in the overview of quality, unless the settings name the metrics.
    """

    name: str
    unit: str
    description: str
    function: Callable[[Any], Any]
    source: Source = "windows"
    bounds: tuple[float | None, float | None] = (None, None)
    label: str = ""
    bands: tuple[str, ...] | None = None
    is_positive: bool = False
    limit: Callable[[Settings], float] | None = field(default=None, compare=False)
    in_overview: bool = True

    def of_windows(self, windows: StackedWindows) -> np.ndarray:
        """One value per window; NaN for a window with a missing sample."""
        return np.where(windows.usable, self.function(windows), np.nan)

    def of_signal(self, signal: BandSignal) -> tuple[float, str]:
        """The value, and why it is missing."""
        if self.bands is not None and signal.band not in self.bands:
            return np.nan, ""
        found = self.function(signal)
        value, note = found if isinstance(found, tuple) else (found, "")
        return float(value), note


def metrics(source: Source | None = None) -> tuple[Metric, ...]:
    """The declared metrics in the order of their columns, those of one source or all."""
    return tuple(metric for metric in METRICS if source in (None, metric.source))


def n_band_inversions(frames: RawFrames) -> int:
    """Consecutive frames of the same LED."""
    return int((frames.led[1:] == frames.led[:-1]).sum())


def n_early_samples(frames: RawFrames) -> int:
    """Frames that came earlier than the median interval by more than the tolerance."""
    return int((frames.median_interval - frames.intervals > frames.tolerance_s).sum())


def n_late_samples(frames: RawFrames) -> int:
    """Frames that came later than the median interval by more than the tolerance."""
    return int((frames.intervals - frames.median_interval > frames.tolerance_s).sum())


def lost_frame_fraction(frames: RawFrames) -> float:
    """Share of the frames for which late intervals have room."""
    intervals, median = frames.intervals, frames.median_interval
    late = intervals[intervals - median > frames.tolerance_s]
    n_lost = float(np.rint(late / median - 1.0).sum()) if median > 0 else 0.0
    return n_lost / (len(intervals) + 1 + n_lost)


def missing_fraction(signal: BandSignal) -> float:
    """Share of the samples at the band's rate that are not there or not valid."""
    from iblnm.signal.checks import sampling_interval

    steps = np.diff(signal.times) / sampling_interval(signal.times)
    n_lost = float(np.rint(steps[steps > 1.5] - 1.0).sum())
    n_invalid = float((~np.isfinite(signal.values)).sum())
    return (n_lost + n_invalid) / (len(signal.values) + n_lost)


def window_share(signal: BandSignal) -> float:
    """Share of the windows that could be measured."""
    if not signal.windows:
        return np.nan
    return float(np.isfinite(list(signal.windows.values())).any(axis=0).mean())


def unique_fraction(values: np.ndarray) -> float:
    """Unique values per valid sample; NaN without valid samples.

    Examples
    --------
    >>> import numpy as np
    >>> unique_fraction(np.array([1.0, 1.0, 2.0, np.nan, 3.0]))
    0.75
    """
    valid = values[np.isfinite(values)]
    if not len(valid):
        return np.nan
    ordered = np.sort(valid)
    return (int((ordered[1:] != ordered[:-1]).sum()) + 1) / len(valid)


def bleaching_tau(signal: BandSignal) -> tuple[float, str]:
    """Time constant of the exponential through the signal, s."""
    from iblnm.signal.bleaching import fit_bleaching

    longest = signal.settings.max_tau_durations
    fit = fit_bleaching(signal.times, signal.values, max_tau_durations=longest)
    return fit.tau_s, fit.note


def iso_correlation(signal: BandSignal) -> tuple[float, str]:
    """R² of the regression of dF/F on that of the reference, paired by time."""
    from iblnm.signal.checks import pair_by_time
    from iblnm.signal.isosbestic import regress_isosbestic

    changes, name = signal.changes, signal.name
    if not changes or name not in changes[REFERENCE_BAND]:
        return np.nan, "iso_correlation: no isosbestic band"
    own, reference = changes[SIGNAL_BAND][name], changes[REFERENCE_BAND][name]
    paired = pair_by_time(
        own.index.to_numpy(),
        reference.index.to_numpy(),
        reference.to_numpy(),
        signal.settings.max_gap_s,
    )
    r2 = regress_isosbestic(own.to_numpy(), paired).r2
    return r2, "" if np.isfinite(r2) else "iso_correlation: the bands do not vary together"


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
    neighboring samples costs no accuracy; the sums are those of lag 0, 1 and 2 without
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


METRICS: tuple[Metric, ...] = (
    Metric(
        "n_unique_samples",
        "",
        "Fraction of unique raw values",
        lambda signal: unique_fraction(signal.values),
        "signal",
        (0, 1),
        label="fraction",
        limit=lambda settings: settings.thresholds.min_unique_fraction,
    ),
    Metric(
        "n_band_inversions",
        "",
        "Consecutive frames of the same LED",
        n_band_inversions,
        "frames",
        (0, None),
        label="frames",
        in_overview=False,
    ),
    Metric(
        "n_early_samples",
        "",
        "Frames earlier than the median interval",
        n_early_samples,
        "frames",
        (0, None),
        label="frames",
        in_overview=False,
    ),
    Metric(
        "n_late_samples",
        "",
        "Frames later than the median interval",
        n_late_samples,
        "frames",
        (0, None),
        label="frames",
        in_overview=False,
    ),
    Metric(
        "lost_frame_fraction",
        "",
        "Frames lost, by late intervals",
        lost_frame_fraction,
        "frames",
        (0, 1),
        label="fraction",
        in_overview=False,
    ),
    Metric(
        "missing_fraction",
        "",
        "Fraction of samples missing",
        missing_fraction,
        "signal",
        (0, 1),
        label="fraction",
        in_overview=False,
    ),
    Metric(
        "ar_score",
        "",
        "R² of an AR(2) fit, mean over windows",
        ar_score,
        bounds=(None, 1),
        label="R²",
    ),
    Metric(
        "median_absolute_deviance",
        "a.u.",
        "MAD of the detrended signal",
        median_absolute_deviance,
        bounds=(0, None),
        is_positive=True,
    ),
    Metric(
        "percentile_asymmetry",
        "",
        "|P75−P50| / |P50−P25|, mean over windows",
        percentile_asymmetry,
        bounds=(0, None),
        label="ratio",
        is_positive=True,
    ),
    Metric(
        "percentile_distance",
        "z",
        "P95−P50, mean over windows",
        percentile_distance,
        bounds=(0, None),
    ),
    Metric(
        "window_share",
        "",
        "Share of the windows that were measured",
        window_share,
        "signal",
        (0, 1),
        label="fraction",
        in_overview=False,
    ),
    Metric(
        "bleaching_tau",
        "s",
        "Time constant of bleaching (GCaMP)",
        bleaching_tau,
        "signal",
        (0, None),
        bands=(SIGNAL_BAND,),
        is_positive=True,
    ),
    Metric(
        "iso_correlation",
        "",
        "R² of GCaMP on isosbestic (GCaMP)",
        iso_correlation,
        "signal",
        (None, 1),
        label="R²",
        bands=(SIGNAL_BAND,),
    ),
)
