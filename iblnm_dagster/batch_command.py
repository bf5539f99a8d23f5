"""What `iblnm batch` and `iblnm demo` do, and what they say afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from iblnm.config import Settings
from iblnm.pipeline.hand_made import read_hand_made
from iblnm_dagster.owners import machine_of

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from iblnm.pipeline.staleness import Stale
    from iblnm_dagster.running.batch import BatchReport


def process(
    settings: Settings,
    *,
    which: str = "missing",
    eids: Path | None = None,
    assets: str | None = None,
    check: str | None = None,
    checks_only: bool = False,
    workers: int = 2,
    shard: str | None = None,
    catalog: bool | None = None,
    stale: bool = False,
    dry_run: bool = False,
    within: dict[str, str | None] | None = None,
) -> None:
    """Run sessions, renew the tables over all of them, say where they stand.

    Parameters
    ----------
    settings : Settings
    which : {'missing', 'failed', 'all'}
    eids : Path, optional
        File that names the sessions.
    assets : str, optional
        Only these, with commas between.
    check, checks_only, workers, stale
        As for `iblnm_dagster.running.batch.run_batch`.
    shard : str, optional
        See `iblnm_dagster.selection.shard`.
    catalog : bool, optional
        Whether the tables are renewed; by default, unless this is one of several parts.
    dry_run : bool
        Whether to say only what is out of date.
    within : dict, optional
        ``subject``, ``since`` and ``until``; see `iblnm_dagster.selection.chosen_sessions`.

    Raises
    ------
    click.UsageError
        If there is no such asset or check.
    SystemExit
        If a session broke.
    """
    from iblnm.archive.sync_state import open_state
    from iblnm.pipeline.graph import stage_names
    from iblnm.pipeline.masks import sessions_with_other_masks
    from iblnm.pipeline.staleness import find_stale
    from iblnm.pipeline.standing import session_rules
    from iblnm_dagster import selection
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.migration import outcomes_of
    from iblnm_dagster.owners import worker_tag
    from iblnm_dagster.resources import Archive
    from iblnm_dagster.running.batch import run_batch
    from iblnm_dagster.running.catch_up import run_claimed, signs_of_life
    from iblnm_dagster.tables import tables_exist

    names = tuple(name.strip() for name in assets.split(",")) if assets else None
    unknown = sorted(set(names or ()) - set(stage_names()))
    if unknown:
        raise click.UsageError(
            f"no such asset: {', '.join(unknown)}; there are {', '.join(stage_names())}"
        )
    rules = [rule.name for rule in session_rules()]
    if check is not None and check not in rules:
        raise click.UsageError(f"no such check: {check}; there are {', '.join(sorted(rules))}")
    read_hand_made(settings)
    with open_instance(settings) as instance:
        new = selection.discover_sessions(instance, Archive(settings), of_many=shard is not None)
        state = open_state(settings)
        selection.cancel_runs_of_dead_workers(instance, state)
        warn_if_empty(settings, state.counts()["known"])
        renewed: frozenset[str] = frozenset()
        out_of_date: list[Stale] = []
        if stale:
            out_of_date = find_stale(outcomes_of(instance, settings), settings)
            renewed = _renewed_sessions(instance, settings)
            chosen = _known({*renewed, *(item.eid for item in out_of_date)}, instance, settings)
            if eids is not None:
                listed = set(selection.listed_sessions(instance, eids))
                chosen = [eid for eid in chosen if eid in listed]
        elif eids is not None:
            chosen = selection.listed_sessions(instance, eids)
        elif which == "failed":
            chosen = selection.failed_sessions(instance, settings)
        elif which == "all" or check or checks_only:
            chosen = selection.known_sessions(instance)
        elif names is not None:
            chosen = selection.missing_sessions(instance, names)
        else:
            wanted = {
                *selection.missing_sessions(instance),
                *selection.changed_sessions(instance, settings),
                *sessions_with_other_masks(settings),
            }
            chosen = _known(wanted, instance, settings)
        if any((within or {}).values()):
            inside = set(selection.chosen_sessions(instance, Archive(settings), **within))
            chosen = [eid for eid in chosen if eid in inside]
        if shard is not None:
            chosen = selection.shard(chosen, shard, selection.known_sessions(instance))
        if dry_run:
            click.echo(stale_text(out_of_date, renewed, chosen))
            return
        click.echo(f"{len(new)} new sessions; {len(chosen)} to run")
        if names or check or checks_only:
            parts = {"assets": names, "check": check, "checks_only": checks_only}
            tick = signs_of_life(state, worker_tag())
            report = run_batch(settings, chosen, workers=workers, on_tick=tick, **parts)
        else:
            parts = {"stale": stale, "renewed": renewed}
            report = run_claimed(settings, state, chosen, workers=workers, **parts)
        for sentence in left_out(report):
            click.echo(sentence, err=True)
        wanted_tables = shard is None if catalog is None else catalog
        if wanted_tables and (chosen or not tables_exist(settings)):
            update_catalogue(settings, instance)
        click.echo("")
        if shard is None:
            click.echo(summary_text(instance, settings, report.sessions_per_hour))
        else:  # where all sessions stand is not for each of many tasks to find out
            click.echo(part_text(report, shard))
    if report.unreachable:
        rest = f", and without it for the {report.not_begun} not begun" if report.not_begun else ""
        click.echo(f"the server cannot be reached; run again with --failed{rest}", err=True)
    if report.counts["broken"]:
        raise SystemExit(1)


def warn_if_empty(settings: Settings, n_sessions: int) -> None:
    """Say so where the archive has no sessions of the project."""
    if not n_sessions:
        place = settings.alyx_url if settings.one_mode == "remote" else settings.cache_dir
        click.echo(
            f"warning: no sessions of project {settings.project} on {place}; is IBLNM_PROJECT "
            "right?",
            err=True,
        )


def summary_text(
    instance: DagsterInstance, settings: Settings, sessions_per_hour: float = 0.0
) -> str:
    """Where the sessions stand; see `iblnm.pipeline.summary.format_summary`."""
    from iblnm.pipeline.summary import format_summary
    from iblnm_dagster.migration import outcomes_of
    from iblnm_dagster.partitions import known_sessions

    outcomes = outcomes_of(instance, settings)
    return format_summary(outcomes, known_sessions(instance), settings, sessions_per_hour)


def part_text(report: BatchReport, shard: str) -> str:
    """What became of the sessions of one part, in a line.

    Examples
    --------
    >>> from iblnm_dagster.running.batch import BatchReport
    >>> part_text(BatchReport(), "2/8")
    'part 2/8: nothing to run'
    """
    counts = ", ".join(f"{n} {status}" for status, n in sorted(report.counts.items()))
    return f"part {shard}: {counts or 'nothing to run'}"


def update_catalogue(settings: Settings, instance: DagsterInstance) -> None:
    """Make the tables over all sessions anew."""
    from iblnm_dagster.build import build_defs
    from iblnm_dagster.tables import update_tables

    update_tables(build_defs(settings), instance)


def stale_text(found: Sequence[Stale], renewed: Collection[str], chosen: Collection[str]) -> str:
    """What is out of date: assets, numbers of sessions, reasons.

    Parameters
    ----------
    found : sequence of Stale
    renewed : collection of str
        Sessions whose content in the archive has changed.
    chosen : collection of str
        Sessions to tell of.
    """
    from iblnm.pipeline.staleness import Stale, tabulate

    told = [Stale(eid, "session", "other content in the archive") for eid in renewed]
    table = tabulate(item for item in (*told, *found) if item.eid in set(chosen))
    if table.empty:
        return "nothing is out of date"
    lines = [f"{'asset':<16}{'sessions':>9}  why"]
    lines += [f"{row.asset:<16}{row.sessions:>9}  {row.why}" for row in table.itertuples()]
    return "\n".join([*lines, "and what rests on these, where its result is another"])


def _known(wanted: Collection[str], instance: DagsterInstance, settings: Settings) -> list[str]:
    """Those of the sessions that are still in the archive."""
    from iblnm.archive.sync_state import open_state
    from iblnm_dagster import selection

    withdrawn = open_state(settings).withdrawn()
    known = selection.known_sessions(instance)
    return [eid for eid in known if eid in wanted and eid not in withdrawn]


def left_out(report: BatchReport) -> list[str]:
    """What to say of sessions that a batch was to run and did not."""
    by_owner = Counter(report.held.values())
    said = [
        f"{n} sessions are left to another process, which has them in hand: number "
        f"{owner.rpartition(':')[2]} of {machine_of(owner).split('/')[0]}"
        for owner, n in by_owner.items()
    ]
    reasons = Counter(
        problem
        for outcome in report.outcomes
        if outcome.status == "skipped"
        for problem in outcome.problems
    )
    return said + [f"{n} sessions are left out: {reason}" for reason, n in reasons.items()]


def _renewed_sessions(instance: DagsterInstance, settings: Settings) -> frozenset[str]:
    """Sessions that were run, and whose content in the archive has changed since."""
    from iblnm_dagster import selection

    new = set(selection.missing_sessions(instance))
    changed = selection.changed_sessions(instance, settings)
    return frozenset(eid for eid in changed if eid not in new)
