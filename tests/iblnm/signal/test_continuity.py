"""The clock of a recording, stretches of equal values, gaps and what they touch."""

import doctest

import numpy as np
import pandas as pd
import pytest

from iblnm.signal import continuity, coverage
from iblnm.signal.continuity import check_clock, constant_stretches, gaps, touched
from iblnm.signal.coverage import recording_coverage, trial_windows

TIMES = np.arange(0.0, 100.0, 0.1)


@pytest.mark.parametrize("module", [continuity, coverage])
def test_examples(module):
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0


def test_an_ordinary_clock():
    clock = check_clock(TIMES)
    assert clock.usable.all()
    assert (clock.n_back, clock.largest_back_s) == (0, 0.0)


@pytest.mark.parametrize(
    ("at", "by", "n_lost"),
    [
        ([500], 5.0, 1),  # a single stamp far ahead
        ([500], -20.0, 1),  # and far back
        ([500], -0.1, 1),  # repeated
        ([300, 500, 700], -3.0, 3),
        ([500, 501, 502], 9.0, 3),
    ],
)
def test_slips_cost_their_samples_only(at, by, n_lost):
    times = TIMES.copy()
    times[at] += by
    clock = check_clock(times)
    assert (~clock.usable).sum() == n_lost
    assert clock.n_back >= 1
    assert (np.diff(times[clock.usable]) > 0).all()


@pytest.mark.parametrize(("at", "kept"), [(600, (0, 600)), (300, (300, 1000))])
def test_of_a_clock_set_back_the_longest_stretch_is_used(at, kept):
    times = TIMES.copy()
    times[at:] -= 20.0
    clock = check_clock(times)
    assert np.flatnonzero(clock.usable)[[0, -1]].tolist() == [kept[0], kept[1] - 1]
    assert clock.usable.sum() == kept[1] - kept[0]
    assert clock.largest_back_s == pytest.approx(19.9)


def test_a_clock_that_starts_again():
    clock = check_clock(np.r_[TIMES[:400], TIMES])
    assert np.flatnonzero(clock.usable)[0] == 400
    assert clock.usable.sum() == 1000


def test_stretches_of_nan_are_none():
    values = np.r_[1.0, np.full(5, np.nan), 2.0, 2.0, np.full(4, 3.0)]
    assert constant_stretches(values, 2) == [(6, 8), (8, 12)]
    assert constant_stretches(values, 3) == [(8, 12)]


def test_gaps_at_the_ends_and_inside():
    valid = (TIMES > 10) & (TIMES < 90)
    valid[500] = False  # one sample is no gap at this rate
    assert gaps(TIMES, valid, (0.0, 95.0), 0.2) == pytest.approx(
        np.array([[0.0, 10.1], [89.9, 95.0]])
    )
    assert gaps(TIMES, np.zeros(1000, dtype=bool), (0.0, 95.0), 0.2).tolist() == [[0.0, 95.0]]


def test_what_a_gap_touches():
    starts = np.array([0.0, 9.0, 10.0, 19.9, 20.0, np.nan])
    found = touched(starts, starts + 1.0, np.array([[10.0, 20.0], [40.0, 41.0]]))
    assert found.tolist() == [False, False, True, True, False, False]


def test_a_gap_of_either_band_counts():
    first, second = (TIMES < 20) | (TIMES > 30), (TIMES < 25) | (TIMES > 40)
    bands = {"GCaMP": (TIMES, first), "Isosbestic": (TIMES + 0.05, second)}
    windows = np.array([[1.0, 3.0], [28.0, 30.0], [36.0, 38.0], [np.nan, np.nan]])
    found = recording_coverage(bands, (0.0, 100.0), windows, max_gap_s=0.2)
    assert found["missing_share"] == pytest.approx(0.2, abs=0.003)
    assert found["longest_gap_s"] == pytest.approx(20.0, abs=0.3)
    assert (found["n_gaps"], found["n_trials"], found["n_trials_missing"]) == (1, 3, 2)


def test_without_task_the_recording_is_the_window():
    found = recording_coverage(
        {"GCaMP": (TIMES, TIMES < 50)}, None, np.zeros((0, 2)), max_gap_s=0.2
    )
    assert found["missing_share"] == pytest.approx(0.5, abs=0.01)
    assert found["n_trials"] is None


def test_windows_of_trials():
    trials = pd.DataFrame({"stim": [1.0, np.nan, np.nan], "feedback": [2.0, 5.0, np.nan]})
    windows = trial_windows(trials, ["stim", "feedback"], (-1.0, 1.0))
    np.testing.assert_array_equal(windows[:2], [[0.0, 3.0], [4.0, 6.0]])
    assert np.isnan(windows[2]).all()
