"""Tables in PostgreSQL that many machines write: address from a file, kept connections."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iblnm.errors import IblnmError, SettingsError, TransientError

if TYPE_CHECKING:
    from sqlalchemy import Engine

VARIABLE = "IBLNM_PG_URL_FILE"
CONNECT_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 30
MAX_IDLE_S = 30.0
"""A connection that was unused for longer is asked whether it still works, before it is used."""
_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg2")
_EXAMPLE = "postgresql://user:password@host:5432/database"
_OTHERS = 0o077
# as the SQLite files are written: a power cut of the server may undo the last half second, it
# cannot damage anything, and a killed process loses nothing
_SESSION_OPTIONS = "-c synchronous_commit=off"
# Dagster now and then reads through a second one in the midst of what it does with the first
_KEPT = {False: 1, True: 2}
_ENGINES: dict[tuple[str, bool], Engine] = {}


def read_address(path: Path) -> str:
    """Address of a database, from a file that only its owner can read.

    Parameters
    ----------
    path : Path
        One line, as ``postgresql://user:password@host:5432/database``.

    Returns
    -------
    str

    Raises
    ------
    SettingsError
        If the file is not there, can be read by others, or holds no address; what it holds is in
        no message.
    """
    known_as = f"{path} ({VARIABLE})"
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise SettingsError(f"no such file: {known_as}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SettingsError(f"the file cannot be read: {known_as}: {reason}") from None
    if os.name == "posix" and mode & _OTHERS:
        raise SettingsError(
            f"{known_as} holds a password, and others may open it (mode {mode & 0o777:03o}): "
            f"chmod 600 {path}"
        )
    return _checked(text, known_as)


def _checked(text: str, known_as: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    # the words of the error would show the address
    if url is None or url.drivername not in _SCHEMES or not url.database or "\n" in text:
        raise SettingsError(f"{known_as} is to hold one line like {_EXAMPLE}")
    return url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


def kept_engine(address: str, *, autocommit: bool = False) -> Engine:
    """The engine of this process for an address: one connection that stays open, or two.

    More are opened while several threads ask, and closed after use. A fork gets its own.

    Parameters
    ----------
    address : str
        See `read_address`.
    autocommit : bool
        Whether each statement is a transaction of its own.

    Raises
    ------
    SettingsError
        If the driver is not installed.
    """
    found = _ENGINES.get((address, autocommit))
    if found is None:
        found = _ENGINES.setdefault((address, autocommit), _open(address, autocommit))
    return found


def reach(address: str) -> None:
    """See to it that the server answers.

    Raises
    ------
    TransientError
        If it does not; the message has its name, no password.
    """
    engine = kept_engine(address)
    from psycopg2 import Error

    try:
        engine.raw_connection().close()
    except Error as error:
        raise TransientError(_told(error)) from None


def close_engines() -> None:
    """Close the connections of this process."""
    while _ENGINES:
        _ENGINES.popitem()[1].dispose()


def _open(address: str, autocommit: bool) -> Engine:
    import sqlalchemy as db
    from sqlalchemy.engine import make_url

    given = make_url(address).query.get("options", "")
    kept = f"{given if isinstance(given, str) else ' '.join(given)} {_SESSION_OPTIONS}".strip()
    try:
        engine = db.create_engine(
            address,
            isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
            pool_size=_KEPT[autocommit],
            max_overflow=16,
            connect_args={
                "options": kept,
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": "iblnm",
            },
        )
    except ImportError:
        raise SettingsError(
            f"{VARIABLE} is set and the driver is not installed: pip install 'iblnm[postgres]'"
        ) from None
    db.event.listen(engine, "checkin", _note_use)
    db.event.listen(engine, "checkout", _ask_idle)
    return engine


def _note_use(connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _ask_idle(connection: Any, record: Any, proxy: Any) -> None:
    """Replace a connection that did not survive its idle time, as a restart of the server."""
    from psycopg2 import Error
    from sqlalchemy.exc import DisconnectionError

    if time.monotonic() - record.info.get("used", float("inf")) < MAX_IDLE_S:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not connection.autocommit:
            connection.rollback()
    except Error:
        raise DisconnectionError from None


def _forget_engines() -> None:
    """In a fork: the connections are those of the parent."""
    while _ENGINES:
        _ENGINES.popitem()[1].dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_engines)


class PostgresConnection:
    """Takes the statements of SQLite connections: question marks for values, rows as tuples."""

    def __init__(self, raw: Any, name: str):
        self._raw = raw
        self._name = name

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Run one statement.

        Returns
        -------
        cursor
            With rows, and their number (`rowcount`).
        """
        cursor = self._raw.cursor()
        if values:
            cursor.execute(_translated(statement), tuple(map(_plain, values)))
        else:
            cursor.execute(statement)
        return cursor

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of values, a hundred rows on each way."""
        from psycopg2.extras import execute_batch

        plain = [tuple(map(_plain, row)) for row in rows]
        with self._raw.cursor() as cursor:
            execute_batch(cursor, _translated(statement), plain)

    def version(self) -> int:
        """Version of the tables; 0 if there are none."""
        exists = self.execute("SELECT to_regclass(?)", [f"{self._name}.version"]).fetchone()[0]
        if exists is None:
            return 0
        return int(self.execute("SELECT number FROM version").fetchone()[0])

    def make_tables(self, script: str, number: int) -> None:
        """Run the statements that make tables in SQLite, and note their version.

        Text is ordered by its characters, as there, not by the rules of a language.
        """
        text = script.replace("WITHOUT ROWID", "").replace(" TEXT", ' TEXT COLLATE "C"')
        self.execute(text)
        self.execute("CREATE TABLE IF NOT EXISTS version (number INTEGER NOT NULL)")
        self.execute("DELETE FROM version")
        self.execute("INSERT INTO version (number) VALUES (?)", [number])


@dataclass(frozen=True)
class PostgresTables:
    """Tables that belong together: a schema of a database.

    Parameters
    ----------
    address_file : Path
        See `read_address`.
    name : str
        The schema.
    """

    address_file: Path
    name: str

    def exists(self) -> bool:
        """Always: the tables are made at first use, by whichever process comes first."""
        return True

    def remove(self) -> None:
        """Delete the tables, and what they hold."""
        with self._connection() as raw, raw.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {self.name} CASCADE")
        _READY.discard(self)

    @contextmanager
    def transaction(
        self, bring_up_to_date: Callable[[Any], None], *, alone: bool
    ) -> Iterator[PostgresConnection]:
        """A transaction: committed as a whole, or undone; see `iblnm.storage.database`.

        Parameters
        ----------
        bring_up_to_date : callable
            Makes the tables.
        alone : bool
            Whether no other such transaction may be going on.
        """
        with self._connection() as raw:
            connection = PostgresConnection(raw, self.name)
            if self not in _READY:
                with raw.cursor() as cursor:
                    cursor.execute(self._lock())
                    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {self.name}; {self._path()}")
                bring_up_to_date(connection)
            else:
                with raw.cursor() as cursor:
                    cursor.execute(f"{self._path()}; {self._lock()}" if alone else self._path())
            yield connection
        _READY.add(self)

    def _path(self) -> str:
        return f"SET LOCAL search_path TO {self.name}"

    def _lock(self) -> str:
        return (
            f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'; "
            f"SELECT pg_advisory_xact_lock(hashtext('iblnm {self.name}'))"
        )

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        address = read_address(self.address_file)
        reach(address)
        from psycopg2 import Error, InterfaceError, OperationalError

        raw = kept_engine(address).raw_connection()
        try:
            yield raw
            raw.commit()
        except (InterfaceError, OperationalError) as error:
            raw.invalidate()
            raise TransientError(_told(error)) from error
        except Error as error:
            raise IblnmError(_told(error)) from error
        finally:
            if raw.is_valid:
                raw.rollback()
            raw.close()


_READY: set[PostgresTables] = set()


def _told(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return f"PostgreSQL: {lines[0] if lines else type(error).__name__}"


def _translated(statement: str) -> str:
    return statement.replace("%", "%%").replace("?", "%s")


def _plain(value: Any) -> Any:
    """A value as PostgreSQL takes it: numbers of Python, text that it can hold."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return value
