"""The cost of a short baseline in trials: of planted white noise it is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from iblnm.analysis.responses.baselines import baseline_costs, cost_note, noise_ratios

FS = 30.0
PARAMETERS = {"event_order": ("stimOn_times", "feedback_times"), "window": (0.1, 0.35)}


def recording(n_trials=4000, seed=0, start=-1.0):
    """White noise, and an effect of the condition that is no noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(start * FS), 30) / FS
    contrast = rng.choice([0.0, 12.5, 100.0], n_trials)
    values = rng.normal(size=(1, n_trials, time.size))
    values[0] += np.where(time >= 0, contrast[:, None] / 10, 0.0)
    onset = 10.0 * np.arange(n_trials) + 5.0
    trials = pd.DataFrame(
        {
            "signed_contrast": contrast,
            "feedbackType": 1.0,
            "stimOn_times": onset,
            "feedback_times": onset + 4.0,
        }
    )
    coords = {"event": ["stimOn_times"], "trial": np.arange(n_trials), "time": time}
    return xr.DataArray(values, coords, ("event", "trial", "time")), trials


def test_the_cost_of_white_noise_is_that_of_the_numbers_of_samples():
    ratios = noise_ratios(*recording(), baseline_window=(-0.1, 0.0), **PARAMETERS)
    in_window, in_short = 8, 3
    for length, in_long in ((0.5, 15), (1.0, 30)):
        expected = (1 / in_window + 1 / in_short) / (1 / in_window + 1 / in_long)
        assert ratios["stimOn_times", length] == pytest.approx(expected, rel=0.06)


def test_what_cannot_be_compared_is_left_out():
    short = recording(start=-0.6)
    ratios = noise_ratios(*short, baseline_window=(-0.1, 0.0), **PARAMETERS)
    assert [length for _, length in ratios] == [0.5]
    assert noise_ratios(*short, baseline_window=(-0.5, 0.0), **PARAMETERS) == {}
    few = recording(n_trials=19)
    assert noise_ratios(*few, baseline_window=(-0.1, 0.0), **PARAMETERS) == {}


def test_the_middle_recording_of_each_target_and_event_is_told():
    key = ("stimOn_times", 0.5)
    costs = baseline_costs([("VTA-DA", {key: x}) for x in (1.5, 2.0, 9.0)] + [(None, {key: 50.0})])
    assert costs == [
        {
            "target_NM": "VTA-DA",
            "event": "stimOn_times",
            "against_s": 0.5,
            "trials_factor": 2.0,
            "recordings": 3,
        }
    ]
    assert "2.0 to 2.0 times those of 0.5 s" in cost_note(costs, (-0.1, 0.0))
    assert cost_note([], (-0.1, 0.0)) is None
