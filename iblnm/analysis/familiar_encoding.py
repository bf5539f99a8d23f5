"""Components and canonical variates under the names of labs' scripts; see `familiar`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.errors import DataError, MissingColumnError
from iblnm.task.contrasts import require_columns

if TYPE_CHECKING:
    from iblnm.analysis.encoding.decomposition import GLMPCAResult
    from iblnm.analysis.stats.cca import CCAResult

ALPHA = 0.01
NOTHING_LEFT = 1e-8
BEHAVIOR = tuple(f"psych_50_{name}" for name in ("threshold", "bias", "lapse_left", "lapse_right"))


def pca_score_stats(result: GLMPCAResult, correction: str = "holm") -> pd.DataFrame:
    """Do the targets differ in their scores?

    Parameters
    ----------
    result : GLMPCAResult
        With targets. The means of its subjects are compared; without subjects the recordings
        are, with a warning.
    correction : str
        See `iblnm.analysis.encoding.decomposition.component_tests`, which this is over.

    Returns
    -------
    DataFrame
        ``pc`` (1, 2, ...), ``kruskal_h``, ``kruskal_p``, ``target_a``, ``target_b``,
        ``mwu_u``, ``mwu_p`` (corrected). The test of all targets has no ``target_a`` and
        ``target_b``; those of two have no ``kruskal_h`` and ``kruskal_p``. Behind them
        ``n_a``, ``n_b``, ``df``, ``effect_size``, ``p``, ``p_corrected``, ``correction``.
    """
    import warnings

    from iblnm.analysis.encoding.decomposition import component_tests

    if result.subjects is None:
        warnings.warn(
            "the components have no subjects: recordings are compared as if independent",
            stacklevel=2,
        )
        each = pd.Series(np.arange(len(result.index)).astype(str), index=result.index)
        result = replace(result, subjects=each)
    tests = component_tests(result, correction)
    overall = tests["test"] == "kruskal_wallis"
    names = result.score_table.columns
    known = pd.DataFrame(
        {
            "pc": tests["component"].map({name: i + 1 for i, name in enumerate(names)}),
            "kruskal_h": tests["statistic"].where(overall),
            "kruskal_p": tests["p"].where(overall),
            "target_a": tests["group_a"],
            "target_b": tests["group_b"],
            "mwu_u": tests["statistic"].where(~overall),
            "mwu_p": tests["p_corrected"].where(~overall),
        }
    )
    more = ["n_a", "n_b", "df", "effect_size", "p", "p_corrected", "correction"]
    return pd.concat([known, tests[more]], axis=1)


def pca_subject_score_stats(
    result: GLMPCAResult, recordings: pd.DataFrame, correction: str = "holm"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of each subject and target, and whether the targets differ in them.

    Parameters
    ----------
    result : GLMPCAResult
        Its index has ``eid``.
    recordings : DataFrame
        ``eid`` and ``subject``; ``target_NM`` and ``fiber_idx`` are not needed.
    correction : str
        As of `pca_score_stats`.

    Returns
    -------
    means : DataFrame
        ``subject``, ``target_NM``, ``pc``, ``mean``, ``sem`` (over recordings; NaN of one),
        ``n_recordings``.
    statistics : DataFrame
        As of `pca_score_stats`.

    Raises
    ------
    DataError
        If a recording of the result has no subject.
    """
    owner = recordings.drop_duplicates("eid").set_index("eid")["subject"]
    subjects = pd.Series(
        pd.Series(result.index.get_level_values("eid")).map(owner).to_numpy(), index=result.index
    )
    if subjects.isna().any():
        raise DataError(f"recording {subjects.index[subjects.isna()][0]} has no subject")
    own = replace(result, subjects=subjects)
    table = pd.DataFrame(result.scores, columns=np.arange(1, result.scores.shape[1] + 1))
    table = table.assign(subject=subjects.to_numpy(), target_NM=result.target_labels)
    long = table.melt(["subject", "target_NM"], var_name="pc", value_name="score")
    means = (
        long.groupby(["subject", "target_NM", "pc"])["score"]
        .agg(["mean", "sem", "size"])
        .rename(columns={"size": "n_recordings"})
        .reset_index()
        .astype({"pc": int})
    )
    return means, pca_score_stats(own, correction)


def fit_sparse_cca(
    X: pd.DataFrame | np.ndarray,
    Y: pd.DataFrame | np.ndarray,
    n_components: int | None = None,
    n_permutations: int = 0,
    session_labels: Sequence | np.ndarray | None = None,
    seed: int | None = None,
    scale: bool = True,
    alpha: float | Sequence[float] = ALPHA,
    l1_ratio: float = 0.0,
    unit_norm: bool = True,
    **options: Any,
) -> CCAResult:
    """Canonical variates under an elastic-net penalty, with a permutation test.

    Parameters
    ----------
    X, Y, n_permutations, session_labels, seed, scale, alpha, l1_ratio, unit_norm, **options
        See `iblnm.analysis.fit_penalized_cca`, which gives the first pair of variates.
    n_components : int, optional
        As many as the view with fewer features has, by default. The second and later ones are
        fitted to what the scores of the earlier ones leave of both views; their weights are
        those of the features themselves, and their p do not decrease.

    Returns
    -------
    CCAResult
    """
    from iblnm.analysis.stats.cca import result_of, standardize_views
    from iblnm.analysis.stats.sparse_cca import fit_penalized_cca

    given = {
        "n_permutations": n_permutations,
        "seed": seed,
        "alpha": alpha,
        "l1_ratio": l1_ratio,
        "unit_norm": unit_norm,
        **options,
    }
    first = fit_penalized_cca(X, Y, session_labels=session_labels, scale=scale, **given)
    most = min(len(first.x_weights), len(first.y_weights))
    wanted = most if n_components is None else min(n_components, most)
    if wanted < 2:
        return first
    views = standardize_views(pd.DataFrame(X), pd.DataFrame(Y), session_labels, scale=scale)
    both = [_Deflated(views.x.to_numpy(), unit_norm), _Deflated(views.y.to_numpy(), unit_norm)]
    found = [first]
    for view, name in zip(both, "xy", strict=True):
        view.take(first.all_weights(name)["CC1"].to_numpy())
    while len(found) < wanted and all(view.varies for view in both):
        left = [pd.DataFrame(view.left) for view in both]
        following = fit_penalized_cca(*left, session_labels=views.sessions, **given)
        for view, name in zip(both, "xy", strict=True):
            scales = getattr(following, f"{name}_scale").to_numpy()
            view.take(following.all_weights(name)["CC1"].to_numpy() / scales)
        found.append(following)
    p = None if first.p_values is None else np.concatenate([one.p_values for one in found])
    return result_of(
        views,
        *(np.column_stack(view.weights) for view in both),
        correlations=np.concatenate([one.correlations for one in found]),
        p_values=None if p is None else np.maximum.accumulate(p),
        n_permutations=n_permutations,
        alpha=first.alpha,
        l1_ratio=first.l1_ratio,
        seed=first.seed,
        null_correlations=first.null_correlations,
        penalties=first.penalties,
    )


class _Deflated:
    """A view from which scores are taken one after the other.

    ``left`` is what they leave of it, always ``view @ transform``, so that weights of ``left``
    have weights of the view that give the same scores.
    """

    def __init__(self, view: np.ndarray, unit_norm: bool):
        self.view, self.left, self.unit_norm = view, view, unit_norm
        self.transform = np.eye(view.shape[1])
        self.weights: list[np.ndarray] = []

    @property
    def varies(self) -> bool:
        return bool((self.left.std(axis=0) > 0).any())

    def take(self, weights: np.ndarray) -> None:
        own = self.transform @ weights
        scores = self.view @ own
        size = np.linalg.norm(own) if self.unit_norm else scores.std(ddof=1)
        own, scores = (own / size, scores / size) if size > 0 else (own, scores)
        self.weights.append(own)
        if scores @ scores > 0:
            self.transform = self.transform - np.outer(
                own, (scores @ self.left) / (scores @ scores)
            )
            left = self.view @ self.transform
            self.left = np.where(
                left.std(axis=0) > NOTHING_LEFT * self.view.std(axis=0), left, 0.0
            )


def compare_cca_weights(a: CCAResult, b: CCAResult) -> dict[str, float]:
    """Cosine between the first weights of two results.

    Parameters
    ----------
    a, b : CCAResult
        After `iblnm.analysis.align_cca_signs`, if signs are to mean something.

    Returns
    -------
    dict
        ``neural_cosine`` (of the first view) and ``behavioral_cosine``; see
        `iblnm.analysis.encoding.cca_compare.weight_cosines`.
    """
    from iblnm.analysis.encoding.cca_compare import weight_cosines

    cosines = weight_cosines(a, b)
    return {"neural_cosine": cosines["x"], "behavioral_cosine": cosines["y"]}


def long_projections(table: pd.DataFrame) -> pd.DataFrame:
    """A square table of projections as data_cohort, weight_cohort, correlation.

    Every two cohorts, in both directions.
    """
    rows = [(a, b, table.loc[a, b]) for a, b in permutations(table, 2)]
    return pd.DataFrame(rows, columns=["data_cohort", "weight_cohort", "correlation"])


def long_similarities(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Square tables of cosines as cohort_a, cohort_b, neural_cosine, behavioral_cosine.

    Every two cohorts once.
    """
    pairs = combinations(tables["x"], 2)
    rows = [(a, b, tables["x"].loc[a, b], tables["y"].loc[a, b]) for a, b in pairs]
    columns = ["cohort_a", "cohort_b", "neural_cosine", "behavioral_cosine"]
    return pd.DataFrame(rows, columns=columns)


def behavior_features(
    index: pd.Index,
    recordings: pd.DataFrame,
    performance: pd.DataFrame,
    params: Sequence[str] = BEHAVIOR,
) -> pd.DataFrame:
    """Columns of the table of performance for each recording, sides relative to its fiber.

    Parameters
    ----------
    index : MultiIndex
        Recordings wanted; ``eid`` and any levels that are columns of `recordings`.
    recordings : DataFrame
        ``eid``, ``hemisphere`` ('l', 'r', or null or '' if unknown).
    performance : DataFrame
        ``eid`` and the columns `params`.
    params : sequence of str

    Returns
    -------
    DataFrame
        Index as given. A column keeps its name and value, but a ``..._bias`` of a psychometric
        curve is positive towards the side contralateral to the fiber, and
        ``..._lapse_contra``, ``..._lapse_ipsi`` stand for ``..._lapse_left``,
        ``..._lapse_right``; these are NaN where the hemisphere is not known, or differs
        between recordings that the index does not tell apart.

    Raises
    ------
    MissingColumnError
        If the index has no ``eid``, or the table lacks a column.

    Notes
    -----
    The convention is that of
    `iblnm.analysis.encoding.psychometric_features.psychometric_features`.
    """
    if "eid" not in index.names:
        raise MissingColumnError(f"the features have no level eid; they have {list(index.names)}")
    of = {name: _sources(name) for name in params}
    require_columns(performance, ("eid", *dict.fromkeys(chain.from_iterable(of.values()))))
    keys = [name for name in index.names if name in recordings]
    one_side = recordings.groupby(keys)["hemisphere"].agg(
        lambda sides: sides.iloc[0] if len(set(sides)) == 1 else None
    )
    rows = index.to_frame(index=False)
    wanted = pd.MultiIndex.from_frame(rows[keys]) if len(keys) > 1 else pd.Index(rows[keys[0]])
    side = one_side.reindex(wanted).to_numpy(dtype=object)
    on_left, on_right = side == "l", side == "r"
    fits = performance.drop_duplicates("eid").set_index("eid").reindex(rows["eid"])
    features = {}
    for name, sources in of.items():
        values = [fits[source].to_numpy() for source in sources]
        if len(sources) == 1 and not _is_bias(name):
            features[name] = values[0]
            continue
        left, right = [np.asarray(v, dtype=float) for v in (values * 2)[:2]]
        if _is_bias(name):
            features[name] = np.where(on_left, left, np.where(on_right, -left, np.nan))
            continue
        stem = name.rsplit("_", 1)[0]
        contra, ipsi = (right, left), (left, right)
        at_left, at_right = contra if name.endswith(("_left", "_contra")) else ipsi
        named = f"{stem}_contra" if name.endswith(("_left", "_contra")) else f"{stem}_ipsi"
        features[named] = np.where(on_left, at_left, np.where(on_right, at_right, np.nan))
    return pd.DataFrame(features, index=index)


def _is_bias(name: str) -> bool:
    return name.startswith("psych_") and name.endswith("_bias")


def _sources(name: str) -> tuple[str, ...]:
    """Columns that a parameter is made from."""
    stem, _, side = name.rpartition("_")
    if name.startswith("psych_") and side in ("left", "right", "contra", "ipsi"):
        return f"{stem}_left", f"{stem}_right"
    return (name,)
