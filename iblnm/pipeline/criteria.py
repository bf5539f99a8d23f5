"""What single criteria of the selection ask of a table of sessions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

import pandas as pd

from iblnm.config import Settings
from iblnm.errors import MissingColumnError
from iblnm.pipeline.rules.dataset import has_responses
from iblnm.pipeline.rules.values import (
    get_list,
    is_null,
    join,
    listed_categories,
    lists_agree,
)

_CONTRAST_DECIMALS = 4


def is_in(table: pd.DataFrame, name: str, values: Collection) -> pd.Series:
    if name not in table:
        raise MissingColumnError(f"the table of sessions has no column {name}")
    return table[name].astype(object).isin(list(values))


def starts_of(table: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(table["start_time"], format="ISO8601", errors="coerce", utc=True)


def subjects_from(sessions: pd.DataFrame, first: pd.Timestamp) -> set[str]:
    """Subjects of whom no session is earlier."""
    starts = starts_of(sessions).groupby(sessions["subject"]).min()
    return set(starts.index[starts >= first])


def have_parallel_lists(table: pd.DataFrame) -> list[bool]:
    return [lists_agree(row) for row in table.to_dict("records")]


def have_datasets(table: pd.DataFrame, settings: Settings) -> list[bool]:
    """Whether trials and signal are listed; unknown datasets refuse nothing."""
    return [
        is_null(paths) or has_responses(listed_categories({"datasets": paths}, settings))
        for paths in table["datasets"]
    ]


def unknown_in_words(names: Collection[str], known: Collection[str]) -> str:
    near = {match for name in names for match in get_close_matches(name, known, n=1)}
    meant = f"; do you mean {join(sorted(map(repr, near)))}?" if near else ""
    return (
        f"no rule and no session has the error {join(sorted(map(repr, names)))}: nothing is "
        f"blocked by it{meant}"
    )


def have_target(table: pd.DataFrame, targets: Collection[str]) -> list[bool]:
    found = []
    for row in table.to_dict("records"):
        dropped = set(get_list(row, "excluded")) if "excluded" in row else set()
        found.append(
            any(
                target in targets and fiber not in dropped
                for fiber, target in enumerate(get_list(row, "target_NM"))
            )
        )
    return found


def by_session(
    sessions: pd.DataFrame, performance: pd.DataFrame | None, name: str
) -> dict[str, Any] | None:
    """A column of the catalog by eid, else of the table of performance."""
    for table in (sessions, performance):
        if table is not None and name in table:
            return dict(zip(table["eid"], table[name], strict=True))
    return None


def performance_in_words(limits: float | Mapping[str, float]) -> str:
    if isinstance(limits, Mapping):
        return join(
            f"{kind} sessions with at least {limit:.0%} correct" for kind, limit in limits.items()
        )
    return f"at least {limits:.0%} correct"


def perform(
    table: pd.DataFrame, correct: Mapping[str, float], limits: float | Mapping[str, float]
) -> pd.Series:
    fraction = pd.to_numeric(table["eid"].map(correct))
    if isinstance(limits, Mapping):
        is_in(table, "session_type", limits)  # the column is needed
        limit = pd.to_numeric(table["session_type"].map(limits))
        return limit.isna() | (fraction >= limit)
    return fraction >= limits


def logged_names(sessions: pd.DataFrame) -> set[str]:
    if "logged_errors" not in sessions:
        return set()
    return {name for logged in sessions["logged_errors"] for name in get_list({"v": logged}, "v")}


def contrast_levels(contrasts: Any) -> frozenset[float]:
    values = get_list({"v": contrasts}, "v")
    return frozenset(
        round(float(value), _CONTRAST_DECIMALS) for value in values if value is not None
    )
