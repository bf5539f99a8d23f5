"""What is known of the archive's sessions: content seen, content handled, what is to be done.

One SQLite file, ``metadata/sync.sqlite``. Every method is one transaction, so a process that is
killed leaves the table as it was before or as it is after, and several processes may share it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iblnm.archive import _sync_rows
from iblnm.config import Settings
from iblnm.errors import TransientError, UnreadableFileError

BUSY_TIMEOUT_S = 30.0
FIRST_RETRY_S = 60.0
LONGEST_RETRY_S = 6 * 3600.0


@dataclass(frozen=True)
class Listed:
    """A session as a list of the archive shows it.

    Parameters
    ----------
    eid : str
    start_time : str
        ISO 8601.
    listing : str
        Digest of what the list tells; another one is a reason for a look at the session.
    """

    eid: str
    start_time: str
    listing: str


@dataclass(frozen=True)
class Look:
    """What a look at one session found.

    Parameters
    ----------
    eid : str
    fingerprint : str or None
        Digest of its content; None if the archive has no such session (any more).
    start_time : str, optional
        As it is now.
    time : float
        When the look began [s since 1970]: a run created later reads this content or newer.
    changed : float, optional
        When the content last changed, where that is known [s since 1970].
    """

    eid: str
    fingerprint: str | None
    time: float
    start_time: str | None = None
    changed: float | None = None


@dataclass(frozen=True)
class Waiting:
    """A content version that no run has taken in yet.

    Parameters
    ----------
    eid : str
    start_time : str
    version : str
        Fingerprint; with ``:2`` and so on if the content has come back to an earlier state.
    since : float
        When it was first seen [s since 1970]: a run created later has read it.
    """

    eid: str
    start_time: str
    version: str
    since: float

    @property
    def run_key(self) -> str:
        """Key of the one run that may be asked for it."""
        return f"{self.eid}:{self.version}"


def open_state(settings: Settings) -> SyncState:
    """The table of the settings' root."""
    return SyncState(state_path(settings))


def state_path(settings: Settings) -> Path:
    """File of that table."""
    return settings.metadata_dir / "sync.sqlite"


class SyncState:
    """The table of known sessions.

    Parameters
    ----------
    path : Path
        Made at first use.
    """

    def __init__(self, path: Path | str):
        self._path = Path(path)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(
                sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            ) as connection:
                if not connection.execute("PRAGMA user_version").fetchone()[0]:
                    connection.executescript(
                        f"BEGIN;{_sync_rows.SCHEMA}PRAGMA user_version = 1;COMMIT"
                    )
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    yield connection
        except sqlite3.OperationalError as error:
            raise TransientError(f"{self._path.name}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise UnreadableFileError(
                f"the table of known sessions is damaged ({error}): delete it, and the next "
                "full listing of the archive makes it anew",
                path=self._path,
            ) from error

    # facts: clocks and progress ---------------------------------------------------------------

    def fact(self, name: str, default: Any = None) -> Any:
        """A value by name."""
        with self._transaction() as db:
            return _sync_rows.fact(db, name, default)

    def set_facts(self, **values: Any) -> None:
        """Store values by name, together."""
        with self._transaction() as db:
            _sync_rows.set_facts(db, values)

    # what is listed ---------------------------------------------------------------------------

    def note(
        self,
        rows: Iterable[Listed],
        now: float,
        *,
        look: bool = False,
        unless_awaited: bool = False,
        epoch: int | None = None,
        **facts: Any,
    ) -> list[str]:
        """Take in a list; a session that is new, or looks different, is due for a look.

        Parameters
        ----------
        rows : iterable of Listed
        now : float
            After the list was made [s since 1970].
        look : bool
            Every session of the list is due, whatever it looks like, and again later: it is
            known to have changed, and what changed with it may show late.
        unless_awaited : bool
            But not those that will be looked at again anyway.
        epoch : int, optional
            Number of the full listing that the list is part of.
        **facts
            Stored in the same transaction.

        Returns
        -------
        list of str
            Sessions that were not known.
        """
        new = []
        with self._transaction() as db:
            known = {
                eid: (listing, looks_left != "[]")
                for eid, listing, looks_left in db.execute(
                    "SELECT eid, listing, looks_left FROM sessions"
                )
            }
            for row in rows:
                listing, awaited = known.get(row.eid, (None, False))
                changed = look and not (unless_awaited and awaited)
                reason = _sync_rows.CHANGED if changed else _sync_rows.UNSEEN
                if listing is None:
                    new.append(row.eid)
                    db.execute(
                        "INSERT INTO sessions (eid, start_time, listing) VALUES (?, ?, ?)",
                        (row.eid, row.start_time, row.listing),
                    )
                if changed or listing != row.listing:
                    db.execute(
                        "UPDATE sessions SET look = max(look, ?), flagged = ?, listing = ?"
                        " WHERE eid = ?",
                        (reason, now, row.listing, row.eid),
                    )
                known[row.eid] = (row.listing, awaited)
                if epoch is not None:
                    db.execute(
                        "UPDATE sessions SET listed_in = ?1, look = max(look, withdrawn NOT NULL),"
                        " flagged = iif(withdrawn NOT NULL, ?2, flagged) WHERE eid = ?3",
                        (epoch, now, row.eid),
                    )
            _sync_rows.set_facts(db, facts)
        return new

    def miss(self, number: int, **facts: Any) -> None:
        """Sessions that the full listing of this number did not show are due for a look."""
        with self._transaction() as db:
            db.execute(
                "UPDATE sessions SET look = max(look, 1)"
                " WHERE listed_in < ? AND withdrawn IS NULL",
                (number,),
            )
            _sync_rows.set_facts(db, facts)

    def look_at_all(self, **facts: Any) -> None:
        """Every session is due for a look."""
        with self._transaction() as db:
            db.execute("UPDATE sessions SET look = max(look, 1) WHERE withdrawn IS NULL")
            _sync_rows.set_facts(db, facts)

    def look_at_oldest(self, before: float) -> None:
        """The session that was looked at longest ago is due, if that was before this time."""
        with self._transaction() as db:
            db.execute(
                "UPDATE sessions SET look = 1 WHERE eid = (SELECT eid FROM sessions"
                " WHERE look = 0 AND withdrawn IS NULL AND looked < ? ORDER BY looked LIMIT 1)",
                (before,),
            )

    # looks ------------------------------------------------------------------------------------

    def due(self, now: float) -> list[str]:
        """Sessions to look at, in order of start time, those that failed before last."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT eid, look AND look_at <= ?, looks_left FROM sessions"
                " WHERE look OR looks_left != '[]' ORDER BY attempts, start_time, eid",
                (now,),
            ).fetchall()
        return [eid for eid, flagged, left in rows if flagged or _sync_rows.is_due(left, now)]

    def looked(self, looks: Sequence[Look], again_s: Sequence[float] = (), **facts: Any) -> None:
        """Take in what looks found.

        Parameters
        ----------
        looks : sequence of Look
        again_s : sequence of float
            How much later to look again at a session that a clock named [s].
        **facts
            Stored in the same transaction.
        """
        with self._transaction() as db:
            for look in looks:
                _sync_rows.unflag(db, look, again_s)
                if look.fingerprint is None:
                    _sync_rows.withdraw(db, look)
                else:
                    _sync_rows.take_in(db, look)
            _sync_rows.set_facts(db, facts)

    def failed(self, eid: str, now: float) -> None:
        """Put a look that failed off, longer each time."""
        with self._transaction() as db:
            (attempts,) = db.execute(
                "SELECT attempts FROM sessions WHERE eid = ?", (eid,)
            ).fetchone()
            wait = min(FIRST_RETRY_S * 2**attempts, LONGEST_RETRY_S)
            db.execute(
                "UPDATE sessions SET look = max(look, 1), looks_left = '[]', attempts = ?,"
                " look_at = ? WHERE eid = ?",
                (attempts + 1, now + wait, eid),
            )

    # what waits for a run ---------------------------------------------------------------------

    def waiting(self, is_alive: Callable[[str], bool] = lambda owner: True) -> list[Waiting]:
        """Versions that no run has taken in, in order of start time.

        Parameters
        ----------
        is_alive : callable
            Says of an owner whether it still works; what a dead one had claimed waits again.
        """
        with self._transaction() as db:
            rows = db.execute(
                "SELECT eid, start_time, version, since, owner FROM sessions"
                " WHERE version IS NOT NULL AND version IS NOT handled AND withdrawn IS NULL"
                " ORDER BY start_time, eid"
            ).fetchall()
        alive = {owner: is_alive(owner) for owner in {row[4] for row in rows} if owner}
        return [Waiting(*row[:4]) for row in rows if not alive.get(row[4], False)]

    def claimed(self, is_alive: Callable[[str], bool]) -> set[str]:
        """Sessions that a process is about to run."""
        with self._transaction() as db:
            rows = db.execute("SELECT eid, owner FROM sessions WHERE owner NOT NULL").fetchall()
        alive = {owner: is_alive(owner) for owner in {owner for _, owner in rows}}
        return {eid for eid, owner in rows if alive[owner]}

    def claim(self, eids: Iterable[str], owner: str) -> None:
        """Say that a process is about to run these sessions, with the content known now."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE sessions SET owner = ?, claimed = version WHERE eid = ?",
                [(owner, eid) for eid in eids],
            )

    def settle_claim(self, eid: str, owner: str) -> None:
        """The session has been run by the owner: what it had claimed is handled."""
        with self._transaction() as db:
            db.execute(
                "UPDATE sessions SET handled = claimed, owner = NULL, claimed = NULL"
                " WHERE eid = ? AND owner = ? AND claimed IS NOT NULL",
                (eid, owner),
            )

    def release(self, owner: str) -> None:
        """Give up what the owner has claimed and not run."""
        with self._transaction() as db:
            db.execute(
                "UPDATE sessions SET owner = NULL, claimed = NULL WHERE owner = ?", (owner,)
            )

    def settle(self, handled: Iterable[Waiting]) -> None:
        """These versions have their run."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE sessions SET handled = ? WHERE eid = ?",
                [(waiting.version, waiting.eid) for waiting in handled],
            )

    # what there is ----------------------------------------------------------------------------

    def known(self) -> list[str]:
        """Sessions of the archive in order of start time, withdrawn ones left out."""
        with self._transaction() as db:
            return [
                eid
                for (eid,) in db.execute(
                    "SELECT eid FROM sessions WHERE withdrawn IS NULL ORDER BY start_time, eid"
                )
            ]

    def listings(self) -> dict[str, str]:
        """Digest of what the last list told, by session; withdrawn ones left out."""
        with self._transaction() as db:
            return dict(db.execute("SELECT eid, listing FROM sessions WHERE withdrawn IS NULL"))

    def start_times(self) -> list[str]:
        """Start times of all known sessions, sorted."""
        with self._transaction() as db:
            rows = db.execute("SELECT start_time FROM sessions ORDER BY start_time")
            return [start for (start,) in rows]

    def withdrawn(self) -> dict[str, str]:
        """When a session was found to be gone from the archive (ISO 8601, UTC), by eid."""
        if not self._path.exists():
            return {}
        with self._transaction() as db:
            return dict(
                db.execute("SELECT eid, withdrawn FROM sessions WHERE withdrawn IS NOT NULL")
            )

    def counts(self) -> dict[str, int]:
        """Sessions: known, to be looked at, waiting for a run, withdrawn."""
        names = {
            "known": "withdrawn IS NULL",
            "unseen": "look",
            "waiting": "version IS NOT NULL AND version IS NOT handled AND withdrawn IS NULL",
            "withdrawn": "withdrawn IS NOT NULL",
        }
        sums = ", ".join(f"total({condition})" for condition in names.values())
        with self._transaction() as db:
            row = db.execute(f"SELECT {sums} FROM sessions").fetchone()
        return dict(zip(names, map(int, row), strict=True))
