"""The jobs: the whole chain of one session, and the tables over all sessions."""

from __future__ import annotations

from dagster import AssetSelection, define_asset_job

from iblnm_dagster.assets import CATALOG_ASSETS, SESSION_ASSETS
from iblnm_dagster.partitions import SESSION_PARTITIONS

SESSION_JOB = "process_session"
CATALOG_JOB = "update_catalogue"

process_session = define_asset_job(
    SESSION_JOB,
    selection=AssetSelection.assets(*SESSION_ASSETS),
    partitions_def=SESSION_PARTITIONS,
    description="Everything for one session: load, check, preprocess, extract.",
)
update_catalogue = define_asset_job(
    CATALOG_JOB,
    selection=AssetSelection.assets(*CATALOG_ASSETS),
    description="The tables over all sessions.",
)
