"""Assets over all sessions, one module per domain."""

from __future__ import annotations

from dagster import AssetsDefinition

from iblnm_dagster.assets import (
    catalog,
    figures,
    quality,
)
from iblnm_dagster.assets.cohort import COHORT_ASSETS

__all__ = ["CATALOG_ASSETS", "COHORT_ASSETS"]

CATALOG_ASSETS: list[AssetsDefinition] = [
    *catalog.ASSETS,
    *quality.ASSETS,
    *figures.ASSETS,
]
