"""Response traces by condition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.analysis.traces.tables import MEAN_TRACES
from iblnm.analysis.trials import (
    BASELINE_WINDOW,
    MIN_RESPONSE_TIME_S,
    UNBIASED,
    prepare_traces,
    select_trials,
)
from iblnm.constants import TRIAL_EVENTS

if TYPE_CHECKING:
    import xarray as xr

METHOD_VERSION = 1
_RECORDING_COLUMNS = ("eid", "subject", "target_NM", "brain_region", "fiber_idx")


def mean_traces(
    recording: pd.Series | dict[str, Any],
    responses: xr.DataArray,
    trials: pd.DataFrame,
    *,
    probability_left: float | None = UNBIASED,
    min_response_time_s: float | None = MIN_RESPONSE_TIME_S,
    event_order: Sequence[str] = TRIAL_EVENTS,
    baseline_window: tuple[float, float] = BASELINE_WINDOW,
) -> pd.DataFrame:
    """Mean trace of one recording for each contrast and outcome.

    Parameters
    ----------
    recording : Series or dict
        ``eid``, ``subject``, ``target_NM``, ``brain_region`` and ``fiber_idx``.
    responses, trials, event_order, baseline_window
        As for `prepare_traces`; the trials with ``contrast`` and ``feedbackType`` and what
        their selection needs.
    probability_left, min_response_time_s
        As for `iblnm.analysis.trials.select_trials`; trials without a choice are
        always left out.

    Returns
    -------
    DataFrame
        Columns of the schema `iblnm.analysis.traces.tables.MEAN_TRACES`; ``n_trials`` counts the
        trials with a value at that time, which falls as the next events come.
    """
    rows = responses["trial"].to_numpy()
    own = trials.iloc[rows].reset_index(drop=True)
    selected, _ = select_trials(
        own,
        probability_left=probability_left,
        min_response_time_s=min_response_time_s,
        response_col=None,
    )
    conditions = selected[["contrast", "feedbackType"]].dropna()
    if conditions.empty:
        return MEAN_TRACES.empty()
    cell, levels = pd.MultiIndex.from_frame(conditions).factorize(sort=True)
    prepared = prepare_traces(
        responses, trials, event_order=event_order, baseline_window=baseline_window
    )[:, conditions.index.to_numpy()]
    finite = np.isfinite(prepared)
    member = (np.arange(len(levels))[:, None] == cell).astype(float)
    # one product of matrices per event instead of a loop over cells
    total = member @ np.where(finite, prepared, 0.0)
    count = np.rint(member @ finite.astype(float)).astype(np.int64)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    events, time = responses["event"].to_numpy(), responses["time"].to_numpy()
    grid = np.meshgrid(np.arange(len(events)), np.arange(len(levels)), time, indexing="ij")
    event_of, level_of, time_of = (axis.ravel() for axis in grid)
    return pd.DataFrame(
        {
            **{name: recording.get(name) for name in _RECORDING_COLUMNS},
            "event": events.astype(object)[event_of],
            "contrast": levels.get_level_values(0).to_numpy(dtype=float)[level_of],
            "feedbackType": levels.get_level_values(1).to_numpy(dtype=float)[level_of],
            "time": time_of,
            "response": mean.ravel(),
            "n_trials": count.ravel(),
        }
    )


def stack_traces(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The mean traces of many recordings in one table of the schema `MEAN_TRACES`."""
    tables = [part for part in parts if len(part)]
    if not tables:
        return MEAN_TRACES.empty()
    return MEAN_TRACES.conform(pd.concat(tables, ignore_index=True))
