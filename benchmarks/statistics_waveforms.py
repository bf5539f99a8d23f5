"""Whole curves over animals: familywise error and coverage, from signals through the whole chain.

Run: python benchmarks/statistics_waveforms.py [n_cohorts]

A population of 160 recordings, each of another animal with 300 trials (`bench.signal_cohort`,
seeds from 50,000), whose effects of contrast, side and reward differ around zero (sd 0.003 per
log unit, 0.006 and 0.010 dF/F): simulated, corrected, resampled and regressed as the pipeline
does it. The mean curve of the population is subtracted, so that the truth is zero at all times.
Cohorts of 6, 8 and 12 animals, 2,000 of each by default, are drawn from it independently, with
replacement (seeds from 60,000); for heavy tails each curve is divided by the root of a chi-squared
variable over its 3 degrees of freedom. Counted over the effect of contrast at the stimulus and of
reward at the feedback:

- familywise error: the smallest adjusted p of a curve is at most 0.05 (`curve_test`)
- coverage: the simultaneous band of 95 % holds zero at all times
- intervals of single times: one of them leaves zero (as other tools draw them)
- groups: the smallest adjusted p of the difference between two halves is at most 0.05
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from _common import report_rate
from bench.signal_cohort import CENTER, Noise, simulate_recording
from scipy.stats import t

from iblnm.analysis.kernels.effects import kernel_effects
from iblnm.analysis.kernels.regression import fit_kernels
from iblnm.analysis.stats.curves import curve_test, group_test

N_POPULATION, N_TRIALS = 160, 300
N_ANIMALS = (6, 8, 12)
POPULATION_SEED, COHORT_SEED = 50_000, 60_000
CURVES = (("stimOn_times", "contrast"), ("feedback_times", "reward"))
LEVEL, DF_OF_TAILS = 0.05, 3


def population() -> dict[tuple[str, str], np.ndarray]:
    """Curves of every animal after the event, around their mean; shape (animal, time)."""
    found: dict[tuple[str, str], list[np.ndarray]] = {curve: [] for curve in CURVES}
    for seed in range(POPULATION_SEED, POPULATION_SEED + N_POPULATION):
        rng = np.random.default_rng(seed)
        contrast, side, reward = rng.normal(0, (0.003, 0.006, 0.010))
        effects = {
            "stimOn_times": {"Intercept": 0.02, "contrast": contrast, "side": side},
            "firstMovement_times": {"Intercept": 0.006},
            "feedback_times": {"Intercept": 0.02, "reward": reward},
        }
        hemisphere = "lr"[seed % 2]
        recording = simulate_recording(
            rng, effects, n_trials=N_TRIALS, hemisphere=hemisphere, noise=Noise(trial_gain_sd=0.5)
        )
        times, z = recording.signal["time"].to_numpy(), recording.signal["signal"].to_numpy()
        dff = z * recording.signal.attrs["sd"]
        (fit,) = fit_kernels(times, dff[None], recording.trials)
        own = kernel_effects(fit, hemisphere, center=CENTER)
        for event, term in CURVES:
            found[event, term].append(own[event][term][fit.time > 0])
    stacked = {curve: np.array(own) for curve, own in found.items()}
    return {curve: own - own.mean(axis=0) for curve, own in stacked.items()}


def cohorts(curves: np.ndarray, n: int, n_animals: int, heavy: bool) -> Iterator[np.ndarray]:
    """Curves of animals drawn from the population."""
    for seed in range(COHORT_SEED, COHORT_SEED + n):
        rng = np.random.default_rng(seed)
        drawn = curves[rng.integers(len(curves), size=n_animals)]
        if heavy:
            drawn = drawn / np.sqrt(rng.chisquare(DF_OF_TAILS, (n_animals, 1)) / DF_OF_TAILS)
        yield drawn


def study(curves: np.ndarray, name: str, n: int, n_animals: int, heavy: bool) -> None:
    """Error, coverage, single times and groups of one kind of curve."""
    rejected, held, single, groups = [], [], [], []
    at_one_time = t.ppf(1 - LEVEL / 2, n_animals - 1)
    for drawn in cohorts(curves, n, n_animals, heavy):
        found = curve_test(drawn, level=1 - LEVEL)
        rejected.append(bool(found.p.min() <= LEVEL))
        held.append(bool(((found.low <= 0) & (found.high >= 0)).all()))
        single.append(bool((np.abs(found.mean) > at_one_time * found.se).any()))
        if n_animals >= 8:
            half = n_animals // 2
            p = group_test(drawn[:half], drawn[half:], n_permutations=200)
            groups.append(bool(p.min() <= LEVEL))
    label = f"{n_animals} animals{', heavy tails' if heavy else ''}: {name}"
    report_rate(f"{label}, familywise error", rejected, LEVEL)
    report_rate(f"{label}, coverage", held, 1 - LEVEL)
    report_rate(f"{label}, intervals of single times", single, LEVEL)
    if groups:
        report_rate(f"{label}, two groups", groups, LEVEL)


def main() -> None:
    """Print the rates of every size of cohort."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    known = population()
    for heavy in (False, True):
        for n_animals in N_ANIMALS:
            for (event, term), curves in known.items():
                name = f"{term} at {event.removesuffix('_times')}"
                study(curves, name, n, n_animals, heavy)


if __name__ == "__main__":
    main()
