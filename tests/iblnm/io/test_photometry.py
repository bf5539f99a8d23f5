import numpy as np
import pandas as pd
import pytest

from iblnm.archive import fetch_session
from iblnm.config import Settings
from iblnm.errors import MalformedFileError, MissingFileError, UnreadableFileError
from iblnm.io import load_photometry, photometry_reference
from iblnm.io import signal_file as signal_module
from iblnm.io.signal_file import read_signal_file
from iblnm.pipeline import stages
from iblnm.validation import RULES

SIGNAL = "alf/photometry/photometry.signal.pqt"
LOCATIONS = "alf/photometry/photometryROI.locations.pqt"


def reference_of(tree, files, **kwargs):
    eid = tree.add(files, **kwargs)
    one = tree.open()
    row = fetch_session(one, eid, tree.settings)
    return photometry_reference(one, eid, row, tree.settings)


def test_reference_describes_the_signal(tree, files):
    reference = reference_of(tree, files)
    assert reference["column"].tolist() == ["G0", "G1"]
    assert reference["recording_name"].tolist() == ["VTA", "SNc"]
    assert reference["hemisphere"].tolist() == ["l", "r"]
    assert reference["fiber_idx"].tolist() == [0, 1]
    first = reference.iloc[0]
    assert first["bands"] == ["GCaMP", "Isosbestic"]
    assert first["rate_hz"] == pytest.approx(30.0, rel=1e-9)
    assert first["n_samples"] == 1500
    assert first["first_sample_s"] == pytest.approx(-10 + 101 / 60)  # the first valid one
    assert (first["source"], first["clock"]) == ("extracted", "session")
    assert (first["n_trials"], first["n_trials_missing"], first["missing_share"]) == (20, 0, 0)
    assert first["last_sample_s"] == pytest.approx(-10 + 2999 / 60)
    assert (first["task_start_s"], first["task_end_s"]) == (2.0, pytest.approx(31.9))
    assert first["first_stim_on_s"] == pytest.approx(2.1)
    assert first["last_feedback_s"] == pytest.approx(2 + 19 * 1.5 + 0.8)
    assert first["valid_column"] == "valid"
    assert first["unmapped_columns"] == []
    assert first["raw_path"].endswith("fpData.raw.pqt")
    assert len(first["signal_hash"]) == 32


def test_loaded_frames_are_those_of_the_file(tree, files):
    bands = load_photometry(reference_of(tree, files))
    table = files[SIGNAL]
    inside = (table["times"] > 2.0 - 5) & (table["times"] < 31.9 + 5)
    expected = table[inside & (table["name"] == "GCaMP")]
    shortest = min(len(expected), int((inside & (table["name"] == "Isosbestic")).sum()))
    for band in ("GCaMP", "Isosbestic"):
        assert bands[band].index.name == "times"
        assert list(bands[band]) == ["VTA", "SNc"]
        assert len(bands[band]) == shortest
    np.testing.assert_array_equal(bands["GCaMP"].index, expected["times"][:shortest])
    np.testing.assert_array_equal(bands["GCaMP"]["SNc"], expected["G1"][:shortest])


def test_invalid_samples_are_nan_for_both_marks(tree, files):
    table = files[SIGNAL]
    table.loc[1000:1100, "valid"] = False
    old = table.rename(columns={"valid": "include"})
    loaded = []
    for number, content in enumerate((table, old), start=1):
        reference = reference_of(tree, {**files, SIGNAL: content}, number=number)
        loaded.append(load_photometry(reference))
    assert reference["valid_column"].iloc[0] == "include"
    pd.testing.assert_frame_equal(loaded[0]["GCaMP"], loaded[1]["GCaMP"])
    band = loaded[0]["GCaMP"]["VTA"]
    marked = table[(table["name"] == "GCaMP") & ~table["valid"]]["times"]
    expected = band.index.isin(marked)
    assert expected.sum() == 50
    np.testing.assert_array_equal(band.isna(), expected)


def test_unmarked_and_unrestricted(tree, files):
    del files["alf/task_00/_ibl_trials.table.pqt"]
    files[SIGNAL] = files[SIGNAL].drop(columns="valid")
    reference = reference_of(tree, files)
    assert reference["task_start_s"].isna().all()
    assert reference["valid_column"].isna().all()
    bands = load_photometry(reference)
    assert len(bands["GCaMP"]) == 1499  # cut to the shorter band
    assert bands["GCaMP"].notna().all(axis=None)


def test_single_band_unknown_band_and_null_names(tree, files):
    table = files[SIGNAL]
    table["name"] = np.where(table["name"] == "Isosbestic", "RCaMP", table["name"])
    table.loc[table["name"] == "", "name"] = None
    table.loc[50, "name"] = "None"
    reference = reference_of(tree, files)
    assert reference["bands"].iloc[0] == ["GCaMP", "RCaMP"]
    bands = load_photometry(reference)
    assert list(bands) == ["GCaMP"]
    assert list(load_photometry(reference, bands=("GCaMP", "RCaMP"))) == ["GCaMP", "RCaMP"]


def test_two_fibers_in_one_region(tree, files):
    files[LOCATIONS]["brain_region"] = ["NBM-l", "NBM-r"]
    reference = reference_of(tree, files)
    assert reference["recording_name"].tolist() == ["NBM", "NBM_1"]
    assert reference["brain_region"].tolist() == ["NBM", "NBM"]
    assert list(load_photometry(reference)["GCaMP"]) == ["NBM", "NBM_1"]


def test_columns_without_a_single_region_are_listed(tree, files, signal_maker):
    files[SIGNAL] = signal_maker(columns=("G0", "G1", "G2"))
    reference = reference_of(tree, files)
    assert reference["unmapped_columns"].iloc[0] == ["G2"]
    assert reference["fiber_idx"].isna().tolist() == [False, False, True]
    assert list(load_photometry(reference)["GCaMP"]) == ["VTA", "SNc"]


def test_sources_that_disagree_leave_the_column_unmapped(tree, files):
    fibers = {"G0": {"location": "VTA"}, "G1": {"location": "LC"}}
    files["_ibl_experiment.description.yaml"] = {
        "devices": {"neurophotometrics": {"fibers": fibers}}
    }
    reference = reference_of(tree, files)
    assert reference["unmapped_columns"].iloc[0] == ["G1"]


def test_regions_without_columns_map_only_one_to_one(tree, files, signal_maker):
    del files[LOCATIONS]
    table = pd.DataFrame(
        {"subject": "M1", "targeted_region": ["LC"], "neuromodulator": "NE", "X-ml_um": -900}
    )
    for name in ("Y-ap_um", "Z-dv_um", "depth", "theta", "phi"):
        table[name] = 0.0
    tree.root.mkdir()
    table.to_csv(tree.root / "fibers.csv", index=False)
    two = reference_of(tree, files)
    assert two["unmapped_columns"].iloc[0] == ["G0", "G1"]
    with pytest.raises(MalformedFileError, match="no signal column maps"):
        load_photometry(two)
    one = reference_of(tree, {**files, SIGNAL: signal_maker(columns=("G0",))}, number=2)
    assert one["recording_name"].tolist() == ["LC"]
    assert one["hemisphere"].tolist() == ["l"]


def test_invalid_region_names_never_become_recordings(tree, files):
    files[LOCATIONS]["brain_region"] = ["../../VTA", "SNc"]
    reference = reference_of(tree, files)
    assert reference["unmapped_columns"].iloc[0] == ["G0"]
    assert list(load_photometry(reference)["GCaMP"]) == ["SNc"]


def no_time(table):
    table["times"] = np.nan


def milliseconds(table):
    table["times"] *= 1000


def every_frame_twice(table):
    table["name"] = np.where(np.arange(len(table)) // 2 % 2, "GCaMP", "Isosbestic")


def no_names(table):
    table["name"] = ""


def empty_columns(table):
    table["G0"] = table["G1"] = np.nan


def text_times(table):
    table["times"] = "x"


def numeric_names(table):
    table["name"] = 3.0


def text_marks(table):
    table["valid"] = "yes"


def drop_times(table):
    del table["times"]


def drop_names(table):
    del table["name"]


def drop_signal(table):
    del table["G0"], table["G1"]


def rename_both(table):
    table.columns = [{"G0": "G4", "G1": "G5"}.get(name, name) for name in table]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_time, "0 of 2999 times are finite"),
        (milliseconds, "GCaMP are 33.33.* s apart; at most 1 s is expected .*in seconds"),
        (every_frame_twice, "0 samples of GCaMP.*left out: 1499 frames that follow"),
        (no_names, "bands: none; GCaMP is expected"),
        (empty_columns, "columns G0, G1: 0 of 1500 samples"),
        (text_times, "column times has type .*string"),
        (numeric_names, "column name has type double"),
        (text_marks, "column valid has type .*string"),
        (drop_times, "columns times are missing; the file has G0"),
        (drop_names, "columns name are missing; the file has G0"),
        (drop_signal, "no signal column"),
        (rename_both, "regions name the columns G0, G1; the file has G4, G5"),
    ],
)
@pytest.mark.slow
def test_malformed_signals(tree, files, damage, message):
    damage(files[SIGNAL])
    with pytest.raises(MalformedFileError, match=message) as error:
        reference_of(tree, files)
    assert error.value.path.name == "photometry.signal.pqt"
    assert error.value.eid is not None


def make_raw(n=4000):
    frames = np.arange(n)
    led = np.where(frames % 2 == 1, 2, 1)
    led[0] = 7
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "FrameCounter": frames,
            "SystemTimestamp": 5000 + frames / 60,
            "ComputerTimestamp": 1e8 + frames / 60,
            "LedState": led.astype(np.int16),
            "G0": rng.normal(1, 0.01, n),
            "G1": rng.normal(1, 0.01, n),
        }
    )


@pytest.mark.slow
def test_raw_frames_are_taken_until_the_signal_is_extracted(tree, files):
    files["raw_photometry_data/_neurophotometrics_fpData.raw.pqt"] = make_raw()
    extracted = {name: files.pop(name) for name in (SIGNAL, LOCATIONS)}
    settings = tree.settings

    def computed(number, content):
        eid = tree.add(content, number=number)
        one = tree.open()
        row = fetch_session(one, eid, settings).iloc[0]
        trials = stages.trials_table(one, row, settings).value
        result = stages.photometry_reference(one, row, settings)
        quality = stages.photometry_quality(result.value, settings).value
        signal = stages.preprocessed_signal(result.value, settings)
        return result, quality, signal, stages.peri_event_responses(signal.value, trials, settings)

    result, quality, signal, responses = computed(1, files)
    assert set(result.value["source"]) == {"raw"}
    assert "not extracted yet" in result.note
    raw_name = "raw_photometry_data/_neurophotometrics_fpData.raw.pqt"
    assert [entry["name"] for entry in result.provenance.inputs] == [raw_name]
    assert [entry["name"] for entry in signal.provenance.inputs] == [raw_name]
    assert quality["n_band_inversions"].tolist() == [0] * 4
    assert {data.attrs["source"] for data in signal.value.values()} == {"raw"}
    assert np.isfinite(next(iter(signal.value.values()))["dff"]).mean() > 0.99
    assert responses.value is None
    assert "camera's own clock" in responses.note

    result, _, signal, responses = computed(2, {**files, **extracted})
    assert set(result.value["source"]) == {"extracted"}
    assert {entry["name"] for entry in result.provenance.inputs} == {SIGNAL, LOCATIONS}
    assert len(responses.value) == 2


def test_a_named_column_that_is_not_there_costs_its_own_fiber_alone(tree, files):
    del files[SIGNAL]["G1"]
    reference = reference_of(tree, files)
    assert reference["column"].tolist() == ["G0"]
    assert reference["absent_columns"].iloc[0] == ["G1"]
    bands = load_photometry(reference)
    assert np.isfinite(bands["GCaMP"]).to_numpy().all()
    outcome = RULES["missing_signal_column"].evaluate(Settings(), reference=reference)
    assert (outcome.passed, outcome.value) == (False, 1.0)
    assert "not in the file: G1; it has G0" in outcome.message


def test_a_column_of_nulls_and_marks_with_gaps(tree, files):
    signal = files[SIGNAL]
    signal["G1"] = pd.Series([None] * len(signal), dtype=object)
    signal["valid"] = 1.0
    signal.loc[1000:1020, "valid"] = np.nan
    bands = load_photometry(reference_of(tree, files))
    assert bands["GCaMP"].isna().to_numpy()[:, 1].all()
    assert 10 <= bands["GCaMP"].isna().to_numpy()[:, 0].sum() <= 11


@pytest.mark.parametrize("n_rows", [0, 1, 2, 3])
def test_too_few_frames(tree, files, n_rows):
    files[SIGNAL] = files[SIGNAL].iloc[:n_rows]
    with pytest.raises(MalformedFileError, match=r"frames|samples of GCaMP"):
        reference_of(tree, files)


@pytest.mark.parametrize("content", [b"", b"noise" * 100])
def test_corrupt_signal(tree, files, content):
    files[SIGNAL] = content
    with pytest.raises(UnreadableFileError, match=r"session .*photometry\.signal\.pqt"):
        reference_of(tree, files)


def test_signal_is_not_listed_or_changed_later(tree, files):
    reference = reference_of(tree, files)
    path = tree.sessions[0][1] / SIGNAL
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(UnreadableFileError):
        load_photometry(reference)
    files[SIGNAL].iloc[:2000].to_parquet(path)
    with pytest.raises(UnreadableFileError, match="when it was verified"):
        load_photometry(reference)
    path.unlink()
    with pytest.raises(MissingFileError, match="no such file"):
        load_photometry(reference)
    del files[SIGNAL], files["raw_photometry_data/_neurophotometrics_fpData.raw.pqt"]
    with pytest.raises(MissingFileError, match="lists no photometry signal and no raw"):
        reference_of(tree, files, number=2)


def test_task_outside_the_recording_or_all_invalid(tree, files, trials_maker):
    files[SIGNAL]["valid"] = False
    with pytest.raises(MalformedFileError, match=r"VTA, SNc: 0 of .* valid and finite"):
        load_photometry(reference_of(tree, files))
    files["alf/task_00/_ibl_trials.table.pqt"] = trials_maker(start=500.0)
    with pytest.raises(
        MalformedFileError, match=r"0 samples of GCaMP, Isosbestic between 495\.0 and"
    ):
        load_photometry(reference_of(tree, files, number=2))


def test_the_last_file_is_kept_and_not_changed_by_its_users(tree, files):
    reference = reference_of(tree, files)
    first = load_photometry(reference)
    hits = signal_module._read.cache_info().hits
    first["GCaMP"].iloc[:, :] = 0.0
    second = load_photometry(reference)
    assert signal_module._read.cache_info().hits == hits + 1
    assert (second["GCaMP"]["VTA"].dropna() > 0.5).all()
    assert signal_module._read.cache_info().currsize == 1


def library_bands(path, locations, trials):
    """Frames of ibl-photometry, with the name of the validity mark and the band names fixed."""
    from iblphotometry import fpio

    table = pd.read_parquet(path).rename(columns={"include": "valid"})
    table["name"] = table["name"].fillna("")
    rename = pd.read_parquet(locations)["brain_region"].to_dict()
    bands = fpio.from_photometry_df(
        table, data_columns=list(rename), rename=rename, validate=False
    )
    return fpio.restrict_to_session_time(bands, trials), table


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("subject", "collection", "n_samples", "rate"),
    [
        ("CQ002", "photometry", 82_213, 29.99),
        ("fip_40", "photometry", None, 50.0),
        ("fip_40", "photometry_upgraded", None, 50.0),
    ],
)
def test_parity_with_the_library_on_real_recordings(
    real_archive, subject, collection, n_samples, rate
):
    one, settings = real_archive
    (eid,) = one.search(subject=subject)
    row = fetch_session(one, eid, settings)
    reference = photometry_reference(one, eid, row, settings)
    folder = one.eid2path(eid) / "alf" / collection
    path = folder / "photometry.signal.pqt"
    reference["signal_path"] = str(path)
    reference["signal_size"] = path.stat().st_size
    bands = load_photometry(reference)
    trials = pd.read_parquet(next(one.eid2path(eid).rglob("_ibl_trials.table.pqt")))
    expected, table = library_bands(path, folder / "photometryROI.locations.pqt", trials)
    assert sorted(bands) == sorted(expected)
    invalid = table.loc[~table["valid"], "times"]
    assert reference["rate_hz"].iloc[0] == pytest.approx(rate, abs=0.01)
    for band, frame in expected.items():
        found = bands[band]
        np.testing.assert_array_equal(found.index, frame.index)
        assert list(found) == list(frame)
        if n_samples:
            assert len(found) == n_samples
        marked = frame.index.isin(invalid)
        assert 0 < marked.sum() < 1000
        np.testing.assert_array_equal(found.isna().any(axis=1), marked)
        np.testing.assert_array_equal(found.to_numpy()[~marked], frame.to_numpy()[~marked])


@pytest.mark.slow
@pytest.mark.real
def test_parity_with_the_library_loader_class(real_archive):
    from iblphotometry.fpio import PhotometrySessionLoader

    one, settings = real_archive
    (eid,) = one.search(subject="CQ002")
    loader = PhotometrySessionLoader(one=one, eid=eid)
    loader.load_photometry()
    row = fetch_session(one, eid, settings)
    bands = load_photometry(photometry_reference(one, eid, row, settings))
    assert list(bands) == list(loader.photometry)
    for band, frame in loader.photometry.items():
        np.testing.assert_array_equal(bands[band].index, frame.index)
        values = bands[band].to_numpy()
        same = values == frame.to_numpy()
        assert (same | np.isnan(values)).all()


def test_signal_file_without_reference(tmp_path, signal_maker):
    path = tmp_path / "signal.pqt"
    table = signal_maker(columns=("Region0G", "Green")).rename(columns={"Green": "VTA"})
    table.to_parquet(path)
    assert list(read_signal_file(path).columns) == ["Region0G"]
    assert list(read_signal_file(path, ["VTA"]).columns) == ["Region0G", "VTA"]
    assert read_signal_file(path).times[0] == table["times"][1]
