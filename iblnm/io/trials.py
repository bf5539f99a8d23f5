"""The trials table of a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.archive.datasets import dataset_path, find_dataset
from iblnm.errors import MalformedFileError, MissingFileError
from iblnm.storage.parquet import read_table

TRIALS_PATTERNS = ("alf/_ibl_trials.table.pqt", "alf/task_*/_ibl_trials.table.pqt")
REQUIRED_COLUMNS = (
    "intervals_0",
    "intervals_1",
    "stimOn_times",
    "firstMovement_times",
    "feedback_times",
    "response_times",
    "choice",
    "contrastLeft",
    "contrastRight",
    "feedbackType",
    "probabilityLeft",
)
_FEEDBACK_TYPES = (-1.0, 0.0, 1.0)


def load_trials_table(one: Any, eid: str) -> pd.DataFrame:
    """Load the trials of a session.

    Parameters
    ----------
    one : ONE
    eid : str

    Returns
    -------
    DataFrame
        One row per trial, all columns of the ALF table as float64 (times in s on the session
        clock, contrasts from 0 to 1, ``choice`` −1 rightward, +1 leftward, 0 none).
        ``attrs['collection']`` names the task collection.

    Raises
    ------
    MissingFileError
        If the session lists no trials or the file is not on disk.
    UnreadableFileError
        If the file cannot be read.
    MalformedFileError
        If a column is missing or not numeric, there are no trials, the starts of the
        intervals do not increase, the last trial has no end after its start, or a
        ``feedbackType`` is none of −1, 0 and 1.

    Notes
    -----
    A session with several task collections gives the first one in alphabetical order, which
    is the task that was run first.
    """
    path = dataset_path(one, eid, TRIALS_PATTERNS)
    if path is None:
        raise MissingFileError("the session lists no trials table", eid=eid)
    trials = read_trials_table(path, eid=eid)
    trials.attrs["collection"] = find_dataset(one, eid, TRIALS_PATTERNS).name.rpartition("/")[0]
    return trials


def read_trials_table(path: Path, *, eid: str | None = None) -> pd.DataFrame:
    """Read and check one trials file; see `load_trials_table`."""
    table = read_table(path, eid=eid)
    missing = [name for name in REQUIRED_COLUMNS if name not in table]
    if missing:
        raise MalformedFileError(
            f"columns {', '.join(missing)} are missing; the table has {', '.join(table)}",
            eid=eid,
            path=path,
        )
    if table.empty:
        raise MalformedFileError("0 trials; at least 1 is expected", eid=eid, path=path)
    trials = pd.DataFrame(
        {name: _as_float(table[name], eid, path) for name in table.columns},
        index=pd.RangeIndex(len(table)),
    )
    _check_intervals(trials, eid, path)
    _check_feedback(trials, eid, path)
    return trials


def _as_float(column: pd.Series, eid: str | None, path: Path) -> np.ndarray:
    if not pd.api.types.is_numeric_dtype(column.dtype) or column.dtype.kind == "c":
        raise MalformedFileError(
            f"column {column.name} has type {column.dtype}; numbers are expected",
            eid=eid,
            path=path,
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _check_feedback(trials: pd.DataFrame, eid: str | None, path: Path) -> None:
    feedback = trials["feedbackType"].to_numpy()
    wrong = feedback[~np.isin(feedback, _FEEDBACK_TYPES)]
    if len(wrong):
        raise MalformedFileError(
            f"{len(wrong)} of {len(feedback)} trials have feedbackType {wrong[0]:g}; "
            "-1, 0 or 1 is expected",
            eid=eid,
            path=path,
        )


def _check_intervals(trials: pd.DataFrame, eid: str | None, path: Path) -> None:
    start, end = trials["intervals_0"].to_numpy(), trials["intervals_1"].to_numpy()
    n_unknown = int((~np.isfinite(start)).sum())
    if n_unknown or not np.isfinite(end[-1]):
        raise MalformedFileError(
            f"{n_unknown} of {len(start)} trials have no start, or the last has no end",
            eid=eid,
            path=path,
        )
    if end[-1] <= start[-1]:
        raise MalformedFileError(
            f"the last trial ends at {end[-1]:g} s, before it starts at {start[-1]:g} s",
            eid=eid,
            path=path,
        )
    n_back = int((np.diff(start) <= 0).sum())
    if n_back:
        raise MalformedFileError(
            f"{n_back} trials start no later than the one before; starts must increase",
            eid=eid,
            path=path,
        )
