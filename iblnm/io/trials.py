"""The trials table of a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.archive.datasets import dataset_path
from iblnm.constants import EXTRACTED, MAX_UNUSABLE_TRIAL_SHARE, RAW
from iblnm.errors import MalformedFileError, MissingFileError, RawTaskError
from iblnm.io.task_files import TRIALS, task_of
from iblnm.signal.continuity import check_clock
from iblnm.storage.parquet import read_table

METHOD_VERSION = 2
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
_EVENT_COLUMNS = (
    "goCue_times",
    "stimOn_times",
    "firstMovement_times",
    "response_times",
    "feedback_times",
    "stimOff_times",
)
# known before the trial, and held to the session's plan by their position
_PLANNED_COLUMNS = ("contrastLeft", "contrastRight", "probabilityLeft")
_FEEDBACK_TYPES = (-1.0, 0.0, 1.0)
# what a value can be: one of these, or within these
_ACCEPTED = {"choice": (-1.0, 0.0, 1.0), "feedbackType": _FEEDBACK_TYPES}
_RANGES = {"contrastLeft": (0, 1), "contrastRight": (0, 1), "probabilityLeft": (0, 1)}
_MAX_SPAN_S = 24 * 3600.0
# an event of a trial may be told a little before the trial begins, or after the next one does
_OUTSIDE_S = 1.0
# trials of the task end after 60 s without a choice; of times in ms the median is a thousand times
_MAX_MEDIAN_RESPONSE_S = 600.0


def load_trials_table(
    one: Any,
    eid: str,
    collection: str | None = None,
    *,
    max_unusable_share: float = MAX_UNUSABLE_TRIAL_SHARE,
) -> pd.DataFrame:
    """Load the trials of a session.

    Parameters
    ----------
    one : ONE
    eid : str
    collection : str, optional
        Of the task, as ``alf/task_00``; that of `iblnm.io.task_files.task_of` by default.
    max_unusable_share : float
        Share of the trials in which a value may be one that cannot be; it is missing there.

    Returns
    -------
    DataFrame
        One row per trial, the columns of numbers of the ALF table as float64 (times in s on
        the session clock, contrasts from 0 to 1, ``choice`` −1 rightward, +1 leftward, 0
        none). A trial that does not start after the one before has no times, no choice and no
        outcome. ``attrs``: ``collection`` names the task collection, ``source`` is
        ``extracted``, or ``raw`` where the table is made from the rig's log, ``clock`` is
        ``session``, or ``bpod`` where the session's clock is another one than the rig's;
        ``left_out`` names the columns that are no numbers, ``extraction`` what could not be
        extracted, ``n_out_of_order`` counts such trials, ``wrong_values``
        tells by column the values that cannot be and are missing here (an end before the
        start, a time a day away from the others, an event outside its trial, a contrast above 1).

    Raises
    ------
    MissingFileError
        If the session lists no trials or the file is not on disk.
    RawTaskError
        If the trials were not extracted and the rig's log of them cannot be.
    UnreadableFileError
        If the file cannot be read.
    MalformedFileError
        If a column that is used is missing or not numeric, there are no trials, no trial has
        a start, the times are no seconds, or more than `max_unusable_share` of the trials end
        before they start or have a ``feedbackType`` that is none of −1, 0 and 1.
    """
    collection = collection or task_of(one, eid).collection
    if collection is None:
        raise MissingFileError("the session lists no trials table and no log of trials", eid=eid)
    path = dataset_path(one, eid, f"{collection}/{TRIALS}")
    if path is not None:
        trials = read_trials_table(path, eid=eid, max_unusable_share=max_unusable_share)
        trials.attrs |= {"collection": collection, "source": EXTRACTED, "clock": "session"}
        return trials
    from iblnm.io.raw_task import load_raw_task, trials_clock

    task = load_raw_task(one, eid, collection)
    limit = max_unusable_share
    try:
        trials = check_trials(task.trials, eid=eid, path=task.path, max_unusable_share=limit)
    except MalformedFileError as error:
        raise RawTaskError(error.message, eid=eid, path=error.path) from error
    trials.attrs |= {
        "collection": collection,
        "source": RAW,
        "clock": trials_clock(one, eid),
        "extraction": task.note,
    }
    return trials


def read_trials_table(
    path: Path, *, eid: str | None = None, max_unusable_share: float = MAX_UNUSABLE_TRIAL_SHARE
) -> pd.DataFrame:
    """Read and check one trials file; see `load_trials_table`."""
    table = read_table(path, eid=eid)
    return check_trials(table, eid=eid, path=path, max_unusable_share=max_unusable_share)


def check_trials(
    table: pd.DataFrame,
    *,
    eid: str | None = None,
    path: Path | None = None,
    max_unusable_share: float = MAX_UNUSABLE_TRIAL_SHARE,
) -> pd.DataFrame:
    """Check a table of trials, and leave out what cannot be used; see `load_trials_table`.

    Parameters
    ----------
    table : DataFrame
        As in ALF; it is not changed.
    eid, path : optional
        Session and file to name in an error.
    max_unusable_share : float
    """
    missing = [name for name in REQUIRED_COLUMNS if name not in table]
    if missing:
        raise MalformedFileError(
            f"columns {', '.join(missing)} are missing; the table has {', '.join(table)}",
            eid=eid,
            path=path,
        )
    if table.empty:
        raise MalformedFileError("0 trials; at least 1 is expected", eid=eid, path=path)
    used, left_out = {}, []
    for name in map(str, table.columns):
        column = table[name]
        if name in REQUIRED_COLUMNS or _is_numeric(column):
            used[name] = _as_float(column, eid, path)
        else:
            left_out.append(name)
    trials = pd.DataFrame(used, index=pd.RangeIndex(len(table)))
    trials.attrs["left_out"] = left_out
    if not np.isfinite(trials["intervals_0"]).any():
        raise MalformedFileError(f"0 of {len(trials)} trials have a start", eid=eid, path=path)
    limit = max_unusable_share * len(trials)
    # as texts, since attributes of a stored table are no mappings
    wrong = _blank_wrong(trials, limit)
    _check_unit(trials, eid, path)
    for name, n in _blank_outside(trials).items():
        wrong[name] = wrong.get(name, 0) + n
    trials.attrs["wrong_values"] = [f"{name} in {n}" for name, n in wrong.items()]
    _check_ends(trials, eid, path)
    _check_feedback(trials, eid, path)
    n_bad = _blank_out_of_order(trials)
    trials.attrs["n_out_of_order"] = n_bad
    return trials


def task_interval(trials: pd.DataFrame) -> tuple[float, float]:
    """Start and end of the task, s: of the first and last interval that are known.

    Where the first trial has no start or the last no end, the first and last of its events
    take their place.
    """
    events = [name for name in _EVENT_COLUMNS if name in trials]
    times = trials[["intervals_0", "intervals_1", *events]].to_numpy(dtype=float)
    known = np.isfinite(times)
    rows = np.flatnonzero(known.any(axis=1))
    first, last = times[rows[0]], times[rows[-1]]
    start = first[0] if np.isfinite(first[0]) else np.nanmin(first)
    end = last[1] if np.isfinite(last[1]) else np.nanmax(last)
    return float(start), float(end)


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c"


def _as_float(column: pd.Series, eid: str | None, path: Path) -> np.ndarray:
    if column.dtype == object and column.isna().all():
        return np.full(len(column), np.nan)
    if not _is_numeric(column) and pd.api.types.is_string_dtype(column.dropna()):
        numbers = pd.to_numeric(column, errors="coerce")  # as tables of texts have them
        column = numbers if numbers.notna().eq(column.notna()).all() else column
    if not _is_numeric(column):
        raise MalformedFileError(
            f"column {column.name} has type {column.dtype}; numbers are expected",
            eid=eid,
            path=path,
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _check_feedback(trials: pd.DataFrame, eid: str | None, path: Path) -> None:
    feedback = trials["feedbackType"].to_numpy()
    wrong = feedback[~np.isin(feedback, _FEEDBACK_TYPES) & ~np.isnan(feedback)]
    if len(wrong):
        raise MalformedFileError(
            f"{len(wrong)} of {len(feedback)} trials have feedbackType {wrong[0]:g}; "
            "-1, 0 or 1 is expected",
            eid=eid,
            path=path,
        )


def _check_ends(trials: pd.DataFrame, eid: str | None, path: Path) -> None:
    start, end = trials["intervals_0"].to_numpy(), trials["intervals_1"].to_numpy()
    if end[-1] <= start[-1]:
        raise MalformedFileError(
            f"the last trial ends at {end[-1]:g} s, before it starts at {start[-1]:g} s",
            eid=eid,
            path=path,
        )


def _blank_wrong(trials: pd.DataFrame, limit: float) -> dict[str, int]:
    """Empty values that cannot be, where at most `limit` trials have such; how many there are."""
    middle = float(np.nanmedian(trials["intervals_0"].where(np.isfinite(trials["intervals_0"]))))
    wrong = {}
    for name in trials:
        values = trials[name]
        if name in _ACCEPTED:
            bad = ~values.isin(_ACCEPTED[name])
        elif name in _RANGES:
            bad = ~values.between(*_RANGES[name])
        elif name in (*_EVENT_COLUMNS, "intervals_0", "intervals_1"):
            bad = ~(np.isfinite(values) & ((values - middle).abs() <= _MAX_SPAN_S))
        else:
            continue
        wrong[name] = bad & values.notna()
    ends_early = trials["intervals_1"] <= trials["intervals_0"]
    wrong["intervals_1"] = wrong["intervals_1"] | ends_early
    counts = {name: int(bad.sum()) for name, bad in wrong.items() if 0 < bad.sum() <= limit}
    for name in counts:
        trials.loc[wrong[name], name] = np.nan
    return counts


def _check_unit(trials: pd.DataFrame, eid: str | None, path: Path | None) -> None:
    duration = (trials["feedback_times"] - trials["stimOn_times"]).median()
    if duration > _MAX_MEDIAN_RESPONSE_S:
        raise MalformedFileError(
            f"the median time from stimulus to feedback is {duration:g}; at most "
            f"{_MAX_MEDIAN_RESPONSE_S:g} s is expected: are these times in ms?",
            eid=eid,
            path=path,
        )


def _blank_outside(trials: pd.DataFrame) -> dict[str, int]:
    """Empty events that lie outside their trial; how many there are, by column."""
    first = trials["intervals_0"].to_numpy() - _OUTSIDE_S
    following = trials["intervals_0"].shift(-1).to_numpy()
    last = np.fmax(following, trials["intervals_1"].to_numpy()) + _OUTSIDE_S
    counts = {}
    for name in (name for name in _EVENT_COLUMNS if name in trials):
        times = trials[name].to_numpy()
        outside = (times < first) | (times > last)
        if outside.any():
            trials.loc[outside, name] = np.nan
            counts[name] = int(outside.sum())
    return counts


def _blank_out_of_order(trials: pd.DataFrame) -> int:
    """Empty the trials that do not start after the one before; how many there are."""
    start = trials["intervals_0"].to_numpy()
    known = np.flatnonzero(np.isfinite(start))
    bad = known[~check_clock(start[known]).usable]
    blank = [name for name in trials if name not in _PLANNED_COLUMNS]
    trials.loc[bad, blank] = np.nan
    return len(bad)
