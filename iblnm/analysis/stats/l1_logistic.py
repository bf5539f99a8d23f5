"""L1-penalized multinomial logistic regression along a path of penalties, to convergence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-4
MAX_STEPS = 100
_TIE_DECIMALS = 9


@dataclass
class L1Path:
    """Fits of one training set at increasing C.

    Parameters
    ----------
    coef : ndarray, shape (n_cs, n_classes, n_features)
        Per class and unit of the feature as given to the fit. With two classes the first
        class has zeros: the second row is the coefficient of the ordinary logistic model.
    intercept : ndarray, shape (n_cs, n_classes)
        That of the first class is 0: only differences matter.
    violation : ndarray, shape (n_cs,)
        Largest violation of the optimality conditions, in units of the penalty 1/C: at 0
        every nonzero coefficient's gradient equals the penalty and no other exceeds it.
    """

    coef: np.ndarray
    intercept: np.ndarray
    violation: np.ndarray


def balanced_weights(codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Weight n / (n_classes · n_c) of each row, scikit-learn's ``class_weight='balanced'``.

    Parameters
    ----------
    codes : array of int, shape (n,)
        Class of each row; every class is present.
    n_classes : int

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> balanced_weights(np.array([0, 0, 0, 1]), 2).round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    """
    return (codes.size / (n_classes * np.bincount(codes, minlength=n_classes)))[codes]


def fit_path(
    features: np.ndarray,
    codes: np.ndarray,
    n_classes: int,
    cs: np.ndarray,
    start: L1Path | None = None,
    *,
    tolerance: float = TOLERANCE,
    max_steps: int = MAX_STEPS,
) -> L1Path:
    """Minimize C · weighted log-loss + sum of |coef| at each C, with balanced class weights.

    Parameters
    ----------
    features : array, shape (n, n_features)
        Standardized.
    codes : array of int, shape (n,)
        Class of each row, 0 to ``n_classes - 1``; every class is present.
    n_classes : int
        At least 2.
    cs : array, shape (n_cs,)
        Inverse strengths of the penalty, increasing.
    start : L1Path, optional
        Fits of a similar training set at the same `cs`. Each fit starts from it or from the
        solution at the C before, whichever has the smaller loss.
    tolerance : float
        Largest violation of the optimality conditions in units of the penalty.
    max_steps : int
        Newton steps per fit.

    Returns
    -------
    L1Path

    Notes
    -----
    The objective is that of scikit-learn's ``LogisticRegression(l1_ratio=1, solver='saga',
    class_weight='balanced')``, intercepts free; saga does not come near the optimum within
    20,000 epochs once C exceeds about 10 with standardized features, the proximal Newton
    method of `iblnm.analysis.stats.l1_kernel` does within ten steps.
    """
    from iblnm.analysis.stats.l1_kernel import penalized_loss, solve

    features = np.ascontiguousarray(features, dtype=np.float64)
    codes = np.asarray(codes, dtype=np.int64)
    weights = balanced_weights(codes, n_classes)
    first = 1 if n_classes == 2 else 0
    n_cs = len(cs)
    path = L1Path(
        np.zeros((n_cs, n_classes, features.shape[1])),
        np.zeros((n_cs, n_classes)),
        np.full(n_cs, np.inf),
    )
    coef, intercept = path.coef[0].copy(), path.intercept[0].copy()
    for i, c in enumerate(cs):
        penalty = 1.0 / c
        if start is not None:
            given = (start.coef[i], start.intercept[i])
            if penalized_loss(features, weights, codes, penalty, *given) < penalized_loss(
                features, weights, codes, penalty, coef, intercept
            ):
                coef, intercept = given[0].copy(), given[1].copy()
        path.violation[i] = solve(
            features, weights, codes, penalty, coef, intercept, first, max_steps, tolerance
        )
        _equalize_plain_classes(coef, intercept)
        path.coef[i], path.intercept[i] = coef, intercept
    return path


def _equalize_plain_classes(coef: np.ndarray, intercept: np.ndarray) -> None:
    """Give classes without a nonzero coefficient one intercept, in place.

    Under balanced weights it is the same for all of them at the optimum. Short of it, the
    remainder of the solver would decide between classes that tie.
    """
    plain = ~coef.any(axis=1)
    if plain.any():
        intercept[plain] = intercept[plain].mean()
        intercept -= intercept[0]


def predict_codes(features: np.ndarray, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Most probable class of each row; the first of those that tie.

    Parameters
    ----------
    features : array, shape (n, n_features)
    coef : array, shape (..., n_classes, n_features)
    intercept : array, shape (..., n_classes)

    Returns
    -------
    ndarray of int, shape (..., n)
    """
    scores = features @ np.swapaxes(coef, -1, -2) + intercept[..., None, :]
    # without a nonzero coefficient all classes tie, and rounding must not choose
    return np.round(scores, _TIE_DECIMALS).argmax(axis=-1)


def class_coefficients(coef: np.ndarray) -> np.ndarray:
    """Coefficients per class in the order of the classes; two classes give (−coef, +coef).

    Parameters
    ----------
    coef : array, shape (n_classes, n_features)
        As in `L1Path`.

    Examples
    --------
    >>> class_coefficients(np.array([[0.0, 0.0], [1.5, -2.0]])).tolist()
    [[-1.5, 2.0], [1.5, -2.0]]
    """
    return np.stack([-coef[1], coef[1]]) if len(coef) == 2 else coef


def standardization(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (ddof 0) of each column; a constant column has scale 1.

    Parameters
    ----------
    features : array, shape (n, n_features)

    Returns
    -------
    mean, scale : ndarray, shape (n_features,)
    """
    mean = features.mean(axis=0)
    scale = features.std(axis=0)
    constant = scale <= 10 * np.finfo(float).eps * np.maximum(np.abs(mean), 1e-300)
    return mean, np.where(constant | (scale == 0), 1.0, scale)
