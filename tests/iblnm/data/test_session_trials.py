"""Trials that a script assigned: some of all, with what was cut for all of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from iblnm.config import Settings
from iblnm.data import PhotometrySession
from iblnm.storage.h5 import read_groups

EVENTS = ["stimOn_times", "firstMovement_times", "feedback_times"]


@pytest.fixture
def session():
    rng = np.random.default_rng(0)
    n = 80
    ps = PhotometrySession({"eid": "e-1", "brain_region": ["VTA"]}, settings=Settings())
    start = np.arange(n) * 5.0
    ps.trials = pd.DataFrame(
        {
            **{event: start + i for i, event in enumerate(EVENTS)},
            "probabilityLeft": 0.5,
            "contrast": rng.choice([0.0, 25.0, 100.0], n),
            "stim_side": rng.choice(["left", "right"], n),
            "feedbackType": rng.choice([1.0, -1.0], n),
        }
    )
    towards = ps.trials["stim_side"].map({"left": 1.0, "right": -1.0})
    ps.trials["choice"] = towards * ps.trials["feedbackType"]
    ps.trials["signed_contrast"] = -towards * ps.trials["contrast"]
    time = np.arange(-30, 30) / 30
    coords = {"event": EVENTS, "trial": np.arange(n), "time": time}
    values = rng.normal(size=(3, n, 60))
    ps.responses = {"VTA": xr.DataArray(values, coords, ("event", "trial", "time"))}
    ps.wheel_velocity = xr.DataArray(rng.normal(size=(n, 20)), dims=("trial", "time"))
    return ps


def test_responses_follow_the_trials_that_are_kept(session, tmp_path):
    whole = session.get_response_vector("VTA", "l", min_trials=1)
    masked = session.mask_subsequent_events(session.responses["VTA"]).to_numpy()
    kept = session.trials["feedbackType"] == 1
    velocity = session.wheel_velocity.to_numpy()[kept]
    session.trials = session.trials[kept]
    own = session.get_response_vector("VTA", "l", min_trials=1)
    correct = [name for name in whole.index if name.endswith("_correct")]
    pd.testing.assert_series_equal(own[correct], whole[correct])
    assert own.filter(like="_incorrect").isna().all()
    found = session.mask_subsequent_events(session.responses["VTA"])
    np.testing.assert_array_equal(found, masked[:, kept])
    session.save_h5(tmp_path / "session.h5")
    stored = read_groups(tmp_path / "session.h5")
    assert len(stored["trials"]) == stored["photometry/responses"]["VTA"].sizes["trial"]
    np.testing.assert_allclose(stored["wheel"], velocity, atol=1e-6)


def test_trials_that_cannot_be_told_are_an_error(session):
    part = session.responses["VTA"].isel(trial=slice(10, 30))
    assert session.mask_subsequent_events(part).sizes["trial"] == 20
    session.trials = session.trials[session.trials["feedbackType"] == 1].reset_index(drop=True)
    with pytest.raises(ValueError, match=r"e-1.*up to number 79 were cut, \d+ are in .trials"):
        session.get_response_vector("VTA", "l")
