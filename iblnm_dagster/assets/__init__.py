"""Assets over all sessions, one module per domain."""

from __future__ import annotations

from dagster import AssetsDefinition

from iblnm.pipeline.groups import PHOTOMETRY, running_group
from iblnm_dagster.assets import (
    catalog,
    figures,
    quality,
)

__all__ = ["CATALOG_ASSETS"]


def _tables_over_all() -> list[AssetsDefinition]:
    """Tables of the group that this process runs."""
    if running_group() == PHOTOMETRY:
        return [*catalog.ASSETS, *quality.ASSETS, *figures.ASSETS]
    from iblnm_dagster.assets import layers

    return [*layers.CATALOG, *quality.ASSETS, figures.qc_dashboard]


CATALOG_ASSETS: list[AssetsDefinition] = _tables_over_all()
