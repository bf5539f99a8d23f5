"""Figures and pages: tables in, matplotlib Figures or HTML out; no global state is set."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "NotDrawn": "iblnm.vis.cohort_figures",
    "SavedFigures": "iblnm.vis.cohort_figures",
    "animal_traces": "iblnm.analysis.traces.figures",
    "build_dashboard": "iblnm.vis.qc_dashboard",
    "cca_projections_figure": "iblnm.analysis.encoding.cca_figures",
    "cca_targets_figure": "iblnm.analysis.encoding.cca_figures",
    "cca_weights_figure": "iblnm.analysis.encoding.cca_figures",
    "choice_fractions": "iblnm.analysis.performance.psychometric_figures",
    "choose_example": "iblnm.vis.example_choice",
    "components_figure": "iblnm.analysis.encoding.figures",
    "confusion_figure": "iblnm.analysis.decoding.figures",
    "contrast_slopes_figure": "iblnm.analysis.lmm.figures",
    "contributions_figure": "iblnm.analysis.decoding.figures",
    "decoder_coefficients_figure": "iblnm.analysis.decoding.figures",
    "decoding_null_figure": "iblnm.analysis.decoding.figures",
    "draw_figure": "iblnm.vis.cohort_figures",
    "example_session_figure": "iblnm.vis.example_session",
    "figures_in": "iblnm.vis.cohort_figures",
    "glm_coefficients_figure": "iblnm.analysis.encoding.figures",
    "learning_curves_figure": "iblnm.analysis.performance.figures",
    "lmm_coefficients_figure": "iblnm.analysis.lmm.figures",
    "marginal_means_figure": "iblnm.analysis.lmm.figures",
    "mean_traces_figure": "iblnm.analysis.traces.figures",
    "movement_encoding_figure": "iblnm.analysis.movement.figures",
    "movement_slopes_figure": "iblnm.analysis.movement.figures",
    "outcome_matrix_figure": "iblnm.vis.outcome_matrix",
    "overview_figures": "iblnm.vis.dataset_overview",
    "psychometric_figure": "iblnm.analysis.performance.psychometric_figures",
    "psychometric_trajectories_figure": "iblnm.analysis.performance.trajectory_figures",
    "qc_components_figure": "iblnm.analysis.quality.trend_figures",
    "qc_histograms_figure": "iblnm.analysis.quality.figures",
    "qc_trend_figure": "iblnm.analysis.quality.trend_figures",
    "qc_violins_figure": "iblnm.analysis.quality.figures",
    "recordings_per_mouse_figure": "iblnm.vis.dataset_overview",
    "recordings_per_target_figure": "iblnm.vis.dataset_overview",
    "recordings_table": "iblnm.vis.dataset_overview",
    "response_vectors_figure": "iblnm.analysis.vectors.figures",
    "save_cohort_figures": "iblnm.vis.cohort_figures",
    "save_dashboard": "iblnm.vis.qc_dashboard",
    "save_figure": "iblnm.vis.style",
    "session_figure": "iblnm.vis.example_choice",
    "session_matrix_figure": "iblnm.vis.dataset_overview",
    "session_stages": "iblnm.vis.dataset_overview",
    "sessions_to_stage_figure": "iblnm.analysis.performance.figures",
    "similarity_matrix_figure": "iblnm.analysis.similarity.figures",
    "stored_session_figure": "iblnm.vis.example_choice",
    "target_similarity_figure": "iblnm.analysis.similarity.figures",
    "thumbnail": "iblnm.vis.style",
    "video_figure": "iblnm.analysis.quality.video_figures",
    "wheel_models_figure": "iblnm.analysis.movement.wheel_figures",
}

__all__ = [  # noqa: PLE0604, RUF100
    "FIGURES",
    "NotDrawn",
    "SavedFigures",
    "animal_traces",
    "build_dashboard",
    "cca_projections_figure",
    "cca_targets_figure",
    "cca_weights_figure",
    "choice_fractions",
    "choose_example",
    "components_figure",
    "confusion_figure",
    "contrast_slopes_figure",
    "contributions_figure",
    "decoder_coefficients_figure",
    "decoding_null_figure",
    "draw_figure",
    "example_session_figure",
    "figures_in",
    "glm_coefficients_figure",
    "learning_curves_figure",
    "lmm_coefficients_figure",
    "marginal_means_figure",
    "mean_traces_figure",
    "movement_encoding_figure",
    "movement_slopes_figure",
    "outcome_matrix_figure",
    "overview_figures",
    "psychometric_figure",
    "psychometric_trajectories_figure",
    "qc_components_figure",
    "qc_histograms_figure",
    "qc_trend_figure",
    "qc_violins_figure",
    "recordings_per_mouse_figure",
    "recordings_per_target_figure",
    "recordings_table",
    "response_vectors_figure",
    "save_cohort_figures",
    "save_dashboard",
    "save_figure",
    "session_figure",
    "session_matrix_figure",
    "session_stages",
    "sessions_to_stage_figure",
    "similarity_matrix_figure",
    "stored_session_figure",
    "target_similarity_figure",
    "thumbnail",
    "video_figure",
    "wheel_models_figure",
]


def __getattr__(name: str) -> Any:
    if name == "FIGURES":
        from iblnm.analysis.registry import figures

        return figures()
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'iblnm.vis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
