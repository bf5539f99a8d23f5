"""Lists of sessions on Alyx, by windows that fit one answer.

Alyx orders lists by start time alone, so a page boundary between equal start times loses rows:
a ``next`` is never followed. A list that does not fit into one answer is asked for again in two
halves by start time, and where more start together than fit, by identifiers. (Halves by a
dataset's time would not be disjoint: each condition on the datasets of a session may hold for
another dataset.)
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from iblnm.archive.remote import rest
from iblnm.errors import ServerError

MAX_ROWS = 1000
"""Alyx never gives more rows than this in one answer."""
FIRST_START = "1900-01-01T00:00:00"
LAST_START = "2100-01-01T00:00:00"
_SMALLEST_WINDOW = timedelta(microseconds=2)


def list_remote_sessions(
    one: Any,
    project: str | None,
    condition: str = "",
    *,
    start: str | None = None,
    end: str | None = None,
    **patience: float,
) -> dict[str, dict[str, Any]]:
    """Sessions of a project on Alyx.

    Parameters
    ----------
    one : ONE
        In remote mode.
    project : str or None
        Exact name; None for all sessions.
    condition : str
        A further one, as Alyx's ``django`` takes it.
    start, end : str, optional
        ``start <= start_time < end`` (ISO 8601); by default there are no limits.
    **patience
        As for `iblnm.archive.rest`.

    Returns
    -------
    dict
        REST records by eid.

    Raises
    ------
    ServerError
        An answer is not complete.
    """
    parts = [f"projects__name,{project}" if project else "", condition]
    if start is not None:
        parts.append(f"start_time__gte,{start},start_time__lt,{end}")
    query = ",".join(part for part in parts if part)
    found = rest(
        one, "sessions", "list", limit=MAX_ROWS, **({"django": query} if query else {}), **patience
    )
    if found.count <= MAX_ROWS:
        if len(found) < found.count:
            raise ServerError(f"a list of {found.count} sessions came with {len(found)} rows")
        return {eid_of(row): row for row in found}
    first = datetime.fromisoformat(start or FIRST_START)
    last = datetime.fromisoformat(end or LAST_START)
    if last - first < _SMALLEST_WINDOW:
        return _of_one_start(one, query, **patience)
    edges = [exact_text(moment) for moment in (first, first + (last - first) / 2, last)]
    rows: dict[str, dict[str, Any]] = {}
    for left, right in pairwise(edges):
        rows |= list_remote_sessions(one, project, condition, start=left, end=right, **patience)
    return rows


def _of_one_start(
    one: Any, query: str, first: int = 0, last: int = 1 << 128, **patience: float
) -> dict[str, dict[str, Any]]:
    """Sessions of a query that start together, by halves of their identifiers."""
    window = [query, f"id__gte,{uuid.UUID(int=first)}"]
    if last < 1 << 128:
        window.append(f"id__lt,{uuid.UUID(int=last)}")
    parts = ",".join(part for part in window if part)
    found = rest(one, "sessions", "list", limit=MAX_ROWS, django=parts, **patience)
    if found.count <= MAX_ROWS:
        if len(found) < found.count:
            raise ServerError(f"a list of {found.count} sessions came with {len(found)} rows")
        return {eid_of(row): row for row in found}
    middle = (first + last) // 2
    if middle == first:
        raise ServerError(f"{found.count} sessions have one identifier")
    rows = _of_one_start(one, query, first, middle, **patience)
    return rows | _of_one_start(one, query, middle, last, **patience)


def eid_of(row: dict[str, Any]) -> str:
    """Identifier of a session's record; a list may have only its address."""
    return str(row.get("id") or str(row["url"]).rstrip("/").split("/")[-1])


def exact_text(moment: datetime) -> str:
    """ISO 8601 with microseconds, so that texts compare as times do."""
    return moment.isoformat(timespec="microseconds")
