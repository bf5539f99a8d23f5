"""The analyses over all sessions."""

from __future__ import annotations

from dagster import AssetsDefinition

from iblnm_dagster.assets.cohort import discrimination, figures, models, performance, responses

COHORT_ASSETS: list[AssetsDefinition] = [
    *responses.ASSETS,
    *discrimination.ASSETS,
    *models.ASSETS,
    *performance.ASSETS,
    *figures.ASSETS,
]
