"""Which content versions still wait for a run, as the runs of the instance tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.storage.tags import PARTITION_NAME_TAG, RUN_KEY_TAG

from iblnm.archive.sync_state import Waiting
from iblnm_dagster.jobs import SESSION_JOB
from iblnm_dagster.selection import UNFINISHED

_ONE_BY_ONE = 50
_ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)


@dataclass
class Sorted:
    """Waiting versions by what is to be done.

    Parameters
    ----------
    handled : list of Waiting
        A run has taken them in.
    busy : list of Waiting
        A run of the session is going on that may have begun too early.
    open : list of Waiting
        They need a run.
    """

    handled: list[Waiting] = field(default_factory=list)
    busy: list[Waiting] = field(default_factory=list)
    open: list[Waiting] = field(default_factory=list)


def sort_waiting(instance: DagsterInstance, waiting: Sequence[Waiting]) -> Sorted:
    """Compare what waits with the runs.

    A version is handled if a run with its key was launched (whatever became of it: Dagster
    launches no second one), or if any run of the session's whole chain began after the version
    was first seen and came to its end.
    """
    found = Sorted()
    runs = _runs_by_session(instance, waiting)
    for item in waiting:
        records = runs.get(item.eid, [])
        if any(_has_taken_in(record, item) for record in records):
            found.handled.append(item)
        elif any(_is_going_on(record) for record in records):
            found.busy.append(item)
        else:
            found.open.append(item)
    return found


def _runs_by_session(
    instance: DagsterInstance, waiting: Sequence[Waiting]
) -> dict[str, list[RunRecord]]:
    if not waiting:
        return {}
    records: Iterable[RunRecord]
    if len(waiting) <= _ONE_BY_ONE:
        records = [
            record
            for item in waiting
            for record in instance.get_run_records(
                RunsFilter(job_name=SESSION_JOB, tags={PARTITION_NAME_TAG: item.eid})
            )
        ]
    else:
        # storage keeps whole seconds
        since = datetime.fromtimestamp(min(item.since for item in waiting) - 1, UTC)
        records = instance.get_run_records(RunsFilter(job_name=SESSION_JOB, updated_after=since))
    runs: dict[str, list[RunRecord]] = {}
    for record in records:
        eid = record.dagster_run.tags.get(PARTITION_NAME_TAG, "")
        runs.setdefault(eid, []).append(record)
    return runs


def _has_taken_in(record: RunRecord, item: Waiting) -> bool:
    run = record.dagster_run
    if run.tags.get(RUN_KEY_TAG) == item.run_key:
        # a run that was created and not launched is launched when it is asked for again
        return run.status != DagsterRunStatus.NOT_STARTED
    began = record.start_time
    return run.status in _ENDED and began is not None and began >= item.since


def _is_going_on(record: RunRecord) -> bool:
    run = record.dagster_run
    created_only = run.status == DagsterRunStatus.NOT_STARTED and RUN_KEY_TAG in run.tags
    return run.status in UNFINISHED and not created_only
