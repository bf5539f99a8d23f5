"""Keeping the table of known sessions up to date with the archive.

The contract: a session whose content differs from the one that had its run gets one run, soon
after the change, and at the latest after the next list of all sessions.

Three lists tell of changes on Alyx: sessions saved since the newest stamp seen, sessions a
dataset of which was saved since then, and every some hours all sessions. Stamps are the server's
own, so neither its time zone nor a wrong clock matters. A transaction may become visible after a
later stamp was seen: for some time after the newest stamp moved, what was stamped up to two
hours before it is asked for again, and what has just been looked at is looked at again. Every
step is stored before the next relies on it: a process that dies repeats a step, and skips none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from iblnm.archive.changes import RemoteChanges, exact_stamp, later
from iblnm.archive.listing import FIRST_START, LAST_START, MAX_ROWS
from iblnm.archive.sync_state import Sight, SyncState
from iblnm.config import Settings, SyncSettings
from iblnm.errors import AuthenticationError, IblnmError, TransientError

CLOCKS = ("sessions", "datasets")
_SECONDS_PER_TRANSACTION = 1.0
_FAILURES_IN_A_ROW = 2
# further ahead of or behind UTC no clock is, whatever its time zone
_TIME_ZONES = timedelta(hours=24)
_WINDOW_FILL = 0.8
_EASTERNMOST_S = 14.5 * 3600.0
_WESTERNMOST_S = -12.5 * 3600.0
# a clock that differs by more than before was set, and did not just drift
_SET_S = 60.0
# a stamp was seen promptly if it was not there so long before
_PROMPT_S = 900.0
# so long a clock is taken to be ahead, and a session that it stamped is named so often
_AHEAD_S = 36 * 3600.0
_NAMED_ANEW_S = 3600.0


@dataclass
class Observation:
    """What one round of observing did.

    Parameters
    ----------
    new : list of str
        Sessions not known before.
    looks : int
        Sessions looked at.
    listed : bool
        Whether what was due to be listed was.
    complete : bool
        Whether nothing is left over for the next round.
    error : IblnmError or None
        Fault that ended it early, and that may pass.
    """

    new: list[str] = field(default_factory=list)
    looks: int = 0
    listed: bool = False
    complete: bool = True
    error: IblnmError | None = None


def open_source(settings: Settings, *, max_total_s: float | None = None) -> Any:
    """The archive of the settings, as a source of changes.

    Parameters
    ----------
    settings : Settings
    max_total_s : float, optional
        Patience with one call to a remote server, and with its login [s].

    Returns
    -------
    RemoteChanges or LocalChanges
    """
    from iblnm.archive.identity import claim_root

    claim_root(settings)
    if settings.one_mode == "remote":
        from iblnm.archive.remote import open_remote

        if max_total_s is not None:
            patience = {
                "max_total_s": max_total_s,
                "deadline_s": min(max_total_s, settings.remote.deadline_s),
            }
            remote = settings.remote.model_copy(update=patience)
            settings = settings.model_copy(update={"remote": remote})
        return RemoteChanges(open_remote(settings), settings.project, max_total_s=max_total_s)
    from iblnm.archive.local_changes import LocalChanges
    from iblnm.archive.own_tables import need_tables

    if settings.is_demo:
        from iblnm.demo import ensure_demo

        ensure_demo(settings)
    return LocalChanges(settings.cache_dir, settings.project, need_tables(settings))


def observe(
    source: Any,
    state: SyncState,
    settings: SyncSettings,
    *,
    budget_s: float | None = None,
    full: bool = False,
    now: Callable[[], float] = time.time,
) -> Observation:
    """Take in what has changed in the archive.

    Parameters
    ----------
    source : RemoteChanges or LocalChanges
    state : SyncState
    settings : SyncSettings
    budget_s : float, optional
        Time after which the rest is left over for the next round; default: all is done.
    full : bool
        Whether to list all sessions even if that is not due yet.
    now : callable
        Seconds since 1970.

    Returns
    -------
    Observation

    Raises
    ------
    AuthenticationError
        Nothing can be observed until the credentials are right.
    DataError
        A local archive has no readable tables.
    """
    round_ = _Round(source, state, settings, budget_s, now)
    try:
        if isinstance(source, RemoteChanges):
            round_.ask_clocks()
            round_.list_remote(full)
        else:
            round_.list_local(full)
    except TransientError as error:
        round_.found.error = error
        round_.found.complete = False
        return round_.found
    round_.found.listed = True
    round_.look()
    return round_.found


class _Round:
    def __init__(
        self,
        source: Any,
        state: SyncState,
        settings: SyncSettings,
        budget_s: float | None,
        now: Callable[[], float],
    ):
        self.found = Observation()
        self._source = source
        self._state = state
        self._settings = settings
        self._now = now
        self._is_prompt = False
        self._end = None if budget_s is None else time.monotonic() + budget_s

    @property
    def _is_over(self) -> bool:
        return self._end is not None and time.monotonic() > self._end

    def ask_clocks(self) -> None:
        """Sessions and datasets saved since the newest stamp, and late ones before it."""
        self._is_prompt = self._now() - self._state.fact("round_at", 0.0) < _PROMPT_S
        self._state.set_facts(round_at=self._now())
        self._follow_clock()
        cursor = self._cursor()
        since = later(cursor, 1e-6)
        is_ahead = self._now() - self._state.fact("ahead_at", 0.0) < _AHEAD_S
        for clock in CLOCKS:
            rows = self._source.changed_since(clock, since)
            # what a clock that was ahead has stamped is named again until that time has come
            awaited_s = _NAMED_ANEW_S if is_ahead else 0.0
            self.found.new += self._state.note(rows, named=self._now(), awaited_s=awaited_s)
            if rows and clock == "datasets":
                self._state.set_facts(**self._moved(self._source.newest_dataset_stamp(since)))
        self._ask_again(cursor)
        self._follow_clock()
        self._take_turns()

    def _follow_clock(self) -> None:
        """Learn that the server's clock was set, of which its answers tell."""
        ahead_s = self._source.clock_ahead_s
        before_s = self._state.fact("clock_ahead_s")
        if ahead_s is None or (before_s is not None and abs(ahead_s - before_s) < _SET_S):
            return
        facts = {"clock_ahead_s": ahead_s}
        before_s = ahead_s if before_s is None else before_s
        known_s = self._state.fact("server_ahead_s")
        if known_s is not None:
            facts["server_ahead_s"] = known_s + ahead_s - before_s
        elif ahead_s < before_s:
            # no later stamp can it have made before
            last = later(self._stamp_here(), before_s + _EASTERNMOST_S)
            facts |= {"distrusted": last, "ahead_at": self._now()}
        self._state.set_facts(**facts)

    def _take_turns(self) -> None:
        """Sessions whose turn it is: no stamp tells of a dataset deleted, of a file that came."""
        now, known = self._now(), self._state.counts()["known"]
        since = self._state.fact("turns_at")
        if since is None or not known:
            self._state.set_facts(turns_at=now)
            return
        each_s = self._settings.look_anew_s / known
        n = int((now - since) / each_s)
        most = math.ceil(3600.0 / each_s)
        if n:  # after a long pause the turns go on, they are not made up for
            self._state.look_at_oldest(
                min(n, most), turns_at=since + n * each_s if n <= most else now
            )

    def _ask_again(self, cursor: str) -> None:
        """What became visible since it was last asked for, behind the newest stamp."""
        asked = self._state.fact("asked_again")
        until = self._state.fact("moved_at", 0.0) + self._settings.overlap_s
        rested = self._now() - self._settings.ask_late_s
        due = [clock for clock in CLOCKS if asked[clock][0] <= min(until, rested)]
        if not due:
            return
        # one a round, in turn: late rows are rare, and a quiet round costs three requests
        clock = min(due, key=lambda clock: asked[clock][0])
        # since then the stamp may have moved by more than the overlap, if a round took long
        facts = {"asked_again": {**asked, clock: [self._now(), cursor]}}
        rows = self._source.changed_since(clock, later(asked[clock][1], -self._settings.overlap_s))
        awaited_s = max(self._settings.look_again_s, default=0.0)
        self.found.new += self._state.note(rows, named=self._now(), awaited_s=awaited_s, **facts)

    def _cursor(self) -> str:
        cursor = self._state.fact("cursor")
        if cursor is None:
            before = datetime.fromtimestamp(self._now(), UTC) - _TIME_ZONES
            cursor = later(exact_stamp(before.isoformat()), -self._settings.overlap_s)
            self._set_cursor(cursor)
        elif cursor > self._latest(cursor):
            # a clock that was ahead has set it, and what is stamped since lies behind it
            ahead_s = self._state.fact("server_ahead_s", -_TIME_ZONES.total_seconds())
            cursor = later(self._stamp_here(), ahead_s - self._settings.overlap_s)
            self._set_cursor(cursor)
        return cursor

    def _set_cursor(self, cursor: str) -> None:
        asked = {clock: [0.0, cursor] for clock in CLOCKS}
        self._state.set_facts(cursor=cursor, moved_at=self._now(), asked_again=asked)

    def _moved(self, *stamps: str | None) -> dict[str, Any]:
        newest = max((stamp for stamp in stamps if stamp), default="")
        cursor = self._state.fact("cursor", newest)
        if newest <= cursor:
            return {}
        latest = self._latest(newest)
        if newest > latest:
            facts = {"ahead_at": self._now()}
            return facts | ({"cursor": latest, "moved_at": self._now()} if latest > cursor else {})
        facts = {"cursor": newest, "moved_at": self._now()}
        if newest > self._state.fact("distrusted", ""):
            ahead_s = _seconds(newest) - _seconds(self._stamp_here())
            # a stamp may be old: the zone is that far east at least
            zone_s = ahead_s - self._state.fact("clock_ahead_s", 0.0)
            facts["zone_from_s"] = max(zone_s, self._state.fact("zone_from_s", _WESTERNMOST_S))
            if self._is_prompt:
                facts["server_ahead_s"] = ahead_s
        return facts

    def _stamp_here(self) -> str:
        """Now, by the clock of this machine in UTC, as a stamp."""
        return exact_stamp(datetime.fromtimestamp(self._now(), UTC).isoformat())

    def _latest(self, stamp: str) -> str:
        """A stamp that no clock can have reached that goes as it went before.

        How far the server's is ahead of ours is what a stamp was that was seen promptly, which
        may have become visible late; unless one told of it, its time zone can be any. What is
        behind the cursor by less is asked for again anyway. Once the clock was put back, the
        stamp at hand may be one of before, and then the zone is no further east than was seen.
        """
        ahead_s = self._state.fact("server_ahead_s")
        if ahead_s is None:
            may_be_old = stamp <= self._state.fact("distrusted", "")
            known_s = self._state.fact("zone_from_s", _WESTERNMOST_S)
            zone_s = known_s if may_be_old else _EASTERNMOST_S
            return later(self._stamp_here(), self._state.fact("clock_ahead_s", 0.0) + zone_s)
        return later(self._stamp_here(), ahead_s + self._settings.overlap_s + _PROMPT_S)

    def list_remote(self, full: bool) -> None:
        """All sessions, window by window; goes on where a killed process was."""
        listing = self._state.fact("listing")
        if listing is None:
            if not full and not self._is_due:
                return
            listing = {"began": self._now(), "start": FIRST_START}
        while listing["start"] < LAST_START:
            if self._is_over:
                self.found.complete = False
                return
            start = listing["start"]
            end = self._state.start_after(start, int(MAX_ROWS * _WINDOW_FILL)) or LAST_START
            rows = self._source.started_between(start, end)
            listing = {**listing, "start": end}
            self.found.new += self._state.note_all(rows, start, end, listing=listing)
        self._state.set_facts(listing=None, listed_at=listing["began"])

    def list_local(self, full: bool) -> None:
        """All sessions of a local archive; now and then, every one is looked at."""
        began = self._now()
        rows, changed = self._source.list_all()
        self.found.new += self._state.note_all(rows)
        if full or self._is_due:
            self._state.look_at(listed_at=began)
        elif changed:
            self._state.look_at(changed)
        self._source.noted()

    @property
    def _is_due(self) -> bool:
        return self._now() - self._state.fact("listed_at", 0.0) >= self._settings.reconcile_s

    def look(self) -> None:
        """Look at the sessions that are due, in order of their start."""
        sights: dict[str, tuple[float, Sight | None]] = {}
        stored = time.monotonic()
        failures = 0
        for eid in self._state.due(self._now(), self._settings.look_again_s):
            if self._is_over or failures >= _FAILURES_IN_A_ROW:
                self.found.complete = False
                break
            began = self._now()
            try:
                sights[eid] = began, self._source.look(eid)
            except AuthenticationError:
                raise
            except IblnmError as error:
                self._state.failed(eid, self._now())
                self.found.error = error
                self.found.complete = False
                failures += 1
                continue
            failures = 0
            if time.monotonic() - stored > _SECONDS_PER_TRANSACTION:
                self._store(sights)
                sights, stored = {}, time.monotonic()
        self._store(sights)

    def _store(self, sights: dict[str, tuple[float, Sight | None]]) -> None:
        self.found.looks += len(sights)
        stamps = [sight.stamp for _, sight in sights.values() if sight is not None]
        self._state.looked(sights, **self._moved(*stamps))


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
