"""The asset that writes a session for DANDI."""

from __future__ import annotations

import pytest
from dagster import AssetKey, DagsterInstance, materialize

from iblnm.config import Settings
from iblnm.storage.store import SessionStore
from iblnm_dagster.build import build_defs, build_resources
from iblnm_dagster.export import nwb
from iblnm_dagster.jobs import SESSION_JOB
from iblnm_dagster.partitions import SESSION_PARTITIONS, add_sessions


def run(settings, eid):
    with DagsterInstance.ephemeral() as instance:
        add_sessions(instance, [eid])
        return materialize(
            [nwb],
            partition_key=eid,
            instance=instance,
            resources=build_resources(settings),
            raise_on_error=False,
        )


def test_it_is_made_only_when_it_is_asked_for():
    defs = build_defs(Settings())
    node = defs.resolve_asset_graph().get(AssetKey("nwb"))
    assert node.group_name == "export"
    assert node.partitions_def == SESSION_PARTITIONS
    daily = defs.resolve_job_def(SESSION_JOB).asset_layer.selected_asset_keys
    assert AssetKey("preprocessed") in daily
    assert AssetKey("nwb") not in daily
    assert node.automation_condition is None


@pytest.mark.slow
def test_it_writes_the_file_of_a_session(viewed_settings):
    pytest.importorskip("pynwb", reason="the extra nwb is not installed")
    eid = SessionStore(viewed_settings).eids("session")[0]
    result = run(viewed_settings, eid)
    assert result.success
    files = list((viewed_settings.data_dir / "nwb").rglob("*.nwb"))
    assert [path.name.split("_")[1] for path in files] == [f"ses-{eid}"]
    (event,) = result.asset_materializations_for_node("nwb")
    assert event.metadata["bytes"].value == files[0].stat().st_size
    assert event.metadata["left out"].value == "nothing"


@pytest.mark.slow
def test_without_the_extra_it_says_how_to_get_it(small_settings, monkeypatch):
    monkeypatch.setattr("iblnm.export.nwb.find_spec", lambda name: None)
    result = run(small_settings, "20e8a615-1124-47b2-94cb-50a9b935f09d")
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "pip install 'iblnm[nwb]'" in str(failure.step_failure_data)
