"""Figures and pages: tables in, matplotlib Figures or HTML out; no global state is set."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "build_dashboard": "iblnm.vis.qc_dashboard",
    "outcome_matrix_figure": "iblnm.vis.outcome_matrix",
    "overview_figures": "iblnm.vis.dataset_overview",
    "recordings_per_mouse_figure": "iblnm.vis.dataset_overview",
    "recordings_per_target_figure": "iblnm.vis.dataset_overview",
    "recordings_table": "iblnm.vis.dataset_overview",
    "save_dashboard": "iblnm.vis.qc_dashboard",
    "save_figure": "iblnm.vis.style",
    "session_matrix_figure": "iblnm.vis.dataset_overview",
    "session_stages": "iblnm.vis.dataset_overview",
    "thumbnail": "iblnm.vis.style",
}

__all__ = [  # noqa: PLE0604, RUF100
    "build_dashboard",
    "outcome_matrix_figure",
    "overview_figures",
    "recordings_per_mouse_figure",
    "recordings_per_target_figure",
    "recordings_table",
    "save_dashboard",
    "save_figure",
    "session_matrix_figure",
    "session_stages",
    "thumbnail",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'iblnm.vis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
