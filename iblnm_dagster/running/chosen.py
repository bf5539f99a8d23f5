"""Sessions that are chosen by words, not by their eids, in one run with warm workers."""

from dagster import Config, OpExecutionContext, ResourceParam, job, op
from pydantic import Field

from iblnm.config import Settings
from iblnm_dagster.jobs import LONGEST_RUN_S, RUNTIME_TAG

CHOSEN_JOB = "process_chosen"


class Choice(Config):
    """Which sessions; what is left empty does not choose."""

    subject: str = Field("", description="Name of the animal.")
    since: str = Field("", description="First day, as 2024-03-05.")
    until: str = Field("", description="Last day, as 2024-03-05.")
    failed: bool = Field(False, description="Only those whose latest run failed or was blocked.")


@op(description="Run the sessions that the configuration chooses, in warm workers.")
def run_chosen(
    context: OpExecutionContext, config: Choice, settings: ResourceParam[Settings]
) -> None:
    from iblnm.archive.sync_state import open_state
    from iblnm_dagster import selection
    from iblnm_dagster.resources import Archive
    from iblnm_dagster.running.catch_up import mark_run, run_claimed, tell

    mark_run(context)
    archive = Archive(settings)
    selection.discover_sessions(context.instance, archive)
    eids = selection.chosen_sessions(
        context.instance,
        archive,
        subject=config.subject or None,
        since=config.since or None,
        until=config.until or None,
    )
    if config.failed:
        failed = set(selection.failed_sessions(context.instance, settings))
        eids = [eid for eid in eids if eid in failed]
    context.log.info(f"{len(eids)} sessions are chosen")
    options = {"workers": settings.sync.catch_up_workers, "progress": False}
    tell(context, run_claimed(settings, open_state(settings), eids, **options))


@job(
    name=CHOSEN_JOB,
    tags={RUNTIME_TAG: str(LONGEST_RUN_S)},
    description="Sessions of an animal or of some days, or those that failed: choose them in the "
    "configuration (Launchpad).",
)
def process_chosen() -> None:
    run_chosen()
