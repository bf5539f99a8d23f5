"""Maximum likelihood of the two-lapse erf on a few contrast levels.

P(right) = g1 + (1 - g1 - g2) F, with F = (erf(z) + 1) / 2 and z = (x - bias) / threshold.

For a given bias and threshold the likelihood is concave in the two lapses, so that every
maximum lies in a basin of the *profile* over bias and threshold. The profile is computed on a
grid (all grid points at once), each of its local minima becomes a start, and all starts are
refined together by damped Newton steps with exact derivatives, projected on the bounds.
Nothing is random: the same counts give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

_EPS = np.finfo(float).eps
_SQRT_PI = np.sqrt(np.pi)


@dataclass(frozen=True)
class Search:
    """How the maximum is looked for; the defaults fit percent contrasts.

    Parameters
    ----------
    n_bias, n_threshold : int
        Size of the grid of the profile.
    n_starts : int
        Most local minima of the profile that are refined, beside the given start.
    n_lapse_steps : int
        Newton steps for the lapses at each grid point.
    min_lapse : float
        Lower bound of the lapses on the grid. Off zero, where a single contrary choice on an
        easy stimulus makes the likelihood vanish and Newton steps tiny.
    max_steps : int
        Most refining steps.
    tolerance : float
        Gain in log-likelihood of an undamped step below which a start has converged.
    """

    n_bias: int = 41
    n_threshold: int = 9
    n_starts: int = 12
    n_lapse_steps: int = 8
    min_lapse: float = 0.002
    max_steps: int = 100
    tolerance: float = 1e-9


def probability_right(parameters: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """P(right) of the model at each contrast; parameters (bias, threshold, g1, g2)."""
    bias, threshold, g1, g2 = parameters
    return g1 + (1 - g1 - g2) * (erf((contrast - bias) / threshold) + 1) / 2


def negative_log_likelihood(p: np.ndarray, right: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Of counts of right and left choices; last axis of `p`: contrast levels."""
    p = np.clip(p, _EPS, 1 - _EPS)
    return -(np.log(p) @ right + np.log1p(-p) @ left)


def maximize_likelihood(
    contrast: np.ndarray,
    right: np.ndarray,
    left: np.ndarray,
    *,
    start: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    search: Search | None = None,
) -> tuple[np.ndarray, float]:
    """Most likely (bias, threshold, g1, g2) within bounds.

    Parameters
    ----------
    contrast : ndarray, shape (n,)
        Contrast levels.
    right, left : ndarray, shape (n,)
        Number of choices to either side at each level.
    start, lower, upper : ndarray, shape (4,)
    search : Search, optional

    Returns
    -------
    parameters : ndarray, shape (4,)
    negative_log_likelihood : float
    """
    search = search or Search()
    starts = _profile_minima(contrast, right, left, lower, upper, search)
    starts = np.vstack([np.asarray(start, dtype=float), starts])
    parameters, values = _refine(starts, contrast, right, left, lower, upper, search)
    best = int(np.argmin(values))
    return parameters[best], float(values[best])


def _profile_minima(contrast, right, left, lower, upper, search: Search) -> np.ndarray:
    biases = np.linspace(lower[0], upper[0], search.n_bias)
    thresholds = np.geomspace(lower[1], upper[1], search.n_threshold)
    bias, threshold = (a.ravel() for a in np.meshgrid(biases, thresholds, indexing="ij"))
    high = (erf((contrast - bias[:, None]) / threshold[:, None]) + 1) / 2
    g1, g2 = _best_lapses(high, right, left, upper, search)
    p = g1[:, None] * (1 - high) + (1 - g2[:, None]) * high
    profile = negative_log_likelihood(p, right, left).reshape(search.n_bias, -1)

    padded = np.pad(profile, 1, constant_values=np.inf)
    rows, columns = profile.shape
    neighbors = [
        padded[1 + i : 1 + i + rows, 1 + j : 1 + j + columns]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    ]
    minima = np.where(profile <= np.min(neighbors, axis=0), profile, np.inf).ravel()
    order = np.argsort(minima, kind="stable")[: search.n_starts]
    order = order[np.isfinite(minima[order])]
    return np.column_stack([bias, threshold, g1, g2])[order]


def _best_lapses(high, right, left, upper, search: Search) -> tuple[np.ndarray, np.ndarray]:
    low = 1 - high
    squares = (low * low, high * high, low * high)
    bounds = [(search.min_lapse, upper[2]), (search.min_lapse, upper[3])]
    g1, g2 = (np.full(len(high), np.mean(bound)) for bound in bounds)
    for _ in range(search.n_lapse_steps):
        p = np.clip(g1[:, None] * low + (1 - g2[:, None]) * high, _EPS, 1 - _EPS)
        per_right, per_left = right / p, left / (1 - p)
        residual = per_left - per_right
        weight = per_right / p + per_left / (1 - p)
        slope1, slope2 = (residual * low).sum(1), -(residual * high).sum(1)
        h11, h22 = ((weight * square).sum(1) + _EPS for square in squares[:2])
        free1, free2 = (
            ~(((g <= bound[0]) & (slope > 0)) | ((g >= bound[1]) & (slope < 0)))
            for g, bound, slope in zip((g1, g2), bounds, (slope1, slope2), strict=True)
        )
        h12 = np.where(free1 & free2, -(weight * squares[2]).sum(1), 0.0)
        slope1, slope2 = slope1 * free1, slope2 * free2
        determinant = np.maximum(h11 * h22 - h12 * h12, _EPS)
        g1 = np.clip(g1 - (h22 * slope1 - h12 * slope2) / determinant, *bounds[0])
        g2 = np.clip(g2 - (h11 * slope2 - h12 * slope1) / determinant, *bounds[1])
    return g1, g2


def _evaluate(parameters, contrast, right, left):
    bias, threshold, g1, g2 = parameters.T[:, :, None]
    z = (contrast - bias) / threshold
    high = (erf(z) + 1) / 2
    p = np.clip(g1 + (1 - g1 - g2) * high, _EPS, 1 - _EPS)
    return -(np.log(p) @ right + np.log1p(-p) @ left), z, high, p


def _derivatives(parameters, z, high, p, right, left):
    """Gradient, Hessian and its positive part (first derivatives only) per start."""
    threshold = parameters[:, 1:2]
    span = 1 - parameters[:, 2:3] - parameters[:, 3:4]
    density = np.exp(-z * z) / (_SQRT_PI * threshold)
    per_right, per_left = right / p, left / (1 - p)
    residual = per_left - per_right
    weight = per_right / p + per_left / (1 - p)

    first = np.empty((len(parameters), 4, z.shape[1]))
    first[:, 0] = -span * density
    first[:, 1] = first[:, 0] * z
    first[:, 2] = 1 - high
    first[:, 3] = -high
    gradient = (first @ residual[:, :, None])[:, :, 0]
    positive = (first * weight[:, None]) @ first.transpose(0, 2, 1)

    slope = residual * density
    curve = span * slope / threshold
    cube = z * z * z
    hessian = positive.copy()
    hessian[:, 0, 0] -= 2 * (curve * z).sum(1)
    hessian[:, 1, 1] += 2 * (curve * (z - cube)).sum(1)
    mixed = {
        (0, 1): (curve * (1 - 2 * z * z)).sum(1),
        (0, 2): slope.sum(1),
        (1, 2): (slope * z).sum(1),
    }
    mixed[0, 3], mixed[1, 3] = mixed[0, 2], mixed[1, 2]
    for (i, j), value in mixed.items():
        hessian[:, i, j] += value
        hessian[:, j, i] += value
    return gradient, hessian, positive


def _refine(parameters, contrast, right, left, lower, upper, search: Search):
    damping = np.full(len(parameters), 1e-3)
    done = np.zeros(len(parameters), dtype=bool)
    identity = np.eye(4)
    value, z, high, p = _evaluate(parameters, contrast, right, left)
    for _ in range(search.max_steps):
        gradient, hessian, positive = _derivatives(parameters, z, high, p, right, left)
        free = ~(
            ((parameters <= lower) & (gradient > 0)) | ((parameters >= upper) & (gradient < 0))
        )
        scale = np.einsum("kii->ki", positive) * damping[:, None] + 1e-9
        matrix = hessian * (free[:, :, None] & free[:, None, :])
        matrix += np.where(free, scale, 1.0)[:, :, None] * identity
        step = np.linalg.solve(matrix, (gradient * free)[:, :, None])[:, :, 0]
        candidate = np.clip(parameters - step, lower, upper)
        new_value, new_z, new_high, new_p = _evaluate(candidate, contrast, right, left)

        better = new_value < value
        gain = value - new_value
        rows = better[:, None]
        parameters = np.where(rows, candidate, parameters)
        z, high, p = (
            np.where(rows, new, old) for new, old in ((new_z, z), (new_high, high), (new_p, p))
        )
        value = np.where(better, new_value, value)
        # Both what the step gained and what it promised: at the maximum, rounding decides
        # whether a step gains at all.
        promise = np.abs((gradient * free * step).sum(1))
        small = (better & (gain < search.tolerance)) | (promise < search.tolerance)
        done |= (small & (damping < 1e-3)) | (damping > 1e7) | ~free.any(1)
        # A refused step raises the damping, which turns it towards the scaled gradient; so a
        # Hessian that is not positive, far from a maximum, does no harm.
        damping = np.where(better, damping * 0.1, damping * 8 + 1e-6)
        if done.all():
            break
    return parameters, value
