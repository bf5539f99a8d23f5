"""The tables of the cohort analyses, by name."""

from __future__ import annotations

from iblnm.schemas import (
    behaviour,
    components,
    discrimination,
    encoding,
    models,
    quality,
    responses,
)
from iblnm.schemas.core import Table
from iblnm.schemas.responses import WideTable

COHORT_TABLES: dict[str, Table | WideTable] = {
    table.name: table
    for module in (
        behaviour,
        components,
        discrimination,
        encoding,
        models,
        quality,
        responses,
    )
    for table in vars(module).values()
    if isinstance(table, Table | WideTable)
}
