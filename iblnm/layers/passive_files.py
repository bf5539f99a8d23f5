"""Reading the files of passive runs, and what the experimenter noted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.errors import DataError, MalformedFileError
from iblnm.io.text import read_delimited
from iblnm.layers.errors import PassiveTableError, TaskSettingsError
from iblnm.layers.items import PASSIVE_TABLES
from iblnm.layers.passive import Extracted, Run, run_of_settings, task_folders, unreadable_run

SETTINGS_NAME = "_iblrig_taskSettings.raw.json"
REQUIRED_INTERVALS = ("spontaneousActivity",)
OPTIONAL_INTERVALS = ("passiveProtocol", "RFM", "taskReplay")
RECORDING_COLUMNS = (
    "subject",
    "date",
    "number",
    "condition",
    "administration_time",
    "control",
)
FindFile = Callable[[str], Path | None]


def read_runs(collections: Sequence[str], find: FindFile) -> list[Run]:
    """The runs of a session by the settings that the rig wrote.

    Parameters
    ----------
    collections : sequence of str
        Folders of the session's registered files.
    find : callable
        Gives the local path of a file of the session, None if it is not registered; may raise
        `DataError`.

    Returns
    -------
    list of Run
        In order of their numbers. Settings that cannot be used make a run of the kind
        ``unreadable`` that says why.
    """
    runs = []
    for number, raw, alf in task_folders(collections):
        try:
            path = find(f"{raw}/{SETTINGS_NAME}")
            if path is None:
                raise TaskSettingsError(f"{SETTINGS_NAME} is not registered")
            runs.append(run_of_settings(number, raw, alf, read_task_settings(path)))
        except DataError as error:
            runs.append(unreadable_run(number, raw, alf, error.message))
    return runs


def read_task_settings(path: Path) -> dict[str, Any]:
    """Settings of a task run.

    Raises
    ------
    TaskSettingsError
        If the file cannot be read or is no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise TaskSettingsError(f"no readable JSON: {error}", path=path) from error
    if not isinstance(value, dict):
        raise TaskSettingsError(f"a JSON {type(value).__name__}; an object is expected", path=path)
    return value


def read_extracted(alf_collection: str, find: FindFile) -> Extracted:
    """What was extracted from a passive run; a file that cannot be used is a fault, not a stop."""
    faults: list[str] = []

    def read(what: str, reader: Callable[[Path], Any]) -> Any:
        try:
            path = find(f"{alf_collection}/{PASSIVE_TABLES[what]}")
            return None if path is None else reader(path)
        except DataError as error:
            faults.append(f"{alf_collection}/{PASSIVE_TABLES[what]}: {error.message}")
            return None

    intervals = read("intervalsTable", read_intervals)
    replay = read("passiveGabor", read_replay)
    return Extracted(intervals, replay, tuple(faults))


def read_intervals(path: Path) -> dict[str, tuple[float, float]]:
    """Start and stop of each interval of the passive protocol [s].

    Raises
    ------
    PassiveTableError
        If the table lacks a row or a column, or a time is missing or not before its stop.
    """
    table = _read_csv(path)
    labels = table.iloc[:, 0].astype(str).str.strip().tolist() if len(table.columns) else []
    if "start" not in labels or "stop" not in labels:
        raise PassiveTableError(f"rows are {labels}; start and stop are expected", path=path)
    rows = {name: table.iloc[labels.index(name)] for name in ("start", "stop")}
    found = {}
    for name in (*REQUIRED_INTERVALS, *OPTIONAL_INTERVALS):
        if name not in table:
            if name in REQUIRED_INTERVALS:
                raise PassiveTableError(f"column {name} is missing", path=path)
            continue
        start, stop = (pd.to_numeric(rows[edge][name], errors="coerce") for edge in rows)
        if not (np.isfinite(start) and np.isfinite(stop) and start < stop):
            raise PassiveTableError(
                f"{name} runs from {start} to {stop} s; a start before a stop is expected",
                path=path,
            )
        found[name] = (float(start), float(stop))
    return found


def read_replay(path: Path) -> tuple[float, float]:
    """First start and last stop of the gabors [s]."""
    table = _read_csv(path)
    if len(table) == 0 or not {"start", "stop"} <= set(table.columns):
        raise PassiveTableError(
            f"{len(table)} rows with columns {list(table.columns)}; start and stop are expected",
            path=path,
        )
    start = pd.to_numeric(table["start"], errors="coerce").min()
    stop = pd.to_numeric(table["stop"], errors="coerce").max()
    if not (np.isfinite(start) and np.isfinite(stop) and start < stop):
        raise PassiveTableError(f"gabors run from {start} to {stop} s", path=path)
    return float(start), float(stop)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise PassiveTableError(f"no readable table: {error}", path=path) from error


def read_recordings(path: Path | None) -> pd.DataFrame:
    """What the experimenters noted of each recording, by hand.

    Parameters
    ----------
    path : Path or None
        A csv with the columns ``subject``, ``date`` (ISO), ``number`` (of the session on its
        day), ``condition``, ``administration_time`` (ISO moment or time of day, by the rig's
        clock; may be empty) and ``control`` (``True`` for control recordings; may be empty).

    Returns
    -------
    DataFrame
        Texts, ``number`` as Int64, ``control`` as boolean; empty if there is no such file.

    Raises
    ------
    MalformedFileError
        If a column is missing or a session is listed twice.
    """
    if path is None or not path.is_file():
        return pd.DataFrame({name: [] for name in RECORDING_COLUMNS}).astype("string")
    used = [line for line in read_delimited(path, RECORDING_COLUMNS).lines if any(line.fields)]
    used = [line for line in used if not line.fields[0].startswith("#")]
    header = used[0].fields if used else []
    lacking = [name for name in RECORDING_COLUMNS if name not in header]
    if lacking:
        raise MalformedFileError(f"columns {', '.join(lacking)} are missing", path=path)
    for line in used[1:]:
        if len(line.fields) > len(header):
            raise MalformedFileError(
                f"line {line.number}: {len(line.fields)} fields, {len(header)} are expected",
                path=path,
            )
    records = [dict(zip(header, line.fields, strict=False)) for line in used[1:]]
    table = pd.DataFrame(records, columns=list(RECORDING_COLUMNS), dtype="string")
    table = table.replace("", pd.NA)
    table["number"] = pd.to_numeric(table["number"], errors="coerce").astype("Int64")
    table["control"] = table["control"].str.lower().isin(["true", "1", "yes"])
    known = table.dropna(subset=["number"])
    twice = known[known.duplicated(["subject", "date", "number"])]
    if len(twice):
        row = twice.iloc[0]
        raise MalformedFileError(
            f"{row.subject} {row.date} number {row.number} is listed twice", path=path
        )
    return table


def recording_of(
    table: pd.DataFrame, subject: str, start_time: str, number: int
) -> dict[str, Any]:
    """What was noted of one session: ``condition``, ``administration_time``, ``control``.

    A row without a session number belongs to no session: the day alone may be ambiguous.
    """
    none = {"condition": None, "administration_time": None, "control": None}
    if table.empty:
        return none
    found = table[
        (table["subject"] == subject)
        & (table["date"] == str(start_time)[:10])
        & (table["number"] == number).fillna(False)
    ]
    if found.empty:
        return none
    row = found.iloc[0]
    return {
        "condition": None if pd.isna(row["condition"]) else str(row["condition"]),
        "administration_time": None
        if pd.isna(row["administration_time"])
        else str(row["administration_time"]),
        "control": bool(row["control"]),
    }


def administration_moment(text: str | None, run_start: datetime | None) -> datetime | None:
    """A noted time as a moment; a time of day is that of the run's day.

    Examples
    --------
    >>> administration_moment("14:05", datetime(2024, 5, 1, 13, 0))
    datetime.datetime(2024, 5, 1, 14, 5)
    >>> administration_moment("after lunch", None) is None
    True
    """
    if text is None:
        return None
    try:
        if "T" in text or " " in text.strip():
            return datetime.fromisoformat(text.strip())
        clock = time.fromisoformat(text.strip())
    except ValueError:
        return None
    if run_start is None:
        return None
    return datetime.combine(run_start.date(), clock, tzinfo=run_start.tzinfo)
