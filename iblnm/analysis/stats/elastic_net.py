"""Elastic-net canonical weights from correlation matrices, a stack of problems at once."""

from __future__ import annotations

import numpy as np

MAX_ALTERNATIONS = 500
MAX_SWEEPS = 100
TOLERANCE = 1e-7


def canonical_weights(
    rxx: np.ndarray,
    ryy: np.ndarray,
    rxy: np.ndarray,
    alpha: np.ndarray,
    l1_ratio: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the first pair of variates of each problem.

    Parameters
    ----------
    rxx, ryy, rxy : ndarray, shape (n, p, p), (n, q, q) and (n, p, q)
        Correlations within and between the views.
    alpha : ndarray, shape (n,)
        Penalty, positive.
    l1_ratio : float

    Returns
    -------
    wx, wy : ndarray, shape (n, p) and (n, q)
        Of arbitrary length, and 0 where the penalty leaves nothing; their scores correlate
        positively.
    """
    wx, wy = _ridge(rxx, ryy, rxy, alpha)
    if l1_ratio == 0:
        return wx, wy
    return _alternate(rxx, ryy, rxy, alpha, l1_ratio, wx, wy)


def _ridge(
    rxx: np.ndarray, ryy: np.ndarray, rxy: np.ndarray, alpha: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    root_x = _inverse_root(rxx, alpha)
    root_y = _inverse_root(ryy, alpha)
    left, _, right = np.linalg.svd(root_x @ rxy @ root_y, full_matrices=False)
    wx = np.einsum("bij,bj->bi", root_x, left[:, :, 0])
    return wx, np.einsum("bij,bj->bi", root_y, right[:, 0])


def _inverse_root(r: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(r)
    scaled = vectors / np.sqrt(np.maximum(values, 0) + alpha[:, None])[:, None, :]
    return scaled @ vectors.swapaxes(1, 2)


def _alternate(
    rxx: np.ndarray,
    ryy: np.ndarray,
    rxy: np.ndarray,
    alpha: np.ndarray,
    l1_ratio: float,
    wx: np.ndarray,
    wy: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    wx, wy = unit_variance(wx, rxx), unit_variance(wy, ryy)
    raw_x, raw_y = wx.copy(), wy.copy()
    active = np.arange(len(wx))
    for _ in range(MAX_ALTERNATIONS):
        xx, yy, xy = rxx[active], ryy[active], rxy[active]
        lasso, ridge = alpha[active] * l1_ratio, alpha[active] * (1 - l1_ratio)
        old_x, old_y = wx[active], wy[active]
        target = np.einsum("bij,bj->bi", xy, old_y)
        raw_x[active] = _descend(xx, target, lasso, ridge, raw_x[active])
        new_x = unit_variance(raw_x[active], xx)
        target = np.einsum("bij,bi->bj", xy, new_x)
        raw_y[active] = _descend(yy, target, lasso, ridge, raw_y[active])
        new_y = unit_variance(raw_y[active], yy)
        wx[active], wy[active] = new_x, new_y
        change = np.maximum(np.abs(new_x - old_x).max(axis=1), np.abs(new_y - old_y).max(axis=1))
        active = active[change > TOLERANCE]
        if not active.size:
            break
    empty = ~(wx.any(axis=1) & wy.any(axis=1))
    wx[empty], wy[empty] = 0.0, 0.0
    return wx, wy


def _descend(
    gram: np.ndarray, target: np.ndarray, lasso: np.ndarray, ridge: np.ndarray, w: np.ndarray
) -> np.ndarray:
    """Minimize w'Gw/2 − w't + lasso·|w|₁ + ridge·|w|²/2 by cyclic coordinate descent."""
    w = w.T.copy()
    gram = np.ascontiguousarray(gram.transpose(1, 2, 0))
    target = target.T
    diagonal = np.ascontiguousarray(np.diagonal(gram).T)
    usable = diagonal > 0
    inverse = np.divide(1.0, diagonal + ridge, out=np.zeros_like(diagonal), where=usable)
    for _ in range(MAX_SWEEPS):
        largest = 0.0
        for j in range(len(w)):
            slope = target[j] - (gram[j] * w).sum(axis=0) + diagonal[j] * w[j]
            new = np.sign(slope) * np.maximum(np.abs(slope) - lasso, 0.0) * inverse[j]
            largest = max(largest, np.abs(new - w[j]).max(initial=0.0))
            w[j] = new
        if largest < TOLERANCE:
            break
    return w.T


def unit_variance(w: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Weights whose scores have variance 1, or 0 where they are 0."""
    size = np.sqrt(np.maximum(np.einsum("bi,bij,bj->b", w, gram, w), 0))
    return np.divide(w, size[:, None], out=np.zeros_like(w), where=size[:, None] > 0)
