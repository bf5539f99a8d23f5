"""Inference on whole curves over animals: sign flips, simultaneous bands, two groups."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np

METHOD_VERSION = 1
MIN_ANIMALS = 6
"""Of fewer, no sign flip can reach p < 0.05: there are 2^(n−1) of them, p is at least 2^(1−n)."""
EXACT_UP_TO = 12
N_RANDOM = 4095
# the flip that is none has the observed t but for the order of its sums
_ROUNDING = 1 - 1e-9


class CurveTest(NamedTuple):
    """A mean curve over animals.

    Parameters
    ----------
    mean, se : ndarray (n_times,)
    low, high : ndarray (n_times,)
        Simultaneous band.
    p : ndarray (n_times,)
        Adjusted over all times, by the largest |t|.
    n_flips : int
    """

    mean: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    n_flips: int


def sign_flips(n: int, rng: np.random.Generator) -> np.ndarray:
    """Signs of n animals: all that differ up to the sign of all, or random ones.

    Returns
    -------
    ndarray (n_flips, n)
        The first row is all 1.

    Examples
    --------
    >>> sign_flips(2, np.random.default_rng(0)).tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    """
    if n <= EXACT_UP_TO:
        codes = np.arange(2 ** (n - 1))
        rest = 1.0 - 2.0 * ((codes[:, None] >> np.arange(n - 1)) & 1)
        return np.column_stack([np.ones(len(codes)), rest])
    random = rng.choice([-1.0, 1.0], size=(N_RANDOM, n))
    return np.vstack([np.ones(n), random])


def curve_test(curves: np.ndarray, *, level: float = 0.95, seed: int = 0) -> CurveTest:
    """Whether a mean curve differs from zero, at which times, and its simultaneous band.

    Parameters
    ----------
    curves : ndarray (n_animals, n_times)
        Finite; at least `MIN_ANIMALS` rows.
    level : float
        Of the band.
    seed : int
        Of random flips, for more than `EXACT_UP_TO` animals.

    Returns
    -------
    CurveTest

    Raises
    ------
    ValueError
        With fewer animals.

    Notes
    -----
    p: share of the sign flips of whole curves whose largest |t| over time reaches that of the
    data at a time (Westfall & Young's max-T; Nichols & Holmes 2002, Hum Brain Mapp 15); it holds
    the familywise error where the curves are symmetric around zero. Band: quantile of the
    largest |t| of curves minus their mean under the same Rademacher multipliers, each
    studentized by its own standard error. Intervals for single times, as other tools draw
    them, leave zero at some time of most curves without an effect.
    """
    n = len(curves)
    if n < MIN_ANIMALS:
        raise ValueError(f"{n} animals; with fewer than {MIN_ANIMALS} no p < 0.05 is possible")
    flips = sign_flips(n, np.random.default_rng(seed))
    mean, se = curves.mean(axis=0), _standard_error(curves)
    observed = _t(mean, se)
    largest = _largest_t(curves, flips)
    p = (largest[:, None] >= np.abs(observed) * _ROUNDING).mean(axis=0)
    spread = _largest_t(curves - mean, flips[1:])
    half = np.quantile(spread, level, method="higher") * se
    return CurveTest(mean, se, mean - half, mean + half, p, len(flips))


def group_test(
    one: np.ndarray, other: np.ndarray, *, n_permutations: int = 5000, seed: int = 0
) -> np.ndarray:
    """p of the difference of two groups of animals at each time, adjusted over all times.

    Parameters
    ----------
    one, other : ndarray (n_animals, n_times)
        Finite; together at least four animals, two in each.
    n_permutations : int
        All divisions of the animals are used where there are no more than these.
    seed : int

    Returns
    -------
    ndarray (n_times,)
        Largest Welch |t| over permutations of the animals.
    """
    curves, n = np.vstack([one, other]), len(one)
    total = len(curves)
    if min(n, total - n) < 2:
        raise ValueError(f"groups of {n} and {total - n} animals; at least two are needed in each")
    if comb(total, n) <= n_permutations:
        chosen = np.array(list(combinations(range(total), n)))
    else:
        rng = np.random.default_rng(seed)
        drawn = [np.sort(rng.permutation(total)[:n]) for _ in range(n_permutations - 1)]
        chosen = np.vstack([np.arange(n), *drawn])
    largest = np.array([np.abs(_welch(curves, rows)).max() for rows in chosen])
    observed = np.abs(_welch(curves, np.arange(n)))
    return (largest[:, None] >= observed * _ROUNDING).mean(axis=0)


def _welch(curves: np.ndarray, rows: np.ndarray) -> np.ndarray:
    inside = np.zeros(len(curves), dtype=bool)
    inside[rows] = True
    a, b = curves[inside], curves[~inside]
    return _t(a.mean(axis=0) - b.mean(axis=0), np.hypot(_standard_error(a), _standard_error(b)))


def _largest_t(curves: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Largest |t| over time for each flip; the sum of squares does not change with signs."""
    n = len(curves)
    mean = flips @ curves / n
    variance = ((curves**2).sum(axis=0) - n * mean**2) / (n - 1)
    return np.abs(_t(mean, np.sqrt(np.maximum(variance, 0.0) / n))).max(axis=1)


def _standard_error(curves: np.ndarray) -> np.ndarray:
    return curves.std(axis=0, ddof=1) / np.sqrt(len(curves))


def _t(mean: np.ndarray, se: np.ndarray) -> np.ndarray:
    safe = np.where(se > 0, se, 1.0)
    return np.where(se > 0, mean / safe, np.where(mean == 0, 0.0, np.inf * np.sign(mean)))
