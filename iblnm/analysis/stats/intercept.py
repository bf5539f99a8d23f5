"""Random-intercept models in closed form but for the variance ratio.

With one random intercept V_i = I + λ11ᵀ and V_i⁻¹ = I − w_i 11ᵀ, w_i = λ/(1 + λn_i), so that the
likelihood is a function of λ = τ²/σ² alone. It is maximized by a scan and a golden-section
search in log(1 + λ/c), which has the boundary λ = 0 as an ordinary point: nothing can fail to
converge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iblnm.analysis.stats.products import Products, satterthwaite, variance_of_variance

_N_SCAN = 60
_N_STEPS = 45
_LARGEST_LOG = np.log(1e6)
_GOLDEN = (np.sqrt(5.0) - 1) / 2


@dataclass(frozen=True)
class InterceptFit:
    """A fitted random-intercept model.

    Parameters
    ----------
    beta, se, df : ndarray, shape (p,)
        Fixed effects, standard errors, Satterthwaite's degrees of freedom.
    residual_variance, intercept_variance : float
    log_likelihood : float
    r2_marginal, r2_conditional : float
        Nakagawa & Schielzeth 2013.
    """

    beta: np.ndarray
    se: np.ndarray
    df: np.ndarray
    residual_variance: float
    intercept_variance: float
    log_likelihood: float
    r2_marginal: float
    r2_conditional: float


def fit_intercept(
    x: np.ndarray, y: np.ndarray, subject: np.ndarray, *, reml: bool = True
) -> InterceptFit:
    """Fit y = Xβ + b + ε with a random intercept per subject.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        First column 1, full rank.
    y : ndarray, shape (n,)
    subject : ndarray of int, shape (n,)
        Codes 0 to K − 1.
    reml : bool
    """
    products = Products.from_arrays(x, np.ones((len(x), 1)), y, subject)
    ratio = _maximize(lambda at: _deviances(products, at, reml), 1, _unit(products.n))[0]
    factor = np.sqrt([[ratio]])
    found = products.solve(factor)
    variance = found.rss / products.degrees(reml)
    cov = variance * found.cov_unscaled
    pieces = variance_of_variance(products, factor, variance, reml)
    fixed = float(np.var(x @ found.beta))
    random = float(ratio * variance)
    total = fixed + random + variance
    return InterceptFit(
        beta=found.beta,
        se=np.sqrt(np.diag(cov)),
        df=satterthwaite(np.eye(x.shape[1]), cov, *pieces, largest=float(len(x) - x.shape[1])),
        residual_variance=float(variance),
        intercept_variance=random,
        log_likelihood=-products.deviance(factor, reml) / 2,
        r2_marginal=fixed / total,
        r2_conditional=(fixed + random) / total,
    )


def leave_one_out(products: Products, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """REML fits of a random-intercept model without each subject in turn.

    Parameters
    ----------
    products : Products
        Of fixed columns of which the first is 1, and one random column of ones.
    columns : ndarray of int
        Fixed columns of the model, the first of them 0.

    Returns
    -------
    beta : ndarray, shape (K, p)
        Fixed effects without subject k.
    ratio : ndarray, shape (K,)
        τ²/σ² without subject k.

    """
    sums = _SumsOfOthers(products, columns)
    ratio = _maximize(sums.deviances, len(products.n), _unit(products.n))
    return sums.solve(ratio)[0], ratio


class _SumsOfOthers:
    """Sums over all subjects but one, at one variance ratio per left-out subject."""

    def __init__(self, products: Products, columns: np.ndarray):
        self.n = products.n
        self.p = len(columns)
        xx = products.xx[:, columns][:, :, columns]
        xy = products.xy[:, columns]
        full = _stack(xx, xy, products.yy)
        self.others = full.sum(0) - full
        ones_x, ones_y = xx[:, 0], xy[:, 0]
        self.taken = _stack(
            ones_x[:, :, None] * ones_x[:, None, :], ones_x * ones_y[:, None], ones_y**2
        )

    def _at(self, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Σ (v − w·taken) and Σ log(1 + λn) over the other subjects; one λ per row."""
        grown = ratio[:, None] * self.n
        weight = ratio[:, None] / (1 + grown)
        np.fill_diagonal(weight, 0.0)
        np.fill_diagonal(grown, 0.0)
        return self.others - weight @ self.taken, np.log1p(grown).sum(1)

    def solve(self, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """β, XᵀV⁻¹X, the residual sum of squares and log|V| of each fold."""
        sums, logdet = self._at(ratio)
        xvx, xvy, yvy = _unstack(sums, self.p)
        beta = np.linalg.solve(xvx, xvy[:, :, None])[:, :, 0]
        return beta, xvx, yvy - np.einsum("kp,kp->k", beta, xvy), logdet

    def deviances(self, ratio: np.ndarray) -> np.ndarray:
        _, xvx, rss, logdet = self.solve(ratio)
        degrees = self.n.sum() - self.n - self.p
        return degrees * np.log(rss) + logdet + np.linalg.slogdet(xvx)[1]


def _unit(n: np.ndarray) -> float:
    """Ratio at which the search is centered: between those of the smallest and largest subject."""
    return float(1 / np.sqrt(n.min() * n.max()))


def _stack(xx: np.ndarray, xy: np.ndarray, yy: np.ndarray) -> np.ndarray:
    return np.column_stack([xx.reshape(len(xx), -1), xy, yy])


def _unstack(sums: np.ndarray, p: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return sums[:, : p * p].reshape(-1, p, p), sums[:, p * p : -1], sums[:, -1]


def _deviances(products: Products, ratios: np.ndarray, reml: bool) -> np.ndarray:
    return np.array([products.deviance(np.sqrt([[ratio]]), reml) for ratio in ratios])


def _maximize(deviances, n_problems: int, unit: float) -> np.ndarray:
    """Ratio of least deviance of each problem; `deviances` takes one ratio per problem."""

    def at(u: np.ndarray) -> np.ndarray:
        return deviances(unit * np.expm1(u))

    grid = np.linspace(0.0, _LARGEST_LOG, _N_SCAN)
    scan = np.array([at(np.full(n_problems, u)) for u in grid])
    best = np.argmin(scan, axis=0)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, _N_SCAN - 1)]
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = at(left), at(right)
    for _ in range(_N_STEPS):
        go_left = at_left < at_right
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
        new = np.where(go_left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        value = at(new)
        left, right = np.where(go_left, new, right), np.where(go_left, left, new)
        at_left, at_right = (
            np.where(go_left, value, at_right),
            np.where(go_left, at_left, value),
        )
    u = (low + high) / 2
    # At the boundary the search ends beside it, not on it.
    at_zero = at(np.zeros(n_problems)) <= at(u)
    return np.where(at_zero, 0.0, unit * np.expm1(u))
