"""Every rule has a planted defect, and each defect is named by its rule alone, with numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from iblnm.config import Settings
from iblnm.pipeline.groups import running_rules
from iblnm.pipeline.rules import RULES, evaluate

SETTINGS = Settings(_env_file=None)
NO_NUMBER = "the rule compares words"


@dataclass(frozen=True)
class Planted:
    """A defect as changes of what a faultless session has.

    Parameters
    ----------
    changes : dict
        Values that take the place of those in `FAULTLESS`, by column or key.
    value, limit : float or None
        What the outcome must say.
    no_number : str
        Why there is none, where value or limit is None.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    value: float | None = None
    limit: float | None = None
    no_number: str = ""


def _trials(n: int) -> pd.DataFrame:
    right = np.arange(n) % 2
    stim_on = 10.0 + 5.0 * np.arange(n)
    return pd.DataFrame(
        {
            "intervals_0": stim_on - 0.5,
            "stimOn_times": stim_on,
            "firstMovement_times": stim_on + 0.2,
            "feedback_times": stim_on + 0.5,
            "stim_side": np.where(right, "right", "left"),
            "signed_contrast": np.where(right, 100.0, -100.0),
            "choice": np.where(right, -1.0, 1.0),
            "feedbackType": 1.0,
            "probabilityLeft": np.repeat([0.5, 0.2, 0.8], [90, 40, n])[:n],
        }
    )


_DATASETS = [
    "raw_task_data_00/_iblrig_taskData.raw.jsonable",
    "raw_task_data_00/_iblrig_encoderPositions.raw.ssv",
    "raw_video_data/_iblrig_leftCamera.raw.mp4",
    "raw_photometry_data/_neurophotometrics_fpData.channels.csv",
    "raw_photometry_data/_neurophotometrics_fpData.raw.pqt",
    "raw_photometry_data/_neurophotometrics_fpData.digitalInputs.pqt",
    "alf/task_00/_ibl_trials.table.pqt",
    "alf/task_00/_ibl_wheel.position.npy",
    "alf/photometry/photometry.signal.pqt",
    "alf/photometry/photometryROI.locations.pqt",
]
_TRIALS = _trials(200)
_PLAN = {"LEN_BLOCKS": [1], "POSITIONS": [35]}
FAULTLESS: dict[str, dict[str, Any]] = {
    "session_row": {
        "subject": "mouse_1",
        "start_time": "2024-03-01T10:00:00",
        "end_time": "2024-03-01T11:00:00",
        "session_length": 3600.0,
        "task_protocol": "_iblrig_tasks_biasedChoiceWorld8.2.0",
        "session_type": "biased",
        "session_json": _PLAN,
        "NM": "DA",
        "strain": "C57BL/6J",
        "line": "Ai148xDat",
        "brain_region": ["VTA", "SNc"],
        "hemisphere": ["l", "r"],
        "target_NM": ["VTA-DA", "SNc-DA"],
        "hemisphere_suffix": [None, None],
        "hemisphere_fibers": ["l", "r"],
        "hemisphere_alyx": ["l", "r"],
        "n_insertions": 2,
        "datasets": _DATASETS,
        "task_collection": "alf/task_00",
        "task_reason": "the only one",
        "task_rivals": [],
    },
    "sessions": {
        "eid": ["a", "b"],
        "subject": ["m1", "m1"],
        "start_time": ["2024-01-01T09:00:00", "2024-01-02T09:00:00"],
        "logged_errors": [[], []],
    },
    "trials": dict(_TRIALS),
    "reference": {
        "column": ["Region0G", "Region1G"],
        "recording_name": ["VTA", "SNc"],
        "hemisphere": ["l", "r"],
        "fiber_idx": [0, 1],
        "bands": [["GCaMP", "Isosbestic"]] * 2,
        "unmapped_columns": [[], []],
        "absent_columns": [[], []],
        "brain_region": ["VTA", "SNc"],
        "clock": "session",
        "missing_share": [0.01, 0.0],
        "longest_gap_s": [1.5, 0.0],
        "n_gaps": [2, 0],
        "n_trials": 200,
        "n_trials_missing": [3, 0],
        "still_s": 0.1,
        "saturated_s": 0.0,
        "n_out_of_order": 0,
        "largest_back_s": 0.0,
        "longest_pause_s": 0.04,
        "n_repeated": 0,
        "n_mislabeled": 0,
        "first_sample_s": 1.0,
        "last_sample_s": 100.0,
        "first_stim_on_s": 5.0,
        "last_feedback_s": 95.0,
        "sync_residual_s": 2e-4,
        "sync_drift_ppm": 40.0,
        "sync_n_events": 500,
        "sync_n_matched": 498,
    },
    "qc": {
        "brain_region": ["VTA", "VTA"],
        "band": ["GCaMP", "Isosbestic"],
        "n_unique_samples": [0.5, 0.4],
        "n_band_inversions": 0.0,
        "n_early_samples": 0.0,
        "n_late_samples": 1.0,
        "lost_frame_fraction": 0.0002,
    },
    "preprocessed": {
        "VTA": {
            "iso_slope": 0.8,
            "iso_r2": 0.9,
            "iso_slope_robust": 0.84,
            "correction": "isosbestic",
        }
    },
    "performance": {"psych_50_at_bound": False, "psych_20_at_bound": False},
    "wheel_velocity": {"n_timed": 200, "n_incomplete": 3},
    "video": {
        "timestamps_loadable": True,
        "session_length": 3600.0,
        "video_length": 3650.0,
        "length_discrepancy": -50.0,
        "qc_timestamps": "PASS",
        "qc_dropped_frames": "PASS",
        "qc_pin_state": "PASS",
    },
}
_TABLES = ("sessions", "trials", "reference", "qc")
_LISTS = [name for name, value in FAULTLESS["session_row"].items() if isinstance(value, list)]
_EMPTY_LISTS = {name: [] for name in _LISTS if name != "datasets"}
_NO_SIDE = {name: [None, None] for name in ("hemisphere", "hemisphere_fibers", "hemisphere_alyx")}


def _all_but(*words: str) -> dict[str, list[str]]:
    return {"datasets": [path for path in _DATASETS if not any(word in path for word in words)]}


PLANTED = {
    "invalid_subject": Planted({"subject": "SP066"}, no_number=NO_NUMBER),
    "invalid_strain": Planted({"strain": "BALB/c"}, no_number=NO_NUMBER),
    "invalid_line": Planted({"line": "Ai32"}, no_number=NO_NUMBER),
    "invalid_neuromodulator": Planted(
        {"line": "Ai148xSert", "NM": "5HT", "target_NM": ["VTA-5HT", "SNc-5HT"]},
        no_number=NO_NUMBER,
    ),
    "missing_brain_region": Planted(_EMPTY_LISTS, 0, 1),
    "invalid_brain_region": Planted(
        {"brain_region": ["VTA", "DLS"], "target_NM": ["VTA-DA", None]}, 1, 0
    ),
    "missing_hemisphere": Planted(_NO_SIDE, 2, 0),
    "missing_hemi_suffix": Planted(
        {**_NO_SIDE, "brain_region": ["VTA", "VTA"], "target_NM": ["VTA-DA", "VTA-DA"]}, 2, 0
    ),
    "hemisphere_mismatch": Planted({"hemisphere_alyx": ["r", "r"]}, 1, 0),
    "missing_insertion": Planted({"n_insertions": 1}, 1, 2),
    "invalid_session_type": Planted({"task_protocol": "biasedChoiceWorld_RPE"}, 0, 1),
    "invalid_target_nm": Planted({"target_NM": ["VTA-DA", "SNC-DA"]}, 1, 0),
    "invalid_session_length": Planted({"end_time": "2024-03-01T09:59:00"}, -60, 0),
    "parallel_lists": Planted({"hemisphere": ["l"]}, 2, 1),
    "missing_raw_data": Planted(_all_but("taskData", "_ibl_trials"), 1, 0),
    "missing_extracted_data": Planted(_all_but("_ibl_trials"), 1, 0),
    "data_not_listed": Planted(_all_but("locations"), 1, 0),
    "true_duplicate_session": Planted({"start_time": ["2024-01-01T09:00:00"] * 2}, 1, 0),
    "insufficient_trials": Planted(dict(_trials(89)), 89, 90),
    "ambiguous_task": Planted({"task_rivals": ["alf"]}, 1, 0),
    "choice_sign": Planted({"choice": -_TRIALS["choice"]}, 200, 0),
    "unusable_trials": Planted(
        {
            "choice": _TRIALS["choice"].where(_TRIALS.index >= 20),
            "feedbackType": _TRIALS["feedbackType"].where(_TRIALS.index < 190),
        },
        0.15,
        0.1,
    ),
    "incomplete_event_times": Planted(
        {"feedback_times": _TRIALS["feedback_times"].where(_TRIALS.index >= 50)}, 0.75, 0.9
    ),
    "block_structure_bug": Planted(
        {"probabilityLeft": np.repeat([0.5, 0.2, 0.8], [90, 4, 106])}, 4, 10
    ),
    "missing_block_info": Planted(
        {"probabilityLeft": np.repeat([0.5, 0.2, 0.8], [90, 4, 106]), "session_json": None}, 4, 10
    ),
    "negative_reaction_time": Planted(
        {"firstMovement_times": _TRIALS["stimOn_times"] + np.repeat([-0.1, 0.2], [20, 180])},
        0.1,
        0.05,
    ),
    "psychometric_at_bound": Planted({"psych_20_at_bound": True}, 1, 0),
    "ambiguous_region_mapping": Planted({"recording_name": ["VTA", None]}, 1, 0),
    "trials_not_in_photometry_time": Planted({"first_sample_s": 5.5}, 0.5, 0),
    "incomplete_signal": Planted({"n_trials_missing": [50, 0]}, 0.25, 0.1),
    "clock_out_of_order": Planted({"n_out_of_order": 7, "largest_back_s": 0.2}, 7, 0),
    "imprecise_synchronization": Planted({"sync_residual_s": 9e-3}, 9e-3, 5e-3),
    "clock_jump": Planted({"longest_pause_s": 12.5}, 12.5, 2.0),
    "repeated_frames": Planted({"n_repeated": 3}, 3, 0),
    "mislabeled_bands": Planted({"n_mislabeled": 5000}, 5000, 0),
    "still_signal": Planted({"still_s": [0.1, 90.0]}, 90, 5),
    "saturated_signal": Planted({"saturated_s": [2.5, 0.0]}, 2.5, 0.5),
    "missing_signal_column": Planted({"absent_columns": [["G2"], ["G2"]]}, 1, 0),
    "late_samples": Planted({"n_late_samples": 2.0, "lost_frame_fraction": 0.05}, 0.05, 0.001),
    "missing_isosbestic": Planted({"bands": [["GCaMP"]] * 2}, 0, 1),
    "band_inversion": Planted({"n_band_inversions": 3.0}, 3, 0),
    "early_samples": Planted({"n_early_samples": 5.0}, 5, 0),
    "few_unique_samples": Planted({"n_unique_samples": [0.5, 0.01]}, 0.01, 0.05),
    "isosbestic_fit": Planted({"VTA": {"iso_slope": -0.2, "iso_r2": 0.9}}, -0.2, 0),
    "incomplete_wheel": Planted({"n_incomplete": 90}, 0.45, 0.1),
    "missing_video_timestamps": Planted(
        {"timestamps_loadable": False}, no_number="times can be read or not"
    ),
    "video_length_error": Planted({"length_discrepancy": -130.0}, 130, 120),
    "video_timestamps_qc_error": Planted({"qc_timestamps": "WARNING"}, 0.66, 1),
    "video_dropped_frames_qc_error": Planted({"qc_dropped_frames": "FAIL"}, 0, 1),
    "video_pin_state_qc_error": Planted({"qc_pin_state": "CRITICAL"}, 0.33, 1),
}


def _inputs(asset: str, changes: dict[str, Any]) -> dict[str, Any]:
    """What the rules of an asset look at; each change goes where its key is."""
    needed = {name for rule in running_rules() if rule.asset == asset for name in rule.inputs}
    given = {}
    for name in needed & set(FAULTLESS):
        own = {key: changes[key] for key in FAULTLESS[name] if key in changes}
        value = {**FAULTLESS[name], **own}
        if name == "wheel_velocity":
            given[name] = xr.DataArray(attrs=value)
        else:
            given[name] = pd.DataFrame(value) if name in _TABLES else value
    return given


def test_every_rule_has_a_planted_defect():
    names = {rule.name for rule in running_rules()}
    assert names - set(PLANTED) == set(), "plant a defect for these rules in PLANTED"
    assert set(PLANTED) - names == set(), "these rules are no more"


@pytest.mark.parametrize("asset", sorted({rule.asset for rule in running_rules()}))
@pytest.mark.slow
def test_what_is_faultless_passes_every_rule(asset):
    outcomes = evaluate(asset, SETTINGS, **_inputs(asset, {}))
    assert {outcome.rule: outcome.message for outcome in outcomes if not outcome.passed} == {}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_breaks_its_rule_alone_with_value_and_limit(name):
    planted, rule = PLANTED[name], RULES[name]
    outcomes = evaluate(rule.asset, SETTINGS, **_inputs(rule.asset, planted.changes))
    failed = {outcome.rule: outcome for outcome in outcomes if not outcome.passed}
    assert set(failed) == {name}
    found = failed[name]
    assert found.value == pytest.approx(planted.value)
    assert found.limit == planted.limit
    assert bool(planted.no_number) == (found.value is None or found.limit is None)
    assert found.severity == rule.severity
