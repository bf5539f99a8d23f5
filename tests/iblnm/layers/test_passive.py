"""Epochs of the passive protocol in every layout."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from iblnm.layers.errors import PassiveTableError
from iblnm.layers.passive import (
    EPOCHS,
    Extracted,
    has_tone_bug,
    passive_epochs,
    passive_slots,
    run_of_settings,
    task_folders,
)
from iblnm.layers.passive_files import (
    administration_moment,
    read_extracted,
    read_intervals,
    read_recordings,
    read_replay,
    read_runs,
    recording_of,
)

EID = "51b90000-0000-4000-8000-000000000001"


def run(number, protocol, stamp, version="8.28.0"):
    settings = {"PYBPOD_PROTOCOL": protocol, "SESSION_DATETIME": stamp, "IBLRIG_VERSION": version}
    name = f"{number:02d}"
    return run_of_settings(number, f"raw_task_data_{name}", f"alf/task_{name}", settings)


def passive(number, stamp, **kwargs):
    return run(number, "_iblrig_tasks_passiveChoiceWorld", stamp, **kwargs)


INTERVALS = {
    "passiveProtocol": (100.0, 9000.0),
    "spontaneousActivity": (110.0, 411.0),
    "RFM": (420.0, 720.0),
    "taskReplay": (730.0, 9000.0),
}


def test_first_run_is_before_and_second_after():
    runs = [
        run(0, "_iblrig_tasks_SPONTANEOUS", "2024-05-01T12:20:00"),
        passive(3, "2024-05-01T13:00:00"),
        passive(1, "2024-05-01T12:00:00"),
        passive(4, "2024-05-01T14:00:00"),
        run(2, "_iblrig_tasks_biasedChoiceWorld", "2024-05-01T12:30:00"),
    ]
    slots = passive_slots(runs)
    assert {slot: found.number for slot, found in slots.items()} == {"task_pre": 1, "task_post": 3}
    row = passive_epochs(EID, runs, {})
    assert row["n_passive_runs"] == 3
    assert (row["task_pre_source"], row["LSD_admin_source"]) == ("none", "none")


def test_extracted_epochs_and_those_of_a_run_without_files():
    runs = [
        passive(0, "2024-05-01T12:00:00"),
        run(1, "spontaneous", "2024-05-01T12:20:00"),
        passive(2, "2024-05-01T12:50:00.5"),
    ]
    extracted = {"alf/task_00": Extracted(INTERVALS, (735.0, 1030.0))}
    row = passive_epochs(EID, runs, extracted)
    assert row["task_pre_source"] == "extracted"
    assert (row["task_pre_spontaneous_start"], row["task_pre_spontaneous_stop"]) == (110.0, 410.0)
    assert row["task_pre_spontaneous_length"] == 301.0
    assert (row["task_pre_replay_start"], row["task_pre_replay_stop"]) == (735.0, 1030.0)
    assert row["task_post_source"] == "estimated"
    assert row["task_post_rfm_start"] == 420.0 + 3000.5
    assert row["task_post_replay_stop"] == 1030.0 + 3000.5
    assert (row["LSD_admin"], row["LSD_admin_source"]) == (110.0 + 1200.0, "filler")
    assert row["clock_shift"] is None


@pytest.mark.parametrize("runs", [[], [run(0, "_iblrig_tasks_spontaneous", "2024-05-01T12:00")]])
def test_a_session_without_a_passive_run_has_no_epochs(runs):
    row = passive_epochs(EID, runs, {})
    assert (row["n_passive_runs"], row["LSD_admin_source"]) == (0, "none")
    for slot in ("task_pre", "task_post"):
        assert row[f"{slot}_source"] == "none"
        times = [row[f"{slot}_{e}_{b}"] for e in EPOCHS for b in ("start", "stop")]
        assert times == [None] * 6
    assert row["LSD_admin"] is None


def test_the_replay_without_gabors_lasts_300_s():
    row = passive_epochs(
        EID, [passive(0, "2024-05-01T12:00:00")], {"alf/task_00": Extracted(INTERVALS)}
    )
    assert row["task_pre_source"] == "replay_estimated"
    assert (row["task_pre_replay_start"], row["task_pre_replay_stop"]) == (730.0, 1030.0)
    assert row["recording_stop"] == 9000.0


def test_the_first_run_can_be_estimated_from_the_second():
    runs = [passive(0, "2024-05-01T12:00:00"), passive(1, "2024-05-01T12:01:00")]
    row = passive_epochs(EID, runs, {"alf/task_01": Extracted(INTERVALS)})
    assert row["task_pre_source"] == "estimated"
    assert row["task_pre_spontaneous_start"] == 50.0


def test_the_clock_shift_compares_what_is_predicted_with_what_was_extracted():
    runs = [passive(0, "2024-05-01T12:00:00"), passive(1, "2024-05-01T13:00:00")]
    later = {name: (a + 3603.0, b + 3603.0) for name, (a, b) in INTERVALS.items()}
    extracted = {"alf/task_00": Extracted(INTERVALS), "alf/task_01": Extracted(later)}
    assert passive_epochs(EID, runs, extracted)["clock_shift"] == pytest.approx(-3.0)


def test_times_with_and_without_offset_cannot_be_compared():
    runs = [passive(0, "2024-05-01T12:00:00"), passive(1, "2024-05-01T13:00:00+00:00")]
    row = passive_epochs(EID, runs, {"alf/task_00": Extracted(INTERVALS)})
    assert row["task_post_source"] == "none"
    assert row["task_post_spontaneous_start"] is None


def test_a_noted_administration_is_used_without_a_filler():
    runs = [passive(0, "2024-05-01T12:00:00")]
    moment = administration_moment("12:30:10", runs[0].start)
    row = passive_epochs(EID, runs, {"alf/task_00": Extracted(INTERVALS)}, administration=moment)
    assert (row["LSD_admin"], row["LSD_admin_source"]) == (110.0 + 1810.0, "recordings")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not,a\ntable",
        ",spontaneousActivity\nstart,\nstop,5\n",
        ",spontaneousActivity\nstart,9\nstop,5\n",
        ",RFM\nstart,1\nstop,2\n",
    ],
)
def test_intervals_that_cannot_be_used_are_named(tmp_path, content):
    path = tmp_path / "_ibl_passivePeriods.intervalsTable.csv"
    path.write_text(content)
    with pytest.raises(PassiveTableError, match="intervalsTable"):
        read_intervals(path)
    found = read_extracted("alf", lambda rel: path if "Periods" in rel else None)
    assert found.intervals is None and len(found.faults) == 1


def test_tables_are_read_as_ibllib_writes_them(tmp_path):
    path = tmp_path / "table.csv"
    pd.DataFrame(INTERVALS, index=["start", "stop"]).to_csv(path)
    assert read_intervals(path) == INTERVALS
    pd.DataFrame({"start": [5.0, 7.0], "stop": [5.3, 7.3], "position": 35}).to_csv(path)
    assert read_replay(path) == (5.0, 7.3)
    pd.DataFrame({"start": [], "stop": []}).to_csv(path)
    with pytest.raises(PassiveTableError, match="0 rows"):
        read_replay(path)
    for start, stop in (([np.nan], [5.0]), ([7.0], [5.0]), (["a"], ["b"])):
        pd.DataFrame({"start": start, "stop": stop}).to_csv(path)
        with pytest.raises(PassiveTableError, match="gabors run from"):
            read_replay(path)


@pytest.mark.parametrize(
    ("content", "kind", "fault"),
    [
        (None, "unreadable", "not registered"),
        ("{", "unreadable", "JSON"),
        ("[]", "unreadable", "list"),
        ('{"SESSION_DATETIME": "2024-05-01"}', "unreadable", "protocol"),
        ('{"PYBPOD_PROTOCOL": "x_passive_y", "SESSION_DATETIME": 5}', "passive", "date"),
        (
            '{"PYBPOD_PROTOCOL": "Passive", "SESSION_START_TIME": "2024-05-01T10:00"}',
            "passive",
            "",
        ),
    ],
)
def test_settings_that_cannot_be_used_make_a_run_that_says_so(tmp_path, content, kind, fault):
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_text(content)
    (found,) = read_runs(["raw_task_data_00"], lambda rel: path if content else None)
    assert found.kind == kind
    assert fault in found.fault if fault else found.fault == ""


def test_old_sessions_have_one_run():
    assert task_folders(["raw_passive_data", "raw_behavior_data", "alf"]) == [
        (0, "raw_passive_data", "alf")
    ]
    (found,) = read_runs(["raw_passive_data"], lambda rel: None)
    assert found.kind == "passive"


def test_versions_with_the_tone_for_the_noise():
    assert has_tone_bug("8.12.1") and not has_tone_bug("8.28.0") and not has_tone_bug("dev")


def test_notes_belong_to_a_session_never_to_a_day(tmp_path):
    path = tmp_path / "recordings.csv"
    path.write_text(
        "subject,date,number,condition,administration_time,control\n"
        "ZM_1,2024-05-01,2,LSD,14:05,\n"
        "ZM_1,2024-05-02,,LSD,14:05,True\n"
        "ZM_1,2024-05-03,1,saline,,true\n"
    )
    table = read_recordings(path)
    none = {"condition": None, "administration_time": None, "control": None}
    assert recording_of(table, "ZM_1", "2024-05-01T10:00", 1) == none
    assert recording_of(table, "ZM_1", "2024-05-02T10:00", 1) == none
    assert recording_of(table, "ZM_1", "2024-05-01T10:00", 2)["condition"] == "LSD"
    assert recording_of(table, "ZM_1", "2024-05-03", 1) == {
        "condition": "saline",
        "administration_time": None,
        "control": True,
    }
    assert administration_moment("14:05", datetime(2024, 5, 1, 9)) == datetime(2024, 5, 1, 14, 5)


def test_recordings_of_any_spreadsheet_are_read(tmp_path):
    path = tmp_path / "recordings.csv"
    header = "subject;date;number;condition;administration_time;control;"
    text = f"{header}\r\nJoão; 2024-03-05;1;a;;yes;\r\n"
    path.write_bytes(text.encode("cp1252"))
    (row,) = read_recordings(path).to_dict("records")
    assert (row["subject"], row["date"], row["number"]) == ("João", "2024-03-05", 1)
    assert row["control"]
    assert pd.isna(row["administration_time"])
