"""Signs of life of processes that have claimed sessions, within a transaction of their table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from iblnm.storage.database import Connection

CLAIM_S = 900.0
"""A claim of a process that cannot be asked ends that long after its last sign of life."""
BEAT_S = 60.0
"""Between two signs of life."""
_KEPT_S = 7 * 24 * 3600.0

IsAlive = Callable[[str], bool | None]


def beats_in(db: Connection) -> dict[str, float]:
    """Last sign of life of each process [s since 1970]."""
    row = db.execute("SELECT value FROM facts WHERE name = 'beats'").fetchone()
    return {} if row is None else json.loads(row[0])


def beat_in(db: Connection, owner: str) -> None:
    """Note a sign of life, and forget processes that gave none for a week."""
    now = time.time()
    recent = {name: beat for name, beat in beats_in(db).items() if now - beat < _KEPT_S}
    set_fact(db, "beats", {**recent, owner: now})


def set_fact(db: Connection, name: str, value: Any) -> None:
    """Store a value by name."""
    sql = (
        "INSERT INTO facts (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    )
    db.execute(sql, (name, json.dumps(value)))


def works(owner: str | None, is_alive: IsAlive, beats: Mapping[str, float]) -> bool:
    """Whether a process still works: it is asked, else its last sign of life counts.

    Parameters
    ----------
    owner : str or None
    is_alive : callable
        None where that cannot be known.
    beats : mapping
        See `beats_in`.

    Examples
    --------
    >>> works("other/51b9/1:7", lambda owner: None, {"other/51b9/1:7": 0.0})
    False
    """
    if not owner:
        return False
    found = is_alive(owner)
    return time.time() - beats.get(owner, 0.0) < CLAIM_S if found is None else found
