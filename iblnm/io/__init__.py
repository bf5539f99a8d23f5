"""Readers of a session's files: photometry, trials, wheel, video, fibers.

The names below are imported at first use, since the readers' dependencies are heavy. Those of
`iblnm.archive` are here too, where notebooks import them from.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from iblnm import archive

_NAMES = {
    "read_fibers": "fibers",
    "load_photometry": "photometry",
    "photometry_reference": "photometry",
    "read_raw_frames": "photometry",
    "load_trials_table": "trials",
    "video_qc": "video",
    "load_wheel": "wheel",
}
__all__ = sorted([*_NAMES, *archive.__all__])


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    if name in archive.__all__:
        return getattr(archive, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
