"""The archive on disk: opens with ONE, is what it says, and is built whole or not at all."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.demo import DEFECTS, build_archive, ensure_archive
from iblnm.demo.__main__ import main
from iblnm.errors import ArchiveMismatchError
from iblnm.pipeline.groups import running_rules

pytestmark = pytest.mark.slow

SMALL = {"n_subjects": 2, "sessions_per_subject": 1, "duration_s": 300.0, "defects": False}
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "archive"
    ensure_archive(folder)
    return folder


@pytest.fixture(scope="module")
def truth(archive):
    return json.loads((archive / "truth.json").read_text())


@pytest.fixture(scope="module")
def one(archive):
    from one.api import ONE

    return ONE(mode="local", cache_dir=archive, tables_dir=archive)


def _by_defect(truth, name):
    return next(s for s in truth["sessions"] if s["defect"] == name)


def _content(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_one_lists_every_file_with_size_and_hash(archive, one, truth):
    assert sorted(map(str, one.search())) == sorted(s["eid"] for s in truth["sessions"])
    truncated = _by_defect(truth, "truncated_signal")["eid"]
    for session in truth["sessions"]:
        listed = one.list_datasets(session["eid"], details=True)
        folder = archive / session["path"]
        on_disk = {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        }
        assert set(listed["rel_path"]) == on_disk
        for row in listed.itertuples():
            content = (folder / row.rel_path).read_bytes()
            same = len(content) == row.file_size and hashlib.md5(content).hexdigest() == row.hash
            assert same != (
                session["eid"] == truncated and row.rel_path.endswith("photometry.signal.pqt")
            )


@pytest.mark.filterwarnings("ignore:No default revision")
def test_one_loads_trials_and_wheel(one, truth):
    for session in truth["sessions"][:4]:
        trials = one.load_dataset(session["eid"], "_ibl_trials.table.pqt")
        assert len(trials) == session["n_trials"]
        wheel = one.load_object(session["eid"], "wheel", collection="alf*")
        assert wheel["timestamps"].shape == wheel["position"].shape


def test_tables_have_the_types_of_one(archive):
    from one.alf.cache import QC_TYPE

    sessions = pd.read_parquet(archive / "sessions.pqt")
    datasets = pd.read_parquet(archive / "datasets.pqt")
    assert sessions.index.name == "id"
    assert sessions["number"].dtype == np.uint16
    assert list(datasets.index.names) == ["eid", "id"]
    assert datasets["file_size"].dtype == "UInt64"
    assert datasets["qc"].dtype == QC_TYPE
    assert datasets["exists"].dtype == bool
    assert datasets.index.is_unique


def test_library_reads_the_current_layout(archive, truth):
    from iblphotometry import fpio

    session = next(
        s
        for s in truth["sessions"]
        if s["is_clean"] and len(s["roi"]) == 2 and s["region_source"] != "fiber table"
    )
    folder = archive / session["path"] / "alf/photometry"
    bands = fpio.from_photometry_pqt(
        folder / "photometry.signal.pqt", folder / "photometryROI.locations.pqt"
    )
    assert set(bands) == {"GCaMP", "Isosbestic"}
    assert abs(len(bands["GCaMP"]) - len(bands["Isosbestic"])) <= 1
    for band in bands.values():
        assert band.shape[1] == 2
        rate = 1 / np.median(np.diff(band.index))
        assert rate == pytest.approx(session["band_rate_hz"], rel=0.01)


def test_older_layout(archive, truth):
    session = _by_defect(truth, "missing_isosbestic_0")
    table = pd.read_parquet(archive / session["path"] / "alf/photometry/photometry.signal.pqt")
    assert "include" in table
    assert "valid" not in table
    dark = table["name"].isna()
    assert (table.loc[dark, "wavelength"] == 0).all()
    assert set(table.loc[~dark, "name"]) == {"GCaMP"}
    assert table.columns[0] == "Region0G"
    raw = pd.read_parquet(
        archive / session["path"] / "raw_photometry_data/_neurophotometrics_fpData.raw.pqt"
    )
    assert list(raw)[:3] == ["FrameCounter", "Timestamp", "LedState"]


def test_every_check_is_planted(truth):
    expected = Counter(name for s in truth["sessions"] for name in s["expected_failures"])
    assert set(expected) == {check for defect in DEFECTS for check in defect.checks}
    assert set(expected) <= {rule.name for rule in running_rules()}
    assert {name for s in truth["sessions"] for name in s["open_checks"]} == {
        "psychometric_at_bound",
        "incomplete_signal",
    }
    planted = {s["defect"] for s in truth["sessions"]} - {None}
    assert planted == {defect.name for defect in DEFECTS}
    failing = {name for s in truth["sessions"] for name in s["expected_asset_failures"]}
    assert failing == {"photometry", "trials", "wheel_velocity"}


def test_cohort(truth):
    sessions = truth["sessions"]
    assert len(sessions) >= 60
    clean = [s for s in sessions if s["is_clean"]]
    assert len(clean) >= 25
    targets = Counter(target for s in clean for target in s["target_NM"])
    assert set(targets) == set(Settings().valid_targets)
    assert min(targets.values()) >= 2
    subjects = {t: {s["subject"] for s in clean if t in s["target_NM"]} for t in targets}
    assert all(len(found) >= 2 for found in subjects.values())
    kinds = Counter(s["session_type"] for s in sessions)
    assert all(kinds[kind] >= 15 for kind in ("training", "biased", "ephys"))
    assert len({s["lab"] for s in sessions}) == 3
    assert {s["band_rate_hz"] for s in clean} == {15.0, 30.0, 50.0}
    assert {s["region_source"] for s in clean} == {
        "experiment description",
        "roi locations",
        "fiber table",
    }
    assert {s["task_collection"] for s in clean} == {"", "task_00"}
    assert ["NBM", "NBM_1"] in [s["recording_names"] for s in clean]


def test_clean_fits_are_inside_their_bounds(archive, truth):
    """Trials of sessions without fault recover the psychometric truth, block by block."""
    from iblnm.demo.behavior import Psychometric

    for session in truth["sessions"]:
        if not session["is_clean"]:
            continue
        folder = archive / session["path"] / "alf" / session["task_collection"]
        trials = pd.read_parquet(folder / "_ibl_trials.table.pqt")
        assert len(trials) >= 150
        curve = Psychometric(**session["psychometric"])
        signed = 100 * trials["contrastRight"].fillna(-trials["contrastLeft"]).to_numpy()
        made = (trials["choice"] != 0).to_numpy()
        p_right = curve.p_right(signed, trials["probabilityLeft"].to_numpy())
        for p_left in (0.2, 0.5, 0.8):
            for strong in (-100.0, 100.0):
                cell = made & (signed == strong) & (trials["probabilityLeft"] == p_left).to_numpy()
                if cell.any():
                    rightward = (trials["choice"] == -1).to_numpy()[cell]
                    assert abs(rightward.sum() - p_right[cell].sum()) <= 2


def test_records(archive, truth):
    for session in truth["sessions"]:
        record = json.loads((archive / f".alyx/sessions/{session['eid']}.json").read_text())
        assert record["subject"] == session["subject"]
        assert record["start_time"] == session["start_time"]
        listed = record["data_dataset_session_related"]
        assert {"name", "collection", "revision", "file_size", "hash"} <= set(listed[0])
        for insertion in record["probe_insertion"]:
            stored = json.loads((archive / f".alyx/insertions/{insertion['id']}.json").read_text())
            assert stored == insertion
        subject = json.loads((archive / f".alyx/subjects/{session['subject']}.json").read_text())
        assert subject["nickname"] == session["subject"]


def test_fiber_table_is_the_tracked_one(archive, truth):
    built = (archive / "fibers.csv").read_bytes()
    assert built == (REPOSITORY / "metadata/fibers.csv").read_bytes()
    table = pd.read_csv(archive / "fibers.csv")
    for session in truth["sessions"]:
        own = table[table["subject"] == session["subject"]]
        sides = {(row.targeted_region, "r" if row._4 > 0 else "l") for row in own.itertuples()}
        if session["is_clean"]:
            regions = [target.split("-")[0] for target in session["target_NM"]]
            assert sides == set(zip(regions, session["hemisphere"], strict=True))


def test_same_seed_same_bytes(tmp_path):
    options = {**SMALL, "n_subjects": 3, "sessions_per_subject": 2}
    build_archive(tmp_path / "a", **options)
    build_archive(tmp_path / "b", **options)
    build_archive(tmp_path / "c", seed=1, **options)
    first, second, other = (_content(tmp_path / name) for name in "abc")
    assert first == second
    assert first != other


def test_small_archive_is_quick_and_clean(tmp_path):
    started = time.process_time()
    truth = build_archive(tmp_path / "small", **SMALL)
    assert time.process_time() - started < 2
    assert len(truth["sessions"]) == 2
    assert all(s["n_trials"] >= 90 and not s["expected_failures"] for s in truth["sessions"])


def test_ensure_builds_once(tmp_path):
    folder = tmp_path / "cache"
    ensure_archive(folder, **SMALL)
    stamp = (folder / "demo.json").stat().st_mtime_ns
    ensure_archive(folder, **SMALL)
    assert (folder / "demo.json").stat().st_mtime_ns == stamp
    with pytest.raises(ArchiveMismatchError, match="seed 0, wanted 7"):
        ensure_archive(folder, seed=7, **SMALL)


def test_ensure_refuses_a_foreign_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArchiveMismatchError, match="no simulated archive"):
        ensure_archive(tmp_path, **SMALL)
    with pytest.raises(ArchiveMismatchError, match="not empty"):
        build_archive(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_build_leaves_nothing_half_done(tmp_path):
    folder = tmp_path / "cache"
    command = [sys.executable, "-m", "iblnm.demo", "--out", str(folder), "--quiet"]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("cache.partial-*/*/Subjects/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list(tmp_path.glob("cache.partial-*"))
    assert not folder.exists()
    ensure_archive(folder, **SMALL)
    assert (folder / "truth.json").is_file()
    assert not list(tmp_path.glob("cache.partial-*"))


def test_defects_need_a_cohort_that_has_room(tmp_path):
    with pytest.raises(ValueError, match="at least 7 subjects of 5 sessions or 10 of 4"):
        build_archive(tmp_path / "x", n_subjects=1, sessions_per_subject=1)


def test_command(tmp_path, capsys):
    arguments = ["--subjects", "1", "--sessions", "1", "--duration", "300", "--no-defects"]
    out = ["--out", str(tmp_path / "cache")]
    assert main([*out, *arguments]) == 0
    assert "archive:" in capsys.readouterr().out
    assert main([*out, *arguments, "--seed", "3"]) == 1
    assert "error:" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "--duration" in capsys.readouterr().out
