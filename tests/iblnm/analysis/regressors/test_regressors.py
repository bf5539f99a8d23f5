from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

from iblnm.analysis.regressors.session import peak_velocity, trial_regressors
from iblnm.analysis.regressors.tables import TRIAL_REGRESSORS
from iblnm.errors import MalformedFileError


def _velocity(values, trial=None):
    values = np.asarray(values, dtype=np.float32)
    trial = np.arange(len(values)) if trial is None else trial
    return xr.DataArray(values, dims=("trial", "time"), coords={"trial": trial})


def test_largest_speed_in_either_direction():
    nan = np.nan
    velocity = _velocity([[1, -3, nan], [0.5, 2, 1], [nan, nan, nan]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = peak_velocity(velocity)
    np.testing.assert_array_equal(found, [3.0, 2.0, nan])


def test_trials_without_a_row_have_no_velocity():
    found = peak_velocity(_velocity([[1.0], [4.0]], trial=[0, 3]), n_trials=5)
    np.testing.assert_array_equal(found, [1, np.nan, np.nan, 4, np.nan])
    np.testing.assert_array_equal(peak_velocity(_velocity(np.empty((2, 0)))), [np.nan, np.nan])


def test_velocity_of_other_trials_is_refused():
    with pytest.raises(MalformedFileError, match="up to 7; the session has 2"):
        peak_velocity(_velocity([[1.0], [4.0]], trial=[0, 7]), n_trials=2)


def test_regressors_of_a_session(loops):
    _, trials = loops.simulate(0, 20)
    session = {"eid": "a", "subject": "m1", "session_type": "biased"}
    table = trial_regressors(session, trials, _velocity(np.arange(20)[:, None] - 10))
    TRIAL_REGRESSORS.validate(table)
    np.testing.assert_array_equal(table["peak_velocity"], np.abs(np.arange(20) - 10))
    expected = trials["feedback_times"] - trials["stimOn_times"]
    np.testing.assert_allclose(table["response_time"], expected)
    assert trial_regressors(session, trials, None)["peak_velocity"].isna().all()
