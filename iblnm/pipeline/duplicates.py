"""Which sessions of an animal and day are duplicates, session by session."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline import graph
from iblnm.pipeline.rules.cohort import duplicates, usable_sessions
from iblnm.pipeline.rules.registry import RULES
from iblnm.schemas import QC_MATRIX

DUPLICATES = "true_duplicate_session"


def duplicate_candidates(
    sessions: pd.DataFrame, broken: pd.DataFrame, failures: pd.DataFrame
) -> pd.DataFrame:
    """Sessions to look for duplicates among, with the rules that each breaks now.

    Parameters
    ----------
    sessions : DataFrame
        With ``eid``; ``label`` is taken into account if it is there.
    broken : DataFrame
        Evaluations that failed: ``eid``, ``check`` and, where known, ``severity``: what was
        only a warning there (a video that is missing) disqualifies no session.
    failures : DataFrame
        Assets that could not be made: ``eid``, ``asset``.

    Returns
    -------
    DataFrame
        Sessions with ``logged_errors``, the names of the exceptions. Left out are sessions
        that a human dropped, and those whose responses cannot be made.
    """
    errors: dict[str, set[str]] = {}
    severities = broken["severity"] if "severity" in broken else [None] * len(broken)
    for eid, check, severity in zip(broken["eid"], broken["check"], severities, strict=True):
        # a rule that is gone says nothing any more
        if check in RULES and (severity != "WARN" or RULES[check].severity == "WARN"):
            errors.setdefault(eid, set()).add(RULES[check].exception.__name__)
    essential = failures["asset"].isin(graph.essential_stages())
    useless = sessions["eid"].isin(failures.loc[essential, "eid"])
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
