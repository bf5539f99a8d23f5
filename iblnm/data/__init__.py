"""One session, many sessions, and what is composed of the parts of iblnm for them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "PhotometrySession": "session",
    "PhotometrySessionGroup": "group",
    "select_sessions": "selection",
}
__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    if name == "stages":
        return import_module("iblnm.pipeline.stages")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES, "stages"])
