"""The instance of a root, and what an earlier version has left there."""

from __future__ import annotations

import hashlib

import pytest
import yaml
from dagster import DagsterInstance

from iblnm.config import Settings, get_settings
from iblnm_dagster import instance as instances
from iblnm_dagster.instance import open_instance
from iblnm_dagster.launcher import ForkRunLauncher
from iblnm_dagster.workarounds.sqlite_storage import EventLogStorage


@pytest.mark.slow
def test_a_configuration_that_names_a_moved_module_is_followed(tmp_path):
    settings = Settings(root=tmp_path, one_cache_dir=tmp_path / "alf")
    open_instance(settings).dispose()
    path = tmp_path / "dagster.yaml"
    shipped = path.read_text()
    own = shipped.replace("max_concurrent_runs: 3", "max_concurrent_runs: 5").replace(
        "iblnm_dagster.workarounds.sqlite_storage", "iblnm_dagster.storage_workaround"
    )
    path.write_text(own)
    with open_instance(settings) as instance:
        assert isinstance(instance.event_log_storage, EventLogStorage)
    found = yaml.safe_load(path.read_text())
    assert found["storage"] == yaml.safe_load(shipped)["storage"]
    assert found["concurrency"]["runs"]["max_concurrent_runs"] == 5


@pytest.mark.slow
def test_the_configuration_of_an_earlier_version_gets_what_is_new_in_it(tmp_path, monkeypatch):
    settings = Settings(root=tmp_path, one_cache_dir=tmp_path / "alf")
    open_instance(settings).dispose()
    path = tmp_path / "dagster.yaml"
    shipped = path.read_text()
    earlier = shipped.replace("dequeue_interval_seconds: 1", "dequeue_interval_seconds: 5")
    path.write_text(earlier)
    open_instance(settings).dispose()
    assert path.read_text() == earlier
    digest = hashlib.sha256(earlier.encode()).hexdigest()
    monkeypatch.setattr(instances, "_EARLIER", {digest})
    with open_instance(settings) as instance:
        assert isinstance(instance.run_launcher, ForkRunLauncher)
        assert instance.run_coordinator.dequeue_interval_seconds == 1
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 3
    assert path.read_text() == shipped


@pytest.mark.slow
def test_the_history_belongs_to_the_root_whichever_way_it_is_started(tmp_path, monkeypatch):
    checkout, root = tmp_path / "checkout", tmp_path / "elsewhere"
    settings = Settings(root=root, one_cache_dir=tmp_path / "alf")
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions("eid", ["a"])
    checkout.mkdir()
    (checkout / "dagster.yaml").write_bytes((root / "dagster.yaml").read_bytes())
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("IBLNM_ROOT", str(root))
    get_settings.cache_clear()
    try:
        # as `dagster dev` opens it from the checkout
        with DagsterInstance.from_config(str(checkout)) as instance:
            assert instance.get_dynamic_partitions("eid") == ["a"]
    finally:
        get_settings.cache_clear()
    assert not (checkout / ".dagster" / "history").exists()
