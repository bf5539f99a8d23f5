"""A session in words: what a reader knows it by."""

from __future__ import annotations

from iblnm.errors import IblnmError
from iblnm.pipeline.rules.values import Row, as_row, get, get_list
from iblnm.storage.store import SessionStore


def session_words(session_row: Row) -> str:
    """Subject, date and targets of a session, as far as they are known.

    Examples
    --------
    >>> session_words({"subject": "CQ002", "start_time": "2024-11-05", "target_NM": ["SI-ACh"]})
    'CQ002 2024-11-05 (SI-ACh)'
    """
    row = as_row(session_row)
    targets = [str(name) for name in get_list(row, "target_NM") if name]
    targets = targets or [str(name) for name in get_list(row, "brain_region") if name]
    parts = [get(row, "subject"), str(get(row, "start_time") or "")[:10]]
    parts.append(f"({', '.join(dict.fromkeys(targets))})" if targets else None)
    return " ".join(str(part) for part in parts if part)


def stored_session_words(store: SessionStore, eid: str) -> str:
    """`session_words` of what is stored of a session; its eid where nothing is."""
    try:
        row = store.load("session", eid)
    except IblnmError:
        return eid
    return eid if row is None else session_words(row) or eid
