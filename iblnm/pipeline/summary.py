"""One table that says where the sessions stand: per stage stored, passed, warned, blocked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.graph import is_stage, stage_names
from iblnm.pipeline.matrix import STANDINGS, session_standings
from iblnm.pipeline.outcomes import OutcomeStore
from iblnm.pipeline.qc_summary import other_limits, pass_share
from iblnm.pipeline.selection import with_stored_performance
from iblnm.pipeline.staleness import find_stale
from iblnm.pipeline.standing import current_matrix
from iblnm.storage.store import SessionStore


@dataclass(frozen=True)
class StageCounts:
    """Sessions at one stage.

    Parameters
    ----------
    stage : str
    stored, passed, warned, blocked, failed, absent : int
        Stored sessions are split into passed (every rule), warned (a rule that blocks nothing
        fails) and blocked (a rule stops what comes after). Failed: the stage raised a typed
        failure or an error. Absent: no such data, or stopped further up.
    """

    stage: str
    stored: int
    passed: int
    warned: int
    blocked: int
    failed: int
    absent: int


def stage_counts(
    outcomes: OutcomeStore, eids: Sequence[str], matrix: pd.DataFrame
) -> list[StageCounts]:
    """Counts of every per-session asset, in the order of the graph.

    Parameters
    ----------
    outcomes : OutcomeStore
    eids : sequence of str
        All sessions.
    matrix : DataFrame
        Schema `iblnm.schemas.QC_MATRIX`.
    """
    attempts = outcomes.attempts()
    attempts = attempts[attempts["eid"].isin(list(eids))]
    of_state = {key: set(rows["eid"]) for key, rows in attempts.groupby(["asset", "state"])}
    fails = matrix[matrix["outcome"].isin(["fail", "warn"])]
    counts = []
    for name in stage_names():
        stored = of_state.get((name, "stored"), set())
        failed = of_state.get((name, "failed"), set())
        own = fails[fails["asset"] == name]
        blocked = set(own.loc[own["severity"] == "BLOCK", "eid"])
        warned = set(own["eid"]) - blocked
        counts.append(
            StageCounts(
                name,
                stored=len(stored),
                passed=len(stored - blocked - warned),
                warned=len(stored & warned),
                blocked=len(stored & blocked),
                failed=len(failed),
                absent=len(eids) - len(stored) - len(failed),
            )
        )
    return counts


_LEGEND = (
    "of a stage's own checks: stored = passed + warned (WARN or ERROR fails) + blocked (BLOCK",
    "fails); failed: could not be made; absent: no such data, or stopped further up",
)


def format_summary(
    outcomes: OutcomeStore,
    eids: Sequence[str],
    settings: Settings,
    sessions_per_hour: float = 0.0,
) -> str:
    """The summary as text.

    Parameters
    ----------
    outcomes : OutcomeStore
    eids : sequence of str
        All sessions.
    settings : Settings
    sessions_per_hour : float
        Speed to tell of, if there was any.
    """
    from iblnm.pipeline.catalog import sessions_table
    from iblnm.pipeline.labels import labels_in_force

    labels = labels_in_force(settings)
    store = SessionStore(settings)
    sessions = with_stored_performance(sessions_table(store, labels), store)
    matrix = current_matrix(outcomes, eids, sessions, labels, settings)
    names = ("stored", "passed", "warned", "blocked", "failed", "absent")
    lines = [
        f"{len(eids)} sessions, {_recorded(sessions, store)}, "
        f"{sessions['subject'].nunique()} subjects",
        "",
        f"{'stage':<16}" + "".join(f"{name:>9}" for name in names),
    ]
    for counts in stage_counts(outcomes, eids, matrix):
        numbers = (getattr(counts, name) for name in names)
        lines.append(f"{counts.stage:<16}" + "".join(f"{number:>9}" for number in numbers))
    lines += ["", *_LEGEND, ""]
    if len(sessions):
        failed = set(outcomes.attempts("failed")["eid"]) & set(eids)
        lines += [*_outcomes_in_words(matrix, failed, settings), ""]
    lines += _out_of_date(outcomes, settings, sessions)
    if sessions_per_hour:
        lines.append(f"speed            {sessions_per_hour:.0f} sessions per hour")
    lines += [
        f"session files    {settings.sessions_h5_dir}",
        f"tables           {settings.metadata_dir}, {settings.data_dir}",
        f"what is wrong    {settings.metadata_dir / 'errors.pqt'}",
        f"dashboard        {settings.figures_dir / 'qc' / 'dashboard.html'}",
        f"archive          {settings.cache_dir}",
    ]
    return "\n".join(lines)


def _outcomes_in_words(matrix: pd.DataFrame, failed: set[str], settings: Settings) -> list[str]:
    """The dashboard's totals, and what was evaluated under other limits."""
    standings = session_standings(matrix, failed).value_counts()
    lines = []
    for name, words in STANDINGS.items():
        of_asset = f" ({len(failed)} of an asset)" if name == "failure" and failed else ""
        lines.append(f"{standings.get(name, 0):>6} sessions {words}{of_asset}")
    passing, evaluated = pass_share(matrix)
    lines.append(
        f"{passing:>6} of {evaluated} evaluated sessions pass every BLOCK and ERROR check "
        "(warnings and failed assets aside)"
    )
    stale = other_limits(matrix, settings)
    if len(stale):
        total = int(matrix["outcome"].isin(["pass", "warn", "fail"]).sum())
        names = ", ".join(sorted(stale["check"].unique()))
        lines += [
            "",
            f"{len(stale)} checks of {total} were evaluated with another limit than the settings "
            f"({names}): iblnm batch --checks-only",
        ]
    return lines


def _out_of_date(outcomes: OutcomeStore, settings: Settings, sessions: pd.DataFrame) -> list[str]:
    old = {item.eid for item in find_stale(outcomes, settings, sessions=sessions)}
    if not old:
        return []
    return [
        f"{len(old):>6} sessions have assets that are out of date: iblnm batch --stale "
        "(--dry-run says which, and why)",
        "",
    ]


def _recorded(sessions: pd.DataFrame, store: SessionStore) -> str:
    if is_stage("insertions"):
        return f"{len(store.collect('insertions'))} insertions"
    return f"{int(sessions['n_recordings'].sum())} recordings"
