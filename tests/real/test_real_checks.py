"""The checks on real recordings: every outcome, and the number that decided it."""

from __future__ import annotations

import pandas as pd
import pytest

from iblnm.pipeline.groups import running_rules
from iblnm.pipeline.matrix import session_standings

pytestmark = [pytest.mark.real, pytest.mark.slow]

CQ002 = "96268231-87d4-3791-b39f-6e3059cfa72e"
FIP_40 = "ab7da640-14f6-3bd3-8ae2-4ba9a67bade1"
ZM_335 = "9bb22393-1c7c-3919-8c9c-1027c7ee4e16"
RAW_ONLY = (
    "ba01bf35-8a0d-4ca3-a66e-b3a540b21128",
    "0a64126d-a149-4d28-80d8-00a5ca60c681",
    "499afe99-5588-3566-8aaf-acea7d3c9775",
)

# what only an Alyx record would tell; none came with the recordings
NO_RECORD = {"invalid_strain", "invalid_line", "invalid_session_length", "missing_insertion"}
# what the camera's frames tell before they are extracted
OF_RAW_FRAMES = {
    RAW_ONLY[0]: {"isosbestic_fit": ("warn", 0.582817)},
    RAW_ONLY[1]: {
        "few_unique_samples": ("warn", 7.168589e-06),
        "isosbestic_fit": ("warn", 1.246103),
    },
    RAW_ONLY[2]: {
        "incomplete_signal": ("warn", 0.217327),
        "still_signal": ("warn", 819.629184),
        "few_unique_samples": ("warn", 0.000398),
        "isosbestic_fit": ("warn", 1.13593),
    },
}
# outcome and deciding value of all that is not passed
BROKEN = {
    CQ002: {
        "missing_raw_data": ("warn", 2.0),  # wheel, video
        "missing_hemisphere": ("warn", 2.0),
        "psychometric_at_bound": ("warn", 1.0),  # contrasts of 50 and 100 % only
    },
    FIP_40: {
        "missing_raw_data": ("warn", 2.0),
        "invalid_brain_region": ("warn", 3.0),  # DLS, DMS, NAcc
        "missing_hemisphere": ("warn", 3.0),
        "missing_isosbestic": ("warn", 0.0),
        "few_unique_samples": ("warn", 0.008259),
        "psychometric_at_bound": ("warn", 1.0),
    },
    ZM_335: {
        "missing_raw_data": ("fail", 2.0),  # photometry, video
        "missing_brain_region": ("warn", 0.0),
        "incomplete_event_times": ("warn", 0.0),  # firstMovement_times in no trial
        "psychometric_at_bound": ("warn", 1.0),
    },
    **{
        eid: {
            "missing_raw_data": ("fail", 3.0),  # trials, wheel, video
            "missing_extracted_data": ("warn", 1.0),  # photometry, read from the raw frames
            "data_not_listed": ("warn", 1.0),  # channels of the raw frames
            "missing_brain_region": ("warn", 0.0),
            **OF_RAW_FRAMES[eid],
        }
        for eid in RAW_ONLY
    },
}
PHOTOMETRY = {"photometry", "photometry_qc", "preprocessed"}
# assets of which no check could run: the session has no such data
ABSENT = {
    CQ002: {"video_qc", "wheel_velocity"},
    FIP_40: {"video_qc", "wheel_velocity"},
    ZM_335: {"video_qc"} | PHOTOMETRY,
    **{eid: {"video_qc", "trials", "performance", "wheel_velocity"} for eid in RAW_ONLY},
}
_NO_REGION = {
    "hemisphere_mismatch",
    "invalid_brain_region",
    "invalid_neuromodulator",
    "invalid_target_nm",
    "missing_hemi_suffix",
    "missing_hemisphere",
}
# rules that have nothing to look at in the session
NOT_EVALUATED = {
    CQ002: NO_RECORD | {"imprecise_synchronization"},  # the archive did it
    FIP_40: NO_RECORD
    | {
        "imprecise_synchronization",
        "invalid_session_type",  # no protocol is recorded
        "block_structure_bug",
        "invalid_neuromodulator",
        "invalid_target_nm",
        "isosbestic_fit",
    },
    ZM_335: NO_RECORD | _NO_REGION | {"negative_reaction_time"},
    **dict.fromkeys(
        RAW_ONLY,
        NO_RECORD
        | _NO_REGION
        | {
            "invalid_session_type",
            "ambiguous_task",
            "trials_not_in_photometry_time",
            "imprecise_synchronization",  # with no trials
            "mislabeled_bands",  # the names come from the LED states
        },
    ),
}
# value that let a check pass, and its limit
PASSED = {
    (CQ002, "insufficient_trials"): (328, 90),
    (CQ002, "incomplete_event_times"): (0.996951, 0.9),
    (CQ002, "negative_reaction_time"): (0.006116, 0.05),
    (CQ002, "band_inversion"): (0, 0),
    (CQ002, "mislabeled_bands"): (0, 0),
    (CQ002, "early_samples"): (0, 0),
    (CQ002, "few_unique_samples"): (0.124511, 0.05),
    (CQ002, "isosbestic_fit"): (0.0893, 0.5),
    (CQ002, "missing_isosbestic"): (1, 1),
    (CQ002, "choice_sign"): (0, 0),
    (FIP_40, "insufficient_trials"): (568, 90),
    (FIP_40, "incomplete_event_times"): (0.964789, 0.9),
    (FIP_40, "negative_reaction_time"): (0.038321, 0.05),
    (FIP_40, "band_inversion"): (0, 0),
    (ZM_335, "incomplete_wheel"): (0, 0.1),
    (FIP_40, "early_samples"): (0, 0),
    (ZM_335, "insufficient_trials"): (271, 90),
    (ZM_335, "choice_sign"): (0, 0),
    (ZM_335, "block_structure_bug"): (0, 0),
}


@pytest.fixture(scope="module")
def processed(real_run):
    """Statuses, matrix of outcomes and errors of the real recordings."""
    metadata = real_run.settings.metadata_dir
    statuses = {eid: outcome.status for eid, outcome in real_run.outcomes.items()}
    matrix = pd.read_parquet(metadata / "qc_matrix.pqt")
    errors = pd.read_parquet(metadata / "errors.pqt")
    return statuses, matrix.set_index(["eid", "check"]), errors


def test_every_session_runs_through_and_nothing_blocks(processed):
    statuses, _, errors = processed
    assert statuses == dict.fromkeys(BROKEN, "passed")
    assert "FAILURE" not in set(errors["severity"])
    assert "BLOCK" not in set(errors["severity"])


def test_good_recordings_are_usable_and_the_others_say_what_they_lack(processed):
    _, matrix, _ = processed
    standing = session_standings(matrix.reset_index(), ())
    usable = {CQ002: "warnings", FIP_40: "warnings"}
    assert standing.to_dict() == {eid: usable.get(eid, "failure") for eid in BROKEN}


def test_every_outcome_is_as_known(processed):
    _, matrix, _ = processed
    expected = {}
    for eid, broken in BROKEN.items():
        for rule in running_rules():
            unknown = rule.asset in ABSENT[eid] or rule.name in NOT_EVALUATED[eid]
            outcome = "not evaluated" if unknown else "pass"
            expected[eid, rule.name] = broken.get(rule.name, (outcome,))[0]
    assert matrix["outcome"].to_dict() == expected


@pytest.mark.parametrize("eid", list(BROKEN))
def test_the_number_that_decided_what_is_broken(processed, eid):
    _, matrix, _ = processed
    values = {check: value for check, (_, value) in BROKEN[eid].items()}
    found = matrix.loc[eid, "value"]
    for check, value in values.items():
        if value is None:
            assert pd.isna(found[check]), check
        else:
            assert found[check] == pytest.approx(value, rel=1e-3), check


def test_the_number_that_let_a_check_pass(processed):
    _, matrix, _ = processed
    for key, (value, limit) in PASSED.items():
        row = matrix.loc[key, :]
        assert row["value"] == pytest.approx(value, rel=1e-3), key
        assert row["limit"] == limit, key


def test_messages_name_what_is_missing(processed):
    _, matrix, errors = processed
    assert matrix.loc[(FIP_40, "few_unique_samples"), "message"].startswith("0.008 of the samples")
    assert "DLS, DMS, NAcc" in matrix.loc[(FIP_40, "invalid_brain_region"), "message"]
    raw = errors.set_index(["eid", "error_type"])["error_message"]
    assert raw[RAW_ONLY[0], "MissingExtractedData"].endswith(
        "photometry. They are read from the raw files meanwhile."
    )
    assert raw[ZM_335, "MissingRawData"].endswith("photometry, video.")
