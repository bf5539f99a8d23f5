"""One session, many sessions, and what is composed of the parts of iblnm for them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "PhotometrySession": "iblnm.data.session",
    "PhotometrySessionGroup": "iblnm.data.group",
    "select_sessions": "iblnm.pipeline.selection",
}
_MODULES = ("labels", "selection", "stages")
__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    if name in _MODULES:
        return import_module(f"iblnm.pipeline.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES, *_MODULES])
