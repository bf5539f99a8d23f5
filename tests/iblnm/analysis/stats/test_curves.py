"""Inference on curves: exact flips, familywise error, coverage of whole bands, two groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from iblnm.analysis.stats.curves import curve_test, group_test, sign_flips


def smooth(rng, n, n_times=30, heavy=False):
    noise = rng.standard_t(3, (n, n_times)) if heavy else rng.normal(size=(n, n_times))
    return gaussian_filter1d(noise, 2, axis=1)


def test_all_flips_are_used_up_to_twelve_animals():
    rng = np.random.default_rng(0)
    for n in (6, 12):
        flips = sign_flips(n, rng)
        assert flips.shape == (2 ** (n - 1), n)
        assert (flips[0] == 1).all()
        assert len(np.unique(flips, axis=0)) == len(flips)
        assert not (flips[1:] == -flips[0]).all(axis=1).any()
    assert sign_flips(13, rng).shape == (4096, 13)


def test_the_p_is_that_of_a_loop_over_all_flips():
    curves = smooth(np.random.default_rng(1), 6, 5) + 0.3
    found = curve_test(curves)

    def t(values):
        return values.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(6))

    largest = []
    for code in range(2**6):
        signs = np.array([1.0 if code >> i & 1 else -1.0 for i in range(6)])
        largest.append(np.abs(t(curves * signs[:, None])).max())
    expected = [(np.array(largest) >= abs(value) - 1e-10).mean() for value in t(curves)]
    np.testing.assert_allclose(found.p, expected)


def test_fewer_than_six_animals_are_refused():
    with pytest.raises(ValueError, match="5 animals; with fewer than 6"):
        curve_test(np.ones((5, 3)))


@pytest.mark.parametrize(("n", "heavy"), [(6, False), (8, True)])
@pytest.mark.slow
def test_familywise_error_and_coverage(n, heavy):
    rng, truth = np.random.default_rng(100 + n), np.sin(np.linspace(0, 3, 30))
    errors, covered, pointwise = [], [], []
    for _ in range(400):
        noise = smooth(rng, n, heavy=heavy)
        found = curve_test(noise)
        errors.append(found.p.min() <= 0.05)
        pointwise.append((np.abs(found.mean) > 1.96 * found.se).any())
        found = curve_test(noise + truth)
        covered.append(((found.low <= truth) & (truth <= found.high)).all())
    assert np.mean(errors) <= 0.07
    assert np.mean(covered) >= 0.92
    assert np.mean(pointwise) > 0.5


@pytest.mark.slow
def test_groups_of_animals():
    rng = np.random.default_rng(3)
    p = [group_test(smooth(rng, 5), smooth(rng, 5), n_permutations=252).min() for _ in range(150)]
    assert np.mean(np.array(p) <= 0.05) <= 0.1
    shifted = np.where(np.arange(30) > 15, 3.0, 0.0)
    p = group_test(smooth(rng, 6) + shifted, smooth(rng, 6), n_permutations=924)
    assert p[20:].max() < 0.01
    assert p[:10].min() > 0.05
    with pytest.raises(ValueError, match="groups of 1 and 5"):
        group_test(smooth(rng, 1), smooth(rng, 5))
