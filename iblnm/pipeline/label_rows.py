"""Lines of ``metadata/labels.csv``: read, checked, added and removed, without any table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iblnm.errors import InvalidNameError, MalformedFileError
from iblnm.io.text import FORMULA_SIGNS, Line, TextTable, as_inert, read_delimited
from iblnm.storage.atomic import update_whole
from iblnm.storage.names import validate_eid

if TYPE_CHECKING:
    from iblnm.config import Settings

COLUMNS = ("eid", "fiber_idx", "verdict", "who", "when", "why", "t0", "t1")
VERDICTS = ("keep", "drop", "mask")
MASK = "mask"
_WINDOW = ("t0", "t1")
_REQUIRED = ("verdict", "who", "when", "why")
_FREE = ("who", "why")
_QUOTED_FORMULA = tuple(f"'{sign}" for sign in FORMULA_SIGNS)
_MAX_LENGTH = 500
_CHECKOUT = Path(__file__).resolve().parents[2]

Row = dict[str, Any]


def read_rows(path: Path | str) -> list[Row]:
    """Read and check the labels.

    Parameters
    ----------
    path : Path
        Text with the columns `COLUMNS`, in any order, as `iblnm.io.text.read_delimited` takes
        it; a file without masks may lack ``t0`` and ``t1``. A file that does not exist has no
        labels; lines that start with # are left out.

    Returns
    -------
    list of dict
        Keys `COLUMNS`; ``fiber_idx`` int or None, ``t0`` and ``t1`` float (s) or None.

    Raises
    ------
    UnreadableFileError, MalformedFileError
        Naming the first line at fault, what it holds and what is expected.
    """
    path = Path(path)
    if not path.exists():
        return []
    return [row for _, row in _parsed(read_delimited(path, COLUMNS), path) if row is not None]


def labels_paths(settings: Settings) -> tuple[Path, ...]:
    """Files of the labels in force: of the root, and the project's, which the checkout has.

    A verdict of the root stands before the project's on the same session or fiber.
    """
    shipped = _CHECKOUT / "metadata" / "labels.csv"
    own = settings.labels_fpath
    return (own,) if own.resolve() == shipped.resolve() else (own, shipped)


def rows_in_force(paths: Iterable[Path | str]) -> list[Row]:
    """Labels of several files; a verdict in one stands before those of the files after it.

    Parameters
    ----------
    paths : iterable of Path
        See `read_rows`.

    Returns
    -------
    list of dict
        See `read_rows`.

    Raises
    ------
    UnreadableFileError, MalformedFileError
        See `read_rows`.
    """
    rows: dict[tuple, Row] = {}
    for path in paths:
        for row in read_rows(path):
            rows.setdefault(_key(row), row)
    return list(rows.values())


def add_row(path: Path | str, row: Mapping[str, Any]) -> Row:
    """Add a label, in one atomic step; everything else in the file stays as it is.

    A verdict keep or drop takes the place of one on the same session or fiber.

    Parameters
    ----------
    path : Path
        Made if it does not exist.
    row : mapping
        Keys `COLUMNS`.

    Returns
    -------
    dict
        The row as it was stored.

    Raises
    ------
    MalformedFileError
        If the row is not valid, or the file is not.
    """
    try:
        checked = check_row(row)
    except (ValueError, InvalidNameError) as error:
        raise MalformedFileError(f"the label cannot be stored: {error}") from None
    _rewrite(Path(path), lambda other: _key(other) != _key(checked), checked)
    return checked


def remove_row(path: Path | str, row: Mapping[str, Any]) -> bool:
    """Remove the label with the same session, fiber, kind and window; whether there was one."""
    try:
        wanted = _key(check_row({**row, "who": "-", "when": "2000-01-01", "why": "-"}))
    except (ValueError, InvalidNameError) as error:
        raise MalformedFileError(f"no such label: {error}") from None
    path = Path(path)
    if wanted not in {_key(entry) for entry in read_rows(path)}:
        return False
    _rewrite(path, lambda other: _key(other) != wanted, None)
    return True


def check_row(row: Mapping[str, Any]) -> Row:
    """A row with checked values.

    Raises
    ------
    ValueError, InvalidNameError
        Saying which value is wrong and what is expected.
    """
    checked: Row = {name: _text(name, row.get(name)) for name in COLUMNS}
    checked["eid"] = validate_eid(checked["eid"])
    for name in _REQUIRED:
        if not checked[name]:
            raise ValueError(f"{name} is empty")
    if checked["verdict"] not in VERDICTS:
        raise ValueError(
            f"verdict is {checked['verdict']!r}; keep or drop is expected, or mask with t0 and t1"
        )
    fiber = checked["fiber_idx"]
    if fiber and not (fiber.isascii() and fiber.isdecimal()):
        raise ValueError(f"fiber_idx is {fiber!r}; 0, 1, ... or nothing is expected")
    checked["fiber_idx"] = int(fiber) if fiber else None
    try:
        date.fromisoformat(checked["when"])
    except ValueError:
        raise ValueError(f"when is {checked['when']!r}; a day as 2024-05-31 is expected") from None
    checked |= _window(checked)
    return checked


def _window(row: Row) -> dict[str, float | None]:
    if row["verdict"] != MASK:
        given = [name for name in _WINDOW if row[name]]
        if given:
            raise ValueError(f"{given[0]} is {row[given[0]]!r}; only a mask has a window of time")
        return dict.fromkeys(_WINDOW)
    window = {}
    for name in _WINDOW:
        try:
            window[name] = float(row[name])
        except ValueError:
            window[name] = math.nan
        if not math.isfinite(window[name]):
            raise ValueError(f"{name} is {row[name]!r}; seconds on the session clock are expected")
    if window["t1"] <= window["t0"]:
        raise ValueError(f"t1 is {row['t1']}; it must be later than t0, {row['t0']}")
    return window


def _text(name: str, value: Any) -> str:
    text = "" if value is None else str(value).strip()
    if len(text) > _MAX_LENGTH or not text.isprintable() or text.startswith("#"):
        raise ValueError(
            f"{name} is {text[:40]!r}; up to {_MAX_LENGTH} letters on one line are expected, "
            "and no # at the start"
        )
    return text


def _key(row: Row) -> tuple:
    if row["verdict"] == MASK:
        return row["eid"], row["fiber_idx"], row["t0"], row["t1"]
    return row["eid"], row["fiber_idx"]


def _parsed(table: TextTable, path: Path) -> Iterator[tuple[list[str], Row | None]]:
    """Every line with its row; None for the header, comments and empty lines."""
    header: list[str] | None = None
    seen: set[tuple] = set()
    for line in table.lines:
        fields = line.fields
        if not any(fields) or fields[0].startswith("#"):
            yield fields, None
            continue
        try:
            if header is None:
                header = _header(fields)
                yield fields, None
                continue
            row = _row(header, fields, table.has_decimal_commas)
            if _key(row) in seen:
                fiber = row["fiber_idx"]
                of = "the session" if fiber is None else f"fiber {fiber}"
                raise ValueError(f"a second label for {of} of {row['eid']}; keep one of them")
        except (ValueError, InvalidNameError) as error:
            # the line says it all; the chain would only show how it was parsed
            raise MalformedFileError(f"line {line.number}: {error}", path=path) from None
        seen.add(_key(row))
        yield fields, row
    if header is None:
        header_line = f"line 1: the header {','.join(COLUMNS)} is missing"
        raise MalformedFileError(header_line, path=path)


def _header(fields: Sequence[str]) -> list[str]:
    if sorted(fields) not in (sorted(COLUMNS), sorted(set(COLUMNS) - set(_WINDOW))):
        raise ValueError(
            f"the columns are {', '.join(fields)}; expected, separated by commas, semicolons or "
            f"tabs: {', '.join(COLUMNS)}"
        )
    return list(fields)


def _row(header: Sequence[str], fields: Sequence[str], has_decimal_commas: bool) -> Row:
    if len(fields) != len(header):
        raise ValueError(
            f"{len(fields)} fields, {len(header)} expected; put a text that holds a separator "
            "in quotes"
        )
    given = dict(zip(header, fields, strict=True))
    for name in _FREE:
        if given.get(name, "").startswith(_QUOTED_FORMULA):
            given[name] = given[name][1:]
    if has_decimal_commas:
        given |= {name: given[name].replace(",", ".") for name in _WINDOW if name in given}
    return check_row(given)


def _rewrite(path: Path, keep: Callable[[Row], bool], added: Row | None) -> None:
    with update_whole(path) as temporary:
        table = TextTable([Line(1, list(COLUMNS))], ",")
        if temporary.exists():
            table = read_delimited(temporary, COLUMNS)
        header: list[str] = []
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n", delimiter=table.separator)
        for fields, row in _parsed(table, path):
            if row is None:
                if not header and any(fields) and not fields[0].startswith("#"):
                    header = [*fields, *(name for name in COLUMNS if name not in fields)]
                    fields = header
                writer.writerow(fields)
            elif keep(row):
                writer.writerow([*fields, *[""] * (len(header) - len(fields))])
        if added is not None:
            values = {**added, **{name: as_inert(added[name]) for name in _FREE}}
            writer.writerow(["" if values[name] is None else values[name] for name in header])
        temporary.write_text(out.getvalue(), encoding="utf-8")
