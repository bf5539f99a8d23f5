"""Where sessions stand: the matrix (session by check), the errors in it, its summary.

All functions are pure: they take the rows of `iblnm.pipeline.outcomes` and the graph of the
stages, and are the only place where the standing of a session or an asset is decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from iblnm.pipeline import graph
from iblnm.pipeline.duplicates import DUPLICATES
from iblnm.pipeline.labels import session_verdicts
from iblnm.pipeline.rules.registry import RULES, Rule
from iblnm.schemas import QC_MATRIX

STANDINGS = {
    "failure": "with a failure",
    "incomplete": "not run completely",
    "warnings": "with warnings only",
    "clean": "without problems",
    "none": "not run",
}


def complete_matrix(
    evaluations: pd.DataFrame,
    attempts: pd.DataFrame,
    eids: Sequence[str],
    rules: Iterable[Rule],
) -> pd.DataFrame:
    """Every session by every check: what was not run says why.

    Parameters
    ----------
    evaluations, attempts : DataFrame
        Rows of `iblnm.pipeline.outcomes.OutcomeStore`; those of other sessions or checks are
        left out.
    eids : sequence of str
        All sessions.
    rules : iterable of Rule
        All checks that are evaluated per session.

    Returns
    -------
    DataFrame
        Schema `QC_MATRIX`, sessions in the given order, checks in order of definition.

    Notes
    -----
    What a session has no data for is ``not evaluated``: running it again would not change it.
    Where a BLOCK check fails, the checks of what comes after it are ``not run`` too, even if
    they were evaluated on an earlier output that is still stored: the matrix is what running
    the session again would give.
    """
    rules, eids = list(rules), list(eids)
    if not rules or not eids:
        return QC_MATRIX.empty()
    cells = _latest(evaluations, eids, rules)
    stops = Stops(evaluations, attempts, eids, rules)
    for position, rule in enumerate(rules):
        void = stops.blocked_above(rule.asset)
        for name in ("result", "value", "limit", "evaluated_at", "severity"):
            cells[name][void, position] = None
        severity = cells["severity"][:, position]
        severity[pd.isna(severity)] = rule.severity
        result = cells["result"][:, position]
        missing = pd.isna(result)
        result[(result == "fail") & (severity == "WARN")] = "warn"
        result[missing] = "not run"
        if missing.any():
            reasons, is_absent = stops.reasons(rule)
            cells["message"][missing, position] = reasons[missing]
            result[missing & is_absent] = "not evaluated"
    cells["outcome"] = cells.pop("result")
    table = pd.DataFrame({name: values.ravel() for name, values in cells.items()})
    table["eid"] = np.repeat(np.array(eids, dtype=object), len(rules))
    for name, values in {
        "check": [rule.name for rule in rules],
        "asset": [rule.asset for rule in rules],
    }.items():
        table[name] = np.tile(np.array(values, dtype=object), len(eids))
    return QC_MATRIX.conform(table)


def _latest(
    evaluations: pd.DataFrame, eids: Sequence[str], rules: Sequence[Rule]
) -> dict[str, np.ndarray]:
    """Columns of the evaluations as arrays of objects, shape (n_sessions, n_rules)."""
    rows = pd.Index(eids, dtype=object).get_indexer(evaluations["eid"])
    names = pd.Index([rule.name for rule in rules], dtype=object)
    columns = names.get_indexer(evaluations["check"])
    known = (rows >= 0) & (columns >= 0)
    cells = {}
    for name in ("result", "value", "limit", "message", "evaluated_at", "severity"):
        cells[name] = np.full((len(eids), len(rules)), None, dtype=object)
        cells[name][rows[known], columns[known]] = evaluations[name].to_numpy(object)[known]
    return cells


class Stops:
    """What stops which asset of which session.

    Parameters
    ----------
    evaluations, attempts, eids, rules
        As of `complete_matrix`.
    """

    def __init__(
        self,
        evaluations: pd.DataFrame,
        attempts: pd.DataFrame,
        eids: Sequence[str],
        rules: Sequence[Rule],
    ):
        self._eids = pd.Index(eids, dtype=object)
        self._blocking = self._first_blocking_rule(evaluations, rules)
        self._attempts = self._grid(attempts)

    def blocked_above(self, asset: str) -> np.ndarray:
        """Which sessions break a BLOCK rule of an asset that this one is made from."""
        blocked = np.zeros(len(self._eids), dtype=bool)
        for name in _above(asset):
            if name in self._blocking:
                blocked |= pd.notna(self._blocking[name])
        return blocked

    def reasons(self, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
        """In words, per session, why a rule was not evaluated; and whether for lack of data."""
        asset = rule.asset
        reason = np.full(len(self._eids), None, dtype=object)
        is_absent = np.zeros(len(self._eids), dtype=bool)

        def put(where: np.ndarray, texts: Iterable[str], *, absent: bool = False) -> None:
            where = where & pd.isna(reason)
            reason[where] = np.array(list(texts), dtype=object)[where] if where.any() else None
            is_absent[where] = absent

        for name in (asset, *_above(asset)):
            attempts = self._attempts.get(name)
            own = name == asset
            if not own and name in self._blocking:
                by = self._blocking[name]
                put(pd.notna(by), (f"Stopped by the check {check} of {name}." for check in by))
            if attempts is None:
                continue
            state, error, message = attempts
            put(state == "failed", (f"{name} could not be made: {e}." for e in error))
            put(
                state == "no data",
                (
                    f"The session has no {name}: {m}." if m else f"The session has no {name}."
                    for m in message
                ),
                absent=True,
            )
        first = self._attempts.get("session")
        ran = np.zeros(len(self._eids), bool) if first is None else pd.notna(first[0])
        put(~ran, ["The session was not run yet."] * len(reason))
        own = self._attempts.get(asset)
        made = np.zeros(len(self._eids), bool) if own is None else own[0] == "stored"
        put(made, [f"{rule.name} of {asset} was not evaluated yet."] * len(reason))
        put(~made, [f"{asset} was not made yet."] * len(reason))
        return reason, is_absent

    def _first_blocking_rule(
        self, evaluations: pd.DataFrame, rules: Sequence[Rule]
    ) -> dict[str, np.ndarray]:
        failed = evaluations[evaluations["result"] == "fail"]
        of_rule = {name: rows["eid"] for name, rows in failed.groupby("check")}
        found: dict[str, np.ndarray] = {}
        for rule in rules:
            if rule.severity != "BLOCK" or rule.name not in of_rule:
                continue
            first = found.setdefault(rule.asset, np.full(len(self._eids), None, dtype=object))
            broken = self._eids.isin(of_rule[rule.name]) & pd.isna(first)
            first[broken] = rule.name
        return found

    def _grid(self, attempts: pd.DataFrame) -> dict[str, tuple[np.ndarray, ...]]:
        grid = {}
        for asset, rows in attempts.groupby("asset"):
            keyed = rows.set_index("eid").reindex(self._eids)
            grid[str(asset)] = tuple(
                keyed[name].astype(object).where(keyed[name].notna(), None).to_numpy(dtype=object)
                for name in ("state", "error_type", "message")
            )
        return grid


def _above(asset: str) -> tuple[str, ...]:
    return graph.upstream(asset) if graph.is_stage(asset) else ()


def session_standings(matrix: pd.DataFrame, failed: Iterable[str]) -> pd.Series:
    """Where each session stands, the worst that holds: what page and summary count.

    Parameters
    ----------
    matrix : DataFrame
        Schema `QC_MATRIX`, labels applied.
    failed : iterable of str
        Sessions of which an asset could not be made.

    Returns
    -------
    Series of str, index eid
        A key of `STANDINGS`. What was not evaluated counts neither for nor against a session.
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


def apply_labels(matrix: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Put the human verdicts on whole sessions into the matrix.

    Parameters
    ----------
    matrix : DataFrame
        Schema `QC_MATRIX`.
    labels : DataFrame
        Schema `LABELS`. Verdicts on single fibers do not change a session's outcomes.

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
