"""Everything twice at once on one root: nothing is torn, nothing ends by a lock."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import dagster as dg
import pyarrow.parquet as pq
import pytest

from iblnm.archive.sync_state import open_state
from iblnm.archive.watch import observe, open_source
from iblnm.schemas import ERRORS, QC_MATRIX, SESSIONS_TABLE
from iblnm.storage import read_table
from iblnm.storage.h5 import GROUPS, list_groups
from iblnm_dagster.partitions import known_sessions

pytestmark = pytest.mark.slow

TABLES = {"sessions": SESSIONS_TABLE, "qc_matrix": QC_MATRIX, "errors": ERRORS}
# the run that the sensor asks for when many sessions wait
SENSORS_RUN = """
from iblnm.config import get_settings
from iblnm_dagster.build import build_defs
from iblnm_dagster.instance import open_instance
from iblnm_dagster.running.catch_up import CATCH_UP_JOB

with open_instance(get_settings()) as instance:
    job = build_defs(get_settings()).resolve_job_def(CATCH_UP_JOB)
    assert job.execute_in_process(instance=instance).success
"""
CLI = ("-m", "iblnm_dagster.cli")


def test_batches_the_sensors_run_and_catalogs_at_once(settings, instance):
    found = observe(open_source(settings), open_state(settings), settings.sync)
    assert found.complete and found.looks == len(known_sessions(instance))
    commands = [
        (*CLI, "batch", "--workers", "1"),
        (*CLI, "batch", "--workers", "1", "--no-catalogue"),
        ("-c", SENSORS_RUN),
        *[(*CLI, "catalogue")] * 3,
    ]
    environment = {
        **os.environ,
        "IBLNM_ROOT": str(settings.root),
        "IBLNM_ONE_CACHE_DIR": str(settings.cache_dir),
    }
    output = [settings.root.parent / f"said-{i}.txt" for i in range(len(commands))]
    running = []
    for command, path in zip(commands, output, strict=True):
        with path.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *command], env=environment, stdout=file, stderr=file
            )
        running.append(process)
    try:
        deadline = time.monotonic() + 400
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
    assert not [text for text in said if re.search(r"\block(ed)?\b|Traceback", text)]

    eids = known_sessions(instance)
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
