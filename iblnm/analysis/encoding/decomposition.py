"""Principal and independent components of the coefficients of encoding models."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from iblnm.errors import DataError

INTERCEPTS = ("intercept", "Intercept", "const", "1")
N_COMPONENTS = 3
ICA_TOLERANCE = 1e-8
ICA_MAX_STEPS = 2000
ICA_N_STARTS = 5
CORRECTION = "holm"
TARGET, SUBJECT = "target_NM", "subject"
STAT_COLUMNS = (
    "component",
    "test",
    "group_a",
    "group_b",
    "n_a",
    "n_b",
    "df",
    "statistic",
    "effect_size",
    "p",
    "p_corrected",
    "correction",
    "note",
)


@dataclass(frozen=True)
class GLMPCAResult:
    """Components of the coefficients of encoding models.

    Parameters
    ----------
    score_table : DataFrame, shape (n_recordings, n_components)
        Standardized coefficients times the transpose of the weights; index as given.
    weight_table : DataFrame, shape (n_components, n_features)
        Weights: for PCA orthonormal loadings, for ICA the unmixing matrix.
    mixing : DataFrame, shape (n_features, n_components)
        ``score_table @ mixing.T`` is the part of the standardized coefficients that the
        components explain.
    variance_ratio : Series, shape (n_components,)
        Share of the (weighted) variance of the standardized coefficients; the shares add up
        to that of all components together, at most 1.
    mean, scale : Series, shape (n_features,)
        Of the standardization.
    targets, subjects : Series or None
        Target and subject of each recording.
    method : str
        'pca' or 'ica'.
    weights : Series
        Weight of each recording, summing to 1.
    converged : bool
        Whether ICA converged; True for PCA.
    """

    score_table: pd.DataFrame
    weight_table: pd.DataFrame
    mixing: pd.DataFrame
    variance_ratio: pd.Series
    mean: pd.Series
    scale: pd.Series
    targets: pd.Series | None
    subjects: pd.Series | None
    method: str
    weights: pd.Series
    converged: bool = True

    @property
    def scores(self) -> np.ndarray:
        """Values of `score_table`."""
        return self.score_table.to_numpy()

    @property
    def components(self) -> np.ndarray:
        """Values of `weight_table`."""
        return self.weight_table.to_numpy()

    @property
    def explained_variance_ratio(self) -> np.ndarray:
        """Values of `variance_ratio`."""
        return self.variance_ratio.to_numpy()

    @property
    def feature_names(self) -> list[str]:
        """Coefficients, in the order of the columns of `components`."""
        return [str(name) for name in self.weight_table.columns]

    @property
    def index(self) -> pd.Index:
        """Recordings, in the order of the rows of `scores`."""
        return self.score_table.index

    @property
    def target_labels(self) -> np.ndarray | None:
        """Target of each recording, None where it was not given."""
        return None if self.targets is None else self.targets.to_numpy()


def pca_glm_coefficients(
    coefs: pd.DataFrame,
    n_components: int = N_COMPONENTS,
    cohort_weighted: bool = False,
    *,
    targets: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
) -> GLMPCAResult:
    """Principal components of coefficients by singular value decomposition.

    Parameters
    ----------
    coefs : DataFrame, shape (n_recordings, n_coefficients)
        One row per recording; the intercept is left out, rows with NaN too. Columns are
        standardized (ddof 0).
    n_components : int
    cohort_weighted : bool
        Weight each recording by 1/(recordings of its target), in means, standard deviations
        and components, so that every target counts the same.
    targets, subjects : sequence of str, optional
        Of each row; by default the index levels ``target_NM`` and ``subject``.

    Returns
    -------
    GLMPCAResult
        Each component's largest loading is positive.

    Raises
    ------
    DataError
        If there are fewer recordings than two, a coefficient does not vary, more components
        are asked for than there are dimensions, or weights are asked for without targets.
    """
    z, data = _standardized(coefs, n_components, cohort_weighted, targets, subjects)
    loadings, variance = _principal_axes(z, data["weights"], n_components)
    loadings = loadings * _signs(loadings)
    return _result(z, data, loadings, loadings.T, variance, "pca")


def ica_glm_coefficients(
    coefs: pd.DataFrame,
    n_components: int = N_COMPONENTS,
    cohort_weighted: bool = False,
    *,
    targets: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
    seed: int = 0,
) -> GLMPCAResult:
    """Independent components of coefficients: scores X·Wᵀ, W the unmixing matrix.

    Parameters
    ----------
    coefs, n_components, cohort_weighted, targets, subjects
        As of `pca_glm_coefficients`.
    seed : int
        Of the starts.

    Returns
    -------
    GLMPCAResult
        Components in descending order of explained variance; the largest entry of each
        column of the mixing matrix is positive; scores have (weighted) mean 0 and variance 1.

    Raises
    ------
    DataError
        As `pca_glm_coefficients`.

    Notes
    -----
    FastICA with symmetric decorrelation and the log cosh contrast (Hyvärinen 1999, IEEE
    Trans. Neural Netw. 10, 626–634) after whitening by the principal components: that of
    ``sklearn.decomposition.FastICA``, which has no weights. Of several random starts the one
    with the largest contrast is kept. The variance explained by component i is the sum of
    squares of column i of the mixing matrix; as sources have variance 1 and are uncorrelated
    these add up to the variance of the principal subspace.
    """
    z, data = _standardized(coefs, n_components, cohort_weighted, targets, subjects)
    weights = data["weights"]
    loadings, variance = _principal_axes(z, weights, n_components)
    spread = np.sqrt(variance)
    whitened = z @ loadings.T / spread
    rotation, converged = _fast_ica(whitened, weights, np.random.default_rng(seed))
    mixing = loadings.T * spread @ rotation.T
    explained = (mixing**2).sum(axis=0)
    order = np.argsort(-explained, kind="stable")
    signs = _signs(mixing.T[order])
    unmixing = (rotation @ (loadings / spread[:, None]))[order] * signs
    return _result(
        z, data, unmixing, mixing[:, order] * signs.T, explained[order], "ica", converged
    )


def component_tests(res: GLMPCAResult, correction: str = CORRECTION) -> pd.DataFrame:
    """Do the targets differ in their scores? Tests on the means of subjects.

    Parameters
    ----------
    res : GLMPCAResult
        With targets and subjects.
    correction : str
        Method of ``statsmodels.stats.multitest.multipletests``.

    Returns
    -------
    DataFrame
        ``component``, ``test`` ('kruskal_wallis' over all targets, 'mann_whitney' of two),
        ``group_a``, ``group_b``, ``n_a``, ``n_b`` (subjects; of all groups in ``n_a`` for
        Kruskal–Wallis), ``df``, ``statistic``, ``effect_size`` (epsilon squared,
        rank-biserial correlation), ``p``, ``p_corrected``, ``correction``, ``note``. The
        families of the correction are the Kruskal–Wallis tests of all components, and the
        pairs of all components. Pairs that cannot reject are not tested, see
        `iblnm.analysis.stats.comparisons.mann_whitney_pairs`.

    Raises
    ------
    DataError
        If the result has no subjects or no targets: recordings of one animal are not
        independent.

    Notes
    -----
    An animal with fibers in two targets has a mean in each; the tests take those as
    independent.
    """
    from statsmodels.stats.multitest import multipletests

    from iblnm.analysis.stats.comparisons import kruskal_wallis, mann_whitney_pairs

    for name, values in ((TARGET, res.targets), (SUBJECT, res.subjects)):
        if values is None:
            raise DataError(f"the components have no {name}; give it to the decomposition")
    rows = []
    for component in res.score_table:
        table = pd.DataFrame(
            {
                TARGET: res.targets.to_numpy(),
                SUBJECT: res.subjects.to_numpy(),
                "score": res.score_table[component].to_numpy(),
            }
        )
        overall = kruskal_wallis(table, TARGET, "score", unit_col=SUBJECT)
        row = {name: overall[name] for name in ("df", "statistic", "effect_size", "p")}
        rows.append(row | {"component": component, "test": "kruskal_wallis", "n_a": overall["n"]})
        pairs = mann_whitney_pairs(overall["groups"], only_possible=True)
        for pair in pairs.to_dict("records"):
            rows.append(pair | {"component": component, "test": "mann_whitney"})
    stats = pd.DataFrame(rows, columns=list(STAT_COLUMNS))
    stats["p_corrected"], stats["correction"] = np.nan, correction
    for _, family in stats[stats["p"].notna()].groupby("test"):
        stats.loc[family.index, "p_corrected"] = multipletests(family["p"], method=correction)[1]
    return stats.astype({"note": object})


def _standardized(
    coefs: pd.DataFrame,
    n_components: int,
    cohort_weighted: bool,
    targets: Sequence[str] | None,
    subjects: Sequence[str] | None,
) -> tuple[np.ndarray, dict[str, Any]]:
    features = coefs.drop(columns=[name for name in coefs.columns if str(name) in INTERCEPTS])
    kept = features.notna().all(axis=1).to_numpy()
    unknown = _is_unknown(coefs, targets, TARGET) | _is_unknown(coefs, subjects, SUBJECT)
    if (kept & unknown).any():
        warnings.warn(
            f"{int((kept & unknown).sum())} of {int(kept.sum())} recordings have no {TARGET} or "
            f"no {SUBJECT} and are left out, the first is {coefs.index[kept & unknown][0]}",
            stacklevel=3,
        )
    kept &= ~unknown
    features = features[kept].astype(float)
    target = _of_rows(coefs, targets, TARGET, kept)
    subject = _of_rows(coefs, subjects, SUBJECT, kept)
    limit = min(len(features) - 1, features.shape[1])
    if limit < 1:
        raise DataError(
            f"{len(features)} recordings have all coefficients of the regression; components "
            "need at least 2"
        )
    if not 1 <= n_components <= limit:
        raise DataError(
            f"{n_components} components of {len(features)} recordings and {features.shape[1]} "
            f"coefficients; 1 to {limit} are possible"
        )
    weights = np.full(len(features), 1.0)
    if cohort_weighted:
        if target is None:
            raise DataError("weights by target need the target of each recording")
        weights = 1.0 / target.map(target.value_counts()).to_numpy(dtype=float)
    weights = weights / weights.sum()
    values = features.to_numpy()
    mean = weights @ values
    scale = np.sqrt(weights @ (values - mean) ** 2)
    if not (scale > np.finfo(float).eps * np.abs(values).max(axis=0)).all():
        name = features.columns[int(np.argmin(scale))]
        raise DataError(f"coefficient {name} does not vary over {len(features)} recordings")
    data = {
        "index": features.index,
        "columns": features.columns,
        "mean": pd.Series(mean, index=features.columns, name="mean"),
        "scale": pd.Series(scale, index=features.columns, name="scale"),
        "weights": weights,
        "targets": target,
        "subjects": subject,
    }
    return (values - mean) / scale, data


def _of_rows(
    coefs: pd.DataFrame, given: Sequence[str] | None, name: str, kept: np.ndarray
) -> pd.Series | None:
    if given is None:
        if name not in coefs.index.names:
            return None
        given = coefs.index.get_level_values(name)
    if len(given) != len(coefs):
        raise DataError(f"{len(given)} values of {name} for {len(coefs)} recordings")
    return pd.Series(np.asarray(given, dtype=object)[kept], index=coefs.index[kept], name=name)


def _is_unknown(coefs: pd.DataFrame, given: Sequence[str] | None, name: str) -> np.ndarray:
    if given is None:
        if name not in coefs.index.names:
            return np.zeros(len(coefs), dtype=bool)
        given = coefs.index.get_level_values(name)
    return pd.isna(np.asarray(given, dtype=object)) if len(given) == len(coefs) else np.False_


def _principal_axes(
    z: np.ndarray, weights: np.ndarray, n_components: int
) -> tuple[np.ndarray, np.ndarray]:
    """Loadings, one a row, and variances of the weighted principal components."""
    _, singular, loadings = np.linalg.svd(np.sqrt(weights)[:, None] * z, full_matrices=False)
    kept = singular[:n_components]
    if kept[-1] <= singular[0] * max(z.shape) * np.finfo(float).eps:
        rank = int((singular > singular[0] * max(z.shape) * np.finfo(float).eps).sum())
        raise DataError(f"{n_components} components of coefficients of rank {rank}")
    return loadings[:n_components], kept**2


def _signs(rows: np.ndarray) -> np.ndarray:
    """Sign of each row's largest entry, as a column."""
    largest = np.abs(rows).argmax(axis=1)
    return np.where(rows[np.arange(len(rows)), largest] < 0, -1.0, 1.0)[:, None]


def _result(
    z: np.ndarray,
    data: dict[str, Any],
    weights: np.ndarray,
    mixing: np.ndarray,
    variance: np.ndarray,
    method: str,
    converged: bool = True,
) -> GLMPCAResult:
    prefix = "PC" if method == "pca" else "IC"
    names = pd.Index([f"{prefix}{i + 1}" for i in range(len(weights))], name="component")
    total = float(data["weights"] @ (z**2).sum(axis=1))
    return GLMPCAResult(
        score_table=pd.DataFrame(z @ weights.T, index=data["index"], columns=names),
        weight_table=pd.DataFrame(weights, index=names, columns=data["columns"]),
        mixing=pd.DataFrame(mixing, index=data["columns"], columns=names),
        variance_ratio=pd.Series(variance / total, index=names, name="explained_variance_ratio"),
        mean=data["mean"],
        scale=data["scale"],
        targets=data["targets"],
        subjects=data["subjects"],
        method=method,
        weights=pd.Series(data["weights"], index=data["index"], name="weight"),
        converged=converged,
    )


def _fast_ica(
    white: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, bool]:
    """Rotation of whitened data (n, k) to independent sources, and whether it converged."""
    k = white.shape[1]
    best, best_contrast, best_converged = np.eye(k), -np.inf, False
    for _ in range(ICA_N_STARTS):
        rotation = _decorrelated(rng.normal(size=(k, k)))
        converged = False
        for _ in range(ICA_MAX_STEPS):
            slope = np.tanh(white @ rotation.T)
            curvature = weights @ (1 - slope**2)
            following = _decorrelated(
                (slope * weights[:, None]).T @ white - curvature[:, None] * rotation
            )
            change = np.abs(np.abs(np.einsum("ij,ij->i", following, rotation)) - 1).max()
            rotation = following
            if change < ICA_TOLERANCE:
                converged = True
                break
        contrast = _contrast(white @ rotation.T, weights)
        if (converged, contrast) > (best_converged, best_contrast):
            best, best_contrast, best_converged = rotation, contrast, converged
    return best, best_converged


def _decorrelated(matrix: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def _contrast(sources: np.ndarray, weights: np.ndarray) -> float:
    """Negentropy up to a factor: squared distance of E log cosh from that of a Gaussian."""
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(64)
    gaussian = node_weights @ np.log(np.cosh(nodes)) / node_weights.sum()
    return float(((weights @ np.log(np.cosh(sources)) - gaussian) ** 2).sum())
