"""Analyses of responses; names load the module that holds them on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "CCAResult": "iblnm.analysis.cca",
    "GLMPCAResult": "iblnm.analysis.decomposition",
    "TargetNMDecoder": "iblnm.analysis.decoding",
    "align_cca_signs": "iblnm.analysis.cca_compare",
    "anova_rm": "iblnm.analysis.anova",
    "compare_cca_weights": "iblnm.analysis.cca_compare",
    "compute_bleaching_tau": "iblnm.signal.bleaching",
    "compute_iso_correlation": "iblnm.signal.isosbestic",
    "compute_recording_projection": "iblnm.analysis.cca_compare",
    "compute_response_magnitude": "iblnm.signal.perievent",
    "condition_labels": "iblnm.analysis.response_matrix",
    "cosine_similarity_matrix": "iblnm.analysis.similarity",
    "cross_project_cca": "iblnm.analysis.cca_compare",
    "decode_target_nm": "iblnm.analysis.decoding",
    "decoding_permutation_test": "iblnm.analysis.decoding_inference",
    "early_responses": "iblnm.analysis.magnitudes",
    "feature_unique_contribution": "iblnm.analysis.decoding",
    "fit_cca": "iblnm.analysis.cca",
    "fit_recording_glms": "iblnm.analysis.response_glm",
    "fit_response_glm": "iblnm.analysis.response_glm",
    "fit_sparse_cca": "iblnm.analysis.sparse_cca",
    "get_responses": "iblnm.signal.perievent",
    "handle_missing": "iblnm.analysis.response_matrix",
    "ica_glm_coefficients": "iblnm.analysis.decomposition",
    "kruskal_wallis_groups": "iblnm.analysis.comparisons",
    "mean_similarity_by_target": "iblnm.analysis.similarity",
    "normalize_responses": "iblnm.signal.perievent",
    "pairwise_mannwhitney": "iblnm.analysis.comparisons",
    "pca_glm_coefficients": "iblnm.analysis.decomposition",
    "pca_score_stats": "iblnm.analysis.decomposition",
    "peak_velocity": "iblnm.analysis.regressors",
    "prepare_traces": "iblnm.analysis.traces",
    "resample_signal": "iblnm.signal.resample",
    "select_trials": "iblnm.analysis.trial_selection",
    "similarity_contrasts": "iblnm.analysis.similarity",
    "split_features_by_event": "iblnm.analysis.similarity",
    "within_between_similarity": "iblnm.analysis.similarity",
}

__all__ = [
    "CCAResult",
    "GLMPCAResult",
    "TargetNMDecoder",
    "align_cca_signs",
    "anova_rm",
    "compare_cca_weights",
    "compute_bleaching_tau",
    "compute_iso_correlation",
    "compute_recording_projection",
    "compute_response_magnitude",
    "condition_labels",
    "cosine_similarity_matrix",
    "cross_project_cca",
    "decode_target_nm",
    "decoding_permutation_test",
    "early_responses",
    "feature_unique_contribution",
    "fit_cca",
    "fit_recording_glms",
    "fit_response_glm",
    "fit_sparse_cca",
    "get_responses",
    "handle_missing",
    "ica_glm_coefficients",
    "kruskal_wallis_groups",
    "mean_similarity_by_target",
    "normalize_responses",
    "pairwise_mannwhitney",
    "pca_glm_coefficients",
    "pca_score_stats",
    "peak_velocity",
    "prepare_traces",
    "resample_signal",
    "select_trials",
    "similarity_contrasts",
    "split_features_by_event",
    "within_between_similarity",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'iblnm.analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
