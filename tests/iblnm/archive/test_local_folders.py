"""Archives as they are found: folders of any name, links, read-only, tables of earlier ONE."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from iblutil.io.parquet import load, save, str2np

from iblnm.archive import fetch_session
from iblnm.archive.cache_tables import read_one_table
from iblnm.archive.connection import connect
from iblnm.archive.local_changes import LocalChanges
from iblnm.archive.local_folders import add_folders, unlisted_folders
from iblnm.archive.sessions import list_sessions
from iblnm.errors import NotWritableError, UnreadableFileError
from iblnm.pipeline.rules import evaluate
from iblnm.storage.atomic import locked, write_whole

LOCATIONS = "alf/photometry/photometryROI.locations.pqt"


@pytest.fixture
def small():
    return {"alf/task_00/_ibl_wheel.timestamps.npy": np.arange(3.0)}


@pytest.fixture
def archive(tree, small):
    tree.add(small)
    tree.write_tables()
    return tree


def add(tree):
    places = unlisted_folders(tree.root, tree.root)
    return add_folders(tree.root, places, tables=tree.root, settle_s=0, project="mine")


@pytest.mark.slow
def test_a_folder_that_is_no_session_is_named_and_the_others_are_added(archive, small):
    good = archive.add(small, subject="M2")
    archive.sessions.pop()
    subject = archive.root / "lab/Subjects/M2"
    for wrong in ("2024-13-40/001", "2024-3-5/001", "2024-03-06/1"):
        shutil.copytree(subject / "2024-03-01/001", subject / wrong)
    report = add(archive)
    assert list(report.added) == ["lab/Subjects/M2/2024-03-01/001"]
    assert report.left_out == {
        "lab/Subjects/M2/2024-13-40/001": "2024-13-40 is no day; one as 2024-03-05 is expected",
        "lab/Subjects/M2/2024-3-5/001": "2024-3-5 is no day; one as 2024-03-05 is expected",
        "lab/Subjects/M2/2024-03-06/1": "1 is no number of a session; one as 001 is expected",
    }
    assert len(list_sessions(connect(archive.settings))) == 2
    assert good not in report.added.values()  # without a record the eid is made from the place


def test_files_behind_links_are_found_and_a_linked_session_is_not_taken_twice(archive, small):
    subject = archive.root / "lab/Subjects/M2"
    elsewhere = archive.root.parent / "disk" / "alf"
    (elsewhere / "task_00").mkdir(parents=True)
    np.save(elsewhere / "task_00" / "_ibl_wheel.timestamps.npy", np.arange(3.0))
    new = subject / "2024-03-01" / "001"
    new.mkdir(parents=True)
    (new / "alf").symlink_to(elsewhere)
    (elsewhere / "around").symlink_to(elsewhere)
    (new / "_ibl_wheel.position.npy").symlink_to(elsewhere / "gone.npy")
    twin = archive.root / "lab/Subjects/M1/2024-03-01/002"
    twin.symlink_to(archive.root / "lab/Subjects/M1/2024-03-01/001")
    report = add(archive)
    assert list(report.added) == ["lab/Subjects/M2/2024-03-01/001"]
    assert "is a session already" in report.left_out["lab/Subjects/M1/2024-03-01/002"]
    table = read_one_table(archive.root / "datasets.pqt")[0]
    (eid,) = report.added.values()
    assert table.loc[eid].rel_path.tolist() == ["alf/task_00/_ibl_wheel.timestamps.npy"]


@pytest.mark.slow
def test_folders_are_added_to_tables_without_rows_and_to_those_of_others(tree, small):
    tree.add(small)
    tree.write_tables()
    for name in ("sessions", "datasets"):
        frame, meta = load(tree.root / f"{name}.pqt")
        save(tree.root / f"{name}.pqt", frame.iloc[:0].assign(exists_aws=False), meta)
    assert len(add(tree).added) == 1
    assert len(list_sessions(connect(tree.settings))) == 1


def old_tables(root, indexed):
    """As ONE wrote them in 2021: identifiers as pairs of integers, one project."""
    for name, keys in (("sessions", ["id"]), ("datasets", ["eid", "id"])):
        frame, meta = load(root / f"{name}.pqt")
        frame = frame.reset_index().rename(columns={"projects": "project"})
        for key in keys:
            pair = str2np([str(value) for value in frame.pop(key)])
            frame[f"{key}_0"], frame[f"{key}_1"] = pair[:, 0], pair[:, 1]
        if indexed:
            frame = frame.set_index([f"{key}_{i}" for key in keys for i in (0, 1)])
        frame = frame.drop(columns="qc", errors="ignore")
        save(root / f"{name}.pqt", frame, meta)


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.slow
def test_tables_of_an_earlier_one(archive, small, indexed):
    eid = archive.sessions[0][0]["id"]
    old_tables(archive.root, indexed)
    starts, new = LocalChanges(archive.root, "ibl_fibrephotometry").list_all()
    assert (list(starts), new) == ([eid], [eid])
    one = connect(archive.settings)
    row = fetch_session(one, eid, archive.settings).iloc[0]
    assert row.datasets == ["alf/task_00/_ibl_wheel.timestamps.npy"]
    assert row.projects == ["ibl_fibrephotometry"]
    archive.add(small, subject="M2")
    assert len(add(archive).added) == 1
    assert len(list_sessions(connect(archive.settings))) == 2


def test_a_table_without_identifiers_is_refused_with_what_to_do(archive):
    path = archive.root / "sessions.pqt"
    frame, meta = load(path)
    save(path, frame.reset_index(drop=True).set_index("subject"), meta)
    with pytest.raises(UnreadableFileError, match="make it anew"):
        LocalChanges(archive.root, "mine").list_all()


def test_a_row_without_a_day_does_not_hide_the_others(archive, small):
    archive.add(small, subject="M2")
    archive.write_tables()
    path = archive.root / "sessions.pqt"
    frame, meta = load(path)
    frame["date"] = frame["date"].astype(object)
    frame.iloc[0, frame.columns.get_loc("date")] = None
    save(path, frame, meta)
    assert len(LocalChanges(archive.root, "ibl_fibrephotometry").list_all()[0]) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write")
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    folder.chmod(0o555)
    try:
        with (
            pytest.raises(NotWritableError, match="archive cannot be written to"),
            locked(folder / "table"),
        ):
            pass
        with pytest.raises(NotWritableError), write_whole(folder / "table"):
            pass
    finally:
        folder.chmod(0o755)


def test_a_folder_of_a_read_only_disk_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(NotWritableError, match="it is read-only"), write_whole(tmp_path / "table"):
        pass


# names of regions and their sides ----------------------------------------------------------------


def describe(tree, files, location, located="VTA-r"):
    content = {"devices": {"neurophotometrics": {"fibers": {"G0": {"location": location}}}}}
    files["_ibl_experiment.description.yaml"] = yaml.safe_dump(content, allow_unicode=True).encode(
        "cp1252"
    )
    files[LOCATIONS] = pd.DataFrame(
        {"brain_region": [located]}, index=pd.Index(["G0"], name="ROI")
    )
    eid = tree.add(files)
    return fetch_session(tree.open(), eid, tree.settings).iloc[0]


@pytest.mark.slow
def test_a_side_that_the_second_source_knows_is_taken(tree, small):
    row = describe(tree, small, "VTA")
    assert (row.brain_region, row.hemisphere) == (["VTA"], ["r"])
    assert row.region_source == "experiment description"


@pytest.mark.parametrize(("location", "side"), [("SNc", None), ("VTA-l", "l")])
@pytest.mark.slow
def test_the_second_source_does_not_overrule(tree, small, location, side):
    assert describe(tree, small, location).hemisphere == [side]


@pytest.mark.slow
def test_a_damaged_second_source_does_not_refuse_the_session(tree, small):
    row = describe(tree, small, "VTA", located=None)
    assert row.hemisphere == [None]


@pytest.mark.slow
def test_a_name_that_cannot_be_one_is_named_by_the_rule(tree, files):
    from iblnm.io import photometry_reference

    files[LOCATIONS]["brain_region"] = ["SNc/VTA", "left SNC"]
    eid = tree.add(files)
    one = tree.open()
    row = fetch_session(one, eid, tree.settings)
    assert row.hemisphere.iloc[0] == [None, "l"]
    reference = photometry_reference(one, eid, row, tree.settings)
    outcomes = evaluate("photometry", tree.settings, reference=reference, session_row=row.iloc[0])
    (outcome,) = [found for found in outcomes if found.rule == "ambiguous_region_mapping"]
    assert not outcome.passed
    assert "'SNc/VTA' cannot be the name of a recording" in outcome.message


def test_records_of_sessions_with_an_impossible_day_do_not_stop_the_others(archive, small):
    archive.add(small, subject="M2")
    archive.sessions.pop()
    archive.record("sessions", "broken", json.dumps({"start_time": "2024-13-40", "number": "x"}))
    assert len(add(archive).added) == 1
