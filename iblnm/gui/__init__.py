"""Looking at one session from Python: in a notebook, in the browser, or as a figure.

`PhotometrySessionViewer` shows the page of the viewer for a session in memory.
"""

from __future__ import annotations

from typing import Any

__all__ = ["PhotometrySessionViewer"]


def __getattr__(name: str) -> Any:
    if name == "PhotometrySessionViewer":
        from iblnm.viewer.notebook import PhotometrySessionViewer

        return PhotometrySessionViewer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
