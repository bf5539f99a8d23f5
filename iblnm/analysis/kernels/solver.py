"""Ridge regression from cross-products, its penalty chosen by blocked cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_FREE = 1e-6
"""Penalty of the columns that are not penalized: it only keeps the system solvable."""


@dataclass(frozen=True)
class RidgeFit:
    """Coefficients of several signals.

    Parameters
    ----------
    beta : ndarray (n_columns, n_signals)
    penalty : ndarray (n_signals,)
        Chosen for each signal.
    r2 : ndarray (n_signals,)
        Share of the variance that is predicted in left-out stretches, at that penalty; the
        levels of the blocks count as variance.
    """

    beta: np.ndarray
    penalty: np.ndarray
    r2: np.ndarray


def fit_ridge(
    design: csr_matrix,
    signals: np.ndarray,
    folds: np.ndarray,
    penalties: Sequence[float],
    n_free: int,
) -> RidgeFit:
    """Regression of signals on a sparse design.

    Parameters
    ----------
    design : csr_matrix (n_samples, n_columns)
        Its last `n_free` columns are not penalized.
    signals : ndarray (n_samples, n_signals)
        Finite.
    folds : ndarray of int (n_samples,)
    penalties : sequence of float
        Added to the diagonal of the cross-products; in events.
    n_free : int

    Returns
    -------
    RidgeFit

    Notes
    -----
    Everything follows from the cross-products of the folds: the error of a fold is
    y'y − 2β'X'y + β'X'Xβ. They are cheap as a sample has few events near it; what costs is one
    Cholesky factorization of all columns per fold and penalty, shared by the signals.
    """
    free = np.zeros(design.shape[1], dtype=bool)
    free[design.shape[1] - n_free :] = True
    parts = []
    for fold in np.unique(folds):
        own = folds == fold
        part, y = design[own], signals[own]
        parts.append(((part.T @ part).toarray(), part.T @ y, (y**2).sum(axis=0)))
    gram = sum(part[0] for part in parts)
    cross = sum(part[1] for part in parts)
    errors = np.zeros((len(penalties), signals.shape[1]))
    for own_gram, own_cross, own_power in parts:
        rest, rest_cross = gram - own_gram, cross - own_cross
        for i, penalty in enumerate(penalties):
            beta = _solve(rest, rest_cross, penalty, free)
            explained = 2 * (beta * own_cross).sum(axis=0) - (beta * (own_gram @ beta)).sum(axis=0)
            errors[i] += own_power - explained
    best = errors.argmin(axis=0)
    beta = np.empty((design.shape[1], signals.shape[1]))
    for i in np.unique(best):
        beta[:, best == i] = _solve(gram, cross[:, best == i], penalties[i], free)
    total = ((signals - signals.mean(axis=0)) ** 2).sum(axis=0)
    chosen = errors[best, np.arange(signals.shape[1])]
    return RidgeFit(beta, np.asarray(penalties, dtype=float)[best], 1 - chosen / total)


def _solve(gram: np.ndarray, cross: np.ndarray, penalty: float, free: np.ndarray) -> np.ndarray:
    from scipy.linalg import cho_factor, cho_solve

    system = gram.copy()
    system[np.diag_indices_from(system)] += np.where(free, _FREE, penalty)
    factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
    return cho_solve(factor, cross, check_finite=False)
