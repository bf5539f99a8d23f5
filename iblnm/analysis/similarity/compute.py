"""Analysis: similarity of the response vectors within and between targets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iblnm.analysis.result import AnalysisResult, conformed, count_stages, count_units, no_result
from iblnm.analysis.similarity.cosine import (
    cosine_similarity_matrix,
    mean_similarity_by_target,
    similarity_contrasts,
    within_between_similarity,
)
from iblnm.analysis.similarity.tables import TABLES
from iblnm.analysis.vectors.matrix import from_table
from iblnm.config import Settings


def response_similarity(response_matrix: pd.DataFrame, settings: Settings) -> AnalysisResult:
    """Cosine similarity of the response vectors, within and between targets.

    Pairs of recordings of the same animal are kept apart.

    Parameters
    ----------
    response_matrix : DataFrame
        Schema `iblnm.analysis.vectors.tables.RESPONSE_MATRIX`.
    settings : Settings

    Returns
    -------
    AnalysisResult
        Tables ``similarity_matrix``, ``similarity_pairs``, ``target_similarity``,
        ``similarity_contrasts`` of `iblnm.analysis.similarity.tables`.
    """
    chosen = settings.discrimination
    matrix, _ = from_table(response_matrix)
    usable = matrix.notna().all(axis=1).to_numpy() & (matrix.shape[1] > 0)
    usable &= response_matrix["target_NM"].notna().to_numpy()
    rows = response_matrix[usable].reset_index(drop=True)
    counts = count_stages(response_matrix, rows)
    parameters = {
        "features": list(matrix.columns),
        "n_permutations": chosen.n_similarity_permutations,
        "n_bootstrap": chosen.n_bootstrap,
        "coverage": chosen.coverage,
        "seed": chosen.seed,
    }
    if len(rows) < 2:
        note = f"{len(rows)} recordings with all conditions; at least 2 are needed."
        return no_result(TABLES, counts, parameters, note)
    sim = cosine_similarity_matrix(matrix[usable])
    targets, subjects = rows["target_NM"].astype(str), rows["subject"].astype(str)
    own = ["eid", "target_NM", "fiber_idx", "subject"]
    names = rows["eid"].astype(str) + "_" + rows["fiber_idx"].astype(str)
    wide = pd.concat([rows[own], pd.DataFrame(sim.to_numpy(), columns=names)], axis=1)
    contrasts = similarity_contrasts(
        sim,
        targets,
        subjects,
        n_permutations=chosen.n_similarity_permutations,
        n_bootstrap=chosen.n_bootstrap,
        coverage=chosen.coverage,
        seed=chosen.seed,
    )
    overall = contrasts.iloc[-1]
    counts["used"] = count_units(rows)
    made = {
        "similarity_matrix": wide,
        "similarity_pairs": _pair_table(within_between_similarity(sim, targets, subjects), rows),
        "target_similarity": _target_table(sim, targets, subjects),
        "similarity_contrasts": contrasts,
    }
    return AnalysisResult(
        tables=conformed(made, TABLES),
        counts=counts,
        parameters=parameters,
        numbers={
            "within minus between": float(overall["difference"]),
            "p of within minus between": float(overall["p"]),
        },
        notes=["Pairs of one mouse are left out of the contrasts; their unit is a pair of mice."],
    )


def _pair_table(pairs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    for which in ("i", "j"):
        positions = pairs[which].to_numpy()
        for name in ("eid", "fiber_idx", "subject"):
            pairs[f"{name}_{which}"] = rows[name].to_numpy()[positions]
    return pairs


def _target_table(sim: pd.DataFrame, targets: pd.Series, subjects: pd.Series) -> pd.DataFrame:
    every = mean_similarity_by_target(sim, targets)
    other = mean_similarity_by_target(sim, targets, subjects)
    n = len(every)
    return pd.DataFrame(
        {
            "target_i": np.repeat(every.index, n),
            "target_j": np.tile(every.columns, n),
            "similarity": every.to_numpy().ravel(),
            "similarity_other_subjects": other.to_numpy().ravel(),
        }
    )
