"""Two of everything on one root at the same time, some of it as if on a second machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from iblnm.archive.sync_state import open_state
from iblnm.schemas import ERRORS, QC_MATRIX, SESSIONS_TABLE
from iblnm.storage import read_table
from iblnm.storage.h5 import GROUPS, list_groups

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from iblnm.config import Settings

TABLES = {"sessions": SESSIONS_TABLE, "qc_matrix": QC_MATRIX, "errors": ERRORS}
# the run that the sensor asks for when many sessions wait
_SENSORS_RUN = """
from iblnm.config import get_settings
from iblnm_dagster.build import build_defs
from iblnm_dagster.instance import open_instance
from iblnm_dagster.running.catch_up import CATCH_UP_JOB

with open_instance(get_settings()) as instance:
    job = build_defs(get_settings()).resolve_job_def(CATCH_UP_JOB)
    assert job.execute_in_process(instance=instance).success
"""
_CLI = ("-m", "iblnm_dagster.cli")
_OTHER_NAME = ("unshare", "--uts", "sh", "-c", 'hostname second && exec "$@"', "sh")


def commands() -> list[list[str]]:
    """What runs at once; every other of them has a host name of its own, where that is allowed.

    Whether a process of another host works still cannot be asked: its signs of life count.
    """
    words = [
        (*_CLI, "batch", "--workers", "1"),
        (*_CLI, "batch", "--workers", "1", "--no-catalogue"),
        ("-c", _SENSORS_RUN),
        *[(*_CLI, "catalogue")] * 3,
    ]
    other = _OTHER_NAME if _may_rename() else ()
    return [[*(other if i % 2 else ()), sys.executable, *word] for i, word in enumerate(words)]


def run_at_once(settings: Settings, folder: Path, limit_s: float) -> list[str]:
    """Run all commands; what each has said. A reader reads the tables meanwhile."""
    environment = {
        **os.environ,
        "IBLNM_ROOT": str(settings.root),
        "IBLNM_ONE_CACHE_DIR": str(settings.cache_dir),
    }
    started = commands()
    output = [folder / f"said-{i}.txt" for i in range(len(started))]
    running = []
    for command, path in zip(started, output, strict=True):
        with path.open("wb") as file:
            running.append(subprocess.Popen(command, env=environment, stdout=file, stderr=file))
    try:
        deadline = time.monotonic() + limit_s
        while any(process.poll() is None for process in running):
            assert time.monotonic() < deadline
            for name in TABLES:  # a reader needs no lock, and never sees half a table
                path = settings.metadata_dir / f"{name}.pqt"
                if path.exists():
                    assert pq.read_table(path).num_columns > 0
            time.sleep(0.5)
    finally:
        for process in running:
            process.kill()
            process.wait()
    said = [path.read_text() for path in output]
    assert [process.returncode for process in running] == [0] * len(running), said
    assert not [text for text in said if re.search(r"\block(ed)?\b|Traceback", text)], said
    return said


def require_whole(settings: Settings, instance: DagsterInstance, eids: list[str]) -> int:
    """See to it that each session was run to its end and is stored whole; how many runs."""
    import dagster as dg

    runs = instance.get_runs(dg.RunsFilter(job_name="process_session"))
    assert {run.tags["dagster/partition"] for run in runs} == set(eids)
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert len(runs) <= 2 * len(eids)
    for eid in eids:
        stored = set(list_groups(settings.sessions_h5_dir / f"{eid}.h5"))
        assert stored == set(GROUPS) - {"errors"}
    tables = {
        name: read_table(settings.metadata_dir / f"{name}.pqt", schema)
        for name, schema in TABLES.items()
    }
    assert set(tables["sessions"]["eid"]) <= set(eids)
    assert set(tables["qc_matrix"]["eid"]) <= set(eids)
    assert "FAILURE" not in set(tables["errors"]["severity"])
    assert open_state(settings).claimed(lambda owner: True) == set()
    for database in ("outcomes.sqlite", "sync.sqlite"):
        assert (settings.metadata_dir / database).is_file()
    return len(runs)


def _may_rename() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*_OTHER_NAME, "true"], capture_output=True, check=False).returncode == 0
