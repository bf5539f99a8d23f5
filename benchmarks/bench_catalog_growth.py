"""How the tables over all sessions grow. Run: python benchmarks/bench_catalog_growth.py

Four sessions are simulated and processed; their tables and outcomes are copied under other names
until there are 100, 1,000 and 10,000, 50 of a mouse. Printed are CPU, wall and peak memory
of a process that makes all tables with their checks and the dashboard, and of `iblnm summary`,
the CPU of a tick of the sensor with nothing new on a server with as many sessions, and the
exponents by which the CPU time grows from the first size to the last.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import resource
import time
import uuid
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
from _common import row, temporary_root
from bench_framework import warm_worker
from bench_sensor import bench_remote_tick
from pyarrow import parquet

from iblnm.config import Settings

SIZES = (100, 1000, 10_000)
LIMITS = {"tables and dashboard": "≤ 60 s at 10,000", "tick": "≤ 0.5 at 10,000"}
N_PER_MOUSE = 50


def process_some(root: Path) -> tuple[Settings, list[str]]:
    """A root with four processed sessions."""
    from iblnm.demo import build_archive

    truth = build_archive(
        root / "alf", n_subjects=2, sessions_per_subject=2, duration_s=900.0, defects=False
    )
    settings = Settings(root=root / "few", one_cache_dir=root / "alf")
    eids = [session["eid"] for session in truth["sessions"]]
    warm_worker(settings, eids, checks=True)
    return settings, eids


def with_values(table: pa.Table, values: dict[str, str]) -> pa.Table:
    """The table with one value in each of some columns of text."""
    for name, value in values.items():
        field = table.schema.field(name)
        column = pa.array([value] * len(table), pa.string()).cast(field.type)
        table = table.set_column(table.schema.get_field_index(name), field, column)
    return table


def multiply(source: Settings, eids: list[str], settings: Settings, n: int) -> None:
    """Fill a root with copies of the tables and outcomes of a few sessions."""
    from iblnm.pipeline.graph import all_stages
    from iblnm.pipeline.outcomes import EVALUATION_COLUMNS, open_outcomes
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions

    known, target = open_outcomes(source), open_outcomes(settings)
    evaluations = known.evaluations()
    attempts = {eid: known.attempts_of(eid).values() for eid in eids}
    stages = [stage for stage in all_stages() if stage.table is not None]
    stored = {
        (stage.name, eid): parquet.read_table(path)
        for stage in stages
        for eid in eids
        if (path := source.root / stage.folder / f"{eid}.pqt").exists()
    }
    for stage in stages:
        (settings.root / stage.folder).mkdir(parents=True, exist_ok=True)
    new = [str(uuid.UUID(int=i + 1, version=4)) for i in range(n)]
    start = pd.Timestamp(2024, 1, 1, 10)
    rows = []
    for i, eid in enumerate(new):
        like = eids[i % len(eids)]
        for stage in stages:
            if (table := stored.get((stage.name, like))) is None:
                continue
            changes = {"eid": eid}
            if stage.name == "session":
                day = start + pd.Timedelta(days=i % N_PER_MOUSE)
                changes |= {
                    "subject": f"mouse-{i // N_PER_MOUSE}",
                    "start_time": day.isoformat(),
                }
            parquet.write_table(
                with_values(table, changes), settings.root / stage.folder / f"{eid}.pqt"
            )
        own = evaluations[evaluations["eid"] == like].assign(eid=eid)
        rows += own[list(EVALUATION_COLUMNS)].itertuples(index=False, name=None)
    target.insert_evaluations(rows)
    target.insert_attempts(
        replace(attempt, eid=eid)
        for i, eid in enumerate(new)
        for attempt in attempts[eids[i % len(eids)]]
    )
    with open_instance(settings) as instance:
        add_sessions(instance, new)


def make_tables(settings: Settings) -> None:
    """All tables over the sessions, and the dashboard, with their checks."""
    from iblnm_dagster.batch_command import update_catalogue
    from iblnm_dagster.instance import open_instance

    with open_instance(settings) as instance:
        update_catalogue(settings, instance)


def summarize(settings: Settings) -> None:
    """What `iblnm summary` prints."""
    from iblnm_dagster.batch_command import summary_text
    from iblnm_dagster.instance import open_instance

    with open_instance(settings) as instance:
        summary_text(instance, settings)


def tick(root: Path, n: int) -> float:
    """CPU seconds of a tick of the sensor with nothing new."""
    for name in [name for name in os.environ if name.startswith("IBLNM_")]:
        del os.environ[name]
    return bench_remote_tick(root, n)


def _measured(function: Callable, settings: Settings, answers) -> None:
    warnings.simplefilter("ignore")
    began, cpu = time.perf_counter(), time.process_time()
    function(settings)
    used = time.process_time() - cpu, time.perf_counter() - began
    answers.put((*used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def in_a_process(function: Callable, settings: Settings) -> tuple[float, float, float]:
    """CPU and wall seconds, imports included, and peak memory [MiB]."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_measured, args=(function, settings, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__name__} ended with {process.exitcode}")
    return answers.get()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    sizes = parser.parse_args().sizes
    warnings.simplefilter("ignore")
    cpus: dict[str, list[float]] = {}
    with temporary_root() as folder:
        source, eids = process_some(folder)
        for n in sizes:
            settings = Settings(root=folder / f"of-{n}", one_cache_dir=folder / "alf")
            multiply(source, eids, settings, n)
            for name, function in (("tables and dashboard", make_tables), ("summary", summarize)):
                cpu, wall, memory = in_a_process(function, settings)
                cpus.setdefault(name, []).append(cpu)
                row(f"{name}, {n} sessions, CPU", cpu, "s")
                row(f"{name}, {n} sessions, wall", wall, "s", LIMITS.get(name, ""))
                row(f"{name}, {n} sessions, memory", memory, "MiB")
            with temporary_root() as root:
                cpus.setdefault("tick", []).append(tick(root, n))
            row(f"tick, {n} sessions", cpus["tick"][-1], "CPU-s", LIMITS["tick"])
    for name, used in cpus.items() if len(sizes) > 1 else ():
        exponent = math.log(used[-1] / used[0]) / math.log(sizes[-1] / sizes[0])
        row(f"{name}, exponent of growth", exponent, "", f"{sizes[0]} to {sizes[-1]}")


if __name__ == "__main__":
    main()
