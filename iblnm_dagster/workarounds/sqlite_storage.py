"""Work-around for three slow habits of SQLite storage in Dagster 1.13.

1. Opening an asset's checks asks the event log once per session whether its key exists
   (``DynamicPartitionsDefinition.has_partition_key``), which takes 8 to 29 s with 5,000
   sessions. This storage answers from a set of the keys that it has seen; a key that it has
   not seen is looked up as before, so keys added by another process are found at once. Keys
   are never deleted by iblnm; a deletion in this process empties the set, and a set older
   than `MAX_AGE_S` is read anew.
2. Every event opens a new engine and a new connection, which compiles each statement anew,
   and, closing the last connection, folds the write-ahead log back into the database. This
   storage keeps an engine with one connection per database, and leaves it to the operating
   system when the log reaches the disk (``synchronous=NORMAL``): a killed process loses
   nothing, a power cut at most the last events.
3. A page that shows an asset's checks asks twice at a time which sessions passed each of them,
   and every two seconds again; each answer reads every evaluation and builds one set per
   session, 1 s with 5,000 sessions. This storage keeps the answer until an event is written;
   the second question waits for the answer to the first.

``tests/iblnm_dagster/workarounds/test_sqlite_storage.py`` says when Dagster no longer needs it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as db
from dagster import AssetCheckKey, PartitionsDefinition
from dagster._core.storage.asset_check_state import AssetCheckState
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
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
from sqlalchemy.pool import NullPool, QueuePool

MAX_AGE_S = 10.0
MAX_STATES_AGE_S = 60.0
MAX_OPEN_DATABASES = 8


class _Engines:
    """The engines of the databases used last.

    The connection to a shared database stays open. Those to the database of one run are closed
    each time, as in Dagster: the page watches that file, which changes when they close.
    """

    def __init__(self) -> None:
        self._engines: OrderedDict[str, db.Engine] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, address: str, *, keep_open: bool) -> db.Engine:
        with self._lock:
            engine = self._engines.pop(address, None) or self._open(address, keep_open)
            self._engines[address] = engine
            while len(self._engines) > MAX_OPEN_DATABASES:
                self._engines.popitem(last=False)[1].dispose()
            return engine

    def close(self) -> None:
        with self._lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    @staticmethod
    def _open(address: str, keep_open: bool) -> db.Engine:
        pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 32}
        engine = db.create_engine(
            address,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
            **(pool if keep_open else {"poolclass": NullPool}),
        )

        @db.event.listens_for(engine, "connect")
        def relax(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA synchronous=NORMAL")

        return engine


class EventLogStorage(SqliteEventLogStorage):
    """SQLite event log that remembers partition keys and keeps its connections."""

    def __init__(self, *args: Any, **kwargs: Any):
        self._keys: dict[str, tuple[float, set[str]]] = {}
        self._engines = _Engines()
        self._states: dict[frozenset, tuple[float, tuple, Mapping]] = {}
        self._states_lock = threading.Lock()
        super().__init__(*args, **kwargs)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[db.Connection]:
        with self._db_lock:
            engine = self._engines.get(
                self.conn_string_for_shard(shard), keep_open=shard == INDEX_SHARD_NAME
            )
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def dispose(self) -> None:
        """Close all connections."""
        self._engines.close()
        super().dispose()

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Whether the key exists; see the module's docstring."""
        return partition_key in self._remembered(partitions_def_name) or (
            super().has_dynamic_partition(partitions_def_name, partition_key)
        )

    def add_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> None:
        """Add keys and forget what was remembered."""
        super().add_dynamic_partitions(partitions_def_name, partition_keys)
        self._keys.pop(partitions_def_name, None)

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete a key and forget what was remembered."""
        super().delete_dynamic_partition(partitions_def_name, partition_key)
        self._keys.pop(partitions_def_name, None)

    def get_asset_check_state(
        self, keys: Sequence[tuple[AssetCheckKey, PartitionsDefinition | None]]
    ) -> Mapping[AssetCheckKey, AssetCheckState]:
        """Which sessions passed and failed each check; see the module's docstring."""
        checks = frozenset(key for key, _ in keys)
        with self._states_lock:
            written = self._last_written()
            read_at, known, states = self._states.get(checks, (float("-inf"), None, {}))
            if known == written and time.monotonic() - read_at < MAX_STATES_AGE_S:
                return states
            states = super().get_asset_check_state(keys)
            # the end of a run changes the state of its checks and writes no event of an asset
            if any(state.in_progress_runs for state in states.values()):
                self._states.pop(checks, None)
            else:
                self._states[checks] = (time.monotonic(), written, states)
            return states

    def _last_written(self) -> tuple[int | None, int | None]:
        with self.index_connection() as connection:
            return tuple(
                connection.execute(db.select(db.func.max(table.c.id))).scalar()
                for table in (SqlEventLogStorageTable, AssetCheckExecutionsTable)
            )

    def _remembered(self, name: str) -> set[str]:
        read_at, keys = self._keys.get(name, (float("-inf"), set()))
        if time.monotonic() - read_at > MAX_AGE_S:
            keys = set(self.get_dynamic_partitions(name))
            self._keys[name] = (time.monotonic(), keys)
        return keys


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
        return cls(inst_data=inst_data, **config_value)
