"""Stage: regressions per recording, their components, and their correlation with behavior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from iblnm.analysis.encoding.cca_compare import pairwise_projections, pairwise_weight_similarities
from iblnm.analysis.encoding.cohort_cca import (
    CohortCCA,
    cohort_cca_scores,
    cohort_cca_table,
    cohort_cca_weights,
    correct_both,
    fit_cohort_ccas,
)
from iblnm.analysis.encoding.components import component_tables
from iblnm.analysis.encoding.glm import (
    features_of,
    fit_recording_glms,
    fit_response_glm,
    wide_coefficients,
)
from iblnm.analysis.encoding.psychometric_features import psychometric_features
from iblnm.analysis.encoding.tables import (
    CCA_RESULTS,
    GLM_COEFFICIENTS,
    TABLES,
)
from iblnm.analysis.result import AnalysisResult, count_units
from iblnm.analysis.stats.corrections import correct_p
from iblnm.analysis.trials import analyzed_trials, code_trials
from iblnm.config import Settings

VARIANTS = {"plain": False, "elastic_net": True}
_WHO = ["eid", "fiber_idx", "subject", "target_NM", "brain_region", "hemisphere"]


def task_encoding(
    response_magnitudes: pd.DataFrame, performance_table: pd.DataFrame, settings: Settings
) -> AnalysisResult:
    """Linear model of every recording; components of the coefficients; CCA with behavior.

    Parameters
    ----------
    response_magnitudes : DataFrame
        Schema `RESPONSE_MAGNITUDES`, all trials of the selected sessions.
    performance_table : DataFrame
        Schema `PERFORMANCE`.
    settings : Settings
        See `iblnm.config.EncodingSettings`.

    Returns
    -------
    AnalysisResult
        Tables as in `TABLES`.
    """
    encoding = settings.encoding
    magnitudes = response_magnitudes[response_magnitudes["event"].isin(encoding.events)]
    recordings = magnitudes[_WHO].drop_duplicates(["eid", "fiber_idx"])
    recordings = recordings[recordings["target_NM"].notna()].reset_index(drop=True)
    selected, selection = analyzed_trials(magnitudes[magnitudes["target_NM"].notna()], settings)
    subjects = recordings.set_index("eid")["subject"]
    subjects = subjects[~subjects.index.duplicated()]
    glm = fit_all(selected, recordings, settings)
    features = psychometric_features(
        recordings, performance_table, encoding.psychometric_parameters
    )

    tables = {name: [] for name in TABLES}
    tables["glm_coefficients"].append(glm)
    tables["psychometric_features"].append(
        features.reset_index().merge(recordings, on=["eid", "target_NM", "fiber_idx"])
    )
    notes = not_fitted(glm)
    for event in encoding.events:
        coefficients = wide_coefficients(glm[glm["event"] == event])
        parts, component_notes = component_tables(coefficients, subjects, settings)
        for name, part in parts.items():
            tables[name].append(part.assign(event=event))
        notes += [f"{event}, {note}" for note in component_notes]
        for variant, sparse in VARIANTS.items():
            cohort = fit_cohort_ccas(
                coefficients.drop(columns="intercept"),
                features,
                n_permutations=encoding.n_permutations,
                seed=encoding.seed,
                min_recordings=encoding.min_recordings,
                sparse=sparse,
                alpha=encoding.penalties,
                l1_ratio=encoding.l1_ratio,
                subjects=subjects,
            )
            for name, part in cca_tables(cohort, subjects, settings).items():
                tables[name].append(part.assign(event=event, variant=variant))
            notes += [f"{event}, {variant}, {t}: {note}" for t, note in cohort.notes.items()]
    conformed = {name: _stack(parts, TABLES[name]) for name, parts in tables.items()}
    results = correct_both(conformed["cca_results"], ["variant"], encoding.correction)
    conformed["cca_results"] = CCA_RESULTS.conform(results)
    return AnalysisResult(
        tables=conformed,
        counts=_counts(magnitudes, selected, glm, settings),
        parameters={
            **encoding.model_dump(),
            "contrasts": list(settings.analysis_contrasts),
            **selection,
            "permuted": "whole sessions among sessions with as many recordings of the target; "
            "for p_within_subject among those of the same animal",
        },
        numbers=_numbers(glm, conformed["cca_results"]),
        notes=notes,
    )


def fit_all(selected: pd.DataFrame, recordings: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Regressions of all events of selected trials; schema `GLM_COEFFICIENTS`."""
    encoding = settings.encoding
    fits = pd.concat(
        [
            fit_recording_glms(
                selected,
                event,
                min_trials=encoding.min_trials,
                contrast_coding=encoding.contrast_coding,
                contrasts=settings.analysis_contrasts,
                confidence=encoding.confidence,
            )
            for event in encoding.events
        ],
        ignore_index=True,
    )
    fits = fits.merge(recordings, on=["eid", "fiber_idx", "target_NM"], how="left")
    corrected = correct_p(fits, "p", ["event", "term"], encoding.correction)
    return GLM_COEFFICIENTS.conform(corrected)


def recording_features(
    magnitudes: pd.DataFrame,
    event_name: str,
    settings: Settings,
    *,
    weight_by_se: bool = False,
    min_trials: int | None = None,
    contrast_coding: str | None = None,
) -> pd.DataFrame:
    """Coefficients of the regressions of one event as features of the recordings.

    Parameters
    ----------
    magnitudes : DataFrame
        Schema `RESPONSE_MAGNITUDES`, all trials.
    event_name : str
    settings : Settings
    weight_by_se : bool
        Divide every coefficient by its standard error.
    min_trials, contrast_coding
        See `iblnm.analysis.fit_response_glm`; those of the settings by default.

    Returns
    -------
    DataFrame
        Index (eid, target_NM, fiber_idx).
    """
    encoding = settings.encoding
    coefficients, errors = fit_response_glm(
        analyzed_trials(magnitudes, settings)[0],
        event_name,
        min_trials=encoding.min_trials if min_trials is None else min_trials,
        contrast_coding=contrast_coding or encoding.contrast_coding,
        contrasts=settings.analysis_contrasts,
    )
    return features_of(coefficients, errors if weight_by_se else None)


def common_views(
    encoding: pd.DataFrame, behavior: pd.DataFrame, exclude_intercept: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features of encoding and of behavior of the recordings that have both, in one order."""
    if exclude_intercept:
        encoding = encoding.drop(columns="intercept", errors="ignore")
    common = encoding.index.intersection(behavior.index).sort_values()
    return encoding.loc[common], behavior.loc[common]


def not_fitted(glm: pd.DataFrame) -> list[str]:
    """How many recordings have no regression, by reason."""
    gaps = glm[glm["note"].notna()].drop_duplicates(["eid", "fiber_idx", "event"])
    return [
        f"{event}: {n} recordings without regression, {note}"
        for (event, note), n in gaps.groupby(["event", "note"]).size().items()
    ]


def cca_tables(
    cohort: CohortCCA, subjects: pd.Series | Mapping[str, str], settings: Settings
) -> dict[str, pd.DataFrame]:
    """Tables of the canonical correlation of one event and variant."""
    encoding = settings.encoding
    projections = pairwise_projections(cohort.results, cohort.data)
    cross = projections.reset_index().melt("data", var_name="weights", value_name="correlation")
    scores = cohort_cca_scores(cohort.results)
    similarities = [
        table.rename_axis("target_a")
        .reset_index()
        .melt("target_a", var_name="target_b", value_name="cosine")
        .assign(view={"x": "encoding", "y": "behavior"}[view])
        for view, table in pairwise_weight_similarities(cohort.results).items()
    ]
    return {
        "cca_results": cohort_cca_table(
            cohort, subjects, n_bootstrap=encoding.n_bootstrap, confidence=encoding.confidence
        ),
        "cca_weights": cohort_cca_weights(cohort.results),
        "cca_projections": scores.assign(subject=scores["eid"].map(subjects)),
        "cca_cross_projections": cross.rename(
            columns={"data": "data_target", "weights": "weights_target"}
        ).assign(n_recordings=cross["data"].map(cohort.n_complete)),
        "cca_weight_similarities": pd.concat(similarities, ignore_index=True),
    }


def _stack(parts: list[pd.DataFrame], schema: Any) -> pd.DataFrame:
    filled = [schema.conform(part) for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else schema.empty()


def _counts(
    magnitudes: pd.DataFrame, selected: pd.DataFrame, glm: pd.DataFrame, settings: Settings
) -> dict[str, dict[str, int]]:
    keys = ["eid", "fiber_idx", "event"]
    fitted = glm[glm["note"].isna()][keys].drop_duplicates()
    usable, _ = code_trials(
        selected,
        "response_early",
        settings.encoding.contrast_coding,
        contrasts=settings.analysis_contrasts,
    )
    return {
        "candidate": count_units(magnitudes),
        "eligible": count_units(selected),
        "used": count_units(usable.merge(fitted, on=keys)),
    }


def _numbers(glm: pd.DataFrame, results: pd.DataFrame) -> dict[str, float]:
    fitted = glm[glm["note"].isna()]
    numbers = {"recordings fitted": float(len(fitted.drop_duplicates(["eid", "fiber_idx"])))}
    if len(fitted):
        numbers["median R²"] = float(fitted["r2"].median())
    tested = results[results["p_corrected"].notna()]
    numbers["canonical correlations tested"] = float(len(tested))
    numbers["canonical correlations with corrected p < 0.05"] = float(
        (tested["p_corrected"] < 0.05).sum()
    )
    return numbers
