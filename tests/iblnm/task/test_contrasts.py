"""Sides, contrasts and choices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.errors import MalformedFileError
from iblnm.task import (
    add_relative_contrast,
    add_trial_columns,
    compute_choice_side,
    compute_trial_contrasts,
    sort_trials_by_type,
    trial_timing,
)

NAN = np.nan


def _contrasts(left, right):
    return pd.DataFrame({"contrastLeft": left, "contrastRight": right})


def test_sides_and_percent():
    result = compute_trial_contrasts(_contrasts([1.0, NAN, 0.0625, NAN], [NAN, 0.125, NAN, 0.0]))
    assert result["stim_side"].tolist() == ["left", "right", "left", "right"]
    assert result["contrast"].tolist() == [100.0, 12.5, 6.25, 0.0]
    assert result["signed_contrast"].tolist() == [-100.0, 12.5, -6.25, 0.0]
    assert result["contrast"].dtype == result["signed_contrast"].dtype == np.float64


def test_zero_contrast_has_a_side_and_no_sign():
    result = compute_trial_contrasts(_contrasts([0.0, NAN, -0.0], [NAN, 0.0, NAN]))
    assert result["stim_side"].tolist() == ["left", "right", "left"]
    assert not np.signbit(result[["contrast", "signed_contrast"]].to_numpy()).any()


def test_percent_has_no_rounding_noise():
    assert compute_trial_contrasts(_contrasts([0.07, 0.29], [NAN, NAN]))["contrast"].tolist() == [
        7.0,
        29.0,
    ]


def test_index_is_kept():
    trials = _contrasts([1.0, NAN], [NAN, 1.0]).set_axis([7, 3])
    assert compute_trial_contrasts(trials).index.tolist() == [7, 3]


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        ([1.0, 0.5, NAN], [0.5, 0.5, 1.0], ["2 of 3", "both sides", "rows 0, 1"]),
        ([1.0, NAN, NAN], [NAN, NAN, 1.0], ["1 of 3", "either side", "rows 1"]),
        ([NAN] * 20, [NAN] * 20, ["20 of 20", "8, 9, ..."]),
        ([25.0, NAN], [NAN, 1.0], ["outside 0 to 1", "25", "rows 0"]),
        ([-0.5, NAN], [NAN, 1.0], ["outside 0 to 1", "-0.5"]),
        (["a", "b"], [NAN, 1.0], ["contrastLeft is not numeric"]),
    ],
)
def test_unusable_contrasts_name_count_and_rows(left, right, words):
    with pytest.raises(MalformedFileError) as caught:
        compute_trial_contrasts(_contrasts(left, right))
    for word in words:
        assert word in str(caught.value)


def test_missing_column_is_named():
    with pytest.raises(MalformedFileError, match="contrastRight"):
        compute_trial_contrasts(pd.DataFrame({"contrastLeft": [1.0]}))


def test_alf_choice_minus_one_is_right():
    side = compute_choice_side(pd.DataFrame({"choice": [-1, 1, 0]}))
    assert side.tolist() == ["right", "left", "none"]


def test_a_missing_choice_has_no_side():
    side = compute_choice_side(pd.DataFrame({"choice": [1.0, NAN, 0.0]}))
    assert side.tolist() == ["left", None, "none"]


def test_a_few_trials_without_side_are_missing_many_are_refused():
    left = np.where(np.arange(40) % 2, NAN, 0.25)
    trials = pd.DataFrame({"contrastLeft": left, "contrastRight": left[::-1]})
    trials.loc[0, "contrastLeft"] = NAN  # neither
    trials.loc[2, "contrastRight"] = 1.0  # both
    found = compute_trial_contrasts(trials)
    assert found["stim_side"].isna().to_numpy().nonzero()[0].tolist() == [0, 2]
    assert found[["contrast", "signed_contrast"]].isna().all(axis=1).sum() == 2
    with pytest.raises(MalformedFileError, match="1 of 40 trials have a contrast on both sides"):
        compute_trial_contrasts(trials, max_unusable_share=0.04)
    # a wrong scale is no matter of a few trials
    trials.loc[4, "contrastLeft"] = 25.0
    with pytest.raises(MalformedFileError, match=r"outside 0 to 1 \(for example 25\)"):
        compute_trial_contrasts(trials)


@pytest.mark.parametrize("bad", [2.0, 0.5])
def test_unknown_choice(bad):
    with pytest.raises(MalformedFileError, match="1 of 3 trials have choice"):
        compute_choice_side(pd.DataFrame({"choice": [1.0, bad, -1.0]}))


def test_trial_columns(make_trials):
    trials = make_trials(np.full(50, 0.5), nogo=0.1)
    trials["choice"] = trials["choice"].astype(int)
    before = trials.copy()
    result = add_trial_columns(trials)
    pd.testing.assert_frame_equal(trials, before)
    pd.testing.assert_frame_equal(result[list(trials.columns)], before.astype(float))
    assert set(result.columns) - set(trials.columns) == {
        "stim_side",
        "contrast",
        "signed_contrast",
        "choice_side",
        "reaction_time",
        "movement_time",
        "response_time",
    }
    correct = result["feedbackType"] == 1
    assert (result.loc[correct, "stim_side"] == result.loc[correct, "choice_side"]).all()


def test_trial_columns_twice_are_the_same(make_trials):
    once = add_trial_columns(make_trials(np.full(20, 0.5)))
    pd.testing.assert_frame_equal(add_trial_columns(once), once)


def test_trial_columns_of_an_empty_table(make_trials):
    assert len(add_trial_columns(make_trials(np.full(5, 0.5)).iloc[:0])) == 0


def test_trial_columns_keep_an_unsorted_index(make_trials):
    trials = make_trials(np.full(4, 0.5)).set_axis([9, 2, 5, 1])
    result = add_trial_columns(trials)
    expected = trials["feedback_times"] - trials["stimOn_times"]
    np.testing.assert_array_equal(result["response_time"], expected)


def test_timing():
    timing = trial_timing(
        pd.DataFrame(
            {
                "stimOn_times": [1.0, 2.0, NAN],
                "firstMovement_times": [1.2, NAN, 3.5],
                "feedback_times": [1.9, 2.5, 4.0],
            },
            index=[5, 6, 7],
        )
    )
    assert timing["trial"].tolist() == [0, 1, 2]
    assert timing["trial"].dtype == np.int64
    np.testing.assert_allclose(timing["reaction_time"], [0.2, NAN, NAN])
    np.testing.assert_allclose(timing["movement_time"], [0.7, NAN, 0.5])
    np.testing.assert_allclose(timing["response_time"], [0.9, 0.5, NAN])


def test_timing_needs_its_events():
    with pytest.raises(MalformedFileError, match="firstMovement_times"):
        trial_timing(pd.DataFrame({"stimOn_times": [1.0], "feedback_times": [2.0]}))


def test_relative_contrast():
    df = pd.DataFrame(
        {
            "signed_contrast": [-25.0, 25.0, -25.0, 25.0, 0.0, 0.0, 0.0],
            "stim_side": ["left", "right", "left", "right", "left", "right", "left"],
            "hemisphere": ["l", "l", "r", "r", "l", "l", None],
        }
    )
    result = add_relative_contrast(df)
    np.testing.assert_array_equal(
        result["relative_contrast"], [-25.0, 25.0, 25.0, -25.0, 0.0, 0.0, NAN]
    )
    assert result["side"].tolist() == ["ipsi", "contra", "contra", "ipsi", "ipsi", "contra", None]
    assert not np.signbit(result["relative_contrast"].iloc[:6][df["signed_contrast"] == 0]).any()
    assert "side" not in df


@pytest.mark.parametrize("unknown", [None, NAN, pd.NA, "", "x"])
def test_unknown_hemisphere_is_never_left(unknown):
    result = add_relative_contrast(
        pd.DataFrame({"signed_contrast": [25.0], "stim_side": ["right"], "hemisphere": [unknown]})
    )
    assert np.isnan(result["relative_contrast"][0])
    assert result["side"][0] is None


def test_side_of_zero_is_unknown_without_stim_side():
    df = pd.DataFrame({"signed_contrast": [0.0, -6.25], "hemisphere": ["l", "l"]})
    assert add_relative_contrast(df)["side"].tolist() == [None, "ipsi"]


def test_missing_stim_side_is_a_missing_side():
    df = pd.DataFrame(
        {
            "signed_contrast": [12.5, 12.5],
            "hemisphere": ["l", "l"],
            "stim_side": pd.array(["right", pd.NA], dtype="string"),
        }
    )
    assert add_relative_contrast(df)["side"].tolist() == ["contra", None]


def test_sort_by_type():
    trials = pd.DataFrame(
        {
            "feedbackType": [1, -1, 1, -1, 1, -1],
            "contrast": [50.0, 25.0, 12.5, 50.0, 25.0, NAN],
        },
        index=list("abcdef"),
    )
    assert sort_trials_by_type(trials).tolist() == [3, 1, 5, 0, 4, 2]


@pytest.mark.real
def test_choice_sign_of_real_sessions(real_trials):
    _, trials = real_trials
    trials = add_trial_columns(trials)
    correct = trials[(trials["feedbackType"] == 1) & (trials["contrast"] > 0)]
    assert len(correct) > 50
    assert (np.sign(correct["choice"]) == -np.sign(correct["signed_contrast"])).all()
    assert (correct["choice_side"] == correct["stim_side"]).all()


@pytest.mark.real
def test_real_contrasts(real_trials):
    subject, trials = real_trials
    contrasts = set(compute_trial_contrasts(trials)["contrast"])
    expected = {6.25, 12.5, 25.0, 100.0} if subject == "fip_40" else {50.0, 100.0}
    assert contrasts == expected
