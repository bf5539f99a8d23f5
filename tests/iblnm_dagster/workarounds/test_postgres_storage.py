"""History in PostgreSQL: the work-around for slow habits, and that the address stays secret."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import dagster as dg
import pytest
import sqlalchemy as db
from dagster import DagsterInstance
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionResolvedStatus

from iblnm.config import Settings, get_settings
from iblnm.errors import SettingsError
from iblnm.storage.postgres import kept_engine, read_address
from iblnm_dagster.instance import open_instance
from iblnm_dagster.workarounds.sqlite_storage import EventLogStorage as SqliteEventLog

pytest.importorskip("dagster_postgres", reason="the extra postgres is not installed")

KEYS = [f"{i:08d}" for i in range(100)]
PARTITIONS = dg.DynamicPartitionsDefinition(name="eid")
PASSED, FAILED = (
    AssetCheckExecutionResolvedStatus.SUCCEEDED,
    AssetCheckExecutionResolvedStatus.FAILED,
)


@pytest.fixture(scope="module")
def address_file(postgres_server, tmp_path_factory):
    return postgres_server.new_database(tmp_path_factory.mktemp("history"))


@pytest.fixture
def settings(address_file, tmp_path):
    root = tmp_path / "root"
    return Settings(root=root, one_cache_dir=tmp_path / "alf", pg_url_file=address_file)


@pytest.fixture
def instance(settings):
    with open_instance(settings) as instance:
        yield instance


@pytest.fixture
def statements():
    """Function that counts connections that are opened, and statements, on an engine."""

    def count(engine):
        seen = {"connections": 0, "statements": 0}

        def connected(*_):
            seen["connections"] += 1

        def executed(*_):
            seen["statements"] += 1

        db.event.listen(engine, "connect", connected)
        db.event.listen(engine, "before_cursor_execute", executed)
        return seen

    return count


def test_looking_up_all_keys_asks_the_database_once(instance, statements):
    from dagster_postgres import PostgresEventLogStorage

    storage = instance.event_log_storage
    instance.add_dynamic_partitions("eid", KEYS)
    seen = statements(storage._engine)
    assert all(storage.has_dynamic_partition("eid", key) for key in KEYS)
    assert seen["connections"] == 0 and seen["statements"] <= 2
    stock = PostgresEventLogStorage(storage.postgres_url, should_autocreate_tables=False)
    seen = statements(stock._engine)
    assert all(stock.has_dynamic_partition("eid", key) for key in KEYS[:10])
    # when this fails, Dagster keeps its connection or looks keys up in bulk: drop what it does
    assert seen["connections"] >= 10 and seen["statements"] >= 10


def test_keys_of_another_process_are_found_at_once_and_deleted_ones_are_not(settings, instance):
    storage = instance.event_log_storage
    with open_instance(settings) as other:
        assert not storage.has_dynamic_partition("eid", "new")
        other.add_dynamic_partitions("eid", ["new"])
        assert storage.has_dynamic_partition("eid", "new")
    instance.delete_dynamic_partition("eid", "new")
    assert not storage.has_dynamic_partition("eid", "new")


@dg.asset(partitions_def=PARTITIONS)
def thing():
    return 1


def _check(passed):
    @dg.asset_check(asset=thing, partitions_def=PARTITIONS)
    def good(context):
        return dg.AssetCheckResult(passed=passed[context.partition_key])

    return good


def test_runs_keep_their_connection_and_their_outcomes_are_seen_by_others(
    settings, instance, statements, postgres_server, address_file
):
    passed = {"a": True, "b": False}
    good = _check(passed)
    instance.add_dynamic_partitions("eid", list(passed))
    engine = instance.event_log_storage._engine
    assert engine is instance.run_storage._engine is instance.schedule_storage._engine
    seen = statements(engine)
    with DagsterInstance.from_ref(instance.get_ref()) as other:
        for eid in passed:
            assert dg.materialize([thing, good], partition_key=eid, instance=other).success
        assert instance.get_materialized_partitions(thing.key) == {"a", "b"}
        storage = instance.event_log_storage
        keys = [(good.check_key, PARTITIONS)]
        assert _sessions(instance, keys, PASSED) == {"a"}
        assert _sessions(instance, keys, FAILED) == {"b"}
        known = storage.get_asset_check_state(keys)
        assert storage.get_asset_check_state(keys) is known
        passed["b"] = True
        assert dg.materialize([thing, good], partition_key="b", instance=other).success
        assert _sessions(instance, keys, PASSED) == {"a", "b"}
    assert seen["connections"] <= 1 and seen["statements"] > 50  # one within another
    assert postgres_server.n_connections(address_file.stem) <= 4


def _sessions(instance, keys, status):
    with partition_loading_context(dynamic_partitions_store=instance):
        state = instance.event_log_storage.get_asset_check_state(keys)[keys[0][0]]
    subset = state.subsets.get(status)
    return set(subset.subset_value.get_partition_keys()) if subset else set()


def test_nothing_that_is_written_has_the_password(settings, instance, postgres_server):
    secret = postgres_server.password
    engine = kept_engine(read_address(settings.pg_url_file))
    texts = [
        *(path.read_text() for path in settings.root.rglob("*.yaml")),
        json.dumps(instance.info_dict(), default=str),
        str(instance.get_ref()),
        repr(engine),
    ]
    assert any("IBLNM_PG_URL_FILE" in text for text in texts)
    for text in texts:
        assert secret not in text
        assert secret[:9] not in text  # also not as an address quotes it


def test_plain_dagster_opens_the_same_history(settings, instance, monkeypatch):
    """`dagster` reads dagster.yaml, which is the same with and without PostgreSQL."""
    instance.add_dynamic_partitions("eid", ["plain"])
    monkeypatch.setenv("IBLNM_ROOT", str(settings.root))
    monkeypatch.setenv("IBLNM_PG_URL_FILE", str(settings.pg_url_file))
    get_settings.cache_clear()
    with DagsterInstance.from_config(str(settings.root)) as plain:
        assert "plain" in plain.get_dynamic_partitions("eid")
    monkeypatch.delenv("IBLNM_PG_URL_FILE")
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match="IBLNM_PG_URL_FILE is not set"):
        DagsterInstance.from_config(str(settings.root))
    monkeypatch.setenv("IBLNM_ROOT", str(settings.root / "plain"))
    get_settings.cache_clear()
    with DagsterInstance.from_config(str(settings.root)) as plain:
        assert isinstance(plain.event_log_storage, SqliteEventLog)
    get_settings.cache_clear()
    elsewhere = {"pg_url_file": None, "root": settings.root / "other"}
    without = settings.model_copy(update=elsewhere)
    monkeypatch.setenv("IBLNM_PG_URL_FILE", str(settings.pg_url_file))
    with open_instance(without) as other:  # these settings, not those of the environment
        assert isinstance(other.event_log_storage, SqliteEventLog)


def test_a_second_history_on_one_root_is_refused(settings, instance, postgres_server, tmp_path):
    without = settings.model_copy(update={"pg_url_file": None})
    with pytest.raises(SettingsError, match="IBLNM_PG_URL_FILE is not set"):
        open_instance(without)
    other = settings.model_copy(update={"pg_url_file": postgres_server.new_database(tmp_path)})
    with pytest.raises(SettingsError, match="address of another") as caught:
        open_instance(other)
    assert postgres_server.password not in str(caught.value)
    open_instance(settings).dispose()  # that of the root is as it was
    with open_instance(without.model_copy(update={"root": tmp_path / "plain"})) as plain:
        assert plain.get_runs() == []
    moved = other.model_copy(update={"root": tmp_path / "plain"})
    open_instance(moved).dispose()  # from SQLite to a database there is a way
    open_instance(moved).dispose()


def test_many_that_open_an_empty_database_at_once_make_its_tables_once(
    postgres_server, tmp_path, monkeypatch
):
    from iblnm_dagster.workarounds import postgres_storage

    path = postgres_server.new_database(tmp_path)
    monkeypatch.setattr(postgres_storage, "_WITH_TABLES", set())
    opened = []

    def open_one():
        opened.append(postgres_storage.PostgresStorage(path))

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [storage.event_log_storage.get_dynamic_partitions("eid") for storage in opened] == (
        [[]] * 4
    )
    postgres_storage.delete_history(path)
    left = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert postgres_server.query(left, path.stem) == []


def test_a_file_that_others_can_read_is_refused_in_one_line(settings, address_file):
    address_file.chmod(0o644)
    try:
        with pytest.raises(SettingsError, match="chmod 600"):
            open_instance(settings)
    finally:
        address_file.chmod(0o600)


def test_without_the_extra_iblnm_says_what_to_install(settings):
    code = (
        "import sys; sys.modules['psycopg2'] = None\n"
        "from pathlib import Path\n"
        "from iblnm.errors import SettingsError\n"
        "from iblnm.storage.postgres import PostgresTables\n"
        "try:\n"
        "    PostgresTables(Path(sys.argv[1]), 'x').remove()\n"
        "except SettingsError as error:\n"
        "    print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(settings.pg_url_file)], capture_output=True, text=True
    )
    assert "pip install 'iblnm[postgres]'" in told.stdout, told.stderr
