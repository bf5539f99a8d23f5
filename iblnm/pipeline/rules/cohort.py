"""Rules about the sessions together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.rules.dataset import has_responses
from iblnm.pipeline.rules.outcome import Finding, Outcome
from iblnm.pipeline.rules.registry import RULES, RuleError, error_types, rule
from iblnm.pipeline.rules.values import get_list, join, listed_categories


def disqualifying_errors() -> set[str]:
    """Names of the errors after which a session is of no use: those of BLOCK rules."""
    return error_types(
        {entry.exception.__name__ for entry in RULES.values() if entry.severity == "BLOCK"}
        | {"MissingRawData", "QCValidationError"}
    )


def usable_sessions(
    sessions: pd.DataFrame,
    settings: Settings,
    disqualifying: Collection[str] | None = None,
) -> np.ndarray:
    """Which sessions have trials and photometry, and no disqualifying error.

    Parameters
    ----------
    sessions : DataFrame
        Errors are looked up in the column ``logged_errors``, datasets in ``datasets``; a
        column that is absent disqualifies nothing.
    settings : Settings
    disqualifying : collection of str, optional
        Names of errors; `disqualifying_errors` by default.

    Returns
    -------
    ndarray of bool, shape (n_sessions,)
    """
    usable = np.ones(len(sessions), dtype=bool)
    if "logged_errors" in sessions:
        names = disqualifying_errors() if disqualifying is None else set(disqualifying)
        for i, errors in enumerate(sessions["logged_errors"]):
            usable[i] = not names.intersection(get_list({"errors": errors}, "errors"))
    if "datasets" in sessions:
        for i, datasets in enumerate(sessions["datasets"]):
            listed = listed_categories({"datasets": datasets}, settings)
            usable[i] &= has_responses(listed)
    return usable


def used_of_day(sessions: pd.DataFrame) -> pd.Series:
    """Of each session the eid of the one that is used of its subject and day: the first.

    The one place where this is decided: the rule, the matrix, the selection and a group's
    `deduplicate` ask here. It is asked among the sessions that are left by everything else,
    so that a session that is left out does not stand in the way of another.

    Parameters
    ----------
    sessions : DataFrame
        ``eid``, ``subject``, ``start_time``, and ``number`` to tell sessions of one time.

    Returns
    -------
    Series of str
        Index of `sessions`. A session of unknown subject or day stands for itself.
    """
    order = [name for name in ("start_time", "number", "eid") if name in sessions]
    rows = sessions.reset_index(drop=True)
    rows = rows[list(dict.fromkeys(["eid", "subject", *order]))]
    rows = rows.assign(day=_days(rows)).sort_values(order, kind="stable")
    first = rows.groupby(["subject", "day"], sort=False)["eid"].transform("first")
    used = first.where(first.notna(), rows["eid"]).sort_index()
    return used.set_axis(sessions.index)


def one_of_day(sessions: pd.DataFrame, settings: Settings) -> pd.Series:
    """Of each session the eid of the one to use of its subject and day, among all sessions.

    It is the first that is usable and that the default selection keeps
    (`iblnm.pipeline.selection.passes_default_selection`), else the first that is usable, else
    the first.

    Returns
    -------
    Series of str
        Index of `sessions`. A session of unknown subject or day stands for itself.
    """
    from iblnm.pipeline.selection import passes_default_selection

    usable = usable_sessions(sessions, settings)
    keys = [sessions["subject"], _days(sessions)]
    is_known = sessions["subject"].notna() & keys[1].notna()
    used = used_of_day(sessions)
    for preferred in (usable, usable & passes_default_selection(sessions, settings)):
        found = used_of_day(sessions[preferred]).reindex(sessions.index)
        of_day = found.groupby(keys, dropna=False).transform("first")
        used = of_day.where(of_day.notna() & is_known, used)
    return used


def duplicates(
    sessions: pd.DataFrame, usable: np.ndarray, settings: Settings | None = None
) -> pd.DataFrame:
    """Usable sessions of a subject and day that has several, the one that is used first.

    Parameters
    ----------
    sessions : DataFrame
        See `used_of_day`.
    usable : ndarray of bool, shape (n_sessions,)
    settings : Settings, optional
        With them the session that is used is one that the default selection keeps, if there
        is one (`iblnm.pipeline.selection.passes_default_selection`).

    Returns
    -------
    DataFrame
        Rows of `sessions` with the columns ``day`` and ``kept``.
    """
    found = sessions[np.asarray(usable, dtype=bool)].copy()
    found["day"] = _days(found)
    found = found[found.duplicated(["subject", "day"], keep=False)]
    found = found[found["day"].notna() & found["subject"].notna()]
    analyzed = np.ones(len(found), dtype=bool)
    if settings is not None and len(found):
        from iblnm.pipeline.selection import passes_default_selection

        analyzed = passes_default_selection(found, settings)
    key = ["subject", "day"]
    # of a day of which nothing is analyzed, the first usable one stands for the others
    any_analyzed = (
        pd.Series(analyzed, found.index).groupby([found[k] for k in key]).transform("any")
    )
    asked = found[analyzed | ~any_analyzed.to_numpy(dtype=bool)]
    used = asked["eid"][(used_of_day(asked) == asked["eid"]).to_numpy(dtype=bool)]
    found["kept"] = found["eid"].isin(used)
    order = [name for name in ("start_time", "number", "eid") if name in found]
    found = found.sort_values(["subject", *order], kind="stable")
    return found.sort_values(
        ["subject", "day", "kept"], ascending=[True, True, False], kind="stable"
    )


def _days(sessions: pd.DataFrame) -> pd.Series:
    return sessions["start_time"].astype("string").str[:10]


class TrueDuplicateSession(RuleError):
    """A subject has two usable sessions on one day.

    Parameters
    ----------
    fallback_row : Series, optional
        The session that is kept.
    """

    def __init__(
        self, message: str = "", fallback_row: Any = None, *, outcome: Outcome | None = None
    ):
        super().__init__(message, outcome=outcome)
        self.fallback_row = fallback_row


@rule(
    TrueDuplicateSession,
    asset="sessions",
    level="cohort",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="sessions",
    description=(
        "A mouse has at most one usable session a day; of several, cohort analyses use the first "
        "that they select."
    ),
    remedy=(
        "Look at both sessions and label the one that is not meant drop; otherwise the first "
        "that fits the selection is used."
    ),
)
def true_duplicate_session(sessions: pd.DataFrame, settings: Settings) -> Finding:
    found = duplicates(sessions, usable_sessions(sessions, settings), settings)
    extra = found.loc[~found["kept"]]
    table = [
        {"subject": row.subject, "day": row.day, "eid": row.eid, "kept": bool(row.kept)}
        for row in found.itertuples()
    ]
    n = len(extra)
    days = join(sorted({f"{row.subject} {row.day}" for row in extra.itertuples()}))
    message = f"{n} usable sessions are not used, for another one of the same mouse and day"
    return Finding(
        n == 0,
        float(n),
        f"{message}: {days}." if n else f"{message}.",
        metadata={"sessions": table} if table else {},
    )
