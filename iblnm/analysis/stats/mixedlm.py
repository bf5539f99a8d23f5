"""The one place that handles `statsmodels.regression.mixed_linear_model.MixedLM`.

What it works around, as of statsmodels 0.15:

- the default start (Ψ = I) and optimizer (BFGS) often stop far from the maximum and warn only:
  the variances of the subjects' own regressions are the start, several optimizers are tried;
- near a singular Ψ the log-likelihood is NaN or infinite and standard errors are NaN or
  absurd: such runs are dropped, and standard errors come from generalized least squares at
  the fitted Ψ, see `iblnm.analysis.stats.products`;
- warnings about all this are no diagnosis: they are silenced here, the agreement of two
  maximizations is the test of convergence.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from iblnm.analysis.stats.products import Products, maximize

METHOD_VERSION = 1
METHODS = ("bfgs", "nm", "powell")
SINGULAR = 1e-4


class Fit(NamedTuple):
    """Largest likelihood of a mixed model and how well two maximizations agree on it.

    Parameters
    ----------
    factor : ndarray, shape (q, q)
        Λ; the covariance of the random effects is σ²ΛΛᵀ.
    loglik_gap : float
        Largest absolute difference of the log-likelihoods.
    se_gap : float
        Largest relative difference of the standard errors of the fixed effects.
    is_singular : bool
        Whether the covariance of the random effects has not full rank.
    is_converged : bool
        Whether both gaps are within tolerance.
    """

    factor: np.ndarray
    loglik_gap: float
    se_gap: float
    is_singular: bool
    is_converged: bool


def fit_mixed(
    x: np.ndarray,
    z: np.ndarray,
    y: np.ndarray,
    subject: np.ndarray,
    *,
    reml: bool = True,
    loglik_tolerance: float = 0.01,
    se_tolerance: float = 0.01,
    methods: tuple[str, ...] = METHODS,
    is_diagonal: bool = False,
) -> tuple[Products, Fit]:
    """Fit y = Xβ + Zb + ε by two independent maximizations.

    Parameters
    ----------
    x : ndarray, shape (n, p)
    z : ndarray, shape (n, q)
    y : ndarray, shape (n,)
    subject : ndarray of int, shape (n,)
        Codes 0 to K − 1.
    reml : bool
    loglik_tolerance : float
        Absolute.
    se_tolerance : float
        Relative.
    methods : tuple of str
        Optimizers of `MixedLM.fit`, tried in turn from each start until one agrees.
    is_diagonal : bool
        Whether the random effects are taken to be uncorrelated.

    Returns
    -------
    products : Products
    fit : Fit

    Notes
    -----
    One maximization is that of the profile likelihood of the subjects' cross-products, the
    other MixedLM's own of the whole data, from the covariance of the subjects' own
    regressions, then from the identity, then from close to the first maximum. The estimates
    are those of the larger likelihood.
    """
    products = Products.from_arrays(x, z, y, subject)
    factor = maximize(products, reml, is_diagonal=is_diagonal)
    loglik, se = _loglik_and_se(products, factor, reml)
    best = (np.inf, np.inf, factor)
    kept = _kept(products, factor) if is_diagonal else None
    for start in (*_starts(products), factor @ factor.T * 1.2 + 1e-4 * np.eye(len(factor))):
        for method in methods:
            theirs = _run_mixedlm(x, z, y, subject, start, method, reml, kept)
            if theirs is None:
                continue
            their_loglik, their_se = _loglik_and_se(products, theirs, reml)
            gap = abs(their_loglik - loglik)
            se_gap = float(np.max(np.abs(their_se / se - 1)))
            chosen = theirs if their_loglik > loglik + loglik_tolerance else factor
            candidate = (gap, se_gap, chosen)
            if chosen is theirs:
                return products, _judge(products, candidate, loglik_tolerance, se_tolerance)
            best = min(best, candidate, key=lambda found: max(found[0], found[1]))
            if gap <= loglik_tolerance and se_gap <= se_tolerance:
                return products, _judge(products, candidate, loglik_tolerance, se_tolerance)
    return products, _judge(products, best, loglik_tolerance, se_tolerance)


def _judge(
    products: Products,
    found: tuple[float, float, np.ndarray],
    loglik_tolerance: float,
    se_tolerance: float,
) -> Fit:
    gap, se_gap, factor = found
    scaled = factor * products.random_sizes()[:, None]
    singular = np.linalg.svd(scaled, compute_uv=False).min() < SINGULAR
    return Fit(
        factor=factor,
        loglik_gap=float(gap),
        se_gap=float(se_gap),
        is_singular=bool(singular),
        is_converged=bool(gap <= loglik_tolerance and se_gap <= se_tolerance),
    )


def _loglik_and_se(products: Products, factor: np.ndarray, reml: bool) -> tuple[float, np.ndarray]:
    found = products.solve(factor)
    variance = found.rss / products.degrees(reml)
    se = np.sqrt(np.diag(found.cov_unscaled) * variance)
    return -products.deviance(factor, reml) / 2, se


def _starts(products: Products) -> list[np.ndarray]:
    """Covariances of the random effects over σ²: of the subjects' own regressions, identity."""
    q = products.zz.shape[1]
    own = np.stack(
        [
            np.linalg.lstsq(zz, zy, rcond=None)[0]
            for zz, zy in zip(products.zz, products.zy, strict=True)
        ]
    )
    rss = products.yy.sum() - np.einsum("kq,kq->", own, products.zy)
    variance = max(rss / products.n.sum(), np.finfo(float).tiny)
    spread = np.diag(own.var(axis=0, ddof=1) / variance) if len(own) > 1 else np.eye(q)
    return [spread + 1e-3 * np.eye(q), np.eye(q)]


def _kept(products: Products, factor: np.ndarray) -> np.ndarray:
    """Uncorrelated random effects with a variance: MixedLM does not reach one of zero.

    It is given those alone, so that both maximizations end on the same face of the boundary.
    """
    kept = np.diagonal(factor) * products.random_sizes() >= SINGULAR
    return kept if kept.any() else np.ones(len(kept), dtype=bool)


def _run_mixedlm(
    x: np.ndarray,
    z: np.ndarray,
    y: np.ndarray,
    subject: np.ndarray,
    start: np.ndarray,
    method: str,
    reml: bool,
    kept: np.ndarray | None,
) -> np.ndarray | None:
    """Factor of Ψ that MixedLM finds; None where it finds none.

    With `kept`, that of uncorrelated random effects, of which the others have no variance.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

    size = z.shape[1]
    if kept is not None:
        z, start = z[:, kept], np.diag(np.diagonal(start)[kept])
    model = MixedLM(y, x, subject, z)
    parameters = MixedLMParams.from_components(np.zeros(x.shape[1]), start)
    free = MixedLMParams.from_components(np.ones(x.shape[1]), np.eye(z.shape[1]))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            fit = model.fit(
                reml=reml,
                method=method,
                start_params=parameters,
                free=None if kept is None else free,
            )
        except (np.linalg.LinAlgError, ValueError):
            return None
    psi = np.asarray(fit.cov_re_unscaled, dtype=float)
    if not np.isfinite(psi).all():
        return None
    if kept is not None:
        scale = np.zeros(size)
        scale[kept] = np.sqrt(np.maximum(np.diagonal(psi), 0.0))
        return np.diag(scale)
    values, vectors = np.linalg.eigh(psi)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.linalg.qr(root.T, mode="r").T
