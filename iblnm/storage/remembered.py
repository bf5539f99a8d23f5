"""Rows of all sessions, of which only those are read again whose files have changed since.

The stamp of a session's file (`iblnm.storage.atomic.file_stamp`) tells whether its rows are still
those of the last time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from iblnm.errors import NotWritableError
from iblnm.storage.atomic import file_stamp, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

_FORMAT = "1"
_OF = "rows of"
_STAMPS = b"iblnm stamps"
_MADE_BY = b"iblnm made by"
_RENEWAL_SHARE = 0.01


def gather_rows(
    place: Path,
    folder: Path,
    suffix: str,
    read: Callable[[Path], pa.Table | None],
    *,
    made_by: str = "",
) -> pa.Table | None:
    """Rows of the files of a folder, one file after the other in order of their names.

    Parameters
    ----------
    place : Path
        File in which the rows are remembered; it may be deleted at any time. What cannot be
        read of it, or not be written, costs time only.
    folder : Path
        Where the files of the sessions are.
    suffix : str
        How their names end.
    read : callable
        From a file to its rows, or None if there are none.
    made_by : str
        Says what `read` makes of a file; rows made by another are not used.

    Returns
    -------
    pyarrow.Table or None
        Columns of all files, null where a file has no such column; None without any row.
    """
    import pyarrow as pa

    now = _stamps(folder, suffix)
    known, before = _recall(place, f"{_FORMAT} {made_by}")
    same = {name for name, stamp in now.items() if before.get(name) == stamp}
    parts = [] if known is None else [_rows_of(known, same, of_all=len(same) == len(before))]
    for name in now:
        if name in same or (rows := read(folder / f"{name}{suffix}")) is None:
            continue
        named = pa.array([name] * len(rows), pa.string())
        parts.append(_without_types_of_nulls(rows).append_column(_OF, named))
    n_other = len({*now, *before} - same)
    if not parts:
        return None
    table = pa.concat_tables(parts, promote_options="permissive")
    if n_other:
        table = table.sort_by(_OF)
    if n_other > _RENEWAL_SHARE * len(now):
        _remember(place, f"{_FORMAT} {made_by}", now, table)
    return table.drop_columns([_OF])


def _without_types_of_nulls(rows: pa.Table) -> pa.Table:
    """Columns in which nothing is known take the type that they have in other files."""
    import pyarrow as pa

    rows = rows.replace_schema_metadata(None)
    for i, name in enumerate(rows.column_names):
        if rows.column(i).null_count == len(rows):
            rows = rows.set_column(i, name, pa.nulls(len(rows)))
    return rows


def _stamps(folder: Path, suffix: str) -> dict[str, str]:
    """Number, size and time of change of every file, in the order of their names."""
    if not folder.is_dir():
        return {}
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffix) and not entry.name.startswith("."):
                with suppress(FileNotFoundError):
                    found[entry.name.removesuffix(suffix)] = file_stamp(entry.stat())
    return dict(sorted(found.items()))


def _recall(place: Path, made_by: str) -> tuple[pa.Table | None, dict[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(place) as file:
            facts = file.metadata.metadata or {}
            if facts[_MADE_BY].decode() != made_by:
                return None, {}
            return file.read(), json.loads(facts[_STAMPS])
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return None, {}


def _remember(place: Path, made_by: str, stamps: dict[str, str], table: pa.Table) -> None:
    import pyarrow.parquet as pq

    facts = {_MADE_BY: made_by, _STAMPS: json.dumps(stamps)}
    table = table.replace_schema_metadata(None)
    with (
        suppress(NotWritableError, OSError),
        write_whole(place) as temporary,
        pq.ParquetWriter(temporary, table.schema) as writer,
    ):
        writer.write_table(table)
        writer.add_key_value_metadata(facts)


def _rows_of(table: pa.Table, names: Iterable[str], *, of_all: bool) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    table = table.replace_schema_metadata(None)
    if of_all:
        return table
    return table.filter(pc.is_in(table[_OF], value_set=pa.array(list(names), pa.string())))
