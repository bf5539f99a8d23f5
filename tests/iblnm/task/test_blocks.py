"""Blocks: structure, reconstruction from the plan, repair."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iblnm.config import Thresholds
from iblnm.errors import MalformedFileError
from iblnm.task import (
    add_trial_columns,
    get_block_lengths,
    reconstruct_probability_left,
    repair_blocks,
    validate_block_match,
    validate_block_structure,
)

PROBABILITIES = [0.2, 0.8]


def _table(p):
    return pd.DataFrame({"probabilityLeft": np.asarray(p, dtype=float)})


def _broken(p):
    return np.random.default_rng(4).choice([0.2, 0.8], len(p))


@pytest.fixture
def session(plan, make_trials):
    """Trials of 400 planned positions, their JSON and their true probabilities."""
    lengths, positions, p = plan(seed=11)
    trials = add_trial_columns(make_trials(p[:400], positions=positions))
    json = {
        "LEN_BLOCKS": lengths,
        "POSITIONS": positions,
        "BLOCK_PROBABILITY_SET": PROBABILITIES,
        "other": "kept out of it",
    }
    return trials, json, p[:400]


def test_block_lengths():
    assert get_block_lengths([]).tolist() == []
    assert get_block_lengths([0.5]).tolist() == [1]
    assert get_block_lengths([0.5] * 3 + [0.2] * 2 + [0.5]).tolist() == [3, 2, 1]
    assert get_block_lengths([0.5, np.nan, np.nan, 0.2]).tolist() == [1, 2, 1]
    assert get_block_lengths(pd.Series([0.2, 0.2], index=[4, 9])).tolist() == [2]


@pytest.mark.parametrize(
    ("lengths", "valid", "shortest"),
    [
        ([90, 20, 30, 2], True, 20),
        ([90, 10, 5], True, 10),
        ([90, 9, 30, 30], False, 9),
        ([200], True, 200),
        ([3], True, 3),
        ([9, 50], False, 9),
    ],
)
def test_structure(lengths, valid, shortest):
    levels = [0.5, 0.2, 0.8, 0.2][: len(lengths)]
    result = validate_block_structure(_table(np.repeat(levels, lengths)))
    assert result == {
        "valid": valid,
        "min_block_length": shortest,
        "n_blocks": len(lengths),
        "flagged": not valid,
    }


def test_structure_of_missing_probabilities_and_of_no_trials():
    assert validate_block_structure(_table([0.5] * 50 + [np.nan] * 50))["valid"] is False
    assert validate_block_structure(_table([np.nan] * 50))["valid"] is False
    empty = validate_block_structure(_table([]))
    assert empty == {"valid": False, "min_block_length": 0, "n_blocks": 0, "flagged": True}


def test_structure_of_a_training_session():
    half, biased = _table([0.5] * 100), _table([0.5] * 90 + [0.2] * 30)
    assert validate_block_structure(half, session_type="training")["valid"] is True
    assert validate_block_structure(biased, session_type="training")["valid"] is False
    assert validate_block_structure(biased, session_type="biased")["valid"] is True


def test_limit_of_the_structure_is_a_setting():
    trials = _table([0.5] * 90 + [0.2] * 15 + [0.8] * 30)
    strict = Thresholds(min_block_length=16)
    assert validate_block_structure(trials)["valid"] is True
    assert validate_block_structure(trials, thresholds=strict)["valid"] is False


def test_structure_needs_the_column():
    with pytest.raises(MalformedFileError, match="probabilityLeft"):
        validate_block_structure(pd.DataFrame({"choice": [1]}))


@pytest.mark.parametrize("first", ["low", "high"])
def test_reconstruction_of_planned_sessions(plan, first):
    for seed in range(100):
        lengths, positions, p = plan(seed, first=first)
        result = reconstruct_probability_left(len(p), lengths, positions, PROBABILITIES)
        np.testing.assert_array_equal(result, p)


def test_deciding_blocks_one_by_one_would_fail(plan):
    """The joint likelihood is not a luxury: single blocks mislead."""
    wrong = 0
    for seed in range(100):
        lengths, positions, p = plan(seed)
        ends = np.cumsum(lengths)
        for start, end in pairwise(ends):
            on_left = np.mean(np.array(positions[start:end]) < 0)
            nearest = min((0.2, 0.5, 0.8), key=lambda level: abs(level - on_left))
            wrong += nearest != p[start]
    assert wrong > 5


def test_reconstruction_of_a_session_shorter_than_its_plan(plan):
    lengths, positions, p = plan(seed=2, first="high")
    for n_trials in (0, 1, 90, 91, 333):
        result = reconstruct_probability_left(n_trials, lengths, positions, PROBABILITIES)
        np.testing.assert_array_equal(result, p[:n_trials])
        assert result.dtype == np.float64


@pytest.mark.parametrize("given", [None, [0.2, 0.8], [0.8, 0.2], [0.5, 0.2, 0.8], (0.2, 0.5, 0.8)])
def test_forms_of_the_probability_set(plan, given):
    lengths, positions, p = plan(seed=5)
    np.testing.assert_array_equal(
        reconstruct_probability_left(len(p), lengths, positions, given), p
    )


def test_plan_without_the_unbiased_start(plan):
    lengths, positions, p = plan(seed=6)
    result = reconstruct_probability_left(len(p) - 90, lengths[1:], positions[90:], PROBABILITIES)
    np.testing.assert_array_equal(result, p[90:])


def test_ibl_pregenerated_sessions():
    """The sequences that ephys sessions were run with, as ibllib ships them."""
    ibllib = pytest.importorskip("ibllib")
    folder = Path(ibllib.__file__).parent / "io" / "extractors" / "ephys_sessions"
    files = sorted(folder.glob("*_ephys_pcqs.npy"))
    if not files:
        pytest.skip(f"no pregenerated sessions in {folder}")
    for file in files:
        table = np.load(file, allow_pickle=False)
        positions, p = table[:, 0], table[:, 4]
        result = reconstruct_probability_left(
            len(p), get_block_lengths(p).tolist(), positions.tolist(), PROBABILITIES
        )
        np.testing.assert_array_equal(result, p)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_trials": 5000}, "the session has 5000"),
        ({"len_blocks": [90, 20]}, r"covers 110 trials"),
        ({"len_blocks": []}, "LEN_BLOCKS"),
        ({"len_blocks": None}, "LEN_BLOCKS"),
        ({"len_blocks": "many"}, "LEN_BLOCKS"),
        ({"len_blocks": [90, -4, 900]}, "LEN_BLOCKS .* whole"),
        ({"len_blocks": [90, 20.5, 900]}, "LEN_BLOCKS .* whole"),
        ({"len_blocks": [90, 10**400]}, "LEN_BLOCKS"),
        ({"len_blocks": [[90, 30], [30, 90]]}, "LEN_BLOCKS"),
        ({"positions": []}, "POSITIONS"),
        ({"positions": [35.0, None]}, "POSITIONS"),
        ({"positions": {"a": 1}}, "POSITIONS"),
        ({"positions": [0] * 900}, "POSITIONS has 900 values of 0"),
        ({"positions": [-35, 35] * 45}, "in POSITIONS"),
        ({"block_probability_set": [0.5]}, "BLOCK_PROBABILITY_SET"),
        ({"block_probability_set": [0.1, 0.2, 0.8]}, "BLOCK_PROBABILITY_SET"),
        ({"block_probability_set": [0, 1]}, "BLOCK_PROBABILITY_SET"),
        ({"block_probability_set": ["a", "b"]}, "BLOCK_PROBABILITY_SET"),
    ],
)
def test_unusable_plans(plan, change, words):
    lengths, positions, _ = plan(seed=1)
    arguments = {
        "n_trials": 400,
        "len_blocks": lengths,
        "positions": positions,
        "block_probability_set": PROBABILITIES,
    } | change
    with pytest.raises(MalformedFileError, match=words):
        reconstruct_probability_left(**arguments)


def test_huge_planned_blocks_cost_no_memory(plan):
    lengths, positions, p = plan(seed=1)
    result = reconstruct_probability_left(300, [*lengths, 10**15], positions, PROBABILITIES)
    np.testing.assert_array_equal(result, p[:300])


def test_undecidable_positions():
    with pytest.raises(MalformedFileError, match="equally likely"):
        reconstruct_probability_left(110, [90, 20], [-35, 35] * 55, PROBABILITIES)


def test_match(session):
    trials, json, p = session
    arguments = (json["LEN_BLOCKS"], json["POSITIONS"], PROBABILITIES)
    assert validate_block_match(trials, *arguments) is True
    p = p.copy()
    p[-1] = 0.5
    assert validate_block_match(trials.assign(probabilityLeft=p), *arguments) is False
    assert validate_block_match(trials, None, None, None) is False


def test_repair(session):
    trials, json, p = session
    broken = trials.assign(probabilityLeft=_broken(p))
    before = broken.copy()
    result = repair_blocks(broken, json)
    assert result.repaired is True
    np.testing.assert_array_equal(result.trials["probabilityLeft"], p)
    pd.testing.assert_frame_equal(broken, before)
    others = trials.columns.drop("probabilityLeft")
    pd.testing.assert_frame_equal(result.trials[others], trials[others])
    n_changed = int((broken["probabilityLeft"] != p).sum())
    assert f"in {n_changed} of 400 trials" in result.note


def test_repair_of_missing_probabilities(session):
    trials, json, p = session
    result = repair_blocks(trials.assign(probabilityLeft=np.nan), json)
    assert result.repaired
    np.testing.assert_array_equal(result.trials["probabilityLeft"], p)


def test_repair_without_derived_columns_or_probability_set(session):
    trials, json, p = session
    raw = trials.drop(columns="stim_side").assign(probabilityLeft=_broken(p))
    del json["BLOCK_PROBABILITY_SET"]
    result = repair_blocks(raw, json)
    assert result.repaired
    np.testing.assert_array_equal(result.trials["probabilityLeft"], p)


def test_nothing_to_repair(session):
    trials, json, _ = session
    for given in (json, None, {}):
        result = repair_blocks(trials, given)
        assert result.trials is trials
        assert (result.repaired, result.note) == (False, "")


def test_plan_of_another_session_is_not_used(session, plan):
    trials, json, p = session
    json["POSITIONS"] = plan(seed=12)[1]
    broken = trials.assign(probabilityLeft=_broken(p))
    result = repair_blocks(broken, json)
    assert result.repaired is False
    assert result.trials is broken
    assert "other side in" in result.note


def test_single_stimulus_on_the_other_side_forbids_the_repair(session):
    trials, json, p = session
    json["POSITIONS"] = [-json["POSITIONS"][0], *json["POSITIONS"][1:]]
    result = repair_blocks(trials.assign(probabilityLeft=_broken(p)), json)
    assert not result.repaired
    assert "1 of 400 trials" in result.note


def test_valid_blocks_that_differ_from_the_plan_are_kept_and_noted(session):
    trials, json, p = session
    mirrored = trials.assign(probabilityLeft=1 - p)
    result = repair_blocks(mirrored, json)
    assert result.trials is mirrored
    assert not result.repaired
    assert f"{int((p != 0.5).sum())} of 400" in result.note


def test_short_blocks_of_the_plan_are_right(session):
    trials, json, _ = session
    lengths = [90, 5, *json["LEN_BLOCKS"][1:]]
    trials = trials.assign(
        probabilityLeft=reconstruct_probability_left(
            400, lengths, json["POSITIONS"], PROBABILITIES
        )
    )
    result = repair_blocks(trials, json | {"LEN_BLOCKS": lengths})
    assert not result.repaired
    assert result.note == "short blocks are those of the plan"


@pytest.mark.parametrize(
    ("json", "words"),
    [
        (None, "no JSON"),
        ("text", "is a str"),
        ([1, 2], "is a list"),
        ({}, "no LEN_BLOCKS, POSITIONS"),
        ({"LEN_BLOCKS": None, "POSITIONS": [35]}, "no LEN_BLOCKS"),
        ({"LEN_BLOCKS": [90, 30], "POSITIONS": [-35, 35] * 60}, "covers 120 trials"),
        ({"LEN_BLOCKS": "x", "POSITIONS": "y"}, "LEN_BLOCKS is not a list of numbers"),
        ({"LEN_BLOCKS": [1e9], "POSITIONS": [{}] * 500}, "POSITIONS is not a list of numbers"),
    ],
)
def test_unusable_json_is_a_note(session, json, words):
    trials, _, p = session
    broken = trials.assign(probabilityLeft=_broken(p))
    result = repair_blocks(broken, json)
    assert result.trials is broken
    assert not result.repaired
    assert words in result.note
    assert "not repaired" in result.note


def test_no_trials_need_no_repair(session):
    trials, json, _ = session
    result = repair_blocks(trials.iloc[:0], json)
    assert (result.repaired, result.note) == (False, "no trials")
