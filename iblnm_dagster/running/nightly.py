"""All analyses of the cohort in one run that makes them side by side, as `iblnm analyse` does."""

from dagster import Failure, OpExecutionContext, ResourceParam, job, op

from iblnm.config import Settings
from iblnm_dagster.jobs import RUNTIME_TAG

NIGHTLY_JOB = "analyse_side_by_side"
_LONGEST_S = 8 * 3600


@op(description="Make all analyses and figures, in warm processes on all cores.")
def make_analyses(context: OpExecutionContext, settings: ResourceParam[Settings]) -> None:
    from iblnm_dagster.analyse import analyse
    from iblnm_dagster.running.catch_up import mark_run
    from iblnm_dagster.running.side_by_side import default_workers

    mark_run(context)
    told: list[str] = []

    def report(line: str) -> None:
        told.append(line)
        context.log.info(line)

    if not analyse(settings, context.instance, report=report, workers=default_workers()):
        raise Failure(
            "not all analyses were made; the runs of the job analyse_cohort beside this one say "
            "why:\n" + "\n".join(line for line in told if "failed" in line or "skipped" in line)
        )


# user runs from the page go first; the run itself is idle beside its processes
@job(
    name=NIGHTLY_JOB,
    tags={"dagster/priority": "-1", RUNTIME_TAG: str(_LONGEST_S)},
    description="The analyses over all sessions and their figures, side by side on all cores; "
    "each in a run of its own.",
)
def analyse_side_by_side() -> None:
    make_analyses()
