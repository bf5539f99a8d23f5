"""Rows of the table of known sessions: what one look changes in them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iblnm.archive.sync_state import Look

UNSEEN, CHANGED = 1, 2
SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    eid TEXT PRIMARY KEY,
    start_time TEXT NOT NULL,
    listing TEXT NOT NULL,
    listed_in INTEGER NOT NULL DEFAULT 0,
    look INTEGER NOT NULL DEFAULT 1,
    flagged REAL NOT NULL DEFAULT 0,
    looked REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    look_at REAL NOT NULL DEFAULT 0,
    looks_left TEXT NOT NULL DEFAULT '[]',
    fingerprint TEXT,
    version TEXT,
    since REAL,
    handled TEXT,
    claimed TEXT,
    owner TEXT,
    withdrawn TEXT
);
CREATE TABLE IF NOT EXISTS versions (
    eid TEXT, fingerprint TEXT, visits INTEGER NOT NULL, PRIMARY KEY (eid, fingerprint)
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def fact(db: sqlite3.Connection, name: str, default: Any = None) -> Any:
    """A value by name."""
    row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return default if row is None else json.loads(row[0])


def set_facts(db: sqlite3.Connection, values: dict[str, Any]) -> None:
    """Store values by name."""
    db.executemany(
        "INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)",
        [(name, json.dumps(value)) for name, value in values.items()],
    )


def is_due(looks_left: str, now: float) -> bool:
    """Whether one of the times, as JSON, has come."""
    return any(due <= now for due in json.loads(looks_left))


def unflag(db: sqlite3.Connection, look: Look, again_s: Sequence[float]) -> None:
    """The session is not due any more, unless its change was learnt of during the look."""
    reason, flagged, looks_left = db.execute(
        "SELECT look, flagged, looks_left FROM sessions WHERE eid = ?", (look.eid,)
    ).fetchone()
    if flagged > look.time:  # another process has learnt of a change since the look began
        return
    again = [due for due in json.loads(looks_left) if due > look.time]
    if reason == CHANGED:
        again = [look.time + seconds for seconds in again_s]
    db.execute(
        "UPDATE sessions SET look = 0, look_at = 0, attempts = 0, looks_left = ? WHERE eid = ?",
        (json.dumps(again), look.eid),
    )


def take_in(db: sqlite3.Connection, look: Look) -> None:
    """Content that is not that of the look before is a version."""
    old, start_time, withdrawn = db.execute(
        "SELECT fingerprint, start_time, withdrawn FROM sessions WHERE eid = ?", (look.eid,)
    ).fetchone()
    db.execute(
        "UPDATE sessions SET start_time = ?, withdrawn = NULL, looked = ? WHERE eid = ?",
        (look.start_time or start_time, look.time, look.eid),
    )
    if withdrawn is not None:
        set_facts(db, {"withdrawn_changed": look.time})
    if look.fingerprint == old:
        return
    key = (look.eid, look.fingerprint)
    db.execute(
        "INSERT INTO versions VALUES (?, ?, 1)"
        " ON CONFLICT (eid, fingerprint) DO UPDATE SET visits = visits + 1",
        key,
    )
    (visits,) = db.execute(
        "SELECT visits FROM versions WHERE eid = ? AND fingerprint = ?", key
    ).fetchone()
    was_there = old is None and look.changed is not None
    db.execute(
        "UPDATE sessions SET fingerprint = ?, version = ?, since = ? WHERE eid = ?",
        (
            look.fingerprint,
            look.fingerprint if visits == 1 else f"{look.fingerprint}:{visits}",
            min(look.changed, look.time) if was_there else look.time,
            look.eid,
        ),
    )


def withdraw(db: sqlite3.Connection, look: Look) -> None:
    """Mark a session that is gone."""
    stamp = datetime.fromtimestamp(look.time, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    changed = db.execute(
        "UPDATE sessions SET withdrawn = ? WHERE eid = ? AND withdrawn IS NULL", (stamp, look.eid)
    ).rowcount
    if changed:
        set_facts(db, {"withdrawn_changed": look.time})
