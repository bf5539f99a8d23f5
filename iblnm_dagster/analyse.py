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
from iblnm_dagster.cohort import ANALYSIS_GROUP, FIGURE_GROUP, FIGURES, cohort_names
from iblnm_dagster.jobs import COHORT_JOB
from iblnm_dagster.partitions import known_sessions
from iblnm_dagster.progress import Progress, report_lines
from iblnm_dagster.selection import cancel_runs_of_dead_workers
from iblnm_dagster.tables import tables_exist, update_tables

_WORTH_PROCESSES = 3

if TYPE_CHECKING:
    from iblnm.pipeline.staleness import Stale


def analyse(
    settings: Settings,
    instance: DagsterInstance,
    names: Sequence[str] = (),
    *,
    report: Callable[[str], None] = print,
    stale: bool = False,
    workers: int = 1,
) -> bool:
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
    stale : bool
        Make only those that are out of date, then those that these put out of date; see
        `iblnm.analysis.staleness`. With names, of those alone.
    workers : int
        Processes; with more than one, what does not start from each other is made side by side.

    Returns
    -------
    bool
        Whether all were made.

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
    cancel_runs_of_dead_workers(instance)
    defs = build_defs(settings)
    if _tables_are_old(settings, instance):
        report("the tables over all sessions are made anew")
        update_tables(defs, instance)
    if stale:
        return _make_stale(settings, instance, defs, names, report, workers)
    chosen = _with_inputs(names or cohort_names(), defs)
    return _run(settings, instance, defs, chosen, report, workers)


def stale_analyses(
    settings: Settings, instance: DagsterInstance, names: Sequence[str] = ()
) -> list[Stale]:
    """Analyses and figures that are out of date.

    Parameters
    ----------
    settings : Settings
    instance : DagsterInstance
    names : sequence of str
        Only of these; default: all.
    """
    from iblnm.analysis.staleness import find_stale_analyses
    from iblnm_dagster.migration import outcomes_of

    found = find_stale_analyses(settings, outcomes_of(instance, settings))
    return [item for item in found if not names or item.asset in names]


def _make_stale(
    settings: Settings,
    instance: DagsterInstance,
    defs: Definitions,
    names: Sequence[str],
    report: Callable[[str], None],
    workers: int,
) -> bool:
    made: set[str] = set()
    while True:
        found = stale_analyses(settings, instance, names)
        chosen = list(dict.fromkeys(item.asset for item in found if item.asset not in made))
        if not chosen:
            if not made:
                report("nothing is out of date")
            return True
        for item in found:
            if item.asset in chosen:
                report(f"{item.asset}: {item.why}")
        # figures wait for the tables that are renewed in this round
        tables = [name for name in chosen if not name.endswith(FIGURES)]
        now = tables or chosen
        keys = [AssetKey(name) for name in now]
        if not _run(settings, instance, defs, keys, report, workers):
            return False
        made |= set(now)


def _run(
    settings: Settings,
    instance: DagsterInstance,
    defs: Definitions,
    chosen: list[AssetKey],
    report: Callable[[str], None],
    workers: int,
) -> bool:
    with Progress(len(chosen), report) as progress:
        if workers > 1 and len(chosen) >= _WORTH_PROCESSES:
            succeeded = _run_side_by_side(settings, defs, chosen, progress, workers)
        else:
            run_id = str(uuid.uuid4())
            instance.add_event_listener(run_id, progress.show)
            succeeded = (
                defs.resolve_job_def(COHORT_JOB)
                .execute_in_process(
                    instance=instance, run_id=run_id, asset_selection=chosen, raise_on_error=False
                )
                .success
            )
    for line in report_lines(settings, [key.to_user_string() for key in chosen], progress.notes):
        report(line)
    return succeeded


def _run_side_by_side(
    settings: Settings,
    defs: Definitions,
    chosen: list[AssetKey],
    progress: Progress,
    workers: int,
) -> bool:
    from iblnm_dagster.running.side_by_side import Ended, run_side_by_side

    graph = defs.resolve_asset_graph()
    upstream = {
        key.to_user_string(): {
            parent.to_user_string() for parent in graph.get(key).parent_keys if parent in chosen
        }
        for key in graph.toposorted_asset_keys
        if key in chosen
    }

    def end(ended: Ended) -> None:
        if ended.notes:
            progress.notes[ended.name] = ended.notes
        progress.end(ended.name, ended.state, ended.seconds, ended.problem)

    return run_side_by_side(
        settings, list(upstream), upstream, workers=workers, on_start=progress.begin, on_end=end
    )


def _with_inputs(names: Sequence[str], defs: Definitions) -> list[AssetKey]:
    cohort = AssetSelection.groups(ANALYSIS_GROUP, FIGURE_GROUP)
    wanted = AssetSelection.assets(*names).upstream() & cohort
    return sorted(wanted.resolve(defs.resolve_asset_graph()))


def _tables_are_old(settings: Settings, instance: DagsterInstance) -> bool:
    from iblnm_dagster.sensors import tables_request

    return not tables_exist(settings) or isinstance(tables_request(instance, settings), RunRequest)
