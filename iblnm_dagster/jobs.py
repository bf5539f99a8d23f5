"""The jobs: the chain of one session, the tables over all, the analyses of the cohort."""

from __future__ import annotations

from dagster import AssetSelection, define_asset_job

from iblnm_dagster.assets import CATALOG_ASSETS
from iblnm_dagster.cohort import ANALYSIS_GROUP, FIGURE_GROUP
from iblnm_dagster.partitions import SESSION_PARTITIONS
from iblnm_dagster.session import SESSION_TAG

SESSION_JOB = "process_session"
CATALOG_JOB = "update_catalogue"
COHORT_JOB = "analyse_cohort"

LONGEST_RUN_S = 2 * 3600
"""A run of sessions that lasts longer is ended: its process vanished with the machine."""
RUNTIME_TAG = "dagster/max_runtime"

process_session = define_asset_job(
    SESSION_JOB,
    selection=AssetSelection.tag(*SESSION_TAG),
    partitions_def=SESSION_PARTITIONS,
    tags={RUNTIME_TAG: str(LONGEST_RUN_S)},
    description="Everything for one session: load, check, preprocess, extract.",
)
update_catalogue = define_asset_job(
    CATALOG_JOB,
    selection=AssetSelection.assets(*CATALOG_ASSETS),
    description="The tables over all sessions.",
)
analyse_cohort = define_asset_job(
    COHORT_JOB,
    selection=AssetSelection.groups(ANALYSIS_GROUP, FIGURE_GROUP),
    description="The analyses over all sessions, and their figures.",
)
