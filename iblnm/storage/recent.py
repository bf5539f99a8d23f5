"""Tables that were read last: a run of one session asks for the same few some dozen times."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from iblnm.errors import MissingFileError
from iblnm.storage.atomic import file_stamp
from iblnm.storage.parquet import read_table

if TYPE_CHECKING:
    import pandas as pd

    from iblnm.schemas import Table

_REMEMBERED = 16
_LARGEST_BYTES = 500_000


def read_recent(path: Path, table: Table) -> pd.DataFrame:
    """A stored table as `Table.restore` gives it, read again only if its file was written anew.

    Parameters
    ----------
    path : Path
    table : Table
        Schema.

    Returns
    -------
    DataFrame
        A copy; lists in its cells are those of the other copies. Large tables are read each time.

    Raises
    ------
    MissingFileError, UnreadableFileError, MalformedFileError
        As `iblnm.storage.parquet.read_table`.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise MissingFileError("no such file", path=path) from error
    if status.st_size > _LARGEST_BYTES:
        return table.restore(read_table(path))
    return _read(path, file_stamp(status), table).copy()


@lru_cache(maxsize=_REMEMBERED)
def _read(path: Path, stamp: str, table: Table) -> pd.DataFrame:
    return table.restore(read_table(path))
