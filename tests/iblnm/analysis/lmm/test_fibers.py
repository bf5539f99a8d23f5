"""Two fibers of one session in the mixed models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import EVENTS, simulate_magnitudes
from bench.correlated_trials import with_second_fiber

from iblnm.analysis.lmm.compute import response_lmm
from iblnm.analysis.lmm.model import fit_mixed_model
from iblnm.config import ModelSettings, Settings

pytestmark = pytest.mark.slow

FEEDBACK = EVENTS[1]
TARGET = "LC-NE"
RANDOM = "contrast + side + reward ||"
SIDE = 0.6


def cohort(seed, effects=None, **options):
    own = {"n_subjects": 4, "sessions_per_subject": 1, "n_trials": 200, **options}
    table, _ = simulate_magnitudes(
        targets=[TARGET], effects={TARGET: {FEEDBACK: effects or {}}}, seed=seed, **own
    )
    return table[table["event"] == FEEDBACK].reset_index(drop=True)


def test_a_fiber_and_its_copy_are_one_fiber():
    one = cohort(3, {"reward": 0.5, "contrast": 0.1})
    two = pd.concat([one, one.assign(fiber_idx=1)], ignore_index=True)
    alone = fit_mixed_model(one, "response_early", re_formula=RANDOM)
    both = fit_mixed_model(two, "response_early", re_formula=RANDOM)
    columns = ["estimate", "se"]
    np.testing.assert_allclose(
        both.coefficients[columns], alone.coefficients[columns], rtol=1e-2, atol=1e-4
    )
    assert (both.n_trials, both.n_recordings, both.n_averaged) == (800, 8, 8)
    assert alone.n_averaged == 0
    assert np.isnan(alone.fiber_correlation)
    counted_twice = fit_mixed_model(two, "response_early", re_formula=RANDOM, fibers="independent")
    assert counted_twice.n_trials == 1600
    se = counted_twice.coefficients["se"] / alone.coefficients["se"]
    # the interactions have no random effect, so nothing but the trials carries them
    interactions = alone.coefficients["term"].str.contains(":").to_numpy()
    np.testing.assert_allclose(se[interactions], np.sqrt(0.5), rtol=0.02)


def test_fibers_of_both_hemispheres_tell_the_side_by_their_difference():
    clean = cohort(4, {"contrast": 0.2}, noise_sd=0.0, subject_sd=0.2, slope_sd=0.05)
    table = with_second_fiber(clean, correlation=0.8, seed=5, side=SIDE)
    fit = fit_mixed_model(table, "response_early", re_formula="contrast ||")
    assert fit.fiber_correlation == pytest.approx(0.8, abs=0.05)
    assert fit.residual_variance == pytest.approx(1.0, rel=0.1)
    found = fit.coefficients.set_index("term")
    assert abs(found.loc["side", "estimate"] - SIDE) < 4 * found.loc["side", "se"]
    one = fit_mixed_model(
        table[table["fiber_idx"] == 0], "response_early", re_formula="contrast ||"
    ).coefficients.set_index("term")
    # of the difference the noise is that of 0.2, in twice as many rows
    assert found.loc["side", "se"] / one.loc["side", "se"] < 0.6
    ratio = found.loc["contrast:reward", "se"] / one.loc["contrast:reward", "se"]
    assert ratio == pytest.approx(np.sqrt(0.9), abs=0.05)


@pytest.mark.slow
def test_false_positives_of_two_fibers_are_those_of_one():
    z = {"averaged": [], "independent": []}
    for seed in range(40):
        clean = cohort(500 + seed, noise_sd=0.0, n_trials=120)
        table = with_second_fiber(clean, correlation=0.9, seed=700 + seed)
        for fibers, values in z.items():
            fit = fit_mixed_model(table, "response_early", re_formula="contrast ||", fibers=fibers)
            found = fit.coefficients.set_index("term")
            values += [*found.loc[["reward", "contrast:reward"], "z"]]
    spread = {fibers: float(np.std(values)) for fibers, values in z.items()}
    assert 0.8 < spread["averaged"] < 1.2
    assert spread["independent"] > 1.25
    # 1.96 standard errors
    rejected = {name: float(np.mean(np.abs(values) > 1.96)) for name, values in z.items()}
    assert rejected["averaged"] <= 0.11
    assert rejected["independent"] > rejected["averaged"]


def test_counts_are_of_the_trials_that_the_models_used():
    table = cohort(8).assign(response_kernel=np.nan)
    mouse = table["subject"] == table["subject"].iloc[0]
    table.loc[mouse, "side"] = None
    result = response_lmm(table, Settings(models=ModelSettings(re_formulas=("1",))))
    fit = result.tables["lmm_fits"].iloc[0]
    assert (fit["n_subjects"], fit["n_trials"]) == (3, 600)
    assert result.counts["eligible"]["subjects"] == 4
    used = result.counts["used"]
    assert used == {"sessions": 3, "recordings": 3, "subjects": 3, "trials": 600}


def test_tables_say_how_many_recordings_were_averaged():
    one = cohort(6)
    second = one[one["subject"] == one["subject"].iloc[0]].assign(fiber_idx=1)
    table = pd.concat([one, second], ignore_index=True).assign(response_kernel=np.nan)
    settings = Settings(models=ModelSettings(re_formulas=("1",)))
    result = response_lmm(table, settings)
    (fit,) = result.tables["lmm_fits"].to_dict("records")
    assert (fit["n_recordings"], fit["n_averaged"], fit["n_trials"]) == (5, 2, 800)
    assert fit["fiber_correlation"] == pytest.approx(0.95)
    assert set(result.tables["lmm_coefficients"]["n_averaged"]) == {2}
    assert any(f"{TARGET} at {FEEDBACK}: 2" in note for note in result.notes)
    before = Settings(models=ModelSettings(re_formulas=("1",), fibers="independent"))
    assert response_lmm(table, before).tables["lmm_fits"]["n_averaged"].tolist() == [0]
