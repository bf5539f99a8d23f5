"""Files of the pipeline: session files, tables, names, provenance; all written whole."""

from __future__ import annotations

from iblnm.storage.atomic import locked, update_whole, write_whole
from iblnm.storage.h5 import (
    list_groups,
    read_group,
    read_groups,
    read_recordings,
    write_groups,
)
from iblnm.storage.names import validate_eid, validate_name
from iblnm.storage.parquet import read_table, write_table
from iblnm.storage.provenance import Provenance, software_versions

__all__ = [
    "Provenance",
    "list_groups",
    "locked",
    "read_group",
    "read_groups",
    "read_recordings",
    "read_table",
    "software_versions",
    "update_whole",
    "validate_eid",
    "validate_name",
    "write_groups",
    "write_table",
    "write_whole",
]
