"""All that talks to ONE and Alyx: client, lists of sessions, downloads, mirror, watching.

The names below are imported at first use, since ONE and its dependencies are heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "connect": "connection",
    "_get_default_connection": "connection",
    "dataset_path": "datasets",
    "list_session_datasets": "datasets",
    "mirror_sessions": "mirror",
    "records_of": "records",
    "open_remote": "remote",
    "rest": "remote",
    "fetch_session": "sessions",
    "list_sessions": "sessions",
    "get_brain_region": "enrich",
    "get_datasets": "enrich",
    "get_extended_qc": "enrich",
    "get_fiber_coordinates": "enrich",
    "get_session_dict": "enrich",
    "get_subject_info": "enrich",
}
__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])
