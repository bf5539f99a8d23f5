"""Small SQLite files under ``metadata/`` that several processes write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from iblnm.errors import TransientError, UnreadableFileError

BUSY_TIMEOUT_S = 60.0


@contextmanager
def transaction(path: Path, schema: str, *, remedy: str) -> Iterator[sqlite3.Connection]:
    """A transaction that has the file to itself: committed as a whole, or undone.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made at first use.
    schema : str
        Statements that make the tables of a new file.
    remedy : str
        What to do if the file is damaged, for the message.

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
            if not connection.execute("PRAGMA user_version").fetchone()[0]:
                connection.executescript(f"BEGIN;{schema}PRAGMA user_version = 1;COMMIT")
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                yield connection
    except sqlite3.OperationalError as error:
        raise TransientError(f"{path.name}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise UnreadableFileError(f"the file is damaged ({error}): {remedy}", path=path) from error
