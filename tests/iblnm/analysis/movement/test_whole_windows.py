"""Reaction time does not predict responses that do not depend on it; planted in signals."""

from __future__ import annotations

import numpy as np
import pytest
from bench.signal_cohort import Noise, magnitudes_of, simulate_cohort

from iblnm.analysis.movement.cross_validation import fit_timing_slopes
from iblnm.analysis.movement.wheel import fit_wheel_model
from iblnm.analysis.trials import analyzed_trials
from iblnm.config import Settings
from iblnm.constants import ANY_SAMPLE

SETTINGS = Settings(_env_file=None)
EFFECTS = {"stimOn_times": {"Intercept": 0.02, "contrast": 0.003}}


@pytest.fixture(scope="module")
def recordings():
    quiet = Noise(shot=0.003, slow=0.002, artifact=0.003)
    return simulate_cohort(11, EFFECTS, n_subjects=6, n_trials=200, noise=quiet)


def _p_values(recordings, min_coverage):
    table = magnitudes_of(recordings, min_coverage=min_coverage)
    trials, record = analyzed_trials(table[table["event"] == "stimOn_times"], SETTINGS)
    slopes = fit_timing_slopes(trials, "response_early", "reaction_time", 2, min_trials=20)
    wheel = [
        fit_wheel_model(own, "reaction_time")["lrt_pvalue"]
        for _, own in trials.groupby("contrast")
    ]
    return slopes["timing_p"].to_numpy(), np.array(wheel), record["remaining_trials"][0]


@pytest.mark.slow
def test_with_whole_windows_reaction_time_predicts_nothing(recordings):
    slopes, wheel, remaining = _p_values(recordings, SETTINGS.cohort.min_coverage)
    assert len(slopes) == len(wheel) == 5
    assert min(slopes) > 0.05 / 5
    assert min(wheel) > 0.05 / 5
    # the price: what is left is told
    assert remaining["trials"] == 1200
    assert 0.2 < remaining["share"] < 0.6


@pytest.mark.slow
def test_with_any_sample_the_window_makes_it_predict_them(recordings):
    slopes, wheel, remaining = _p_values(recordings, ANY_SAMPLE)
    assert (slopes < 0.05).sum() >= 4
    assert (wheel < 0.05).sum() >= 4
    assert remaining["share"] > 0.95
