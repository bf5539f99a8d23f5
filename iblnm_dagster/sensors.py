"""What happens by itself: new and changed sessions are run, and the tables follow them.

The table of known sessions (`iblnm.archive.sync_state`) says which content waits for a run; a
sensor's cursor plays no part. A tick first stores what it saw, then asks for runs. Whether a
run came about is read from the instance at the next tick, never assumed: a tick that dies
before Dagster has taken its requests is made good by the next one, and one that dies after is
not repeated, since the run is there and Dagster launches no second run with the same key.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRecord,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from dagster._core.storage.tags import RUN_KEY_TAG

from iblnm.config import Settings
from iblnm_dagster.jobs import (
    CATALOG_JOB,
    COHORT_JOB,
    SESSION_JOB,
    process_session,
    update_catalogue,
)
from iblnm_dagster.owners import owner_is_alive
from iblnm_dagster.partitions import SESSION_PARTITIONS, known_sessions
from iblnm_dagster.running.catch_up import CATCH_UP_JOB, catch_up
from iblnm_dagster.running.nightly import NIGHTLY_JOB
from iblnm_dagster.running.waiting import sort_waiting
from iblnm_dagster.selection import UNFINISHED, cancel_runs_of_dead_workers

BACKLOG_TAG = "iblnm/backlog"
_ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE]
_RECENT_RUNS = 25
_OWN_JOBS = (CATALOG_JOB, COHORT_JOB, NIGHTLY_JOB, CATCH_UP_JOB)


class SessionWatch:
    """The ticks of the session sensor.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings):
        self.settings = settings

    @cached_property
    def source(self) -> Any:
        """The archive, connected at first use; one client per process."""
        from iblnm.archive.watch import open_source

        return open_source(self.settings, max_total_s=self.settings.sync.patience_s)

    def tick(self, instance: DagsterInstance) -> SensorResult | SkipReason:
        """Look at the archive, and ask for the runs that are due."""
        from iblnm.archive.sync_state import open_state
        from iblnm.archive.watch import observe

        if self.settings.is_demo and not (self.settings.cache_dir / "sessions.pqt").exists():
            return SkipReason("there is no demo archive yet: `make demo` builds it")
        sync = self.settings.sync
        state = open_state(self.settings)
        seen = observe(self.source, state, sync, budget_s=sync.budget_s)
        known = set(known_sessions(instance))
        new = [eid for eid in state.known() if eid not in known]
        requests, message = self._requests(instance, state)
        if seen.error is not None:
            if not (new or requests):
                raise seen.error
            message = f"{message}; {seen.error}"
        unseen = state.counts()["unseen"]
        if unseen:
            message = f"{message}; {unseen} sessions are still to be looked at"
        return SensorResult(
            run_requests=requests,
            dynamic_partitions_requests=(
                [SESSION_PARTITIONS.build_add_request(new)] if new else None
            ),
            skip_reason=None if requests else SkipReason(message),
            # nothing reads it: it shows on the page what a tick with requests has to say
            cursor=message,
        )

    def _requests(self, instance: DagsterInstance, state: Any) -> tuple[list[RunRequest], str]:
        latest = _latest(instance, CATCH_UP_JOB)
        if latest is not None and latest.dagster_run.status in UNFINISHED:
            return self._await_catch_up(instance, latest, state)
        found = sort_waiting(instance, state.waiting(owner_is_alive))
        state.settle(found.handled)
        if len(found.open) > self.settings.sync.max_run_requests:
            return self._ask_for_catch_up(latest, len(found.open))
        requests = [
            RunRequest(run_key=item.run_key, job_name=SESSION_JOB, partition_key=item.eid)
            for item in found.open
        ]
        asked = f"{len(requests)} of them to run" if requests else "nothing new"
        busy = f"; {len(found.busy)} changed while they are run" if found.busy else ""
        return requests, f"{state.counts()['known']} sessions, {asked}{busy}"

    def _await_catch_up(
        self, instance: DagsterInstance, latest: RunRecord, state: Any
    ) -> tuple[list[RunRequest], str]:
        run = latest.dagster_run
        key = run.tags.get(RUN_KEY_TAG)
        if run.status == DagsterRunStatus.NOT_STARTED and key:
            return [RunRequest(run_key=key, job_name=CATCH_UP_JOB)], "once more, as it was lost"
        cancel_runs_of_dead_workers(instance, state)
        return [], (
            f"run {run.run_id[:8]} of {CATCH_UP_JOB} works the backlog off: "
            f"{state.counts()['waiting']} sessions wait"
        )

    def _ask_for_catch_up(
        self, latest: RunRecord | None, n_waiting: int
    ) -> tuple[list[RunRequest], str]:
        pause = self.settings.sync.catch_up_pause_s
        # one that was killed or canceled says nothing of the server
        if latest is not None and latest.dagster_run.status == DagsterRunStatus.FAILURE:
            import time

            ended = latest.end_time or latest.update_timestamp.timestamp()
            if time.time() - ended < pause:
                return [], (
                    f"{n_waiting} sessions wait; the latest run of {CATCH_UP_JOB} "
                    f"failed, the next is asked for {pause / 60:g} minutes after it"
                )
        # the same request again until there is such a run, and never twice
        after = latest.dagster_run.run_id if latest is not None else "none"
        request = RunRequest(
            run_key=f"{CATCH_UP_JOB}:after:{after}",
            job_name=CATCH_UP_JOB,
            tags={BACKLOG_TAG: f"{n_waiting} sessions"},
        )
        return [request], f"{n_waiting} sessions wait: one run of {CATCH_UP_JOB} works them off"


def tables_request(instance: DagsterInstance, settings: Settings) -> RunRequest | SkipReason:
    """A run that remakes the tables over all sessions, if something changed and is at rest.

    Changed: a run of a session ended, a session was withdrawn, or the labels were edited, after
    the tables' last run began. While sessions are being run the tables wait, but no longer than
    `SyncSettings.tables_staleness_s`.
    """
    import time

    tables = _latest(instance, CATALOG_JOB)
    if tables is not None and tables.dagster_run.status in UNFINISHED:
        return SkipReason("the tables are being made")
    made = 0.0 if tables is None else (tables.start_time or tables.create_timestamp.timestamp())
    changed = _last_change(instance, settings)
    if changed <= made:
        return SkipReason("the tables are up to date")
    is_fresh = time.time() - made < settings.sync.tables_staleness_s
    if is_fresh and _sessions_are_run(instance):
        return SkipReason("sessions are being run; the tables follow when they are done")
    return RunRequest(run_key=f"{CATALOG_JOB}:{changed:.6f}")


def build_sensors(settings: Settings) -> list[SensorDefinition]:
    """The sensors of the graph, on by default if the settings say so.

    Parameters
    ----------
    settings : Settings
    """
    watch = SessionWatch(settings)
    on, off = DefaultSensorStatus.RUNNING, DefaultSensorStatus.STOPPED
    default = on if settings.sync.is_on else off

    @sensor(
        name="new_sessions",
        jobs=[process_session, catch_up],
        minimum_interval_seconds=settings.sync.interval_s,
        default_status=default,
        description="Runs sessions that are new in the archive, or whose content changed.",
    )
    def new_sessions(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        return watch.tick(context.instance)

    @sensor(
        name="tables_follow_sessions",
        job=update_catalogue,
        minimum_interval_seconds=settings.sync.interval_s,
        default_status=default,
        description="Remakes the tables and the dashboard after sessions have been run.",
    )
    def tables_follow_sessions(context: SensorEvaluationContext) -> RunRequest | SkipReason:
        return tables_request(context.instance, settings)

    return [new_sessions, tables_follow_sessions]


def _latest(instance: DagsterInstance, job_name: str) -> RunRecord | None:
    records = instance.get_run_records(RunsFilter(job_name=job_name), limit=1)
    return records[0] if records else None


def _last_change(instance: DagsterInstance, settings: Settings) -> float:
    from iblnm.archive.sync_state import open_state

    ended = instance.get_run_records(
        RunsFilter(statuses=_ENDED), limit=_RECENT_RUNS, order_by="update_timestamp"
    )
    times = [record.end_time for record in ended if record.dagster_run.job_name not in _OWN_JOBS]
    labels = settings.labels_fpath
    return max(
        times[0] if times and times[0] else 0.0,
        labels.stat().st_mtime if labels.exists() else 0.0,
        open_state(settings).fact("withdrawn_changed", 0.0),
    )


def _sessions_are_run(instance: DagsterInstance) -> bool:
    return any(
        instance.get_runs(RunsFilter(job_name=name, statuses=UNFINISHED), limit=1)
        for name in (SESSION_JOB, CATCH_UP_JOB)
    )
