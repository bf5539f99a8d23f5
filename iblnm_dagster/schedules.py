"""What happens at fixed times: the analyses of the cohort, every night."""

from __future__ import annotations

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from iblnm.config import Settings
from iblnm_dagster.jobs import CATALOG_JOB, COHORT_JOB
from iblnm_dagster.running.nightly import NIGHTLY_JOB, analyse_side_by_side

_RECENT_RUNS = 200


def cohort_request(instance: DagsterInstance, *, has_assets: bool) -> RunRequest | SkipReason:
    """A run of the cohort analyses, if the tables were remade since the last one.

    Parameters
    ----------
    instance : DagsterInstance
    has_assets : bool
        Whether there are any analyses.
    """
    if not has_assets:
        return SkipReason("there are no cohort analyses")
    made = _last_success(instance, CATALOG_JOB, whole=False)
    if made is None:
        return SkipReason("there are no tables over all sessions yet")
    analyses = (COHORT_JOB, NIGHTLY_JOB)
    if made <= max(_last_success(instance, name, whole=True) or 0.0 for name in analyses):
        return SkipReason("the tables have not changed since the last analyses")
    return RunRequest()


def build_schedules(settings: Settings, *, has_cohort: bool) -> list[ScheduleDefinition]:
    """The schedules of the graph, on by default if the settings say so.

    Parameters
    ----------
    settings : Settings
    has_cohort : bool
        Whether the group of the cohort analyses has any asset.
    """
    on, off = DefaultScheduleStatus.RUNNING, DefaultScheduleStatus.STOPPED

    @schedule(
        name="nightly_cohort",
        job=analyse_side_by_side,
        cron_schedule=settings.sync.cohort_cron,
        default_status=on if settings.sync.is_on else off,
        description="Makes the cohort analyses anew at night, if the tables changed.",
    )
    def nightly_cohort(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        return cohort_request(context.instance, has_assets=has_cohort)

    return [nightly_cohort]


def _last_success(instance: DagsterInstance, job_name: str, *, whole: bool) -> float | None:
    """Start of the last run of a job; with `whole`, of one that made all of it."""
    records = instance.get_run_records(
        RunsFilter(job_name=job_name, statuses=[DagsterRunStatus.SUCCESS]), limit=_RECENT_RUNS
    )
    found = (item for item in records if not (whole and item.dagster_run.asset_selection))
    return next((record.start_time for record in found), None)
