"""Runs that a process executes by itself are on the page's timeline."""

from __future__ import annotations

import sys

from dagster import DagsterInstance, job, op

from iblnm_dagster.workarounds.run_origin import MODULE, job_origin, show_own_runs


@op
def nothing():
    """A step."""


@job
def idle():
    """A job."""
    nothing()


def test_a_run_names_the_code_location_of_the_page():
    with DagsterInstance.ephemeral() as instance:
        result = idle.execute_in_process(instance=show_own_runs(instance))
        run = instance.get_run_by_id(result.run_id)
    assert run.remote_job_origin == job_origin("idle")
    origin = run.remote_job_origin.repository_origin
    assert (origin.code_location_origin.location_name, origin.repository_name) == (
        MODULE,
        "__repository__",
    )
    assert origin.code_location_origin.loadable_target_origin.executable_path == sys.executable
    assert run.tags["dagster/code_location"] == MODULE


def test_dagster_still_leaves_it_out():
    """If this fails, Dagster names it by itself: drop the work-around."""
    with DagsterInstance.ephemeral() as instance:
        result = idle.execute_in_process(instance=instance)
        assert instance.get_run_by_id(result.run_id).remote_job_origin is None
