"""Analyses of responses; names load the module that holds them on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "feature_unique_contribution": "iblnm.analysis.decoding",
    "decoding_permutation_test": "iblnm.analysis.decoding_inference",
    "decode_target_nm": "iblnm.analysis.decoding",
    "TargetNMDecoder": "iblnm.analysis.decoding",
    "compute_bleaching_tau": "iblnm.signal.bleaching",
    "compute_iso_correlation": "iblnm.signal.isosbestic",
    "compute_response_magnitude": "iblnm.signal.perievent",
    "get_responses": "iblnm.signal.perievent",
    "normalize_responses": "iblnm.signal.perievent",
    "resample_signal": "iblnm.signal.resample",
}

__all__ = [
    "TargetNMDecoder",
    "compute_bleaching_tau",
    "compute_iso_correlation",
    "compute_response_magnitude",
    "decode_target_nm",
    "decoding_permutation_test",
    "feature_unique_contribution",
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
