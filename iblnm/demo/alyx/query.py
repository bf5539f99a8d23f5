"""Filters of the REST lists, with the meaning that Django gives them on Alyx."""

from __future__ import annotations

import ast
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any


class QueryError(ValueError):
    """A query that Alyx answers with status 500."""


@dataclass(frozen=True)
class Field:
    """One thing to filter by.

    Parameters
    ----------
    kind : str
        'text', 'number', 'bool', 'uuid' or 'datetime'.
    values : callable
        Gives the values of an item; several for a relation to many.
    """

    kind: str
    values: Callable[[Any], Iterable[Any]]


_LOOKUPS: dict[str, Callable[[Any, Any], bool]] = {
    "exact": lambda own, wanted: own == wanted,
    "iexact": lambda own, wanted: str(own).casefold() == str(wanted).casefold(),
    "contains": lambda own, wanted: str(wanted) in str(own),
    "icontains": lambda own, wanted: str(wanted).casefold() in str(own).casefold(),
    "startswith": lambda own, wanted: str(own).startswith(str(wanted)),
    "endswith": lambda own, wanted: str(own).endswith(str(wanted)),
    "gt": lambda own, wanted: own > wanted,
    "gte": lambda own, wanted: own >= wanted,
    "lt": lambda own, wanted: own < wanted,
    "lte": lambda own, wanted: own <= wanted,
    "in": lambda own, wanted: own in wanted,
    "range": lambda own, wanted: wanted[0] <= own <= wanted[1],
}


def parse(text: str) -> list[tuple[str, Any]]:
    """Pairs of field and value of a parameter ``django=``.

    Raises
    ------
    QueryError
        If values are missing, or a field comes twice.

    Examples
    --------
    >>> parse("number__gte,2,id__in,('a', 'b'),projects__name,x")
    [('number__gte', 2.0), ('id__in', ('a', 'b')), ('projects__name', 'x')]
    """
    words = _split(text)
    if len(words) % 2:
        raise QueryError("list index out of range")
    pairs = list(zip(words[::2], map(_value, words[1::2]), strict=True))
    if len({name for name, _ in pairs}) < len(pairs):
        raise QueryError(f'Duplicated fields in "{text}"')
    return pairs


def select(items: list[Any], fields: dict[str, Field], key: str, value: Any) -> list[Any]:
    """Items that one condition keeps.

    Each condition on a relation to many stands alone, as chained filters of Django do: with
    ``data_dataset_session_related__auto_datetime__gte`` and ``__lt`` one dataset of a session
    may satisfy the first and another the second.

    Raises
    ------
    QueryError
        If the field, the lookup or the form of the value is unknown.
    """
    negated, key = key.startswith("~"), key.removeprefix("~")
    name, field, steps = _resolve(fields, key)
    if steps == ["isnull"]:
        keep = lambda own: (own is None) == bool(value)  # noqa: E731
        return [item for item in items if any(map(keep, field.values(item))) != negated]
    is_date = steps[:1] == ["date"]
    lookup = (steps[1:] if is_date else steps) or ["exact"]
    if len(lookup) > 1 or lookup[0] not in _LOOKUPS:
        raise QueryError(f"Unsupported lookup '{'__'.join(steps)}' for {name}")
    compare = _LOOKUPS[lookup[0]]
    many = lookup[0] in ("in", "range")
    kind = "text" if lookup[0] in ("iexact", "contains", "icontains") else field.kind
    wanted = [_coerce(kind, v) for v in value] if many else _coerce(kind, value)
    if is_date:
        wanted = [v.date() for v in wanted] if many else wanted.date()
    elif many:
        wanted = wanted if lookup[0] == "range" else set(wanted)

    def matches(item: Any) -> bool:
        for own in field.values(item):
            if own is not None and compare(own.date() if is_date else own, wanted):
                return True
        return False

    return [item for item in items if matches(item) != negated]


def _split(text: str) -> list[str]:
    words, word, closing = [], "", ""
    for char in text:
        if char == "," and not closing:
            words.append(word)
            word = ""
            continue
        if char in "[(" and not closing:
            closing = {"[": "]", "(": ")"}[char]
        elif char == closing:
            closing = ""
        word += char
    return [*words, word]


def _value(text: str) -> Any:
    if text == "None":
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.replace(".", "", 1).isdigit():
        return float(text)
    if text[:1] in ("(", "[") and text[-1:] in (")", "]"):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError) as error:
            raise QueryError(f'Not a list or tuple of literals: "{text}"') from error
    return text


def _resolve(fields: dict[str, Field], key: str) -> tuple[str, Field, list[str]]:
    parts = key.split("__")
    for length in range(len(parts), 0, -1):
        name = "__".join(parts[:length])
        if name in fields:
            return name, fields[name], parts[length:]
    choices = ", ".join(sorted(fields))
    raise QueryError(f"Cannot resolve keyword '{parts[0]}' into field. Choices are: {choices}")


def _coerce(kind: str, value: Any) -> Any:
    if kind == "datetime":
        try:
            parsed = datetime.fromisoformat(str(value))
        except ValueError as error:
            raise QueryError(f"“{value}” value has an invalid format.") from error
        if parsed.tzinfo is not None:
            raise QueryError("timezone-aware datetimes are not supported when USE_TZ is False.")
        return parsed
    if kind == "uuid":
        try:
            return str(uuid.UUID(str(value)))
        except ValueError as error:
            raise QueryError(f"“{value}” is not a valid UUID.") from error
    if kind == "number":
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise QueryError(f"Field expected a number but got '{value}'.") from error
    return bool(value) if kind == "bool" else str(value)
