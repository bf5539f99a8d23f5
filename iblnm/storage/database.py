"""Small SQLite files under ``metadata/`` that several processes write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from iblnm.errors import TransientError, UnreadableFileError

BUSY_TIMEOUT_S = 30.0


@contextmanager
def transaction(
    path: Path, bring_up_to_date: Callable[[sqlite3.Connection], None], *, fault: str
) -> Iterator[sqlite3.Connection]:
    """A transaction that has the file to itself: committed as a whole, or undone.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made at first use.
    bring_up_to_date : callable
        Makes the tables of a new file, and turns those of an earlier version into today's.
    fault : str
        What is damaged and what to do about it, with ``{error}``, for the message.

    Yields
    ------
    sqlite3.Connection

    Raises
    ------
    TransientError
        If another process keeps the file for longer than `BUSY_TIMEOUT_S`, or the disk is full.
    UnreadableFileError
        If the file is damaged.
    """
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


def schema_version(connection: sqlite3.Connection) -> int:
    """Version of the tables; 0 for a new file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def run_script(connection: sqlite3.Connection, script: str, version: int) -> None:
    """Run statements within the transaction, and note the version that they lead to."""
    for statement in script.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version}")
