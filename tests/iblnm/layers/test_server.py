"""The data layers of an Alyx server: probes as it records them, the listing with its faults."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import pytest
from bench.alyx import AlyxModel, AlyxServer, from_archive

from iblnm.archive.connection import connect
from iblnm.config import Settings
from iblnm.demo.layers import build_layers_archive
from iblnm.layers import stages
from iblnm.layers.items import RAW_MISSING, STATUS_COLUMNS
from iblnm.layers.sources import image_stacks

LAB, PROTOCOL = "demolab", "_iblrig_tasks_passiveChoiceWorld8.28.0"
READER = ("reader", "data-secret")
PATIENCE = {
    "connect_timeout_s": 0.3,
    "stall_timeout_s": 0.3,
    "deadline_s": 0.6,
    "first_backoff_s": 0.01,
    "max_attempts": 2,
}
RESOLVED = {"alignment_count": "2", "alignment_resolved": "True"}
# what is in `json` of an insertion; picks, uploaded, resolved, counts of alignments and units
PROBES = {
    "null": (None, (False, False, False, 0, None)),
    "no object": ("text", (False, False, False, 0, None)),
    "without qc": ({"n_units": "247", "xyz_picks": [[0, 0, 0]]}, (True, False, False, 0, 247)),
    "empty qc": ({"extended_qc": {}, "xyz_picks": []}, (False, False, False, 0, None)),
    "null qc": ({"extended_qc": None, "xyz_picks": None}, (False, False, False, 0, None)),
    "counts as text": (
        {"n_units": "3e2", "xyz_picks": [[0, 0, 0]], "extended_qc": {"alignment_count": "3"}},
        (True, True, False, 3, 300),
    ),
    "no count": (
        {"n_units": "many", "xyz_picks": [[0, 0, 0]], "extended_qc": {"alignment_count": "x"}},
        (True, False, False, 0, None),
    ),
    "resolved": ({"xyz_picks": [[0, 0, 0]], "extended_qc": RESOLVED}, (True, True, True, 2, None)),
}


@pytest.fixture
def server(tmp_path):
    with AlyxServer(AlyxModel(), tmp_path / "files") as server:
        server.reader = READER
        yield server


@pytest.fixture
def settings(server, tmp_path):
    return Settings(
        root=tmp_path / "root",
        one_mode="remote",
        alyx_url=server.url,
        alyx_user="demo",
        alyx_password=server.password,
        data_server=f"{server.url}/data",
        data_user=READER[0],
        data_password=READER[1],
        layers={"enabled": True},
        remote=PATIENCE,
    )


def add_session(server, subject, json=None, *, stacks=("RD", "GR"), **fields):
    """A session with one probe, and the stacks of its animal on the file server."""
    start = datetime(2024, 5, 1, 10)
    eid = server.model.register_session(
        subject=subject, lab=LAB, start_time=start, task_protocol=PROTOCOL, **fields
    )
    server.model.add_insertion(eid, "probe00", json)
    folder = server.files_dir / "histology" / LAB / subject / "downsampledStacks_25/sample2ARA"
    for channel in stacks:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{subject}_{channel}.tif").write_bytes(b"tif")
    return eid


def row_of(server, eid):
    known = server.model.sessions[eid].fields
    names = ("subject", "lab", "start_time", "number", "task_protocol")
    return pd.Series({"eid": eid, "session_n": 1, **{name: known[name] for name in names}})


def asked(server, path):
    return [request for request in server.requests if request.path.startswith(path)]


def looked_at(server, settings, eid, one=None):
    """The one row each of status, insertions and histology."""
    one, session = one or connect(settings), row_of(server, eid)
    tables = [
        stage(one, session, settings).value
        for stage in (stages.dataset_status_stage, stages.insertions_stage, stages.histology_stage)
    ]
    assert [len(table) for table in tables] == [1, 1, 1]
    assert len(stages.dataset_items(one, session, settings).value) == len(STATUS_COLUMNS)
    return [table.iloc[0] for table in tables]


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.slow
def test_probes_are_read_as_alyx_records_them(server, settings, name):
    json, (picked, uploaded, resolved, n_alignments, n_units) = PROBES[name]
    eid = add_session(server, "A-1", json)
    status, insertion, histology = looked_at(server, settings, eid)
    found = [status[f"probe00_{what}"] for what in ("traced", "alignment_uploaded")]
    assert [*found, status["probe00_alignment_resolved"]] == [picked, uploaded, resolved]
    assert status[["probe01_traced", "probe01_alignment_resolved"]].isna().all()
    assert insertion["alignment_count"] == n_alignments
    assert pd.isna(insertion["n_units"]) if n_units is None else insertion["n_units"] == n_units
    assert insertion["eid"] == eid and insertion["subject"] == "A-1"
    reached = {"resolved": resolved, "aligned": uploaded, "traced": picked, "no-tracing": True}
    assert histology["state"] == next(state for state, is_reached in reached.items() if is_reached)


@pytest.mark.parametrize("kind", [None, "one_line"])
@pytest.mark.parametrize(
    ("stacks", "listed", "state", "task"),
    [
        (("RD", "GR"), True, "no-tracing", "TRACE PICKS"),
        (("GR",), False, "no-stacks", "TRACE STACKS"),
    ],
)
@pytest.mark.slow
def test_a_listing_tells_of_the_stacks(server, settings, kind, stacks, listed, state, task):
    if kind:
        server.faults.add("GET /data/histology", kind, times=None)
    eid = add_session(server, "A-1", {}, stacks=stacks)
    status, _, histology = looked_at(server, settings, eid)
    assert status["image_stacks"] == histology["image_stacks"] == listed
    assert (histology["state"], histology["next_task"]) == (state, task)
    assert len(asked(server, "/data/histology")) == 1


UNKNOWN = {
    401: "refused",
    403: "refused",
    404: "has no folder histology",
    500: "HTTP 500",
    "hang": "silent",
    "reset": "no connection",
    "truncated": "broke off",
    "html": "no listing",
}


@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.slow
def test_without_a_listing_the_stacks_are_unknown_and_never_absent(server, settings, kind):
    first = add_session(server, "A-1", {})
    second = add_session(server, "A-2", {"extended_qc": RESOLVED})
    server.faults.add("GET /data/histology", kind, times=None)
    one = connect(settings)
    for eid, state in ((first, "unknown"), (second, "resolved")):
        status, insertion, histology = looked_at(server, settings, eid, one)
        assert pd.isna(status["image_stacks"]) and pd.isna(histology["image_stacks"])
        assert (histology["state"], insertion["histology_state"]) == (state, state)
        assert pd.isna(histology["next_task"])
        assert status["probe00_raw_ap"] == RAW_MISSING
    items = stages.dataset_items(one, row_of(server, first), settings).value.set_index("item")
    assert UNKNOWN[kind] in items.loc["image_stacks", "reason"]
    assert READER[1] not in items.loc["image_stacks", "reason"]
    # an animal is asked for once, and a server that is silent not for every animal
    assert len(asked(server, f"/data/histology/{LAB}/A-1")) <= PATIENCE["max_attempts"]
    if kind == "hang":
        assert not asked(server, f"/data/histology/{LAB}/A-2")


def test_a_folder_that_a_server_of_histology_does_not_have_is_a_no(server, settings):
    add_session(server, "A-1", {})
    eid = add_session(server, "A-2", {}, stacks=())
    status, _, histology = looked_at(server, settings, eid)
    assert status["image_stacks"] == False  # noqa: E712 a nullable boolean
    assert (histology["state"], histology["next_task"]) == ("no-stacks", "TRACE STACKS")


def test_a_fault_of_one_animal_is_not_one_of_the_next(server, settings):
    first, second = add_session(server, "A-1", {}), add_session(server, "A-2", {})
    server.faults.add(f"GET /data/histology/{LAB}/A-1", 500, times=None)
    one = connect(settings)
    assert pd.isna(looked_at(server, settings, first, one)[0]["image_stacks"])
    assert looked_at(server, settings, second, one)[0]["image_stacks"]


@pytest.mark.parametrize("subject", ["..", "A/../../B", "A?x=1", "A#b", "<b>"])
def test_a_name_that_is_no_folder_is_not_asked_for(server, settings, subject):
    stacks = image_stacks(connect(settings), settings.data_server, LAB, subject)
    assert stacks.listed is None and "names no folder" in stacks.reason
    assert not asked(server, "/data/")


def test_records_of_files_that_lack_things(server, settings):
    eid = add_session(server, "A-1", {})
    for path, has_file in (
        ("session.txt", True),
        ("raw_video_data/_iblrig_leftCamera.raw.mp4", False),
        ("raw_video_data/_iblrig_bodyCamera.raw.mp4", True),
    ):
        server.model.add_dataset(eid, path, b"x", has_file=has_file)
    status, _, _ = looked_at(server, settings, eid)
    assert status["left_camera_raw_video"] == RAW_MISSING
    assert status["body_camera_raw_video"] == "extraction complete"


@pytest.mark.slow
def test_every_cell_of_a_server_is_the_planted_one(tmp_path, settings):
    folder = tmp_path / "alf"
    truth = build_layers_archive(folder, n_animals=0)["sessions"]
    model = from_archive(folder)
    for dataset in model.datasets.values():
        session = model.sessions[dataset.eid]
        dataset.has_file = (folder / session.path / dataset.rel_path).is_file()
    with AlyxServer(model, folder) as server:
        address = {"alyx_url": server.url, "data_server": f"{server.url}/data"}
        settings = settings.model_copy(update=address)
        one = connect(settings)
        for eid, right in truth.items():
            session = row_of(server, eid)
            status = stages.dataset_status_stage(one, session, settings).value.iloc[0]
            found = {name: _plain(status[name]) for name in STATUS_COLUMNS}
            expected = {**right["status"]}
            if right["name"] == "unknown_stacks":  # a server that has no folder says so
                expected["image_stacks"] = False
            assert found == expected, right["name"]
            histology = stages.histology_stage(one, session, settings).value
            states = {} if histology is None else dict(histology[["probe", "state"]].to_numpy())
            if right["name"] == "unknown_stacks":
                assert states == {"probe00": "no-stacks"}
            else:
                assert states == right["histology"], right["name"]
        stacks = [r for r in server.requests if "sample2ARA" in r.path]
        assert len(stacks) == len({r.path for r in stacks}) == len(truth)
        assert not [r for r in server.requests if r.path.endswith((".npy", ".cbin", ".pqt"))]


def _plain(value):
    return None if pd.isna(value) else value
