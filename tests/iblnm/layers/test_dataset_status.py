"""The 38 columns: names to the letter, states by rule, known values of real registries."""

import pandas as pd
import pytest

from iblnm.layers.dataset_status import dataset_status
from iblnm.layers.items import COMPLETE, EXTRACTION_ERROR, ITEMS, RAW_MISSING, STATUS_COLUMNS
from iblnm.layers.passive import run_of_settings
from iblnm.layers.registry import Registry, entries_of_paths, entries_of_record

EID = "51b90000-0000-4000-8000-000000000001"
PASSIVE = {"PYBPOD_PROTOCOL": "_iblrig_tasks_passiveChoiceWorld", "SESSION_DATETIME": "2024-05-01"}


def registered(*paths, **kwargs):
    return Registry(entries_of_paths(paths, **kwargs))


def record(*items):
    keys = ("collection", "name", "revision", "default_revision", "version", "data_url")
    rows = [dict(zip(keys, item, strict=False)) for item in items]
    return Registry(entries_of_record({"data_dataset_session_related": rows}))


def status(registry, insertions=None, runs=(), **kwargs):
    return dataset_status(EID, registry, insertions, runs, **kwargs)


def test_the_columns_have_the_names_of_the_document():
    assert len(STATUS_COLUMNS) == 38
    assert STATUS_COLUMNS[:3] == (
        "task_pre_intervalsTable",
        "task_pre_passiveStims",
        "task_pre_passiveGabor",
    )
    probe = [name.removeprefix("probe01_") for name in STATUS_COLUMNS if "probe01" in name]
    assert probe == [
        *("raw_ap", "sync", "sorter", "spikes", "bombcell"),
        *("traced", "alignment_uploaded", "alignment_resolved"),
    ]
    assert [item.column for item in ITEMS if item.is_raw] == [
        *("probe00_raw_ap", "probe01_raw_ap"),
        *(f"{camera}_camera_raw_video" for camera in ("left", "right", "body")),
    ]
    assert "body_camera_pin_state" in STATUS_COLUMNS and "image_stacks" in STATUS_COLUMNS


@pytest.mark.parametrize("name", ["aging_sessions", "serotonin_sessions"])
def test_real_registries_have_their_known_states(layers_data, known, name):
    table = pd.read_parquet(layers_data / "registry" / f"{name}.pqt")
    for eid, rows in table.groupby("eid"):
        registry = Registry(entries_of_paths(rows.collection + "/" + rows.name))
        found, _ = dataset_status(eid, registry, None, ())
        right = known[f"registry/{name}"][eid]
        assert len(registry) == right["n_datasets"]
        for probe, values in right["probes"].items():
            slot = probe[:7]
            for what in ("raw_ap", "sync", "spikes"):
                assert (found[f"{slot}_{what}"] == COMPLETE) == values[what], (eid, slot, what)
            assert found[f"{slot}_sorter"] == values["sorter"]
        for slot in {"probe00", "probe01"} - {probe[:7] for probe in right["probes"]}:
            assert found[f"{slot}_raw_ap"] == RAW_MISSING
        for camera, values in right["cameras"].items():
            part = f"{camera}_camera"
            assert (found[f"{part}_raw_video"] == COMPLETE) == values["raw_video"]
            pose = found[f"{part}_pose"]
            assert (pose == COMPLETE) == values["lightningPose"]
            assert (pose == EXTRACTION_ERROR) == (
                values["raw_video"] and not values["lightningPose"]
            )


def test_an_old_session_has_one_run_and_a_bare_sorting(layers_data):
    rows = pd.read_parquet(layers_data / "registry" / "ZFM-01935_2021-02-05.pqt")
    registry = Registry(entries_of_paths(rows.collection + "/" + rows.name))
    run = run_of_settings(0, "raw_passive_data", "alf", {})
    found, detail = dataset_status(EID, registry, None, [run])
    assert found["task_pre_intervalsTable"] == COMPLETE
    assert found["task_post_intervalsTable"] == RAW_MISSING
    assert (found["probe00_raw_ap"], found["probe00_sorter"]) == (COMPLETE, "ks2")
    assert (found["probe00_spikes"], found["probe00_bombcell"]) == (COMPLETE, EXTRACTION_ERROR)
    assert len(detail) == 38
    assert {row["item"] for row in detail} == set(STATUS_COLUMNS)


def test_the_three_states_of_a_passive_table():
    run = run_of_settings(1, "raw_task_data_01", "alf/task_01", PASSIVE)
    found, detail = status(
        registered("alf/task_01/_ibl_passiveStims.table.csv", "raw_task_data_01/x.json"),
        runs=[run],
    )
    assert found["task_pre_passiveStims"] == COMPLETE
    assert found["task_pre_passiveGabor"] == EXTRACTION_ERROR
    assert found["task_post_passiveGabor"] == RAW_MISSING
    reason = {row["item"]: row["reason"] for row in detail}
    assert "raw_task_data_01 is there" in reason["task_pre_passiveGabor"]


@pytest.mark.parametrize("probe", ["imec", "imec0", "imec00", "imec1", "imec01"])
@pytest.mark.parametrize("run", ["_g0_t0", "_g1_t0", "_g3_t2"])
def test_raw_files_are_found_by_any_run_gate_and_number(probe, run):
    stem = f"raw_ephys_data/probe01/_spikeglx_ephysData{run}.{probe}"
    found, _ = status(registered(f"{stem}.ap.cbin", f"{stem}.sync.npy"))
    assert (found["probe01_raw_ap"], found["probe01_sync"]) == (COMPLETE, COMPLETE)
    assert found["probe01_spikes"] == EXTRACTION_ERROR
    assert found["probe00_raw_ap"] == RAW_MISSING


def test_the_first_sorter_is_shown_with_its_default_revision_and_version():
    found, _ = status(
        record(
            ("alf/probe00/pykilosort", "spikes.times.npy", None, "True", "pyks_1", "u"),
            ("alf/probe00/iblsorter", "spikes.times.npy", "2024-01-01", "False", "old", "u"),
            (
                "alf/probe00/iblsorter",
                "spikes.times.npy",
                "2025-06-01",
                "True",
                "iblsorter_1.9.0",
                "u",
            ),
            ("alf/probe00/iblsorter", "spikes.clusters.npy", "2024-01-01", "True", "", "u"),
            ("alf/probe00/iblsorter", "clusters.uuids.csv", "2025-06-01", "True", "", "u"),
            ("raw_ephys_data/probe00", "_spikeglx_ephysData_g0_t0.imec.ap.cbin", *[None] * 3, "u"),
        )
    )
    assert found["probe00_sorter"] == "iblsorter#2025-06-01# (iblsorter_1.9.0)"
    # the clusters are there, but of another revision
    assert found["probe00_spikes"] == EXTRACTION_ERROR


@pytest.mark.parametrize(
    ("revision", "version", "text"),
    [("", "", "ks2"), ("2024-03-22", "", "ks2#2024-03-22#"), ("", "1.5.36", "ks2 (1.5.36)")],
)
def test_empty_parts_of_the_sorter_are_left_out(revision, version, text):
    found, _ = status(
        record(("alf/probe01", "spikes.times.npy", revision, "True", version, "https://x"))
    )
    assert (found["probe01_sorter"], found["probe00_sorter"]) == (text, "")


def test_what_is_registered_without_a_file_is_not_there():
    found, detail = status(
        record(
            ("raw_video_data", "_iblrig_leftCamera.raw.mp4", None, "True", "", None),
            (None, "session.txt", None, None, "", "u"),
            ("raw_video_data", "_iblrig_bodyCamera.raw.mp4", None, "True", "", "u"),
            ("alf", "_ibl_bodyCamera.dlc.pqt", None, "True", "", "u"),
            ("alf", "_ibl_bodyCamera.lightningPose.pqt", None, "True", "", None),
        )
    )
    assert found["left_camera_raw_video"] == RAW_MISSING
    assert found["body_camera_pose"] == EXTRACTION_ERROR
    reason = {row["item"]: row["reason"] for row in detail}["body_camera_pose"]
    assert "registered without a file" in reason and "DeepLabCut only" in reason


def test_verdicts_are_texts_of_their_first_element():
    qc = {
        "_videoLeft_dropped_frames": ["PASS", 2, 1],
        "_videoLeft_timestamps": "NOT SET",
        "_videoBody_pin_state": [],
    }
    found, _ = status(registered(), extended_qc=qc)
    assert found["left_camera_dropped_frames"] == "PASS"
    assert found["left_camera_timestamps"] == "NOT_SET"
    assert found["body_camera_pin_state"] == found["right_camera_pin_state"] == ""


def test_the_worst_of_the_shanks_decides():
    def files(shank, what):
        return f"alf/{shank}/iblsorter/{what}"

    found, detail = status(
        registered(
            "raw_ephys_data/probe00/_spikeglx_ephysData_g0_t0.imec0.ap.cbin",
            *(files("probe00a", w) for w in ("spikes.times.npy", "spikes.clusters.npy")),
            files("probe00a", "clusters.uuids.csv"),
            files("probe00b", "spikes.times.npy"),
        ),
        insertions=[
            {"name": "probe00a", "json": {"xyz_picks": [[1, 2, 3]]}},
            {"name": "probe00b", "json": None},
        ],
    )
    assert found["probe00_raw_ap"] == COMPLETE
    assert found["probe00_spikes"] == EXTRACTION_ERROR
    assert found["probe00_traced"] is False and found["probe01_traced"] is None
    reason = {row["item"]: row["reason"] for row in detail}["probe00_spikes"]
    assert "probe00a: extraction complete" in reason


@pytest.mark.parametrize("text", [True, 1, "True", "true"])
def test_resolved_is_what_alyx_means_by_it(text):
    record_ = {
        "name": "probe01",
        "json": {"xyz_picks": [[0, 0, 0]], "extended_qc": {"alignment_count": "2"}},
    }
    found, _ = status(registered(), [record_])
    assert found["probe01_alignment_uploaded"] is True
    assert found["probe01_alignment_resolved"] is False
    record_["json"]["extended_qc"]["alignment_resolved"] = text
    assert status(registered(), [record_])[0]["probe01_alignment_resolved"] is True


@pytest.mark.parametrize(
    "json", [None, {}, {"qc": "PASS"}, {"extended_qc": {}}, {"extended_qc": None}, "text"]
)
def test_an_insertion_without_content_is_untraced(json):
    found, _ = status(registered(), [{"name": "probe00", "json": json}])
    assert found["probe00_traced"] is False
    assert found["probe00_alignment_resolved"] is False


def test_an_unknown_listing_is_null():
    assert status(registered())[0]["image_stacks"] is None
    assert status(registered(), image_stacks=False)[0]["image_stacks"] is False


def test_off_line_a_file_is_there_when_it_is_on_disk():
    entries = entries_of_paths(
        ["alf/probe00/#2025-01-01#/spikes.times.npy", "alf/probe00/#2024-01-01#/spikes.times.npy"],
        is_on_disk=lambda collection, revision, name: revision == "2024-01-01",
    )
    assert status(Registry(entries))[0]["probe00_sorter"] == "ks2#2024-01-01#"


def test_records_that_are_no_records_are_left_out():
    entries = entries_of_record({"data_dataset_session_related": [None, "x", {}, {"name": None}]})
    assert entries == []
    assert entries_of_record(None) == []
