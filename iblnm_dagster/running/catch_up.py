"""A backlog of sessions in one run: warm workers instead of a run of its own for each."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from dagster import DagsterInstance, OpExecutionContext, ResourceParam, job, op
from dagster._core.errors import DagsterExecutionInterruptedError

from iblnm.archive.claims import BEAT_S
from iblnm.config import Settings
from iblnm.errors import ServerUnreachableError, TransientError
from iblnm_dagster.jobs import LONGEST_RUN_S, RUNTIME_TAG

if TYPE_CHECKING:
    from iblnm.archive.sync_state import SyncState
    from iblnm_dagster.running.batch import BatchReport
    from iblnm_dagster.running.worker import SessionOutcome

CATCH_UP_JOB = "catch_up"
_LOCK_WAIT_S = 1.0


@op(description="Run the sessions that wait, in warm workers.")
def work_off_backlog(context: OpExecutionContext, settings: ResourceParam[Settings]) -> None:
    mark_run(context)
    report = work_off(
        settings,
        context.instance,
        workers=settings.sync.catch_up_workers,
        limit_s=settings.sync.catch_up_s,
    )
    if report is None:
        context.log.info("another process is working the backlog off")
        return
    tell(context, report)


def mark_run(context: OpExecutionContext) -> None:
    """Tag a run of many sessions: if its process is killed, this tells, and another goes on."""
    from iblnm_dagster.owners import worker_tag
    from iblnm_dagster.selection import WORKER_RUN_TAG, WORKER_TAG

    tags = {WORKER_TAG: worker_tag(), WORKER_RUN_TAG: context.run_id}
    context.instance.add_run_tags(context.run_id, tags)


def tell(context: OpExecutionContext, report: "BatchReport") -> None:
    """Log what became of the sessions of a run.

    Raises
    ------
    ServerUnreachableError, DagsterExecutionInterruptedError
        If the run ended before all were begun.
    """
    counts = ", ".join(f"{n} {status}" for status, n in sorted(report.counts.items()))
    context.log.info(f"sessions run: {counts or 'none'}")
    if report.set_aside:
        names = ", ".join(report.set_aside)
        context.log.error(f"set aside, as their workers died twice (WorkerDied): {names}")
    if report.unreachable:
        # the run fails, so that the next one waits a while; who was not begun still waits for it
        raise ServerUnreachableError(f"the server cannot be reached; {report.not_begun} wait")
    if report.interrupted:
        raise DagsterExecutionInterruptedError


# user runs from the page go first; the run itself is idle beside its workers
@job(
    name=CATCH_UP_JOB,
    tags={"dagster/priority": "-1", RUNTIME_TAG: str(LONGEST_RUN_S)},
    description="Many new or changed sessions, worked off in one run with warm workers.",
)
def catch_up() -> None:
    work_off_backlog()


def work_off(
    settings: Settings, instance: DagsterInstance, *, workers: int, limit_s: float
) -> "BatchReport | None":
    """Run all sessions that wait for a run.

    Parameters
    ----------
    settings : Settings
    instance : DagsterInstance
    workers : int
        Processes.
    limit_s : float
        No session is begun after that.

    Returns
    -------
    BatchReport or None
        None if another process is at it.
    """
    from iblnm.archive.sync_state import open_state
    from iblnm.storage.atomic import locked
    from iblnm_dagster.owners import owner_is_alive
    from iblnm_dagster.partitions import add_sessions
    from iblnm_dagster.running.waiting import sort_waiting
    from iblnm_dagster.selection import cancel_runs_of_dead_workers

    state = open_state(settings)
    with ExitStack() as held:
        try:
            # the system frees the lock of a killed process, and its claims are void with it
            held.enter_context(
                locked(settings.metadata_dir / CATCH_UP_JOB, timeout_s=_LOCK_WAIT_S)
            )
        except TransientError:
            return None
        cancel_runs_of_dead_workers(instance, state)
        found = sort_waiting(instance, state.waiting(owner_is_alive))
        state.settle(found.handled)
        eids = [item.eid for item in found.open]
        add_sessions(instance, eids)
        options = {"workers": workers, "limit_s": limit_s, "progress": False}
        return run_claimed(settings, state, eids, **options)


def run_claimed(
    settings: Settings, state: "SyncState", eids: Sequence[str], **options: Any
) -> "BatchReport":
    """Run a batch of whole chains; the session sensor leaves these sessions alone meanwhile.

    Sessions that another process has claimed are left to it, and named in the report.

    Parameters
    ----------
    settings : Settings
    state : SyncState
    eids : sequence of str
    **options
        As for `iblnm_dagster.running.batch.run_batch`.
    """
    from iblnm_dagster.owners import owner_is_alive, worker_tag
    from iblnm_dagster.running.batch import run_batch
    from iblnm_dagster.running.worker import SKIPPED

    owner = worker_tag()
    contents, held = state.claim(eids, owner, owner_is_alive)

    def settle(outcome: "SessionOutcome") -> None:
        if outcome.status != SKIPPED and outcome.eid in contents:
            state.settle([contents[outcome.eid]])

    try:
        own = [eid for eid in eids if eid not in held]
        report = run_batch(
            settings, own, on_outcome=settle, on_tick=signs_of_life(state, owner), **options
        )
        report.held = held
        return report
    finally:
        state.release(owner)


def signs_of_life(
    state: "SyncState", owner: str, *, every_s: float = BEAT_S
) -> Callable[[], None]:
    """What a process calls often that holds claims, so that other machines know that it lives."""
    last = time.monotonic()

    def tick() -> None:
        nonlocal last
        if time.monotonic() - last > every_s:
            last = time.monotonic()
            with suppress(TransientError):  # the next one counts as much
                state.beat(owner)

    return tick
