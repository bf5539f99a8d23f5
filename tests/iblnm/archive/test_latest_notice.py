"""What is seen after how long at the latest where no stamp tells of it, and what it costs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from iblnm.archive.changes import RemoteChanges, later, record_fingerprint
from iblnm.archive.sync_state import Sight, SyncState
from iblnm.archive.watch import observe
from iblnm.config import SyncSettings

pytestmark = pytest.mark.slow

SYNC = SyncSettings()
START = datetime(2025, 6, 1, tzinfo=UTC).timestamp()
ZONE_S = -7 * 3600.0


def _stamp(seconds: float) -> str:
    return later("1970-01-01T00:00:00.000000", seconds)


@dataclass
class Archive(RemoteChanges):
    """Sessions with stamps, as an Alyx lists them; counts what it is asked."""

    stamps: dict[str, float] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    asked: deque = field(default_factory=deque)
    now: float = START
    fast_s: float = 0.0
    tells_the_time: bool = False

    @property
    def clock_ahead_s(self):
        return self.fast_s if self.tells_the_time else None

    def save(self, eid: str, content: str, *, stamped: bool = True) -> None:
        self.contents[eid] = content
        if stamped:
            self.stamps[eid] = self.now + ZONE_S + self.fast_s

    def changed_since(self, clock, stamp):
        self.asked.append(self.now)
        found = self.stamps if clock == "sessions" else {}
        return {eid: self._start(eid) for eid, at in found.items() if _stamp(at) >= stamp}

    def started_between(self, start, end):
        self.asked.append(self.now)
        return {eid: s for eid in self.stamps if start <= (s := self._start(eid)) < end}

    def newest_dataset_stamp(self, stamp):
        self.asked.append(self.now)
        return None

    def look(self, eid):
        self.asked.append(self.now)
        return Sight(self.contents[eid], self._start(eid), _stamp(self.stamps[eid]))

    def _start(self, eid):
        return _stamp(START - 1e6 + int(eid))


@dataclass
class Watch:
    archive: Archive
    state: SyncState

    def pass_time(self, seconds: float, every_s: float = SYNC.interval_s) -> None:
        """Rounds, by default at the interval of the settings."""
        end = self.archive.now + seconds
        while self.archive.now < end:
            self.archive.now += every_s
            found = observe(self.archive, self.state, SYNC, now=lambda: self.archive.now)
            assert found.error is None

    def changed(self) -> set[str]:
        waiting = self.state.waiting()
        self.state.settle(waiting)
        return {item.eid for item in waiting}


@pytest.fixture
def make(tmp_path):
    def make_(n: int) -> Watch:
        archive = Archive()
        for i in range(n):
            archive.stamps[str(i)] = START - 1e6 + i + ZONE_S
            archive.contents[str(i)] = "first"
        watch = Watch(archive, SyncState(tmp_path / "sync.sqlite"))
        watch.pass_time(SYNC.interval_s)
        watch.changed()
        return watch

    return make_


def test_a_critical_dataset_is_another_content_and_other_qualities_are_not():
    dataset = {"collection": "alf", "name": "a.npy", "file_size": 1, "hash": "x", "qc": "PASS"}
    record = {"subject": "a", "data_dataset_session_related": [dataset]}

    def with_quality(qc):
        return record_fingerprint(
            {**record, "data_dataset_session_related": [{**dataset, "qc": qc}]}
        )

    plain = record_fingerprint(record)
    assert {with_quality(qc) for qc in ("NOT_SET", "WARNING", "FAIL", 40, 0, None)} == {plain}
    assert with_quality("CRITICAL") == with_quality(50) != plain


def test_each_sessions_turn_comes_within_a_day(make):
    watch = make(300)
    watch.pass_time(3600.0, every_s=1200.0)
    changed = {str(i) for i in range(0, 300, 25)}
    for eid in changed:
        watch.archive.save(eid, "changed without a stamp", stamped=False)
    watch.archive.asked.clear()
    watch.pass_time(24 * 3600.0, every_s=1200.0)
    assert watch.changed() == changed
    assert len(watch.archive.asked) <= 300 + 72 * 4 + 4 + len(changed)


@pytest.mark.slow
def test_no_hour_has_more_than_three_hundred_requests_at_five_thousand(tmp_path):
    archive = Archive()
    for i in range(5000):
        archive.stamps[str(i)] = START - 1e6 + i + ZONE_S
        archive.contents[str(i)] = "first"
    watch = Watch(archive, SyncState(tmp_path / "sync.sqlite"))
    watch.pass_time(SYNC.interval_s)
    archive.asked.clear()
    watch.pass_time(3600.0)
    archive.save("17", "changed")  # from then on, late changes are asked for
    watch.pass_time(1.5 * 3600.0)
    hours = {}
    for at in archive.asked:
        hours.setdefault(int((at - START) // 3600), []).append(at)
    assert max(map(len, hours.values())) <= 300
    watch.archive.asked.clear()
    watch.archive.now += 3 * 24 * 3600.0  # nobody watched: the turns are not made up for
    watch.pass_time(3600.0)
    assert len(archive.asked) <= 300 + 5000 / 24 + 20


def test_a_clock_that_was_a_day_ahead_hides_nothing(make):
    watch = make(20)
    archive = watch.archive
    archive.save("3", "second")
    watch.pass_time(600.0)
    assert watch.changed() == {"3"}
    archive.fast_s = 24 * 3600.0
    archive.save("4", "while it was ahead")
    archive.save("100", "new while it was ahead")
    archive.contents.setdefault("100", "x")
    watch.pass_time(2 * SYNC.interval_s)
    assert watch.changed() == {"4", "100"}
    watch.pass_time(3600.0)
    archive.fast_s = 0.0
    archive.asked.clear()
    archive.save("5", "after it was put right")
    archive.save("101", "new after it was put right")
    watch.pass_time(2 * SYNC.interval_s)
    assert watch.changed() == {"5", "101"}
    archive.save("5", "once more")
    watch.pass_time(600.0)
    assert watch.changed() == {"5"}
    watch.pass_time(2 * 3600.0)
    assert watch.changed() == set()
    assert len(archive.asked) / 2.2 <= 300


def test_a_cursor_of_the_future_is_put_back(make):
    watch = make(5)
    watch.archive.save("1", "second")
    watch.pass_time(600.0)
    watch.changed()
    future = _stamp(watch.archive.now + ZONE_S + timedelta(days=30).total_seconds())
    watch.state.set_facts(cursor=future)
    watch.archive.save("2", "second")
    watch.pass_time(SYNC.interval_s)
    assert watch.changed() == {"2"}
    assert watch.state.fact("cursor") < _stamp(watch.archive.now + ZONE_S + 1)


@pytest.mark.parametrize("ahead_h", [3, 24 * 30])
@pytest.mark.parametrize("saved_meanwhile", [True, False])
def test_a_clock_that_was_ahead_at_first_contact_hides_nothing(tmp_path, ahead_h, saved_meanwhile):
    archive = Archive(fast_s=ahead_h * 3600.0, tells_the_time=True)
    for i in range(20):
        archive.stamps[str(i)] = START - 1e6 + i + ZONE_S
        archive.contents[str(i)] = "first"
    archive.save("3", "just before it was first asked")
    watch = Watch(archive, SyncState(tmp_path / "sync.sqlite"))
    watch.pass_time(SYNC.interval_s)
    watch.changed()
    if saved_meanwhile:
        archive.save("4", "while it was ahead")
        watch.pass_time(2 * SYNC.interval_s)
        assert watch.changed() == {"4"}
    watch.pass_time(1800.0)
    archive.fast_s = 0.0
    archive.save("5", "after it was put right")
    archive.save("101", "new after it was put right")
    watch.pass_time(3 * SYNC.interval_s)
    assert watch.changed() == {"5", "101"}
    archive.asked.clear()
    for hour in range(0, 40, 5):
        archive.save("6", f"content of hour {hour}")
        watch.pass_time(720.0)
        assert watch.changed() == {"6"}, hour
        watch.pass_time(5 * 3600.0 - 720.0, every_s=3600.0)
        assert watch.changed() == set()
    assert len(archive.asked) / 40 <= 300


def test_a_clock_set_while_nobody_watched_is_noticed(tmp_path):
    archive = Archive(fast_s=20 * 3600.0, tells_the_time=True)
    archive.save("1", "first")
    watch = Watch(archive, SyncState(tmp_path / "sync.sqlite"))
    watch.pass_time(SYNC.interval_s)
    assert watch.changed() == {"1"}
    archive.now += 3600.0
    archive.save("2", "saved while nobody watched")
    archive.now += 3600.0
    archive.fast_s = 0.0
    archive.save("3", "saved when the clock was right again")
    archive.now += 3600.0
    watch.pass_time(2 * SYNC.interval_s)
    assert watch.changed() == {"2", "3"}
