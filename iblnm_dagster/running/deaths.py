"""Sessions that end their process: killed, or out of memory."""

from __future__ import annotations

from dagster import DagsterEventType, DagsterInstance, DagsterRun, RunsFilter

from iblnm.config import Settings
from iblnm.errors import WorkerDied
from iblnm.pipeline.graph import stage_names
from iblnm.pipeline.outcomes import failed_attempt
from iblnm.pipeline.stage import SESSION
from iblnm_dagster.migration import outcomes_of
from iblnm_dagster.selection import UNFINISHED, WORKER_TAG

MAX_DEATHS = 2
"""A session whose processes died that often is set aside."""
MAX_IN_A_ROW = 30
"""So many deaths without one session that ended are no session's fault."""
_STEPS = {
    DagsterEventType.STEP_START,
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_SKIPPED,
}


def end_runs_of(
    instance: DagsterInstance, eid: str, pid: int | None, how: str, *, again: bool
) -> list[DagsterRun]:
    """End the runs on the page that a process of this machine had in hand when it died.

    Parameters
    ----------
    instance : DagsterInstance
    eid : str
    pid : int or None
        Of the process.
    how : str
        What is known of its end.
    again : bool
        Whether the session is to have another run: then they are canceled, else failed.

    Returns
    -------
    list of DagsterRun
    """
    own = RunsFilter(statuses=UNFINISHED, tags={"dagster/partition": eid})
    runs = [
        run
        for run in instance.get_runs(own)
        if run.tags.get(WORKER_TAG, "").rpartition(":")[2] == str(pid)
    ]
    end = instance.report_run_canceled if again else instance.report_run_failed
    for run in runs:
        end(run, f"The worker of this run died: {how}.")
    return runs


def set_aside(
    instance: DagsterInstance, settings: Settings, eid: str, run: DagsterRun | None, how: str
) -> None:
    """Name a session among the errors, at the asset that was being made.

    Parameters
    ----------
    instance : DagsterInstance
    settings : Settings
    eid : str
    run : DagsterRun or None
        The run in which its process died.
    how : str
        What is known of the end of the process.
    """
    asset = SESSION if run is None else _asset_in_hand(instance, run.run_id)
    error = WorkerDied(
        f"session {eid}: the process that made {asset} died ({how}), as when memory runs out; "
        "the session is set aside until it is asked for (iblnm batch --failed)"
    )
    outcomes_of(instance, settings).record_attempt(failed_attempt(eid, asset, error))


def _asset_in_hand(instance: DagsterInstance, run_id: str) -> str:
    begun: list[str] = []
    for entry in instance.all_logs(run_id, of_type=_STEPS):
        event = entry.get_dagster_event()
        step = str(event.step_key)
        if event.event_type == DagsterEventType.STEP_START:
            begun.append(step)
        elif step in begun:
            begun.remove(step)
    known = [step for step in begun if step in stage_names()]
    return known[-1] if known else SESSION
