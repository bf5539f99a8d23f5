"""Likelihood of a linear mixed model from the cross-products of each subject.

y_i = X_i β + Z_i b_i + ε, b_i ~ N(0, σ²Ψ), ε ~ N(0, σ²I). With Ψ = ΛΛᵀ and
V_i = I + Z_i Ψ Z_iᵀ, Woodbury's identity needs X_iᵀX_i, X_iᵀZ_i, Z_iᵀZ_i, X_iᵀy_i, Z_iᵀy_i and
y_iᵀy_i only: a few numbers per subject whatever its trials. Λ may be singular, so the boundary
of the parameter space is an ordinary point (Bates et al. 2015, J Stat Softw 67, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# of a random effect's standard deviation over that of the residuals, when it is maximized
LARGEST = 1e3


class Solution(NamedTuple):
    """Generalized least squares at one Λ.

    Parameters
    ----------
    beta : ndarray, shape (p,)
    cov_unscaled : ndarray, shape (p, p)
        (Σ XᵀV⁻¹X)⁻¹; times σ² the covariance of `beta`.
    rss : float
        Σ rᵀV⁻¹r.
    logdet_v, logdet_xvx : float
    """

    beta: np.ndarray
    cov_unscaled: np.ndarray
    rss: float
    logdet_v: float
    logdet_xvx: float


@dataclass(frozen=True)
class Products:
    """Cross-products per subject; K subjects, p fixed and q random columns.

    Parameters
    ----------
    n : ndarray, shape (K,)
        Trials.
    xx, xz, zz : ndarray, shapes (K, p, p), (K, p, q), (K, q, q)
    xy, zy : ndarray, shapes (K, p), (K, q)
    yy : ndarray, shape (K,)
    """

    n: np.ndarray
    xx: np.ndarray
    xz: np.ndarray
    zz: np.ndarray
    xy: np.ndarray
    zy: np.ndarray
    yy: np.ndarray

    @classmethod
    def from_arrays(
        cls, x: np.ndarray, z: np.ndarray, y: np.ndarray, subject: np.ndarray
    ) -> Products:
        """Cross-products of trials.

        Parameters
        ----------
        x : ndarray, shape (n, p)
        z : ndarray, shape (n, q)
        y : ndarray, shape (n,)
        subject : ndarray of int, shape (n,)
            Codes 0 to K − 1, each at least once.
        """
        order = np.argsort(subject, kind="stable")
        starts = np.flatnonzero(np.diff(subject[order], prepend=-1))
        stops = np.append(starts[1:], len(order))
        p, q = x.shape[1], z.shape[1]
        columns = np.column_stack([x, z, y])[order]
        # One small product per subject: no array of n × p² is ever held.
        blocks = (columns[i:j] for i, j in zip(starts, stops, strict=True))
        full = np.array([block.T @ block for block in blocks])
        return cls(
            n=np.diff(np.append(starts, len(order))).astype(float),
            xx=full[:, :p, :p],
            xz=full[:, :p, p : p + q],
            zz=full[:, p : p + q, p : p + q],
            xy=full[:, :p, -1],
            zy=full[:, p : p + q, -1],
            yy=full[:, -1, -1],
        )

    def solve(self, factor: np.ndarray) -> Solution:
        """β, its covariance and the pieces of the likelihood at Λ = `factor` (q, q).

        Raises
        ------
        numpy.linalg.LinAlgError
            If the fixed columns are linearly dependent.
        """
        q = factor.shape[0]
        inner = np.eye(q) + factor.T @ self.zz @ factor
        right = np.concatenate([self.xz @ factor, (self.zy @ factor)[:, None, :]], axis=1)
        root = np.linalg.cholesky(inner)
        half = np.linalg.solve(root, right.transpose(0, 2, 1))
        taken = np.einsum("kqi,kqj->ij", half, half)
        p = self.xx.shape[1]
        xvx = self.xx.sum(0) - taken[:p, :p]
        xvy = self.xy.sum(0) - taken[:p, p]
        base = np.linalg.cholesky(xvx)
        inverse = np.linalg.inv(base)
        cov = inverse.T @ inverse
        beta = cov @ xvy
        return Solution(
            beta=beta,
            cov_unscaled=cov,
            rss=float(self.yy.sum() - taken[p, p] - beta @ xvy),
            logdet_v=float(2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum()),
            logdet_xvx=float(2 * np.log(np.diagonal(base)).sum()),
        )

    def random_sizes(self) -> np.ndarray:
        """Root mean square of each random column, shape (q,)."""
        return np.sqrt(np.diagonal(self.zz.sum(0)) / self.n.sum())

    def degrees(self, reml: bool) -> float:
        """Divisor of the residual variance: n − p with REML, else n."""
        return float(self.n.sum()) - (self.xx.shape[1] if reml else 0)

    def deviance(self, factor: np.ndarray, reml: bool, scale: float | None = None) -> float:
        """−2 log-likelihood, σ² profiled out unless `scale` is given.

        Notes
        -----
        The constants are those of `statsmodels.regression.mixed_linear_model.MixedLM.loglike`.
        """
        found = self.solve(factor)
        degrees = self.degrees(reml)
        sigma2 = found.rss / degrees if scale is None else scale
        value = degrees * np.log(2 * np.pi * sigma2) + found.rss / sigma2 + found.logdet_v
        return float(value + (found.logdet_xvx if reml else 0.0))


def entries(q: int, *, is_diagonal: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the elements of Λ that are estimated: the lower triangle, row by row.

    With `is_diagonal`, random effects without correlation, those of the diagonal alone.
    """
    return np.diag_indices(q) if is_diagonal else np.tril_indices(q)


def to_factor(theta: np.ndarray, q: int, *, is_diagonal: bool = False) -> np.ndarray:
    """Λ of its packed elements, see `entries`."""
    factor = np.zeros((q, q))
    factor[entries(q, is_diagonal=is_diagonal)] = theta
    return factor


def maximize(
    products: Products, reml: bool, *, ftol: float = 1e-12, is_diagonal: bool = False
) -> np.ndarray:
    """Λ of largest likelihood.

    Parameters
    ----------
    products : Products
    reml : bool
    ftol : float
        Relative gain of the likelihood below which a search stops.
    is_diagonal : bool
        Whether the random effects are taken to be uncorrelated.

    Returns
    -------
    ndarray, shape (q, q)
        Lower triangle, diagonal ≥ 0.

    Notes
    -----
    `scipy.optimize.minimize`, L-BFGS-B with the diagonal bounded at 0 from three starts, the
    best of them polished by bounded Nelder–Mead, which needs no gradient at the boundary.
    """
    from scipy.optimize import minimize

    q = products.zz.shape[1]
    rows, columns = entries(q, is_diagonal=is_diagonal)
    diagonal = rows == columns
    bounds = [(0.0 if on else -LARGEST, LARGEST) for on in diagonal]
    # In units of each random column's size, so that the unit of contrast is no matter.
    size = products.random_sizes()

    def unscaled(theta: np.ndarray) -> np.ndarray:
        return to_factor(theta, q, is_diagonal=is_diagonal) / size[:, None]

    def deviance(theta: np.ndarray) -> float:
        return products.deviance(unscaled(theta), reml)

    starts = [np.where(diagonal, start, 0.0) for start in (0.03, 0.3, 3.0)]
    found = [
        minimize(deviance, start, method="L-BFGS-B", bounds=bounds, options={"ftol": ftol})
        for start in starts
    ]
    best = min(found, key=lambda result: result.fun)
    simplex = best.x + np.vstack([np.zeros(len(best.x)), 0.02 * np.eye(len(best.x))])
    polished = minimize(
        deviance,
        best.x,
        method="Nelder-Mead",
        bounds=bounds,
        options={"initial_simplex": simplex, "xatol": 1e-7, "fatol": 1e-9, "maxiter": 1000},
    )
    return unscaled(min(best, polished, key=lambda result: result.fun).x)


def variance_of_variance(
    products: Products,
    factor: np.ndarray,
    variance: float,
    reml: bool,
    *,
    is_diagonal: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """What Satterthwaite's degrees of freedom need.

    Parameters
    ----------
    products : Products
    factor : ndarray, shape (q, q)
        Λ.
    variance : float
        σ².
    reml : bool
    is_diagonal : bool
        See `maximize`.

    Returns
    -------
    jacobian : ndarray, shape (p, p, m)
        Derivative of the covariance of β by the m parameters: packed Λ, then σ².
    covariance : ndarray, shape (m, m)
        Of the parameters: twice the inverse of the numerical Hessian of the deviance, on the
        directions of positive curvature, as in lmerTest.
    """
    from statsmodels.tools.numdiff import approx_fprime, approx_hess

    q = len(factor)
    here = np.append(factor[entries(q, is_diagonal=is_diagonal)], variance)
    p = len(products.xy[0])

    def covariance(at: np.ndarray) -> np.ndarray:
        factor = to_factor(at[:-1], q, is_diagonal=is_diagonal)
        return (at[-1] * products.solve(factor).cov_unscaled).ravel()

    def deviance(at: np.ndarray) -> float:
        factor = to_factor(at[:-1], q, is_diagonal=is_diagonal)
        return products.deviance(factor, reml, scale=at[-1])

    jacobian = np.asarray(approx_fprime(here, covariance, centered=True)).reshape(p, p, -1)
    values, vectors = np.linalg.eigh(approx_hess(here, deviance))
    keep = values > 1e-8 * values.max()
    return jacobian, 2 * (vectors[:, keep] / values[keep]) @ vectors[:, keep].T


def satterthwaite(
    weights: np.ndarray,
    covariance: np.ndarray,
    jacobian: np.ndarray,
    parameters: np.ndarray,
    largest: float,
) -> np.ndarray:
    """Degrees of freedom of linear combinations of β, shape (m,): 2v² / Var(v).

    Parameters
    ----------
    weights : ndarray, shape (m, p)
    covariance : ndarray, shape (p, p)
        Of β.
    jacobian, parameters
        From `variance_of_variance`.
    largest : float
        Upper limit; the lower one is 1.
    """
    variance = np.einsum("mi,ij,mj->m", weights, covariance, weights)
    gradient = np.einsum("mi,ijk,mj->mk", weights, jacobian, weights)
    spread = np.einsum("mk,kl,ml->m", gradient, parameters, gradient)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.where(spread > 0, 2 * variance**2 / spread, largest)
    return np.clip(df, 1.0, largest)
