"""Files of the pipeline: session files, tables, names, provenance; all written whole.

The names below are imported at first use: names of files need no pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "Provenance": "provenance",
    "list_groups": "h5",
    "locked": "atomic",
    "read_group": "h5",
    "read_groups": "h5",
    "read_recordings": "h5",
    "read_table": "parquet",
    "software_versions": "provenance",
    "update_whole": "atomic",
    "validate_eid": "names",
    "validate_name": "names",
    "write_groups": "h5",
    "write_table": "parquet",
    "write_whole": "atomic",
}
__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])
