"""Simulated trials: blocks, stimuli, choices from a known psychometric curve, and times."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

N_UNBIASED = 90
BLOCK_PROBABILITIES = (0.2, 0.8)
BLOCK_LENGTHS = (20, 100)
BLOCK_SCALE = 60.0
EARLY_CONTRASTS = (0.5, 1.0)
FULL_CONTRASTS = (0.0, 0.0625, 0.125, 0.25, 1.0)
NO_GO_WINDOW_S = 8.0
REWARD_UL = 1.5
_NO_GO_RATE = 0.015
_PREMATURE_RATE = 0.005


@dataclass(frozen=True)
class Psychometric:
    """P(rightward) = γ_left + (1 − γ_left − γ_right)(erf((c − bias)/threshold) + 1)/2.

    Parameters
    ----------
    bias : float
        Contrast of indifference in unbiased trials [%].
    threshold : float
        Width of the curve [%].
    lapse_left, lapse_right : float
        Fraction of errors on strong stimuli of that side.
    bias_shift : float
        Bias at left probability 0.8 minus bias at 0.2 [%]; 0 without blocks.
    """

    bias: float
    threshold: float
    lapse_left: float
    lapse_right: float
    bias_shift: float = 0.0

    def p_right(self, signed_contrast: np.ndarray, probability_left: np.ndarray) -> np.ndarray:
        """Probability of a rightward choice; contrast in percent, left negative."""
        from scipy.special import erf

        # a block of left stimuli moves the curve to the right: more leftward choices
        bias = self.bias + self.bias_shift * (np.asarray(probability_left) - 0.5) / 0.6
        guess = self.lapse_left + self.lapse_right
        rise = (erf((signed_contrast - bias) / self.threshold) + 1) / 2
        return self.lapse_left + (1 - guess) * rise

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def block_plan(rng: np.random.Generator, n_trials: int) -> tuple[list[int], np.ndarray]:
    """Lengths and left probabilities of the blocks that a biased session plans.

    Returns
    -------
    lengths : list of int
        90 first, then exponentially distributed between 20 and 100; covers `n_trials` with
        one block to spare.
    probabilities : ndarray, shape (n_blocks,)
    """
    lengths = [N_UNBIASED]
    while sum(lengths) < n_trials or len(lengths) < 3:
        drawn = rng.exponential(BLOCK_SCALE)
        if BLOCK_LENGTHS[0] <= drawn <= BLOCK_LENGTHS[1]:
            lengths.append(int(drawn))
    lengths.append(BLOCK_LENGTHS[1])
    first = int(rng.integers(2))
    probabilities = [0.5] + [BLOCK_PROBABILITIES[(first + i) % 2] for i in range(len(lengths) - 1)]
    return lengths, np.array(probabilities)


def simulate_trials(
    rng: np.random.Generator,
    psychometric: Psychometric,
    *,
    n_trials: int,
    duration_s: float,
    contrasts: tuple[float, ...] = FULL_CONTRASTS,
    has_blocks: bool = False,
) -> tuple[pd.DataFrame, dict]:
    """Simulate the trials table of a session.

    Parameters
    ----------
    rng : Generator
    psychometric : Psychometric
    n_trials : int
        Wanted; fewer if the duration does not hold them.
    duration_s : float
        From the start of the first to the end of the last trial.
    contrasts : tuple of float
        Stimulus contrasts as fractions, equally frequent.
    has_blocks : bool
        90 unbiased trials, then blocks of 0.2 and 0.8.

    Returns
    -------
    trials : DataFrame
        Columns and types of ``_ibl_trials.table.pqt``.
    plan : dict
        ``LEN_BLOCKS``, ``POSITIONS``, ``BLOCK_PROBABILITY_SET`` as in the session's JSON.

    Notes
    -----
    Choices are drawn by systematic sampling within each combination of block, side and
    contrast: every trial has its exact probability, while counts differ from expectation by
    less than one trial per combination, so that a fit finds the truth.
    """
    lengths, probabilities = block_plan(rng, n_trials)
    if not has_blocks:
        lengths, probabilities = [n_trials], np.array([0.5])
    planned = np.repeat(probabilities, lengths)
    side_planned = _stimulus_sides(rng, planned)
    p_left, is_left = planned[:n_trials], side_planned[:n_trials]
    contrast = _balanced_contrasts(rng, p_left, is_left, contrasts)
    signed = np.where(is_left, -contrast, contrast) * 100
    choice = _choices(rng, psychometric, signed, p_left, is_left)
    no_go = rng.random(n_trials) < _NO_GO_RATE
    choice[no_go] = 0
    correct = np.where(is_left, choice == 1, choice == -1)
    times = _times(rng, contrast, correct, no_go, duration_s)
    n = len(times)
    trials = pd.DataFrame(
        {
            **{name: times[name] for name in ("intervals_0", "intervals_1", "goCue_times")},
            "response_times": times["response_times"],
            "choice": choice[:n].astype(np.int64),
            "stimOn_times": times["stimOn_times"],
            "contrastLeft": np.where(is_left, contrast, np.nan)[:n],
            "contrastRight": np.where(is_left, np.nan, contrast)[:n],
            "feedback_times": times["feedback_times"],
            "feedbackType": np.where(correct, 1, -1)[:n].astype(np.int64),
            "rewardVolume": np.where(correct, REWARD_UL, 0.0)[:n],
            "probabilityLeft": p_left[:n],
            "firstMovement_times": times["firstMovement_times"],
        }
    )
    plan = {
        "LEN_BLOCKS": [int(length) for length in lengths],
        "POSITIONS": np.where(side_planned, -35, 35).tolist(),
        "BLOCK_PROBABILITY_SET": list(BLOCK_PROBABILITIES),
    }
    return trials, plan


def expected_reaction_time(contrast: np.ndarray) -> np.ndarray:
    """Median time from stimulus to first movement [s] at a contrast, as a fraction."""
    return 0.18 + 0.32 * np.exp(-contrast / 0.12)


def _stimulus_sides(rng: np.random.Generator, p_left: np.ndarray) -> np.ndarray:
    """True where the stimulus is on the left; shares per block as planned, order random."""
    is_left = np.zeros(len(p_left), dtype=bool)
    starts = np.flatnonzero(np.diff(p_left, prepend=-1.0) != 0)
    for start, stop in zip(starts, [*starts[1:], len(p_left)], strict=True):
        n = stop - start
        n_left = int(np.floor(n * p_left[start] + rng.random()))
        is_left[start + rng.permutation(n)[:n_left]] = True
    return is_left


def _balanced_contrasts(
    rng: np.random.Generator,
    p_left: np.ndarray,
    is_left: np.ndarray,
    contrasts: tuple[float, ...],
) -> np.ndarray:
    """Contrasts equally frequent for each side and block probability, in random order."""
    contrast = np.empty(len(p_left))
    for p in np.unique(p_left):
        for side in (False, True):
            index = np.flatnonzero((p_left == p) & (is_left == side))
            offset = int(rng.integers(len(contrasts)))
            bag = np.resize(np.roll(contrasts, offset), len(index))
            contrast[index] = rng.permutation(bag)
    return contrast


def _choices(
    rng: np.random.Generator,
    psychometric: Psychometric,
    signed: np.ndarray,
    p_left: np.ndarray,
    is_left: np.ndarray,
) -> np.ndarray:
    p_right = psychometric.p_right(signed, p_left)
    order = np.lexsort((rng.random(len(signed)), is_left, signed, p_left))
    steps = np.floor(np.cumsum(p_right[order]) + rng.random())
    rightward = np.diff(steps, prepend=0.0) > 0
    choice = np.empty(len(signed))
    choice[order] = np.where(rightward, -1, 1)
    return choice


def _times(
    rng: np.random.Generator,
    contrast: np.ndarray,
    correct: np.ndarray,
    no_go: np.ndarray,
    duration_s: float,
) -> pd.DataFrame:
    n = len(contrast)
    quiescence = 0.35 + rng.uniform(0.2, 0.5, n)
    reaction = expected_reaction_time(contrast) * np.exp(rng.normal(0, 0.35, n))
    early = rng.choice(n, size=int(n * _PREMATURE_RATE), replace=False)
    reaction[early] = -rng.uniform(0.01, 0.05, len(early))
    velocity = np.exp(rng.normal(np.log(3.0), 0.25, n))
    movement = MOVEMENT_RAD * MIN_JERK_PEAK / velocity
    response = np.where(no_go, NO_GO_WINDOW_S, reaction + movement)
    pause = np.where(correct, 1.0, 2.0)
    length = quiescence + response + pause
    n = max(1, int(np.searchsorted(np.cumsum(length + 0.1), duration_s)))
    n = min(n, len(length))
    spare = max(0.0, duration_s - float(np.sum(length[:n] + 0.1)))
    gaps = rng.dirichlet(np.full(n, 4.0)) * spare + 0.1
    start = 5.0 + np.concatenate(([0.0], np.cumsum(length[:n] + gaps)[:-1]))
    stim = start + quiescence[:n]
    feedback = stim + response[:n]
    table = pd.DataFrame(
        {
            "intervals_0": start,
            "intervals_1": feedback + pause[:n],
            "goCue_times": stim + 0.0004,
            "response_times": feedback - 0.0001,
            "stimOn_times": stim,
            "feedback_times": feedback,
            "firstMovement_times": np.where(no_go[:n], np.nan, stim + reaction[:n]),
        }
    )
    return table.round(6)


MIN_JERK_PEAK = 1.875
MOVEMENT_RAD = 0.31
