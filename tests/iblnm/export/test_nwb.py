"""NWB files: what was stored comes back, DANDI's rules hold, nothing is half written."""

from __future__ import annotations

import doctest
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from bench.stages import store_stages
from click.testing import CliRunner

from iblnm.archive import connect
from iblnm.config import Settings, get_settings
from iblnm.errors import InvalidNameError, UnknownSessionError
from iblnm.export.nwb import MissingExtraError, export_session, nwb_path, require_nwb
from iblnm.pipeline.graph import all_stages
from iblnm.pipeline.outcomes import open_outcomes
from iblnm.pipeline.rules import evaluate
from iblnm.pipeline.steps import read_bands, read_wheel
from iblnm.storage import Provenance, write_groups, write_table
from iblnm.storage.store import SessionStore

pytestmark = pytest.mark.slow

CQ002 = "96268231-87d4-3791-b39f-6e3059cfa72e"
FIP_40 = "ab7da640-14f6-3bd3-8ae2-4ba9a67bade1"
TIMES = {
    "start_time": "intervals_0",
    "stop_time": "intervals_1",
    "gabor_stimulus_onset_time": "stimOn_times",
    "auditory_cue_time": "goCue_times",
    "wheel_movement_onset_time": "firstMovement_times",
    "choice_registration_time": "response_times",
    "feedback_time": "feedback_times",
    "gabor_stimulus_contrast": "contrast",
    "reward_volume_uL": "rewardVolume",
    "probability_left": "probabilityLeft",
    "reaction_time": "reaction_time",
    "movement_time": "movement_time",
    "response_time": "response_time",
}
# the signal is on IBL's clock, which may be negative; the others want what the archive lacks
ACCEPTED = {
    "check_timestamp_of_the_first_sample_is_not_negative",
    "check_table_time_columns_are_not_negative",
    "check_experimenter_exists",
    "check_institution",
    "check_processing_module_name",
    "check_column_binary_capability",
    "check_single_row",
}


@pytest.fixture(scope="module")
def pynwb():
    pytest.importorskip("ndx_fiber_photometry", reason="the extra nwb is not installed")
    return pytest.importorskip("pynwb", reason="the extra nwb is not installed")


@pytest.fixture(scope="module")
def root(viewed_root, tmp_path_factory) -> Settings:
    """A copy of the processed sessions with the outcomes of the trials."""
    folder = Path(shutil.copytree(viewed_root.root, tmp_path_factory.mktemp("nwb") / "root"))
    settings = viewed_root.model_copy(update={"root": folder})
    store = SessionStore(settings)
    for eid in store.eids("session"):
        row, trials = store.load("session", eid).iloc[0], store.load("trials", eid)
        outcomes = evaluate("trials", settings, trials=trials, session_row=row)
        open_outcomes(settings).record_evaluations(eid, outcomes)
    return settings


@pytest.fixture(scope="module")
def one(root):
    return connect(root)


def of_one_fiber(store: SessionStore) -> str:
    """The first session with one fiber."""
    return next(e for e in store.eids("session") if len(store.load("session", e).roi.iloc[0]) == 1)


@pytest.fixture(scope="module")
def written(pynwb, root, one, tmp_path_factory):
    """Eid, export and open file of a session, with all that can be asked for."""
    eid = of_one_fiber(SessionStore(root))
    folder = tmp_path_factory.mktemp("dandiset")
    export = export_session(one, eid, root, folder, with_responses=True, with_names=True)
    with pynwb.NWBHDF5IO(export.path, "r") as io:
        yield eid, export, io.read()


def times_of(series) -> np.ndarray:
    if series.timestamps is not None:
        return series.timestamps[:]
    return series.starting_time + np.arange(len(series.data)) / series.rate


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, equal_nan=True)


def same_content(nwbfile, settings, eid, *, has_responses=False):
    """Compare all numbers of a file with those that are stored."""
    store = SessionStore(settings)
    reference, trials = store.load("photometry", eid), store.load("trials", eid)
    bands = read_bands(reference, settings, restrict=False)
    names = {"GCaMP": "gcamp_signal", "Isosbestic": "isosbestic_signal"}
    assert set(nwbfile.acquisition) == {names[band] for band in bands}
    for band, frame in bands.items():
        series = nwbfile.acquisition[names[band]]
        close(series.data[:], frame.to_numpy())
        close(times_of(series), frame.index.to_numpy())
        all_there = frame.notna().all(axis=1).to_numpy()
        assert np.array_equal(series.control[:] == 1, all_there)
        assert np.array_equal(series.control[:] == 0, frame.isna().all(axis=1).to_numpy())
        rows = series.fiber_photometry_table_region.to_dataframe()
        assert rows["recording_name"].tolist() == list(frame.columns)
        assert set(rows["band"]) == {band}
    ophys = nwbfile.processing["ophys"]
    preprocessed = store.load("preprocessed", eid)
    order = list(bands["GCaMP"].columns)
    for name, variable in (("dff", "dff"), ("zscore", "signal"), ("filter_edge", "filter_edge")):
        series = ophys[name]
        close(series.data[:], np.column_stack([preprocessed[x][variable] for x in order]))
        close(times_of(series), preprocessed[order[0]]["time"].to_numpy())
    assert ophys["filter_edge"].data[:].any()
    table = nwbfile.trials.to_dataframe()
    assert len(table) == len(trials)
    for name, source in TIMES.items():
        if trials[source].notna().any():
            close(table[name].to_numpy(dtype=float), trials[source].to_numpy())
        else:
            assert name not in table
    assert table["gabor_stimulus_side"].tolist() == trials["stim_side"].tolist()
    side = {"clockwise": "left", "counter_clockwise": "right", "none": "none"}
    assert [side[choice] for choice in table["mouse_wheel_choice"]] == list(trials["choice_side"])
    assert table["is_mouse_rewarded"].tolist() == (trials["feedbackType"] > 0).tolist()
    probability = {"unbiased": {0.5}, "left_block": {0.8}, "right_block": {0.2}}
    for kind, rows in table.groupby("block_type"):
        assert set(rows["probability_left"]) <= probability[kind]
    changes = np.flatnonzero(np.diff(trials["probabilityLeft"])) + 1
    assert np.array_equal(np.flatnonzero(np.diff(table["block_index"])) + 1, changes)
    feedback = nwbfile.events["feedback"].to_dataframe()
    close(feedback["timestamp"], trials["feedback_times"].dropna())
    if has_responses:
        for name, data in store.load("responses", eid).items():
            stored = ophys[f"responses_{name}"]
            for event in data["event"].to_numpy():
                close(stored[str(event)].data[:], data.sel(event=event).to_numpy())
            words = stored.description.partition("[s]: ")[2]
            close(json.loads(words), data["time"].to_numpy())


def inspected(path):
    """Messages of DANDI's inspector, and what pynwb finds wrong."""
    inspector = pytest.importorskip("nwbinspector", reason="nwbinspector is not installed")
    import pynwb

    config = inspector.load_config(filepath_or_keyword="dandi")
    found = list(inspector.inspect_nwbfile(nwbfile_path=path, config=config))
    return found, pynwb.validate(path=str(path))


def obeys(path):
    found, invalid = inspected(path)
    assert invalid == []
    assert {message.importance.name for message in found} <= {"BEST_PRACTICE_SUGGESTION"}, found
    assert {message.check_function_name for message in found} <= ACCEPTED, found


@pytest.mark.parametrize("name", ["trials", "fibers", "series", "nwb"])
def test_examples_of_the_docstrings(name):
    module = importlib.import_module(f"iblnm.export.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.slow
def test_nothing_imports_pynwb_before_it_is_needed():
    code = (
        "import sys, iblnm, iblnm.export.nwb, iblnm_dagster.cli, iblnm_dagster.definitions;"
        "assert not {'pynwb', 'hdmf', 'ndx_fiber_photometry'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_is_where_dandi_wants_it(written):
    eid, export, nwbfile = written
    subject = nwbfile.subject.subject_id
    assert export.path.name == f"sub-{subject}_ses-{eid}_behavior+ophys.nwb"
    assert export.path.parent.name == f"sub-{subject}"
    assert export.n_bytes == export.path.stat().st_size
    assert nwb_path("x", "fip_40", FIP_40).name == f"sub-fip-40_ses-{FIP_40}_behavior+ophys.nwb"
    with pytest.raises(InvalidNameError, match=r"\.\./etc"):
        nwb_path("x", "../etc", FIP_40)


def test_what_was_stored_comes_back(written, root, one):
    eid, export, nwbfile = written
    same_content(nwbfile, root, eid, has_responses=True)
    wheel = read_wheel(one, eid, root)
    series = nwbfile.processing["behavior"]["WheelPositionSeries"]
    close(series.data[:], wheel.position)
    close(times_of(series), wheel.times)
    assert series.unit == "radians"
    assert export.left_out == ()


def test_quality_and_checks_are_tables(written, root):
    eid, _, nwbfile = written
    stored = SessionStore(root).load("photometry_qc", eid)
    quality = nwbfile.processing["quality"]["photometry_quality"].to_dataframe()
    assert quality["band"].tolist() == stored["band"].tolist()
    for name in ("n_unique_samples", "bleaching_tau", "iso_correlation"):
        close(quality[name].to_numpy(dtype=float), stored[name].to_numpy(dtype=float))
    assert not [name for name in quality if stored[name].isna().all()]
    checks = nwbfile.processing["quality"]["checks"].to_dataframe().set_index("check")
    assert sorted(checks.index) == sorted(open_outcomes(root).evaluations(eid)["check"])
    enough = checks.loc["insufficient_trials"]
    assert (enough["result"], enough["severity"]) == ("pass", "BLOCK")
    assert enough["limit"] == root.thresholds.min_trials
    assert enough["value"] == len(nwbfile.trials)


def test_fibers_insertions_and_animal(written, root, small_archive):
    eid, _, nwbfile = written
    session = SessionStore(root).load("session", eid).iloc[0]
    table = nwbfile.lab_meta_data["fiber_photometry"].fiber_photometry_table.to_dataframe()
    assert table["band"].tolist() == ["GCaMP", "Isosbestic"]
    assert table["excitation_wavelength_in_nm"].tolist() == [470.0, 415.0]
    assert set(table["location"]) == set(session["brain_region"])
    assert table["indicator"].iloc[0].label == "GCaMP6f"
    fibers = pd.read_csv(root.cache_dir / "fibers.csv").set_index("subject").loc[session.subject]
    insertion = table["optical_fiber"].iloc[0].fiber_insertion
    sign = 1 if root.right_is_positive_ml else -1
    assert insertion.insertion_position_ml_in_mm == sign * fibers["X-ml_um"] / 1000
    assert insertion.insertion_position_ap_in_mm == fibers["Y-ap_um"] / 1000
    assert insertion.insertion_position_dv_in_mm == fibers["Z-dv_um"] / 1000
    assert insertion.depth_in_mm == fibers["depth"] / 1000
    assert insertion.insertion_angle_pitch_in_deg == -90 + fibers["theta"]
    assert insertion.hemisphere == {"l": "left", "r": "right"}[session.hemisphere[0]]
    assert "bregma" in insertion.position_reference
    model = table["optical_fiber"].iloc[0].model
    assert (model.numerical_aperture, model.core_diameter_in_um) == (0.39, 200.0)
    subject = nwbfile.subject
    days = (pd.Timestamp(session.start_time).normalize() - pd.Timestamp("2023-09-01")).days
    assert subject.age == f"P{days}D"
    assert subject.sex in "MF"
    assert (subject.strain, subject.genotype) == (session.strain, "; ".join(session.genotype))
    assert nwbfile.session_start_time.tzinfo is not None
    assert nwbfile.session_start_time.replace(tzinfo=None) == pd.Timestamp(session.start_time)


def test_comments_say_how_the_signal_was_made(written, root):
    eid, _, nwbfile = written
    known = json.loads(nwbfile.processing["ophys"]["zscore"].comments)
    assert known["provenance"]["parameters"]["fs"] == root.signal.fs
    assert known["provenance"]["inputs"][0]["hash"]
    stored = SessionStore(root).load("preprocessed", eid)
    for name, fitted in known["fibers"].items():
        assert fitted["sd"] == stored[name].attrs["sd"]
        assert fitted["correction"] == "isosbestic"


def words_of(path: Path) -> set[str]:
    """Every word of the texts and names in an HDF5 file; the bytes of numbers spell words too."""
    texts = []

    def read(name, item):
        values = [item.attrs[key] for key in item.attrs]
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "OS":
            values.append(item[()])
        texts.extend([name, *item.attrs])
        texts.extend(str(one) for value in values for one in np.ravel(value))

    with h5py.File(path, "r") as file:
        read("", file)
        file.visititems(read)
    return set(re.findall(r"\w+", " ".join(texts)))


def test_people_are_named_only_if_asked(written, pynwb, root, one, tmp_path):
    eid, _, nwbfile = written
    users = list(SessionStore(root).load("session", eid).iloc[0]["users"])
    assert list(nwbfile.experimenter) == users
    plain = export_session(one, eid, root, tmp_path).path
    with pynwb.NWBHDF5IO(plain, "r") as io:
        read = io.read()
        assert read.experimenter is None
        assert "responses_" not in " ".join(read.processing["ophys"].data_interfaces)
    assert words_of(written[1].path) >= set(users)
    assert not words_of(plain) & set(users)


@pytest.mark.slow
def test_sessions_obey_dandi(written, root, one, tmp_path):
    eids = SessionStore(root).eids("session")
    obeys(export_session(one, eids[1], root, tmp_path, with_responses=True).path)
    SessionStore(root).remove(["trials", "photometry"], eids[-1])  # hardly anything is left
    obeys(export_session(one, eids[-1], root, tmp_path).path)


@pytest.mark.slow
def test_pynapple_opens_it(written):
    nap = pytest.importorskip("pynapple", reason="pynapple is not installed")
    _, export, nwbfile = written
    data = nap.load_file(str(export.path))
    assert len(data["trials"]) == len(nwbfile.trials)
    close(data["zscore"].values, nwbfile.processing["ophys"]["zscore"].data[:])
    assert len(data["gcamp_signal"]) == len(nwbfile.acquisition["gcamp_signal"].data)
    data.close()


@pytest.mark.parametrize(
    ("assets", "note"),
    [
        (["wheel_velocity"], "wheel: none is stored"),
        (["trials", "responses"], "trials: none are stored"),
        (["photometry"], "photometry: none is stored"),
        (["preprocessed"], "preprocessed signal: none is stored"),
    ],
)
def test_a_session_without_something(assets, note, pynwb, viewed_settings, tmp_path):
    store = SessionStore(viewed_settings)
    eid = store.eids("session")[0]
    store.remove(assets, eid)
    export = export_session(connect(viewed_settings), eid, viewed_settings, tmp_path / "out")
    assert export.left_out == (note,)
    with pynwb.NWBHDF5IO(export.path, "r") as io:
        nwbfile = io.read()
        assert note in nwbfile.notes
        assert (nwbfile.trials is None) == ("trials" in assets)
        assert bool(nwbfile.events) == ("trials" not in assets)
        assert ("behavior" in nwbfile.processing) == ("wheel_velocity" not in assets)
        assert bool(nwbfile.acquisition) == ("photometry" not in assets)
        assert ("ophys" in nwbfile.processing) == (not {"photometry", "preprocessed"} & {*assets})


def test_a_session_without_isosbestic(pynwb, viewed_settings, writable_archive, tmp_path):
    settings = viewed_settings.model_copy(update={"one_cache_dir": writable_archive})
    store = SessionStore(settings)
    eid = of_one_fiber(store)
    reference = store.load("photometry", eid)
    own = Path(reference["signal_path"].iloc[0])
    path = writable_archive / own.relative_to(viewed_settings.cache_dir)
    signal = pd.read_parquet(path)
    signal[signal["name"] != "Isosbestic"].to_parquet(path)
    stage = next(stage for stage in all_stages() if stage.name == "photometry")
    one = connect(settings)
    reference = reference.assign(
        signal_path=str(path), signal_size=path.stat().st_size, bands=[["GCaMP"]]
    )
    write_table(reference, settings.root / stage.folder / f"{eid}.pqt", stage.table)
    export = export_session(one, eid, settings, tmp_path / "out")
    assert export.left_out == ("isosbestic band: none was recorded",)
    with pynwb.NWBHDF5IO(export.path, "r") as io:
        nwbfile = io.read()
        assert list(nwbfile.acquisition) == ["gcamp_signal"]
        table = nwbfile.lab_meta_data["fiber_photometry"].fiber_photometry_table
        assert list(table["band"][:]) == ["GCaMP"]


def test_a_signal_on_another_clock_is_left_out(pynwb, viewed_settings, tmp_path):
    store = SessionStore(viewed_settings)
    eid = store.eids("session")[0]
    stage = next(stage for stage in all_stages() if stage.name == "photometry")
    reference = store.load("photometry", eid).assign(clock="camera")
    write_table(reference, viewed_settings.root / stage.folder / f"{eid}.pqt", stage.table)
    export = export_session(connect(viewed_settings), eid, viewed_settings, tmp_path / "out")
    assert export.left_out == (
        "photometry: it is on the camera's own clock until it is extracted",
    )


def test_a_column_that_no_trial_has_is_left_out(pynwb, viewed_settings, tmp_path):
    store = SessionStore(viewed_settings)
    eid = store.eids("session")[0]
    trials = store.load("trials", eid)
    trials["goCue_times"] = np.nan
    trials["quiescencePeriod"] = 0.5
    trials.loc[3, ["choice", "feedbackType"]] = np.nan
    write_groups(store.h5_path(eid), {"trials": trials}, Provenance())
    export = export_session(connect(viewed_settings), eid, viewed_settings, tmp_path / "out")
    with pynwb.NWBHDF5IO(export.path, "r") as io:
        nwbfile = io.read()
        table = nwbfile.trials.to_dataframe()
        assert "auditory_cue_time" not in table
        assert "auditory_cue" not in nwbfile.events
        assert set(table["quiescencePeriod"]) == {0.5}
        assert table["mouse_wheel_choice"][3] == "unknown"
        assert np.isnan(table["is_mouse_rewarded"][3])
        assert table["is_mouse_rewarded"].notna().sum() == len(trials) - 1


def test_a_write_that_fails_leaves_what_was_there(
    written, pynwb, root, one, tmp_path, monkeypatch
):
    eid = written[0]

    def fails(self, *arguments, **options):
        self._file.create_group("half")
        raise OSError("no space left on device")

    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", fails)
    with pytest.raises(OSError, match="no space"):
        export_session(one, eid, root, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    monkeypatch.undo()
    path = export_session(one, eid, root, tmp_path).path
    before = path.read_bytes()
    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", fails)
    with pytest.raises(OSError, match="no space"):
        export_session(one, eid, root, tmp_path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_session_that_is_not_stored(pynwb, root, one, tmp_path):
    with pytest.raises(UnknownSessionError, match="nothing is stored of it"):
        export_session(one, CQ002, root, tmp_path)


@pytest.fixture
def run(root, monkeypatch):
    """Function that runs the command on the module's root."""
    from iblnm_dagster.cli import cli

    monkeypatch.setenv("IBLNM_ROOT", str(root.root))
    monkeypatch.setenv("IBLNM_ONE_CACHE_DIR", str(root.cache_dir))
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(cli, ["export", "nwb", *map(str, arguments)])
    get_settings.cache_clear()


def test_the_command_has_a_line_per_session(run, written, tmp_path):
    eid = written[0]
    listed = tmp_path / "eids.txt"
    listed.write_text(f"{eid}\n{CQ002}\n")
    result = run("--eids", listed, "--to", tmp_path / "out")
    assert result.exit_code == 1
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) == 1
    assert f"{eid}  {files[0].relative_to(tmp_path / 'out')}  " in result.output
    assert f"{CQ002}  not written: session {CQ002}: nothing is stored of it" in result.output
    assert f"1 of 2 sessions written to {tmp_path / 'out'}" in result.output
    listed.write_text(f"{eid}\n")
    assert run("--eids", listed, "--to", tmp_path / "out").exit_code == 0


def test_without_the_extra_the_command_says_how_to_get_it(run, monkeypatch, tmp_path):
    monkeypatch.setattr("iblnm.export.nwb.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'iblnm\[nwb\]'"):
        require_nwb()
    result = run("--to", tmp_path / "out")
    assert result.exit_code == 2
    assert "pip install 'iblnm[nwb]'" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("eid", [CQ002, FIP_40])
def test_real_recordings(eid, pynwb, real_data, tmp_path):
    settings = Settings(root=tmp_path / "root", one_cache_dir=real_data / "alf")
    one = connect(settings)
    store_stages(one, eid, settings)
    export = export_session(one, eid, settings, tmp_path / "out", with_responses=True)
    with pynwb.NWBHDF5IO(export.path, "r") as io:
        nwbfile = io.read()
        same_content(nwbfile, settings, eid, has_responses=True)
        assert nwbfile.subject.age == "P0D/"
        assert nwbfile.subject.sex == "U"
    assert "wheel: none is stored" in export.left_out
    assert ("isosbestic band: none was recorded" in export.left_out) == (eid == FIP_40)
    obeys(export.path)
