"""Means of groups of trials by sums: those that the pipeline's own function gives."""

import numpy as np

from iblnm.viewer.conditions import grouped_mean_and_sem
from iblnm.vis.panels import mean_and_sem


def test_sums_give_the_mean_and_error_of_each_group():
    rng = np.random.default_rng(0)
    values = 1e4 + rng.normal(size=(2, 3, 40, 7))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[0, 0, :, 2] = np.nan
    belongs = (rng.random((5, 40)) < 0.4).astype(float)
    belongs[3] = 0
    belongs[4] = np.arange(40) == 11
    mean, sem = grouped_mean_and_sem(values, belongs)
    for i, own in enumerate(belongs.astype(bool)):
        chosen = np.moveaxis(values[:, :, own], 2, 0)
        expected_mean, expected_sem = mean_and_sem(chosen)
        np.testing.assert_allclose(mean[:, :, i], expected_mean, rtol=1e-12)
        np.testing.assert_allclose(sem[:, :, i], expected_sem, rtol=1e-6)
    assert np.isnan(mean[:, :, 3]).all()
    assert np.isnan(sem[:, :, 4]).all()


def test_without_a_value_there_is_no_mean():
    mean, sem = grouped_mean_and_sem(np.full((2, 3), np.nan), np.ones((1, 2)))
    assert np.isnan(mean).all()
    assert np.isnan(sem).all()
