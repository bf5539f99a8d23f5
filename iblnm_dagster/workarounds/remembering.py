"""What an event log asks its database again and again, remembered; for SQLite and PostgreSQL.

1. Opening an asset's checks asks the event log once per session whether its key exists
   (``DynamicPartitionsDefinition.has_partition_key``), which takes 8 to 29 s with 5,000
   sessions. This storage answers from a set of the keys that it has seen; a key that it has
   not seen is looked up as before, so keys added by another process are found at once. Keys
   are never deleted by iblnm; a deletion in this process empties the set, and a set older
   than `MAX_AGE_S` is read anew.
2. A page that shows an asset's checks asks twice at a time which sessions passed each of them,
   and every two seconds again; each answer reads every evaluation and builds one set per
   session, 1 s with 5,000 sessions. This storage keeps the answer until an event is written;
   the second question waits for the answer to the first.
3. Every evaluation of a check asks whether the table of checks exists, in SQLite with a new
   engine and connection, and every event of an asset whether the table of assets has a column.
   This storage asks until a table or column is there; none is dropped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as db
from dagster import AssetCheckKey, PartitionsDefinition
from dagster._core.storage.asset_check_state import AssetCheckState
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

MAX_AGE_S = 10.0
MAX_STATES_AGE_S = 60.0


class RemembersKeysAndStates(SqlEventLogStorage):
    """Event log that remembers partition keys and states of checks; goes before a storage."""

    def __init__(self, *args: Any, **kwargs: Any):
        self._keys: dict[str, tuple[float, set[str]]] = {}
        self._states: dict[frozenset, tuple[float, tuple, Mapping]] = {}
        self._states_lock = threading.Lock()
        self._tables: set[str] = set()
        super().__init__(*args, **kwargs)

    def has_table(self, table_name: str) -> bool:
        """Whether the table exists; see the module's docstring."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_col_on_connection(self, conn: db.Connection, column_name: str) -> bool:
        known = f"column {column_name}"
        if known not in self._tables and super()._has_asset_key_col_on_connection(
            conn, column_name
        ):
            self._tables.add(known)
        return known in self._tables

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
