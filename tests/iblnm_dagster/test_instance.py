"""The instance of a root, and what an earlier version has left there."""

from __future__ import annotations

import yaml

from iblnm.config import Settings
from iblnm_dagster.instance import open_instance
from iblnm_dagster.workarounds.sqlite_storage import EventLogStorage


def test_a_configuration_that_names_a_moved_module_is_followed(tmp_path):
    settings = Settings(root=tmp_path, one_cache_dir=tmp_path / "alf")
    open_instance(settings).dispose()
    path = tmp_path / "dagster.yaml"
    shipped = path.read_text()
    own = shipped.replace("max_concurrent_runs: 2", "max_concurrent_runs: 5").replace(
        "iblnm_dagster.workarounds.sqlite_storage", "iblnm_dagster.storage_workaround"
    )
    path.write_text(own)
    with open_instance(settings) as instance:
        assert isinstance(instance.event_log_storage, EventLogStorage)
    found = yaml.safe_load(path.read_text())
    assert found["storage"] == yaml.safe_load(shipped)["storage"]
    assert found["concurrency"]["runs"]["max_concurrent_runs"] == 5
