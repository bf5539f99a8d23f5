"""Work-around for slow pages in Dagster 1.13: remember which partition keys exist.

Opening an asset's checks asks the event log once per session whether its key exists
(``DynamicPartitionsDefinition.has_partition_key``), which takes 8 to 29 s with 5,000
sessions. This storage answers from a set of the keys that it has seen; a key that it has not
seen is looked up as before, so keys added by another process are found at once. Keys are
never deleted by iblnm; a deletion in this process empties the set, and a set older than
`MAX_AGE_S` is read anew.

``tests/iblnm_dagster/test_partition_lookup.py`` says when Dagster no longer needs it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, _event_logs_directory

MAX_AGE_S = 10.0


class RememberingEventLogStorage(SqliteEventLogStorage):
    """SQLite event log that remembers the keys of dynamic partitions."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._keys: dict[str, tuple[float, set[str]]] = {}

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

    def _remembered(self, name: str) -> set[str]:
        read_at, keys = self._keys.get(name, (float("-inf"), set()))
        if time.monotonic() - read_at > MAX_AGE_S:
            keys = set(self.get_dynamic_partitions(name))
            self._keys[name] = (time.monotonic(), keys)
        return keys


class SqliteStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage with the remembering event log."""

    def __init__(self, base_dir: str, inst_data: Any = None):
        super().__init__(base_dir, inst_data)
        self._event_log_storage = RememberingEventLogStorage(_event_logs_directory(base_dir))

    @classmethod
    def from_local(cls, base_dir: str, inst_data: Any = None) -> SqliteStorage:
        """Open the storage in a folder."""
        return cls(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> SqliteStorage:
        """Open the storage that ``dagster.yaml`` describes."""
        return cls(inst_data=inst_data, **config_value)
