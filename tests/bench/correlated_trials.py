"""Simulated magnitudes whose trials are not independent: two fibers of a session, drift."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.cohort_tables import EVENTS, simulate_magnitudes

RESPONSE, TIMING = "response_early", "reaction_time"
_TIMING_DRIFT = 0.15
_MEMORY = 0.95


def with_second_fiber(
    table: pd.DataFrame,
    *,
    correlation: float,
    seed: int,
    side: float = 0.0,
    opposite: bool = True,
) -> pd.DataFrame:
    """Trials of two fibers per session, with noise of unit variance added to both.

    Parameters
    ----------
    table : DataFrame
        Magnitudes of one fiber per session without noise, that depend on the side by `side` at
        most.
    correlation : float
        Of the noise of both fibers in a trial.
    seed : int
    side : float
        Effect of the side that is planted in `table`.
    opposite : bool
        Whether the second fiber is in the other hemisphere.
    """
    rng = np.random.default_rng(seed)
    shared, first, second = rng.normal(size=(3, len(table)))
    own, common = np.sqrt(1 - correlation), np.sqrt(correlation)
    code = np.where(table["side"] == "contra", 0.5, -0.5)
    sign = -1.0 if opposite else 1.0
    clean = table[RESPONSE] - side * code
    one = table.assign(response_early=clean + side * code + common * shared + own * first)
    other = table.assign(
        fiber_idx=1,
        side=np.where(code * sign > 0, "contra", "ipsi"),
        response_early=clean + side * sign * code + common * shared + own * second,
    )
    return pd.concat([one, other], ignore_index=True)


def with_animal_effects(
    table: pd.DataFrame, *, side_sd: float, reward_sd: float, seed: int
) -> pd.DataFrame:
    """Magnitudes whose effects of side and reward differ between animals, around those planted.

    Parameters
    ----------
    table : DataFrame
        Magnitudes of one target.
    side_sd, reward_sd : float
        Standard deviation between animals of the difference between the two sides (contra,
        ipsi) and the two outcomes (rewarded or not) [z].
    seed : int
    """
    subjects, code = np.unique(table["subject"], return_inverse=True)
    of_side, of_reward = np.random.default_rng(seed).normal(size=(2, len(subjects)))
    side = np.where(table["side"] == "contra", 0.5, -0.5)
    reward = np.where(table["feedbackType"] == 1, 0.5, -0.5)
    added = side_sd * of_side[code] * side + reward_sd * of_reward[code] * reward
    return table.assign(response_early=table[RESPONSE] + added)


def drift(rng: np.random.Generator, n: int, memory: float = _MEMORY) -> np.ndarray:
    """Noise of unit variance that remembers the trial before."""
    steps = rng.normal(size=n) * np.sqrt(1 - memory**2)
    values = np.empty(n)
    values[0] = rng.normal()
    for i in range(1, n):
        values[i] = memory * values[i - 1] + steps[i]
    return values


def drifting_cohort(seed: int, n_subjects: int = 5, n_trials: int = 120) -> pd.DataFrame:
    """Responses, reaction times and velocities that drift, each by itself.

    Returns
    -------
    DataFrame
        Trials at the stimulus of one session per mouse and two fibers, one in each hemisphere,
        that share drift and most of their noise; with ``peak_velocity``.
    """
    table, truth = simulate_magnitudes(
        targets=["LC-NE"],
        n_subjects=n_subjects,
        sessions_per_subject=1,
        n_trials=n_trials,
        effects={"LC-NE": {EVENTS[0]: {}}},
        slope_sd=0.0,
        seed=seed,
    )
    own = table[table["event"] == EVENTS[0]].reset_index(drop=True)
    velocity = truth["trial_regressors"][["eid", "trial", "peak_velocity"]]
    own = own.merge(velocity, on=["eid", "trial"])
    rng = np.random.default_rng(seed)
    for _, rows in own.groupby("eid"):
        one, two, three = (drift(rng, len(rows)) for _ in range(3))
        own.loc[rows.index, RESPONSE] += one
        own.loc[rows.index, TIMING] *= 10 ** (_TIMING_DRIFT * two)
        own.loc[rows.index, "peak_velocity"] += three
    other = own.assign(
        fiber_idx=1,
        side=np.where(own["side"] == "contra", "ipsi", "contra"),
        **{RESPONSE: own[RESPONSE] + 0.3 * rng.normal(size=len(own))},
    )
    return pd.concat([own, other], ignore_index=True)
