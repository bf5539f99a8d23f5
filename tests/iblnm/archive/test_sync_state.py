"""The table of known sessions: what is due, what waits, what survives a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import count

import pytest

from iblnm.archive.sync_state import FIRST_RETRY_S, Sight, SyncState
from iblnm.errors import UnreadableFileError
from iblnm.storage.postgres import PostgresTables

_SERIAL = count()


@pytest.fixture
def file_state(tmp_path) -> SyncState:
    return SyncState(tmp_path / "metadata" / "sync.sqlite")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def state(request, file_state) -> SyncState:
    """In a file, and in PostgreSQL."""
    if request.param == "sqlite":
        return file_state
    tables = PostgresTables(request.getfixturevalue("shared_database"), f"sync{next(_SERIAL)}")
    return SyncState(tables)


STARTS = {"x": "2024-01-09T10:00:00", "y": "2024-01-08T10:00:00", "z": "2024-01-07T10:00:00"}


def _listed(*eids: str) -> dict[str, str]:
    return {eid: STARTS[eid] for eid in eids}


def _see(state: SyncState, eid: str, content: str | None, time: float, **known) -> None:
    sight = None if content is None else Sight(content, STARTS[eid], **known)
    state.looked({eid: (time, sight)})


def test_new_and_changed_sessions_are_due_in_order_of_their_start(state):
    assert state.note(_listed("x", "y", "z")) == ["x", "y", "z"]
    assert state.due(1.0) == ["z", "y", "x"]
    for eid in "xyz":
        _see(state, eid, "content", 2.0)
    assert state.due(3.0) == []
    assert state.note(_listed("x", "y", "z")) == []
    assert state.due(3.0) == []
    state.note(_listed("x"), named=4.0)
    assert state.due(4.0) == ["x"]


def test_only_another_content_waits_for_a_run(state):
    state.note(_listed("x"))
    _see(state, "x", "one", 2.0)
    (waiting,) = state.waiting()
    assert (waiting.fingerprint, waiting.since) == ("one", 2.0)
    state.settle([waiting])
    assert state.waiting() == []
    state.note(_listed("x"), named=3.0)
    _see(state, "x", "one", 4.0)
    assert state.waiting() == []
    _see(state, "x", "two", 5.0)
    assert [item.fingerprint for item in state.waiting()] == ["two"]


def test_content_that_comes_back_gets_a_run_of_its_own(state):
    state.note(_listed("x"))
    keys = []
    for time, content in enumerate(("one", "two", "one", "one", "two")):
        _see(state, "x", content, float(time))
        keys += [item.run_key for item in state.waiting()]
        state.settle(state.waiting())
    assert [key.partition(":")[2].partition("@")[0] for key in keys] == [
        "one",
        "two",
        "one",
        "two",
    ]
    assert len(set(keys)) == 4


def test_content_that_is_back_before_the_run_of_another_has_ended_gets_a_run(state):
    state.note(_listed("x"))
    _see(state, "x", "one", 1.0)
    state.settle(state.waiting())
    _see(state, "x", "two", 2.0)  # a run is asked for
    _see(state, "x", "one", 3.0)  # and writes the outputs of "two" meanwhile
    assert [item.fingerprint for item in state.waiting()] == ["one"]


def test_a_version_older_than_the_first_look_counts_from_its_change(state):
    state.note(_listed("x", "y"))
    _see(state, "x", "one", 100.0, changed=50.0)
    _see(state, "y", "one", 100.0)
    assert {item.eid: item.since for item in state.waiting()} == {"x": 50.0, "y": 100.0}
    _see(state, "x", "two", 200.0, changed=60.0)
    assert {item.eid: item.since for item in state.waiting()}["x"] == 200.0


def test_what_a_clock_named_is_looked_at_again(state):
    again_s = (10.0, 100.0)
    state.note(_listed("x", "y"))
    for eid in "xy":
        _see(state, eid, "one", 1e9 + 1.0)
    assert state.due(2e9, again_s) == []
    state.note(_listed("x"), named=1e9 + 2.0)
    assert state.due(1e9 + 2.0, again_s) == ["x"]
    _see(state, "x", "one", 1e9 + 3.0)
    # listed once more while it is awaited: nothing to do now
    state.note(_listed("x"), named=1e9 + 4.0, awaited_s=100.0)
    assert state.due(1e9 + 11.9, again_s) == []
    assert state.due(1e9 + 12.0, again_s) == ["x"]
    _see(state, "x", "one", 1e9 + 14.0)
    assert state.due(1e9 + 101.9, again_s) == []
    assert state.due(1e9 + 102.0, again_s) == ["x"]
    _see(state, "x", "one", 1e9 + 103.0)
    assert state.due(2e9, again_s) == []
    state.note(_listed("x"), named=1e9 + 200.0, awaited_s=100.0)
    assert state.due(1e9 + 200.0, again_s) == ["x"]


def test_a_change_learnt_of_during_a_look_is_not_forgotten(state):
    state.note(_listed("x"))
    state.note(_listed("x"), named=5.0)
    _see(state, "x", "one", 4.0)  # began before the second list was made
    assert state.due(6.0) == ["x"]
    _see(state, "x", "two", 6.0)
    assert state.due(6.0) == []


def test_a_look_that_fails_waits_longer_each_time_and_holds_up_no_other(state):
    state.note(_listed("x", "y"))
    state.failed("y", 0.0)
    assert state.due(FIRST_RETRY_S - 1) == ["x"]
    assert state.due(FIRST_RETRY_S) == ["x", "y"]
    state.failed("y", 100.0)
    assert "y" not in state.due(100.0 + 2 * FIRST_RETRY_S - 1)
    assert "y" in state.due(100.0 + 2 * FIRST_RETRY_S)
    _see(state, "y", "one", 300.0)
    state.note(_listed("x", "y"), named=301.0)
    assert state.due(301.0) == ["y", "x"]


def test_a_session_that_is_gone_is_marked_and_comes_back(state):
    state.note_all(_listed("x", "y"))
    for eid in "xy":
        _see(state, eid, "one", 2.0)
    state.settle(state.waiting())
    state.note_all(_listed("x"))
    assert state.due(3.0) == ["y"]
    _see(state, "y", None, 86400.0)
    assert state.withdrawn() == {"y": "1970-01-02T00:00:00"}
    assert state.known() == ["x"]
    assert state.fact("withdrawn_changed") == 86400.0
    state.note_all(_listed("x", "y"))
    assert state.due(90000.0) == ["y"]
    _see(state, "y", "one", 90001.0)
    assert state.withdrawn() == {}
    assert state.waiting() == []
    assert state.fact("withdrawn_changed") == 90001.0


def test_the_session_looked_at_longest_ago_is_looked_at_anew(state):
    state.note(_listed("x", "y"))
    _see(state, "x", "one", 10.0)
    _see(state, "y", "one", 20.0)
    state.look_at_oldest(0)
    assert state.due(30.0) == []
    state.look_at_oldest(1, turns_at=5.0)
    assert state.due(30.0) == ["x"]
    assert state.fact("turns_at") == 5.0


def test_a_list_of_a_window_misses_only_what_starts_in_it(state):
    state.note(_listed("x", "y", "z"))  # on the 9th, the 8th and the 7th
    for eid in "xyz":
        _see(state, eid, "one", 2.0)
    assert state.note_all({}, "2024-01-08", "2024-01-09") == []
    assert state.due(3.0) == ["y"]
    assert state.note_all({"new": "2024-01-09T00:00:00"}, "2024-01-09") == ["new"]
    assert state.due(3.0) == ["y", "new", "x"]
    assert state.start_after("2024-01-07T10:00:00", 2) == "2024-01-09T00:00:00"
    assert state.start_after("2024-01-07T10:00:00", 4) is None


def test_claimed_sessions_wait_only_if_their_owner_is_dead(state):
    state.note(_listed("x", "y"))
    for eid in "xy":
        _see(state, eid, "one", 2.0)
    contents, held = state.claim(["x", "y"], "host:1")
    assert held == {}
    assert state.waiting() == []
    assert state.claimed(lambda owner: True) == {"x", "y"}
    assert [item.eid for item in state.waiting(lambda owner: False)] == ["y", "x"]
    _see(state, "x", "two", 3.0)  # changes while it is run
    state.settle([contents["x"]])
    assert state.waiting() == []
    state.release("host:2")  # not the owner
    assert state.waiting() == []
    state.release("host:1")
    assert [(item.eid, item.fingerprint) for item in state.waiting()] == [
        ("y", "one"),
        ("x", "two"),
    ]


def test_counts(state):
    state.note(_listed("x", "y", "z"))
    _see(state, "x", "one", 2.0)
    _see(state, "y", None, 2.0)
    assert state.counts() == {"known": 2, "unseen": 1, "waiting": 1, "withdrawn": 1}


def test_a_table_of_the_first_version_is_taken_over(file_state, tmp_path):
    path = tmp_path / "metadata" / "sync.sqlite"
    path.parent.mkdir()
    columns = "eid, start_time, listing, look, looked, fingerprint, version, since, handled"
    with closing(sqlite3.connect(path)) as old, old:
        old.execute(f"CREATE TABLE sessions ({columns}, withdrawn)")
        old.execute("CREATE TABLE versions (eid)")
        old.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        old.execute("""INSERT INTO facts VALUES ('cursor', '"2025"'), ('listing', '{}')""")
        old.executemany(
            "INSERT INTO sessions VALUES (?, ?, 'a', ?, 5.0, ?, ?, 3.0, ?, ?)",
            [
                ("done", "2024-01-01", 0, "one", "one:2", "one:2", None),
                ("open", "2024-01-02", 0, "two", "two", "one", None),
                ("due", "2024-01-03", 1, None, None, None, None),
                ("gone", "2024-01-04", 0, "one", "one", "one", "2024-02-01T00:00:00"),
            ],
        )
        old.execute("PRAGMA user_version = 1")
    assert file_state.known() == ["done", "open", "due"]
    assert [(item.eid, item.fingerprint) for item in file_state.waiting()] == [("open", "two")]
    assert file_state.due(10.0) == ["due"]
    assert list(file_state.withdrawn()) == ["gone"]
    assert (file_state.fact("cursor"), file_state.fact("listing")) == ("2025", None)


def test_a_damaged_table_says_what_to_do(file_state, tmp_path):
    file_state.set_facts(a=1)
    (tmp_path / "metadata" / "sync.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(UnreadableFileError, match=r"sync\.sqlite: .* delete it"):
        file_state.known()


def test_reading_withdrawn_sessions_makes_no_table(file_state, tmp_path):
    assert file_state.withdrawn() == {}
    assert not (tmp_path / "metadata").exists()


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_transactions(file_state, tmp_path):
    code = (
        "import sys, itertools\n"
        "from iblnm.archive.sync_state import SyncState\n"
        "state = SyncState(sys.argv[1])\n"
        "for i in itertools.count():\n"
        "    rows = {f'{i}-{k}': '2024' for k in range(50)}\n"
        "    state.note(rows, last=i)\n"
        "    print(i, flush=True)\n"
    )
    path = tmp_path / "metadata" / "sync.sqlite"
    for _ in range(3):
        path.unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
        )
        while int(process.stdout.readline()) < 5:
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert file_state.counts()["known"] == 50 * (file_state.fact("last") + 1) >= 300
