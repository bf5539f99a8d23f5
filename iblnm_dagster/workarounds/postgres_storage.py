"""Work-around for slow habits of PostgreSQL storage in Dagster 1.13 (dagster-postgres 0.29).

1. and 2. What the event log asks again and again: see `iblnm_dagster.workarounds.remembering`.
3. Every statement opens a new connection, which costs more than the statement. The three
   storages share the connection that this process keeps (`iblnm.storage.postgres`).

``tests/iblnm_dagster/workarounds/test_postgres_storage.py`` says when Dagster no longer needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as db
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)

from iblnm.storage.postgres import kept_engine, reach, read_address
from iblnm_dagster.workarounds.remembering import RemembersKeysAndStates

_LOCK = db.text("SELECT pg_advisory_xact_lock(hashtext('iblnm history'))")
_WITH_TABLES: set[str] = set()


class _Kept:
    """A storage whose statements use the connection that this process keeps; goes first.

    The page's server takes engines of its own, in which statements have a time limit
    (``optimize_for_webserver``); those keep their connections too.
    """

    def __init__(self, address: str, *, make_tables: bool):
        super().__init__(address, should_autocreate_tables=make_tables)  # type: ignore[call-arg]
        self._engine = kept_engine(address, autocommit=True)


class EventLogStorage(_Kept, RemembersKeysAndStates, PostgresEventLogStorage):
    """PostgreSQL event log that remembers partition keys and keeps its connection."""


class RunStorage(_Kept, PostgresRunStorage):
    """PostgreSQL run storage that keeps its connection."""


class ScheduleStorage(_Kept, PostgresScheduleStorage):
    """PostgreSQL storage of schedules and sensors that keeps its connection."""


class PostgresStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage with the three classes above.

    Parameters
    ----------
    address_file : Path
        See `iblnm.storage.postgres.read_address`.
    inst_data : optional
        Configuration that it was made from; the address is not part of it.

    Raises
    ------
    SettingsError
        If the file holds no address, or others can read it.
    TransientError
        If the server cannot be reached.
    """

    def __init__(self, address_file: Path, inst_data: Any = None):
        address = read_address(address_file)
        reach(address)
        self.postgres_url = address
        self.should_autocreate_tables = True
        self._inst_data = inst_data
        options = {"make_tables": address not in _WITH_TABLES}
        # of many processes that begin at the same time, one makes the tables
        with kept_engine(address).begin() as connection:
            if options["make_tables"]:
                connection.execute(_LOCK)
            self._run_storage = RunStorage(address, **options)
            self._event_log_storage = EventLogStorage(address, **options)
            self._schedule_storage = ScheduleStorage(address, **options)
        _WITH_TABLES.add(address)
        super(DagsterPostgresStorage, self).__init__()


def delete_history(address_file: Path) -> None:
    """Delete Dagster's tables, and what they hold."""
    address = read_address(address_file)
    reach(address)
    with kept_engine(address).begin() as connection:
        connection.execute(_LOCK)
        for tables in (
            SqlEventLogStorageMetadata,
            RunStorageSqlMetadata,
            ScheduleStorageSqlMetadata,
        ):
            tables.drop_all(connection)
        connection.execute(db.text("DROP TABLE IF EXISTS alembic_version"))
    _WITH_TABLES.discard(address)
