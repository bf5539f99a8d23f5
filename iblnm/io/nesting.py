"""How deep a value of JSON or YAML goes."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 100
"""No record is nested deeper; what writes or compares values calls itself for every level."""


def is_too_deep(value: Any, limit: int = MAX_DEPTH) -> bool:
    """Whether mappings and lists are nested in each other more than so many times.

    Examples
    --------
    >>> [is_too_deep(value, 1) for value in ("a", [1, {}], {"a": 1})]
    [False, True, False]
    """
    level = [value]
    for _ in range(limit):
        nested = [item for item in level if isinstance(item, dict | list)]
        if not nested:
            return False
        level = [
            inner
            for item in nested
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
    return bool(level)
