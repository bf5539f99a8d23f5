"""What a fork does: one run, or the last word about one that died."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RepositoryDefinition,
)
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import EngineEventData
from dagster._core.execution.api import execute_run_iterator
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import deserialize_value
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster._utils.interrupts import capture_interrupts, pop_captured_interrupt

from iblnm.config import get_settings
from iblnm_dagster.assets import CATALOG_ASSETS
from iblnm_dagster.jobs import CATALOG_JOB
from iblnm_dagster.tables import alone_at_the_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORKERS_END_S = 5.0


def execute(repository: RepositoryDefinition, run_id: str, instance: str) -> int:
    """Execute a run in this process.

    Parameters
    ----------
    repository : RepositoryDefinition
    run_id : str
    instance : str
        Reference to the instance, serialized.

    Returns
    -------
    int
        0 if the run has come to an end, whichever; 1 if it could not.
    """
    _be_a_process_of_its_own()
    with capture_interrupts(), _open(instance) as opened:
        run = opened.get_run_by_id(run_id)
        if run is None:
            print(f"run {run_id} is not known to the instance", file=sys.stderr)
            return 1
        if run.status == DagsterRunStatus.CANCELING:
            opened.report_run_canceled(run, "Terminated before it had begun.")
            return 0
        started = f"Started a fork for the run (pid: {os.getpid()})."
        opened.report_engine_event(started, run, EngineEventData.in_process(os.getpid()))
        _execute(repository, run, opened)
        for process in multiprocessing.active_children():
            process.terminate()
            process.join(_WORKERS_END_S)
        ended = opened.get_run_by_id(run_id)
        return 0 if ended is None or ended.is_finished else 1


def report_death(run_id: str, instance: str, exit_code: int) -> int:
    """Mark a run as failed, or canceled if that was asked for, whose process died without a word.

    Parameters
    ----------
    run_id : str
    instance : str
        Reference to the instance, serialized.
    exit_code : int
        Exit code of the process; minus the signal that ended it.
    """
    with _open(instance) as opened:
        run = opened.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return 0
        message = f"The process of the run {describe(exit_code)}."
        if run.status == DagsterRunStatus.CANCELING:
            opened.report_run_canceled(run, message)
        else:
            opened.report_run_failed(run, message)
    return 0


def describe(exit_code: int) -> str:
    """How a process ended, in words."""
    if exit_code >= 0:
        return f"ended unexpectedly with exit code {exit_code}"
    hint = " (out of memory, or killed by hand)" if exit_code == -9 else ""
    return f"was ended by signal {-exit_code}{hint}"


def _open(instance: str) -> DagsterInstance:
    return DagsterInstance.from_ref(deserialize_value(instance, InstanceRef))


def _be_a_process_of_its_own() -> None:
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def _execute(repository: RepositoryDefinition, run: DagsterRun, instance: DagsterInstance) -> None:
    try:
        with ExitStack() as held:
            for event in _events(repository, run, instance):
                # a run that has not started cannot be terminated, and is ended when that lasts
                if event.event_type == DagsterEventType.RUN_START and _makes_tables(run):
                    folder = get_settings().metadata_dir
                    held.enter_context(alone_at_the_tables(folder, _end_if_told))
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        _fail(instance, run, "Run execution terminated by interrupt")
    except Exception:  # noqa: BLE001 (whatever it is, the run's log must tell it)
        error = EngineEventData.engine_error(serializable_error_info_from_exc_info(sys.exc_info()))
        instance.report_engine_event("The run could not be executed.", run, error)
        _fail(instance, run, None)


def _makes_tables(run: DagsterRun) -> bool:
    """Whether it makes tables over all sessions, as one process at a time may."""
    tables = {key for asset in CATALOG_ASSETS for key in asset.keys}
    return run.job_name == CATALOG_JOB or bool(tables & set(run.asset_selection or ()))


def _end_if_told() -> None:
    if pop_captured_interrupt():
        raise DagsterExecutionInterruptedError


def _events(
    repository: RepositoryDefinition, run: DagsterRun, instance: DagsterInstance
) -> Iterator[DagsterEvent]:
    return execute_run_iterator(InMemoryJob(repository.get_job(run.job_name)), run, instance)


def _fail(instance: DagsterInstance, run: DagsterRun, message: str | None) -> None:
    latest = instance.get_run_by_id(run.run_id)
    if latest is not None and not latest.is_finished:
        if latest.status == DagsterRunStatus.CANCELING:
            instance.report_run_canceled(latest, message)
        else:
            instance.report_run_failed(latest, message)
