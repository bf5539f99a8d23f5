"""Canonical correlation of two sets of features, tested by moving whole sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.stats.permutations import count_movable_sessions, session_permutations
from iblnm.errors import MalformedFileError

METHOD_VERSION = 1
DEFAULT_SEED = 0
RANK_TOLERANCE = 1e-10
TIE_TOLERANCE = 1e-10
CHUNK_VALUES = 2**22
MIN_ROWS = 3


@dataclass(frozen=True)
class CCAResult:
    """Canonical variates of two views of the same recordings.

    Parameters
    ----------
    x_weights, y_weights : DataFrame, shape (n_features, n_components)
        Of the standardized features that vary, columns CC1, CC2, ... Scores have variance 1
        (`fit_cca`), or the weights have length 1 (`iblnm.analysis.fit_penalized_cca` with
        ``unit_norm``).
    x_scores, y_scores : ndarray, shape (n_recordings, n_components)
        Given as a table, its index becomes `index`.
    correlations : ndarray, shape (n_components,)
        In the sample: biased upwards, the more so the fewer recordings per feature.
    p_values : ndarray, shape (n_components,), or None
        (1 + number of permutations at least as correlated) / (1 + n).
    n_recordings : int
        Used: complete in both views.
    n_permutations : int
    alpha, l1_ratio : float or None
        Penalty of the elastic-net variant, and its L1 share.
    index : Index
        Recordings of the scores.
    x_loadings, y_loadings : DataFrame, shape (n_features, n_components), or None
        Correlation of each feature with the score of its own view; NaN for a feature that
        does not vary.
    x_mean, x_scale, y_mean, y_scale : Series or None
        What the features were standardized with.
    n_sessions : int or None
    n_movable_sessions : int or None
        Sessions that share their number of recordings with another; the others stay in
        place in every permutation.
    seed : int
    null_correlations : ndarray, shape (n_permutations,), or None
        First component of each permutation.
    penalties : tuple of float
        Values that the penalty was chosen from, in every permutation anew.

    Examples
    --------
    A result made from what a script had stored:

    >>> weights = pd.DataFrame({"CC1": [0.6, 0.8]}, index=["contrast", "reward"])
    >>> scores = np.array([[-1.0], [0.0], [1.0]])
    >>> result = CCAResult(weights, weights, scores, scores, [0.9], [0.01], 3, 999)
    >>> result.x_weights["CC1"].idxmax(), result.x_scores[:, 0].tolist(), result.p_value
    ('reward', [-1.0, 0.0, 1.0], 0.01)
    """

    x_weights: pd.DataFrame
    y_weights: pd.DataFrame
    x_scores: np.ndarray
    y_scores: np.ndarray
    correlations: np.ndarray
    p_values: np.ndarray | None = None
    n_recordings: int = 0
    n_permutations: int = 0
    alpha: float | None = None
    l1_ratio: float | None = None
    index: pd.Index | None = None
    x_loadings: pd.DataFrame | None = None
    y_loadings: pd.DataFrame | None = None
    x_mean: pd.Series | None = None
    x_scale: pd.Series | None = None
    y_mean: pd.Series | None = None
    y_scale: pd.Series | None = None
    n_sessions: int | None = None
    n_movable_sessions: int | None = None
    seed: int = DEFAULT_SEED
    null_correlations: np.ndarray | None = None
    penalties: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        index = self.index
        if index is None and isinstance(self.x_scores, pd.DataFrame | pd.Series):
            index = self.x_scores.index
        given: dict[str, Any] = {
            "index": pd.RangeIndex(len(self.x_scores)) if index is None else index
        }
        for name in ("x_weights", "y_weights", "x_loadings", "y_loadings"):
            table = getattr(self, name)
            if table is not None:
                table = pd.DataFrame(table)
                named = all(str(column).startswith("CC") for column in table)
                columns = list(table) if named else component_names(table.shape[1])
                given[name] = table.set_axis(columns, axis=1)
        for name in ("x_scores", "y_scores"):
            values = np.asarray(getattr(self, name), dtype=float)
            given[name] = values[:, None] if values.ndim == 1 else values
        for name in ("correlations", "p_values"):
            if getattr(self, name) is not None:
                given[name] = np.atleast_1d(np.asarray(getattr(self, name), dtype=float))
        for name, value in given.items():
            object.__setattr__(self, name, value)

    @property
    def correlation(self) -> float:
        """Correlation of the first pair of variates."""
        return float(self.correlations[0])

    @property
    def p_value(self) -> float:
        """p of the first pair of variates; NaN without permutations."""
        return np.nan if self.p_values is None else float(self.p_values[0])

    @property
    def n_components(self) -> int:
        return len(self.correlations)

    def all_weights(self, view: str) -> pd.DataFrame:
        """Weights of all features given for view 'x' or 'y'; 0 for one that does not vary."""
        weights = getattr(self, f"{view}_weights")
        loadings = getattr(self, f"{view}_loadings")
        return weights if loadings is None else weights.reindex(loadings.index, fill_value=0.0)

    def flipped(self) -> CCAResult:
        """The same result with all signs of weights, scores and loadings changed."""
        signed = ("x_weights", "y_weights", "x_scores", "y_scores", "x_loadings", "y_loadings")
        changed = {name: getattr(self, name) for name in signed}
        return replace(
            self, **{name: -value for name, value in changed.items() if value is not None}
        )


def component_names(n: int) -> list[str]:
    """CC1, CC2, ..."""
    return [f"CC{i + 1}" for i in range(n)]


@dataclass(frozen=True)
class Views:
    """Two standardized views of the same rows, complete, with the session of each row."""

    x: pd.DataFrame
    y: pd.DataFrame
    x_mean: pd.Series
    x_scale: pd.Series
    y_mean: pd.Series
    y_scale: pd.Series
    sessions: np.ndarray
    within: np.ndarray | None = None
    x_varies: np.ndarray | None = None
    y_varies: np.ndarray | None = None


def fit_cca(
    X: pd.DataFrame | np.ndarray,
    Y: pd.DataFrame | np.ndarray,
    n_components: int | None = None,
    n_permutations: int = 0,
    session_labels: Sequence | np.ndarray | None = None,
    seed: int | None = None,
    scale: bool = True,
    *,
    within: Sequence | np.ndarray | None = None,
) -> CCAResult:
    """Canonical correlation analysis with a permutation test.

    Parameters
    ----------
    X, Y : DataFrame or ndarray, shape (n, p) and (n, q)
        Features of the same recordings, row by row; rows with a missing value in either are
        left out of both.
    n_components : int, optional
        All by default.
    n_permutations : int
        0 for no test.
    session_labels : sequence, shape (n,), optional
        Unit that is moved as a whole, among units with as many rows; each row by itself by
        default, which is wrong when a session has several recordings.
    seed : int, optional
        Of the permutations; 0 by default.
    scale : bool
        Divide the features by their standard deviation; they are centered in any case.
    within : sequence, shape (n,), optional
        Unit that a session does not leave, normally its subject: what the sessions of an
        animal share in both views is then no evidence. One value per session.

    Returns
    -------
    CCAResult

    Raises
    ------
    MalformedFileError
        Numbers of rows differ, or fewer than 3 rows are complete.

    Notes
    -----
    Orthonormal bases of both views once; the canonical correlations are the singular values
    of their product (Björck & Golub 1973, Math. Comp. 27, 579–594). A permutation reorders
    the rows of one basis, so that all permutations are one matrix product and one stack of
    small singular value problems. A constant or dependent feature lowers the rank and gets
    the smallest weights that do. Components after the first are tested on the variates that
    the earlier ones leave, with p that do not decrease (Winkler, Renaud, Smith & Nichols
    2020, NeuroImage 220, 117065); with fewer recordings than features the correlation is 1
    whatever the data, and p is 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.standard_normal(60)
    >>> X = np.column_stack([shared, rng.standard_normal(60)])
    >>> Y = np.column_stack([shared + rng.standard_normal(60), rng.standard_normal(60)])
    >>> result = fit_cca(X, Y, n_components=1, n_permutations=999, seed=0)
    >>> result.p_value
    0.001
    """
    views = standardize_views(X, Y, session_labels, scale=scale, within=within)
    basis_x, weights_x = _basis(views.x.to_numpy())
    basis_y, weights_y = _basis(views.y.to_numpy())
    left, values, right = np.linalg.svd(basis_x.T @ basis_y)
    available = len(values)
    n_components = available if n_components is None else min(n_components, available)
    if n_components == 0:
        raise MalformedFileError("a view has no feature that varies; CCA needs one at least")
    seed = DEFAULT_SEED if seed is None else seed

    # scores of variance 1 (n − 1 in the denominator)
    to_unit_variance = np.sqrt(len(views.x) - 1)
    x_weights = weights_x @ left[:, :n_components] * to_unit_variance
    y_weights = weights_y @ right[:n_components].T * to_unit_variance
    p_values = null = None
    if n_permutations:
        orders = session_permutations(views.sessions, n_permutations, seed, views.within)
        null = null_correlations(basis_x @ left, basis_y @ right.T, orders, n_components)
        p_values = permutation_p(values[:n_components], null)
        null = null[:, 0]
    return result_of(
        views,
        x_weights,
        y_weights,
        correlations=np.minimum(values[:n_components], 1.0),
        n_permutations=n_permutations,
        seed=seed,
        p_values=p_values,
        null_correlations=null,
    )


def null_correlations(
    left: np.ndarray, right: np.ndarray, orders: np.ndarray, n_components: int = 1
) -> np.ndarray:
    """Largest canonical correlation of each permutation and each remaining subspace.

    Parameters
    ----------
    left, right : ndarray, shape (n, k) and (n, m)
        Orthonormal canonical variates of the observed data.
    orders : ndarray of int, shape (n_permutations, n)
        See `session_permutations`.
    n_components : int

    Returns
    -------
    ndarray, shape (n_permutations, n_components)
        Component `c` uses the variates from `c` on.
    """
    n, m = right.shape
    null = np.empty((len(orders), n_components))
    step = max(1, CHUNK_VALUES // max(n * m, 1))
    for start in range(0, len(orders), step):
        chunk = orders[start : start + step]
        product = left.T @ np.take(right, chunk, axis=0)
        for component in range(n_components):
            rest = product[:, component:, component:]
            largest = np.linalg.svd(rest, compute_uv=False)[:, 0]
            null[start : start + step, component] = np.minimum(largest, 1.0)
    return null


def permutation_p(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """(1 + number of permutations that reach the observed value) / (1 + n), cumulated.

    Parameters
    ----------
    observed : ndarray, shape (n_components,)
    null : ndarray, shape (n_permutations, n_components)

    Returns
    -------
    ndarray, shape (n_components,)
        Not decreasing: a component is no more certain than the one before it.

    Notes
    -----
    With the observed order counted, p is never 0 (Phipson & Smyth 2010, Stat. Appl. Genet.
    Mol. Biol. 9, 39).

    Examples
    --------
    >>> permutation_p(np.array([0.9]), np.array([[0.1], [0.2], [0.95]]))
    array([0.5])
    """
    reached = (null >= observed - TIE_TOLERANCE).sum(axis=0)
    return np.maximum.accumulate((1 + reached) / (1 + len(null)))


def standardize_views(
    X: pd.DataFrame | np.ndarray,
    Y: pd.DataFrame | np.ndarray,
    session_labels: Sequence | np.ndarray | None = None,
    *,
    scale: bool = True,
    within: Sequence | np.ndarray | None = None,
) -> Views:
    """Complete rows of both views, centered and of standard deviation 1 (n − 1).

    Raises
    ------
    MalformedFileError
        Numbers of rows differ, or fewer than 3 rows are complete.
    """
    x, y = _frame(X, "x"), _frame(Y, "y")
    labels = np.arange(len(x)) if session_labels is None else np.asarray(session_labels)
    if not len(x) == len(y) == len(labels):
        raise MalformedFileError(
            f"X has {len(x)} rows, Y {len(y)} and the session labels {len(labels)}; "
            "they must be the same recordings"
        )
    complete = np.isfinite(x.to_numpy()).all(axis=1) & np.isfinite(y.to_numpy()).all(axis=1)
    if complete.sum() < MIN_ROWS:
        raise MalformedFileError(
            f"{complete.sum()} of {len(x)} recordings are complete; CCA needs {MIN_ROWS}"
        )
    x, y = x[complete], y[complete]
    means = x.mean(), y.mean()
    scales, varies = [], []
    for frame in (x, y):
        sd = frame.std()
        negligible = (sd <= RANK_TOLERANCE * frame.abs().max()) | (sd == 0)
        varies.append(~negligible.to_numpy())
        scales.append(sd.mask(negligible, 1.0) if scale else sd * 0.0 + 1.0)
    return Views(
        (x - means[0]) / scales[0],
        (y - means[1]) / scales[1],
        means[0],
        scales[0],
        means[1],
        scales[1],
        labels[complete],
        None if within is None else np.asarray(within)[complete],
        *varies,
    )


def result_of(views: Views, x_weights: np.ndarray, y_weights: np.ndarray, **fields) -> CCAResult:
    """Result from standardized views and weights; other fields as in `CCAResult`."""
    components = component_names(x_weights.shape[1])
    wx = pd.DataFrame(x_weights, index=views.x.columns, columns=components)
    wy = pd.DataFrame(y_weights, index=views.y.columns, columns=components)
    x_scores, y_scores = views.x @ wx, views.y @ wy
    return CCAResult(
        x_weights=wx[views.x_varies],
        y_weights=wy[views.y_varies],
        x_scores=x_scores,
        y_scores=y_scores,
        x_loadings=_correlate(views.x, x_scores),
        y_loadings=_correlate(views.y, y_scores),
        x_mean=views.x_mean,
        x_scale=views.x_scale,
        y_mean=views.y_mean,
        y_scale=views.y_scale,
        n_recordings=len(views.x),
        n_sessions=len(np.unique(views.sessions.astype(str))),
        n_movable_sessions=count_movable_sessions(views.sessions, views.within),
        **fields,
    )


def _frame(values: pd.DataFrame | np.ndarray, prefix: str) -> pd.DataFrame:
    if isinstance(values, pd.DataFrame):
        return values.astype(float)
    values = np.asarray(values, dtype=float)
    return pd.DataFrame(values, columns=[f"{prefix}{i}" for i in range(values.shape[1])])


def _basis(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal basis of the columns, and the weights that make it from them."""
    left, values, right = np.linalg.svd(z, full_matrices=False)
    kept = values > RANK_TOLERANCE * max(values[0], 1e-300) if values.size else values > 0
    return left[:, kept], right[kept].T / values[kept]


def _correlate(features: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    def unit(frame: pd.DataFrame) -> np.ndarray:
        values = frame.to_numpy() - frame.to_numpy().mean(axis=0)
        length = np.sqrt((values**2).sum(axis=0))
        return values / np.where(length > 0, length, np.nan)

    correlation = unit(features).T @ unit(scores)
    return pd.DataFrame(correlation, index=features.columns, columns=scores.columns)
