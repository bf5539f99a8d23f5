"""The assets of the graph, one module per domain."""

from __future__ import annotations

from dagster import AssetsDefinition

from iblnm_dagster.assets import (
    behavior,
    catalog,
    figures,
    photometry,
    quality,
    sessions,
    trials,
    video,
    wheel,
)
from iblnm_dagster.assets.cohort import COHORT_ASSETS

__all__ = ["CATALOG_ASSETS", "COHORT_ASSETS", "SESSION_ASSETS"]

SESSION_ASSETS: list[AssetsDefinition] = [
    *sessions.ASSETS,
    *trials.ASSETS,
    *photometry.ASSETS,
    *behavior.ASSETS,
    *wheel.ASSETS,
    *video.ASSETS,
]
CATALOG_ASSETS: list[AssetsDefinition] = [
    *catalog.ASSETS,
    *quality.ASSETS,
    *figures.ASSETS,
]
