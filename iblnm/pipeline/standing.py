"""The tables of outcomes as they stand now: matrix, errors, candidates for duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline import graph
from iblnm.pipeline.duplicates import DUPLICATES, duplicate_candidates, duplicate_outcomes
from iblnm.pipeline.groups import running_rules
from iblnm.pipeline.matrix import apply_labels, complete_matrix, matrix_errors
from iblnm.pipeline.outcomes import OutcomeStore
from iblnm.pipeline.rules.registry import RULES, Rule


def session_rules() -> list[Rule]:
    """Rules that are evaluated per session."""
    checked = set(graph.checked_stages())
    return [rule for rule in running_rules() if rule.asset in checked]


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
    evaluations, attempts = outcomes.evaluations(), outcomes.attempts()
    rules = session_rules()
    if RULES[DUPLICATES] in running_rules():
        candidates = _duplicate_candidates(evaluations, attempts, sessions)
        known = sessions["eid"][sessions["eid"].isin(list(eids))]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        duplicates = duplicate_outcomes(known, candidates, settings, now)
        duplicates["result"] = duplicates["outcome"].replace("warn", "fail")
        duplicates = duplicates[list(evaluations.columns)].astype(object)
        evaluations = pd.concat([evaluations, duplicates], ignore_index=True)
        rules.append(RULES[DUPLICATES])
    return apply_labels(complete_matrix(evaluations, attempts, eids, rules), labels)


def current_duplicate_candidates(outcomes: OutcomeStore, sessions: pd.DataFrame) -> pd.DataFrame:
    """Sessions to look for duplicates among; see `iblnm.pipeline.duplicates`."""
    return _duplicate_candidates(outcomes.evaluations(), outcomes.attempts(), sessions)


def _duplicate_candidates(
    evaluations: pd.DataFrame, attempts: pd.DataFrame, sessions: pd.DataFrame
) -> pd.DataFrame:
    return duplicate_candidates(
        sessions,
        evaluations[evaluations["result"] == "fail"],
        attempts[attempts["state"] == "failed"],
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
