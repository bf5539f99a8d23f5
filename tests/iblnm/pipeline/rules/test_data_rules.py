"""Rules about trials, photometry, performance, video and the cohort."""

import json

import numpy as np
import pandas as pd
import pytest

from iblnm.config import Settings, Thresholds
from iblnm.validation import RULES, duplicates, evaluate, usable_sessions

SETTINGS = Settings(_env_file=None)


def run(name, settings=SETTINGS, **inputs):
    return RULES[name].evaluate(settings, **inputs)


def make_trials(n=200, probability=None):
    rng = np.random.default_rng(3)
    side = rng.choice([-1.0, 1.0], n)
    contrast = rng.choice([0.0, 6.25, 100.0], n)
    correct = rng.random(n) < 0.8
    stim = 10.0 + 5.0 * np.arange(n)
    return pd.DataFrame(
        {
            "stimOn_times": stim,
            "firstMovement_times": stim + 0.2,
            "feedback_times": stim + 0.5,
            "signed_contrast": side * contrast + 0.0,
            "choice": np.where(correct, -side, side),
            "feedbackType": np.where(correct, 1.0, -1.0),
            "probabilityLeft": 0.5 if probability is None else probability,
        }
    )


def blocks(*pairs):
    return np.concatenate([np.full(n, p) for p, n in pairs])


def row(kind, plan=None):
    return {"session_type": kind, "session_json": None if plan is None else json.dumps(plan)}


# trials ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "passed"), [(89, False), (90, True), (0, False)])
def test_insufficient_trials(n, passed):
    found = run("insufficient_trials", trials=make_trials(n))
    assert (found.passed, found.value, found.limit) == (passed, n, 90)
    assert f"{n} trials" in found.message
    assert "90" in found.message


def test_choice_sign_follows_alf():
    trials = make_trials()
    found = run("choice_sign", trials=trials)
    assert (found.passed, found.value, found.limit) == (True, 0, 0)
    n = int(((trials.feedbackType == 1) & (trials.signed_contrast != 0)).sum())
    turned = trials.assign(choice=-trials.choice)
    found = run("choice_sign", trials=turned)
    assert (found.passed, found.value) == (False, n)
    assert found.severity == "BLOCK"


def test_choice_sign_counts_single_trials_and_ignores_errors_and_zero_contrast():
    trials = make_trials()
    judged = (trials.feedbackType == 1) & (trials.signed_contrast != 0)
    trials.loc[judged.idxmax(), "choice"] = 0
    assert run("choice_sign", trials=trials).value == 1
    trials = make_trials()
    trials.loc[~judged, "choice"] *= -1
    assert run("choice_sign", trials=trials).passed
    only_errors = make_trials().assign(feedbackType=-1.0)
    found = run("choice_sign", trials=only_errors)
    assert found.passed
    assert found.value is None
    assert "Not evaluated" in found.message


@pytest.mark.parametrize(("n_missing", "passed"), [(20, True), (21, False)])
def test_incomplete_event_times_at_its_limit(n_missing, passed):
    trials = make_trials(200)
    trials.loc[: n_missing - 1, "feedback_times"] = np.nan
    found = run("incomplete_event_times", trials=trials)
    assert found.passed is passed
    assert found.value == pytest.approx(1 - n_missing / 200)
    assert found.limit == 0.9
    assert found.metadata["missing_events"] == ([] if passed else ["feedback_times"])


def test_an_absent_event_column_is_missing_and_no_trials_are_another_rules_fault():
    found = run("incomplete_event_times", trials=make_trials().drop(columns="stimOn_times"))
    assert (found.passed, found.value) == (False, 0.0)
    found = run("incomplete_event_times", trials=make_trials(0))
    assert found.passed
    assert "insufficient_trials" in found.message


GOOD = blocks((0.5, 90), (0.2, 40), (0.8, 10), (0.2, 3))
BAD = blocks((0.5, 90), (0.2, 40), (0.8, 9), (0.2, 30))
BOTH = ("block_structure_bug", "missing_block_info")


def block_outcomes(trials, session_row):
    return [run(name, trials=trials, session_row=session_row) for name in BOTH]


@pytest.mark.parametrize("kind", ["biased", "ephys"])
def test_blocks_of_ten_trials_are_valid(kind):
    structure, info = block_outcomes(make_trials(len(GOOD), GOOD), row(kind))
    assert (structure.passed, structure.value, structure.limit) == (True, 10, 10)
    assert info.passed


def test_broken_blocks_without_a_plan_are_missing_block_info():
    structure, info = block_outcomes(make_trials(len(BAD), BAD), row("biased"))
    assert structure.passed
    assert "missing_block_info" in structure.message
    assert (info.passed, info.value, info.limit) == (False, 9, 10)


def plan_of(probability):
    lengths = [90, 40, 9, 30]
    rng = np.random.default_rng(0)
    left = rng.random(len(probability)) < probability
    return {
        "LEN_BLOCKS": lengths,
        "POSITIONS": np.where(left, -35, 35).tolist(),
        "BLOCK_PROBABILITY_SET": [0.2, 0.8],
    }


def test_short_blocks_of_the_plan_are_valid():
    trials = make_trials(len(BAD), BAD)
    structure, info = block_outcomes(trials, row("biased", plan_of(BAD)))
    assert structure.passed
    assert structure.value == 9
    assert info.passed


def test_broken_blocks_that_differ_from_the_plan_are_a_bug():
    trials = make_trials(len(BAD), blocks((0.5, 90), (0.2, 5), (0.8, 44), (0.2, 30)))
    structure, info = block_outcomes(trials, row("biased", plan_of(BAD)))
    assert (structure.passed, structure.value, structure.limit) == (False, 5, 10)
    assert info.passed


def test_a_repair_passes_and_is_told():
    trials = make_trials(len(GOOD), GOOD)
    trials.attrs["block_repair"] = "probabilityLeft replaced by the plan in 3 of 143 trials"
    structure, info = block_outcomes(trials, row("biased", plan_of(BAD)))
    assert structure.passed
    assert "replaced by the plan in 3 of 143" in structure.message
    assert structure.metadata["repair"] == trials.attrs["block_repair"]
    assert info.passed


def test_training_has_no_blocks():
    structure, info = block_outcomes(make_trials(100), row("training"))
    assert (structure.passed, structure.value, structure.limit) == (True, 0, 0)
    structure, info = block_outcomes(make_trials(len(GOOD), GOOD), row("training"))
    assert (structure.passed, structure.value, structure.limit) == (False, 53, 0)
    assert info.passed
    structure, _ = block_outcomes(make_trials(len(BAD), BAD), row("habituation"))
    assert structure.passed
    assert "Not evaluated" in structure.message


@pytest.mark.parametrize(("n_early", "passed"), [(10, True), (11, False)])
def test_negative_reaction_time_at_its_limit(n_early, passed):
    trials = make_trials(200)
    trials.loc[: n_early - 1, "firstMovement_times"] = trials.stimOn_times - 0.01
    found = run("negative_reaction_time", trials=trials)
    assert found.passed is passed
    assert (found.value, found.limit) == (n_early / 200, 0.05)


def test_negative_reaction_time_without_movements():
    trials = make_trials().assign(firstMovement_times=np.nan)
    found = run("negative_reaction_time", trials=trials)
    assert found.passed
    assert found.value is None


def test_psychometric_at_bound():
    fits = {"psych_50_at_bound": False, "psych_20_at_bound": True, "psych_80_at_bound": None}
    found = run("psychometric_at_bound", performance=fits)
    assert (found.passed, found.value, found.limit) == (False, 1, 0)
    assert "psych_20" in found.message
    assert "1 of 2 fits" in found.message
    frame = pd.DataFrame([{**fits, "psych_20_at_bound": False}])
    assert run("psychometric_at_bound", performance=frame).passed
    assert run("psychometric_at_bound", performance={"eid": "a"}).value is None


# photometry --------------------------------------------------------------------------------


def make_reference(**changes):
    table = pd.DataFrame(
        {
            "column": ["Region0G", "Region1G"],
            "recording_name": ["NBM", "NBM_1"],
            "hemisphere": ["l", "r"],
            "fiber_idx": pd.array([0, 1], dtype="Int64"),
            "bands": [["GCaMP", "Isosbestic"]] * 2,
            "unmapped_columns": [[], []],
            "brain_region": "NBM",
            "clock": "session",
            "missing_share": 0.02,
            "longest_gap_s": 1.5,
            "n_gaps": 1,
            "n_trials": 100,
            "n_trials_missing": 4,
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
        }
    )
    return table.assign(**changes)


def test_a_good_reference_passes():
    outcomes = evaluate("photometry", SETTINGS, reference=make_reference())
    assert {o.rule: (o.passed, o.value) for o in outcomes} == {
        "ambiguous_region_mapping": (True, 0),
        "missing_signal_column": (True, 0),
        "trials_not_in_photometry_time": (True, 0),
        "missing_isosbestic": (True, 1),
        "incomplete_signal": (True, 0.04),
        "clock_out_of_order": (True, 0),
        "clock_jump": (True, 0.04),
        "repeated_frames": (True, 0),
        "mislabeled_bands": (True, 0),
        "still_signal": (True, 0.1),
        "saturated_signal": (True, 0),
        "imprecise_synchronization": (True, None),
    }


@pytest.mark.parametrize(
    ("changes", "n"),
    [
        ({"recording_name": ["NBM", None], "unmapped_columns": [["Region1G"]] * 2}, 1),
        ({"unmapped_columns": [["Region9G"], ["Region9G"]]}, 1),
        ({"fiber_idx": pd.array([0, 0], dtype="Int64")}, 2),
    ],
)
def test_ambiguous_region_mapping(changes, n):
    found = run("ambiguous_region_mapping", reference=make_reference(**changes))
    assert (found.passed, found.value, found.limit) == (False, n, 0)
    assert found.severity == "BLOCK"


def test_missing_regions_tell_which_fiber_table_was_looked_at(tmp_path, monkeypatch):
    settings = Settings(root=tmp_path / "root", one_cache_dir=tmp_path)
    mine = settings.fibers_fpath
    monkeypatch.setattr("iblnm.io.fibers._CHECKOUT", tmp_path / "none")
    for sentence in (f"There is no fiber table: put one at {mine}.", f"fiber table is {mine}."):
        reference = make_reference(unmapped_columns=[["G9"], ["G9"]])
        for found in (
            run("ambiguous_region_mapping", settings, reference=reference),
            run("missing_brain_region", settings, session_row={"brain_region": []}),
        ):
            assert found.message.endswith(sentence)
        mine.parent.mkdir(parents=True, exist_ok=True)
        mine.touch()


@pytest.mark.parametrize(
    ("changes", "outside"),
    [
        ({"first_sample_s": 5.0, "last_sample_s": 95.0}, 0),
        ({"first_sample_s": 5.5}, 0.5),
        ({"last_sample_s": 92.0}, 3.0),
    ],
)
def test_trials_not_in_photometry_time(changes, outside):
    found = run("trials_not_in_photometry_time", reference=make_reference(**changes))
    assert found.passed is (outside == 0)
    assert (found.value, found.limit) == (outside, 0)


def test_without_trials_the_time_rule_passes_with_a_note():
    reference = make_reference(first_stim_on_s=np.nan, last_feedback_s=np.nan)
    found = run("trials_not_in_photometry_time", reference=reference)
    assert found.passed
    assert found.value is None
    assert "no trials" in found.message


def test_missing_isosbestic():
    found = run("missing_isosbestic", reference=make_reference(bands=[["GCaMP"]] * 2))
    assert (found.passed, found.value, found.limit) == (False, 0, 1)


def make_qc(**changes):
    table = pd.DataFrame(
        {
            "eid": "a",
            "brain_region": ["VTA", "VTA", "SNc"],
            "band": ["GCaMP", "Isosbestic", "GCaMP"],
            "n_unique_samples": [0.5, 0.05, 0.2],
            "n_band_inversions": 0.0,
            "n_early_samples": 0.0,
        }
    )
    return table.assign(**changes)


@pytest.mark.parametrize(
    ("name", "column"),
    [("band_inversion", "n_band_inversions"), ("early_samples", "n_early_samples")],
)
def test_raw_frame_rules(name, column):
    found = run(name, qc=make_qc())
    assert (found.passed, found.value, found.limit) == (True, 0, 0)
    found = run(name, qc=make_qc(**{column: 3.0}))
    assert (found.passed, found.value, found.severity) == (False, 3, "BLOCK")
    assert found.message.startswith("3 ")
    found = run(name, qc=make_qc(**{column: np.nan}))
    assert found.passed
    assert found.value is None
    assert "raw frames are not registered" in found.message
    assert run(name, qc=pd.DataFrame()).passed


def test_few_unique_samples_at_its_limit():
    found = run("few_unique_samples", qc=make_qc())
    assert (found.passed, found.value, found.limit) == (True, 0.05, 0.05)
    found = run("few_unique_samples", qc=make_qc(n_unique_samples=[0.5, 0.049, 0.2]))
    assert (found.passed, found.value) == (False, 0.049)
    assert "VTA, Isosbestic" in found.message
    assert run("few_unique_samples", qc=make_qc(n_unique_samples=np.nan)).passed


def fit(**changes):
    base = {"iso_slope": 0.8, "iso_r2": 0.9, "iso_slope_robust": 0.84, "correction": "isosbestic"}
    return {"VTA": {**base, **changes}}


def test_isosbestic_fit():
    found = run("isosbestic_fit", preprocessed=fit())
    assert found.passed
    assert found.value == pytest.approx(0.05)
    assert found.limit == 0.5
    found = run("isosbestic_fit", preprocessed=fit(iso_slope_robust=1.3))
    assert not found.passed
    assert found.value == pytest.approx(0.625)
    found = run("isosbestic_fit", preprocessed=fit(iso_slope=0.0))
    assert (found.passed, found.value, found.limit) == (False, 0, 0)
    strict = Settings(_env_file=None, thresholds=Thresholds(min_iso_r2=0.95))
    found = run("isosbestic_fit", strict, preprocessed=fit())
    assert (found.passed, found.value, found.limit) == (False, 0.9, 0.95)


def test_isosbestic_fit_of_a_signal_without_reference_is_not_evaluated():
    signal_only = fit(correction="signal_only", iso_slope=np.nan, iso_r2=np.nan)
    found = run("isosbestic_fit", preprocessed=signal_only)
    assert found.passed
    assert "missing_isosbestic" in found.message


# video -------------------------------------------------------------------------------------


def make_video(**changes):
    return {
        "timestamps_loadable": True,
        "session_length": 3600.0,
        "video_length": 3650.0,
        "length_discrepancy": -50.0,
        "qc_timestamps": "PASS",
        "qc_dropped_frames": "PASS",
        "qc_pin_state": "PASS",
        "note": None,
        **changes,
    }


def video_failures(**changes):
    outcomes = evaluate("video_qc", SETTINGS, video=make_video(**changes))
    return {o.rule: (o.value, o.limit) for o in outcomes if not o.passed}


def test_video_rules():
    assert video_failures() == {}
    assert video_failures(
        timestamps_loadable=False, video_length=None, length_discrepancy=None, note="gone"
    ) == {"missing_video_timestamps": (None, None)}
    assert video_failures(length_discrepancy=-120.0) == {"video_length_error": (120, 120)}
    assert video_failures(length_discrepancy=119.9) == {}
    assert video_failures(session_length=None, length_discrepancy=None) == {}
    assert video_failures(qc_timestamps="WARNING") == {"video_timestamps_qc_error": (0.66, 1)}
    assert video_failures(qc_dropped_frames="FAIL") == {"video_dropped_frames_qc_error": (0, 1)}
    assert video_failures(qc_pin_state="NOT_SET") == {"video_pin_state_qc_error": (None, 1)}
    assert video_failures(qc_pin_state=None) == {"video_pin_state_qc_error": (None, 1)}


# cohort ------------------------------------------------------------------------------------


def make_sessions():
    return pd.DataFrame(
        {
            "eid": ["a", "b", "c", "d"],
            "subject": ["m1", "m1", "m1", "m2"],
            "start_time": [
                "2024-01-01T15:00:00",
                "2024-01-01T09:00:00",
                "2024-01-02T09:00:00",
                "2024-01-01T09:00:00",
            ],
            "logged_errors": [[], [], [], []],
        }
    )


def test_true_duplicate_session_keeps_the_first():
    found = run("true_duplicate_session", sessions=make_sessions())
    assert (found.passed, found.value, found.limit) == (False, 1, 0)
    assert "m1 2024-01-01" in found.message
    assert [(e["eid"], e["kept"]) for e in found.metadata["sessions"]] == [
        ("b", True),
        ("a", False),
    ]


def test_an_unusable_session_is_no_duplicate():
    sessions = make_sessions()
    sessions["logged_errors"] = [["BandInversion"], ["InvalidStrain"], [], []]
    assert usable_sessions(sessions, SETTINGS).tolist() == [False, True, True, True]
    assert run("true_duplicate_session", sessions=sessions).passed
    assert duplicates(sessions, usable_sessions(sessions, SETTINGS, ())).eid.tolist() == ["b", "a"]


def test_raw_files_that_can_be_put_on_one_clock_make_a_usable_session():
    log = "raw_task_data_00/_iblrig_taskData.raw.jsonable"
    frames, inputs = (
        f"raw_photometry_data/_neurophotometrics_fpData.{name}.pqt"
        for name in ("raw", "digitalInputs")
    )
    sessions = make_sessions()
    sessions["datasets"] = [[log, frames, inputs], [log, frames], [frames, inputs], [log]]
    sessions["logged_errors"] = [["MissingExtractedData"], [], [], []]
    assert usable_sessions(sessions, SETTINGS).tolist() == [True, False, False, False]


def test_without_logs_sessions_are_usable_by_their_datasets():
    complete = ["alf/_ibl_trials.table.pqt", "alf/photometry/photometry.signal.pqt"]
    sessions = make_sessions().drop(columns="logged_errors")
    sessions["datasets"] = [complete, complete[:1], complete, []]
    assert usable_sessions(sessions, SETTINGS).tolist() == [True, False, True, False]
    assert run("true_duplicate_session", sessions=sessions).passed
