"""A batch on PostgreSQL against one on SQLite; four tasks, one killed; what 100,000 sessions cost.

Starts a PostgreSQL server of its own on loopback (tests/bench/postgres.py).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from _common import row, temporary_root
from bench.postgres import PostgresServer, why_not

from iblnm.config import Settings

_OWN = "application_name = 'iblnm' AND pid <> pg_backend_pid()"


def batches(settings: list[Settings], eids: list[str], server: PostgresServer) -> None:
    """CPU seconds per session of warm workers, on each root in turn, session by session."""
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions
    from iblnm_dagster.running.worker import Worker

    instances = [open_instance(item) for item in settings]
    workers = []
    for item, instance in zip(settings, instances, strict=True):
        add_sessions(instance, eids)
        workers.append(Worker(item, instance))
    for worker in workers:
        worker.run(eids[0])
    cpu, wall, moved = [0.0, 0.0], [0.0, 0.0], 0.0
    before = server.cpu_seconds()
    for i, eid in enumerate(eids[1:]):
        for k in (0, 1) if i % 2 else (1, 0):
            start = _moved_mb()
            outcome = workers[k].run(eid)
            moved += (_moved_mb() - start) * k
            if outcome.status not in ("passed", "blocked"):
                raise SystemExit(f"{eid}: {outcome}")
            cpu[k] += outcome.cpu_s
            wall[k] += outcome.seconds
    n = len(eids) - 1
    served = (server.cpu_seconds() - before) / n
    row("warm worker on SQLite", cpu[0] / n, "CPU-s", "per session")
    row("warm worker on PostgreSQL", cpu[1] / n, "CPU-s", "per session")
    row("  PostgreSQL / SQLite, CPU of the worker", cpu[1] / cpu[0], "", "<= 1.1")
    row("  PostgreSQL / SQLite, wall", wall[1] / wall[0], "")
    row("  CPU of the server", served, "CPU-s", "per session")
    row("  read and written, files and sockets", moved / n, "MB", "per session")
    database = settings[1].pg_url_file.stem
    kept = f"SELECT count(*) FROM pg_stat_activity WHERE {_OWN} AND datname = '{database}'"
    row("connections of the worker", server.query(kept)[0][0], "", "<= 4")
    for instance in instances:
        instance.dispose()


def _moved_mb() -> float:
    """What this process has read and written so far (Linux)."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return (int(counts["rchar"]) + int(counts["wchar"])) / 1e6


def tasks(settings: Settings, n_tasks: int, n_sessions: int, server: PostgresServer) -> None:
    """A job array by hand: all tasks at once, one killed in the midst and started again."""
    database = settings.pg_url_file.stem
    sql = "SELECT partition, status FROM runs WHERE partition IS NOT NULL"
    largest = 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal largest
        asked = f"SELECT count(*) FROM pg_stat_activity WHERE {_OWN} AND datname = '{database}'"
        while not ended.wait(0.2):
            largest = max(largest, server.query(asked)[0][0])

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    start = time.perf_counter()
    running = [_task(settings, i, n_tasks) for i in range(1, n_tasks + 1)]
    while True:
        with suppress(Exception):  # there is no table yet
            if any(status == "SUCCESS" for _, status in server.query(sql, database)):
                break
        if all(process.poll() is not None for process in running):
            raise SystemExit("the tasks have ended, and no session has run to its end")
        time.sleep(0.5)
    os.killpg(running[0].pid, signal.SIGKILL)
    running[0].wait()
    _kill_workers()
    running[0] = _task(settings, 1, n_tasks, restarts=1)
    codes = [process.wait() for process in running]
    seconds = time.perf_counter() - start
    ended.set()
    watching.join()
    runs = server.query(sql, database)
    done = [eid for eid, status in runs if status == "SUCCESS"]
    if any(codes) or len(done) != len(set(done)) or len(done) != n_sessions:
        raise SystemExit(f"codes {codes}; {len(done)} runs of {len(set(done))} sessions")
    row(f"{n_sessions} sessions, {n_tasks} tasks, one killed and requeued", seconds, "s")
    row("  sessions run to the end, each once", len(done), "")
    row("  runs canceled with the killed task", len(runs) - len(done), "")
    row(
        "  connections of all tasks, two processes each, at most", largest, "", f"<= {8 * n_tasks}"
    )


def _task(settings: Settings, i: int, n: int, restarts: int = 0) -> subprocess.Popen:
    environment = {
        **os.environ,
        "IBLNM_ROOT": str(settings.root),
        "IBLNM_ONE_CACHE_DIR": str(settings.cache_dir),
        "IBLNM_PG_URL_FILE": str(settings.pg_url_file),
        "SLURM_JOB_ID": str(i),
        "SLURM_RESTART_COUNT": str(restarts),
    }
    command = [sys.executable, "-m", "iblnm_dagster.cli", "batch", "--shard", f"{i}/{n}"]
    return subprocess.Popen(
        [*command, "--workers", "1"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _kill_workers() -> None:
    """Workers have left the group; Slurm ends them with their task."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if "SLURM_JOB_ID=1\0SLURM_RESTART_COUNT=0\0" in path.read_text(errors="replace"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def looking_up(settings: Settings, n: int) -> None:
    """Seconds of looking partition keys up, one by one."""
    from dagster_postgres import PostgresEventLogStorage

    from iblnm_dagster.instance import open_instance

    keys = [f"00000000-0000-4000-8000-{i:012d}" for i in range(n)]
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions("eid", keys)
        own = instance.event_log_storage
        stock = PostgresEventLogStorage(own.postgres_url, should_autocreate_tables=False)
        for name, storage in (("this storage", own), ("dagster-postgres", stock)):
            seconds = _seconds(
                lambda log=storage: [log.has_dynamic_partition("eid", k) for k in keys]
            )
            row(f"looking up {n} keys, {name}", seconds, "s")


def check_page(settings: Settings, eid: str, n: int, server: PostgresServer) -> None:
    """Seconds of the server for an asset's checks, with evaluations of n sessions each."""
    import dagster as dg
    from dagster._core.definitions.partitions.context import partition_loading_context

    from iblnm_dagster.build import build_defs
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import SESSION_PARTITIONS

    database = settings.pg_url_file.stem
    columns = (
        "asset_key, check_name, run_id, execution_status, evaluation_event,"
        " evaluation_event_timestamp, evaluation_event_storage_id,"
        " materialization_event_storage_id, create_timestamp"
    )
    keys = "'00000000-0000-4000-8000-' || lpad(i::text, 12, '0')"
    server.query(
        f"INSERT INTO asset_check_executions (partition, {columns}) SELECT {keys}, {columns}"
        f" FROM asset_check_executions, generate_series(0, {n - 1}) AS i"
        f" WHERE partition = '{eid}'",
        database,
    )
    server.query(
        "INSERT INTO dynamic_partitions (partitions_def_name, partition)"
        f" SELECT 'eid', {keys} FROM generate_series(0, {n - 1}) AS i ON CONFLICT DO NOTHING",
        database,
    )
    server.query("ANALYZE", database)
    graph = build_defs(settings).resolve_asset_graph()
    asset = dg.AssetKey("photometry_qc")
    checks = [key for key in graph.asset_check_keys if key.asset_key == asset]
    asked = [(key, SESSION_PARTITIONS) for key in checks]
    with (
        open_instance(settings) as instance,
        partition_loading_context(dynamic_partitions_store=instance),
    ):
        storage = instance.event_log_storage
        known = storage.get_dynamic_partitions("eid")
        for when, limit in (("at first", "<= 3"), ("then", "")):
            seconds = _seconds(
                lambda: (
                    storage.get_asset_check_state(asked),
                    [storage.has_dynamic_partition("eid", key) for key in known],
                )
            )
            row(
                f"{len(checks)} checks of an asset, {len(known)} keys, {when}", seconds, "s", limit
            )


def many_sessions(settings: Settings, n: int, server: PostgresServer) -> None:
    """What begins each task of an array, with so many sessions known and none run."""
    from iblnm.archive.sync_state import Sight, open_state
    from iblnm_dagster import selection
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions

    starts = {f"{i:08x}-0000-4000-8000-000000000000": f"2024-01-01T{i:07d}" for i in range(n)}
    state, database = open_state(settings), settings.pg_url_file.stem
    row(f"taking in a list of {n} sessions", _seconds(lambda: state.note_all(starts)), "s")
    row("  the same list again", _seconds(lambda: state.note_all(starts)), "s")
    sights = {eid: (1.0, Sight("x", start)) for eid, start in list(starts.items())[:1000]}
    row("  contents of 1,000 of them", _seconds(lambda: state.looked(sights)), "s")
    server.query("UPDATE sync.sessions SET seen = 'x', since = 1, looked = 1", database)
    with open_instance(settings) as instance:
        row("  as partitions", _seconds(lambda: add_sessions(instance, list(starts))), "s")
        row("  known partitions", _seconds(lambda: selection.known_sessions(instance)), "s")
        row(
            "  those that are missing", _seconds(lambda: selection.missing_sessions(instance)), "s"
        )
    part = list(starts)[::64]
    row(f"claiming {len(part)} of them", _seconds(lambda: state.claim(part, "rig/1/1:1")), "s")
    row("  a sign of life", _seconds(lambda: state.beat("rig/1/1:1")), "s")
    row("  what waits for a run, of the sensor", _seconds(lambda: state.waiting()), "s")
    row("  counts", _seconds(lambda: state.counts()), "s")


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=40, help="sessions of the batches")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of a session; short ones are blocked"
    )
    parser.add_argument("--tasks", type=int, default=4, help="of the job array")
    parser.add_argument("--keys", type=int, default=5000, help="of the page of checks")
    parser.add_argument("--many", type=int, default=100_000, help="sessions that are known")
    arguments = parser.parse_args()
    reason = why_not()
    if reason is not None:
        raise SystemExit(reason)
    from iblnm.demo import build_archive

    with temporary_root() as folder, PostgresServer() as server:
        truth = build_archive(
            folder / "alf",
            n_subjects=4,
            sessions_per_subject=arguments.sessions // 4,
            duration_s=60 * arguments.minutes,
            defects=False,
        )
        eids = [session["eid"] for session in truth["sessions"]]

        def fresh(name: str, *, shared: bool) -> Settings:
            return Settings(
                root=folder / name,
                one_cache_dir=folder / "alf",
                pg_url_file=server.new_database(folder) if shared else None,
            )

        plain, shared = fresh("sqlite", shared=False), fresh("postgres", shared=True)
        looking_up(fresh("keys", shared=True), 1000)
        many_sessions(fresh("many", shared=True), arguments.many, server)
        batches([plain, shared], eids, server)
        check_page(shared, eids[0], arguments.keys, server)
        tasks(fresh("tasks", shared=True), arguments.tasks, len(eids), server)


if __name__ == "__main__":
    main()
