"""False positives of the data layers on units that merely drift, and power on planted effects.

``python benchmarks/statistics_layers.py [n_experiments]`` simulates experiments of some animals
with a control and a drug session each; the rates of all units drift (log rate sd 0.3, time
constant 200 s), and the sessions of an animal share part of their drift.
"""

from __future__ import annotations

import sys

import numpy as np

from iblnm.layers.condition_effects import permutation_p
from iblnm.layers.single_unit import modulation_index

N_UNITS, EPOCH_S, GAP_S, STEP_S = 40, 300, 1200, 5.0
SD, TAU_S, SHARED = 0.3, 200.0, 0.5


def drift(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, steps) logarithm of rates."""
    steps = int((2 * EPOCH_S + GAP_S) / STEP_S)
    keep = np.exp(-STEP_S / TAU_S)
    log = np.empty((n, steps))
    log[:, 0] = rng.normal(0, SD, n)
    noise = rng.normal(0, SD * np.sqrt(1 - keep**2), (n, steps))
    for i in range(1, steps):
        log[:, i] = keep * log[:, i - 1] + noise[:, i]
    return log


def session(rng: np.random.Generator, effect: float, with_units: bool) -> tuple[float, float]:
    """Mean modulation index of a session, and the share of units with a small p of their own."""
    log = np.sqrt(SHARED) * drift(1, rng) + np.sqrt(1 - SHARED) * drift(N_UNITS, rng)
    rates = rng.lognormal(1, 0.8, (N_UNITS, 1)) * np.exp(log)
    steps = int(EPOCH_S / STEP_S)
    rates[:, -steps:] *= np.exp(effect)
    counts = rng.poisson(rates * STEP_S)
    pre, post = counts[:, :steps], counts[:, -steps:]
    index = modulation_index(pre.sum(axis=1), post.sum(axis=1))
    if not with_units:
        return float(np.nanmean(index)), np.nan
    both = np.concatenate([pre, post], axis=1).reshape(N_UNITS, -1, 2).sum(axis=2)
    n = both.shape[1]
    order = np.argsort(rng.random((200, n)), axis=1)[:, : n // 2]
    halves = both[:, order].sum(axis=2)
    total = both.sum(axis=1, keepdims=True)
    found = np.abs(total - 2 * halves) >= np.abs(total - 2 * both[:, : n // 2].sum(1)[:, None])
    return float(np.nanmean(index)), float(((1 + found.sum(axis=1)) / 201 < 0.05).mean())


def rates_of_rejection(
    n_experiments: int, n_animals: int, effect: float, crossed: bool, seed: int
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    small, units = [], []
    for experiment in range(n_experiments):
        change = np.full((n_animals, 2), np.nan)
        for animal in range(n_animals):
            for condition in (0, 1) if crossed else (animal % 2,):
                change[animal, condition], share = session(
                    rng, effect * condition, experiment < 20
                )
                units.append(share)
        small.append(permutation_p(change, 399, experiment) < 0.05)
    return float(np.mean(small)), float(np.nanmean(units))


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(
        "| animals | sessions | effect (log rate) | p < 0.05 over animals | units with p < 0.05 |"
    )
    print("|---|---|---:|---:|---:|")
    for n_animals in (6, 12):
        for crossed in (True, False):
            for effect in (0.0, 0.3):
                over_animals, units = rates_of_rejection(n, n_animals, effect, crossed, 7)
                how = "both conditions each" if crossed else "one condition each"
                print(f"| {n_animals} | {how} | {effect} | {over_animals:.3f} | {units:.2f} |")


if __name__ == "__main__":
    main()
