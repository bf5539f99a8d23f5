"""Work-around for five slow habits of SQLite storage in Dagster 1.13.

1. to 3. What the event log asks again and again: see `iblnm_dagster.workarounds.remembering`.
4. Every event opens a new engine and a new connection, which compiles each statement anew,
   and, closing the last connection, folds the write-ahead log back into the database. This
   storage keeps an engine with one connection per database, and leaves it to the operating
   system when the log reaches the disk (``synchronous=NORMAL``): a killed process loses
   nothing, a power cut at most the last events.
5. The database of every run is made by the steps of a migration, 0.1 CPU-s. This storage makes
   the first one so, and the others as copies of that, while it was empty.

``tests/iblnm_dagster/workarounds/test_sqlite_storage.py`` says when Dagster no longer needs it.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as db
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
)
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import (
    DagsterSqliteStorage,
    _event_logs_directory,
    _runs_directory,
)
from sqlalchemy.pool import QueuePool

from iblnm_dagster.workarounds.remembering import RemembersKeysAndStates

MAX_OPEN_DATABASES = 8
MAX_RUN_OPEN_S = 0.5


class _Engines:
    """The engines of the databases used last.

    The connection to a shared database stays open. That to the database of one run is closed
    after `MAX_RUN_OPEN_S`: the page watches that file, which changes when a connection closes.
    """

    def __init__(self) -> None:
        self._engines: OrderedDict[str, db.Engine] = OrderedDict()
        self._opened: dict[str, float] = {}
        self._lock = threading.Lock()

    def get(self, address: str, *, keep_open: bool) -> db.Engine:
        with self._lock:
            self._close_runs()
            engine = self._engines.pop(address, None) or self._open(address)
            self._engines[address] = engine
            if not keep_open:
                self._opened.setdefault(address, time.monotonic())
            while len(self._engines) > MAX_OPEN_DATABASES:
                self._engines.popitem(last=False)[1].dispose()
            return engine

    def close(self) -> None:
        with self._lock:
            while self._engines:
                self._engines.popitem()[1].dispose()
            self._opened.clear()

    def _close_runs(self) -> None:
        """Close connections that are open for long; one that is in use closes when it is done."""
        now = time.monotonic()
        for address in [a for a, since in self._opened.items() if now - since > MAX_RUN_OPEN_S]:
            del self._opened[address]
            if address in self._engines:
                self._engines[address].dispose()

    @staticmethod
    def _open(address: str) -> db.Engine:
        engine = db.create_engine(
            address,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=32,
        )

        @db.event.listens_for(engine, "connect")
        def relax(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA synchronous=NORMAL")

        return engine


class EventLogStorage(RemembersKeysAndStates, SqliteEventLogStorage):
    """SQLite event log that remembers partition keys and keeps its connections."""

    def __init__(self, *args: Any, **kwargs: Any):
        self._engines = _Engines()
        self._empty_run: tuple[bytes, int] | None = None
        super().__init__(*args, **kwargs)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[db.Connection]:
        with self._db_lock:
            engine = self._engines.get(
                self.conn_string_for_shard(shard), keep_open=shard == INDEX_SHARD_NAME
            )
            if shard not in self._initialized_dbs:
                self._make_tables(shard, engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _make_tables(self, shard: str, engine: db.Engine) -> None:
        path = Path(self.path_for_shard(shard))
        is_new_run = shard != INDEX_SHARD_NAME and not path.exists()
        if is_new_run and self._empty_run is not None and _put_new(path, *self._empty_run):
            return
        self._initdb(engine)
        if is_new_run and self._empty_run is None:
            with closing(sqlite3.connect(path)) as connection:
                (n_events,) = connection.execute("SELECT count(*) FROM event_logs").fetchone()
                if not n_events:
                    self._empty_run = connection.serialize(), path.stat().st_mode

    def dispose(self) -> None:
        """Close all connections."""
        self._engines.close()
        super().dispose()


def _put_new(path: Path, content: bytes, mode: int) -> bool:
    """Write a file that is not there, whole; False where another process was faster."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(mode)
        with suppress(OSError):  # it is there, or the disk has no links
            path.hardlink_to(temporary)
            return True
        return False
    finally:
        temporary.unlink()


class RunStorage(SqliteRunStorage):
    """SQLite run storage that keeps its connection."""

    def __init__(self, conn_string: str, inst_data: Any = None):
        self._engines = _Engines()
        super().__init__(conn_string, inst_data)

    @contextmanager
    def connect(self) -> Iterator[db.Connection]:
        """A connection in a transaction."""
        with self._engines.get(self._conn_string, keep_open=True).begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close the connection."""
        self._engines.close()
        super().dispose()


class SqliteStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage with the two classes above."""

    def __init__(self, base_dir: str, inst_data: Any = None):
        super().__init__(base_dir, inst_data)
        self._run_storage = RunStorage.from_local(_runs_directory(base_dir))
        self._event_log_storage = EventLogStorage(_event_logs_directory(base_dir))

    @classmethod
    def from_local(cls, base_dir: str, inst_data: Any = None) -> SqliteStorage:
        """Open the storage in a folder."""
        return cls(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> SqliteStorage:
        """Open the storage that ``dagster.yaml`` describes."""
        return cls(inst_data=inst_data, base_dir=str(folder_of_root(config_value)))


def folder_of_root(config_value: Mapping[str, Any]) -> Path:
    """The folder of a storage that ``dagster.yaml`` describes.

    One that is not absolute is of the root of the settings: the history of a root is the same
    for `iblnm` and for plain `dagster`, wherever that is started.
    """
    from iblnm.config import get_settings

    folder = Path(config_value["base_dir"])
    return folder if folder.is_absolute() else get_settings().root.resolve() / folder
