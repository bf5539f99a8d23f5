"""How the tables over all sessions grow. Run: python benchmarks/bench_catalog_growth.py

Four sessions are simulated and processed; their tables, outcomes, trials and quality metrics
are copied under other names until there are 100, 1,000 and 10,000, 50 of a mouse. Printed are CPU,
wall and peak memory of a process that makes all tables with their checks and the dashboard, from
nothing and again after one session in a hundred was made anew; of `iblnm summary`; the CPU of a
tick of the sensor with nothing new on a server with as many sessions; and the exponents by which
the CPU time grows from the first size to the last.
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

import h5py
import pandas as pd
import pyarrow as pa
from _common import row, temporary_root
from bench_framework import warm_worker
from bench_sensor import bench_remote_tick
from pyarrow import parquet

from iblnm.config import Settings

SIZES = (100, 1000, 10_000)
AT_FIRST, AGAIN = "tables and dashboard", "tables and dashboard, 1 % of sessions new"
LIMITS = {AT_FIRST: "≤ 60 s at 10,000", AGAIN: "≤ 60 s at 10,000", "tick": "≤ 0.5 at 10,000"}
N_PER_MOUSE = 50
H5_GROUPS = ("photometry/qc", "trials")


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


def small_session_file(source: Settings, eid: str) -> bytes:
    """A session file with the groups that tables are made of."""
    from iblnm.storage.h5 import read_groups, write_groups

    groups = read_groups(source.sessions_h5_dir / f"{eid}.h5", H5_GROUPS)
    with temporary_root() as folder:
        write_groups(folder / "small.h5", groups)
        return (folder / "small.h5").read_bytes()


def write_session_file(image: bytes, path: Path, eid: str) -> None:
    """The file under another eid."""

    def rename(_: str, entry: h5py.Group | h5py.Dataset) -> None:
        if entry.name.endswith("/eid"):
            entry[...] = [eid.encode()] * len(entry)

    with h5py.File.in_memory(image) as file:
        file.visititems(rename)
        file.flush()
        path.write_bytes(file.id.get_file_image())


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
    settings.sessions_h5_dir.mkdir(parents=True, exist_ok=True)
    images = {eid: small_session_file(source, eid) for eid in eids}
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
        write_session_file(images[like], settings.sessions_h5_dir / f"{eid}.h5", eid)
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


def renew(settings: Settings, n: int) -> None:
    """Write the files of some sessions anew."""
    from iblnm.pipeline.graph import all_stages
    from iblnm.storage.atomic import write_whole

    folders = [settings.root / s.folder for s in all_stages() if s.table is not None]
    for folder in (*folders, settings.sessions_h5_dir):
        for path in sorted(entry for entry in folder.iterdir() if entry.is_file())[:n]:
            content = path.read_bytes()
            with write_whole(path) as temporary:
                temporary.write_bytes(content)


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
            steps = ((AT_FIRST, make_tables), (AGAIN, make_tables), ("summary", summarize))
            for name, function in steps:
                if name == AGAIN:
                    renew(settings, n // 100)
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
