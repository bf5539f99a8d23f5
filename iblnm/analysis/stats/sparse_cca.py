"""Canonical correlation with an elastic-net penalty that is chosen within each permutation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from iblnm.analysis.stats.cca import (
    DEFAULT_SEED,
    CCAResult,
    Views,
    permutation_p,
    result_of,
    standardize_views,
)
from iblnm.analysis.stats.elastic_net import canonical_weights, unit_variance
from iblnm.analysis.stats.permutations import session_permutations
from iblnm.errors import MalformedFileError

PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
N_FOLDS = 5
NO_PENALTY = 1e-6
CHUNK_PERMUTATIONS = 250


def fit_penalized_cca(
    X: pd.DataFrame | np.ndarray,
    Y: pd.DataFrame | np.ndarray,
    n_permutations: int = 0,
    session_labels: Sequence | np.ndarray | None = None,
    seed: int | None = None,
    scale: bool = True,
    alpha: float | Sequence[float] = PENALTIES,
    l1_ratio: float = 0.0,
    unit_norm: bool = True,
    *,
    fold_labels: Sequence | np.ndarray | None = None,
    n_folds: int = N_FOLDS,
    within: Sequence | np.ndarray | None = None,
) -> CCAResult:
    """First canonical variates under an elastic-net penalty, with a permutation test.

    Parameters
    ----------
    X, Y, n_permutations, session_labels, seed, scale, within
        As `iblnm.analysis.fit_cca`. The seed also deals the sessions to folds.
    alpha : float or sequence of float
        Penalty of both views, in the scale of `sklearn.linear_model.ElasticNet` for a target
        of variance 1. Of several values the one with the largest held-out correlation is
        used; the choice is repeated in every permutation, as otherwise p is too small.
    l1_ratio : float
        Share of the L1 penalty, 0 (ridge) to 1.
    unit_norm : bool
        Scale the weights to length 1; otherwise the scores have variance 1.
    fold_labels : sequence, shape (n,), optional
        Unit that is held out as a whole: sessions by default, better subjects.
    n_folds : int

    Returns
    -------
    CCAResult
        One component. The correlation is that of the scores of all recordings. With a
        penalty that leaves no weight it is 0 and so are the weights.

    Raises
    ------
    MalformedFileError
        Numbers of rows differ, too few complete rows, or fewer than 2 units to hold out
        when there is a penalty to choose.
    ValueError
        A penalty that is not positive, or `l1_ratio` outside 0 to 1.

    Notes
    -----
    Alternating elastic nets: the weights of a view are the elastic-net regression of the
    other view's score, scaled to variance 1, on its features (Waaijenborg, Verselewel de
    Witt Hamer & Zwinderman 2008, Stat. Appl. Genet. Mol. Biol. 7, 3), from the ridge
    solution on. With `l1_ratio` 0 that is canonical ridge (Vinod 1976, J. Econometrics 4,
    147–166), solved directly. Everything is computed from the covariances, for all
    permutations, folds and penalties at once. The held-out correlation pools the scores of
    all folds, each with the mean and variance of its training set.
    """
    penalties = np.sort(np.atleast_1d(np.asarray(alpha, dtype=float)))
    if penalties.size == 0 or not (penalties > 0).all():
        raise ValueError(f"alpha {alpha!r}: penalties must be positive")
    if not 0 <= l1_ratio <= 1:
        raise ValueError(f"l1_ratio {l1_ratio!r} is not between 0 and 1")
    seed = DEFAULT_SEED if seed is None else seed
    x, y = pd.DataFrame(X), pd.DataFrame(Y)
    labels = np.arange(len(x)) if session_labels is None else np.asarray(session_labels)
    views = standardize_views(x, y, labels, scale=scale, within=within)
    folds = _folds(x, y, labels if fold_labels is None else np.asarray(fold_labels))
    if penalties.size > 1:
        folds = _deal(folds, n_folds, seed)
    z = _Data(views.x.to_numpy(), views.y.to_numpy(), folds)

    identity = np.arange(len(views.x))[None]
    chosen, wx, wy, correlation = _fit(z, identity, penalties, l1_ratio)
    p_values = null = None
    if n_permutations:
        orders = session_permutations(views.sessions, n_permutations, seed, views.within)
        null = np.concatenate(
            [
                _fit(z, orders[i : i + CHUNK_PERMUTATIONS], penalties, l1_ratio)[3]
                for i in range(0, n_permutations, CHUNK_PERMUTATIONS)
            ]
        )
        p_values = permutation_p(correlation, null[:, None])
    return _result(
        views,
        wx[0],
        wy[0],
        unit_norm,
        correlations=correlation,
        n_permutations=n_permutations,
        seed=seed,
        p_values=p_values,
        null_correlations=null,
        alpha=float(chosen[0]),
        l1_ratio=float(l1_ratio),
        penalties=tuple(penalties.tolist()),
    )


def held_out_correlation(
    X: pd.DataFrame | np.ndarray,
    Y: pd.DataFrame | np.ndarray,
    fold_labels: Sequence | np.ndarray,
    *,
    alpha: float = NO_PENALTY,
    l1_ratio: float = 0.0,
    n_folds: int = N_FOLDS,
    seed: int = DEFAULT_SEED,
) -> float:
    """Correlation of the first variates in recordings that the weights were not fitted to.

    Parameters
    ----------
    X, Y
        As `iblnm.analysis.fit_cca`.
    fold_labels : sequence, shape (n,)
        Unit that is held out as a whole, normally the subject.
    alpha, l1_ratio : float
        As `fit_penalized_cca`; practically without penalty by default.
    n_folds, seed : int

    Returns
    -------
    float
        −1 to 1, around 0 or below without a relation; NaN with fewer than 2 units.
    """
    labels = np.asarray(fold_labels)
    views = standardize_views(X, Y, labels)
    if len(pd.unique(views.sessions)) < 2:
        return np.nan
    folds = _deal(views.sessions, n_folds, seed)
    data = _Data(views.x.to_numpy(), views.y.to_numpy(), folds)
    orders = np.arange(len(folds))[None]
    total = _moments(data.x, data.y[orders])
    return float(_held_out(data, orders, total, np.array([alpha]), l1_ratio)[0, 0])


@dataclass(frozen=True)
class _Data:
    x: np.ndarray
    y: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True)
class _Moments:
    """Sums over rows: number, x, y, x'x, y'y, x'y; leading axes are permutations and folds."""

    n: np.ndarray
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray

    def __sub__(self, other: _Moments) -> _Moments:
        return _Moments(
            *(getattr(self, k) - getattr(other, k) for k in ("n", "x", "y", "xx", "yy", "xy"))
        )


def _fit(
    data: _Data, orders: np.ndarray, penalties: np.ndarray, l1_ratio: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Penalty, weights of both views and correlation for each order of the rows of y."""
    total = _moments(data.x, data.y[orders])
    if penalties.size == 1:
        chosen = np.zeros(len(orders), dtype=int)
    else:
        chosen = np.argmax(_held_out(data, orders, total, penalties, l1_ratio), axis=1)
    rxx, ryy, rxy, _, _ = _correlation_matrices(total)
    wx, wy = canonical_weights(rxx, ryy, rxy, penalties[chosen], l1_ratio)
    return penalties[chosen], wx, wy, _correlation(rxx, ryy, rxy, wx, wy)


def _held_out(
    data: _Data, orders: np.ndarray, total: _Moments, penalties: np.ndarray, l1_ratio: float
) -> np.ndarray:
    """Correlation of held-out scores, shape (n_orders, n_penalties)."""
    shape = (len(orders), len(penalties))
    uv, uu, vv = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for fold in np.unique(data.folds):
        rows = data.folds == fold
        test = _moments(data.x[rows], data.y[orders[:, rows]])
        train = total - test
        rxx, ryy, rxy, sx, sy = _correlation_matrices(train)
        mx, my = train.x / train.n[:, None], train.y / train.n[:, None]
        txx = _about(test.xx, test.x, test.x, mx, mx, test.n) / (sx[:, :, None] * sx[:, None])
        tyy = _about(test.yy, test.y, test.y, my, my, test.n) / (sy[:, :, None] * sy[:, None])
        txy = _about(test.xy, test.x, test.y, mx, my, test.n) / (sx[:, :, None] * sy[:, None])
        for i, penalty in enumerate(penalties):
            wx, wy = canonical_weights(rxx, ryy, rxy, np.full(len(orders), penalty), l1_ratio)
            wx, wy = unit_variance(wx, rxx), unit_variance(wy, ryy)
            uv[:, i] += np.einsum("bi,bij,bj->b", wx, txy, wy)
            uu[:, i] += np.einsum("bi,bij,bj->b", wx, txx, wx)
            vv[:, i] += np.einsum("bi,bij,bj->b", wy, tyy, wy)
    size = np.sqrt(np.maximum(uu * vv, 0))
    return np.divide(uv, size, out=np.zeros(shape), where=size > 0)


def _moments(x: np.ndarray, y: np.ndarray) -> _Moments:
    """Of x, shape (n, p), the same for all orders, and y, shape (n_orders, n, q)."""
    n_orders = len(y)

    def repeat(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, (n_orders, *np.shape(values)))

    return _Moments(
        repeat(np.float64(len(x))),
        repeat(x.sum(axis=0)),
        y.sum(axis=1),
        repeat(x.T @ x),
        y.swapaxes(1, 2) @ y,
        x.T @ y,
    )


def _about(
    products: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    m1: np.ndarray,
    m2: np.ndarray,
    n: np.ndarray,
) -> np.ndarray:
    """Sums of products about given means, from sums about 0."""
    return (
        products
        - m1[:, :, None] * second[:, None]
        - first[:, :, None] * m2[:, None]
        + n[:, None, None] * m1[:, :, None] * m2[:, None]
    )


def _correlation_matrices(m: _Moments) -> tuple[np.ndarray, ...]:
    """Correlations within and between the views, and the standard deviations (n)."""
    mx, my = m.x / m.n[:, None], m.y / m.n[:, None]
    n = m.n[:, None, None]
    cxx = _about(m.xx, m.x, m.x, mx, mx, m.n) / n
    cyy = _about(m.yy, m.y, m.y, my, my, m.n) / n
    cxy = _about(m.xy, m.x, m.y, mx, my, m.n) / n
    sx, sy = _sd(cxx), _sd(cyy)
    return (
        cxx / (sx[:, :, None] * sx[:, None]),
        cyy / (sy[:, :, None] * sy[:, None]),
        cxy / (sx[:, :, None] * sy[:, None]),
        sx,
        sy,
    )


def _sd(covariance: np.ndarray) -> np.ndarray:
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    return np.sqrt(np.where(variance > 1e-20, variance, 1.0))


def _correlation(
    rxx: np.ndarray, ryy: np.ndarray, rxy: np.ndarray, wx: np.ndarray, wy: np.ndarray
) -> np.ndarray:
    uv = np.einsum("bi,bij,bj->b", wx, rxy, wy)
    uu = np.einsum("bi,bij,bj->b", wx, rxx, wx)
    vv = np.einsum("bi,bij,bj->b", wy, ryy, wy)
    size = np.sqrt(np.maximum(uu * vv, 0))
    return np.clip(np.divide(uv, size, out=np.zeros_like(uv), where=size > 0), 0.0, 1.0)


def _folds(x: pd.DataFrame, y: pd.DataFrame, labels: np.ndarray) -> np.ndarray:
    complete = np.isfinite(x.to_numpy(dtype=float)).all(axis=1)
    complete &= np.isfinite(y.to_numpy(dtype=float)).all(axis=1)
    return labels[complete]


def _deal(labels: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Fold of each row: units in random order, one after the other to the folds."""
    code, units = pd.factorize(labels)
    if len(units) < 2:
        raise MalformedFileError(
            f"{len(units)} unit to hold out; choosing a penalty needs 2 at least"
        )
    order = np.random.default_rng(seed).permutation(len(units))
    return (order % min(n_folds, len(units)))[code]


def _result(views: Views, wx: np.ndarray, wy: np.ndarray, unit_norm: bool, **fields) -> CCAResult:
    weights = []
    for w, z in ((wx, views.x.to_numpy()), (wy, views.y.to_numpy())):
        # the weights are those of correlations; without scaling the features differ in size
        spread = z.std(axis=0)
        w = w / np.where(spread > 0, spread, 1.0)
        size = np.linalg.norm(w) if unit_norm else (z @ w).std(ddof=1)
        weights.append((w / size if size > 0 else w)[:, None])
    return result_of(views, *weights, **fields)
