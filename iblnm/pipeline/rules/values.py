"""Reading values of session rows, whichever form the row has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Settings

Row = Mapping[str, Any] | pd.Series
PARALLEL_LISTS = ("brain_region", "hemisphere", "target_NM")


def as_row(session: Any) -> Row:
    """A row as Series or mapping; a one-row frame gives its row, a session object its record.

    Raises
    ------
    ValueError
        If a frame has not exactly one row.
    """
    if isinstance(session, pd.DataFrame):
        if len(session) != 1:
            raise ValueError(f"one row is expected, found {len(session)}")
        return session.iloc[0]
    if hasattr(session, "to_series") and not isinstance(session, pd.Index):
        return session.to_series()
    return session


def is_null(value: Any) -> bool:
    """Whether a value says nothing: None, NaN, NA or empty text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    return pd.api.types.is_scalar(value) and bool(pd.isna(value))


def get(row: Row, name: str) -> Any:
    """Value of a column, None where it is absent or null."""
    value = row.get(name)
    return None if is_null(value) else value


def get_list(row: Row, name: str) -> list[Any]:
    """Value of a list column with null entries as None; a scalar is a list of one."""
    value = get(row, name)
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, (Iterable, np.ndarray)):
        value = [value]
    return [None if is_null(entry) else entry for entry in value]


def has_no_record(row: Row) -> bool:
    """Whether the archive is known to have no Alyx record of the session."""
    known = get(row, "has_record")
    return known is not None and not known


def bare_region(name: str) -> str:
    """A region's name without the suffix of its side.

    Examples
    --------
    >>> bare_region("NBM-l"), bare_region("VTA")
    ('NBM', 'VTA')
    """
    return name[:-2] if name.endswith(("-l", "-r")) else name


def lists_agree(row: Row) -> bool:
    """Whether those of the session's parallel lists that are there have one length."""
    known = [name for name in PARALLEL_LISTS if get(row, name) is not None]
    return len({len(get_list(row, name)) for name in known}) <= 1


def listed_categories(row: Row, settings: Settings) -> set[str]:
    """Dataset categories of the settings of which the session lists at least one file."""
    paths = tuple(map(str, get_list(row, "datasets")))
    known = tuple((name, tuple(found)) for name, found in settings.dataset_categories.items())
    return set(_categories(paths, known))


@lru_cache(maxsize=4096)
def _categories(
    paths: tuple[str, ...], known: tuple[tuple[str, tuple[str, ...]], ...]
) -> frozenset[str]:
    """Remembered, since most sessions of a cohort list the same files."""
    from fnmatch import fnmatchcase

    plain = {_without_revision(path) for path in paths}
    return frozenset(
        category
        for category, patterns in known
        if any(fnmatchcase(path, pattern) for path in plain for pattern in patterns)
    )


def as_values(given: Any) -> list[Any]:
    """The values that a caller gave; one text or number is one value.

    Examples
    --------
    >>> as_values("biased"), as_values(100), as_values(("a", "b"))
    (['biased'], [100], ['a', 'b'])
    """
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        return [given]
    return list(given)


def join(values: Iterable[Any]) -> str:
    """Values in words, for messages."""
    return ", ".join(str(value) for value in values)


def _without_revision(path: str) -> str:
    return "/".join(part for part in path.split("/") if not part.startswith("#"))
