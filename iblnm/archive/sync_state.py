"""What is known of the archive's sessions: content seen, content handled, what is to be done.

Of a session four facts count: its eid, the fingerprint of the content that was seen, the
fingerprint of the content that has had its run, and whether it was withdrawn. A session whose
two fingerprints differ gets one run. The other columns say when to look at it next.

One SQLite file, ``metadata/sync.sqlite``, or a schema of PostgreSQL. Every method is one
transaction, so a process that is killed leaves the table as it was before or as it is after, and
several processes may share it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from iblnm.archive.claims import IsAlive, beat_in, beats_in, set_fact, works
from iblnm.config import Settings
from iblnm.storage.database import (
    Connection,
    Place,
    place_of,
    run_script,
    schema_version,
    transaction,
)

FIRST_RETRY_S = 60.0
LONGEST_RETRY_S = 6 * 3600.0
_VERSION = 2
_UNHANDLED = "(seen <> handled OR (seen IS NULL) <> (handled IS NULL))"
_FAULT = (
    "the table of known sessions is damaged ({error}): delete it, and the next full listing of "
    "the archive makes it anew"
)
# a session is due for a look if it was named after the last look, or that much earlier than now;
# never looked at is -1, and that is before everything
_SCHEMA = """
CREATE TABLE sessions (
    eid TEXT PRIMARY KEY,
    start_time TEXT NOT NULL,
    seen TEXT,
    since DOUBLE PRECISION,
    handled TEXT,
    withdrawn TEXT,
    named DOUBLE PRECISION NOT NULL DEFAULT 0,
    looked DOUBLE PRECISION NOT NULL DEFAULT -1,
    attempts INTEGER NOT NULL DEFAULT 0,
    retry_at DOUBLE PRECISION NOT NULL DEFAULT 0,
    owner TEXT
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_FROM_FIRST_VERSION = f"""
ALTER TABLE sessions RENAME TO first_version;
{_SCHEMA}
INSERT INTO sessions (eid, start_time, seen, since, handled, withdrawn, looked)
    SELECT eid, start_time, fingerprint, since, iif(handled IS version, fingerprint, NULL),
    withdrawn, iif(look, -1, looked) FROM first_version;
DROP TABLE first_version;
DROP TABLE versions;
DELETE FROM facts WHERE name = 'listing';
"""


@dataclass(frozen=True)
class Sight:
    """Content of one session.

    Parameters
    ----------
    fingerprint : str
        Digest of what the pipeline reads of it.
    start_time : str
        ISO 8601.
    stamp : str, optional
        Its last save, by the clock of the server (ISO 8601, without time zone).
    changed : float, optional
        When its content last changed, where that is known [s since 1970].
    """

    fingerprint: str
    start_time: str
    stamp: str | None = None
    changed: float | None = None


@dataclass(frozen=True)
class Waiting:
    """A content that no run has taken in yet.

    Parameters
    ----------
    eid : str
    start_time : str
    fingerprint : str
    since : float
        When it was first seen [s since 1970]: a run created later has read it.
    """

    eid: str
    start_time: str
    fingerprint: str
    since: float

    @property
    def run_key(self) -> str:
        """Key of the one run that may be asked for it; a content may come back later."""
        return f"{self.eid}:{self.fingerprint}@{self.since:.6f}"


def open_state(settings: Settings) -> SyncState:
    """The table of the settings' root."""
    return SyncState(state_place(settings))


def state_place(settings: Settings) -> Place:
    """Where that table is."""
    return place_of(settings, "sync")


class SyncState:
    """The table of known sessions.

    Parameters
    ----------
    place : Path or PostgresTables
        Made at first use.
    """

    def __init__(self, place: Place | str):
        self._place = Path(place) if isinstance(place, str) else place

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with transaction(self._place, _bring_up_to_date, fault=_FAULT) as connection:
            yield connection

    # facts: clocks and progress ---------------------------------------------------------------

    def fact(self, name: str, default: Any = None) -> Any:
        """A value by name."""
        with self._transaction() as db:
            row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def set_facts(self, **values: Any) -> None:
        """Store values by name, together."""
        with self._transaction() as db:
            _set_facts(db, values)

    # what is listed ---------------------------------------------------------------------------

    def note(
        self,
        starts: Mapping[str, str],
        *,
        named: float | None = None,
        awaited_s: float = 0.0,
        **facts,
    ) -> list[str]:
        """Take in a list of sessions; a new one is due for a look.

        Parameters
        ----------
        starts : mapping
            Start times (ISO 8601) by eid.
        named : float, optional
            Every session of the list is known to have changed: it is due, and again later,
            since what changed with it may show late. The time is after the list was made
            [s since 1970].
        awaited_s : float
            But not those that were named less than that before: they are looked at anyway [s].
        **facts
            Stored in the same transaction.

        Returns
        -------
        list of str
            Sessions that were not known.
        """
        with self._transaction() as db:
            new = _insert(db, starts)
            if named is not None:
                db.executemany(
                    "UPDATE sessions SET named = ? WHERE eid = ? AND named + ? <= ?",
                    [(named, eid, awaited_s, named) for eid in starts],
                )
            _set_facts(db, facts)
        return new

    def note_all(
        self, starts: Mapping[str, str], start: str = "", end: str | None = None, **facts: Any
    ) -> list[str]:
        """Take in the list of all sessions that start in a window.

        A known one that is not in it is due for a look, and so is a withdrawn one that is.

        Parameters
        ----------
        starts : mapping
            Start times (ISO 8601) by eid.
        start, end : str
            ``start <= start_time < end``; by default there are no limits.
        **facts
            Stored in the same transaction.

        Returns
        -------
        list of str
            Sessions that were not known.
        """
        with self._transaction() as db:
            new = _insert(db, starts)
            known = db.execute(
                "SELECT eid, withdrawn IS NULL, start_time FROM sessions"
            ).fetchall()
            _look_at(
                db,
                [
                    eid
                    for eid, is_there, since in known
                    if (_is_within(since, start, end) and is_there and eid not in starts)
                    or (not is_there and eid in starts)
                ],
            )
            _set_facts(db, facts)
        return new

    def look_at(self, eids: Iterable[str] | None = None, **facts: Any) -> None:
        """These sessions are due for a look; by default, all that are there."""
        with self._transaction() as db:
            if eids is None:
                db.execute("UPDATE sessions SET looked = -1 WHERE withdrawn IS NULL")
            else:
                _look_at(db, eids)
            _set_facts(db, facts)

    def look_at_oldest(self, n: int, **facts: Any) -> None:
        """So many sessions are due that were looked at longest ago."""
        with self._transaction() as db:
            db.execute(
                "UPDATE sessions SET looked = -1 WHERE eid IN (SELECT eid FROM sessions"
                " WHERE looked >= 0 AND withdrawn IS NULL ORDER BY looked LIMIT ?)",
                (n,),
            )
            _set_facts(db, facts)

    # looks ------------------------------------------------------------------------------------

    def due(self, now: float, again_s: Sequence[float] = ()) -> list[str]:
        """Sessions to look at, in order of start time, those that failed before last.

        Parameters
        ----------
        now : float
        again_s : sequence of float
            How much later a session that was named is looked at once more [s].
        """
        times = (0.0, *again_s)
        is_due = " OR ".join(["(looked < named + ? AND named + ? <= ?)"] * len(times))
        values = [value for seconds in times for value in (seconds, seconds, now)]
        with self._transaction() as db:
            rows = db.execute(
                f"SELECT eid FROM sessions WHERE ({is_due}) AND retry_at <= ?"
                " ORDER BY attempts, start_time, eid",
                (*values, now),
            ).fetchall()
        return [eid for (eid,) in rows]

    def looked(self, sights: Mapping[str, tuple[float, Sight | None]], **facts: Any) -> None:
        """Take in what looks at sessions found.

        Parameters
        ----------
        sights : mapping
            By eid: when the look began [s since 1970], for a run created later reads this content
            or newer; and what it found, None if the archive has no such session (any more).
        **facts
            Stored in the same transaction.
        """
        with self._transaction() as db:
            for eid, (began, sight) in sights.items():
                _take_in(db, eid, began, sight)
            _set_facts(db, facts)

    def failed(self, eid: str, now: float) -> None:
        """Put a look that failed off, longer each time."""
        with self._transaction() as db:
            (attempts,) = db.execute(
                "SELECT attempts FROM sessions WHERE eid = ?", (eid,)
            ).fetchone()
            wait_s = min(FIRST_RETRY_S * 2**attempts, LONGEST_RETRY_S)
            db.execute(
                "UPDATE sessions SET looked = -1, attempts = ?, retry_at = ? WHERE eid = ?",
                (attempts + 1, now + wait_s, eid),
            )

    # what waits for a run ---------------------------------------------------------------------

    def waiting(self, is_alive: IsAlive = lambda owner: True) -> list[Waiting]:
        """Contents that no run has taken in, in order of start time.

        Parameters
        ----------
        is_alive : callable
            Says of an owner whether it still works, None if that cannot be known: then its last
            sign of life counts (`CLAIM_S`). What a dead one had claimed waits again.
        """
        with self._transaction() as db:
            rows = db.execute(
                "SELECT eid, start_time, seen, since, owner FROM sessions"
                f" WHERE {_UNHANDLED} AND withdrawn IS NULL ORDER BY start_time, eid"
            ).fetchall()
            beats = beats_in(db)
        alive = {owner: works(owner, is_alive, beats) for owner in {row[4] for row in rows}}
        return [Waiting(*row[:4]) for row in rows if not alive[row[4]]]

    def settle(self, handled: Iterable[Waiting]) -> None:
        """These contents have had their run."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE sessions SET handled = ? WHERE eid = ?",
                [(waiting.fingerprint, waiting.eid) for waiting in handled],
            )

    def claim(
        self, eids: Iterable[str], owner: str, is_alive: IsAlive = lambda owner: False
    ) -> tuple[dict[str, Waiting], dict[str, str]]:
        """Say that a process is about to run these sessions.

        Of two processes that claim the same at the same time, one gets it.

        Parameters
        ----------
        eids : iterable of str
        owner : str
            The process.
        is_alive : callable
            See `waiting`. By default, what others have claimed is taken over.

        Returns
        -------
        contents : dict
            What is known of the content of the claimed sessions, by eid.
        held : dict
            Sessions that another process has in hand, and which.
        """
        with self._transaction() as db:
            owners = dict(db.execute("SELECT eid, owner FROM sessions WHERE owner IS NOT NULL"))
            beats = beats_in(db)
            alive = {other: works(other, is_alive, beats) for other in set(owners.values())}
            wanted = list(eids)
            held = {
                eid: owners[eid]
                for eid in wanted
                if eid in owners and owners[eid] != owner and alive[owners[eid]]
            }
            db.executemany(
                "UPDATE sessions SET owner = ? WHERE eid = ?",
                [(owner, eid) for eid in wanted if eid not in held],
            )
            rows = db.execute(
                "SELECT eid, start_time, seen, since FROM sessions"
                " WHERE owner = ? AND seen IS NOT NULL",
                (owner,),
            ).fetchall()
            beat_in(db, owner)
        return {row[0]: Waiting(*row) for row in rows}, held

    def claimed(self, is_alive: IsAlive) -> set[str]:
        """Sessions that a process is about to run; see `waiting`."""
        with self._transaction() as db:
            rows = db.execute("SELECT eid, owner FROM sessions WHERE owner IS NOT NULL").fetchall()
            beats = beats_in(db)
        alive = {owner: works(owner, is_alive, beats) for owner in {owner for _, owner in rows}}
        return {eid for eid, owner in rows if alive[owner]}

    def beat(self, owner: str) -> None:
        """A sign of life, for processes of other machines."""
        with self._transaction() as db:
            beat_in(db, owner)

    def beats(self) -> dict[str, float]:
        """Last sign of life of each process that claims sessions [s since 1970]."""
        with self._transaction() as db:
            return beats_in(db)

    def release(self, owner: str) -> None:
        """Give up what the owner has claimed."""
        with self._transaction() as db:
            db.execute("UPDATE sessions SET owner = NULL WHERE owner = ?", (owner,))

    # what there is ----------------------------------------------------------------------------

    def known(self) -> list[str]:
        """Sessions of the archive in order of start time, withdrawn ones left out."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT eid FROM sessions WHERE withdrawn IS NULL ORDER BY start_time, eid"
            )
            return [eid for (eid,) in rows]

    def start_after(self, start: str, n: int) -> str | None:
        """Start time of the n-th known session that starts later; None if there are fewer."""
        with self._transaction() as db:
            row = db.execute(
                "SELECT start_time FROM sessions WHERE start_time > ?"
                " ORDER BY start_time LIMIT 1 OFFSET ?",
                (start, n - 1),
            ).fetchone()
        return None if row is None else row[0]

    def withdrawn(self) -> dict[str, str]:
        """When a session was found to be gone from the archive (ISO 8601, UTC), by eid."""
        if not self._place.exists():
            return {}
        with self._transaction() as db:
            return dict(
                db.execute("SELECT eid, withdrawn FROM sessions WHERE withdrawn IS NOT NULL")
            )

    def counts(self) -> dict[str, int]:
        """Sessions: known, to be looked at, waiting for a run, withdrawn."""
        names = {
            "known": "withdrawn IS NULL",
            "unseen": "looked < named",
            "waiting": f"{_UNHANDLED} AND withdrawn IS NULL",
            "withdrawn": "withdrawn IS NOT NULL",
        }
        sums = ", ".join(
            f"count(CASE WHEN {condition} THEN 1 END)" for condition in names.values()
        )
        with self._transaction() as db:
            row = db.execute(f"SELECT {sums} FROM sessions").fetchone()
        return dict(zip(names, map(int, row), strict=True))


def _bring_up_to_date(db: Connection) -> None:
    version = schema_version(db)
    if version != _VERSION:
        run_script(db, _FROM_FIRST_VERSION if version else _SCHEMA, _VERSION)


def _set_facts(db: Connection, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        set_fact(db, name, value)


def _is_within(start_time: str, start: str, end: str | None) -> bool:
    return start_time >= start and (end is None or start_time < end)


def _insert(db: Connection, starts: Mapping[str, str]) -> list[str]:
    known = {eid for (eid,) in db.execute("SELECT eid FROM sessions").fetchall()}
    new = [eid for eid in starts if eid not in known]
    sql = "INSERT INTO sessions (eid, start_time) VALUES (?, ?)"
    db.executemany(sql, [(eid, starts[eid]) for eid in new])
    return new


def _look_at(db: Connection, eids: Iterable[str]) -> None:
    db.executemany("UPDATE sessions SET looked = -1 WHERE eid = ?", [(eid,) for eid in eids])


def _take_in(db: Connection, eid: str, began: float, sight: Sight | None) -> None:
    seen, handled, withdrawn = db.execute(
        "SELECT seen, handled, withdrawn FROM sessions WHERE eid = ?", (eid,)
    ).fetchone()
    db.execute(
        "UPDATE sessions SET looked = ?, attempts = 0, retry_at = 0 WHERE eid = ?", (began, eid)
    )
    if (sight is None) != (withdrawn is not None):
        stamp = datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        gone = stamp if sight is None else None
        db.execute("UPDATE sessions SET withdrawn = ? WHERE eid = ?", (gone, eid))
        _set_facts(db, {"withdrawn_changed": began})
    if sight is None:
        return
    db.execute("UPDATE sessions SET start_time = ? WHERE eid = ?", (sight.start_time, eid))
    if sight.fingerprint == seen:
        return
    was_there = seen is None and sight.changed is not None
    since = min(sight.changed, began) if was_there else began
    # a run for what was seen may be under way: even if the handled content is back, it is not
    # what the outputs will hold
    handled = handled if seen == handled else None
    db.execute(
        "UPDATE sessions SET seen = ?, since = ?, handled = ? WHERE eid = ?",
        (sight.fingerprint, since, handled, eid),
    )
