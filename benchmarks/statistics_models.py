"""Whether intervals cover the truth and tests keep their level, over simulated cohorts.

Run: python benchmarks/statistics_models.py [n_cohorts]
200 cohorts of one target by default (`bench.cohort_tables.simulate_magnitudes`; seeds from
0 for coverage, from 10,000 without effects, from 20,000 for shuffled responses), about twenty
minutes of CPU. Each line has the rate, the number of tests, its 95 % binomial interval (Clopper &
Pearson) and whether that holds the nominal rate; of many lines some 5 % are expected not to.
With four mice a variance is often estimated as none (singular fits); limiting the degrees of
freedom there makes intervals wider than nominal, without it they are too narrow.

Mice differ in their intercept (sd 0.5 z) and in the effects of contrast (0.1 per log unit), side
(0.4) and reward (0.5); random effects are those of the pipeline (`models.re_formulas`).

- Coverage: effects are planted; the interval of the slope of contrast, at each outcome too,
  and of the other effects.
- False positives: nothing is planted but the differences between subjects; for the wheel and
  the movement models the responses are shuffled within session.
- Two fibers of a session whose noise has a correlation of 0.9 (seeds from 30,000), nothing
  planted: averaged, the default, and as if they were independent.
- Drift (seeds from 40,000): responses, reaction times and velocities of two fibers each remember
  0.95 of the trial before, and are not related. Movement and slopes against trials shifted in
  time, the default, and as before; wheel models by t over animals, the default, and by
  likelihood ratio.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from _common import report_rate, row
from bench.cohort_tables import EVENTS, planted_effects, simulate_magnitudes
from bench.correlated_trials import drifting_cohort, with_animal_effects, with_second_fiber

from iblnm.analysis.lmm.marginal import contrast_slopes
from iblnm.analysis.lmm.model import LMMResult, fit_best_random_effects
from iblnm.analysis.movement.cross_validation import fit_timing_slopes
from iblnm.analysis.movement.permutation import movement_permutation_test
from iblnm.analysis.movement.wheel import fit_wheel_model

STIMULUS, FEEDBACK = EVENTS
TARGET, RESPONSE = "VTA-DA", "response_early"
N_SUBJECTS = (4, 8)
SIDE_SD, REWARD_SD = 0.4, 0.5
N_TRIALS = 150
N_PERMUTATIONS = 99
LEVEL = 0.05
NULL_SEED, SHUFFLE_SEED, FIBER_SEED, DRIFT_SEED = 10_000, 20_000, 30_000, 40_000
RANDOM_EFFECTS = ("contrast + side + reward ||", "contrast", "1")


def cohorts(n: int, first_seed: int, **options) -> Iterator[tuple[pd.DataFrame, dict]]:
    """Simulated cohorts, one at a time."""
    for seed in range(first_seed, first_seed + n):
        yield simulate_magnitudes(targets=[TARGET], n_trials=N_TRIALS, seed=seed, **options)


def fits(n: int, first_seed: int, **options) -> Iterator[LMMResult]:
    """Models at the feedback of simulated cohorts whose mice differ in all effects."""
    for seed, (table, _) in enumerate(cohorts(n, first_seed, **options), start=first_seed):
        differing = with_animal_effects(
            table[table["event"] == FEEDBACK], side_sd=SIDE_SD, reward_sd=REWARD_SD, seed=seed
        )
        yield fit_best_random_effects(differing, RESPONSE, re_formulas=RANDOM_EFFECTS)


def coverage(n: int, n_subjects: int) -> None:
    """Planted effects within their 95 % intervals."""
    truth = planted_effects(TARGET)[FEEDBACK]
    slopes, effects, wald, unlimited = {}, {}, [], []
    converged = singular = 0
    for fit in fits(n, 0, n_subjects=n_subjects):
        singular += fit.is_singular
        if not fit.is_converged:
            continue
        converged += 1
        if fit.is_singular:
            found = contrast_slopes(replace(fit, is_singular=False)).iloc[0]
            unlimited.append(found["ci_low"] <= truth["contrast"] <= found["ci_high"])
        for found in contrast_slopes(fit).itertuples():
            planted = truth["contrast"]
            if found.factor == "reward":
                shift = 0.5 if found.level == "correct" else -0.5
                planted += shift * truth["contrast:reward"]
            if found.factor != "side":
                held = found.ci_low <= planted <= found.ci_high
                slopes.setdefault(f"slope of contrast, {found.level}", []).append(held)
                if found.level == "all":
                    wald.append(abs(found.slope - planted) <= 1.96 * found.se)
        for found in fit.coefficients.itertuples():
            if found.term != "contrast":
                held = found.ci_low <= truth[found.term] <= found.ci_high
                effects.setdefault(found.term, []).append(held)
    row(f"coverage, {n_subjects} mice: fits that converged", converged, f"of {n}")
    row("  of them singular", singular, "")
    for name, held in {**slopes, **effects}.items():
        report_rate(f"  {name}", held, 1 - LEVEL)
    report_rate("  slope of contrast, normal interval (not used)", wald, 1 - LEVEL)
    if unlimited:
        name = "  the same, singular fits, Satterthwaite without limit (not used)"
        report_rate(name, unlimited, 1 - LEVEL)


def false_positives(n: int, n_subjects: int) -> None:
    """Nothing planted: terms of the mixed model at p < 0.05."""
    nothing = {TARGET: {STIMULUS: {}, FEEDBACK: {}}}
    rejected: dict[str, list[bool]] = {}
    for fit in fits(n, NULL_SEED, n_subjects=n_subjects, effects=nothing):
        if not fit.is_converged:
            continue
        for found in fit.coefficients.itertuples():
            rejected.setdefault(found.term, []).append(found.p < LEVEL)
            if found.term in ("Intercept", "contrast"):
                name = f"{found.term}, normal p of statsmodels (not used)"
                rejected.setdefault(name, []).append(found.p_wald < LEVEL)
    for name, values in rejected.items():
        report_rate(f"false positives, {n_subjects} mice: {name}", values, LEVEL)


def shuffled(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Responses shuffled among the trials of each session."""
    rng = np.random.default_rng(seed)
    mixed = table.groupby("eid")[RESPONSE].transform(lambda values: rng.permutation(values))
    return table.assign(**{RESPONSE: mixed})


def wheel_and_movement(n: int, n_subjects: int) -> None:
    """Shuffled responses: wheel models by t over animals, permutation test of ΔR²."""
    wheel: dict[str, list[bool]] = {}
    movement: dict[str, list[bool]] = {}
    conditional = []
    draws = cohorts(n, SHUFFLE_SEED, n_subjects=n_subjects)
    for seed, (table, truth) in enumerate(draws, start=SHUFFLE_SEED):
        stimulus = table[table["event"] == STIMULUS]
        mixed = shuffled(stimulus, seed)
        velocity = truth["trial_regressors"][["eid", "trial", "peak_velocity"]]
        own = mixed.merge(velocity, on=["eid", "trial"])
        own = own[own["contrast"] == 0]
        for variable in ("peak_velocity", "reaction_time"):
            found = fit_wheel_model(own, variable)
            wheel.setdefault(variable, []).append(found["animal_p"] < LEVEL)
        options = {"n_permutations": N_PERMUTATIONS, "seed": seed}
        tests = movement_permutation_test(mixed, RESPONSE, "reaction_time", **options)
        for found in tests.itertuples():
            movement.setdefault(found.predictor, []).append(found.p <= LEVEL)
        # Contrast is planted, timing falls with contrast and adds nothing of its own.
        tests = movement_permutation_test(stimulus, RESPONSE, "reaction_time", **options)
        conditional.append(tests.set_index("predictor").loc["timing", "p"] <= LEVEL)
    for name, values in wheel.items():
        report_rate(f"false positives, {n_subjects} mice: wheel, {name}", values, LEVEL)
    for name, values in movement.items():
        report_rate(f"false positives, {n_subjects} mice: movement ΔR², {name}", values, LEVEL)
    report_rate("  timing, contrast planted, not shuffled", conditional, LEVEL)


def two_fibers(n: int, n_subjects: int) -> None:
    """Nothing planted, two fibers in each session."""
    rejected: dict[str, list[bool]] = {}
    nothing = {TARGET: {STIMULUS: {}, FEEDBACK: {}}}
    options = {"n_subjects": n_subjects, "effects": nothing, "noise_sd": 0.0}
    draws = cohorts(n, FIBER_SEED, sessions_per_subject=1, **options)
    for seed, (table, _) in enumerate(draws, start=FIBER_SEED):
        clean = table[table["event"] == FEEDBACK].reset_index(drop=True)
        both = with_second_fiber(clean, correlation=0.9, seed=seed)
        for fibers in ("averaged", "independent"):
            fit = fit_best_random_effects(
                both, RESPONSE, re_formulas=RANDOM_EFFECTS, fibers=fibers
            )
            for found in fit.coefficients.itertuples():
                if fit.is_converged and found.term in ("contrast", "side", "contrast:reward"):
                    own = rejected.setdefault(f"{found.term}, {fibers}", [])
                    own.append(found.p < LEVEL)
    for name, values in rejected.items():
        report_rate(f"two fibers, {n_subjects} mice: {name}", values, LEVEL)


def drifts(n: int, n_subjects: int) -> None:
    """Nothing planted, everything drifts."""
    rejected: dict[str, list[bool]] = {}
    for seed in range(DRIFT_SEED, DRIFT_SEED + n):
        table = drifting_cohort(seed, n_subjects)
        options = {"n_permutations": N_PERMUTATIONS, "seed": seed}
        for null in ("shifts", "permutations"):
            tests = movement_permutation_test(
                table, RESPONSE, "reaction_time", null=null, **options
            )
            p = tests.set_index("predictor").loc["timing", "p"]
            rejected.setdefault(f"movement, {null}", []).append(p <= LEVEL)
        slopes = fit_timing_slopes(
            table, RESPONSE, "reaction_time", n_shifts=N_PERMUTATIONS, seed=seed
        )
        for name in ("timing_p", "timing_p_model"):
            rejected.setdefault(f"slopes, {name}", []).extend(slopes[name] <= LEVEL)
        found = fit_wheel_model(table[table["contrast"] == 0], "peak_velocity")
        for name in ("animal_p", "lrt_pvalue"):
            rejected.setdefault(f"wheel, {name}", []).append(found[name] < LEVEL)
    for name, values in rejected.items():
        report_rate(f"drift, {n_subjects} mice: {name}", values, LEVEL)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for n_subjects in N_SUBJECTS:
        coverage(n, n_subjects)
        false_positives(n, n_subjects)
        wheel_and_movement(n, n_subjects)
    two_fibers(n, 4)
    drifts(n, 5)


if __name__ == "__main__":
    main()
