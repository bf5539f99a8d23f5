"""Observing an archive: what is noticed, when, with how many requests, after which fault."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from bench.alyx import AlyxModel, AlyxServer

from iblnm.archive import listing
from iblnm.archive.changes import RemoteChanges, record_fingerprint
from iblnm.archive.sync_state import SyncState
from iblnm.archive.watch import Observation, observe, open_source
from iblnm.config import Settings, SyncSettings
from iblnm.errors import (
    AuthenticationError,
    MissingFileError,
    RemoteTimeout,
    ServerError,
    TransientError,
)

NOW = datetime(2025, 6, 1, 12, 0, 0)
DAY_S = 86400.0


@dataclass
class Watched:
    """A server, a client, a table and a clock that all three share."""

    server: AlyxServer
    source: RemoteChanges
    state: SyncState
    settings: SyncSettings = field(default_factory=SyncSettings)

    @property
    def model(self) -> AlyxModel:
        return self.server.model

    def observe(self, after_s: float = 60.0, **options) -> Observation:
        """One round, so much later than the one before."""
        self.model.advance(after_s)
        # seven hours from UTC: nothing may depend on the server's time zone
        now = (self.model.now() - datetime(1970, 1, 1)).total_seconds() + 7 * 3600
        self.server.requests.clear()
        return observe(self.source, self.state, self.settings, now=lambda: now, **options)

    def versions(self) -> dict[str, str]:
        """Run everything that waits; run key by session."""
        waiting = self.state.waiting()
        self.state.settle(waiting)
        return {item.eid: item.run_key for item in waiting}

    def rest(self) -> None:
        """Rounds until nothing is asked for that is not asked for always."""
        for _ in range(10):
            self.observe(3600.0)
        self.versions()


@pytest.fixture
def watched(tmp_path):
    model = AlyxModel(seed=1)
    model.set_time(NOW)
    for i in range(6):
        start = NOW - timedelta(days=30 * (i % 3), hours=1)
        eid = model.register_session(start_time=start, number=i, auto_datetime=start)
        model.add_dataset(eid, "alf/_ibl_trials.table.pqt", b"x", auto_datetime=start)
    with AlyxServer(model) as server:
        known = server.environment()
        settings = Settings(
            root=tmp_path / "root",
            one_cache_dir=tmp_path / "one",
            alyx_password=known["IBLNM_ALYX_PASSWORD"],
            one_mode="remote",
            alyx_url=known["IBLNM_ALYX_URL"],
            alyx_user=known["IBLNM_ALYX_USER"],
            remote={"max_attempts": 1},
        )
        source = open_source(settings, max_total_s=1.0)
        yield Watched(server, source, SyncState(tmp_path / "sync.sqlite"))


def test_the_first_round_finds_all_sessions_of_the_project_in_order(watched):
    watched.model.register_session(projects=["ibl_fibrephotometry_pilot"])
    found = watched.observe()
    assert (len(found.new), found.looks, found.complete, found.error) == (6, 6, True, None)
    starts = {eid: s.fields["start_time"] for eid, s in watched.model.sessions.items()}
    known = watched.state.known()
    assert [starts[eid] for eid in known] == sorted(starts[eid] for eid in known)
    assert len(watched.versions()) == 6


@pytest.mark.slow
def test_a_round_with_nothing_new_asks_three_times_at_most(watched):
    watched.observe()
    watched.rest()
    for _ in range(5):
        found = watched.observe()
        assert (found.new, found.looks) == ([], 0)
        assert len(watched.server.requests) <= 3
    assert watched.versions() == {}


def test_a_session_with_an_old_start_is_found_at_once(watched):
    watched.observe()
    watched.rest()
    eid = watched.model.register_session(start_time=datetime(2019, 1, 1))
    assert watched.observe().new == [eid]
    assert list(watched.versions()) == [eid]


@pytest.mark.slow
def test_a_dataset_added_to_an_old_session_is_found_at_once(watched):
    watched.observe()
    watched.rest()
    eid = watched.state.known()[0]
    stamp = watched.model.sessions[eid].stamp
    watched.model.add_dataset(eid, "alf/photometry/photometry.signal.pqt", b"y")
    assert watched.model.sessions[eid].stamp == stamp
    watched.observe()
    assert list(watched.versions()) == [eid]
    # and not again, nor by the looks that follow
    watched.rest()
    assert watched.versions() == {}


@pytest.mark.parametrize("change", ["touch", "narrative"])
def test_a_save_that_changes_nothing_of_use_is_no_version(watched, change):
    watched.observe()
    watched.rest()
    eid = watched.state.known()[2]
    if change == "touch":
        watched.model.touch_session(eid)
    else:
        watched.model.update_session(eid, narrative="slept badly", n_trials=5)
    assert watched.observe().looks == 1
    assert watched.versions() == {}


@pytest.mark.parametrize(
    "fields", [{"qc": "FAIL"}, {"json": {"LEN_BLOCKS": [90]}}, {"end_time": None}]
)
@pytest.mark.slow
def test_a_save_that_matters_is_a_version(watched, fields):
    watched.observe()
    watched.rest()
    eid = watched.state.known()[2]
    watched.model.update_session(eid, **fields)
    watched.observe()
    assert list(watched.versions()) == [eid]


@pytest.mark.slow
def test_a_replaced_file_is_a_version(watched):
    watched.observe()
    watched.rest()
    eid = watched.state.known()[1]
    watched.model.replace_dataset(watched.model.sessions[eid].datasets[0].id, b"z")
    watched.observe()
    assert list(watched.versions()) == [eid]


@pytest.mark.parametrize("clock", ["sessions", "datasets"])
@pytest.mark.slow
def test_a_late_commit_behind_the_newest_stamp_is_found(watched, clock):
    watched.observe()
    watched.rest()
    old = watched.state.known()[0]
    newest = watched.model.register_session()
    watched.observe(10.0)
    assert list(watched.versions()) == [newest]
    stamp = watched.model.now() - timedelta(hours=1.9)
    if clock == "sessions":
        late = watched.model.register_session(auto_datetime=stamp)
    else:
        late = old
        watched.model.add_dataset(old, "alf/late.pqt", b"l", auto_datetime=stamp)
    for _ in range(6):
        watched.observe()
    assert list(watched.versions()) == [late]


@pytest.mark.slow
def test_a_late_commit_to_a_session_just_looked_at_is_found(watched):
    watched.observe()
    watched.rest()
    eid = watched.state.known()[0]
    watched.model.update_session(eid, qc="FAIL")
    watched.model.advance(60.0)
    stamp = watched.model.now()
    watched.model.advance(60.0)
    watched.model.register_session()
    watched.observe(10.0)
    assert len(watched.versions()) == 2
    watched.model.add_dataset(eid, "alf/late.pqt", b"l", auto_datetime=stamp)
    for _ in range(7):
        watched.observe()
    assert list(watched.versions()) == [eid]


@pytest.mark.slow
def test_a_late_commit_during_a_round_that_takes_hours_is_found(watched, monkeypatch):
    watched.observe()
    watched.rest()
    busy, late = watched.state.known()[:2]
    watched.model.touch_session(busy)
    look = watched.source.look

    def slow(eid):
        if eid == busy and busy in pending:
            pending.remove(busy)
            stamp = watched.model.now() - timedelta(hours=1)
            watched.model.add_dataset(late, "alf/late.pqt", b"l", auto_datetime=stamp)
            watched.model.advance(3 * 3600.0)
            watched.model.touch_session(busy)
        return look(eid)

    pending = [busy]
    monkeypatch.setattr(watched.source, "look", slow)
    for _ in range(4):
        watched.observe()
    assert list(watched.versions()) == [late]


@pytest.mark.slow
def test_what_was_committed_late_while_nobody_watched_is_found(watched):
    watched.observe()
    watched.rest()
    watched.model.register_session()
    watched.observe(10.0)
    watched.versions()
    stamp = watched.model.now() - timedelta(hours=1)
    late = watched.model.register_session(auto_datetime=stamp)
    watched.observe(5 * 3600.0)  # within the time to the next full listing
    watched.observe()
    assert list(watched.versions()) == [late]


@pytest.mark.slow
def test_a_deleted_dataset_is_found_though_no_stamp_tells_of_it(watched):
    watched.observe()
    watched.rest()
    eid = watched.state.known()[3]
    watched.model.delete_dataset(watched.model.sessions[eid].datasets[0].id)
    for _ in range(24):
        watched.observe(3600.0)
    assert list(watched.versions()) == [eid]


@pytest.mark.parametrize("how", ["deleted", "moved to another project"])
@pytest.mark.slow
def test_a_withdrawn_session_is_marked_after_the_next_full_listing(watched, how):
    watched.observe()
    watched.rest()
    eid = watched.state.known()[3]
    if how == "deleted":
        watched.model.delete_session(eid)
    else:
        watched.model.update_session(eid, projects=["another"])
    watched.observe(watched.settings.reconcile_s)
    assert list(watched.state.withdrawn()) == [eid]
    assert eid not in watched.state.known()
    assert watched.versions() == {}


@pytest.mark.slow
def test_an_answer_not_found_by_mistake_is_mended_by_the_next_full_listing(watched):
    watched.observe()
    watched.rest()
    eid = watched.state.known()[0]
    watched.model.touch_session(eid)
    watched.server.faults.add(f"/sessions/{eid}", 404)
    watched.observe()
    assert list(watched.state.withdrawn()) == [eid]
    watched.observe(watched.settings.reconcile_s)
    assert watched.state.withdrawn() == {}
    assert watched.versions() == {}


@pytest.mark.parametrize("kind", [500, 503, "reset", "html", "truncated", "hang"])
@pytest.mark.slow
def test_a_fault_of_the_server_loses_nothing(watched, kind):
    watched.observe()
    watched.rest()
    eid = watched.model.register_session()
    watched.server.faults.add(r"GET /sessions\?", kind)
    found = watched.observe()
    assert isinstance(found.error, RemoteTimeout if kind == "hang" else TransientError)
    assert not found.listed
    watched.server.faults.add(f"/sessions/{eid}", kind)
    found = watched.observe()
    assert found.error is not None and found.listed
    assert watched.versions() == {}
    watched.observe(120.0)
    assert list(watched.versions()) == [eid]


def test_one_session_that_always_fails_holds_up_no_other(watched):
    first = sorted(watched.model.sessions.values(), key=lambda s: s.start)[0].eid
    watched.server.faults.add(f"/sessions/{first}", 500, times=None)
    found = watched.observe()
    assert isinstance(found.error, ServerError)
    assert sorted(watched.versions()) == sorted(set(watched.model.sessions) - {first})


def test_wrong_credentials_are_no_fault_that_passes(watched):
    watched.server.revoke_tokens()
    watched.server.password = "changed"
    with pytest.raises(AuthenticationError):
        watched.observe()


def test_a_round_out_of_time_is_gone_on_with(watched):
    found = watched.observe(budget_s=-1.0)
    assert not found.complete
    # a little at a time, as if each round were killed after its time was over
    for _ in range(3):
        watched.observe(budget_s=5.0)
    assert len(watched.versions()) == 6


@pytest.mark.slow
def test_lists_longer_than_an_answer_are_split_and_lose_no_tie(watched, monkeypatch):
    monkeypatch.setattr(listing, "MAX_ROWS", 40)
    monkeypatch.setattr("iblnm.archive.watch.MAX_ROWS", 40)
    ties = [NOW - timedelta(days=200 + i) for i in range(8)]
    for i in range(300):
        watched.model.register_session(
            start_time=ties[i % 8] if i % 2 else ties[0] - i * (timedelta(hours=1))
        )
    found = watched.observe()
    assert len(found.new) == 306
    assert sorted(watched.state.known()) == sorted(watched.model.sessions)
    assert all(int(request.params.get("offset", 0)) == 0 for request in watched.server.requests)
    watched.rest()
    full = watched.observe(watched.settings.reconcile_s)
    assert (full.new, watched.state.withdrawn()) == ([], {})


@pytest.mark.slow
def test_more_equal_starts_than_an_answer_holds_are_split_by_identifier(watched, monkeypatch):
    monkeypatch.setattr(listing, "MAX_ROWS", 5)
    monkeypatch.setattr("iblnm.archive.watch.MAX_ROWS", 5)
    for _ in range(17):
        watched.model.register_session(start_time=NOW)
    early = watched.model.register_session(start_time=datetime(1951, 3, 1))
    found = watched.observe()
    assert found.error is None
    assert sorted(found.new) == sorted(watched.model.sessions)
    assert early in found.new
    watched.rest()
    full = watched.observe(watched.settings.reconcile_s)
    assert (full.error, full.new, watched.state.withdrawn()) == (None, [], {})


def test_the_order_of_lists_in_a_record_means_nothing():
    record = {
        "projects": ["a", "b"],
        "users": [],
        "json": {},
        "data_dataset_session_related": [{"name": "x", "hash": "1"}, {"name": "y", "hash": None}],
        "probe_insertion": None,
    }
    other = {
        **record,
        "projects": ["b", "a"],
        "json": None,
        "data_dataset_session_related": record["data_dataset_session_related"][::-1],
        "auto_datetime": "2025-01-01",
    }
    assert record_fingerprint(record) == record_fingerprint(other)
    other["data_dataset_session_related"] = [{"name": "x", "hash": "2"}, {"name": "y"}]
    assert record_fingerprint(record) != record_fingerprint(other)


# local archives -----------------------------------------------------------------------------


@dataclass
class Local:
    """A local archive and the table of its sessions."""

    settings: Settings

    def __post_init__(self):
        self.source = open_source(self.settings)
        self.state = SyncState(self.settings.metadata_dir / "sync.sqlite")
        self.now = 1e9

    def observe(self, after_s: float = 60.0) -> list[str]:
        """One round; the sessions that need a run after it."""
        self.now += after_s
        observe(self.source, self.state, self.settings.sync, now=lambda: self.now)
        waiting = self.state.waiting()
        self.state.settle(waiting)
        return [item.eid for item in waiting]


@pytest.fixture
def local(writable_archive, tmp_path) -> Local:
    return Local(Settings(root=tmp_path / "root", one_cache_dir=writable_archive))


def _trials(cache):
    return min(cache.rglob("_ibl_trials.table.pqt"))


def _eid_of(local: Local, path) -> str:
    cache = local.settings.cache_dir
    for record in (cache / ".alyx" / "sessions").glob("*.json"):
        known = json.loads(record.read_text())
        if (known["subject"], known["start_time"][:10]) == (
            path.relative_to(cache).parts[2],
            path.relative_to(cache).parts[3],
        ):
            return known["id"]
    raise AssertionError(path)


def test_a_local_archive_is_known_at_once_and_then_at_rest(local, small_archive):
    starts = {s["eid"]: s["start_time"] for s in small_archive[1]["sessions"]}
    assert local.observe() == sorted(starts, key=starts.get)
    assert local.observe() == []
    assert local.observe(local.settings.sync.reconcile_s) == []


def test_a_replaced_file_of_a_local_session_is_noticed(local):
    local.observe()
    path = _trials(local.settings.cache_dir)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content + b"more")
    assert local.observe() == [_eid_of(local, path)]


def test_a_file_that_was_only_touched_is_not(local):
    local.observe()
    path = _trials(local.settings.cache_dir)
    os.utime(path)
    os.utime(path.parent)
    assert local.observe() == []


def test_a_file_rewritten_in_place_is_noticed_by_the_full_look(local):
    local.observe()
    path = _trials(local.settings.cache_dir)
    before = path.parent.stat().st_mtime_ns
    with path.open("ab") as file:
        file.write(b"more")
    assert path.parent.stat().st_mtime_ns == before
    assert local.observe() == []
    assert local.observe(local.settings.sync.reconcile_s) == [_eid_of(local, path)]


def test_a_changed_record_is_noticed_if_it_matters(local):
    eid = local.observe()[0]
    path = local.settings.cache_dir / ".alyx" / "sessions" / f"{eid}.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "narrative": "new"}))
    assert local.observe() == []
    path.write_text(json.dumps({**record, "qc": "FAIL"}))
    assert local.observe() == [eid]
    path.write_text("{")
    assert local.observe() == [eid]


def test_a_new_row_of_the_tables_is_noticed_and_a_lost_one_marked(local):
    from iblutil.io import parquet

    cache = local.settings.cache_dir
    table, metadata = parquet.load(cache / "sessions.pqt")
    last = str(table.index[-1])
    parquet.save(cache / "sessions.pqt", table.iloc[:-1], metadata)
    assert len(local.observe()) == len(table) - 1
    parquet.save(cache / "sessions.pqt", table, metadata)
    assert local.observe() == [last]
    parquet.save(cache / "sessions.pqt", table.iloc[:-1], metadata)
    assert local.observe() == []
    assert list(local.state.withdrawn()) == [last]


def test_an_archive_without_tables_withdraws_nothing(local):
    local.observe()
    (local.settings.cache_dir / "sessions.pqt").unlink()
    with pytest.raises(MissingFileError, match="no such table of ONE"):
        local.observe()
    assert local.state.withdrawn() == {}
