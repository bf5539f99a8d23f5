"""Minimum and maximum per bin, and stretches of marked samples."""

import numpy as np

from iblnm.viewer.envelope import envelope, runs


def test_no_sample_is_lost_and_empty_bins_have_no_value():
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0, 100, 5_000))
    times = times[(times < 40) | (times > 45)]
    values = rng.normal(size=len(times))
    values[rng.integers(0, len(values), 50)] = np.nan
    low, high = envelope(times, values, 0, 100, 200)
    for i in range(200):
        inside = values[(times >= i / 2) & (times < (i + 1) / 2)]
        valid = inside[np.isfinite(inside)]
        if valid.size:
            assert (low[i], high[i]) == (valid.min(), valid.max())
        else:
            assert np.isnan(low[i])
            assert np.isnan(high[i])
    assert np.isnan(low[80:90]).all()


def test_a_window_beside_the_samples_is_empty():
    low, high = envelope(np.arange(5.0), np.arange(5.0), 10, 20, 4)
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_samples_after_the_window_do_not_count():
    low, high = envelope(np.arange(10.0), np.arange(10.0), 2, 4, 2)
    assert low.tolist() == [2, 3]
    assert high.tolist() == [2, 3]


def test_runs_at_both_ends():
    marks = np.array([True, False, True, True])
    assert runs(marks, np.arange(4.0)) == [[0, 0], [2, 3]]
    assert runs(np.zeros(4, dtype=bool), np.arange(4.0)) == []
