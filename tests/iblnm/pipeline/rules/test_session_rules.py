"""Rules about metadata and datasets: each fault is named by one rule, with value and limit."""

import numpy as np
import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.validation import RULES, evaluate, missing_modalities

SETTINGS = Settings(_env_file=None)
DATASETS = [
    "raw_task_data_00/_iblrig_taskData.raw.jsonable",
    "raw_task_data_00/_iblrig_encoderPositions.raw.ssv",
    "raw_video_data/_iblrig_leftCamera.raw.mp4",
    "raw_photometry_data/_neurophotometrics_fpData.channels.csv",
    "raw_photometry_data/_neurophotometrics_fpData.raw.pqt",
    "raw_photometry_data/_neurophotometrics_fpData.digitalInputs.pqt",
    "alf/task_00/_ibl_trials.table.pqt",
    "alf/task_00/#2024-01-01#/_ibl_wheel.position.npy",
    "alf/photometry/photometry.signal.pqt",
    "alf/photometry/photometryROI.locations.pqt",
]


def make_row(**changes):
    row = {
        "eid": "0a64126d-a149-4d28-80d8-00a5ca60c681",
        "subject": "mouse_1",
        "start_time": "2024-03-01T10:00:00",
        "end_time": "2024-03-01T11:00:00",
        "session_length": 3600.0,
        "task_protocol": "_iblrig_tasks_biasedChoiceWorld8.2.0",
        "session_type": "biased",
        "NM": "DA",
        "strain": "C57BL/6J",
        "line": "Ai148xDat",
        "brain_region": ["VTA", "SNc"],
        "recording_name": ["VTA", "SNc"],
        "hemisphere": ["l", "r"],
        "target_NM": ["VTA-DA", "SNc-DA"],
        "hemisphere_suffix": [None, None],
        "hemisphere_fibers": ["l", "r"],
        "hemisphere_alyx": ["l", "r"],
        "n_insertions": 2,
        "datasets": list(DATASETS),
    }
    return pd.Series({**row, **changes}, dtype=object)


def outcome(name, row):
    return RULES[name].evaluate(SETTINGS, session_row=row)


def failures(row):
    return {o.rule: o for o in evaluate("session", SETTINGS, session_row=row) if not o.passed}


def without(*words):
    return [path for path in DATASETS if not any(word in path for word in words)]


TWO_NBM = {
    "brain_region": ["NBM", "NBM"],
    "recording_name": ["NBM", "NBM_1"],
    "line": "Ai148xChat",
    "NM": "ACh",
    "target_NM": ["NBM-ACh", "NBM-ACh"],
    "hemisphere": [None, None],
    "hemisphere_fibers": [None, None],
    "hemisphere_alyx": [None, None],
}

# name of the rule, changes of a valid row, value, limit, words of the message
FAULTS = [
    ("invalid_subject", {"subject": "SP066"}, None, None, "SP066"),
    ("invalid_strain", {"strain": "BALB/c"}, None, None, "BALB/c"),
    ("invalid_strain", {"strain": None}, None, None, "No strain"),
    ("invalid_line", {"line": "Ai32"}, None, None, "Ai32"),
    ("invalid_line", {"line": pd.NA}, None, None, "No line"),
    ("invalid_neuromodulator", {"line": "Ai148xSert", "NM": "5HT"}, None, None, "5HT"),
    (
        "invalid_neuromodulator",
        {
            "line": "Ai148xSert",
            "NM": "5HT",
            "target_NM": ["VTA-5HT", "SNc-5HT"],
        },
        None,
        None,
        "VTA (DA), SNc (DA)",
    ),
    ("invalid_neuromodulator", {"NM": "NE"}, None, None, "expresses DA"),
    (
        "missing_brain_region",
        {
            "brain_region": [],
            "hemisphere": [],
            "target_NM": [],
            "hemisphere_fibers": [],
            "hemisphere_alyx": [],
            "hemisphere_suffix": [],
        },
        0,
        1,
        "0 regions",
    ),
    (
        "invalid_brain_region",
        {"brain_region": ["VTA", "DLS"], "target_NM": ["VTA-DA", None]},
        1,
        0,
        "1 of 2 regions",
    ),
    (
        "missing_hemisphere",
        {
            "hemisphere": ["l", None],
            "hemisphere_fibers": ["l", None],
            "hemisphere_alyx": ["l", None],
        },
        1,
        0,
        "1 of 2 fibers is known to no source: SNc",
    ),
    ("missing_hemi_suffix", TWO_NBM, 2, 0, "2 of 2 fibers share a region"),
    (
        "hemisphere_mismatch",
        {"hemisphere_alyx": ["r", "r"]},
        1,
        0,
        "VTA (fibers l, alyx r)",
    ),
    ("hemisphere_mismatch", {"brain_region": ["VTA-r", "SNc-r"]}, 1, 0, "suffix r"),
    ("missing_insertion", {"n_insertions": 1}, 1, 2, "1 fiber insertions"),
    ("missing_insertion", {"n_insertions": None}, None, 2, "No record"),
    (
        "invalid_session_type",
        {"task_protocol": "biasedChoiceWorld/ephysChoiceWorld"},
        2,
        1,
        "names 2 session types",
    ),
    ("invalid_session_type", {"task_protocol": "somethingElse"}, 0, 1, "0 session types"),
    ("invalid_session_type", {"task_protocol": "biasedChoiceWorld_RPE"}, 0, 1, "RPE"),
    (
        "invalid_target_nm",
        {"brain_region": ["VTA", "LC"], "target_NM": ["VTA-DA", "LC-DA"]},
        1,
        0,
        "LC-DA",
    ),
    ("invalid_target_nm", {"target_NM": ["VTA-DA", "SNC-DA"]}, 1, 0, "SNC-DA"),
    ("invalid_session_length", {"end_time": "2024-03-01T09:59:00"}, -60, 0, "after -60 s"),
    ("invalid_session_length", {"end_time": "2024-03-02T09:00:00"}, 82800, 0, "same day"),
    (
        "invalid_session_length",
        {"end_time": None, "session_length": None},
        None,
        0,
        "not recorded",
    ),
    ("parallel_lists", {"hemisphere": ["l"]}, 2, 1, "hemisphere 1"),
    ("missing_raw_data", {"datasets": without("taskData", "_ibl_trials")}, 1, 0, "trials"),
    ("missing_raw_data", {"datasets": without("encoderPositions", "wheel")}, 1, 0, "wheel"),
    ("missing_raw_data", {"datasets": without("mp4")}, 1, 0, "video"),
    ("missing_raw_data", {"datasets": []}, 4, 0, "4 of 4 modalities"),
    ("missing_extracted_data", {"datasets": without("_ibl_trials")}, 1, 0, "trials"),
    ("missing_extracted_data", {"datasets": without("alf/photometry")}, 1, 0, "photometry"),
    ("data_not_listed", {"datasets": without("locations")}, 1, 0, "1 of 3"),
    ("data_not_listed", {"datasets": without("locations", "channels")}, 1, 0, "locations"),
]


def test_a_valid_session_passes_every_rule_and_says_so():
    outcomes = evaluate("session", SETTINGS, session_row=make_row())
    assert [o.message for o in outcomes if not o.passed] == []
    assert all(o.message for o in outcomes)
    by_name = {o.rule: o for o in outcomes}
    assert (by_name["missing_insertion"].value, by_name["missing_insertion"].limit) == (2, 2)
    assert by_name["invalid_session_length"].value == 3600.0
    assert by_name["missing_brain_region"].value == 2
    assert by_name["parallel_lists"].value == by_name["parallel_lists"].limit == 1


@pytest.mark.parametrize(("name", "changes", "value", "limit", "words"), FAULTS)
def test_a_fault_is_named_with_value_and_limit(name, changes, value, limit, words):
    found = outcome(name, make_row(**changes))
    assert not found.passed
    assert (found.value, found.limit) == (value, limit)
    assert words in found.message
    only_warns = words in ("wheel", "video")
    assert found.severity == ("WARN" if only_warns else RULES[name].severity)


@pytest.mark.parametrize(("name", "changes"), [fault[:2] for fault in FAULTS])
def test_a_fault_is_named_by_one_rule_only(name, changes):
    assert set(failures(make_row(**changes))) == {name}


@pytest.mark.parametrize("form", ["series", "dict", "frame"])
def test_a_row_may_be_a_series_a_mapping_or_a_frame(form):
    series = make_row(subject="SP072")
    row = {"series": series, "dict": series.to_dict(), "frame": series.to_frame().T}[form]
    assert not outcome("invalid_subject", row).passed


ONLY_RECORDS_KNOW = {
    "invalid_strain",
    "invalid_line",
    "invalid_session_length",
    "missing_insertion",
    "invalid_session_type",
}


@pytest.mark.parametrize("has_record", [True, False])
def test_what_only_records_know_is_missing_in_a_record_and_unknown_without(has_record):
    names = ("strain", "line", "end_time", "session_length", "n_insertions", "task_protocol")
    unknown = dict.fromkeys((*names, "session_type"))
    row = make_row(has_record=np.bool_(has_record), **unknown)
    found = {o.rule: o for o in evaluate("session", SETTINGS, session_row=row)}
    failed = {name for name, o in found.items() if not o.passed}
    silent = {name for name, o in found.items() if not o.evaluated}
    assert failed == (ONLY_RECORDS_KNOW if has_record else set())
    assert silent - {"invalid_neuromodulator", "ambiguous_task"} == (
        set() if has_record else ONLY_RECORDS_KNOW
    )
    assert {found[name].severity for name in failed} <= {"WARN"}


def test_raw_files_that_were_not_kept_beside_extracted_ones_are_no_fault():
    kept = without("raw_task", "raw_photometry")
    assert failures(make_row(datasets=kept)) == {}


def test_settings_say_how_bad_a_missing_modality_is():
    row = make_row(datasets=without("encoderPositions", "wheel", "mp4"))
    rule = RULES["missing_raw_data"]
    found = rule.evaluate(SETTINGS, session_row=row)
    assert (found.value, found.severity, found.result) == (2, "WARN", "fail")
    strict = {**SETTINGS.missing_modality, "wheel": "ERROR", "video": "not expected"}
    found = rule.evaluate(Settings(_env_file=None, missing_modality=strict), session_row=row)
    assert (found.value, found.severity) == (1, "ERROR")
    none = Settings(_env_file=None, missing_modality={"trials": "ERROR"})
    assert rule.evaluate(none, session_row=row).passed


def test_a_suffix_or_another_source_tells_two_fibers_of_a_region_apart():
    named = {**TWO_NBM, "hemisphere_suffix": ["l", "r"], "hemisphere": ["l", "r"]}
    assert failures(make_row(**named)) == {}
    on_alyx = {**TWO_NBM, "hemisphere_alyx": ["l", "r"]}
    assert failures(make_row(**on_alyx)) == {}


def test_a_lookup_of_fibers_decides_between_unknown_side_and_missing_suffix():
    row = make_row(
        brain_region=["VTA"],
        hemisphere=[None],
        target_NM=["VTA-DA"],
        hemisphere_fibers=[None],
        hemisphere_alyx=[None],
        hemisphere_suffix=[None],
    )
    rule = RULES["missing_hemi_suffix"]
    both = {("mouse_1", "VTA"): {"l", "r"}}
    assert not rule.evaluate(SETTINGS, session_row=row, fiber_lookup=both).passed
    assert (
        RULES["missing_hemisphere"].evaluate(SETTINGS, session_row=row, fiber_lookup=both).passed
    )
    one = {("mouse_1", "VTA"): "l"}
    assert rule.evaluate(SETTINGS, session_row=row, fiber_lookup=one).passed
    assert not RULES["missing_hemisphere"].evaluate(SETTINGS, session_row=row).passed


def test_a_modality_never_recorded_is_missing_raw_data_only():
    row = make_row(datasets=without("wheel", "encoderPositions"))
    assert missing_modalities(row, SETTINGS) == {"wheel": "missing_raw_data"}
    row = make_row(datasets=without("wheel.position"))
    assert missing_modalities(row, SETTINGS) == {"wheel": "missing_extracted_data"}
    assert missing_modalities(make_row(datasets=without("taskData")), SETTINGS) == {}


def test_table_of_modalities_says_what_was_expected():
    found = outcome("missing_extracted_data", make_row(datasets=without("_ibl_trials")))
    table = {entry["modality"]: entry for entry in found.metadata["modalities"]}
    assert not table["trials"]["listed"]
    assert table["wheel"]["listed"]
    assert "alf/_ibl_trials.table.pqt" in table["trials"]["expected"]


def test_thresholds_and_lists_come_from_the_settings():
    strict = Settings(_env_file=None, excluded_subjects=("mouse_1",))
    assert not RULES["invalid_subject"].evaluate(strict, session_row=make_row()).passed
