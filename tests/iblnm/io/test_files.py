"""Trials, wheel, raw frames and video: what is read, and what every kind of damage gives."""

import json

import numpy as np
import pandas as pd
import pytest

from iblnm.errors import MalformedFileError, MissingFileError, UnreadableFileError
from iblnm.io import load_trials_table, load_wheel, read_raw_frames, video_qc
from iblnm.io.trials import task_interval
from iblnm.io.video import verdict
from iblnm.io.wheel import clean_wheel, load_wheel_trace
from iblnm.pipeline.steps import note_of_trials, read_trials

TRIALS = "alf/task_00/_ibl_trials.table.pqt"
TIMES = "alf/task_00/_ibl_wheel.timestamps.npy"
POSITION = "alf/task_00/_ibl_wheel.position.npy"
CAMERA = "alf/_ibl_leftCamera.times.npy"
NOISE = bytes(range(256)) * 4


def test_trials_are_floats_with_all_columns(tree, files):
    eid = tree.add(files)
    trials = load_trials_table(tree.open(), eid)
    assert list(trials) == list(files[TRIALS])
    assert (trials.dtypes == np.float64).all()
    assert trials["choice"].tolist() == files[TRIALS]["choice"].tolist()
    assert trials.attrs["collection"] == "alf/task_00"


def test_trials_of_the_first_collection_and_of_alf_itself(tree, files, trials_maker):
    later = {"alf/task_01/_ibl_trials.table.pqt": trials_maker(5)}
    two = tree.add({**files, **later})
    plain = tree.add({"alf/_ibl_trials.table.pqt": trials_maker(7)}, number=2)
    one = tree.open()
    assert len(load_trials_table(one, two)) == 20
    trials = load_trials_table(one, plain)
    assert len(trials) == 7
    assert trials.attrs["collection"] == "alf"


def test_latest_revision_is_taken(tree, trials_maker):
    eid = tree.add(
        {
            "alf/_ibl_trials.table.pqt": trials_maker(5),
            "alf/#2024-05-06#/_ibl_trials.table.pqt": trials_maker(6),
            "alf/#2023-05-06#/_ibl_trials.table.pqt": trials_maker(7),
        }
    )
    assert len(load_trials_table(tree.open(), eid)) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["choice", "stimOn_times"]), "stimOn_times, choice are missing"),
        (lambda t: t.iloc[:0], "0 trials"),
        (lambda t: t.assign(choice="left"), r"column choice has type"),
        (lambda t: t.assign(intervals_0=np.nan), "0 of 20 trials have a start"),
        (lambda t: t.assign(intervals_1=0.0), "the last trial ends at 0 s, before it starts"),
        (lambda t: t.assign(contrastLeft="none"), "column contrastLeft has type"),
        (lambda t: t.assign(feedbackType=2), "20 of 20 trials have feedbackType 2"),
        (
            lambda t: t.assign(**{n: 1e3 * t[n] for n in t if "times" in n or "intervals" in n}),
            "times in ms",
        ),
    ],
)
def test_malformed_trials(tree, files, change, message):
    files[TRIALS] = change(files[TRIALS])
    eid = tree.add(files)
    with pytest.raises(MalformedFileError, match=message) as error:
        load_trials_table(tree.open(), eid)
    assert error.value.eid == eid
    assert error.value.path.name == "_ibl_trials.table.pqt"


def lose_ends(trials):
    trials.loc[0, "intervals_0"] = np.nan
    trials.loc[19, "intervals_1"] = np.nan


def lose_outcome(trials):
    trials["feedbackType"] = trials["feedbackType"].astype(float)
    trials.loc[3, ["feedbackType", "choice"]] = np.nan


def repeat_time(trials):
    trials.loc[7, "intervals_0"] = trials.loc[6, "intervals_0"]


def go_back(trials):
    trials.loc[12:, ["intervals_0", "intervals_1"]] -= 30.0


@pytest.mark.parametrize(
    ("damage", "n_out_of_order", "missing"),
    [(lose_ends, 0, []), (lose_outcome, 0, [3]), (repeat_time, 1, [7]),
     (go_back, 8, list(range(12, 20)))],
)  # fmt: skip
def test_a_trial_that_lacks_something_is_missing_alone(
    tree, files, damage, n_out_of_order, missing
):
    damage(files[TRIALS])
    eid = tree.add(files)
    trials = load_trials_table(tree.open(), eid)
    assert len(trials) == 20
    assert trials.attrs["n_out_of_order"] == n_out_of_order
    assert np.flatnonzero(trials["choice"].isna()).tolist() == missing
    events = ["stimOn_times", "feedback_times"] if n_out_of_order else []
    assert trials.loc[missing, events].isna().all(axis=None)
    # the plan of the session counts trials: none may be dropped
    assert trials["probabilityLeft"].notna().all()
    assert task_interval(trials)[0] == pytest.approx(2.0 if damage is not lose_ends else 2.1)


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("feedbackType", 3, 2.0),
        ("choice", 3, 9.0),
        ("contrastLeft", 4, 25.0),
        ("probabilityLeft", 3, -1.0),
        ("stimOn_times", 3, np.inf),
        ("feedback_times", 3, 1e9),
        ("intervals_1", 19, 1.0),
    ],
)
@pytest.mark.slow
def test_a_value_that_cannot_be_is_missing_and_counted(tree, files, column, row, value):
    table = files[TRIALS]
    table[column] = table[column].astype(float)
    table.loc[row, column] = value
    eid = tree.add(files)
    trials = read_trials(tree.open(), eid, tree.settings)
    assert np.isnan(trials.loc[row, column])
    assert trials.drop(index=row)["choice"].notna().all()
    assert trials.attrs["wrong_values"] == [f"{column} in 1"]
    assert f"values that cannot be are missing: {column} in 1 of 20 trials" in note_of_trials(
        trials
    )
    strict = tree.settings.thresholds.model_copy(update={"max_unusable_trial_share": 0.0})
    settings = tree.settings.model_copy(update={"thresholds": strict})
    if column in ("feedbackType", "choice", "contrastLeft", "intervals_1"):
        with pytest.raises(MalformedFileError):
            read_trials(tree.open(), eid, settings)


def test_events_outside_their_trial_are_missing_however_many(tree, files):
    """A time of 0 for what was not seen would be a response long before the stimulus."""
    table = files[TRIALS]
    table.loc[::2, "feedback_times"] = 0.0
    table.loc[1, "stimOn_times"] = table["intervals_0"].iloc[4]
    eid = tree.add(files)
    trials = load_trials_table(tree.open(), eid)
    assert trials.loc[::2, "feedback_times"].isna().all()
    assert trials.loc[1::2, "feedback_times"].notna().all()
    assert trials["stimOn_times"].isna().to_numpy().nonzero()[0].tolist() == [1]
    assert sorted(trials.attrs["wrong_values"]) == ["feedback_times in 10", "stimOn_times in 1"]


def test_trials_without_start_end_or_outcome_are_counted(tree, files):
    lose_ends(files[TRIALS])
    lose_outcome(files[TRIALS])
    eid = tree.add(files)
    trials = read_trials(tree.open(), eid, tree.settings)
    assert note_of_trials(trials) == (
        "of 20 trials 1 without start, 1 without end, 1 without choice, 1 without outcome"
    )


def test_numbers_that_were_saved_as_text_are_numbers(tree, files):
    expected = files[TRIALS]["choice"].tolist()
    files[TRIALS]["choice"] = files[TRIALS]["choice"].astype(str)
    eid = tree.add(files)
    assert load_trials_table(tree.open(), eid)["choice"].tolist() == expected


def test_columns_that_are_no_numbers_are_left_out(tree, files):
    n = len(files[TRIALS])
    files[TRIALS]["label"] = "left"
    files[TRIALS]["empty"] = pd.Series([None] * n, dtype=object)
    files[TRIALS]["when"] = pd.Timestamp("2024-03-05")
    files[TRIALS]["lists"] = [[1, 2]] * n
    eid = tree.add(files)
    trials = load_trials_table(tree.open(), eid)
    assert trials.attrs["left_out"] == ["label", "empty", "when", "lists"]
    assert (trials.dtypes == np.float64).all()


def test_events_that_are_missing_are_no_fault_of_the_file(tree, files):
    files[TRIALS] = files[TRIALS].assign(firstMovement_times=np.nan).iloc[:1]
    eid = tree.add(files)
    trials = load_trials_table(tree.open(), eid)
    assert len(trials) == 1
    assert trials["firstMovement_times"].isna().all()


@pytest.mark.parametrize("content", [b"", NOISE])
def test_corrupt_trials(tree, files, content):
    files[TRIALS] = content
    eid = tree.add(files)
    with pytest.raises(UnreadableFileError, match=rf"session {eid}, _ibl_trials"):
        load_trials_table(tree.open(), eid)


def test_files_not_listed_or_not_on_disk(tree, files):
    eid = tree.add(files)
    bare = tree.add({"alf/note.text.txt": b"x"}, number=2)
    one = tree.open()
    with pytest.raises(MissingFileError, match="lists no trials table"):
        load_trials_table(one, bare)
    with pytest.raises(MissingFileError, match="lists no wheel timestamps"):
        load_wheel(one, bare)
    folder = tree.sessions[0][1]
    for name in (TRIALS, POSITION):
        (folder / name).unlink()
    with pytest.raises(MissingFileError, match="is listed but not on disk"):
        load_trials_table(one, eid)
    with pytest.raises(MissingFileError, match=r"wheel\.position.*not on disk"):
        load_wheel(one, eid)


def test_wheel(tree, files):
    eid = tree.add(files)
    times, position = load_wheel(tree.open(), eid)
    np.testing.assert_array_equal(times, files[TIMES])
    np.testing.assert_array_equal(position, files[POSITION])
    assert times.dtype == position.dtype == np.float64


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (TIMES, np.arange(5.0), "5 times and 400 positions"),
        (TIMES, np.arange(400.0)[::-1], r"0 of 400 .* and 399 not after .* at most 1.0%"),
        (POSITION, np.full(400, np.nan), r"400 of 400 wheel samples are not finite"),
        (TIMES, np.r_[0.0, np.arange(1.0, 400.0) * 1e6], "span 3.99e.08 s; at most 86400 s"),
        (POSITION, np.zeros((200, 2)), r"shape \(200, 2\)"),
        (POSITION, np.array(["a"] * 400), "numbers are expected"),
        (POSITION, np.zeros(400, dtype=complex), "complex128; numbers"),
    ],
)
def test_malformed_wheel(tree, files, name, content, message):
    files[name] = content
    eid = tree.add(files)
    with pytest.raises(MalformedFileError, match=message):
        load_wheel(tree.open(), eid)


def test_what_a_wheel_may_lack(tree, files):
    times, position = files[TIMES].copy(), files[POSITION].copy()
    times[100] = times[99]
    times[200] = times[190]
    position[300] = np.nan
    eid = tree.add({**files, TIMES: times, POSITION: position})
    one = tree.open()
    trace = load_wheel_trace(one, eid)
    assert (trace.n_missing, trace.n_out_of_order, trace.n_samples) == (1, 2, 400)
    assert len(trace.times) == len(trace.position) == 397
    assert (np.diff(trace.times) > 0).all()
    assert "1 of 400 samples are missing; 2 of 400 samples left out" in trace.note
    with pytest.raises(MalformedFileError, match=r"0.8% in all; at most 0.5% is accepted"):
        load_wheel_trace(one, eid, max_fault_share=0.005)


def test_a_reset_of_the_encoder_is_no_movement():
    times = np.arange(0.0, 100.0, 0.01)
    position = np.sin(times) + 40.0
    broken = np.where(times > 50.0, np.sin(times) - np.sin(50.0), position)
    trace = clean_wheel(times, broken, max_fault_share=0.01, max_speed_rad_s=200.0)
    assert trace.resets.shape == (1, 2)
    assert trace.resets[0] == pytest.approx([50.0, 50.01])
    assert np.abs(np.diff(trace.position)).max() < 0.011
    assert trace.note == "1 resets of the encoder; such trials are missing"


def test_single_sample_wheel(tree, files):
    files[TIMES] = files[POSITION] = np.zeros(1)
    eid = tree.add(files)
    with pytest.raises(MalformedFileError, match="at least 2"):
        load_wheel(tree.open(), eid)


@pytest.mark.parametrize("content", [b"", NOISE, b"\x93NUMPY\x01\x00"])
def test_corrupt_wheel(tree, files, content):
    files[POSITION] = content
    eid = tree.add(files)
    with pytest.raises(UnreadableFileError, match=r"wheel\.position\.npy"):
        load_wheel(tree.open(), eid)


def test_pickled_wheel_is_never_loaded(tree, files):
    files[POSITION] = np.array([{"a": 1}], dtype=object)
    eid = tree.add(files)
    with pytest.raises(UnreadableFileError, match="npy"):
        load_wheel(tree.open(), eid)


@pytest.mark.parametrize("suffix", [".pqt", ".csv"])
@pytest.mark.parametrize(
    "names", [("SystemTimestamp", "LedState"), ("Timestamp", "Flags"), ("Timestamp", "LedState")]
)
def test_raw_frames_of_every_version(tmp_path, suffix, names):
    states = [7, 2, 1, 16 + 2, 16 + 1, 512 + 2, 0, 4]
    table = pd.DataFrame({names[0]: np.arange(8) / 60, names[1]: states, "G0": 0.1})
    path = tmp_path / f"raw{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    frames = read_raw_frames(path)
    assert list(frames) == ["times", "led"]
    assert frames["led"].tolist() == [7, 2, 1, 2, 1, 2, 0, 4]
    np.testing.assert_array_equal(frames["times"], table[names[0]])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"LedState": [1, 2]}), "no column SystemTimestamp or Timestamp"),
        (pd.DataFrame({"Timestamp": [1.0, 2.0]}), "no column LedState or Flags"),
        (pd.DataFrame({"Timestamp": [1.0], "Flags": [1]}), "1 frames"),
        (pd.DataFrame({"Timestamp": [1.0, np.nan], "Flags": [1, 2]}), "1 of 2 values of Timest"),
        (pd.DataFrame({"Timestamp": [1.0, 2.0], "Flags": ["a", "b"]}), "column Flags has type"),
    ],
)
@pytest.mark.parametrize("suffix", [".pqt", ".csv"])
def test_malformed_raw_frames(tmp_path, table, message, suffix):
    path = tmp_path / f"raw{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    with pytest.raises(MalformedFileError, match=message) as error:
        read_raw_frames(path, eid="E")
    assert (error.value.eid, error.value.path) == ("E", path)


@pytest.mark.parametrize("suffix", [".pqt", ".csv"])
def test_corrupt_raw_frames(tmp_path, suffix):
    path = tmp_path / f"raw{suffix}"
    with pytest.raises(MissingFileError):
        read_raw_frames(path)
    for content in (b"", b"\xff\xfe\x00" * 50):
        path.write_bytes(content)
        with pytest.raises((UnreadableFileError, MalformedFileError), match="raw"):
            read_raw_frames(path)


EXTENDED = {
    "videoLeft": "WARNING",
    "_videoLeft_timestamps": "PASS",
    "_videoLeft_dropped_frames": ["PASS", 0, 3],
    "_videoLeft_pin_state": ["PASS", 2, 2],
    "_videoLeft_focus": "PASS",
    "_videoLeft_position": ["WARNING", 3],
    "_videoLeft_brightness": "CRITICAL",
    "_videoLeft_resolution": True,
    "_videoLeft_wheel_alignment": "FAIL",
    "_videoRight_focus": "FAIL",
}


def video_row(tree, files, extended, length=100.0):
    eid = tree.add(files, number=len(tree.sessions) + 1)
    session = pd.Series(
        {
            "subject": "M1",
            "session_type": "biased",
            "session_length": length,
            "extended_qc": None if extended is None else json.dumps(extended),
        }
    )
    return video_qc(tree.open(), eid, session, tree.settings).iloc[0]


def test_a_few_bad_camera_times_are_left_out_and_counted(tree):
    times = np.arange(0, 90, 1 / 60)
    times[100], times[200] = np.nan, times[199]
    row = video_row(tree, {CAMERA: times}, EXTENDED)
    assert row["timestamps_loadable"]
    assert row["framerate_from_tpts"] == pytest.approx(60)
    assert "2 of 5400 camera times" in row["note"]
    times[:100] = np.nan
    row = video_row(tree, {CAMERA: times}, EXTENDED)
    assert not row["timestamps_loadable"]
    assert "102 of 5400 camera times" in row["note"]
    assert "at most 1.0%" in row["note"]


def test_video_row(tree):
    row = video_row(tree, {CAMERA: np.arange(0, 90, 1 / 60)}, EXTENDED)
    assert row["qc_timestamps"] == row["qc_dropped_frames"] == row["qc_pin_state"] == "PASS"
    assert row["qc_resolution"] == "PASS"
    assert row["video_qc_score"] == pytest.approx((1 + 0.66 + 0.33 + 1 + 0) / 5)
    assert row["video_length"] == pytest.approx(90 - 1 / 60)
    assert row["length_discrepancy"] == pytest.approx(10 + 1 / 60)
    assert row["framerate_from_tpts"] == pytest.approx(60)
    assert row["timestamps_loadable"]


@pytest.mark.parametrize("check", ["timestamps", "dropped_frames", "pin_state"])
def test_video_errors_give_minus_one(tree, check):
    times = {CAMERA: np.arange(0, 90, 1 / 60)}
    bad = {**EXTENDED, f"_videoLeft_{check}": "FAIL"}
    assert video_row(tree, times, bad)["video_qc_score"] == -1
    assert video_row(tree, times, EXTENDED, length=90 + 121)["video_qc_score"] == -1
    assert video_row(tree, times, EXTENDED, length=90 + 119)["video_qc_score"] > 0


def test_video_without_any_knowledge(tree):
    row = video_row(tree, {CAMERA: np.arange(0, 90, 1 / 60)}, None, length=np.nan)
    assert pd.isna(row["video_qc_score"])
    assert pd.isna(row["length_discrepancy"])
    assert row.filter(like="qc_").drop("video_qc_score").isna().all()


@pytest.mark.parametrize(
    "times",
    [None, b"", np.zeros(1), np.array([1.0, np.nan]), np.arange(3)[::-1], np.ones(9)],
)
def test_unreadable_camera_times(tree, times):
    files = {"raw_video_data/_iblrig_leftCamera.raw.mp4": b"x"}
    row = video_row(tree, files if times is None else {**files, CAMERA: times}, EXTENDED)
    assert not row["timestamps_loadable"]
    assert row["video_qc_score"] == -1
    assert pd.isna(row["video_length"])
    assert row["note"]


def test_verdict_keys_are_taken_whole():
    extended = {
        "_videoLeft_timestamps": "NOT SET",
        "videoLeft_focus": "PASS",
        "_videoLeft_position": 3,
    }
    assert verdict(extended, "timestamps") == "NOT_SET"
    assert verdict(extended, "focus") is None
    assert verdict(extended, "position") is None
    assert verdict(extended, "stamps") is None


@pytest.mark.real
def test_real_raw_frames_have_no_band_inversion_when_decoded_from_bits(real_archive):
    one, _ = real_archive
    (eid,) = one.search(subject="ZFM-03059")
    path = next(one.eid2path(eid).rglob("*fpData.raw.pqt"))
    led = read_raw_frames(path)["led"].to_numpy()[1:]
    assert len(led) == 86_935
    assert (led[1:] == led[:-1]).sum() == 0
    assert set(np.unique(led)) == {1, 2}


@pytest.mark.real
def test_real_trials_and_wheel(real_archive):
    one, _ = real_archive
    expected = {"CQ002": 328, "fip_40": 568, "ZM_335": 271}
    for subject, n in expected.items():
        (eid,) = one.search(subject=subject)
        assert len(load_trials_table(one, eid)) == n
    times, position = load_wheel(one, eid)
    assert len(times) == len(position) == 191_014
