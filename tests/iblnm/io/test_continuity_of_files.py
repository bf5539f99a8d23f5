"""What a rig can do to a signal: what is missing then, who says it, and what lives on."""

import numpy as np
import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.errors import MalformedFileError
from iblnm.io import fetch_session, load_photometry, photometry_reference
from iblnm.pipeline import stages
from iblnm.pipeline.rules import evaluate

SIGNAL = "alf/photometry/photometry.signal.pqt"
LOCATIONS = "alf/photometry/photometryROI.locations.pqt"
TRIALS = "alf/task_00/_ibl_trials.table.pqt"
SETTINGS = Settings(_env_file=None)


@pytest.fixture
def long_files(files, signal_maker, trials_maker):
    """A task of 200 s in a recording of 240 s; one transient after each feedback."""
    table = signal_maker(n_frames=60 * 240, start=-15.0)
    table["valid"] = True
    trials = trials_maker(100, every=2.0)
    late = table["times"].to_numpy()[:, None] - trials["feedback_times"].to_numpy()
    response = np.where(late > 0, np.exp(-np.clip(late, 0, None) / 0.3), 0).sum(axis=1)
    is_signal = table["name"] == "GCaMP"
    for name in ("G0", "G1"):
        table[name] += np.where(is_signal, 0.2 * response, 0.0)
    return {**files, SIGNAL: table, TRIALS: trials}


def lose_band(band):
    def damage(table):
        inside = table["times"].between(100, 130) & (table["name"] == band)
        return table[~inside].reset_index(drop=True)

    return damage


def mark_invalid(table):
    return table.assign(valid=~table["times"].between(100, 130))


def run_of_nan(table):
    return table.assign(G0=table["G0"].where(~table["times"].between(100, 130)))


def zeros(table):
    return table.assign(G0=table["G0"].where(~table["times"].between(100, 130), 0.0))


def stand_still(table):
    return table.assign(G0=table["G0"].where(~table["times"].between(100, 130), 1.01))


def saturate(table):
    return table.assign(G0=table["G0"].where(~table["times"].between(100, 130), 9.0))


def end_early(table):
    lost = (table["times"] > 170) & (table["name"] == "Isosbestic")
    return table[~lost].reset_index(drop=True)


def start_late(table):
    lost = (table["times"] < 30) & (table["name"] == "Isosbestic")
    return table[~lost].reset_index(drop=True)


def set_back(table):
    return table.assign(times=table["times"].where(table["times"] < 170, table["times"] - 20))


def jump_ahead(table):
    """The clock leaves 20 s out; the recording goes on beyond the task."""
    return table.assign(times=table["times"].where(table["times"] < 170, table["times"] + 20))


def some_frames_twice(table):
    names = table["name"].to_numpy().copy()
    names[[4000, 8000]] = names[[3999, 7999]]
    return table.assign(name=names)


def some_times_twice(table):
    times = table["times"].to_numpy().copy()
    times[[4000, 8000, 9000]] = times[[3998, 7998, 8998]]
    return table.assign(times=times)


def sparse_nan(table):
    at = np.random.default_rng(0).choice(len(table), 30, replace=False)
    values = table["G0"].to_numpy().copy()
    values[at] = np.nan
    return table.assign(G0=values)


def evaluated(tree, files):
    eid = tree.add(files)
    one = tree.open()
    row = fetch_session(one, eid, tree.settings).iloc[0]
    reference = stages.photometry_reference(one, row, tree.settings).value
    trials = stages.trials_table(one, row, tree.settings).value
    outcomes = evaluate("photometry", SETTINGS, reference=reference, session_row=row)
    failed = {o.rule: o for o in outcomes if not o.passed}
    preprocessed = stages.preprocessed_signal(reference, tree.settings).value
    responses = stages.peri_event_responses(preprocessed, trials, tree.settings).value
    return reference, trials, failed, responses


def early(responses):
    data = responses.sel(event="feedback_times")
    inside = (data["time"] >= 0.1) & (data["time"] < 0.35)
    before = (data["time"] >= -0.1) & (data["time"] < 0)
    return (data[:, inside].mean("time", skipna=False) - data[:, before].mean("time")).to_numpy()


@pytest.mark.parametrize(
    ("damage", "rule", "n_lost", "lost_until"),
    [
        (lose_band("GCaMP"), "incomplete_signal", 16, 130),
        (lose_band("Isosbestic"), "incomplete_signal", 16, 130),
        (mark_invalid, "incomplete_signal", 16, 130),
        (run_of_nan, "incomplete_signal", 16, 130),
        (zeros, "incomplete_signal", 16, 130),
        (stand_still, "still_signal", 16, 130),
        (saturate, "saturated_signal", 16, 130),
        (end_early, "incomplete_signal", 17, 300),
        (start_late, "incomplete_signal", 15, 30),
        (jump_ahead, "incomplete_signal", 11, 190),
    ],
)
@pytest.mark.slow
def test_a_gap_is_a_gap_in_everything(tree, long_files, damage, rule, n_lost, lost_until):
    long_files[SIGNAL] = damage(long_files[SIGNAL])
    reference, trials, failed, responses = evaluated(tree, long_files)
    assert rule in failed
    assert failed[rule].value > failed[rule].limit
    assert "trials_not_in_photometry_time" not in failed
    first = reference.iloc[0]
    assert first["n_trials"] == 100
    assert first["n_trials_missing"] == pytest.approx(n_lost, abs=2)
    values = early(responses["VTA"])
    lost = ~np.isfinite(values)
    assert lost.sum() == pytest.approx(n_lost, abs=2)
    times = trials["feedback_times"].to_numpy()
    assert times[lost].max() < lost_until + 2
    # what is left is what was there
    if damage is not jump_ahead:
        z_to_raw = values[~lost] / np.nanmedian(values)
        assert z_to_raw.std() < 0.2


@pytest.mark.parametrize("pause_s", [1.5, 5.0])
def test_a_pause_of_the_frames_is_named_though_it_costs_few_trials(tree, long_files, pause_s):
    times = long_files[SIGNAL]["times"]
    long_files[SIGNAL]["times"] = times.where(times < 170, times + pause_s)
    _, _, failed, _ = evaluated(tree, long_files)
    assert set(failed) == ({"clock_jump"} if pause_s > 2 else set())
    if failed:
        outcome = failed["clock_jump"]
        assert (outcome.value, outcome.limit) == (pytest.approx(5 + 1 / 60, abs=1e-3), 2.0)


def test_frames_that_one_band_lost_are_no_jump_of_the_clock(tree, long_files):
    long_files[SIGNAL] = lose_band("GCaMP")(long_files[SIGNAL])
    assert "clock_jump" not in evaluated(tree, long_files)[2]


def test_other_fibers_keep_what_one_has_lost(tree, long_files):
    long_files[SIGNAL]["G0"] = 0.5  # never moves
    _, _, failed, responses = evaluated(tree, long_files)
    assert list(responses) == ["SNc"]
    assert np.isfinite(early(responses["SNc"])).all()
    assert "trials_not_in_photometry_time" not in failed


@pytest.mark.slow
def test_a_clock_set_back_is_not_believed_after_it(tree, long_files):
    long_files[SIGNAL] = set_back(long_files[SIGNAL])
    _, trials, failed, responses = evaluated(tree, long_files)
    outcome = failed["clock_out_of_order"]
    assert outcome.value == pytest.approx(55 * 60, abs=5)
    assert "by 19.9" in outcome.message or "by 20.0" in outcome.message
    values, times = early(responses["VTA"]), trials["feedback_times"].to_numpy()
    assert np.isfinite(values[times < 168]).all()
    assert np.isnan(values[times > 172]).all()


def test_a_clock_set_back_that_leaves_the_task_uncovered_stops_the_photometry(tree, long_files):
    long_files[SIGNAL] = set_back(long_files[SIGNAL])
    _, _, failed, _ = evaluated(tree, long_files)
    assert failed["trials_not_in_photometry_time"].value == pytest.approx(30.8, abs=0.2)


@pytest.mark.parametrize(
    ("damage", "rule", "value"),
    [
        (some_frames_twice, "repeated_frames", 4),
        (some_times_twice, "clock_out_of_order", 3),
        (sparse_nan, None, None),
    ],
)
@pytest.mark.slow
def test_a_few_bad_frames_cost_a_few_trials(tree, long_files, damage, rule, value):
    long_files[SIGNAL] = damage(long_files[SIGNAL])
    reference, _, failed, responses = evaluated(tree, long_files)
    assert set(failed) == ({rule} if rule else set())
    if rule:
        assert failed[rule].value == value
    assert np.isfinite(early(responses["VTA"])).sum() >= 96
    quality = stages.photometry_quality(reference, tree.settings).value
    metrics = ["ar_score", "median_absolute_deviance", "percentile_distance"]
    assert quality[metrics].notna().all(axis=None)
    assert (quality["window_share"] == 1).all()


def test_text_in_a_column_is_missing_there_and_told(tree, long_files):
    table = long_files[SIGNAL]
    values = table["G0"].astype(object)
    values[table["times"].between(100, 101)] = "n/a"
    long_files[SIGNAL] = table.assign(G0=values.astype(str))
    _, trials, failed, responses = evaluated(tree, long_files)
    assert failed == {}
    near = trials["feedback_times"].between(99, 102).to_numpy()
    assert np.isfinite(early(responses["VTA"])[~near]).all()
    assert np.isnan(early(responses["VTA"])).any()


def test_a_column_of_text_costs_its_fiber(tree, long_files):
    table = long_files[SIGNAL]
    long_files[SIGNAL] = table.assign(G0="n/a")
    reference, _, failed, responses = evaluated(tree, long_files)
    assert list(responses) == ["SNc"]
    assert reference["n_text"].tolist() == [len(table) - 1, 0]
    assert "14399 values of VTA are text and no numbers" in failed["incomplete_signal"].message


def interchange(table):
    return table.assign(name=table["name"].map({"GCaMP": "Isosbestic", "Isosbestic": "GCaMP"}))


@pytest.mark.parametrize(
    ("isosbestic_nm", "damage", "n_wrong"),
    [(415, None, 0), (405, None, 0), (415, interchange, 14398), (None, interchange, None)],
)
@pytest.mark.slow
def test_names_that_contradict_the_light_stop_the_photometry(
    tree, long_files, isosbestic_nm, damage, n_wrong
):
    table = long_files[SIGNAL]
    if isosbestic_nm:
        light = table["name"].map({"GCaMP": 470.0, "Isosbestic": float(isosbestic_nm)})
        table = table.assign(wavelength=light)
    else:
        table = table.drop(columns="wavelength", errors="ignore")
    long_files[SIGNAL] = table if damage is None else damage(table)
    reference, _, failed, _ = evaluated(tree, long_files)
    if n_wrong is None:
        assert reference["n_mislabeled"].isna().all()
        assert "mislabeled_bands" not in failed
    elif n_wrong == 0:
        assert reference["n_mislabeled"].tolist() == [0, 0]
    else:
        assert failed["mislabeled_bands"].value == pytest.approx(n_wrong, abs=2)
        assert failed["mislabeled_bands"].severity == "BLOCK"


def test_windows_that_are_too_empty_are_left_out_and_counted(tree, long_files):
    long_files[SIGNAL] = mark_invalid(long_files[SIGNAL])
    reference, *_ = evaluated(tree, long_files)
    quality = stages.photometry_quality(reference, tree.settings).value
    assert quality["window_share"].iloc[0] == 0
    assert "windows unusable for all metrics" in quality["note"].iloc[0]
    assert quality["missing_fraction"].iloc[0] == pytest.approx(30 / 210, abs=0.005)


def test_bands_are_as_long_as_they_were_recorded(tree, long_files):
    long_files[SIGNAL] = lose_band("GCaMP")(long_files[SIGNAL])
    bands = load_photometry(evaluated(tree, long_files)[0])
    assert len(bands["Isosbestic"]) - len(bands["GCaMP"]) == pytest.approx(900, abs=2)
    assert bands["GCaMP"].index[-1] == pytest.approx(bands["Isosbestic"].index[-1], abs=0.05)


# columns -----------------------------------------------------------------------------------


def with_red(files, mapping, **columns):
    for name, values in columns.items():
        files[SIGNAL][name] = values
    fibers = {column: {"location": region} for column, region in mapping.items()}
    files["_ibl_experiment.description.yaml"] = {
        "devices": {"neurophotometrics": {"fibers": fibers}}
    }
    table = pd.DataFrame({"brain_region": list(mapping.values())}, index=list(mapping))
    files[LOCATIONS] = table.rename_axis("ROI")
    return files


@pytest.mark.parametrize(
    ("mapping", "regions", "red"),
    [
        ({"G0": "VTA", "G1": "SNc", "R0": "VTA"}, ["VTA", "SNc"], ["R0"]),
        ({"R0": "VTA-l", "G0": "VTA-l", "G1": "SNc-r"}, ["VTA", "SNc"], ["R0"]),
        ({"G0": "NBM", "G1": "NBM", "R0": "NBM"}, ["NBM", "NBM"], ["R0"]),
    ],
)
def test_a_red_column_is_no_second_fiber(tree, files, mapping, regions, red):
    eid = tree.add(with_red(files, mapping, R0=np.linspace(0.9, 1.1, len(files[SIGNAL]))))
    one = tree.open()
    row = fetch_session(one, eid, tree.settings).iloc[0]
    assert row["brain_region"] == regions
    assert row["n_recordings"] == 2
    reference = photometry_reference(one, eid, row, tree.settings)
    assert reference["column"].tolist() == ["G0", "G1"]
    assert reference["red_columns"].iloc[0] == red
    outcomes = evaluate("photometry", SETTINGS, reference=reference, session_row=row)
    assert [o.rule for o in outcomes if not o.passed and o.severity == "BLOCK"] == []
    assert list(load_photometry(reference)["GCaMP"]) == row["recording_name"]


def test_text_columns_beside_the_signal_are_no_signal(tree, files):
    files[SIGNAL]["Rig"] = "rig_3"
    files[SIGNAL]["Gain"] = None
    eid = tree.add(files)
    one = tree.open()
    row = fetch_session(one, eid, tree.settings)
    assert photometry_reference(one, eid, row, tree.settings)["column"].tolist() == ["G0", "G1"]


def test_isosbestic_alone_is_refused_with_its_name(tree, files):
    files[SIGNAL]["name"] = "Isosbestic"
    eid = tree.add(files)
    one = tree.open()
    row = fetch_session(one, eid, tree.settings)
    with pytest.raises(MalformedFileError, match="bands: Isosbestic; GCaMP is expected"):
        photometry_reference(one, eid, row, tree.settings)
