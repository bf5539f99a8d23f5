"""The analyses of the cohort from the command line."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dagster import (
    AssetKey,
    AssetSelection,
    DagsterInstance,
    Definitions,
    RunRequest,
)

from iblnm.config import Settings
from iblnm.errors import IblnmError
from iblnm_dagster.build import build_defs
from iblnm_dagster.cohort import ANALYSIS_GROUP, FIGURE_GROUP, cohort_names
from iblnm_dagster.jobs import COHORT_JOB
from iblnm_dagster.partitions import known_sessions
from iblnm_dagster.progress import Progress, report_lines
from iblnm_dagster.tables import tables_exist, update_tables

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult


def analyse(
    settings: Settings,
    instance: DagsterInstance,
    names: Sequence[str] = (),
    *,
    report: Callable[[str], None] = print,
) -> ExecuteInProcessResult:
    """Make analyses, what they start from, and the tables over all sessions if those are old.

    Parameters
    ----------
    settings : Settings
    instance : DagsterInstance
    names : sequence of str
        Default: all.
    report : callable
        Is told of each analysis that ended (its place, how many there are, seconds), then what
        the selection left of the sessions, and which figures have no data and why. On a
        terminal a bar on the error stream says what is being computed.

    Raises
    ------
    IblnmError
        If there is no such analysis, or no session was ever run.
    """
    unknown = sorted(set(names) - set(cohort_names()))
    if unknown:
        raise IblnmError(
            f"no such analysis: {', '.join(unknown)}; there are {', '.join(cohort_names())}"
        )
    if not known_sessions(instance):
        raise IblnmError("there are no sessions to analyse: run `iblnm demo` or `iblnm batch`")
    defs = build_defs(settings)
    if _tables_are_old(settings, instance):
        report("the tables over all sessions are made anew")
        update_tables(defs, instance)
    run_id = str(uuid.uuid4())
    chosen = _with_inputs(names or cohort_names(), defs)
    with Progress(len(chosen), report) as progress:
        instance.add_event_listener(run_id, progress.show)
        result = defs.resolve_job_def(COHORT_JOB).execute_in_process(
            instance=instance,
            run_id=run_id,
            asset_selection=chosen if names else None,
            raise_on_error=False,
        )
    for line in report_lines(settings, [key.to_user_string() for key in chosen], progress.notes):
        report(line)
    return result


def _with_inputs(names: Sequence[str], defs: Definitions) -> list[AssetKey]:
    cohort = AssetSelection.groups(ANALYSIS_GROUP, FIGURE_GROUP)
    wanted = AssetSelection.assets(*names).upstream() & cohort
    return sorted(wanted.resolve(defs.resolve_asset_graph()))


def _tables_are_old(settings: Settings, instance: DagsterInstance) -> bool:
    from iblnm_dagster.sensors import tables_request

    return not tables_exist(settings) or isinstance(tables_request(instance, settings), RunRequest)
