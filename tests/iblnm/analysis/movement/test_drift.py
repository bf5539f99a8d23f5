"""Timing effects where response, timing and movement drift over a session."""

from __future__ import annotations

import numpy as np
import pytest
from bench.cohort_tables import simulate_magnitudes
from bench.correlated_trials import RESPONSE, TIMING, drifting_cohort

from iblnm.analysis.movement.animals import animal_slopes, over_animals
from iblnm.analysis.movement.compute import movement_encoding
from iblnm.analysis.movement.cross_validation import fit_timing_slopes
from iblnm.analysis.movement.permutation import movement_permutation_test
from iblnm.analysis.movement.shifts import Shifts
from iblnm.analysis.movement.wheel import fit_wheel_model
from iblnm.config import ModelSettings, Settings

pytestmark = pytest.mark.slow

STIMULUS = "stimOn_times"


def test_recordings_of_a_session_are_shifted_together():
    session = np.repeat([0, 1], [12, 7])
    recording = np.concatenate([np.repeat([0, 1], 6), np.full(7, 2)])
    trial = np.concatenate([np.arange(6), np.arange(6), np.arange(7)[::-1]])
    shifts = Shifts.of(np.zeros(19, dtype=int), session, recording, trial)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        drawn = shifts.draw(rng)
        assert sorted(drawn) == list(range(19))
        np.testing.assert_array_equal(drawn[:6], drawn[6:12] - 6)
        assert not (drawn == np.arange(19)).any()
        np.testing.assert_array_equal(np.diff(drawn[:6]) % 6, 1)
        seen.add((drawn[0], drawn[12]))
    assert len(seen) > 15
    # the last session was given from its end
    assert shifts.order[12:].tolist() == list(range(18, 11, -1))


def test_slopes_of_animals_and_their_t_test():
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(1)
    subject, recording = np.repeat(np.arange(5), 60), np.repeat(np.arange(10), 30)
    base, response = rng.normal(size=(300, 2)), rng.normal(size=300)
    dv = 0.4 * response + base[:, 0] + rng.normal(size=10)[recording] + rng.normal(size=300)
    slopes = animal_slopes(base, response, dv, subject, recording)
    first = subject == 0
    design = np.column_stack(
        [base[first], response[first], recording[first] == 0, recording[first] == 1]
    )
    beta = np.linalg.lstsq(design.astype(float), dv[first], rcond=None)[0]
    assert slopes[0] == pytest.approx(beta[2])
    found = over_animals(slopes, 4)
    assert found["animal_p"] == pytest.approx(ttest_1samp(slopes, 0).pvalue)
    assert found["animal_ci_low"] < 0.4 < found["animal_ci_high"]
    assert found["n_animals"] == 5
    few = over_animals(slopes[:3], 4)
    assert np.isnan(few["animal_p"]) and few["animal_coefficient"] == slopes[:3].mean()
    assert len(animal_slopes(base, np.ones(300), dv, subject, recording)) == 0


def test_a_planted_slope_on_timing_is_found_by_shifts():
    table, _ = simulate_magnitudes(
        targets=["LC-NE"], n_subjects=5, timing_effect=-1.5, slope_sd=0.0, seed=3
    )
    own = table[table["event"] == STIMULUS]
    found = fit_timing_slopes(own, RESPONSE, TIMING, n_shifts=199)
    assert (found["timing_p"] < 0.05).all()
    assert ((found["ci_low"] < -1.5 + 0.6) & (found["ci_high"] > -1.5 - 0.6)).all()
    assert (found["ci_high"] < 0).all()
    model = fit_timing_slopes(own, RESPONSE, TIMING)
    np.testing.assert_allclose(found["timing_coef"], model["timing_coef"])
    np.testing.assert_allclose(found["timing_p_model"], model["timing_p"])
    # without drift both intervals are of about the same length
    ratio = (found["ci_high"] - found["ci_low"]) / (model["ci_high"] - model["ci_low"])
    assert ratio.between(0.7, 1.4).all()


@pytest.mark.slow
def test_drift_is_no_timing_effect():
    rejected = {name: [] for name in ("shifts", "permutations", "slopes", "slopes before")}
    for seed in range(100, 160):
        table = drifting_cohort(seed)
        options = {"n_permutations": 99, "seed": seed}
        for null in ("shifts", "permutations"):
            tests = movement_permutation_test(table, RESPONSE, TIMING, null=null, **options)
            p = tests.set_index("predictor").loc["timing", "p"]
            rejected[null].append(p <= 0.05)
        slopes = fit_timing_slopes(table, RESPONSE, TIMING, n_shifts=99, seed=seed)
        rejected["slopes"] += (slopes["timing_p"] <= 0.05).tolist()
        rejected["slopes before"] += (slopes["timing_p_model"] <= 0.05).tolist()
    rate = {name: float(np.mean(values)) for name, values in rejected.items()}
    # binomial standard errors of 0.028 and, with 300 slopes, 0.013
    assert rate["shifts"] <= 0.15 < rate["permutations"]
    assert rate["slopes"] <= 0.1 < rate["slopes before"]


@pytest.mark.slow
def test_drift_is_no_effect_on_the_wheel():
    rejected, before = [], []
    for seed in range(150):
        table = drifting_cohort(1000 + seed, n_trials=60)
        found = fit_wheel_model(table, "peak_velocity")
        rejected.append(found["animal_p"] < 0.05)
        before.append(found["lrt_pvalue"] < 0.05)
    assert np.mean(rejected) <= 0.1
    assert np.mean(before) > 0.2


def test_the_former_null_is_a_setting():
    table = drifting_cohort(7).assign(event=STIMULUS, n_samples=8)
    results = {}
    for null in ("shifts", "permutations"):
        models = ModelSettings(timing_null=null, n_permutations=49, timings=(TIMING,))
        results[null] = movement_encoding(table, None, Settings(models=models)).tables
    slopes = {name: tables["movement_slopes"] for name, tables in results.items()}
    np.testing.assert_allclose(
        slopes["permutations"]["timing_p"], slopes["shifts"]["timing_p_model"]
    )
    assert (slopes["shifts"]["timing_p"] != slopes["shifts"]["timing_p_model"]).any()
    tests = {name: tables["movement_tests"] for name, tables in results.items()}
    assert (tests["shifts"]["mean_delta_r2"] == tests["permutations"]["mean_delta_r2"]).all()
    assert (tests["shifts"]["null_high"] != tests["permutations"]["null_high"]).all()
