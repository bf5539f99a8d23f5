"""Parquet tables: written whole, held to a schema, with their provenance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from iblnm.errors import MalformedFileError, MissingFileError, UnreadableFileError
from iblnm.storage.atomic import write_whole
from iblnm.storage.provenance import Provenance

if TYPE_CHECKING:
    import pyarrow as pa

_PROVENANCE_KEY = b"iblnm"


class TableSchema(Protocol):
    """Anything that can hold a frame to its definition."""

    def validate(self, df: pd.DataFrame) -> pd.DataFrame: ...


def write_table(
    df: pd.DataFrame,
    path: Path | str,
    schema: TableSchema | None = None,
    provenance: Provenance | None = None,
) -> None:
    """Write a table whole or not at all.

    Parameters
    ----------
    df : DataFrame
        The index is not stored. Lists become parquet lists, missing text is null.
    path : Path
        File to create or to replace.
    schema : object with ``validate(df) -> df``, optional
        Applied before anything is written.
    provenance : Provenance, optional
        Stored in the file's key-value metadata.

    Raises
    ------
    MalformedFileError
        If the schema refuses the frame, or a column mixes types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if schema is not None:
        df = schema.validate(df)
    try:
        table = pa.Table.from_pandas(df, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise MalformedFileError(f"table cannot be stored: {error}", path=path) from error
    table = _give_types_to_nulls(table)
    metadata = dict(table.schema.metadata or {})
    if provenance is not None:
        metadata[_PROVENANCE_KEY] = provenance.to_json().encode()
    with write_whole(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary)


def read_table(
    path: Path | str, schema: TableSchema | None = None, *, eid: str | None = None
) -> pd.DataFrame:
    """Read a table; list columns hold Python lists, missing values are null.

    Parameters
    ----------
    path : Path
    schema : object with ``validate(df) -> df``, optional
        Applied to what was read.
    eid : str, optional
        Session to name in an error.

    Returns
    -------
    DataFrame

    Raises
    ------
    MissingFileError
        If there is no such file.
    UnreadableFileError
        If it is empty, truncated or no parquet file.
    MalformedFileError
        If the schema refuses its content.
    """
    table = read_arrow(path, eid=eid)
    lists = [field.name for field in table.schema if _is_list(field.type)]
    df = table.to_pandas()
    for name in lists:
        df[name] = pd.Series(table.column(name).to_pylist(), index=df.index, dtype=object)
    return df if schema is None else schema.validate(df)


def read_provenance(path: Path | str) -> Provenance | None:
    """Provenance stored with a table; None if there is none."""
    metadata = read_arrow(path).schema.metadata or {}
    text = metadata.get(_PROVENANCE_KEY)
    return None if text is None else Provenance.from_json(text.decode())


def read_arrow(path: Path | str, *, eid: str | None = None) -> pa.Table:
    """Read a table as it is stored; raises as `read_table`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except FileNotFoundError as error:
        raise MissingFileError("no such file", eid=eid, path=path) from error
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(
            f"no readable parquet file: {error}", eid=eid, path=path
        ) from error


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _give_types_to_nulls(table: pa.Table) -> pa.Table:
    """Read all-null columns as text, so that the same column has one type in every file."""
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            kind = pa.string()
        elif _is_list(field.type) and pa.types.is_null(field.type.value_type):
            kind = pa.list_(pa.string())
        else:
            continue
        table = table.set_column(i, field.name, table.column(i).cast(kind))
    return table
