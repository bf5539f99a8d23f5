"""The matrix of outcomes (session by check), its summary, and the errors in it.

Evaluations come from wherever checks are recorded, as a table with the columns of the schema
`QC_MATRIX`; all functions here are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import pandas as pd

from iblnm.config import Settings, Thresholds
from iblnm.pipeline.graph import essential_stages, is_stage, upstream
from iblnm.pipeline.labels import session_verdicts
from iblnm.pipeline.rules import RULES, Outcome, Rule, duplicates, usable_sessions
from iblnm.schemas import QC_MATRIX, QC_SUMMARY

DUPLICATES = "true_duplicate_session"
STANDINGS = {
    "failure": "with a failure",
    "incomplete": "not run completely",
    "warnings": "with warnings only",
    "clean": "without problems",
    "none": "not evaluated",
}


def complete_matrix(
    evaluations: pd.DataFrame,
    eids: Sequence[str],
    rules: Iterable[Rule],
    failures: pd.DataFrame,
) -> pd.DataFrame:
    """Every session by every check: what was never evaluated is ``not run``, with the reason.

    Parameters
    ----------
    evaluations : DataFrame
        Columns of `QC_MATRIX`, at most one row per session and check; rows of other sessions
        or checks are left out.
    eids : sequence of str
        All sessions.
    rules : iterable of Rule
        All checks that are evaluated per session.
    failures : DataFrame
        Assets that could not be made: ``eid``, ``asset``, ``error_type``.

    Returns
    -------
    DataFrame
        Schema `QC_MATRIX`, sessions in the given order, checks in order of definition.

    Notes
    -----
    Where a BLOCK check fails, the checks of what comes after it are ``not run`` too, even if
    they were evaluated on an earlier output that is still stored: the matrix is what running
    the session again would give.
    """
    rules = list(rules)
    grid = pd.MultiIndex.from_product([list(eids), [rule.name for rule in rules]])
    grid.names = ["eid", "check"]
    keyed = evaluations.astype({"eid": object, "check": object}).set_index(["eid", "check"])
    matrix = keyed.reindex(grid).reset_index()
    by_name = {rule.name: rule for rule in rules}
    matrix["asset"] = matrix["check"].map({name: rule.asset for name, rule in by_name.items()})
    matrix["severity"] = matrix["check"].map(
        {name: rule.severity for name, rule in by_name.items()}
    )
    blocked = _blocked(matrix)
    void = _below_blocked(matrix, blocked)
    matrix.loc[void, ["outcome", "value", "limit", "evaluated_at"]] = None
    missing = matrix["outcome"].isna()
    reason = _reasons(matrix, blocked, failures)
    matrix.loc[missing, "outcome"] = "not run"
    matrix.loc[missing, "message"] = [
        reason(eid, asset)
        for eid, asset in zip(
            matrix.loc[missing, "eid"], matrix.loc[missing, "asset"], strict=True
        )
    ]
    return QC_MATRIX.conform(matrix)


def _rests_on(asset: str) -> tuple[str, ...]:
    """Stages that an asset rests on, the nearest first; tables over all rest on the session."""
    return upstream(asset) if is_stage(asset) else ("session",)


def _blocked(matrix: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Failed BLOCK check of each session and asset."""
    stopped = matrix[(matrix["severity"] == "BLOCK") & (matrix["outcome"] == "fail")]
    return {(row.eid, row.asset): row.check for row in stopped.itertuples()}


def _below_blocked(matrix: pd.DataFrame, blocked: Iterable[tuple[str, str]]) -> pd.Series:
    rests_on = {asset: _rests_on(asset) for asset in matrix["asset"].unique()}
    below = {
        (eid, asset) for eid, name in blocked for asset, above in rests_on.items() if name in above
    }
    pairs = zip(matrix["eid"], matrix["asset"], strict=True)
    return pd.Series([pair in below for pair in pairs], index=matrix.index, dtype=bool)


def _reasons(
    matrix: pd.DataFrame, blocked: dict[tuple[str, str], str], failures: pd.DataFrame
) -> Callable[[str, str], str]:
    """Function that says why a session's asset has no evaluation."""
    failed = {(row.eid, row.asset): row.error_type for row in failures.itertuples()}
    ran = matrix.loc[matrix["outcome"].notna(), ["eid", "asset"]].drop_duplicates()
    ran = set(ran.itertuples(index=False, name=None))

    rests_on = {asset: _rests_on(asset) for asset in matrix["asset"].unique()}

    def reason(eid: str, asset: str) -> str:
        if (eid, asset) in failed:
            return f"{asset} could not be made: {failed[eid, asset]}."
        for name in rests_on[asset]:
            if (eid, name) in blocked:
                return f"Stopped by the check {blocked[eid, name]} of {name}."
            if (eid, name) in failed:
                return f"{name} could not be made: {failed[eid, name]}."
        if (eid, "session") not in ran:
            return "The session was not run yet."
        chain = (asset, *rests_on[asset])
        first = next((name for name in reversed(chain) if (eid, name) not in ran), None)
        if first is None:
            return f"Other checks of {asset} were evaluated, this one was not yet."
        return f"The session has no {first}, or it was not run yet."

    return reason


def apply_labels(matrix: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Put the human verdicts on whole sessions into the matrix.

    Parameters
    ----------
    matrix : DataFrame
        Schema `QC_MATRIX`.
    labels : DataFrame
        Schema `LABELS`. Verdicts on single fibres do not change a session's outcomes.

    Returns
    -------
    DataFrame
        Copy with ``label``; ``keep`` turns the session's ``warn`` into ``pass`` and leaves
        the message as it was. A ``fail`` stays.
    """
    label = matrix["eid"].map(session_verdicts(labels)).astype("string")
    overridden = (label == "keep").fillna(False) & (matrix["outcome"] == "warn")
    outcome = matrix["outcome"].mask(overridden, "pass")
    return matrix.assign(label=label, outcome=outcome)


def duplicate_candidates(
    sessions: pd.DataFrame, evaluations: pd.DataFrame, failures: pd.DataFrame
) -> pd.DataFrame:
    """Sessions to look for duplicates among, with the rules that each breaks now.

    Parameters
    ----------
    sessions : DataFrame
        With ``eid``; ``label`` is taken into account if it is there.
    evaluations : DataFrame
        Columns ``eid``, ``check``, ``outcome``.
    failures : DataFrame
        Assets that could not be made: ``eid``, ``asset``.

    Returns
    -------
    DataFrame
        Sessions with ``logged_errors``, the names of the exceptions. Left out are sessions
        that a human dropped, and those whose responses cannot be made.
    """
    errors: dict[str, set[str]] = {}
    broken = evaluations[evaluations["outcome"].isin(["fail", "warn"])]
    for eid, check in zip(broken["eid"], broken["check"], strict=True):
        errors.setdefault(eid, set()).add(RULES[check].exception.__name__)
    useless = sessions["eid"].isin(failures.loc[failures["asset"].isin(essential_stages()), "eid"])
    if "label" in sessions:
        useless |= (sessions["label"] == "drop").fillna(False)
    candidates = sessions[~useless]
    logged = [sorted(errors.get(eid, ())) for eid in candidates["eid"]]
    return candidates.assign(logged_errors=pd.Series(logged, index=candidates.index, dtype=object))


def duplicate_outcomes(
    eids: Iterable[str],
    candidates: pd.DataFrame,
    settings: Settings,
    evaluated_at: str | None = None,
) -> pd.DataFrame:
    """The cohort's rule on duplicate sessions, session by session.

    Parameters
    ----------
    eids : iterable of str
        Sessions to judge.
    candidates : DataFrame
        See `duplicate_candidates`.
    settings : Settings
    evaluated_at : str, optional

    Returns
    -------
    DataFrame
        Columns of `QC_MATRIX`. The session of a mouse and day that analyses use passes, the
        other usable ones warn; the value is the position after it.
    """
    rule = RULES[DUPLICATES]
    found = duplicates(candidates, usable_sessions(candidates, settings), settings)
    day = found.groupby(["subject", "day"], sort=False)
    earlier = pd.Series(day.cumcount().to_numpy(), index=found["eid"]).to_dict()
    kept = pd.Series(day["eid"].transform("first").to_numpy(), index=found["eid"]).to_dict()
    rows = []
    for eid in eids:
        count = earlier.get(eid, 0)
        rows.append(
            {
                "eid": eid,
                "check": rule.name,
                "asset": rule.asset,
                "severity": rule.severity,
                "outcome": "warn" if count else "pass",
                "value": float(count),
                "limit": rule.limit(settings),
                "message": f"Usable sessions of the mouse before it on the same day: {count}"
                + (f"; {kept[eid]} is used." if count else "."),
                "evaluated_at": evaluated_at,
            }
        )
    return QC_MATRIX.conform(pd.DataFrame(rows, columns=QC_MATRIX.names))


def summarise(matrix: pd.DataFrame, sessions: pd.DataFrame) -> pd.DataFrame:
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
        Schema `QC_SUMMARY`; ``pass_rate`` is n_pass / (n_sessions − n_not_run), null where
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
    outcomes = pd.get_dummies(matrix["outcome"]).reindex(
        columns=["pass", "warn", "fail", "not run"], fill_value=False
    )
    outcomes.columns = ["n_pass", "n_warn", "n_fail", "n_not_run"]
    counted = pd.concat([matrix[["eid", "check", "severity"]], outcomes.astype(int)], axis=1)
    parts = []
    for scope, members in memberships.items():
        members = members[["eid", "group"]].astype(object)
        members["group"] = members["group"].fillna("unknown")
        rows = counted.merge(members.drop_duplicates(), on="eid")
        grouped = rows.groupby(["group", "check", "severity"], sort=True)[list(outcomes)].sum()
        parts.append(grouped.reset_index().assign(scope=scope))
    summary = pd.concat(parts, ignore_index=True)
    summary["n_sessions"] = summary[list(outcomes)].sum(axis=1)
    evaluated = summary["n_sessions"] - summary["n_not_run"]
    summary["pass_rate"] = (summary["n_pass"] / evaluated).where(evaluated > 0)
    return QC_SUMMARY.conform(summary)


def _targets(value: Collection[str | None] | None) -> list[str]:
    targets = [] if value is None or not isinstance(value, Collection) else list(value)
    return sorted({target for target in targets if isinstance(target, str)}) or ["unknown"]


def pass_share(matrix: pd.DataFrame) -> tuple[int, int]:
    """Sessions that pass every BLOCK and ERROR check, and sessions that were evaluated at all.

    A check that did not run is not passed: what it judges is missing.
    """
    strict = matrix[matrix["severity"] != "WARN"]
    passes = (strict["outcome"] == "pass").groupby(strict["eid"]).all()
    ran = (matrix["outcome"] != "not run") & (matrix["check"] != DUPLICATES)
    evaluated = ran.groupby(matrix["eid"]).any()
    return int(passes.sum()), int(evaluated.sum())


def session_standings(matrix: pd.DataFrame, failed: Collection[str]) -> pd.Series:
    """Where each session stands, the worst that holds: what the dashboard counts.

    Parameters
    ----------
    matrix : DataFrame
        Schema `QC_MATRIX`, labels applied.
    failed : collection of str
        Sessions of which an asset could not be made.

    Returns
    -------
    Series of str, index eid
        A key of `STANDINGS`.
    """
    by_session = matrix["eid"].astype(object)
    own = matrix["check"] != DUPLICATES
    missing = matrix["outcome"] == "not run"
    marks = {
        "failure": matrix["outcome"] == "fail",
        "ran": own & ~missing,
        "incomplete": own & missing,
        "warnings": matrix["outcome"] == "warn",
    }
    table = pd.DataFrame(marks).astype(bool).groupby(by_session, sort=False).any()
    standing = pd.Series("clean", index=table.index)
    for name in ("warnings", "incomplete"):
        standing = standing.mask(table[name], name)
    standing = standing.mask(~table["ran"], "none")
    return standing.mask(table["failure"] | table.index.isin(list(failed)), "failure")


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


def matrix_errors(matrix: pd.DataFrame) -> pd.DataFrame:
    """The failed checks of the matrix.

    Parameters
    ----------
    matrix : DataFrame
        Schema `QC_MATRIX`, labels applied: what a human keeps is no error.

    Returns
    -------
    DataFrame
        Columns of the schema `ERRORS`.
    """
    broken = matrix[matrix["outcome"].isin(["fail", "warn"])]
    return pd.DataFrame(
        {
            "eid": broken["eid"],
            "error_type": [RULES[name].exception.__name__ for name in broken["check"]],
            "error_message": broken["message"],
            "traceback": None,
            "asset": broken["asset"],
            "severity": broken["severity"],
        }
    ).reset_index(drop=True)
