"""The work-around for slow look-ups of partition keys and of outcomes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as db
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionResolvedStatus
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from iblnm_dagster.workarounds.sqlite_storage import SqliteStorage

KEYS = [f"{i:08d}" for i in range(200)]


def _count_queries(storage, monkeypatch, keys):
    asked = []
    original = type(storage).index_connection

    def counting(self):
        asked.append(1)
        return original(self)

    monkeypatch.setattr(type(storage), "index_connection", counting)
    assert all(storage.has_dynamic_partition("eid", key) for key in keys)
    monkeypatch.undo()
    return len(asked)


@pytest.mark.slow
def test_looking_up_all_keys_asks_the_database_once(tmp_path, monkeypatch):
    storage = SqliteStorage(str(tmp_path)).event_log_storage
    storage.add_dynamic_partitions("eid", KEYS)
    assert _count_queries(storage, monkeypatch, KEYS) == 1


@pytest.mark.slow
def test_stock_dagster_still_asks_once_per_key(tmp_path, monkeypatch):
    """When this fails, Dagster looks keys up in bulk: drop the work-around."""
    storage = SqliteEventLogStorage(str(tmp_path))
    storage.add_dynamic_partitions("eid", KEYS)
    assert _count_queries(storage, monkeypatch, KEYS) >= len(KEYS)


@pytest.mark.slow
def test_keys_of_another_process_are_found_at_once_and_deleted_ones_are_not(tmp_path):
    mine = SqliteStorage(str(tmp_path)).event_log_storage
    other = SqliteStorage(str(tmp_path)).event_log_storage
    mine.add_dynamic_partitions("eid", ["a"])
    assert not mine.has_dynamic_partition("eid", "b")
    other.add_dynamic_partitions("eid", ["b"])
    assert mine.has_dynamic_partition("eid", "b")
    mine.delete_dynamic_partition("eid", "a")
    assert not mine.has_dynamic_partition("eid", "a")


@pytest.mark.slow
def test_an_instance_runs_on_the_storage(tmp_path):
    (tmp_path / "dagster.yaml").write_text(
        "storage:\n  custom:\n"
        "    module: iblnm_dagster.workarounds.sqlite_storage\n"
        "    class: SqliteStorage\n"
        f"    config: {{base_dir: {tmp_path / 'history'}}}\n"
        "telemetry: {enabled: false}\n"
    )
    partitions = dg.DynamicPartitionsDefinition(name="eid")

    @dg.asset(partitions_def=partitions)
    def thing():
        return 1

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.add_dynamic_partitions("eid", ["a"])
        result = dg.materialize([thing], partition_key="a", instance=instance)
        assert result.success
        assert instance.get_materialized_partitions(thing.key) == {"a"}
        with dg.DagsterInstance.from_ref(instance.get_ref()) as again:
            assert again.get_dynamic_partitions("eid") == ["a"]


PASSED, FAILED = (
    AssetCheckExecutionResolvedStatus.SUCCEEDED,
    AssetCheckExecutionResolvedStatus.FAILED,
)


@pytest.fixture
def checked(tmp_path):
    """An instance on this storage, and a function that evaluates a check of a session."""
    partitions = dg.DynamicPartitionsDefinition(name="eid")
    outcomes = {}

    @dg.asset(partitions_def=partitions)
    def thing():
        return 1

    @dg.asset_check(asset=thing, partitions_def=partitions)
    def good(context):
        return dg.AssetCheckResult(passed=outcomes[context.partition_key])

    (tmp_path / "dagster.yaml").write_text(
        "storage:\n  custom:\n"
        "    module: iblnm_dagster.workarounds.sqlite_storage\n"
        "    class: SqliteStorage\n"
        f"    config: {{base_dir: {tmp_path / 'history'}}}\n"
        "telemetry: {enabled: false}\n"
    )
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.add_dynamic_partitions("eid", ["a", "b"])
        with dg.DagsterInstance.from_ref(instance.get_ref()) as other:

            def evaluate(eid, passed):
                outcomes[eid] = passed
                result = dg.materialize([thing, good], partition_key=eid, instance=other)
                assert result.success

            yield instance, evaluate, [(good.check_key, partitions)]


def _sessions(instance, keys, status):
    with partition_loading_context(dynamic_partitions_store=instance):
        state = instance.event_log_storage.get_asset_check_state(keys)[keys[0][0]]
    subset = state.subsets.get(status)
    return set(subset.subset_value.get_partition_keys()) if subset else set()


def _count_readings(storage, monkeypatch, ask):
    asked = []
    original = type(storage).get_asset_check_partition_info

    def counting(self, *args, **kwargs):
        asked.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(type(storage), "get_asset_check_partition_info", counting)
    for _ in range(3):
        ask()
    monkeypatch.undo()
    return len(asked)


@pytest.mark.slow
def test_outcomes_are_read_once_until_another_process_writes(checked, monkeypatch):
    instance, evaluate, keys = checked
    evaluate("a", True)
    assert _sessions(instance, keys, PASSED) == {"a"}
    storage = instance.event_log_storage
    assert not _count_readings(storage, monkeypatch, lambda: storage.get_asset_check_state(keys))
    evaluate("b", False)
    assert _sessions(instance, keys, FAILED) == {"b"}
    evaluate("b", True)
    assert _sessions(instance, keys, PASSED) == {"a", "b"}
    assert _sessions(instance, keys, FAILED) == set()


@pytest.mark.slow
def test_stock_dagster_still_reads_all_outcomes_at_each_question(checked, monkeypatch):
    """When this fails, Dagster keeps the outcomes itself: drop that part of the work-around."""
    instance, evaluate, keys = checked
    evaluate("a", True)
    storage = instance.event_log_storage
    ask = partial(SqliteEventLogStorage.get_asset_check_state, storage, keys)
    with partition_loading_context(dynamic_partitions_store=instance):
        assert _count_readings(storage, monkeypatch, ask) == 3


def _engines_of_a_question(storage, monkeypatch):
    from dagster._core.storage.event_log.sqlite import sqlite_event_log

    assert storage.supports_asset_checks
    opened = []
    stock = sqlite_event_log.create_engine

    def counting(*args, **options):
        opened.append(args)
        return stock(*args, **options)

    monkeypatch.setattr(sqlite_event_log, "create_engine", counting)
    assert storage.supports_asset_checks
    assert not storage.has_table("no_such_table")
    monkeypatch.undo()
    return len(opened)


def test_a_table_that_is_there_is_asked_for_once(tmp_path, monkeypatch):
    storage = SqliteStorage(str(tmp_path)).event_log_storage
    stock = SqliteEventLogStorage(str(tmp_path / "stock"))
    # when the second is no more than the first, Dagster remembers too: drop that part
    assert _engines_of_a_question(storage, monkeypatch) == 1
    assert _engines_of_a_question(stock, monkeypatch) == 2


def _made_by_migration(storage, monkeypatch, run_ids):
    """How many databases of runs are made by the steps of the migration."""
    made = []
    original = SqliteEventLogStorage._initdb
    monkeypatch.setattr(
        SqliteEventLogStorage,
        "_initdb",
        lambda *args, **kwargs: made.append(1) or original(*args, **kwargs),
    )
    for run_id in run_ids:
        with storage.run_connection(run_id):
            pass
    monkeypatch.undo()
    return len(made)


def _content(path):
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        version = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        (n_events,) = connection.execute("SELECT count(*) FROM event_logs").fetchone()
    return tables, version, mode, n_events, path.stat().st_mode


def test_the_database_of_a_run_is_a_copy_of_an_empty_one(tmp_path, monkeypatch):
    storage = SqliteStorage(str(tmp_path)).event_log_storage
    runs = ["first", "second", "third"]
    assert _made_by_migration(storage, monkeypatch, runs) == 1
    first, *others = (_content(Path(storage.path_for_shard(run))) for run in runs)
    assert first[2:4] == ("wal", 0)
    assert others == [first, first]
    assert not list(Path(storage.path_for_shard("x")).parent.glob(".*"))


def test_a_run_whose_database_is_there_keeps_its_events(tmp_path):
    mine = SqliteStorage(str(tmp_path)).event_log_storage
    other = SqliteStorage(str(tmp_path)).event_log_storage
    insert = "INSERT INTO event_logs (run_id, event) VALUES ('b', '{}')"
    with mine.run_connection("a"):
        pass
    with other.run_connection("b") as connection:
        connection.exec_driver_sql(insert)
    with mine.run_connection("b") as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM event_logs").scalar() == 1
    # nor is a database with events the pattern of others
    third = SqliteStorage(str(tmp_path)).event_log_storage
    for run in ("b", "c"):
        with third.run_connection(run):
            pass
    assert _content(Path(third.path_for_shard("c")))[3] == 0


@pytest.mark.slow
def test_stock_dagster_still_migrates_every_run(tmp_path, monkeypatch):
    """When this fails, Dagster makes the databases of runs at once: drop the work-around."""
    storage = SqliteEventLogStorage(str(tmp_path))
    assert _made_by_migration(storage, monkeypatch, ["first", "second"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "expected"), [(SqliteEventLogStorage, 2), (SqliteStorage, 1)], ids=["stock", "ours"]
)
def test_columns_are_asked_for_at_every_event_by_stock_dagster_only(tmp_path, kind, expected):
    """When the first fails, Dagster remembers columns: drop the work-around."""
    storage = kind(str(tmp_path))
    storage = getattr(storage, "event_log_storage", storage)
    asked = []
    with storage.index_connection() as connection:
        listen = lambda *given: asked.append("PRAGMA" in given[2] and "table_" in given[2])  # noqa: E731
        db.event.listen(connection, "before_cursor_execute", listen)
        for _ in range(2):
            assert storage._has_asset_key_index_cols_on_connection(connection)
    assert sum(asked) == expected
