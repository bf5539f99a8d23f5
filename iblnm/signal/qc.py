"""Quality metrics of raw frames and of the signal in sliding windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iblnm.config import SignalSettings, Thresholds
from iblnm.errors import MalformedFileError
from iblnm.signal.bleaching import fit_bleaching, lowpass_baseline
from iblnm.signal.checks import check_times, pair_by_time, sampling_interval
from iblnm.signal.isosbestic import regress_isosbestic
from iblnm.signal.metrics import SLIDING_METRICS, SlidingMetric
from iblnm.signal.windows import StackedWindows, stack_windows, window_starts

__all__ = ["SLIDING_METRICS", "qc_table", "raw_frame_metrics", "sliding_metrics"]

SIGNAL_BAND, REFERENCE_BAND = "GCaMP", "Isosbestic"
# A larger share of frames without LED is a pattern of the excitation, not a loss.
_MAX_GAP_SHARE = 0.1
_REGULAR_TIMING = 0.1


def raw_frame_metrics(
    times: np.ndarray,
    led: np.ndarray,
    *,
    tolerance_s: float = Thresholds().early_sample_tolerance_s,
) -> dict[str, float | int]:
    """Timing and excitation order of interleaved raw frames.

    The first frame (all LEDs on) is left out. Frames without LED among LED frames are
    bridged where their timing is regular: each gets the LED that follows its predecessor
    in the excitation pattern. Where frames without LED are more than a tenth of all, they
    are part of the pattern (recordings without isosbestic) and a state of their own.

    Parameters
    ----------
    times : ndarray (n,)
        Frame times, s.
    led : ndarray of int (n,)
        LED of each frame, ``state & 7``; 0 without LED.
    tolerance_s : float
        A frame is early if its interval is shorter than the median by more than this.

    Returns
    -------
    dict
        n_early_samples, n_late_samples (the interval is longer than the median by more than
        the tolerance), lost_frame_fraction (of the frames for which these intervals have
        room), n_band_inversions (consecutive frames of the same
        LED), n_frames (after the first), n_bridged, median_interval_s.

    Raises
    ------
    MalformedFileError
        If there are fewer than 3 frames, or times are missing or run backwards.

    Examples
    --------
    >>> import numpy as np
    >>> led = np.array([7, 2, 1, 2, 1, 2, 0, 2, 1, 2, 1, 1, 2, 1, 2])
    >>> m = raw_frame_metrics(np.arange(15) / 60, led)
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
    if not np.isfinite(times).all():
        n_bad = int((~np.isfinite(times)).sum())
        raise MalformedFileError(
            f"raw frames: {n_bad} of {len(times)} frame times are not finite; 0 are allowed"
        )
    times, led = times[1:], led[1:].astype(np.int64)
    intervals = np.diff(times)
    median = float(np.median(intervals))
    if median < 0:
        raise MalformedFileError(
            f"raw frames: the median interval is {median:.4g} s; frame times must increase"
        )
    bridged, n_bridged = _bridge(intervals, led, median)
    return {
        "n_early_samples": int((median - intervals > tolerance_s).sum()),
        "n_late_samples": int((intervals - median > tolerance_s).sum()),
        "lost_frame_fraction": _lost_fraction(intervals, median, tolerance_s),
        "n_band_inversions": int((bridged[1:] == bridged[:-1]).sum()),
        "n_frames": len(times),
        "n_bridged": n_bridged,
        "median_interval_s": median,
    }


def _lost_fraction(intervals: np.ndarray, median: float, tolerance_s: float) -> float:
    late = intervals[intervals - median > tolerance_s]
    n_lost = float(np.rint(late / median - 1.0).sum()) if median > 0 else 0.0
    return n_lost / (len(intervals) + 1 + n_lost)


def sliding_metrics(
    times: np.ndarray,
    values: np.ndarray,
    *,
    window_s: float = 120.0,
    step_s: float = 60.0,
    min_coverage: float = SignalSettings().qc_min_coverage,
    metrics: Sequence[SlidingMetric] = SLIDING_METRICS,
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
    metrics : sequence of SlidingMetric

    Returns
    -------
    DataFrame
        One row per window: `window` (its centre, s) and one column per metric; NaN for a
        window that lacks too many samples, or where a metric is not defined.

    Raises
    ------
    MalformedFileError
        If times do not increase.
    """
    times = check_times(times, "signal")
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
    metrics: Sequence[SlidingMetric] = SLIDING_METRICS,
) -> pd.DataFrame:
    """Quality of a session: one row per recording and band.

    Parameters
    ----------
    bands : dict of DataFrame
        Index times (s), one column per recording, invalid samples NaN.
    eid : str
        Session.
    fiber_idx : dict of str to int
        Index of the fibre of each recording.
    raw : dict, optional
        Result of `raw_frame_metrics`, repeated on each row; null without it.
    settings : SignalSettings, optional
    metrics : sequence of SlidingMetric

    Returns
    -------
    DataFrame
        eid, brain_region, band, fiber_idx, n_unique_samples (fraction of the valid
        samples), n_band_inversions, n_early_samples, n_late_samples,
        lost_frame_fraction, missing_fraction (of the samples at the band's rate), one column
        per sliding metric
        (mean over the windows where it is defined), window_share (of the windows, those that
        could be measured), bleaching_tau (s) and iso_correlation of the signal band, note.

    Raises
    ------
    MalformedFileError
        If the times of a band do not increase.
    """
    settings = settings or SignalSettings()
    raw = raw or {}
    rows = []
    changes = _bleach_corrected(bands, settings)
    for band, frame in bands.items():
        times = check_times(frame.index.to_numpy(), f"band {band}")
        values = frame.to_numpy(dtype=float)
        window_s, step_s = settings.qc_window_s, settings.qc_step_s
        sliding = _sliding(times, values, window_s, step_s, settings.qc_min_coverage, metrics)
        for i, name in enumerate(frame.columns):
            notes, unusable = [], {}
            row = {
                "eid": eid,
                "brain_region": name,
                "band": band,
                "fiber_idx": fiber_idx[name],
                "n_unique_samples": unique_fraction(values[:, i]),
                "n_band_inversions": float(raw.get("n_band_inversions", np.nan)),
                "n_early_samples": float(raw.get("n_early_samples", np.nan)),
                "n_late_samples": float(raw.get("n_late_samples", np.nan)),
                "lost_frame_fraction": float(raw.get("lost_frame_fraction", np.nan)),
                "missing_fraction": _missing_fraction(times, values[:, i]),
            }
            for metric in metrics:
                per_window = sliding[metric.name][i]
                defined = per_window[np.isfinite(per_window)]
                row[metric.name] = float(defined.mean()) if len(defined) else np.nan
                unusable.setdefault(len(per_window) - len(defined), []).append(metric.name)
            measured = np.isfinite([sliding[metric.name][i] for metric in metrics]).any(axis=0)
            row["window_share"] = float(measured.mean()) if metrics else np.nan
            notes += [
                f"{count} of {len(per_window)} windows unusable for {_listed(names, metrics)}"
                for count, names in sorted(unusable.items())
                if count
            ]
            row["bleaching_tau"] = row["iso_correlation"] = np.nan
            if band == SIGNAL_BAND:
                fit = fit_bleaching(
                    times, values[:, i], max_tau_durations=settings.max_tau_durations
                )
                row["bleaching_tau"] = fit.tau_s
                row["iso_correlation"], iso_note = _iso_r2(changes, name, settings)
                notes += [fit.note, iso_note]
            row["note"] = "; ".join(note for note in notes if note)
            rows.append(row)
    return pd.DataFrame(rows)


def _missing_fraction(times: np.ndarray, values: np.ndarray) -> float:
    """Share of the samples at a band's rate that are not there or not valid."""
    steps = np.diff(times) / sampling_interval(times)
    n_lost = float(np.rint(steps[steps > 1.5] - 1.0).sum())
    return (n_lost + float((~np.isfinite(values)).sum())) / (len(values) + n_lost)


def _listed(names: list[str], metrics: Sequence[SlidingMetric]) -> str:
    return "all metrics" if len(names) == len(metrics) else ", ".join(names)


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
        if abs(around.mean() - median) > _REGULAR_TIMING * median:
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
    metrics: Sequence[SlidingMetric],
) -> dict[str, np.ndarray]:
    """Each metric as (n_columns, n_windows)."""
    n_columns = values.shape[1]
    starts = window_starts(times, window_s, step_s)
    out = {metric.name: np.full((n_columns, len(starts)), np.nan) for metric in metrics}
    for index, windows in stack_windows(times, values, window_s, step_s):
        for metric in metrics:
            out[metric.name][:, index] = metric(windows).reshape(n_columns, len(index))
    _measure_incomplete(out, times, values, starts, window_s, min_coverage, metrics)
    return out


def _measure_incomplete(
    out: dict[str, np.ndarray],
    times: np.ndarray,
    values: np.ndarray,
    starts: np.ndarray,
    window_s: float,
    min_coverage: float,
    metrics: Sequence[SlidingMetric],
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
                out[metric.name][column, k] = metric(window)[0] if window else np.nan


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


def _iso_r2(
    changes: dict[str, pd.DataFrame], name: str, settings: SignalSettings
) -> tuple[float, str]:
    if not changes or name not in changes[REFERENCE_BAND]:
        return np.nan, "iso_correlation: no isosbestic band"
    signal, reference = changes[SIGNAL_BAND][name], changes[REFERENCE_BAND][name]
    paired = pair_by_time(
        signal.index.to_numpy(),
        reference.index.to_numpy(),
        reference.to_numpy(),
        settings.max_gap_s,
    )
    r2 = regress_isosbestic(signal.to_numpy(), paired).r2
    return r2, "" if np.isfinite(r2) else "iso_correlation: the bands do not vary together"
