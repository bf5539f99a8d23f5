"""Small tables that several processes write.

SQLite files under ``metadata/``; where many machines share a root, schemas of the PostgreSQL
database that the settings name. The statements are those that both understand.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from iblnm.errors import TransientError, UnreadableFileError
from iblnm.storage.postgres import PostgresConnection, PostgresTables

if TYPE_CHECKING:
    from iblnm.config import Settings

BUSY_TIMEOUT_S = 30.0

Connection = sqlite3.Connection | PostgresConnection
Place = Path | PostgresTables


def place_of(settings: Settings, name: str) -> Place:
    """Where the settings' root has the tables of a name.

    Examples
    --------
    >>> from pathlib import Path
    >>> from iblnm.config import Settings
    >>> place_of(Settings(root=Path("root")), "outcomes").as_posix()
    'root/metadata/outcomes.sqlite'
    """
    if settings.pg_url_file is not None:
        return PostgresTables(settings.pg_url_file, name)
    return settings.metadata_dir / f"{name}.sqlite"


def remove(place: Place) -> None:
    """Delete tables, and what they hold."""
    if isinstance(place, Path):
        place.unlink(missing_ok=True)
    else:
        place.remove()


@contextmanager
def transaction(
    place: Place,
    bring_up_to_date: Callable[[Connection], None],
    *,
    fault: str,
    alone: bool = True,
) -> Iterator[Connection]:
    """A transaction that has the tables to itself: committed as a whole, or undone.

    Parameters
    ----------
    place : Path or PostgresTables
        Made at first use, a file's folder too.
    bring_up_to_date : callable
        Makes new tables, and turns those of an earlier version into today's.
    fault : str
        What is damaged and what to do about it, with ``{error}``, for the message.
    alone : bool
        Whether it rests on what it has read before: in PostgreSQL others need not wait else. Of a
        file there is one at a time.

    Yields
    ------
    sqlite3.Connection or PostgresConnection

    Raises
    ------
    TransientError
        If another process keeps the tables for longer than `BUSY_TIMEOUT_S`, the disk is full,
        or the server cannot be reached.
    UnreadableFileError
        If the file is damaged.
    """
    if isinstance(place, PostgresTables):
        with place.transaction(bring_up_to_date, alone=alone) as shared:
            yield shared
        return
    path = place
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(
            sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        ) as connection:
            # a power cut may undo the last transactions, it cannot damage the file
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                bring_up_to_date(connection)
                yield connection
    except sqlite3.OperationalError as error:
        raise TransientError(f"{path.name}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise UnreadableFileError(fault.format(error=error), path=path) from error


def schema_version(connection: Connection) -> int:
    """Version of the tables; 0 if there are none."""
    if isinstance(connection, PostgresConnection):
        return connection.version()
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def run_script(connection: Connection, script: str, version: int) -> None:
    """Run statements within the transaction, and note the version that they lead to.

    A number is ``DOUBLE PRECISION``: ``REAL`` has eight bytes in SQLite and four in PostgreSQL.
    """
    if isinstance(connection, PostgresConnection):
        connection.make_tables(script, version)
        return
    for statement in script.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version}")
