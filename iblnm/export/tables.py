"""Tables of a session as NWB has them: trials, events, quality, outcomes of the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.export.trials import (
    START,
    STOP,
    TRIAL_COLUMNS,
    further_columns,
    further_values,
)
from iblnm.schemas import QC_PHOTOMETRY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hdmf.common import DynamicTable
    from pynwb import NWBFile
    from pynwb.epoch import TimeIntervals
    from pynwb.event import EventsTable

_CHECKS = {
    "check": "Rule.",
    "result": "pass, fail or not evaluated.",
    "severity": "What a failure means: WARN, ERROR, or BLOCK, which stops what comes after.",
    "value": "What was measured.",
    "limit": "Limit that it is held against.",
    "message": "In words.",
    "evaluated_at": "When, UTC.",
}


def trials_table(trials: pd.DataFrame) -> TimeIntervals:
    """The trials, with the columns of `iblnm.export.trials`; what no trial has is left out."""
    from hdmf.common import VectorData
    from pynwb.epoch import TimeIntervals

    columns = [
        VectorData(name="start_time", description="Start [s].", data=_times(trials[START])),
        VectorData(name="stop_time", description="End [s].", data=_times(trials[STOP])),
    ]
    for column in TRIAL_COLUMNS:
        if column.source in trials and trials[column.source].notna().any():
            data = column.values(trials)
            columns.append(VectorData(name=column.name, description=column.description, data=data))
    for name in further_columns(trials):
        description = f"{name} of the stored trials."
        data = further_values(trials[name])
        columns.append(VectorData(name=name, description=description, data=data))
    return TimeIntervals(
        name="trials",
        description="Trials of the IBL task; times on the session clock.",
        columns=columns,
        id=list(range(len(trials))),
    )


def events_tables(trials: pd.DataFrame) -> list[EventsTable]:
    """One table per kind of event, of the trials that have it."""
    from hdmf.common import VectorData
    from pynwb.event import EventsTable, TimestampVectorData

    found = []
    for column in TRIAL_COLUMNS:
        if not column.is_event or column.source not in trials:
            continue
        times = _times(trials[column.source])
        has_event = np.flatnonzero(np.isfinite(times))
        if not len(has_event):
            continue
        has_event = has_event[np.argsort(times[has_event], kind="stable")]
        found.append(
            EventsTable(
                name=column.name.removesuffix("_time"),
                description=column.description,
                source_description="Trials of the IBL task",
                columns=[
                    TimestampVectorData(
                        name="timestamp",
                        description="Time on the session clock.",
                        data=times[has_event],
                    ),
                    VectorData(
                        name="trial", description="Trial, from 0.", data=has_event.astype(np.int64)
                    ),
                ],
            )
        )
    return found


def add_quality(nwbfile: NWBFile, quality: pd.DataFrame | None, checks: pd.DataFrame) -> None:
    """Add ``processing/quality`` with the metrics of the signal and the outcomes of the checks."""
    tables = []
    if quality is not None and len(quality):
        words = {
            column.name: f"{column.description}{f' [{column.unit}]' if column.unit else ''}."
            for column in QC_PHOTOMETRY.columns
        }
        frame = quality.drop(columns="eid")
        description = "Quality of the raw signal, one row per fiber and band."
        tables.append(_table("photometry_quality", description, frame, words))
    if len(checks):
        frame = checks[list(_CHECKS)]
        tables.append(_table("checks", "Latest outcome of each rule.", frame, _CHECKS))
    if not tables:
        return
    module = nwbfile.create_processing_module(
        name="quality", description="Quality of the recording, and outcomes of the checks."
    )
    for table in tables:
        module.add(table)


def _table(
    name: str, description: str, frame: pd.DataFrame, words: Mapping[str, str]
) -> DynamicTable:
    from hdmf.common import DynamicTable, VectorData

    used = [column for column in frame.columns if frame[column].notna().any()]
    columns = [
        VectorData(name=column, description=words[column], data=_values(frame[column]))
        for column in used
    ]
    return DynamicTable(name=name, description=description, columns=columns)


def _values(column: pd.Series) -> list[str] | np.ndarray:
    if pd.api.types.is_integer_dtype(column) and not column.isna().any():
        return column.to_numpy(dtype=np.int64)
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return ["" if pd.isna(value) else str(value) for value in column]


def _times(column: pd.Series) -> np.ndarray:
    return column.to_numpy(dtype=np.float64, na_value=np.nan)
