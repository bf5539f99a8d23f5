"""Tables of ONE for a folder without any: beside the outputs, with eids that stay."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from iblnm.archive.connection import connect
from iblnm.archive.own_tables import are_own_tables, has_tables, make_tables, tables_dir
from iblnm.config import Settings
from iblnm.errors import MissingFileError

EID = "4ecb5d24-f5cc-402c-be28-9d0f7cb14b3a"


@pytest.fixture
def archive(tmp_path):
    """Two sessions of one animal, one with trials and wheel; no tables."""
    root = tmp_path / "alf"
    for number in ("001", "002"):
        folder = root / "lab" / "Subjects" / "mouse" / "2024-03-05" / number / "alf"
        folder.mkdir(parents=True)
        pd.DataFrame({"choice": [1.0]}).to_parquet(folder / "_ibl_trials.table.pqt")
    np.save(folder / "_ibl_wheel.position.npy", np.arange(3.0))
    return root


@pytest.fixture
def settings(archive, tmp_path):
    return Settings(_env_file=None, one_cache_dir=archive, root=tmp_path / "out")


def files(folder):
    return sorted(path for path in folder.rglob("*"))


def test_tables_are_made_beside_the_outputs_and_the_archive_stays_as_it_is(archive, settings):
    before = files(archive)
    report = make_tables(settings)
    assert (report.n_sessions, report.n_files) == (2, 3)
    assert report.missing == {"photometry": 2, "wheel": 1, "video": 2}
    assert files(archive) == before
    assert are_own_tables(settings)
    one = connect(settings)
    eids = one.search()
    assert len(eids) == 2
    listed = {one.eid2path(eid).name: one.list_datasets(eid) for eid in eids}
    assert listed["001"] == ["alf/_ibl_trials.table.pqt"]
    assert len(listed["002"]) == 2


def test_a_session_keeps_its_eid_and_gets_its_new_files(archive, settings):
    make_tables(settings)
    first = set(map(str, connect(settings).search()))
    shutil.copytree(archive / "lab/Subjects/mouse", archive / "lab/Subjects/other")
    np.save(archive / "lab/Subjects/mouse/2024-03-05/001/alf/_ibl_wheel.position.npy", [1.0])
    assert make_tables(settings).n_files == 7
    assert first < set(map(str, connect(settings).search()))


def test_a_record_gives_the_eid(archive, settings):
    record = {"start_time": "2024-03-05T10:00:00", "subject": "mouse", "number": 2, "lab": "lab"}
    path = archive / ".alyx" / "sessions" / f"{EID}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**record, "id": EID, "projects": [settings.project]}))
    make_tables(settings)
    assert connect(settings).eid2path(EID).name == "002"


def test_tables_of_the_archive_come_first(archive, settings):
    make_tables(settings)
    for path in tables_dir(settings).glob("*.pqt"):
        shutil.copy(path, archive)
    assert tables_dir(settings) == archive
    assert not are_own_tables(settings)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere", "does not exist"),
        (".", "the folder below, .*alf, has 2"),
        ("alf/lab", "the folder above, .*alf, has 2"),
        ("alf/lab/Subjects", "the folder above, .*alf, has 2"),
        ("alf/lab/Subjects/mouse", "no session folders; they are expected as"),
        ("alf", "2 session folders and no tables of ONE.*iblnm batch --make-tables"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(archive, settings, place, words):
    wrong = settings.model_copy(update={"one_cache_dir": archive.parent / place})
    assert not has_tables(wrong)
    with pytest.raises(MissingFileError, match=words):
        connect(wrong)
