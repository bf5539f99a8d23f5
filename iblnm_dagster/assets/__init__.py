"""Assets over all sessions, one module per domain."""

from __future__ import annotations

from dagster import AssetsDefinition

from iblnm_dagster.assets import (
    catalog,
    figures,
    quality,
)

__all__ = ["CATALOG_ASSETS"]

CATALOG_ASSETS: list[AssetsDefinition] = [
    *catalog.ASSETS,
    *quality.ASSETS,
    *figures.ASSETS,
]
