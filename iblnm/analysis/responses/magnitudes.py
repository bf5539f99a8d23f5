"""Response magnitudes: one number per recording, event and trial, all trials at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.analysis.trials import early_responses
from iblnm.pipeline.rules.values import is_null
from iblnm.task.contrasts import add_relative_contrast, require_columns

if TYPE_CHECKING:
    import xarray as xr

METHOD_VERSION = 1
SIGNAL_COLUMNS = ("correction", "signal_sd")
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
        ``eid``, ``fiber_idx``, ``hemisphere`` and the other `RECORDING_COLUMNS`; `SIGNAL_COLUMNS`
        where they are known.
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
        "response_kernel": np.full(magnitude.size, np.nan),
        **{name: recording.get(name) for name in SIGNAL_COLUMNS},
        "source": responses.attrs.get("source"),
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
        Schema `iblnm.analysis.responses.tables.RESPONSE_MAGNITUDES`.
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
        if column.name in (*RECORDING_COLUMNS, *SIGNAL_COLUMNS, "source"):
            values = [None if is_null(value) else value for value in values]
            table[column.name] = pd.array(values, dtype=column.pandas_dtype).repeat(lengths)
        else:
            table[column.name] = pd.array(np.concatenate(values), dtype=column.pandas_dtype)
    return pd.DataFrame(table, copy=False)


def with_kernel_magnitudes(table: pd.DataFrame, kernels: pd.DataFrame | None) -> pd.DataFrame:
    """Magnitudes with those of the regression on all events beside them.

    Parameters
    ----------
    table : DataFrame
        Schema `RESPONSE_MAGNITUDES`.
    kernels : DataFrame or None
        Schema `iblnm.analysis.kernels.tables.KERNEL_MAGNITUDES`.

    Returns
    -------
    DataFrame
        Rows of `table`, in their order; ``response_kernel`` is missing where there is none.
    """
    if kernels is None or kernels.empty or table.empty:
        return table
    keys = ["eid", "fiber_idx", "event", "trial"]
    found = table[keys].merge(kernels[[*keys, "response_kernel"]], on=keys, how="left")
    values = found["response_kernel"].to_numpy(dtype=float, na_value=np.nan)
    return table.assign(response_kernel=values)
