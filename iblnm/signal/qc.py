"""Quality metrics of raw frames and of the signal in sliding windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from iblnm.config import SignalSettings
from iblnm.constants import MIN_WINDOW_COVERAGE, REFERENCE_BAND, SIGNAL_BAND
from iblnm.errors import MalformedFileError
from iblnm.signal import metrics as registry
from iblnm.signal.bleaching import lowpass_baseline
from iblnm.signal.checks import check_times, sampling_interval
from iblnm.signal.metrics import BandSignal, Metric, RawFrames
from iblnm.signal.windows import StackedWindows, stack_windows, window_starts

METHOD_VERSION = 1


# A larger share of frames without LED is a pattern of the excitation, not a loss.
_MAX_GAP_SHARE = 0.1
_REGULAR_TIMING = 0.1


def raw_frame_metrics(
    times: np.ndarray,
    led: np.ndarray,
    *,
    tolerance_s: float,
) -> dict[str, float | int]:
    """Timing and excitation order of interleaved raw frames.

    The first frame (all LEDs on) is left out. Frames without LED among LED frames are
    bridged where their timing is regular: each gets the LED that follows its predecessor
    in the excitation pattern. Where frames without LED are more than a tenth of all, they
    are part of the pattern (recordings without isosbestic) and a state of their own.

    Parameters
    ----------
    times : ndarray (n,)
        Frame times, s; NaN where missing: the intervals beside it are not judged.
    led : ndarray of int (n,)
        LED of each frame, ``state & 7``; 0 without LED.
    tolerance_s : float
        A frame is early if its interval is shorter than the median by more than this.

    Returns
    -------
    dict
        The metrics of raw frames, n_frames (after the first), n_bridged, median_interval_s.

    Raises
    ------
    MalformedFileError
        If there are fewer than 3 frames, or no two times in a row, or times run backwards.

    Examples
    --------
    >>> import numpy as np
    >>> led = np.array([7, 2, 1, 2, 1, 2, 0, 2, 1, 2, 1, 1, 2, 1, 2])
    >>> m = raw_frame_metrics(np.arange(15) / 60, led, tolerance_s=0.001)
    >>> m["n_bridged"], m["n_band_inversions"], m["n_early_samples"]
    (1, 1, 0)
    """
    times, led = np.asarray(times, dtype=float), np.asarray(led)
    if times.shape != led.shape or times.ndim != 1:
        raise MalformedFileError(
            f"raw frames: {times.shape} times and {led.shape} LED states; they must be as many"
        )
    if len(times) < 3:
        raise MalformedFileError(f"raw frames: {len(times)} frames; at least 3 are needed")
    times, led = times[1:], led[1:].astype(np.int64)
    intervals = np.diff(times)
    if not np.isfinite(intervals).any():
        n_bad = int((~np.isfinite(times)).sum())
        raise MalformedFileError(f"raw frames: {n_bad} of {len(times)} times are not finite")
    median = float(np.nanmedian(intervals))
    if median < 0:
        raise MalformedFileError(
            f"raw frames: the median interval is {median:.4g} s; frame times must increase"
        )
    bridged, n_bridged = _bridge(intervals, led, median)
    frames = RawFrames(intervals, median, bridged, tolerance_s)
    return {
        **{metric.name: metric.function(frames) for metric in registry.metrics("frames")},
        "n_frames": len(times),
        "n_bridged": n_bridged,
        "median_interval_s": median,
    }


def sliding_metrics(
    times: np.ndarray,
    values: np.ndarray,
    *,
    window_s: float = 120.0,
    step_s: float = 60.0,
    min_coverage: float = MIN_WINDOW_COVERAGE,
    metrics: Sequence[Metric] | None = None,
) -> pd.DataFrame:
    """Quality metrics of a signal in sliding, linearly detrended windows.

    Same windows and values as `iblphotometry.qc.qc_signals` with ``detrend=True`` (and
    ``pc_comp=75`` for the asymmetry), but each window is cut and detrended once, and every
    metric is computed on all windows together.

    Parameters
    ----------
    times : ndarray (n,)
        Increasing times, s.
    values : ndarray (n,)
        Signal.
    window_s, step_s : float
        Length and spacing of the windows, s. A recording shorter than one window gives a
        single window over the whole.
    min_coverage : float
        Share of its samples that a window needs; it is measured on those that it has.
    metrics : sequence of Metric, optional
        Of windows; all of them by default.

    Returns
    -------
    DataFrame
        One row per window: `window` (its center, s) and one column per metric; NaN for a
        window that lacks too many samples, or where a metric is not defined.

    Raises
    ------
    MalformedFileError
        If times do not increase.
    """
    times = check_times(times, "signal")
    metrics = registry.metrics("windows") if metrics is None else metrics
    values = np.asarray(values, dtype=float)[:, None]
    table = _sliding(times, values, window_s, step_s, min_coverage, metrics)
    centers = window_starts(times, window_s, step_s) + 0.5 * window_s
    if times[-1] - times[0] <= window_s:
        centers[:] = 0.5 * (times[0] + times[-1])
    return pd.DataFrame({"window": centers, **{m.name: table[m.name][0] for m in metrics}})


def qc_table(
    bands: dict[str, pd.DataFrame],
    *,
    eid: str,
    fiber_idx: dict[str, int],
    raw: dict[str, float | int] | None = None,
    settings: SignalSettings | None = None,
) -> pd.DataFrame:
    """Quality of a session: one row per recording and band.

    Parameters
    ----------
    bands : dict of DataFrame
        Index times (s), one column per recording, invalid samples NaN.
    eid : str
        Session.
    fiber_idx : dict of str to int
        Index of the fiber of each recording.
    raw : dict, optional
        Result of `raw_frame_metrics`, repeated on each row; null without it.
    settings : SignalSettings, optional

    Returns
    -------
    DataFrame
        eid, brain_region, band, fiber_idx, one column per metric of
        `iblnm.signal.metrics.METRICS` (null where it is not defined), note.

    Raises
    ------
    MalformedFileError
        If the times of a band do not increase.
    """
    settings = settings or SignalSettings()
    rows = []
    changes = _bleach_corrected(bands, settings)
    for band, frame in bands.items():
        times = check_times(frame.index.to_numpy(), f"band {band}")
        values = frame.to_numpy(dtype=float)
        sliding = _sliding(
            times,
            values,
            settings.qc_window_s,
            settings.qc_step_s,
            settings.qc_min_coverage,
            registry.metrics("windows"),
        )
        for i, name in enumerate(frame.columns):
            windows = {metric: per_window[i] for metric, per_window in sliding.items()}
            signal = BandSignal(name, band, times, values[:, i], windows, changes, settings)
            measured, note = _measure(signal, raw or {})
            key = {"eid": eid, "brain_region": name, "band": band, "fiber_idx": fiber_idx[name]}
            rows.append({**key, **measured, "note": note})
    return pd.DataFrame(rows)


def preprocessing_metrics(
    bands: dict[str, pd.DataFrame],
    *,
    eid: str,
    fiber_idx: dict[str, int],
    settings: SignalSettings,
) -> pd.DataFrame:
    """The metrics of what preprocessing corrects: bleaching and the part that bands share.

    Parameters
    ----------
    bands, eid, fiber_idx, settings
        As for `qc_table`, whose values these are.

    Returns
    -------
    DataFrame
        One row per recording of the signal band: eid, brain_region, band, fiber_idx and one
        column per metric that is defined for certain bands only.
    """
    frame = bands[SIGNAL_BAND]
    changes = _bleach_corrected(bands, settings)
    wanted = [metric for metric in registry.metrics() if metric.bands]
    rows = []
    for name in frame.columns:
        values = frame[name].to_numpy(dtype=float)
        times = frame.index.to_numpy()
        signal = BandSignal(name, SIGNAL_BAND, times, values, {}, changes, settings)
        key = {"eid": eid, "brain_region": name, "band": SIGNAL_BAND, "fiber_idx": fiber_idx[name]}
        rows.append({**key, **{metric.name: metric.of_signal(signal)[0] for metric in wanted}})
    return pd.DataFrame(rows)


def _measure(signal: BandSignal, raw: dict[str, float | int]) -> tuple[dict[str, float], str]:
    """Every metric of a recording in one band, and what is missing."""
    measured, notes = {}, _unusable_windows(signal.windows)
    for metric in registry.metrics():
        if metric.source == "frames":
            measured[metric.name] = float(raw.get(metric.name, np.nan))
        elif metric.source == "windows":
            per_window = signal.windows[metric.name]
            defined = per_window[np.isfinite(per_window)]
            measured[metric.name] = float(defined.mean()) if len(defined) else np.nan
        else:
            measured[metric.name], note = metric.of_signal(signal)
            notes.append(note)
    return measured, "; ".join(note for note in notes if note)


def _unusable_windows(windows: Mapping[str, np.ndarray]) -> list[str]:
    """How many windows lack a value, for which metrics."""
    lacking: dict[int, list[str]] = {}
    for name, per_window in windows.items():
        lacking.setdefault(int((~np.isfinite(per_window)).sum()), []).append(name)
    return [
        f"{count} of {len(windows[names[0]])} windows unusable for "
        f"{'all metrics' if len(names) == len(windows) else ', '.join(names)}"
        for count, names in sorted(lacking.items())
        if count
    ]


def _bridge(intervals: np.ndarray, led: np.ndarray, median: float) -> tuple[np.ndarray, int]:
    """LED of each frame after filling regular gaps, and the number of frames filled."""
    dark = led == 0
    n_dark = int(dark.sum())
    if n_dark == 0 or n_dark > _MAX_GAP_SHARE * len(led):
        return led, 0
    lit = ~dark
    follows, precedes = _pattern(led[:-1][lit[:-1] & lit[1:]], led[1:][lit[:-1] & lit[1:]])
    filled, n_filled = led.copy(), 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], dark, [False]]).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2):
        around = intervals[max(start - 1, 0) : stop]
        around = around[np.isfinite(around)]
        if not len(around) or abs(around.mean() - median) > _REGULAR_TIMING * median:
            continue
        if start > 0:
            for i in range(start, stop):
                filled[i] = follows.get(int(filled[i - 1]), 0)
        else:
            for i in range(stop - 1, -1, -1):
                filled[i] = precedes.get(int(filled[i + 1]), 0)
        n_filled += int((filled[start:stop] != 0).sum())
    return filled, n_filled


def _pattern(before: np.ndarray, after: np.ndarray) -> tuple[dict[int, int], dict[int, int]]:
    """The usual successor and predecessor of each LED."""
    size = int(max(before.max(initial=0), after.max(initial=0))) + 1
    counts = np.bincount(before * size + after, minlength=size * size).reshape(size, size)
    leds = np.flatnonzero(counts.sum(axis=1) + counts.sum(axis=0))
    return (
        {int(i): int(counts[i].argmax()) for i in leds},
        {int(i): int(counts[:, i].argmax()) for i in leds},
    )


def _sliding(
    times: np.ndarray,
    values: np.ndarray,
    window_s: float,
    step_s: float,
    min_coverage: float,
    metrics: Sequence[Metric],
) -> dict[str, np.ndarray]:
    """Each metric as (n_columns, n_windows)."""
    n_columns = values.shape[1]
    starts = window_starts(times, window_s, step_s)
    out = {metric.name: np.full((n_columns, len(starts)), np.nan) for metric in metrics}
    for index, windows in stack_windows(times, values, window_s, step_s):
        for metric in metrics:
            out[metric.name][:, index] = metric.of_windows(windows).reshape(n_columns, len(index))
    _measure_incomplete(out, times, values, starts, window_s, min_coverage, metrics)
    return out


def _measure_incomplete(
    out: dict[str, np.ndarray],
    times: np.ndarray,
    values: np.ndarray,
    starts: np.ndarray,
    window_s: float,
    min_coverage: float,
    metrics: Sequence[Metric],
) -> None:
    """Windows that lack samples: measured on those they have, NaN if they are too few."""
    valid = np.isfinite(values)
    if len(times) < 2:
        return
    step = sampling_interval(times)
    broken = np.diff(times) > 1.5 * step
    if valid.all() and not broken.any():
        return
    stops = starts + window_s
    if len(starts) == 1 and times[-1] - times[0] <= window_s:
        stops[:] = times[-1] + step
    for k, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        first, last = np.searchsorted(times, (start, stop), side="left")
        inside = slice(int(first), int(last))
        n_expected = max(round((stop - start) / step), 1)
        for column in range(values.shape[1]):
            own = valid[inside, column]
            is_enough = int(own.sum()) >= max(min_coverage * n_expected, 5)
            if own.all() and (is_enough or not broken[first : max(last - 1, first)].any()):
                continue
            window = None
            if is_enough:
                when = times[inside][own]
                window = StackedWindows(
                    when[None],
                    values[inside, column][own][None],
                    follows=np.insert(np.diff(when) <= 1.5 * step, 0, False),
                )
            for metric in metrics:
                out[metric.name][column, k] = metric.of_windows(window)[0] if window else np.nan


def _bleach_corrected(
    bands: dict[str, pd.DataFrame], settings: SignalSettings
) -> dict[str, pd.DataFrame]:
    """dF/F of signal and reference; empty where there is no reference."""
    if not {SIGNAL_BAND, REFERENCE_BAND} <= bands.keys():
        return {}
    changes = {}
    for band in (SIGNAL_BAND, REFERENCE_BAND):
        frame = bands[band]
        times = check_times(frame.index.to_numpy(), f"band {band}")
        values = frame.to_numpy(dtype=float)
        baseline = lowpass_baseline(
            times, values, order=settings.lowpass_order, cutoff_hz=settings.lowpass_hz
        )
        baseline = np.where(baseline > 0, baseline, np.nan)
        changes[band] = pd.DataFrame(
            (values - baseline) / baseline, index=frame.index, columns=frame.columns
        )
    return changes
