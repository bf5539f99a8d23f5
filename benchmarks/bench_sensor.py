"""What watching an archive costs, and the proof that no session is lost or run twice.

python benchmarks/bench_sensor.py                 # cost of a tick, of making tables follow
python benchmarks/bench_sensor.py --simulate 5000 # kills, faults, late commits: minutes
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
import uuid
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pandas as pd
from _common import row, temporary_root

from iblnm.config import Settings

N_SESSIONS = 5000
FILES = ("alf/task_00/_ibl_trials.table.pqt", "alf/photometry/photometry.signal.pqt", "raw/x.npy")


def thread_seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Smallest CPU time of this thread alone: a server may run in another."""
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        function()
        times.append(time.thread_time() - start)
    return min(times)


def bench_remote_tick(root: Path, n_sessions: int = N_SESSIONS) -> float:
    """A tick over known sessions of a server, nothing new; its CPU seconds."""
    from bench.alyx import AlyxServer, synthetic

    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.sensors import SessionWatch

    model = synthetic(n_sessions * 20 // 19, now=datetime.now())
    with AlyxServer(model) as server:
        os.environ.update(server.environment())
        settings = Settings(root=root, one_cache_dir=root / "one")
        with open_instance(settings) as instance:
            watch = SessionWatch(settings)
            began, cpu = time.perf_counter(), time.thread_time()
            _get_to_rest(watch, instance, settings)
            row("first contact, wall", time.perf_counter() - began, "s")
            row("first contact", time.thread_time() - cpu, "CPU-s")
            known = len(instance.get_dynamic_partitions("eid"))
            row("known sessions", known, "")
            server.requests.clear()
            watch.tick(instance)
            row("requests of a tick with nothing new", len(server.requests), "", "<= 3")
            seconds = thread_seconds(lambda: watch.tick(instance))
            row("tick with nothing new, remote", seconds, "CPU-s", "<= 0.5")
    return seconds


def bench_local_tick(root: Path) -> None:
    """A tick over known sessions of a folder, nothing new."""
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.sensors import SessionWatch

    for name in [name for name in os.environ if name.startswith("IBLNM_")]:
        del os.environ[name]
    settings = Settings(root=root / "root", one_cache_dir=_local_archive(root / "alf"))
    with open_instance(settings) as instance:
        watch = SessionWatch(settings)
        began = time.thread_time()
        _get_to_rest(watch, instance, settings)
        row("first contact, local", time.thread_time() - began, "CPU-s")
        row("tick, local", thread_seconds(lambda: watch.tick(instance)), "CPU-s", "<= 0.5")


def bench_following(root: Path) -> None:
    """Making the tables follow the sessions: our sensor against declarative automation."""
    import dagster as dg

    from iblnm_dagster.assets import CATALOG_ASSETS
    from iblnm_dagster.build import build_resources
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import SESSION_PARTITIONS
    from iblnm_dagster.sensors import tables_request
    from iblnm_dagster.session import build_session_assets

    settings = Settings(root=root, one_cache_dir=root / "alf")
    condition = (
        dg.AutomationCondition.any_deps_updated().since_last_handled()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    )
    tables = [asset.with_attributes(automation_condition=condition) for asset in CATALOG_ASSETS]
    session_assets = build_session_assets()
    defs = dg.Definitions([*session_assets, *tables], resources=build_resources(settings))
    eids = [str(uuid.UUID(int=i, version=4)) for i in range(N_SESSIONS)]
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions(SESSION_PARTITIONS.name, eids)
        for eid in eids[:200]:
            for asset in session_assets:
                event = dg.AssetMaterialization(asset.key, partition=eid)
                instance.report_runless_asset_event(event)
        result = dg.evaluate_automation_conditions(defs, instance)
        cursor = [result.cursor]

        def evaluate() -> None:
            cursor[0] = dg.evaluate_automation_conditions(defs, instance, cursor=cursor[0]).cursor

        row("declarative automation, nothing new", thread_seconds(evaluate, 3), "CPU-s")
        eid = eids[200]
        requested = 0
        for asset in session_assets:
            instance.report_runless_asset_event(dg.AssetMaterialization(asset.key, partition=eid))
            result = dg.evaluate_automation_conditions(defs, instance, cursor=cursor[0])
            cursor[0], requested = result.cursor, requested + result.total_requested
        row("tables it asks for while one session's assets arrive", requested, "runs", "12 wanted")
        ours = thread_seconds(lambda: tables_request(instance, settings))
        row("sensor that follows runs, nothing new", ours, "CPU-s")


def simulate(n_sessions: int, n_changes: int, n_kills: int, seed: int) -> None:
    """The proof."""
    from bench.sync_simulation import simulate as run

    with temporary_root() as root:
        began = time.perf_counter()
        found = run(root, n_sessions=n_sessions, n_changes=n_changes, n_kills=n_kills, seed=seed)
        for name in ("sessions", "versions", "runs", "catch_ups", "kills", "faults", "requests"):
            row(name, getattr(found, name), "")
        print(dict(found.changes))
        for name in ("missing", "too_often", "needless", "not_marked", "wrongly_marked"):
            row(name, len(getattr(found, name)), "sessions", "0")
            print(*getattr(found, name)[:20], sep="\n")
        row("of another project", found.foreign, "sessions", "0")
        row("wall time", time.perf_counter() - began, "s")


def _get_to_rest(watch, instance, settings: Settings) -> None:
    """Ticks until all sessions are known, then as if each had been run."""
    from iblnm.archive.sync_state import open_state

    state = open_state(settings)
    while True:
        result = watch.tick(instance)
        for request in getattr(result, "dynamic_partitions_requests", None) or []:
            instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        if not state.counts()["unseen"]:
            break
    state.settle(state.waiting())


def _local_archive(cache: Path) -> Path:
    """Many sessions of three files in two folders, with tables and no records."""
    from iblutil.io import parquet

    sessions, datasets = [], []
    for i in range(N_SESSIONS):
        eid = str(uuid.UUID(int=i, version=4))
        day = str((pd.Timestamp("2020-01-01") + pd.Timedelta(days=i // 10)).date())
        sessions.append((eid, "lab", f"M{i % 10}", day, 1, "training", "ibl_fibrephotometry"))
        for name in FILES:
            path = cache / "lab" / "Subjects" / f"M{i % 10}" / day / "001" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            identifier = str(uuid.uuid3(uuid.NAMESPACE_URL, f"{eid}/{name}"))
            digest = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
            datasets.append((eid, identifier, name, 1, digest, True, "NOT_SET"))
    names = ["id", "lab", "subject", "date", "number", "task_protocol", "projects"]
    table = pd.DataFrame(sessions, columns=names).set_index("id")
    metadata = {"date_created": "2025-01-01 00:00"}
    parquet.save(cache / "sessions.pqt", table, metadata)
    names = ["eid", "id", "rel_path", "file_size", "hash", "exists", "qc"]
    table = pd.DataFrame(datasets, columns=names).set_index(["eid", "id"])
    parquet.save(cache / "datasets.pqt", table, metadata)
    return cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulate", type=int, metavar="SESSIONS")
    parser.add_argument("--changes", type=int, default=1200)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.simulate:
        simulate(arguments.simulate, arguments.changes, arguments.kills, arguments.seed)
        return
    warnings.simplefilter("ignore")
    for bench in (bench_remote_tick, bench_local_tick, bench_following):
        with temporary_root() as root:
            bench(root)


if __name__ == "__main__":
    main()
