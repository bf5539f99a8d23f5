"""Velocity of the wheel: brainbox as oracle, planted movements, trials of their own length."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from iblnm.errors import MalformedFileError
from iblnm.signal.wheel import trial_wheel_velocity, wheel_velocity

NAN = np.nan


@pytest.fixture
def trace():
    """200 s of an irregularly sampled wheel that turns back and forth, with a trend."""
    times = np.cumsum(np.random.default_rng(0).uniform(0.001, 0.02, 20_000))
    times = times[times < 200] + 10
    position = 2 * np.sin(2 * np.pi * 0.8 * times) + 0.3 * times
    return times, position


def _true_velocity(t):
    return 2 * 2 * np.pi * 0.8 * np.cos(2 * np.pi * 0.8 * t) + 0.3


def _table(start, end):
    return pd.DataFrame({"stimOn_times": start, "feedback_times": end}, dtype=float)


def _brainbox(times, position, fs):
    wheel = pytest.importorskip("brainbox.behavior.wheel")
    interpolated, t = wheel.interpolate_position(times, position, freq=fs)
    return t, wheel.velocity_filtered(interpolated, fs, corner_frequency=20, order=8)[0]


@pytest.mark.parametrize("fs", [50, 100, 1000])
def test_same_as_brainbox(trace, fs):
    expected_t, expected = _brainbox(*trace, fs)
    t, velocity = wheel_velocity(*trace, fs=fs)
    np.testing.assert_array_equal(t, expected_t)
    np.testing.assert_allclose(velocity, expected, atol=1e-9, rtol=0)


def test_planted_velocity(trace):
    """Away from the ends, within 3 % of the peak: a first difference lags by half a sample."""
    t, velocity = wheel_velocity(*trace)
    inner = slice(100, -100)
    error = velocity[inner] - _true_velocity(t[inner] - 0.005)
    assert np.abs(error).max() < 0.03 * 10.3
    assert np.sqrt(np.mean(error**2)) < 0.05


def test_a_wheel_at_rest():
    t, velocity = wheel_velocity([0.0, 5.0, 10.0], [1.0, 1.0, 1.0])
    assert t.size == 1000
    np.testing.assert_allclose(velocity, 0, atol=1e-9)


def test_integers_and_lists_are_taken():
    _, velocity = wheel_velocity([0, 5, 10], [0, 5, 10])
    np.testing.assert_allclose(velocity[200:800], 1, atol=1e-6)


@pytest.mark.parametrize(("fs", "corner"), [(40, 20), (30, 20), (100, 50), (100, 0), (100, -1)])
def test_corner_frequency(trace, fs, corner):
    with pytest.raises(ValueError, match=f"{corner} Hz"):
        wheel_velocity(*trace, fs=fs, corner_hz=corner)


@pytest.mark.parametrize(
    ("times", "position", "words"),
    [
        ([], [], "0 samples; at least 2"),
        ([1.0], [1.0], "1 samples; at least 2"),
        ([1.0, 2.0, 3.0], [1.0, 2.0], r"shape \(3,\) .* \(2,\)"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "one dimension"),
        ([0.0, NAN, 9.0], [0.0, 1.0, 2.0], "1 of 3 wheel times"),
        ([0.0, 5.0, np.inf], [0.0, 1.0, 2.0], "1 of 3 wheel times"),
        ([0.0, 5.0, 9.0], [0.0, NAN, NAN], "2 of 3 wheel positions"),
        ([0.0, 5.0, 4.0], [0.0, 1.0, 2.0], r"1 of 2 steps .* -1 s"),
        ([0.0, 5.0, 5.0], [0.0, 1.0, 2.0], r"1 of 2 steps .* 0 s"),
        ([0.0, 0.1, 0.2], [0.0, 1.0, 2.0], "lasts 0.200 s, 20 samples .* at least"),
        (["a", "b"], [1.0, 2.0], "not numeric"),
    ],
)
def test_unusable_traces(times, position, words):
    with pytest.raises(MalformedFileError, match=words):
        wheel_velocity(times, position)
    with pytest.raises(MalformedFileError, match=words):
        trial_wheel_velocity(times, position, _table([1.0], [2.0]))


def test_shortest_trace_that_can_be_filtered():
    """The limit that the message names is the one of the filter."""
    for n in range(2, 60):
        try:
            wheel_velocity([0.0, (n - 0.5) / 100], [0.0, 1.0])
        except MalformedFileError as error:
            assert f"{n} samples" in str(error)
        else:
            break
    assert n == 28


def test_trials_have_their_own_length(trace):
    table = _table([20.0, 30.123, 50.0], [21.0, 30.623, 52.5])
    result = trial_wheel_velocity(*trace, table)
    assert result.dims == ("trial", "time")
    assert result.dtype == np.float32
    assert result.shape == (3, 251)
    assert np.isfinite(result).sum("time").to_numpy().tolist() == [101, 51, 251]
    assert np.isnan(result.to_numpy()[0, 101:]).all()
    np.testing.assert_allclose(result["time"], np.arange(251) / 100)
    assert result["trial"].to_numpy().tolist() == [0, 1, 2]


def test_velocity_at_the_times_of_the_trial(trace):
    start = np.array([20.0, 30.1234, 44.4567])
    result = trial_wheel_velocity(*trace, _table(start, start + 1))
    t, velocity = wheel_velocity(*trace)
    for row, begin in zip(result.to_numpy(), start, strict=True):
        expected = np.interp(begin + np.arange(101) / 100, t, velocity)
        np.testing.assert_allclose(row, expected, rtol=1e-6, atol=1e-6)
        assert np.abs(row - _true_velocity(begin + np.arange(101) / 100 - 0.005)).max() < 0.31


def test_attributes(trace):
    attrs = trial_wheel_velocity(*trace, _table([20.0], [21.0])).attrs
    assert attrs == {
        "fs": 100.0,
        "t0_event": "stimOn_times",
        "t1_event": "feedback_times",
        "units": "rad/s",
        "max_trial_s": 60.0,
        "n_capped": 0,
        "n_reset": 0,
        "n_timed": 1,
        "n_incomplete": 0,
    }


def test_trials_with_a_reset_are_missing(trace):
    table = _table([20.0, 30.0, 40.0], [21.0, 31.0, 41.0])
    result = trial_wheel_velocity(*trace, table, resets=np.array([[30.5, 30.52]]))
    assert np.isfinite(result.to_numpy()).any(axis=1).tolist() == [True, False, True]
    assert result.attrs["n_reset"] == 1
    assert (result.attrs["n_timed"], result.attrs["n_incomplete"]) == (3, 1)


def test_trials_after_the_end_of_the_wheel_are_counted(trace):
    times, position = trace
    end = times[-1]
    table = _table([20.0, end - 0.5, end + 5.0, NAN], [21.0, end + 0.5, end + 6.0, 3.0])
    attrs = trial_wheel_velocity(times, position, table).attrs
    assert (attrs["n_timed"], attrs["n_incomplete"]) == (3, 2)


def test_missing_ends_give_empty_rows(trace):
    table = _table([20.0, NAN, 30.0, NAN, 40.0], [21.0, 22.0, NAN, NAN, 39.0])
    result = trial_wheel_velocity(*trace, table).to_numpy()
    assert np.isfinite(result).any(axis=1).tolist() == [True, False, False, False, False]


def test_long_trials_are_capped_and_counted(trace):
    table = _table([20.0, 30.0, 40.0], [100.0, 90.0, 100.01])
    result = trial_wheel_velocity(*trace, table)
    assert result.shape == (3, 6001)
    assert result.attrs["n_capped"] == 2
    shorter = trial_wheel_velocity(*trace, table, max_trial_s=2.0)
    assert shorter.shape == (3, 201)
    assert (shorter.attrs["n_capped"], shorter.attrs["max_trial_s"]) == (3, 2.0)
    np.testing.assert_array_equal(shorter.to_numpy(), result.to_numpy()[:, :201])


def test_outside_of_the_recording(trace):
    times, position = trace
    first, last = times[0], wheel_velocity(times, position)[0][-1]
    table = _table([first - 0.5, last - 0.5, 0.0, 500.0], [first + 0.5, last + 0.5, 1.0, 501.0])
    result = trial_wheel_velocity(times, position, table).to_numpy()
    assert np.isnan(result[0, :50]).all() and np.isfinite(result[0, 51:101]).all()
    assert np.isfinite(result[1, :50]).all() and np.isnan(result[1, 52:]).all()
    assert np.isnan(result[2:]).all()


def test_other_events_and_rate(trace):
    table = _table([20.0], [21.0]).assign(firstMovement_times=20.5)
    result = trial_wheel_velocity(*trace, table, fs=50, t1_event="firstMovement_times")
    assert result.shape == (1, 26)
    assert result.attrs["t1_event"] == "firstMovement_times"
    with pytest.raises(MalformedFileError, match="goCue_times"):
        trial_wheel_velocity(*trace, table, t0_event="goCue_times")


def test_no_trials_and_no_usable_trial(trace):
    assert trial_wheel_velocity(*trace, _table([], [])).shape == (0, 0)
    assert trial_wheel_velocity(*trace, _table([NAN], [NAN])).shape == (1, 0)


def test_a_trial_of_no_duration_has_one_sample(trace):
    assert trial_wheel_velocity(*trace, _table([20.0], [20.0])).shape == (1, 1)


@pytest.mark.slow
def test_import_is_light():
    code = (
        "import sys, iblnm.signal.wheel, iblnm.task; "
        "print([m for m in ('brainbox', 'scipy', 'xarray', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def real_wheel(real_data):
    folder = real_data / "alf" / "mainenlab" / "Subjects" / "ZM_335" / "2018-12-13" / "001" / "alf"
    return (
        np.load(folder / "_ibl_wheel.timestamps.npy", allow_pickle=False),
        np.load(folder / "_ibl_wheel.position.npy", allow_pickle=False),
        pd.read_parquet(folder / "_ibl_trials.table.pqt"),
    )


@pytest.mark.real
def test_real_wheel_is_that_of_brainbox(real_wheel):
    times, position, _ = real_wheel
    assert times.size == 191_014
    expected_t, expected = _brainbox(times, position, 100)
    t, velocity = wheel_velocity(times, position)
    np.testing.assert_array_equal(t, expected_t)
    np.testing.assert_allclose(velocity, expected, atol=1e-9, rtol=0)


@pytest.mark.real
def test_real_trials_without_feedback_have_no_velocity(real_wheel):
    times, position, trials = real_wheel
    result = trial_wheel_velocity(times, position, trials)
    both = trials[["stimOn_times", "feedback_times"]].notna().all(axis=1)
    assert result.sizes["trial"] == 271
    assert both.sum() == 108
    np.testing.assert_array_equal(np.isfinite(result.to_numpy()).any(axis=1), both)
    duration = (trials["feedback_times"] - trials["stimOn_times"])[both]
    n_samples = np.isfinite(result.to_numpy()).sum(axis=1)[both]
    assert np.abs(n_samples - duration * 100).max() <= 1
    assert result.attrs["n_capped"] == 0
    assert 1 < np.nanmax(np.abs(result.to_numpy())) < 100
