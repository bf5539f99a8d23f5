"""Batches: workers, selections, interruptions, deaths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import dagster as dg
import pandas as pd
import pytest

from iblnm.archive.sync_state import Sight, open_state
from iblnm.errors import DataError, IblnmError, InvalidNameError
from iblnm.pipeline.outcomes import open_outcomes
from iblnm_dagster import selection
from iblnm_dagster.instance import open_instance
from iblnm_dagster.partitions import known_sessions
from iblnm_dagster.running.batch import run_batch
from iblnm_dagster.running.catch_up import run_claimed
from iblnm_dagster.running.worker import BROKEN, PASSED, SKIPPED, Worker

pytestmark = pytest.mark.slow


def _environment(settings) -> dict[str, str]:
    return {
        **os.environ,
        "IBLNM_ROOT": str(settings.root),
        "IBLNM_ONE_CACHE_DIR": str(settings.cache_dir),
    }


def _start_batch(settings, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "iblnm_dagster.cli", "batch", "--workers", "1", *arguments],
        env=_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_for_a_run(instance) -> dg.DagsterRun:
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    for _ in range(600):
        if runs := instance.get_runs(started, limit=1):
            return runs[0]
        time.sleep(0.05)
    raise AssertionError("no run was started")


def test_two_workers_run_all_and_nothing_is_left_to_do(settings, instance):
    eids = known_sessions(instance)
    assert selection.missing_sessions(instance) == eids
    report = run_batch(settings, eids, workers=2, progress=False)
    assert report.counts == {PASSED: len(eids)}
    assert report.sessions_per_hour > 0
    assert 0 < report.peak_worker_mib < 600
    assert selection.missing_sessions(instance) == []
    assert selection.failed_sessions(instance, settings) == []
    assert instance.get_materialized_partitions(dg.AssetKey("responses")) == set(eids)


def test_sessions_are_known_in_order_of_their_start(settings, instance, small_archive):
    started = {s["eid"]: s["start_time"] for s in small_archive[1]["sessions"]}
    eids = known_sessions(instance)
    assert [started[eid] for eid in eids] == sorted(started.values())


def test_a_session_that_is_being_run_is_skipped(settings, instance):
    eid = known_sessions(instance)[0]
    instance.add_run(
        dg.DagsterRun(
            job_name="process_session",
            status=dg.DagsterRunStatus.STARTED,
            tags={"dagster/partition": eid},
        )
    )
    assert Worker(settings, instance).run(eid).status == SKIPPED


def test_a_killed_worker_costs_nothing_but_time(settings, instance):
    batch = _start_batch(settings, "--no-catalogue")
    run = _wait_for_a_run(instance)
    pid = int(run.tags[selection.WORKER_TAG].rpartition(":")[2])
    os.kill(pid, signal.SIGKILL)
    output, _ = batch.communicate(timeout=120)
    lost = run.tags["dagster/partition"]
    assert batch.returncode == 0, output
    assert f"{lost}: its worker died; it is tried again at the end" in output
    eids = known_sessions(instance)
    assert instance.get_materialized_partitions(dg.AssetKey("responses")) == set(eids)
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED
    assert selection.cancel_runs_of_dead_workers(instance) == []
    assert selection.failed_sessions(instance, settings) == []


def _kill_workers_of(settings, eid: str, killed: list[int], is_over: threading.Event) -> None:
    own = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={"dagster/partition": eid})
    with open_instance(settings) as instance:
        while not is_over.is_set():
            for run in instance.get_runs(own):
                pid = int(run.tags[selection.WORKER_TAG].rpartition(":")[2])
                if pid not in killed:
                    killed.append(pid)
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def test_a_session_that_kills_its_workers_is_set_aside_and_all_others_go_on(settings, instance):
    eids = known_sessions(instance)
    state = open_state(settings)
    state.note(dict.fromkeys(eids, "2024-01-01T00:00:00"))
    state.looked({eid: (0.0, Sight("content", "2024-01-01T00:00:00", None)) for eid in eids})
    killed, is_over = [], threading.Event()
    killer = threading.Thread(target=_kill_workers_of, args=(settings, eids[0], killed, is_over))
    killer.start()
    try:
        report = run_claimed(settings, state, eids, workers=1, progress=False)
    finally:
        is_over.set()
        killer.join()
    assert len(killed) == 2
    assert report.set_aside == [eids[0]]
    assert report.counts == {PASSED: len(eids) - 1, BROKEN: 1}
    assert instance.get_materialized_partitions(dg.AssetKey("responses")) >= set(eids[1:])
    failed = open_outcomes(settings).attempts("failed")
    assert failed[["eid", "error_type"]].to_numpy().tolist() == [[eids[0], "WorkerDied"]]
    assert selection.changed_sessions(instance, settings) == []  # it does not stay first in line
    assert selection.missing_sessions(instance) == []
    assert selection.failed_sessions(instance, settings) == [eids[0]]
    assert run_batch(settings, eids[:1], workers=1, progress=False).counts == {PASSED: 1}
    assert open_outcomes(settings).attempts("failed").empty


def test_an_interrupt_finishes_the_session_in_hand(settings, instance):
    batch = _start_batch(settings, "--no-catalogue")
    run = _wait_for_a_run(instance)
    os.killpg(batch.pid, signal.SIGINT)
    output, _ = batch.communicate(timeout=120)
    assert batch.returncode == 0, output
    assert "no more are started" in output
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.SUCCESS
    assert len(selection.missing_sessions(instance)) >= 2


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM")
def test_the_end_of_a_clusters_time_frees_what_was_claimed(settings, instance):
    batch = _start_batch(settings, "--no-catalogue")
    run = _wait_for_a_run(instance)
    state = open_state(settings)
    assert state.claimed(lambda owner: True) == set(known_sessions(instance))
    batch.terminate()
    output, _ = batch.communicate(timeout=120)
    assert "no more are started" in output
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.SUCCESS
    assert state.claimed(lambda owner: True) == set()


def test_two_batches_at_once_share_the_sessions_and_both_make_whole_tables(settings, instance):
    batches = [_start_batch(settings) for _ in range(2)]
    said = [batch.communicate(timeout=300)[0] for batch in batches]
    assert [batch.returncode for batch in batches] == [0, 0], said
    eids = known_sessions(instance)
    runs = instance.get_runs(dg.RunsFilter(job_name="process_session"))
    ran = [run.tags["dagster/partition"] for run in runs]
    assert sorted(set(ran)) == sorted(eids)
    assert len(ran) == len(eids), said
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert open_state(settings).claimed(lambda owner: True) == set()
    assert set(pd.read_parquet(settings.metadata_dir / "sessions.pqt")["eid"]) == set(eids)


def test_two_processes_may_run_the_same_session(settings, instance):
    eid = known_sessions(instance)[0]
    code = (
        "import sys; from iblnm.config import get_settings; "
        "from iblnm_dagster.instance import open_instance; "
        "from iblnm_dagster.running.worker import Worker\n"
        "with open_instance(get_settings()) as instance:\n"
        "    worker = Worker(get_settings(), instance)\n"
        "    worker._instance.get_runs = lambda *a, **k: []\n"
        f"    print(worker.run({eid!r}).status)\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=_environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=120)[0].strip() for process in both] == [PASSED] * 2
    from iblnm.storage.h5 import GROUPS, list_groups

    stored = set(list_groups(settings.sessions_h5_dir / f"{eid}.h5"))
    assert stored == set(GROUPS) - {"errors"}


def test_listed_sessions_name_the_line_at_fault(settings, instance, tmp_path):
    eids = known_sessions(instance)
    listed = tmp_path / "eids.txt"
    listed.write_text(f"# mine\n{eids[1]}\n\n{eids[0]}  # first\n")
    assert selection.listed_sessions(instance, listed) == [eids[1], eids[0]]
    listed.write_text(f"{eids[0]}\n161871f1-8c04-4cda-9882-000000000000\n")
    with pytest.raises(DataError, match=r"line 2: .* is no session of this archive"):
        selection.listed_sessions(instance, listed)
    listed.write_text("../../etc/passwd\n")
    with pytest.raises(InvalidNameError):
        selection.listed_sessions(instance, listed)


def test_shards_share_the_sessions_out():
    eids = list("abcdefg")
    parts = [selection.shard(eids, f"{i}/3") for i in (1, 2, 3)]
    assert sorted(eid for part in parts for eid in part) == eids
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for text in ("0/3", "4/3", "a/b", "3"):
        with pytest.raises(IblnmError, match="--shard is i/n"):
            selection.shard(eids, text)


def test_the_instance_is_the_same_from_any_folder(settings, instance, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_instance(settings) as again:
        assert known_sessions(again) == known_sessions(instance)
