"""A process that dies after an outcome is stored and before Dagster knows of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from dagster import AssetCheckKey, AssetKey
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES as COMPLETED,
)

from iblnm.pipeline.outcomes import open_outcomes
from iblnm_dagster.running.worker import PASSED, Worker
from iblnm_dagster.selection import cancel_runs_of_dead_workers

pytestmark = pytest.mark.slow

_KILLED = """
import os, sys
from iblnm.config import Settings
from iblnm.pipeline.outcomes import OutcomeStore
from iblnm_dagster.instance import open_instance
from iblnm_dagster.running.worker import Worker

root, cache, eid = sys.argv[1:]
record = OutcomeStore.record_evaluations

def record_and_die(self, session, outcomes):
    record(self, session, outcomes)
    if any(outcome.rule == "insufficient_trials" for outcome in outcomes):
        os._exit(9)

OutcomeStore.record_evaluations = record_and_die
settings = Settings(root=root, one_cache_dir=cache)
with open_instance(settings) as instance:
    Worker(settings, instance).run(eid)
"""


def test_the_next_run_puts_it_right(settings, instance):
    eid = instance.get_dynamic_partitions("eid")[0]
    command = [sys.executable, "-c", _KILLED, settings.root, settings.cache_dir, eid]
    assert subprocess.run([str(part) for part in command], timeout=120).returncode == 9
    outcomes = open_outcomes(settings)
    key = AssetCheckKey(AssetKey("trials"), "insufficient_trials")

    def told_to_dagster():
        storage = instance.event_log_storage
        records = storage.get_asset_check_execution_history(key, limit=10)
        return [record.evaluation.passed for record in records if record.status in COMPLETED]

    def stored():
        table = outcomes.evaluations().set_index(["eid", "check"])
        return table["result"].get((eid, "insufficient_trials"))

    assert stored() == "pass"
    assert told_to_dagster() == []
    assert cancel_runs_of_dead_workers(instance) == [eid]
    assert Worker(settings, instance).run(eid).status == PASSED
    assert stored() == "pass"
    assert told_to_dagster() == [True]
    attempts = outcomes.attempts()
    assert (attempts["state"] == "stored").all()
    assert {"session", "trials", "responses"} <= set(attempts["asset"])
