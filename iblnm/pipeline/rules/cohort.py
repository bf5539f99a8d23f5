"""Rules about the sessions together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.rules.outcome import Finding, Outcome
from iblnm.pipeline.rules.registry import RULES, RuleError, error_types, rule
from iblnm.pipeline.rules.values import get_list, join, listed_categories

_NEEDED = ("extracted_task", "extracted_photometry_signal")


def disqualifying_errors() -> set[str]:
    """Names of the errors after which a session is of no use: those of BLOCK rules."""
    return error_types(
        {entry.exception.__name__ for entry in RULES.values() if entry.severity == "BLOCK"}
        | {"MissingRawData", "MissingExtractedData", "QCValidationError"}
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
    elif "datasets" in sessions:
        for i, datasets in enumerate(sessions["datasets"]):
            listed = listed_categories({"datasets": datasets}, settings)
            usable[i] = listed.issuperset(_NEEDED)
    return usable


def duplicates(sessions: pd.DataFrame, usable: np.ndarray) -> pd.DataFrame:
    """Usable sessions of a subject and day that has several, first of each day first.

    Returns
    -------
    DataFrame
        Rows of `sessions` with the columns ``day`` and ``kept``.
    """
    found = sessions[usable].copy()
    found["day"] = found["start_time"].astype("string").str[:10]
    order = [name for name in ("start_time", "number", "eid") if name in found]
    found = found.sort_values(["subject", *order], kind="stable")
    key = ["subject", "day"]
    found["kept"] = ~found.duplicated(key, keep="first")
    return found[found.duplicated(key, keep=False) & found["day"].notna()]


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
        "A mouse has at most one usable session a day; of several, cohort analyses use the first."
    ),
)
def true_duplicate_session(sessions: pd.DataFrame, settings: Settings) -> Finding:
    found = duplicates(sessions, usable_sessions(sessions, settings))
    extra = found.loc[~found["kept"]]
    table = [
        {"subject": row.subject, "day": row.day, "eid": row.eid, "kept": bool(row.kept)}
        for row in found.itertuples()
    ]
    n = len(extra)
    days = join(sorted({f"{row.subject} {row.day}" for row in extra.itertuples()}))
    message = f"{n} usable sessions follow another one of the same mouse and day"
    return Finding(
        n == 0,
        float(n),
        f"{message}: {days}." if n else f"{message}.",
        metadata={"sessions": table} if table else {},
    )
