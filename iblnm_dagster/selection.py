"""Which sessions to run: discovered, missing, failed, listed, sharded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RunsFilter

from iblnm.archive.claims import CLAIM_S
from iblnm.config import Settings
from iblnm.errors import DataError, IblnmError
from iblnm_dagster.jobs import LONGEST_RUN_S, SESSION_JOB
from iblnm_dagster.owners import machine_of, owner_is_alive
from iblnm_dagster.partitions import add_sessions, known_sessions
from iblnm_dagster.resources import Archive

if TYPE_CHECKING:
    from iblnm.archive.sync_state import SyncState

WORKER_TAG = "iblnm/worker"
WORKER_RUN_TAG = "iblnm/worker_run"
UNFINISHED = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
_LOOK_S = 3600.0
_RECENTLY_S = 900.0
_ATTEMPTED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)


def discover_sessions(
    instance: DagsterInstance, archive: Archive, *, of_many: bool = False
) -> list[str]:
    """Take in what is new in the archive; return the sessions that are new partitions.

    The partitions are added in order of start time.

    Parameters
    ----------
    instance : DagsterInstance
    archive : Archive
    of_many : bool
        Whether this is one of many processes that begin together: one looks at all sessions, and
        the others wait for it.

    Raises
    ------
    IblnmError
        If the archive's sessions cannot be listed.
    """
    from iblnm.archive.sync_state import open_state
    from iblnm.archive.watch import observe, open_source
    from iblnm.storage.atomic import locked

    settings = archive.settings
    state = open_state(settings)
    with ExitStack() as held:
        full = True
        if of_many:
            held.enter_context(locked(settings.metadata_dir / "discovery", timeout_s=_LOOK_S))
            full = time.time() - state.fact("listed_at", 0.0) > _RECENTLY_S
        observation = observe(open_source(settings), state, settings.sync, full=full)
    if observation.error is not None and not observation.listed:
        raise observation.error
    return add_sessions(instance, state.known())


def changed_sessions(instance: DagsterInstance, settings: Settings) -> list[str]:
    """Sessions with a content that no run has taken in: new ones, and changed ones."""
    from iblnm.archive.sync_state import open_state
    from iblnm_dagster.running.waiting import sort_waiting

    state = open_state(settings)
    found = sort_waiting(instance, state.waiting(owner_is_alive))
    state.settle(found.handled)
    return [item.eid for item in found.open]


def missing_sessions(instance: DagsterInstance, assets: Sequence[str] | None = None) -> list[str]:
    """Known sessions whose chain (or the given assets) was never attempted to the end."""
    known = known_sessions(instance)
    if not assets:
        runs = instance.get_run_partition_data(RunsFilter(job_name=SESSION_JOB))
        done = {run.partition for run in runs if run.status in _ATTEMPTED}
        return [eid for eid in known if eid not in done]
    storage = instance.event_log_storage
    missing: set[str] = set()
    for name in assets:
        key = AssetKey(name)
        attempted = set(
            storage.get_latest_asset_partition_materialization_attempts_without_materializations(
                key
            )
        )
        missing |= set(known) - attempted - instance.get_materialized_partitions(key)
    return [eid for eid in known if eid in missing]


def failed_sessions(instance: DagsterInstance, settings: Settings) -> list[str]:
    """Known sessions whose latest run failed or was blocked, or an asset of which failed last."""
    from iblnm_dagster.migration import outcomes_of

    runs = instance.get_run_partition_data(RunsFilter())
    failed = {run.partition for run in runs if run.status == DagsterRunStatus.FAILURE}
    # a later run of another asset, or of checks alone, mends nothing
    failed |= set(outcomes_of(instance, settings).attempts("failed")["eid"])
    return [eid for eid in known_sessions(instance) if eid in failed]


def listed_sessions(instance: DagsterInstance, path: Path) -> list[str]:
    """Eids of a text file, one a line, each once; every one must be a known session.

    Raises
    ------
    DataError
        Naming the first line that is no eid, or no session of this archive.
    """
    from iblnm.io.text import read_eid_lines

    known = set(known_sessions(instance))
    listed = read_eid_lines(path)
    for eid, number in listed.items():
        if eid not in known:
            raise DataError(f"line {number}: {eid} is no session of this archive", path=path)
    return list(listed)


def shard(eids: Sequence[str], text: str | None, known: Sequence[str] | None = None) -> list[str]:
    """Part ``i/n`` (from 1) of the sessions, the same on every machine and at every time.

    Parameters
    ----------
    eids : sequence of str
        What is to be shared out.
    text : str or None
        Part and number of parts; without it, all.
    known : sequence of str, optional
        All sessions, in an order that stays: a session's place in it decides whose it is. What is
        to be run gets shorter while a cluster's tasks begin one after the other.

    Raises
    ------
    IblnmError
        If the text is no part.

    Examples
    --------
    >>> shard(["a", "b", "c", "d", "e"], "2/2")
    ['b', 'd']
    >>> shard(["c", "d", "e"], "2/2", known=["a", "b", "c", "d", "e"])
    ['d']
    """
    if text is None:
        return list(eids)
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise IblnmError(f"--shard is i/n with 1 ≤ i ≤ n, not {text!r}")
    own = set((eids if known is None else known)[int(index) - 1 :: int(count)])
    return [eid for eid in eids if eid in own]


def cancel_runs_of_dead_workers(
    instance: DagsterInstance, state: SyncState | None = None
) -> list[str]:
    """Mark runs as canceled whose worker is gone; return their sessions.

    Parameters
    ----------
    instance : DagsterInstance
    state : SyncState, optional
        Tells of workers of other machines, which give signs of life there. A machine that never
        gave one counts as gone two hours after it last wrote about the run.
    """
    beats: dict[str, float] = {}
    for owner, beat in (state.beats() if state is not None else {}).items():
        machine = machine_of(owner)
        beats[machine] = max(beat, beats.get(machine, 0.0))
    sessions = []
    for record in instance.get_run_records(RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        worker = run.tags.get(WORKER_TAG)
        # Dagster's retry of a run has its tags, and another process
        if not worker or run.tags.get(WORKER_RUN_TAG, run.run_id) != run.run_id:
            continue
        is_alive = owner_is_alive(worker)
        if is_alive is None and state is not None:
            written = record.update_timestamp.replace(tzinfo=UTC).timestamp()
            beat = beats.get(machine_of(worker), written + LONGEST_RUN_S - CLAIM_S)
            is_alive = time.time() - max(beat, written) < CLAIM_S
        if is_alive is False:
            instance.report_run_canceled(run, message="The worker of this run was killed.")
            sessions.append(run.tags.get("dagster/partition", ""))
    return sessions


def chosen_sessions(
    instance: DagsterInstance,
    archive: Archive,
    *,
    subject: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> list[str]:
    """Known sessions of an animal, or of some days.

    Parameters
    ----------
    instance : DagsterInstance
    archive : Archive
    subject : str, optional
    since, until : str, optional
        First and last day, ISO text.

    Raises
    ------
    DataError
        If a day is no day, or the archive has no session of the animal.
    """
    from iblnm.archive.sessions import list_sessions

    for day in (since, until):
        if day is not None:
            _check_day(day)
    listed = list_sessions(archive.one, archive.settings.project)
    if subject is not None:
        listed = listed[listed["subject"] == subject]
        if listed.empty:
            raise DataError(f"the archive has no session of {subject}")
    listed = listed[listed["date"].between(since or "0", until or "9")]
    wanted = set(listed["eid"])
    return [eid for eid in known_sessions(instance) if eid in wanted]


def _check_day(day: str) -> None:
    from datetime import date

    try:
        date.fromisoformat(day)
    except ValueError:
        raise DataError(f"{day} is no day; one as 2024-03-05 is expected") from None
