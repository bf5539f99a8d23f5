"""Principal and independent components of regression coefficients, as tables."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from iblnm.analysis.encoding.decomposition import (
    GLMPCAResult,
    component_tests,
    ica_glm_coefficients,
    pca_glm_coefficients,
)
from iblnm.config import Settings
from iblnm.errors import DataError

METHODS = ("pca", "ica")


def component_tables(
    coefficients: pd.DataFrame, subjects: pd.Series | Mapping[str, str], settings: Settings
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Scores, loadings and tests of both methods, targets weighted alike.

    Parameters
    ----------
    coefficients : DataFrame
        Index (eid, target_NM, fiber_idx), one column per term.
    subjects : Series or mapping
        Subject of each eid.
    settings : Settings

    Returns
    -------
    tables : dict
        Parts of the tables `TABLES` of the slice, without the event.
    notes : list of str
        Why there are none.
    """
    encoding = settings.encoding
    units = pd.Series(coefficients.index.get_level_values("eid")).map(subjects)
    tables: dict[str, list[pd.DataFrame]] = {
        "glm_component_scores": [],
        "glm_component_loadings": [],
        "glm_component_tests": [],
    }
    notes = []
    for method in METHODS:
        try:
            result = _decompose(method, coefficients, units, settings)
        except DataError as error:
            notes.append(f"{method}: {error}")
            continue
        if not result.converged:
            notes.append(f"{method}: not converged, no components")
            continue
        for name, part in _tables_of(result, encoding.correction).items():
            tables[name].append(part.assign(method=method))
    return {name: pd.concat(parts) for name, parts in tables.items() if parts}, notes


def _decompose(
    method: str, coefficients: pd.DataFrame, units: pd.Series, settings: Settings
) -> GLMPCAResult:
    encoding = settings.encoding
    given = {
        "n_components": encoding.n_components,
        "cohort_weighted": True,
        "subjects": units.to_numpy(),
    }
    if method == "ica":
        return ica_glm_coefficients(coefficients, seed=encoding.seed, **given)
    return pca_glm_coefficients(coefficients, **given)


def _tables_of(result: GLMPCAResult, correction: str) -> dict[str, pd.DataFrame]:
    scores = result.score_table.melt(var_name="component", value_name="score", ignore_index=False)
    owners = pd.Series(result.subjects.to_numpy(), index=result.index)
    scores["subject"] = owners.reindex(scores.index).to_numpy()
    loadings = result.mixing.rename_axis("term").reset_index()
    loadings = loadings.melt("term", var_name="component", value_name="loading")
    unmixing = result.weight_table.T.rename_axis("term").reset_index()
    unmixing = unmixing.melt("term", var_name="component", value_name="weight")
    loadings = loadings.merge(unmixing, on=["term", "component"])
    ratio = loadings["component"].map(result.variance_ratio)
    return {
        "glm_component_scores": scores.reset_index(),
        "glm_component_loadings": loadings.assign(
            explained_variance_ratio=ratio, n_recordings=len(result.scores)
        ),
        "glm_component_tests": component_tests(result, correction),
    }
