"""The tables of outcomes as they stand now: matrix, errors, candidates for duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline import graph
from iblnm.pipeline.duplicates import DUPLICATES, duplicate_candidates, duplicate_outcomes
from iblnm.pipeline.matrix import apply_labels, complete_matrix, matrix_errors
from iblnm.pipeline.outcomes import OutcomeStore
from iblnm.pipeline.rules.registry import RULES, Rule
from iblnm.schemas import QC_MATRIX


def session_rules() -> list[Rule]:
    """Rules that are evaluated per session."""
    checked = set(graph.checked_stages())
    return [rule for rule in RULES.values() if rule.asset in checked]


def current_matrix(
    outcomes: OutcomeStore,
    eids: Sequence[str],
    sessions: pd.DataFrame,
    labels: pd.DataFrame,
    settings: Settings,
) -> pd.DataFrame:
    """The matrix of outcomes of all sessions.

    Parameters
    ----------
    outcomes : OutcomeStore
    eids : sequence of str
        All sessions.
    sessions : DataFrame
        Schema `iblnm.schemas.SESSIONS_TABLE`.
    labels : DataFrame
        Schema `iblnm.schemas.LABELS`.
    settings : Settings

    Returns
    -------
    DataFrame
        Schema `iblnm.schemas.QC_MATRIX`.
    """
    matrix = complete_matrix(outcomes.evaluations(), outcomes.attempts(), eids, session_rules())
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    candidates = current_duplicate_candidates(outcomes, sessions)
    known = sessions["eid"][sessions["eid"].isin(list(eids))]
    duplicates = duplicate_outcomes(known, candidates, settings, now)
    return apply_labels(_with_cohort_rule(matrix, duplicates, eids), labels)


def current_duplicate_candidates(outcomes: OutcomeStore, sessions: pd.DataFrame) -> pd.DataFrame:
    """Sessions to look for duplicates among; see `iblnm.pipeline.duplicates`."""
    evaluations = outcomes.evaluations()
    return duplicate_candidates(
        sessions,
        evaluations[evaluations["result"] == "fail"],
        outcomes.attempts("failed"),
    )


def current_errors(matrix: pd.DataFrame, outcomes: OutcomeStore) -> pd.DataFrame:
    """One row per session and failed check or asset, as things stand now.

    Parameters
    ----------
    matrix : DataFrame
        Schema `iblnm.schemas.QC_MATRIX`.
    outcomes : OutcomeStore

    Returns
    -------
    DataFrame
        Columns of the schema `iblnm.schemas.ERRORS`. A session that now succeeds has no rows.
    """
    failed = outcomes.attempts("failed").rename(columns={"message": "error_message"})
    failed = failed[failed["eid"].isin(matrix["eid"].unique())].assign(severity="FAILURE")
    parts = [matrix_errors(matrix), failed.drop(columns=["state", "attempted_at"])]
    errors = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    return errors.sort_values(["eid", "asset", "error_type"], ignore_index=True)


def _with_cohort_rule(
    matrix: pd.DataFrame, duplicates: pd.DataFrame, eids: Sequence[str]
) -> pd.DataFrame:
    """The matrix with the rule that is evaluated over all sessions, last of each session."""
    rule = RULES[DUPLICATES]
    absent = pd.DataFrame({"eid": [eid for eid in eids if eid not in set(duplicates["eid"])]})
    absent = absent.assign(
        check=rule.name,
        asset=rule.asset,
        severity=rule.severity,
        outcome="not run",
        message="The session was not run yet.",
    )
    position = {eid: i for i, eid in enumerate(eids)}
    parts = [part for part in (matrix, duplicates, absent) if len(part)]
    if not parts:
        return matrix
    joined = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    order = joined["eid"].map(position).argsort(kind="stable")
    return QC_MATRIX.conform(joined.iloc[order])
