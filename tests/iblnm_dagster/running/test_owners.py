"""Claims of processes: dead ones, of other machines, of a reused number, of the same instant."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import dagster as dg
import pytest

from iblnm.archive import claims
from iblnm.archive.sync_state import Sight, SyncState
from iblnm_dagster.batch_command import left_out
from iblnm_dagster.owners import machine_of, owner_is_alive, worker_tag
from iblnm_dagster.running.batch import BatchReport
from iblnm_dagster.running.catch_up import signs_of_life
from iblnm_dagster.running.worker import SKIPPED, SessionOutcome
from iblnm_dagster.selection import LONGEST_RUN_S, WORKER_TAG, cancel_runs_of_dead_workers

HOST = socket.gethostname()
OTHER = "otherhost/0a1b2c3d/123:77"


@pytest.fixture
def state(tmp_path):
    state = SyncState(tmp_path / "sync.sqlite")
    state.note(dict.fromkeys("abcd", "2024-01-01"))
    state.looked({eid: (0.0, Sight("one", "2024-01-01")) for eid in "abcd"})
    return state


def _place(owner):
    return owner.rpartition(":")[0].split("/")


def test_this_process_lives_and_one_before_it_of_its_number_does_not():
    own = worker_tag()
    assert owner_is_alive(own) is True
    assert owner_is_alive(f"{HOST}:{os.getpid()}") is True  # of an earlier version
    host, boot, start = _place(own)
    assert host == HOST
    if sys.platform == "linux":
        assert owner_is_alive(f"{host}/{boot}/{int(start) - 1}:{os.getpid()}") is False
        assert owner_is_alive(f"{host}/before/{start}:{os.getpid()}") is False
    assert owner_is_alive(OTHER) is None
    assert machine_of(OTHER) == "otherhost/0a1b2c3d"


@pytest.mark.slow
def test_a_process_that_ended_is_dead():
    code = "from iblnm_dagster.owners import worker_tag; print(worker_tag())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert owner_is_alive(ended.stdout.strip()) is False


@pytest.mark.skipif(sys.platform != "linux", reason="what is told of an ended process")
def test_an_ended_process_that_nobody_has_waited_for_is_dead():
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        assert owner_is_alive(f"{HOST}:{process.pid}") is True
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner_is_alive(f"{HOST}:{process.pid}") is False
    finally:
        process.communicate()


def test_a_claim_of_a_machine_that_gives_no_sign_of_life_is_taken_over(state, monkeypatch):
    state.claim(["a", "b"], OTHER)
    assert state.claimed(owner_is_alive) == {"a", "b"}
    assert {item.eid for item in state.waiting(owner_is_alive)} == {"c", "d"}
    contents, held = state.claim(["a", "c"], worker_tag(), owner_is_alive)
    assert set(contents) == {"c"}
    assert held == {"a": OTHER}
    now = time.time()
    monkeypatch.setattr(claims.time, "time", lambda: now + claims.CLAIM_S - 1)
    assert state.claimed(owner_is_alive) == {"a", "b", "c"}
    state.beat(OTHER)
    monkeypatch.setattr(claims.time, "time", lambda: now + 2 * claims.CLAIM_S - 2)
    assert state.claimed(owner_is_alive) == {"a", "b", "c"}
    monkeypatch.setattr(claims.time, "time", lambda: now + 2 * claims.CLAIM_S)
    assert state.claimed(owner_is_alive) == {"c"}  # ours can be asked
    contents, held = state.claim(["a", "b"], worker_tag(), owner_is_alive)
    assert (set(contents), held) == ({"a", "b", "c"}, {})


def test_a_living_process_tells_so(state):
    signs_of_life(state, OTHER)()
    assert state.beats() == {}
    signs_of_life(state, OTHER, every_s=-1.0)()
    assert abs(state.beats()[OTHER] - time.time()) < 10


def test_of_two_that_claim_in_the_same_instant_one_gets_each(state, tmp_path):
    found = {}

    def claim(owner):
        own = SyncState(tmp_path / "sync.sqlite")
        found[owner] = own.claim(list("abcd"), owner, lambda other: True)

    threads = [threading.Thread(target=claim, args=(f"host:{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = [eid for contents, _ in found.values() for eid in contents]
    assert sorted(got) == list("abcd")
    assert sum(len(held) for _, held in found.values()) == 5 * 4


def test_what_is_left_out_is_said():
    report = BatchReport(held={"a": OTHER, "b": OTHER})
    report.outcomes = [SessionOutcome("c", SKIPPED, problems=["another run of it is going on"])]
    first, second = left_out(report)
    assert "2 sessions are left to another process" in first
    assert "number 77 of otherhost" in first
    assert second == "1 sessions are left out: another run of it is going on"


def test_runs_of_another_machine_end_when_it_gives_no_sign(state, monkeypatch):
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {WORKER_TAG: OTHER, "dagster/partition": "a"}
        run = instance.add_run(
            dg.DagsterRun(job_name="x", status=dg.DagsterRunStatus.STARTED, tags=tags)
        )
        now = time.time()
        assert cancel_runs_of_dead_workers(instance) == []
        assert cancel_runs_of_dead_workers(instance, state) == []
        monkeypatch.setattr(time, "time", lambda: now + LONGEST_RUN_S + 60)
        assert cancel_runs_of_dead_workers(instance) == []  # nothing is known of it
        state.beat("otherhost/0a1b2c3d/9:8")  # the batch that the worker belongs to
        assert cancel_runs_of_dead_workers(instance, state) == []
        monkeypatch.setattr(time, "time", lambda: now + LONGEST_RUN_S + 90 + claims.CLAIM_S)
        assert cancel_runs_of_dead_workers(instance, state) == ["a"]
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED
