"""Cost of the framework: warm batch, daemon, workers, start-up.

Run: python benchmarks/bench_framework.py
Every figure is CPU or wall time of the same sessions of a simulated archive (60 minutes, two
fibers); the plain loop calls the same functions and makes the same writes without Dagster.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from _common import row, temporary_root

from iblnm.config import Settings


def plain_loop(settings: Settings, eids: list[str]) -> float:
    """CPU seconds per session of all stages and writes, without Dagster."""
    from iblnm.archive.connection import connect
    from iblnm.data import stages
    from iblnm.pipeline.graph import find_stage
    from iblnm.pipeline.stages import session_page
    from iblnm.storage.h5 import read_group, write_groups
    from iblnm.storage.parquet import read_table, write_table
    from iblnm.viewer.report import save_report

    one = connect(settings)

    def keep(asset: str, eid: str, result):
        if result.value is None:
            return None
        stage = find_stage(asset)
        if stage.folder is not None:
            table = stage.table
            path = settings.root / stage.folder / f"{eid}.pqt"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(result.value, path, table, result.provenance)
            if asset == "session":
                write_groups(h5_path(eid), {"metadata": result.value}, result.provenance)
            return lambda: read_table(path, table)
        write_groups(h5_path(eid), {stage.h5_group: result.value}, result.provenance)
        return lambda: read_group(h5_path(eid), stage.h5_group)

    def h5_path(eid: str) -> Path:
        settings.sessions_h5_dir.mkdir(parents=True, exist_ok=True)
        return settings.sessions_h5_dir / f"{eid}.h5"

    def session(eid: str) -> None:
        row_of = keep("session", eid, stages.session_metadata(one, eid, settings))
        trials = keep("trials", eid, stages.trials_table(one, row_of().iloc[0], settings))
        reference = keep(
            "photometry", eid, stages.photometry_reference(one, row_of().iloc[0], settings)
        )
        keep("photometry_qc", eid, stages.photometry_quality(reference(), settings))
        signal = keep("preprocessed", eid, stages.preprocessed_signal(reference(), settings))
        keep("responses", eid, stages.peri_event_responses(signal(), trials(), settings))
        keep(
            "performance",
            eid,
            stages.task_performance(trials(), row_of().iloc[0], settings),
        )
        keep(
            "wheel_velocity",
            eid,
            stages.wheel_velocity(one, row_of().iloc[0], trials(), settings),
        )
        keep("video_qc", eid, stages.video_quality(one, row_of().iloc[0], settings))
        page = session_page(row_of().iloc[0], settings)
        save_report(
            page.value, settings.root / find_stage("session_report").folder / f"{eid}.html"
        )

    session(eids[0])
    start = time.process_time()
    for eid in eids[1:]:
        session(eid)
    return (time.process_time() - start) / (len(eids) - 1)


def warm_worker(settings: Settings, eids: list[str], *, checks: bool) -> float:
    """CPU seconds per session of a warm worker."""
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions
    from iblnm_dagster.running.worker import Worker

    with open_instance(settings) as instance:
        add_sessions(instance, eids)
        worker = Worker(settings, instance, checks=checks)
        worker.run(eids[0])
        outcomes = [worker.run(eid) for eid in eids[1:]]
    bad = [outcome for outcome in outcomes if outcome.status not in ("passed", "blocked")]
    if bad:
        raise SystemExit(f"sessions did not run: {bad}")
    return sum(outcome.cpu_s for outcome in outcomes) / len(outcomes)


def batch_rate(settings: Settings, eids: list[str], workers: int) -> tuple[float, float, int]:
    """Sessions per hour, largest memory of a worker [MiB], and sessions that broke."""
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions
    from iblnm_dagster.running.batch import run_batch

    with open_instance(settings) as instance:
        add_sessions(instance, eids)
    report = run_batch(settings, eids, workers=workers, progress=False)
    for outcome in report.outcomes:
        if outcome.status == "broken":
            print(outcome)
    return report.sessions_per_hour, report.peak_worker_mib, report.counts["broken"]


def daemon_cost(settings: Settings, eids: list[str]) -> tuple[float, float, float]:
    """What runs cost that the daemon starts, from the page on.

    Returns
    -------
    cpu, rate, first : float
        CPU seconds per session, all processes included; sessions per hour of a backfill, from
        the click on; seconds from the click on the page, just opened, to a run's first step.
    """
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions

    with open_instance(settings) as instance:
        add_sessions(instance, eids)
    port = _free_port()
    environment = {
        **os.environ,
        "IBLNM_ROOT": str(settings.root),
        "IBLNM_ONE_CACHE_DIR": str(settings.cache_dir),
        # the sessions are to be run by the backfill alone
        "IBLNM_SYNC__IS_ON": "false",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "iblnm_dagster.cli", "dev", "-p", str(port)],
        cwd=settings.root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(port)
        with open_instance(settings) as instance:
            first = _first_run(port, instance, eids[0])
        eids = eids[1:]
        time.sleep(10)
        idle = _tree_cpu(server.pid)
        time.sleep(10)
        idle_rate = (_tree_cpu(server.pid) - idle) / 10
        before, start = _tree_cpu(server.pid), time.perf_counter()
        _launch_backfill(port, eids)
        with open_instance(settings) as instance:
            _wait_for_runs(instance, len(eids) + 1)
        seconds = time.perf_counter() - start
        used = _tree_cpu(server.pid) - before
        row("idle page, daemon and code server", idle_rate, "CPU-s/s")
        return used / len(eids), 3600 * len(eids) / seconds, first
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def _first_run(port: int, instance, eid: str) -> float:
    from dagster import DagsterEventType

    from iblnm_dagster.jobs import SESSION_JOB

    mutation = """mutation($e: ExecutionParams!) { launchRun(executionParams: $e)
        { __typename ... on LaunchRunSuccess { run { runId } } } }"""
    params = {
        "selector": {
            "repositoryLocationName": "iblnm_dagster.definitions",
            "repositoryName": "__repository__",
            "jobName": SESSION_JOB,
        },
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": eid}]},
    }
    clicked = time.time()
    answer = _post(port, {"query": mutation, "variables": {"e": params}})["data"]["launchRun"]
    if answer["__typename"] != "LaunchRunSuccess":
        raise SystemExit(f"the run was refused: {answer}")
    run_id = answer["run"]["runId"]
    _wait_for_runs(instance, 1)
    steps = instance.all_logs(run_id, of_type=DagsterEventType.STEP_START)
    return steps[0].timestamp - clicked


def _launch_backfill(port: int, eids: list[str]) -> None:
    from iblnm.pipeline.graph import stage_names

    mutation = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p)
        { __typename ... on PythonError { message } } }"""
    params = {
        "partitionNames": eids,
        "assetSelection": [{"path": [name]} for name in stage_names()],
        "fromFailure": False,
    }
    answer = _post(port, {"query": mutation, "variables": {"p": params}})
    kind = answer["data"]["launchPartitionBackfill"]["__typename"]
    if kind != "LaunchBackfillSuccess":
        raise SystemExit(f"the backfill was refused: {answer}")


def _post(port: int, body: dict) -> dict:
    page = f"http://127.0.0.1:{port}"
    request = urllib.request.Request(
        f"{page}/graphql",
        data=json.dumps(body).encode(),
        # the page refuses what does not come from itself
        headers={"Content-Type": "application/json", "Origin": page},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def _wait_for(port: int) -> None:
    for _ in range(180):
        try:
            answer = _post(port, {"query": "{ repositoriesOrError { __typename } }"})
            if answer["data"]["repositoriesOrError"]["__typename"] == "RepositoryConnection":
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise SystemExit("dagster dev did not start")


def _wait_for_runs(instance, count: int) -> None:
    from dagster import RunsFilter
    from dagster._core.storage.dagster_run import FINISHED_STATUSES

    for _ in range(1200):
        if instance.get_runs_count(RunsFilter(statuses=FINISHED_STATUSES)) >= count:
            return
        time.sleep(0.25)
    raise SystemExit("the runs did not finish")


def _tree_cpu(pid: int) -> float:
    """CPU seconds of a process, its living descendants, and all that they have waited for."""
    ticks = os.sysconf("SC_CLK_TCK")
    parents, cost = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            cost[int(entry.name)] = sum(map(int, fields[11:15])) / ticks
    wanted = {pid}
    while more := {child for child, parent in parents.items() if parent in wanted} - wanted:
        wanted |= more
    return sum(cost[process] for process in wanted if process in cost)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_cost() -> None:
    """CPU seconds of the imports, each in a fresh process."""
    for name, limit in (("iblnm", "<= 0.3"), ("iblnm_dagster.definitions", "<= 3")):
        code = f"import time; import {name}; print(time.process_time())"
        times = [
            float(
                subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, text=True, check=True
                ).stdout
            )
            for _ in range(3)
        ]
        row(f"import {name}, whole process", min(times), "CPU-s", limit)


_ARITHMETIC = """
import time
import numpy as np
start = time.perf_counter()
total = sum(i * i for i in range(8_000_000))
values = np.random.default_rng(0).normal(size=2_000_000)
for _ in range(10):
    values = np.sort(values[::-1] * 1.0001)
print(time.perf_counter() - start)
"""


def machine_ceiling() -> float:
    """How much more two processes of plain arithmetic do at a time than one."""

    def seconds(count: int) -> float:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", _ARITHMETIC], stdout=subprocess.PIPE, text=True
            )
            for _ in range(count)
        ]
        return max(float(process.communicate()[0]) for process in processes)

    return 2 * min(seconds(1) for _ in range(3)) / min(seconds(2) for _ in range(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10, help="sessions per measurement")
    parser.add_argument("--many", type=int, default=200, help="sessions for four workers, or 0")
    parser.add_argument("--minutes", type=float, default=60.0, help="length of a session")
    arguments = parser.parse_args()
    from iblnm.demo import build_archive

    start_cost()
    with temporary_root() as folder:
        truth = build_archive(
            folder / "alf",
            n_subjects=2,
            sessions_per_subject=arguments.sessions // 2,
            duration_s=60 * arguments.minutes,
            defects=False,
        )
        eids = [session["eid"] for session in truth["sessions"]]

        def fresh(name: str) -> Settings:
            return Settings(root=folder / name, one_cache_dir=folder / "alf")

        plain = plain_loop(fresh("plain"), eids)
        warm = warm_worker(fresh("warm"), eids, checks=False)
        checked = warm_worker(fresh("checked"), eids, checks=True)
        row("plain loop, all stages and writes", plain, "CPU-s", "per session")
        row("warm worker without checks", warm, "CPU-s", "per session")
        row("  framework overhead", warm - plain, "CPU-s", "<= 0.8")
        row("warm worker with all checks", checked, "CPU-s", "per session")
        row("  cost of the checks", checked - warm, "CPU-s", "<= 0.6")
        one_rate, memory, _ = batch_rate(fresh("one"), eids, 1)
        two_rate, memory_two, _ = batch_rate(fresh("two"), eids, 2)
        row("batch, one worker", one_rate, "sessions/h")
        row("batch, two workers", two_rate, "sessions/h")
        row("  two workers against one", two_rate / one_rate, "x", ">= 1.7")
        row("  the same of plain arithmetic", machine_ceiling(), "x", "at most that")
        row("  memory of a worker", max(memory, memory_two), "MiB", "<= 450")
        cpu, rate, first = daemon_cost(fresh("daemon"), eids)
        row("run started by the daemon, all processes", cpu, "CPU-s", "per session")
        row("  against a warm worker with all checks", cpu / checked, "x", "<= 1.5")
        row("backfill from the page", rate, "sessions/h")
        row("  against a batch of two workers", rate / two_rate, "x", ">= 0.7")
        row("first run after the page is open: click to first step", first, "s", "<= 5")
        row("warm worker with all checks against the plain loop", checked / plain, "x", "<= 1.8")
    if not arguments.many:
        return
    with temporary_root() as folder:
        truth = build_archive(
            folder / "alf",
            n_subjects=10,
            sessions_per_subject=arguments.many // 10,
            duration_s=300.0,
            defects=False,
        )
        eids = [session["eid"] for session in truth["sessions"]]
        settings = Settings(root=folder / "many", one_cache_dir=folder / "alf")
        rate, _, broken = batch_rate(settings, eids, 4)
        row(f"{len(eids)} short sessions at four workers", rate, "sessions/h")
        row("  lock errors and other breakages", broken, "sessions", "= 0")


if __name__ == "__main__":
    main()
