"""Work-around: the page does not show runs that a process executes by itself.

``execute_in_process`` creates its run without the code location that the job comes from, which
`DagsterInstance.create_run_for_job` takes. The timeline, the page that Dagster opens with, leaves
such runs out, and a run has no link to its job.
``tests/iblnm_dagster/workarounds/test_run_origin.py`` says when Dagster no longer needs this.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from dagster import DagsterInstance
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

MODULE = "iblnm_dagster.definitions"


def job_origin(name: str) -> RemoteJobOrigin:
    """Where `dagster dev -m iblnm_dagster.definitions` finds a job."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name=MODULE)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), name)


def show_own_runs(instance: DagsterInstance) -> DagsterInstance:
    """Let runs that are executed with this instance name their code location; the instance."""
    create = instance.create_run_for_job

    @functools.wraps(create)
    def create_run_for_job(job_def: Any, *args: Any, **options: Any) -> Any:
        if not args and options.get("remote_job_origin") is None:
            options["remote_job_origin"] = job_origin(job_def.name)
        return create(job_def, *args, **options)

    instance.create_run_for_job = create_run_for_job  # type: ignore[method-assign]
    return instance
