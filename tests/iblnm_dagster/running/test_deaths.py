"""A run of the sensor or the page whose process dies names its session among the errors."""

from __future__ import annotations

import json
import socket

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

from iblnm.config import get_settings
from iblnm.pipeline.outcomes import open_outcomes
from iblnm_dagster import launcher as launchers
from iblnm_dagster.jobs import SESSION_JOB
from iblnm_dagster.launcher import SERVER_TAG, ForkRunLauncher

EID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("IBLNM_ROOT", str(tmp_path))
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


@pytest.mark.parametrize(("code", "n_named"), [(-9, 1), (0, 0)])
@pytest.mark.slow
def test_a_fork_that_was_killed_is_named_and_one_that_ended_is_not(
    settings, monkeypatch, code, n_named
):
    answer = {"status": "ended", "exit_code": code}
    monkeypatch.setattr(launchers, "ask", lambda address, request: answer)
    place = json.dumps({"host": socket.gethostname(), "address": "there"})
    with dg.DagsterInstance.ephemeral() as instance:
        launcher = ForkRunLauncher()
        launcher.register_instance(instance)
        run = instance.add_run(
            dg.DagsterRun(
                job_name=SESSION_JOB,
                status=dg.DagsterRunStatus.STARTED,
                tags={"dagster/partition": EID, SERVER_TAG: place},
            )
        )
        found = launcher.check_run_worker_health(run)
        assert found.status == (WorkerStatus.FAILED if code else WorkerStatus.SUCCESS)
        instance.report_run_failed(run, "its process died")
        launcher.check_run_worker_health(run)  # a run that has ended is left as it is
    failed = open_outcomes(settings).attempts("failed")
    assert len(failed) == n_named
    if n_named:
        (row,) = failed.to_dict("records")
        assert (row["eid"], row["asset"], row["error_type"]) == (EID, "session", "WorkerDied")
        assert "exit code -9" in row["message"]
        assert "--failed" in row["message"]
