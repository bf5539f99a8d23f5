"""The page, the daemon and the forks of `iblnm dev`: the whole tree of processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus

from iblnm.config import Settings
from iblnm.storage.atomic import locked
from iblnm_dagster.instance import open_instance
from iblnm_dagster.jobs import CATALOG_JOB, COHORT_JOB, SESSION_JOB
from iblnm_dagster.partitions import add_sessions
from iblnm_dagster.running.catch_up import CATCH_UP_JOB

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]
START_S, RUN_S, GONE_S = 180, 180, 10
STARTED = DagsterRunStatus.STARTED
LAUNCH = """mutation($e: ExecutionParams!) { launchRun(executionParams: $e)
    { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


TERMINATE = """mutation($r: String!) { terminateRun(runId: $r)
    { __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""


@dataclass
class Page:
    process: subprocess.Popen
    instance: DagsterInstance
    launch: Callable[..., str]
    terminate: Callable[[str], dict]
    h5_folder: Path
    metadata_dir: Path
    eids: list[str]


def _post(port: int, query: str, **variables) -> dict:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={
            "Content-Type": "application/json",
            "Origin": f"http://127.0.0.1:{port}",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]


def _wait_for(found, timeout_s: float):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    pytest.fail("it did not come about in time")


def _tree(pid: int) -> set[int]:
    found, below = {pid}, [pid]
    while below:
        for task in Path(f"/proc/{below.pop()}/task").glob("*/children"):
            with suppress(OSError):  # of one that has just ended
                children = [int(child) for child in task.read_text().split()]
                found.update(children)
                below += children
    return found


@pytest.fixture
def dev(small_archive, tmp_path):
    """``iblnm dev`` and what asks it for runs."""
    cache, truth = small_archive
    settings = Settings(root=tmp_path / "root", one_cache_dir=cache)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open_instance(settings) as instance:
        add_sessions(instance, [session["eid"] for session in truth["sessions"]])
        environment = {
            **{name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"},
            "IBLNM_ROOT": str(settings.root),
            "IBLNM_ONE_CACHE_DIR": str(cache),
            "IBLNM_SYNC__IS_ON": "false",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "iblnm_dagster.cli", "dev", "-p", str(port)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

        def is_served() -> bool:
            try:
                answer = _post(port, "{ repositoriesOrError { __typename } }")
            except OSError:
                return False
            return answer["repositoriesOrError"]["__typename"] == "RepositoryConnection"

        def launch(job: str, **tags: str) -> str:
            params = {
                "selector": {
                    "repositoryLocationName": "iblnm_dagster.definitions",
                    "repositoryName": "__repository__",
                    "jobName": job,
                },
                "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
            }
            answer = _post(port, LAUNCH, e=params)["launchRun"]
            assert answer["__typename"] == "LaunchRunSuccess", answer
            return answer["run"]["runId"]

        try:
            _wait_for(is_served, START_S)
            folder = settings.sessions_h5_dir
            folder.mkdir(parents=True, exist_ok=True)
            ask = partial(_post, port, TERMINATE)
            eids = [session["eid"] for session in truth["sessions"]]
            folders = folder, settings.metadata_dir
            yield Page(process, instance, launch, lambda run: ask(r=run), *folders, eids)
        finally:
            process.kill()
            process.wait()


def _messages(instance, run_id: str) -> str:
    return "\n".join(entry.message for entry in instance.all_logs(run_id))


def _ended(instance: DagsterInstance, run_id: str) -> DagsterRunStatus:
    run = _wait_for(lambda: (r := instance.get_run_by_id(run_id)).is_finished and r, RUN_S)
    return run.status


def test_runs_of_all_jobs_are_forks_and_end_with_the_page(dev):
    process, instance, launch, eids = dev.process, dev.instance, dev.launch, dev.eids
    runs = {job: launch(job) for job in (CATCH_UP_JOB, CATALOG_JOB, COHORT_JOB)}
    runs[SESSION_JOB] = launch(SESSION_JOB, **{"dagster/partition": eids[0]})
    for job, run_id in runs.items():
        _wait_for(lambda r=run_id: "Started a fork" in _messages(instance, r), RUN_S)
        assert "default launcher" not in _messages(instance, run_id), job
    assert _ended(instance, runs[SESSION_JOB]) == DagsterRunStatus.SUCCESS
    with locked(dev.h5_folder / f"{eids[2]}.h5"):  # it waits for that
        going_on, unwanted = (
            launch(SESSION_JOB, **{"dagster/partition": eid}) for eid in eids[1:3]
        )
        _wait_for(lambda: instance.get_run_by_id(unwanted).status == STARTED, RUN_S)
        answer = dev.terminate(unwanted)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer
        assert _ended(instance, unwanted) == DagsterRunStatus.CANCELED
    assert _ended(instance, going_on) == DagsterRunStatus.SUCCESS
    _ended(instance, runs[CATALOG_JOB])
    with locked(dev.metadata_dir / "tables"):  # another process makes them
        tables, unwanted = launch(CATALOG_JOB), launch(CATALOG_JOB)
        for run in (tables, unwanted):
            _wait_for(lambda r=run: instance.get_run_by_id(r).status == STARTED, RUN_S)
        answer = dev.terminate(unwanted)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer
        assert _ended(instance, unwanted) == DagsterRunStatus.CANCELED
        assert not instance.all_logs(tables, of_type=DagsterEventType.STEP_START)
    assert _ended(instance, tables) == DagsterRunStatus.SUCCESS
    tree = _tree(process.pid)
    assert len(tree) > 5
    process.send_signal(signal.SIGKILL)
    process.wait()
    _wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in tree), GONE_S)


def _daemons(pid: int) -> set[int]:
    found = set()
    for child in _tree(pid):
        with suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            found |= {child} if b"dagster._daemon" in words else set()
    return found


def test_the_page_has_a_daemon_again_and_told_to_end_leaves_no_process(dev):
    process = dev.process
    (daemon,) = _wait_for(lambda: _daemons(process.pid), START_S)
    os.kill(daemon, signal.SIGKILL)
    _wait_for(lambda: _daemons(process.pid) - {daemon}, START_S)
    assert process.poll() is None
    tree = _tree(process.pid)
    process.send_signal(signal.SIGINT)
    process.wait(GONE_S)
    assert not [pid for pid in tree if Path(f"/proc/{pid}").exists()]
