"""A server that answers as Alyx does, from memory.

It is the way to try the remote mode without a database: ``python -m iblnm.demo.alyx``.
The real ONE client talks to it; what it answers follows Alyx 3.6, the paging that loses rows
between equal start times included.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    "AlyxModel": "model",
    "from_archive": "build",
    "AlyxServer": "server",
}

__all__ = ["AlyxModel", "AlyxServer", "from_archive"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"iblnm.demo.alyx.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'iblnm.demo.alyx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
