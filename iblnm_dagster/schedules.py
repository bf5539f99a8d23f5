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
from iblnm_dagster.jobs import CATALOG_JOB, COHORT_JOB, analyse_cohort


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
    made, analyzed = (_last_success(instance, name) for name in (CATALOG_JOB, COHORT_JOB))
    if made is None:
        return SkipReason("there are no tables over all sessions yet")
    if analyzed is not None and made <= analyzed:
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
        job=analyse_cohort,
        cron_schedule=settings.sync.cohort_cron,
        default_status=on if settings.sync.is_on else off,
        description="Makes the cohort analyses anew at night, if the tables changed.",
    )
    def nightly_cohort(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        return cohort_request(context.instance, has_assets=has_cohort)

    return [nightly_cohort]


def _last_success(instance: DagsterInstance, job_name: str) -> float | None:
    records = instance.get_run_records(
        RunsFilter(job_name=job_name, statuses=[DagsterRunStatus.SUCCESS]), limit=1
    )
    return records[0].start_time if records else None
