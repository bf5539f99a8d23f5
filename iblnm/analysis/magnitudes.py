"""Response magnitudes: one number per recording, event and trial, all trials at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.config import TRIAL_EVENTS, CohortSettings, SignalSettings
from iblnm.schemas.responses import RESPONSE_MAGNITUDES
from iblnm.signal.perievent import in_window, time_to_next_event
from iblnm.task.contrasts import add_relative_contrast, require_columns
from iblnm.validation.values import is_null

if TYPE_CHECKING:
    import xarray as xr

_SIGNAL = SignalSettings()
_COHORT = CohortSettings()
TASK_COLUMNS = (
    "stim_side",
    "contrast",
    "signed_contrast",
    "choice",
    "feedbackType",
    "probabilityLeft",
    "reaction_time",
    "movement_time",
    "response_time",
)
RECORDING_COLUMNS = (
    "eid",
    "subject",
    "session_type",
    "NM",
    "target_NM",
    "brain_region",
    "hemisphere",
    "fiber_idx",
)


def early_responses(
    responses: xr.DataArray,
    trials: pd.DataFrame,
    *,
    event_order: Sequence[str] = TRIAL_EVENTS,
    baseline_window: tuple[float, float] = _SIGNAL.baseline_window,
    window: tuple[float, float] = _SIGNAL.early_window,
    min_coverage: float = _COHORT.min_coverage,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean response of each trial in a window, minus its baseline, up to the next event.

    Parameters
    ----------
    responses : DataArray (event, trial, time)
        Peri-event signal of one recording; ``trial`` holds row positions of `trials`.
    trials : DataFrame
        Times of the events in `event_order`, s.
    event_order : sequence of str
        Order of the events in a trial. Samples from the next event on do not count; see
        `iblnm.signal.perievent.mask_subsequent_events`.
    baseline_window, window : tuple of float
        Start and end (excluded) from the event, s.
    min_coverage : float
        Share of the window's samples that must be there; never less than one sample.

    Returns
    -------
    magnitude : ndarray (event, trial), float64
        In the unit of the responses; NaN without baseline or with too few samples.
    n_samples : ndarray (event, trial), int64
        Samples of the mean.

    Notes
    -----
    The mean of a difference is the difference of the means: only the samples of the two
    windows are read, and no trace is copied. The same numbers as `subtract_baseline`,
    `mask_subsequent_events` and `response_magnitude` of `iblnm.signal.perievent` in a row.
    """
    responses = responses.transpose("event", "trial", "time")
    values, time = responses.to_numpy(), responses["time"].to_numpy()
    baseline, _ = _mean(values[..., in_window(time, baseline_window)], True)
    inside = in_window(time, window)
    limits = time_to_next_event(trials, responses["trial"].to_numpy(), event_order)
    unlimited = np.full(responses.sizes["trial"], np.inf)
    limit = np.stack([limits.get(event, unlimited) for event in responses["event"].to_numpy()])
    limit = np.where(np.isnan(limit), np.inf, limit)
    mean, n_samples = _mean(values[..., inside], time[inside] < limit[..., None])
    needed = max(1, int(np.ceil(min_coverage * inside.sum())))
    return np.where(n_samples >= needed, mean - baseline, np.nan), n_samples


def recording_magnitudes(
    recording: pd.Series | dict[str, Any],
    responses: xr.DataArray,
    trials: pd.DataFrame,
    **parameters: Any,
) -> dict[str, Any]:
    """Columns of the table of magnitudes for one recording.

    Parameters
    ----------
    recording : Series or dict
        ``eid``, ``fiber_idx``, ``hemisphere`` and the other `RECORDING_COLUMNS`.
    responses, trials, **parameters
        As for `early_responses`; the trials with `TASK_COLUMNS`.

    Returns
    -------
    dict of str to ndarray
        One entry per event and trial, trials of the first event first; the columns of the
        recording are scalars.
    """
    require_columns(trials, TASK_COLUMNS)
    magnitude, n_samples = early_responses(responses, trials, **parameters)
    n_events, n_trials = magnitude.shape
    rows = responses["trial"].to_numpy()
    task = trials[list(TASK_COLUMNS)].iloc[rows]
    sides = task[["signed_contrast", "stim_side"]].assign(hemisphere=recording["hemisphere"])
    sides = add_relative_contrast(sides)
    once = {
        "trial": rows,
        **{name: task[name].to_numpy() for name in TASK_COLUMNS},
        **{name: sides[name].to_numpy() for name in ("relative_contrast", "side")},
    }
    return {
        **{name: recording.get(name) for name in RECORDING_COLUMNS},
        "event": np.repeat(responses["event"].to_numpy().astype(object), n_trials),
        **{name: np.tile(values, n_events) for name, values in once.items()},
        "response_early": magnitude.ravel(),
        "n_samples": n_samples.ravel(),
    }


def magnitude_table(parts: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One table of the columns of many recordings.

    Parameters
    ----------
    parts : iterable of dict
        See `recording_magnitudes`; taken one after the other.

    Returns
    -------
    DataFrame
        Schema `iblnm.schemas.responses.RESPONSE_MAGNITUDES`.
    """
    columns: dict[str, list[Any]] = {name: [] for name in RESPONSE_MAGNITUDES.names}
    lengths = []
    for part in parts:
        lengths.append(len(part["trial"]))
        for name in RESPONSE_MAGNITUDES.names:
            columns[name].append(part[name])
    if not lengths:
        return RESPONSE_MAGNITUDES.empty()
    table = {}
    for column in RESPONSE_MAGNITUDES.columns:
        # the parts of a column are let go before the next one is built
        values = columns.pop(column.name)
        if column.name in RECORDING_COLUMNS:
            values = [None if is_null(value) else value for value in values]
            table[column.name] = pd.array(values, dtype=column.pandas_dtype).repeat(lengths)
        else:
            table[column.name] = pd.array(np.concatenate(values), dtype=column.pandas_dtype)
    return pd.DataFrame(table, copy=False)


def _mean(values: np.ndarray, keep: np.ndarray | bool) -> tuple[np.ndarray, np.ndarray]:
    finite = np.isfinite(values) & keep
    count = finite.sum(axis=-1)
    total = np.where(finite, values, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0), count
