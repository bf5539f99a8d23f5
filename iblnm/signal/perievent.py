"""Peri-event responses: extraction, baseline, masking of the next event, magnitudes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.constants import TRIAL_EVENTS
from iblnm.errors import MissingColumnError
from iblnm.signal.checks import as_arrays, check_times, sampling_interval

if TYPE_CHECKING:
    import xarray as xr

METHOD_VERSION = 1


# Times closer than this share of a sample are the same sample: rounding, not data.
_SAME_SAMPLE = 1e-6


def extract_responses(
    times: np.ndarray,
    values: np.ndarray,
    trials: pd.DataFrame,
    *,
    events: Sequence[str] = TRIAL_EVENTS,
    window: tuple[float, float] = (-1.0, 1.0),
    fs: float = 30.0,
    region: str | None = None,
) -> xr.DataArray:
    """Signal around each event of each trial, at exact times relative to the event.

    The signal is interpolated linearly at event + k/fs; taking the nearest or the next
    sample instead would shift every trial by up to a sample.

    Parameters
    ----------
    times, values : ndarray (n,)
        Signal; increasing times in s. A NaN sample makes the points beside it NaN.
    trials : DataFrame
        One column of times (s) per event; one row per trial.
    events : sequence of str
        Columns of `trials`.
    window : tuple of float
        First time and end (excluded) relative to the event, s.
    fs : float
        Rate of the relative times, Hz.
    region : str, optional
        Recorded in the attributes and in messages.

    Returns
    -------
    DataArray (event, trial, time), float64
        NaN where an event is missing or the window leaves the recording.

    Raises
    ------
    MalformedFileError
        If the trials lack an event's column, or times do not increase.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> t = np.arange(300) / 30
    >>> trials = pd.DataFrame({"stimOn_times": [2.01, np.nan]})
    >>> r = extract_responses(t, t, trials, events=["stimOn_times"], window=(0, 0.1))
    >>> r.values[0, 0].round(3).tolist()
    [2.01, 2.043, 2.077]
    >>> bool(np.isnan(r.values[0, 1]).all())
    True
    """
    import xarray as xr

    times = check_times(times, region or "signal")
    missing = [event for event in events if event not in trials]
    if missing:
        raise MissingColumnError(
            f"{region or 'signal'}: the trials have {len(events) - len(missing)} of "
            f"{len(events)} event columns; missing: {', '.join(missing)}"
        )
    relative = relative_times(window, fs)
    event_times = trials[list(events)].to_numpy(dtype=float).T
    responses = sample_at(
        times, np.asarray(values, dtype=float), event_times[..., None] + relative
    )
    array = xr.DataArray(
        responses,
        dims=("event", "trial", "time"),
        coords={
            "event": list(events),
            "trial": np.arange(len(trials), dtype=np.int64),
            "time": relative,
        },
        name="responses",
        attrs={
            "long_name": "peri-event signal",
            "units": "z",
            "fs": float(fs),
            "response_window": [float(edge) for edge in window],
        },
    )
    array["time"].attrs = {"long_name": "time from the event", "units": "s"}
    if region is not None:
        array.attrs["brain_region"] = region
    return array


def relative_times(window: tuple[float, float], fs: float) -> np.ndarray:
    """Times k/fs from the start of a window to its end, excluded.

    Examples
    --------
    >>> relative_times((-0.1, 0.1), 30.0).round(3).tolist()
    [-0.1, -0.067, -0.033, 0.0, 0.033, 0.067]
    """
    first, last = (int(np.ceil(edge * fs - _SAME_SAMPLE)) for edge in window)
    if last <= first:
        raise ValueError(f"window {window} s holds no sample at {fs} Hz; its end must be later")
    return np.arange(first, last) / fs


def sample_at(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Linear interpolation, NaN outside and beside NaN samples.

    Parameters
    ----------
    times, values : ndarray (n,)
        Increasing times.
    at : ndarray of any shape
        Times wanted; NaN gives NaN.

    Returns
    -------
    ndarray
        Shape of `at`.
    """
    n = len(times)
    step = (times[-1] - times[0]) / (n - 1)
    uniform = np.abs(times - times[0] - step * np.arange(n)).max() < _SAME_SAMPLE * step
    if uniform:
        position = (at - times[0]) / step
    else:
        position = np.interp(at, times, np.arange(n, dtype=float), left=np.nan, right=np.nan)
    position = np.where(np.isfinite(position), position, np.nan)
    # An event on a sample takes that sample alone, whatever its neighbor is.
    nearest = np.rint(position)
    position = np.where(np.abs(position - nearest) < _SAME_SAMPLE, nearest, position)
    inside = (position >= 0) & (position <= n - 1)
    position = np.where(inside, position, 0.0)
    low = position.astype(np.intp)
    weight = position - low
    low_values = values[low]
    # Weight 0 must not touch the right neighbor: 0·NaN is NaN.
    right = np.where(weight > 0, values[np.minimum(low + 1, n - 1)], low_values)
    return np.where(inside, low_values + weight * (right - low_values), np.nan)


def subtract_baseline(
    responses: xr.DataArray, window: tuple[float, float] = (-0.1, 0.0)
) -> xr.DataArray:
    """Subtract the mean over a window before the event from each trial.

    Parameters
    ----------
    responses : DataArray (..., time)
    window : tuple of float
        Start and end (excluded), s.

    Returns
    -------
    DataArray
        NaN for trials without a valid baseline sample.
    """
    baseline = _mean_over(responses, window)[0]
    result = responses - baseline
    result.attrs = {**responses.attrs, "baseline_window": [float(edge) for edge in window]}
    return result


def mask_subsequent_events(
    responses: xr.DataArray,
    trials: pd.DataFrame,
    event_order: Sequence[str] = TRIAL_EVENTS,
) -> xr.DataArray:
    """Remove what follows the next event of the same trial.

    Values of an event are kept for t < max(next − event, 0): what precedes the event is
    always kept. A missing next event falls through to the one after it.

    Parameters
    ----------
    responses : DataArray (event, trial, time)
        Its `trial` coordinate holds row positions of `trials`.
    trials : DataFrame
        Event times, s.
    event_order : sequence of str
        Order of the events in a trial; an event that the trials lack counts as missing.

    Returns
    -------
    DataArray
        NaN where masked.
    """
    order = list(event_order)
    keep = before_next_event(responses, trials, order, responses["time"].to_numpy())
    result = responses.where(keep)
    result.attrs = {**responses.attrs, "masked_events": order}
    return result


def before_next_event(
    responses: xr.DataArray, trials: pd.DataFrame, event_order: Sequence[str], time: np.ndarray
) -> np.ndarray:
    """Which samples of each event and trial precede the next event of the trial.

    Parameters
    ----------
    responses : DataArray (event, trial, ...)
        Its `trial` coordinate holds row positions of `trials`.
    trials : DataFrame
        Event times, s.
    event_order : sequence of str
        Order of the events in a trial; an event that the trials lack counts as missing.
    time : ndarray (n_times,)
        Times of the samples from the event, s.

    Returns
    -------
    ndarray of bool (event, trial, n_times)
        All true for an event outside the order, or without a later one.
    """
    limits = time_to_next_event(trials, responses["trial"].to_numpy(), event_order)
    unlimited = np.full(responses.sizes["trial"], np.inf)
    each = [limits.get(event, unlimited) for event in responses["event"].to_numpy()]
    limit = np.reshape(each, (len(each), len(unlimited)))
    return time < np.where(np.isnan(limit), np.inf, limit)[..., None]


def time_to_next_event(
    trials: pd.DataFrame, rows: np.ndarray, event_order: Sequence[str] = TRIAL_EVENTS
) -> dict[str, np.ndarray]:
    """Time from each event to the one after it in the same trial.

    Parameters
    ----------
    trials : DataFrame
        Event times, s.
    rows : ndarray of int (n,)
        Positions of trials.
    event_order : sequence of str
        Order of the events in a trial; an event that the trials lack counts as missing.

    Returns
    -------
    dict of str to ndarray (n,)
        By event, s, at least 0; NaN where no event follows. A missing next event falls
        through to the one after it.

    Examples
    --------
    >>> trials = pd.DataFrame({"stimOn_times": [1.0], "feedback_times": [1.5]})
    >>> time_to_next_event(trials, np.array([0]))["stimOn_times"]
    array([0.5])
    """
    following = np.full(len(rows), np.nan)
    limits = {}
    for event in reversed(list(event_order)):
        if event not in trials:
            limits[event] = np.full(len(rows), np.nan)
            continue
        times = trials[event].to_numpy(dtype=float)[rows]
        limits[event] = np.maximum(following - times, 0.0)
        following = np.where(np.isnan(times), following, times)
    return limits


def response_magnitude(
    responses: xr.DataArray, window: tuple[float, float] = (0.1, 0.35), *, min_samples: int = 1
) -> tuple[xr.DataArray, xr.DataArray]:
    """Mean response in a window, with the number of samples it rests on.

    Parameters
    ----------
    responses : DataArray (event, trial, time)
    window : tuple of float
        Start and end (excluded), s.
    min_samples : int
        Fewer valid samples give NaN.

    Returns
    -------
    magnitude : DataArray (event, trial), float64
    n_samples : DataArray (event, trial), int64
        Masking makes it vary with the reaction time.
    """
    mean, n_samples = _mean_over(responses, window)
    return mean.where(n_samples >= min_samples), n_samples


def get_responses(
    series: pd.Series, events: np.ndarray, t0: float = -1.0, t1: float | np.ndarray = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Peri-event signal of one series at its own rate, for notebooks.

    Parameters
    ----------
    series : Series
        Indexed by time, s.
    events : array-like (n_events,)
        Event times, s.
    t0 : float
        First time relative to the event, s.
    t1 : float or array-like (n_events,)
        End (excluded) relative to the event; or the end of each event on the clock of the
        series, s.

    Returns
    -------
    responses : ndarray (n_events, n_times)
        NaN from the end of an event on; all NaN for an event without an end.
    tpts : ndarray (n_times,)
        Up to the longest event.

    Examples
    --------
    >>> series = pd.Series(np.arange(10.0), index=np.arange(10.0))
    >>> get_responses(series, [1.0, 4.0], t0=0.0, t1=[4.0, 6.0])[0].tolist()
    [[1.0, 2.0, 3.0], [4.0, 5.0, nan]]
    """
    times, values = as_arrays(series)
    times = check_times(times, str(series.name or "signal"))
    events, fs = np.asarray(events, dtype=float), 1.0 / sampling_interval(times)
    if np.ndim(t1) == 0:
        tpts = relative_times((t0, float(t1)), fs)
        return sample_at(times, values, events[:, None] + tpts), tpts
    ends = np.asarray(t1, dtype=float) - events
    longest = np.max(ends, initial=-np.inf, where=np.isfinite(ends))
    tpts = relative_times((t0, longest), fs) if longest > t0 else np.empty(0)
    inside = tpts < ends[:, None] - _SAME_SAMPLE / fs
    return np.where(inside, sample_at(times, values, events[:, None] + tpts), np.nan), tpts


def compute_response_magnitude(
    resp: np.ndarray, tpts: np.ndarray, window: tuple[float, float]
) -> np.ndarray:
    """Mean of each response in a window, NaN samples left out.

    Parameters
    ----------
    resp : ndarray (..., n_times)
    tpts : ndarray (n_times,)
    window : tuple of float
        Start and end (excluded), s.

    Returns
    -------
    ndarray (...)
    """
    return mean_of_finite(np.asarray(resp, dtype=float)[..., in_window(tpts, window)])[0]


def normalize_responses(
    resp: np.ndarray,
    tpts: np.ndarray,
    bwin: tuple[float, float] = (-0.1, 0.0),
    divide: bool = True,
) -> np.ndarray:
    """Subtract the baseline of each response and, with `divide`, divide by it.

    Parameters
    ----------
    resp : ndarray (..., n_times)
    tpts : ndarray (n_times,)
    bwin : tuple of float
        Start and end (excluded) of the baseline, s.
    divide : bool

    Returns
    -------
    ndarray (..., n_times)
    """
    baseline = compute_response_magnitude(resp, tpts, bwin)[..., None]
    change = np.asarray(resp, dtype=float) - baseline
    if not divide:
        return change
    return np.divide(change, baseline, out=np.full_like(change, np.nan), where=baseline != 0)


def in_window(time: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Which times lie in [start, end), up to rounding."""
    time = np.asarray(time, dtype=float)
    tolerance = _SAME_SAMPLE * (abs(time[1] - time[0]) if len(time) > 1 else 1.0)
    inside = (time >= window[0] - tolerance) & (time < window[1] - tolerance)
    if not inside.any():
        raise ValueError(
            f"window {tuple(window)} s holds none of the {len(time)} times "
            f"({time[0]:.4g} to {time[-1]:.4g} s); choose one inside"
        )
    return inside


def _mean_over(
    responses: xr.DataArray, window: tuple[float, float]
) -> tuple[xr.DataArray, xr.DataArray]:
    import xarray as xr

    ordered = responses.transpose(..., "time")
    inside = in_window(ordered["time"].to_numpy(), window)
    mean, count = mean_of_finite(ordered.to_numpy()[..., inside])
    dims = ordered.dims[:-1]
    coords = {dim: ordered[dim] for dim in dims if dim in ordered.coords}
    attrs = {key: ordered.attrs[key] for key in ("units",) if key in ordered.attrs}
    return (
        xr.DataArray(mean, dims=dims, coords=coords, attrs=attrs),
        xr.DataArray(count, dims=dims, coords=coords),
    )


def mean_of_finite(
    values: np.ndarray, keep: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the last axis of the finite values, and their number; NaN without one.

    Parameters
    ----------
    values : ndarray (..., n)
    keep : ndarray of bool, optional
        Values that count.
    """
    finite = np.isfinite(values) if keep is None else np.isfinite(values) & keep
    count = finite.sum(axis=-1)
    total = np.where(finite, values, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0), count
