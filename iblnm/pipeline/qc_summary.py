"""Counts over the matrix of outcomes: per lab, target and month, and over all sessions."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from iblnm.config import Settings, Thresholds
from iblnm.pipeline.duplicates import DUPLICATES
from iblnm.pipeline.rules.outcome import Outcome
from iblnm.pipeline.rules.registry import RULES
from iblnm.schemas import QC_SUMMARY

_COUNTS = {
    "pass": "n_pass",
    "warn": "n_warn",
    "fail": "n_fail",
    "not evaluated": "n_not_evaluated",
    "not run": "n_not_run",
}


def summarize(matrix: pd.DataFrame, sessions: pd.DataFrame) -> pd.DataFrame:
    """Counts of outcomes per check, over all sessions and per lab, target and month.

    Parameters
    ----------
    matrix : DataFrame
        Schema `QC_MATRIX`.
    sessions : DataFrame
        ``eid``, ``lab``, ``target_NM`` (lists), ``start_time``. What is missing, or a session
        that is not in the table, is of group ``unknown``. A session with two targets counts
        for both.

    Returns
    -------
    DataFrame
        Schema `QC_SUMMARY`; ``pass_rate`` is n_pass / (n_pass + n_warn + n_fail), null where
        nothing was evaluated.
    """
    known = pd.DataFrame({"eid": pd.unique(matrix["eid"])}).merge(sessions, how="left", on="eid")
    memberships = {
        "all": known.assign(group="all"),
        "lab": known.assign(group=known["lab"]),
        "target": known.assign(group=[_targets(value) for value in known["target_NM"]]).explode(
            "group"
        ),
        "month": known.assign(group=known["start_time"].astype("string").str[:7]),
    }
    outcomes = pd.get_dummies(matrix["outcome"]).reindex(columns=list(_COUNTS), fill_value=False)
    outcomes.columns = list(_COUNTS.values())
    severity = matrix["check"].map({name: rule.severity for name, rule in RULES.items()})
    keys = matrix[["eid", "check"]].assign(severity=severity.fillna(matrix["severity"]))
    counted = pd.concat([keys, outcomes.astype(int)], axis=1)
    parts = []
    for scope, members in memberships.items():
        members = members[["eid", "group"]].astype(object)
        members["group"] = members["group"].fillna("unknown")
        rows = counted.merge(members.drop_duplicates(), on="eid")
        grouped = rows.groupby(["group", "check", "severity"], sort=True)[list(outcomes)].sum()
        parts.append(grouped.reset_index().assign(scope=scope))
    summary = pd.concat(parts, ignore_index=True)
    summary["n_sessions"] = summary[list(outcomes)].sum(axis=1)
    evaluated = summary["n_pass"] + summary["n_warn"] + summary["n_fail"]
    summary["pass_rate"] = (summary["n_pass"] / evaluated).where(evaluated > 0)
    return QC_SUMMARY.conform(summary)


def _targets(value: Collection[str | None] | None) -> list[str]:
    targets = [] if value is None or not isinstance(value, Collection) else list(value)
    return sorted({target for target in targets if isinstance(target, str)}) or ["unknown"]


def passing_sessions(matrix: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Which sessions pass every BLOCK and ERROR check, and which were evaluated at all.

    A check that did not run is not passed: what it judges is missing. One that found nothing to
    evaluate speaks neither for nor against the session.

    Returns
    -------
    passes, ran : Series of bool, index eid
    """
    strict = matrix[matrix["severity"] != "WARN"]
    passes = strict["outcome"].isin(["pass", "not evaluated"]).groupby(strict["eid"]).all()
    ran = (matrix["outcome"] != "not run") & (matrix["check"] != DUPLICATES)
    return passes, ran.groupby(matrix["eid"]).any()


def pass_share(matrix: pd.DataFrame) -> tuple[int, int]:
    """Numbers of sessions that pass, and that were evaluated; see `passing_sessions`."""
    passes, ran = passing_sessions(matrix)
    return int(passes.sum()), int(ran.sum())


def evaluate_pass_share(matrix: pd.DataFrame, thresholds: Thresholds) -> Outcome:
    """Whether enough of the evaluated sessions pass every BLOCK and ERROR check."""
    passing, evaluated = pass_share(matrix)
    limit = thresholds.min_pass_share
    counts = {"sessions": matrix["eid"].nunique(), "evaluated": evaluated, "passing": passing}
    if not evaluated:
        return Outcome(
            "pass_share", True, "WARN", None, limit, "No session was evaluated yet.", counts
        )
    share = passing / evaluated
    return Outcome(
        rule="pass_share",
        passed=share >= limit,
        severity="WARN",
        value=share,
        limit=limit,
        message=f"{passing} of {evaluated} evaluated sessions ({share:.0%}) pass every BLOCK and "
        f"ERROR check; at least {limit:.0%} are expected.",
        metadata=counts,
    )


def other_limits(matrix: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Evaluations that were made under another limit than that of these settings.

    Parameters
    ----------
    matrix : DataFrame
        Columns ``eid``, ``check`` and ``limit`` of `QC_MATRIX`.
    settings : Settings

    Returns
    -------
    DataFrame
        ``eid``, ``check``, ``limit`` and ``limit_now``. Checks whose limit does not follow
        from settings alone are left out.
    """
    pairs = matrix.loc[matrix["limit"].notna(), ["check", "limit"]].drop_duplicates()
    changed = [
        (check, limit, RULES[check].limit(settings))
        for check, limit in pairs.itertuples(index=False)
        if not RULES[check].is_limit(limit, settings)
    ]
    changed = pd.DataFrame(changed, columns=["check", "limit", "limit_now"])
    found = matrix[["eid", "check", "limit"]].astype({"check": object, "limit": float})
    return found.merge(changed.astype({"check": object, "limit": float}), on=["check", "limit"])
