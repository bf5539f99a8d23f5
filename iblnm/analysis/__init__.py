"""Analyses of responses; names load the module that holds them on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "CCAResult": "iblnm.analysis.cca",
    "TargetNMDecoder": "iblnm.analysis.decoding",
    "align_cca_signs": "iblnm.analysis.cca_compare",
    "compare_cca_weights": "iblnm.analysis.cca_compare",
    "compute_bleaching_tau": "iblnm.signal.bleaching",
    "compute_iso_correlation": "iblnm.signal.isosbestic",
    "compute_recording_projection": "iblnm.analysis.cca_compare",
    "compute_response_magnitude": "iblnm.signal.perievent",
    "cross_project_cca": "iblnm.analysis.cca_compare",
    "decode_target_nm": "iblnm.analysis.decoding",
    "decoding_permutation_test": "iblnm.analysis.decoding_inference",
    "feature_unique_contribution": "iblnm.analysis.decoding",
    "fit_cca": "iblnm.analysis.cca",
    "fit_recording_glms": "iblnm.analysis.response_glm",
    "fit_response_glm": "iblnm.analysis.response_glm",
    "fit_sparse_cca": "iblnm.analysis.sparse_cca",
    "get_responses": "iblnm.signal.perievent",
    "normalize_responses": "iblnm.signal.perievent",
    "resample_signal": "iblnm.signal.resample",
}

__all__ = [
    "CCAResult",
    "TargetNMDecoder",
    "align_cca_signs",
    "compare_cca_weights",
    "compute_bleaching_tau",
    "compute_iso_correlation",
    "compute_recording_projection",
    "compute_response_magnitude",
    "cross_project_cca",
    "decode_target_nm",
    "decoding_permutation_test",
    "feature_unique_contribution",
    "fit_cca",
    "fit_recording_glms",
    "fit_response_glm",
    "fit_sparse_cca",
    "get_responses",
    "normalize_responses",
    "resample_signal",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'iblnm.analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
