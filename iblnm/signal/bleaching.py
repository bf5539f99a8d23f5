"""Bleaching: time constant of the decay, and the slow baseline that is divided out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from iblnm.signal.checks import as_arrays, sampling_interval

METHOD_VERSION = 1
_N_BINS = 400
_N_GRID = 96
_MIN_SAMPLES = 20
_MAX_POLISH_STEPS = 8
_POLISH_TOLERANCE = 1e-7
_PAD_DECAY = 0.01


@dataclass(frozen=True)
class BleachingFit:
    """Exponential decay A·exp(−t/τ) + b, with t from the first sample.

    Parameters
    ----------
    tau_s : float
        Time constant, s; NaN when it cannot be identified.
    amplitude, offset : float
        A and b, in units of the signal.
    note : str
        Why there is no time constant; empty otherwise.
    """

    tau_s: float
    amplitude: float
    offset: float
    note: str = ""


def fit_bleaching(
    times: np.ndarray, values: np.ndarray, *, max_tau_durations: float = 10.0
) -> BleachingFit:
    """Least-squares fit of one exponential decay; deterministic, never raises on bad data.

    For a given τ the model is linear in A and b, which leaves a search in one dimension
    (variable projection, Golub and Pereyra 1973): a grid over log τ on the binned signal
    finds the valley, Gauss-Newton steps on all samples finish. Binning changes no τ: the
    mean of an exponential over bins of equal length is an exponential of the same τ.

    Parameters
    ----------
    times : ndarray (n,)
        Increasing times, s.
    values : ndarray (n,)
        Signal; NaN samples are left out.
    max_tau_durations : float
        Upper bound of τ in durations of the recording: a slower decay is a straight line.

    Returns
    -------
    BleachingFit

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(0, 3600, 1 / 30)
    >>> fit = fit_bleaching(t, 0.02 * np.exp(-t / 900) + 0.01)
    >>> round(fit.tau_s, 3), round(fit.amplitude, 6), round(fit.offset, 6)
    (900.0, 0.02, 0.01)
    """
    times, values = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    valid = np.isfinite(values) & np.isfinite(times)
    if valid.sum() < _MIN_SAMPLES:
        return _unidentified(f"{int(valid.sum())} valid samples, {_MIN_SAMPLES} are needed")
    if not valid.all():
        times, values = times[valid], values[valid]
    t = times - times[0]
    duration = float(t[-1])
    center, scale = float(values.mean()), float(values.std())
    if duration <= 0:
        return _unidentified("the recording has no duration")
    if scale <= np.finfo(float).eps * abs(center) * len(values):
        return _unidentified("the signal is constant")
    y = (values - center) / scale

    low, high = 2.0 * duration / len(t), max_tau_durations * duration
    tau = _search(t, y, low, high)
    if not low * 1.01 < tau < high * 0.99:
        bound = (
            f"{high:.6g} s, {max_tau_durations:g} durations" if tau > duration else f"{low:.3g} s"
        )
        return _unidentified(f"time constant at its bound ({bound})")
    tau, amplitude, offset = _polish(t, y, tau)
    if not low < tau < high:
        return _unidentified(f"time constant {tau:.6g} s outside {low:.3g} to {high:.6g} s")
    note = "" if amplitude > 0 else "the signal rises: negative amplitude"
    return BleachingFit(tau, amplitude * scale, offset * scale + center, note)


def compute_bleaching_tau(series: pd.Series) -> float:
    """Time constant of bleaching of a series indexed by time, s; NaN when not identifiable."""
    return fit_bleaching(*as_arrays(series)).tau_s


def lowpass_baseline(
    times: np.ndarray, values: np.ndarray, *, order: int = 3, cutoff_hz: float = 0.01
) -> np.ndarray:
    """Slow baseline: zero-phase Butterworth low-pass of each column.

    The filter remembers far longer than the padding that `scipy.signal.sosfiltfilt` takes by
    default (21 samples, 0.7 s at 30 Hz; a 0.01 Hz filter of order 3 forgets with a time
    constant of 1/(π·0.01) = 32 s). The signal is extended by the time in which the slowest
    pole decays to 1 % (147 s), or by its own length if that is shorter. The extension is
    odd, which continues a trend, about the end of a line fitted to the last half period
    (50 s): turned about the last sample itself, the baseline would pass through that one
    sample, with all its noise. On a double exponential with 4 % noise the error in the
    first and last 50 s is below 1 %, against 5 % with the last sample as the pivot.

    Parameters
    ----------
    times : ndarray (n,)
        Increasing times, s.
    values : ndarray (n,) or (n, n_columns)
        NaN samples are bridged linearly for the filter and NaN again in the result.
    order : int
    cutoff_hz : float
        Frequency of half power of one pass, Hz.

    Returns
    -------
    ndarray
        As `values`.
    """
    step = sampling_interval(times)
    if cutoff_hz >= 0.5 / step:
        raise ValueError(f"cut-off {cutoff_hz} Hz is not below half the rate {1 / step:.4g} Hz")
    values = np.asarray(values, dtype=float)
    columns = values.reshape(len(times), -1)
    valid = np.isfinite(columns)
    baseline = np.full(columns.shape, np.nan)
    # Columns of a session nearly always share the span of valid samples: filter together.
    spans = np.stack([valid.argmax(axis=0), len(times) - valid[::-1].argmax(axis=0)], axis=1)
    for start, stop in np.unique(spans, axis=0):
        members = np.flatnonzero((spans == (start, stop)).all(axis=1) & valid.any(axis=0))
        span = slice(int(start), int(stop))
        if len(members) and stop - start > 1:
            baseline[span, members] = _lowpass(
                times[span], columns[span, members], valid[span, members], step, order, cutoff_hz
            )
    return np.where(valid, baseline, np.nan).reshape(values.shape)


def _unidentified(note: str) -> BleachingFit:
    return BleachingFit(np.nan, np.nan, np.nan, f"bleaching_tau: {note}")


def _lowpass(
    times: np.ndarray,
    columns: np.ndarray,
    valid: np.ndarray,
    step: float,
    order: int,
    cutoff_hz: float,
) -> np.ndarray:
    """Filter columns whose first and last samples are valid."""
    from scipy.signal import butter, sosfiltfilt

    regular = np.diff(times).max() <= 1.5 * step
    # The filter counts samples, so lost frames are put back before it runs.
    n_grid = int(np.ceil((times[-1] - times[0]) / step)) + 1
    grid = times if regular else times[0] + step * np.arange(n_grid)
    rows = np.ascontiguousarray(columns.T)
    if not regular or not valid.all():
        rows = np.stack(
            [
                np.interp(grid, times[known], row[known])
                for row, known in zip(rows, valid.T, strict=True)
            ]
        )
    sos = butter(order, cutoff_hz, fs=1.0 / step, output="sos")
    slowest = 2 * np.pi * cutoff_hz * np.sin(np.pi / (2 * order))
    n = rows.shape[1]
    padding = min(int(np.log(1 / _PAD_DECAY) / slowest / step), n - 1)
    extended = _extend(rows, padding, n_line=min(n, int(0.5 / cutoff_hz / step)))
    rows = sosfiltfilt(sos, extended, axis=1, padtype=None)[:, padding : padding + n]
    if not regular:
        rows = np.stack([np.interp(times, grid, row) for row in rows])
    return rows.T


def _extend(columns: np.ndarray, padding: int, n_line: int) -> np.ndarray:
    """Odd extension of each row about the ends of lines fitted to its last samples."""
    first = 2 * _line_start(columns[:, :n_line]) - columns[:, padding:0:-1]
    mirrored = columns[:, ::-1]
    last = 2 * _line_start(mirrored[:, :n_line]) - mirrored[:, 1 : padding + 1]
    return np.concatenate([first, columns, last], axis=1)


def _line_start(rows: np.ndarray) -> np.ndarray:
    """Value at the first sample of the least-squares line through each row."""
    mean = rows.mean(axis=1, keepdims=True)
    n = rows.shape[1]
    if n < 3:
        return rows[:, :1]
    x = np.arange(n) - 0.5 * (n - 1)
    slope = (rows - mean) @ x / (x @ x)
    return mean + slope[:, None] * x[0]


def _search(t: np.ndarray, y: np.ndarray, low: float, high: float) -> float:
    """τ of the smallest residual on the binned signal, by grid and golden section."""
    from scipy.optimize import minimize_scalar

    t, y, weights = _bin(t, y)

    def residual(log_tau: np.ndarray) -> np.ndarray:
        e = np.exp(-t / np.exp(np.atleast_1d(log_tau))[:, None])
        e -= (e @ weights)[:, None]
        return 1.0 - (e @ (weights * y)) ** 2 / np.maximum((e * e) @ weights, 1e-300)

    y = y - weights @ y
    y /= np.sqrt(weights @ (y * y))
    grid = np.linspace(np.log(low), np.log(high), _N_GRID)
    best = int(np.argmin(residual(grid)))
    bracket = grid[max(best - 1, 0)], grid[min(best + 1, _N_GRID - 1)]
    found = minimize_scalar(
        lambda log_tau: float(residual(log_tau)[0]),
        bounds=bracket,
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def _bin(t: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of consecutive samples and their weights (shares of the samples)."""
    edges = np.linspace(0, len(t), min(_N_BINS, len(t)) + 1).astype(int)
    counts = np.diff(edges)
    means = [np.add.reduceat(x, edges[:-1]) / counts for x in (t, y)]
    return means[0], means[1], counts / len(t)


def _polish(t: np.ndarray, y: np.ndarray, tau: float) -> tuple[float, float, float]:
    """Gauss-Newton in (A, b, 1/τ) on all samples, steps halved while they do not help."""
    rate = 1.0 / tau
    e = np.exp(-rate * t)
    amplitude, offset, rss = _linear_part(e, y)
    for _ in range(_MAX_POLISH_STEPS):
        gradient = -amplitude * t * e
        design = (e, np.ones_like(e), gradient)
        normal = np.array([[a @ b for b in design] for a in design])
        residual = y - amplitude * e - offset
        right = np.array([a @ residual for a in design])
        norms = np.sqrt(np.diag(normal))
        if not (norms > 0).all():
            break
        scaled = normal / np.outer(norms, norms)
        step = np.linalg.lstsq(scaled, right / norms, rcond=None)[0][2] / norms[2]
        for shrink in (1.0, 0.5, 0.25, 0.125):
            trial_rate = rate + shrink * step
            if trial_rate <= 0:
                continue
            trial = np.exp(-trial_rate * t)
            fit = _linear_part(trial, y)
            if fit[2] <= rss:
                break
        else:
            break
        change = abs(trial_rate - rate) / rate
        rate, e, (amplitude, offset, rss) = trial_rate, trial, fit
        if change < _POLISH_TOLERANCE:
            break
    return float(1.0 / rate), amplitude, offset


def _linear_part(e: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    mean_e, mean_y = e.mean(), y.mean()
    centered = e - mean_e
    amplitude = float(centered @ y / max(centered @ centered, 1e-300))
    offset = float(mean_y - amplitude * mean_e)
    residual = y - amplitude * e - offset
    return amplitude, offset, float(residual @ residual)
