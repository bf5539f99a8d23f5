"""A simulated archive: a real ALF tree with known truth, planted faults included.

`build_archive` writes it, `ensure_archive` builds it once and whole, `simulate_session`
returns one session in memory. ``python -m iblnm.demo --help`` does the same from a shell.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    "build_archive": "archive",
    "ensure_archive": "archive",
    "ensure_demo": "which",
    "build_layers_archive": "layers",
    "simulate_session": "session",
    "SimulatedSession": "session",
    "DEFECTS": "defects",
    "RESPONSE_PROFILES": "profiles",
}

__all__ = ["DEFECTS", "RESPONSE_PROFILES", "SimulatedSession", "build_archive"]
__all__ += ["build_layers_archive", "ensure_archive", "ensure_demo", "simulate_session"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"iblnm.demo.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'iblnm.demo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
