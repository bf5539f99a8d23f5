"""What has changed on Alyx: lists of what was saved, and the content of one session."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from iblnm.archive.listing import MAX_ROWS, exact_text, list_remote_sessions
from iblnm.archive.remote import rest
from iblnm.archive.sync_state import Sight
from iblnm.errors import NotFoundError
from iblnm.io.nesting import is_too_deep

_STAMPS = {
    "sessions": "auto_datetime",
    "datasets": "data_dataset_session_related__auto_datetime",
}
# what the pipeline reads of a session's record; a save that changes nothing else is no change
_FIELDS = (
    "subject",
    "start_time",
    "end_time",
    "number",
    "task_protocol",
    "projects",
    "users",
    "lab",
    "qc",
    "extended_qc",
    "json",
)
NO_START = ""
"""Start of a session for which Alyx knows none: no window of start times has it."""
_DATASET_FIELDS = ("collection", "name", "revision", "file_size", "hash", "default_revision")


class RemoteChanges:
    """The sessions of a project on Alyx.

    Parameters
    ----------
    one : ONE
        In remote mode.
    project : str
        Exact name.
    max_total_s : float, optional
        Patience with one call [s]; see `iblnm.archive.remote.rest`.
    """

    def __init__(self, one: Any, project: str, *, max_total_s: float | None = None):
        self._one = one
        self._project = project
        self._patience = {} if max_total_s is None else {"max_total_s": max_total_s}

    @property
    def clock_ahead_s(self) -> float | None:
        """By how much the server's clock is ahead of ours, by its answers; None if not known."""
        return getattr(self._one.alyx, "clock_ahead_s", None)

    def changed_since(self, clock: str, stamp: str) -> dict[str, str]:
        """Sessions saved, or of which a dataset was saved, at this time or later: start by eid.

        Parameters
        ----------
        clock : {'sessions', 'datasets'}
        stamp : str
            Time of the server's clock.
        """
        return self._list(condition=f"{_STAMPS[clock]}__gte,{stamp}")

    def started_between(self, start: str, end: str) -> dict[str, str]:
        """Sessions with start <= start_time < end: start by eid."""
        return self._list(start=start, end=end)

    def newest_dataset_stamp(self, stamp: str) -> str | None:
        """A late save of any dataset at this time or later; the latest of one answer."""
        query = f"auto_datetime__gte,{stamp}"
        found = rest(self._one, "datasets", "list", django=query, limit=MAX_ROWS, **self._patience)
        return max((exact_stamp(row["auto_datetime"]) for row in found), default=None)

    def look(self, eid: str) -> Sight | None:
        """Content of a session; None if it is not there or not in the project any more."""
        try:
            record = rest(self._one, "sessions", "read", eid, **self._patience)
        except NotFoundError:
            return None
        if self._project not in (record.get("projects") or []):
            return None
        stamp = record.get("auto_datetime")
        return Sight(
            record_fingerprint(record),
            record["start_time"] or NO_START,
            exact_stamp(stamp) if stamp else None,
        )

    def _list(self, **window: str) -> dict[str, str]:
        rows = list_remote_sessions(self._one, self._project, **window, **self._patience)
        return {eid: row["start_time"] or NO_START for eid, row in rows.items()}


def record_fingerprint(record: Mapping[str, Any]) -> str:
    """Digest of what the pipeline reads of a session's record.

    Parameters
    ----------
    record : mapping
        REST detail of a session.

    Returns
    -------
    str
        The same for two records that differ in the order of lists, or in fields that nothing
        is made of (narrative, notes, time of the save).
    """
    # what is too deep to be written cannot be read by a run either, which says so
    fields = {
        name: _plain(name, None if is_too_deep(value) else value)
        for name in _FIELDS
        for value in [record.get(name)]
    }
    datasets = [
        [
            *(item.get(name) for name in _DATASET_FIELDS),
            bool(item.get("data_url")),
            *(["CRITICAL"] if _is_critical(item.get("qc")) else []),
        ]
        for item in record.get("data_dataset_session_related") or []
    ]
    insertions = [
        [item.get("id"), item.get("name")] for item in record.get("probe_insertion") or []
    ]
    return digest([fields, sorted(datasets, key=repr), sorted(insertions, key=repr)])


def _is_critical(qc: Any) -> bool:
    """Whether a dataset is left out for its quality, which Alyx gives as a name or a number."""
    return str(qc).upper() in ("CRITICAL", "50")


def digest(value: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a value as JSON.

    Examples
    --------
    >>> digest({"a": 1, "b": None}) == digest({"b": None, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def exact_stamp(text: str) -> str:
    """A time as the server writes it, with microseconds, so that texts compare as times do.

    Examples
    --------
    >>> exact_stamp("2025-06-01T12:00:00")
    '2025-06-01T12:00:00.000000'
    """
    return exact_text(datetime.fromisoformat(text).replace(tzinfo=None))


def later(stamp: str, seconds: float) -> str:
    """A stamp that much later, or earlier.

    Examples
    --------
    >>> later("2025-06-01T12:00:00.000000", -7200)
    '2025-06-01T10:00:00.000000'
    """
    return exact_text(datetime.fromisoformat(stamp) + timedelta(seconds=seconds))


def _plain(name: str, value: Any) -> Any:
    """A value without what has no meaning: the order of a set, null against empty."""
    if name in ("projects", "users"):
        return sorted(map(str, value or []))
    return None if value in ("", [], {}) else value
