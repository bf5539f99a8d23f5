"""Canonical variates of several cohorts: common signs, projections, similarity, intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from iblnm.analysis.stats.cca import DEFAULT_SEED, CCAResult, standardize_views
from iblnm.errors import MalformedFileError, MissingColumnError

CHUNK_DRAWS = 250


def align_cca_signs(
    results: Mapping[str, CCAResult], reference: str | None = None
) -> dict[str, CCAResult]:
    """Give the first variates of all cohorts the sign that agrees best with a reference.

    Parameters
    ----------
    results : mapping of str to CCAResult
        Results with the same features.
    reference : str, optional
        Cohort that the others are compared with; by default the one with most recordings,
        the first of them in alphabetical order. Its largest weight on the second view is
        made positive.

    Returns
    -------
    dict of str to CCAResult
        In the order given. The sign of a canonical pair is arbitrary; both views are flipped
        together, so that correlations stay positive.

    Raises
    ------
    MalformedFileError
        If the reference is not among the results, or features differ.
    """
    if not results:
        return {}
    if reference is None:
        reference = min(results, key=lambda name: (-results[name].n_recordings, name))
    if reference not in results:
        raise MalformedFileError(
            f"reference {reference!r} is not a cohort; known are {', '.join(results)}"
        )
    anchor = results[reference]
    first = anchor.y_weights["CC1"].to_numpy()
    if first[np.abs(first).argmax()] < 0:
        anchor = anchor.flipped()
    aligned = {}
    for name, result in results.items():
        similarity = weight_cosines(anchor, result)
        against = np.nansum([similarity["x"], similarity["y"]]) < 0
        aligned[name] = anchor if name == reference else result.flipped() if against else result
    return aligned


def weight_cosines(a: CCAResult, b: CCAResult) -> dict[str, float]:
    """Cosine between the weights of the first variates of two results.

    Parameters
    ----------
    a, b : CCAResult

    Returns
    -------
    dict
        ``x`` and ``y``, −1 to 1; NaN if a weight vector is 0. Their common sign means
        something after `align_cca_signs` only.

    Raises
    ------
    MalformedFileError
        If the features differ.
    """
    cosines = {}
    for view in ("x", "y"):
        first, second = (r.all_weights(view)["CC1"] for r in (a, b))
        if not first.index.equals(second.index):
            odd = sorted(set(first.index) ^ set(second.index)) or ["their order"]
            raise MalformedFileError(
                f"weights of view {view} have different features: {', '.join(map(str, odd))}"
            )
        cosines[view] = _cosine(first.to_numpy(), second.to_numpy())
    return cosines


def cross_project_cca(Xz: pd.DataFrame, Yz: pd.DataFrame, res: CCAResult) -> float:
    """Correlation of the scores that one cohort's weights give in another cohort.

    Parameters
    ----------
    Xz, Yz : DataFrame or ndarray
        Features of the other cohort, standardized within it, columns as the weights of `res`
        or as the features that it was fitted to.
    res : CCAResult
        Whose first weights are used.

    Returns
    -------
    float
        −1 to 1; NaN without variance. Unlike the canonical correlation of `res` it is not
        inflated by the fit.

    Raises
    ------
    MalformedFileError
        If the features are not those of the weights.
    """
    u, v = _scores_of(Xz, res, "x"), _scores_of(Yz, res, "y")
    return _cosine(u - u.mean(), v - v.mean())


def _scores_of(z: pd.DataFrame | np.ndarray, res: CCAResult, view: str) -> np.ndarray:
    weights = getattr(res, f"{view}_weights")["CC1"]
    if isinstance(z, pd.DataFrame) and set(weights.index) <= set(z):
        z = z[weights.index]
    values = np.asarray(z, dtype=float)
    if values.shape[1] != len(weights):
        weights = res.all_weights(view)["CC1"]
    if values.shape[1] != len(weights):
        raise MalformedFileError(
            f"{values.shape[1]} features of view {view} for {len(weights)} weights"
        )
    return values @ weights.to_numpy()


def project_recordings(
    features: pd.DataFrame, result: CCAResult, view: str = "x", component: int = 0
) -> pd.Series:
    """Scores of recordings on a fitted variate, the recordings of the fit or others.

    Parameters
    ----------
    features : DataFrame
        One row per recording, columns of the view; not standardized.
    result : CCAResult
        Its means and standard deviations are used.
    view : {'x', 'y'}
    component : int

    Returns
    -------
    Series
        Index of `features`; NaN for recordings with a missing value.

    Raises
    ------
    MalformedFileError
        If a feature is missing.
    """
    if view not in ("x", "y"):
        raise ValueError(f"view {view!r} is unknown; known are 'x' and 'y'")
    weights = getattr(result, f"{view}_weights").iloc[:, component]
    missing = [name for name in weights.index if name not in features]
    if missing:
        raise MissingColumnError(f"features lack {', '.join(map(str, missing))}")
    values = features[weights.index].astype(float) - getattr(result, f"{view}_mean")[weights.index]
    return (values / getattr(result, f"{view}_scale")[weights.index]).dot(weights).rename("score")


def pairwise_projections(
    results: Mapping[str, CCAResult], data: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]
) -> pd.DataFrame:
    """`cross_project_cca` of every cohort's data on every cohort's weights.

    Parameters
    ----------
    results : mapping of str to CCAResult
    data : mapping of str to (X, Y)
        Features as they were given to the fit.

    Returns
    -------
    DataFrame
        Rows the cohort of the data, columns the cohort of the weights.
    """
    views = {name: standardize_views(*data[name]) for name in results}
    return pd.DataFrame(
        {
            weights: {name: cross_project_cca(v.x, v.y, result) for name, v in views.items()}
            for weights, result in results.items()
        },
        index=pd.Index(list(results), name="data"),
    ).rename_axis(columns="weights")


def pairwise_weight_similarities(results: Mapping[str, CCAResult]) -> dict[str, pd.DataFrame]:
    """`weight_cosines` of every pair of cohorts; a square table for each view."""
    names = list(results)
    pairs = {(a, b): weight_cosines(results[a], results[b]) for a in names for b in names}
    return {
        view: pd.DataFrame(
            [[pairs[a, b][view] for b in names] for a in names], index=names, columns=names
        )
        for view in ("x", "y")
    }


def bootstrap_correlation(
    X: pd.DataFrame,
    Y: pd.DataFrame,
    groups: np.ndarray,
    *,
    n_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = DEFAULT_SEED,
) -> tuple[float, float]:
    """Interval of the first canonical correlation, animals drawn with replacement.

    Parameters
    ----------
    X, Y : DataFrame
        As given to `iblnm.analysis.fit_cca`.
    groups : array, shape (n,)
        Subject of each row.
    n_draws : int
    confidence : float
    seed : int

    Returns
    -------
    low, high : float
        Within 0 to 1; NaN with fewer than 3 subjects or no more recordings than features.

    Notes
    -----
    Every draw refits the weights, on the weighted covariances. Refitting inflates each
    drawn correlation once more than the observed one, so the interval is the basic one on
    Fisher's scale, 2·atanh(r) − quantiles (Davison & Hinkley 1997, Bootstrap Methods and
    their Application, section 5.2.1), which subtracts that inflation.
    """
    views = standardize_views(X, Y, groups)
    x, y = views.x.to_numpy(), views.y.to_numpy()
    code, units = pd.factorize(views.sessions)
    if len(units) < 3 or len(x) <= x.shape[1] + y.shape[1] + 1:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    draws = np.empty(n_draws)
    for start in range(0, n_draws, CHUNK_DRAWS):
        n = min(CHUNK_DRAWS, n_draws - start)
        drawn = rng.integers(len(units), size=(n, len(units)))
        times = np.zeros((n, len(units)))
        np.add.at(times, (np.arange(n)[:, None], drawn), 1.0)
        draws[start : start + n] = _weighted_correlation(x, y, times[:, code])
    observed = _weighted_correlation(x, y, np.ones((1, len(x))))
    limit = 1 - 1e-12
    z, spread = np.arctanh(np.clip(observed[0], 0, limit)), np.arctanh(np.clip(draws, 0, limit))
    tail = (1 - confidence) / 2
    low, high = np.tanh(2 * z - np.quantile(spread, [1 - tail, tail]))
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))


def _cosine(u: np.ndarray, v: np.ndarray) -> float:
    size = np.linalg.norm(u) * np.linalg.norm(v)
    return float(np.clip(u @ v / size, -1, 1)) if size > 0 else np.nan


def _weighted_correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    both = np.hstack([x, y])
    p = x.shape[1]
    total = weights.sum(axis=1)
    mean = (weights @ both) / total[:, None]
    products = (both[:, :, None] * both[:, None, :]).reshape(len(both), -1)
    second = (weights @ products).reshape(-1, both.shape[1], both.shape[1])
    covariance = second / total[:, None, None] - mean[:, :, None] * mean[:, None, :]
    root_x, root_y = _whitener(covariance[:, :p, :p]), _whitener(covariance[:, p:, p:])
    product = root_x @ covariance[:, :p, p:] @ root_y
    return np.clip(np.linalg.svd(product, compute_uv=False)[:, 0], 0, 1)


def _whitener(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-10 * values[:, -1:]
    inverse = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    return (vectors * inverse[:, None, :]) @ vectors.swapaxes(1, 2)
