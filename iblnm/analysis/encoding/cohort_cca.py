"""Canonical correlation of encoding and behavior, target by target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.encoding.cca_compare import align_cca_signs, bootstrap_correlation
from iblnm.analysis.stats.cca import CCAResult, fit_cca
from iblnm.analysis.stats.corrections import correct_p
from iblnm.analysis.stats.sparse_cca import (
    NO_PENALTY,
    PENALTIES,
    fit_penalized_cca,
    held_out_correlation,
)

METHOD_VERSION = 2
MIN_RECORDINGS = 10
MIN_RECORDINGS_PER_FEATURE = 3
MIN_SUBJECTS = 6
N_PERMUTATIONS = 1000
SEED = 42
CORRECTION = "holm"
RESULT_COLUMNS = (
    "target_NM",
    "correlation",
    "ci_low",
    "ci_high",
    "correlation_held_out",
    "p",
    "p_corrected",
    "correction",
    "p_within_subject",
    "p_within_subject_corrected",
    "null_median",
    "null_q95",
    "n_recordings",
    "n_sessions",
    "n_movable_sessions",
    "n_subjects",
    "n_permutations",
    "seed",
    "penalty",
    "l1_ratio",
    "note",
)


@dataclass(frozen=True)
class CohortCCA:
    """Results of every target, with common signs.

    Parameters
    ----------
    results : dict of str to CCAResult
        Targets that were fitted.
    data : dict of str to (DataFrame, DataFrame)
        Encoding and behavior of the complete recordings of each target.
    notes : dict of str to str
        Why a target was not fitted, or what to mind.
    n_complete : dict of str to int
        Complete recordings of every target.
    p_within_subject : dict of str to float
        p of permutations that leave every session to its animal; without subjects empty.
    """

    results: dict[str, CCAResult]
    data: dict[str, tuple[pd.DataFrame, pd.DataFrame]]
    notes: dict[str, str] = field(default_factory=dict)
    n_complete: dict[str, int] = field(default_factory=dict)
    p_within_subject: dict[str, float] = field(default_factory=dict)


def fit_cohort_ccas(
    encoding: pd.DataFrame,
    behavior: pd.DataFrame,
    *,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = SEED,
    min_recordings: int = MIN_RECORDINGS,
    sparse: bool = False,
    alpha: float | tuple[float, ...] = PENALTIES,
    l1_ratio: float = 0.0,
    unit_norm: bool = True,
    subjects: pd.Series | Mapping[str, str] | None = None,
) -> CohortCCA:
    """First canonical pair of encoding and behavior for each target.

    Parameters
    ----------
    encoding, behavior : DataFrame
        Features by recording, index (eid, target_NM, fiber_idx); those in both and complete
        are used.
    n_permutations, seed, alpha, l1_ratio, unit_norm
        See `fit_cca` and `fit_penalized_cca`.
    min_recordings : int
        Complete recordings that a target needs.
    sparse : bool
        The elastic-net variant.
    subjects : Series or mapping, optional
        Subject of each eid: subjects are held out as a whole when the penalty is chosen,
        by default sessions are; and a second p permutes within them.

    Returns
    -------
    CohortCCA
    """
    common = encoding.index.intersection(behavior.index).sort_values()
    x, y = encoding.loc[common].astype(float), behavior.loc[common].astype(float)
    complete = x.notna().all(axis=1).to_numpy() & y.notna().all(axis=1).to_numpy()
    x, y = x[complete], y[complete]
    targets = sorted(encoding.index.get_level_values("target_NM").dropna().unique())
    results, data, notes, n_complete, p_within_subject = {}, {}, {}, {}, {}
    for target in targets:
        chosen = x.index.get_level_values("target_NM") == target
        tx, ty = x[chosen], y[chosen]
        n_complete[target] = len(tx)
        if len(tx) < min_recordings:
            notes[target] = f"{len(tx)} complete recordings; {min_recordings} are needed"
            continue
        if not ((tx.std() > 0).any() and (ty.std() > 0).any()):
            notes[target] = "no feature of one view varies"
            continue
        eids = tx.index.get_level_values("eid").to_numpy()
        units = eids if subjects is None else pd.Series(eids).map(subjects).to_numpy()
        if sparse and np.ndim(alpha) and len(alpha) > 1 and len(pd.unique(units)) < 2:
            notes[target] = "1 subject; choosing a penalty needs 2"
            continue
        fit = partial(fit_cca, n_components=1)
        if sparse:
            fit = partial(
                fit_penalized_cca,
                alpha=alpha,
                l1_ratio=l1_ratio,
                unit_norm=unit_norm,
                fold_labels=units,
            )
        given = {"n_permutations": n_permutations, "session_labels": eids, "seed": seed}
        results[target] = fit(tx, ty, **given)
        if subjects is not None and n_permutations:
            p_within_subject[target] = fit(tx, ty, within=units, **given).p_value
        data[target] = (tx, ty)
        n_features = tx.shape[1] + ty.shape[1]
        if not sparse and len(tx) <= n_features:
            notes[target] = (
                f"{len(tx)} recordings for {n_features} features: the correlation is 1 whatever "
                "the data"
            )
    return CohortCCA(align_cca_signs(results), data, notes, n_complete, p_within_subject)


def cohort_cca_table(
    cohort: CohortCCA,
    subjects: pd.Series | Mapping[str, str],
    *,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    correction: str = CORRECTION,
) -> pd.DataFrame:
    """One row per target: correlation, interval, p raw and corrected over the targets.

    Parameters
    ----------
    cohort : CohortCCA
    subjects : Series or mapping
        Subject of each eid.
    n_bootstrap : int
        Draws of subjects for the interval; 0 for none. The elastic-net variant has none.
    confidence : float
    correction : str
        Method of ``statsmodels.stats.multitest.multipletests``.

    Returns
    -------
    DataFrame
        Columns `RESULT_COLUMNS`; a target that was not fitted has a note and no numbers, one
        that `too_few_for_inference` has no p and no interval, its correlation only describes.
    """
    rows: list[dict[str, Any]] = []
    for target, n_complete in cohort.n_complete.items():
        row: dict[str, Any] = {"target_NM": target, "n_recordings": n_complete}
        row["note"] = cohort.notes.get(target)
        result = cohort.results.get(target)
        if result is not None:
            x, y = cohort.data[target]
            units = pd.Series(x.index.get_level_values("eid")).map(subjects).to_numpy()
            low = high = np.nan
            if n_bootstrap and result.alpha is None:
                low, high = bootstrap_correlation(
                    x, y, units, n_draws=n_bootstrap, confidence=confidence, seed=result.seed
                )
            few = too_few_for_inference(x, y, units)
            if few:
                low = high = np.nan
                row["note"] = "; ".join(filter(None, (row["note"], few)))
            null = result.null_correlations
            row |= {
                "correlation": result.correlation,
                "ci_low": low,
                "ci_high": high,
                "correlation_held_out": held_out_correlation(
                    x,
                    y,
                    units,
                    alpha=NO_PENALTY if result.alpha is None else result.alpha,
                    l1_ratio=result.l1_ratio or 0.0,
                    seed=result.seed,
                ),
                "p": np.nan if few else result.p_value,
                "p_within_subject": (
                    np.nan if few else cohort.p_within_subject.get(target, np.nan)
                ),
                "null_median": np.nan if null is None else float(np.median(null)),
                "null_q95": np.nan if null is None else float(np.quantile(null, 0.95)),
                "n_sessions": result.n_sessions,
                "n_movable_sessions": result.n_movable_sessions,
                "n_subjects": len(pd.unique(units)),
                "n_permutations": result.n_permutations,
                "seed": result.seed,
                "penalty": result.alpha,
                "l1_ratio": result.l1_ratio,
            }
        rows.append(row)
    return correct_both(pd.DataFrame(rows, columns=list(RESULT_COLUMNS)), correction=correction)


def too_few_for_inference(x: pd.DataFrame, y: pd.DataFrame, units: np.ndarray) -> str:
    """Why a canonical correlation is descriptive only, or nothing.

    Parameters
    ----------
    x, y : DataFrame
        Features of the recordings of a target.
    units : ndarray
        Their animals.

    Returns
    -------
    str
        With fewer than three recordings per feature of both views, or fewer than six animals,
        the first correlation is near 1 and few permutations differ.
    """
    needed = MIN_RECORDINGS_PER_FEATURE * (x.shape[1] + y.shape[1])
    n_subjects = len(pd.unique(units))
    short = []
    if len(x) < needed:
        short.append(f"{len(x)} recordings, {needed} are needed")
    if n_subjects < MIN_SUBJECTS:
        short.append(f"{n_subjects} animals, {MIN_SUBJECTS} are needed")
    return f"descriptive only: {'; '.join(short)}" if short else ""


def correct_both(
    table: pd.DataFrame, family: Sequence[str] = (), correction: str = CORRECTION
) -> pd.DataFrame:
    """Correct both p of a table of results, each over the rows of a family."""
    within = correct_p(table, "p_within_subject", family, correction)["p_corrected"]
    return correct_p(table, "p", family, correction).assign(p_within_subject_corrected=within)


def cohort_cca_weights(results: Mapping[str, CCAResult]) -> pd.DataFrame:
    """Weights and loadings: ``target_NM``, ``view``, ``feature``, ``weight``, ``loading``."""
    parts = [
        pd.DataFrame(
            {
                "target_NM": target,
                "view": name,
                "feature": weights.index,
                "weight": weights["CC1"].to_numpy(),
                "loading": loadings["CC1"].to_numpy(),
            }
        )
        for target, result in results.items()
        for name, weights, loadings in (
            ("encoding", result.all_weights("x"), result.x_loadings),
            ("behavior", result.all_weights("y"), result.y_loadings),
        )
    ]
    columns = ["target_NM", "view", "feature", "weight", "loading"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def cohort_cca_scores(results: Mapping[str, CCAResult]) -> pd.DataFrame:
    """Scores of recordings: eid, target_NM, fiber_idx, encoding_score, behaviour_score."""
    parts = [
        pd.DataFrame(
            {"encoding_score": result.x_scores[:, 0], "behaviour_score": result.y_scores[:, 0]},
            index=result.index,
        )
        for result in results.values()
    ]
    if parts:
        return pd.concat(parts).reset_index()
    columns = ["eid", "target_NM", "fiber_idx", "encoding_score", "behaviour_score"]
    return pd.DataFrame(columns=columns)
