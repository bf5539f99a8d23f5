"""The one place where the graph is assembled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import Definitions, in_process_executor

from iblnm.config import Settings, get_settings
from iblnm.storage.store import SessionStore
from iblnm_dagster.assets import CATALOG_ASSETS
from iblnm_dagster.checks import build_catalog_checks, build_session_checks
from iblnm_dagster.cohort import cohort_assets, cohort_names
from iblnm_dagster.export import EXPORT_ASSETS
from iblnm_dagster.io_managers import (
    CohortIOManager,
    RefusingIOManager,
    SessionH5IOManager,
    SessionPageIOManager,
    SessionParquetIOManager,
    TableIOManager,
)
from iblnm_dagster.jobs import analyse_cohort, process_session, update_catalogue
from iblnm_dagster.resources import Archive
from iblnm_dagster.running.catch_up import catch_up
from iblnm_dagster.running.chosen import process_chosen
from iblnm_dagster.running.nightly import analyse_side_by_side
from iblnm_dagster.schedules import build_schedules
from iblnm_dagster.sensors import build_sensors
from iblnm_dagster.session import build_session_assets
from iblnm_dagster.workarounds.executor import settle_skipped_and_abandoned_steps


def build_resources(settings: Settings) -> dict[str, Any]:
    """Resources of the graph for the given settings."""
    return {
        "settings": settings,
        "archive": Archive(settings),
        "store": SessionStore(settings),
        "session_parquet": SessionParquetIOManager(settings),
        "session_page": SessionPageIOManager(settings),
        "session_h5": SessionH5IOManager(settings),
        "table": TableIOManager(settings),
        "cohort": CohortIOManager(settings),
        "io_manager": RefusingIOManager(),
    }


def build_defs(
    settings: Settings | None = None,
    *,
    resources: Mapping[str, Any] | None = None,
    checks: bool = True,
) -> Definitions:
    """Assemble assets, checks, jobs, sensors, schedules and resources.

    Parameters
    ----------
    settings : Settings, optional
        Default: the settings of this process.
    resources : mapping, optional
        Resources that replace the standard ones, by name.
    checks : bool
        Whether to include the asset checks; analyses evaluate theirs in their own step anyway.
    """
    settle_skipped_and_abandoned_steps()
    settings = settings or get_settings()
    return Definitions(
        assets=[
            *build_session_assets(settings),
            *CATALOG_ASSETS,
            *cohort_assets(settings),
            *EXPORT_ASSETS,
        ],
        asset_checks=[*build_session_checks(settings), *build_catalog_checks(settings)]
        if checks
        else [],
        jobs=[
            process_session,
            update_catalogue,
            analyse_cohort,
            analyse_side_by_side,
            catch_up,
            process_chosen,
        ],
        sensors=build_sensors(settings),
        schedules=build_schedules(settings, has_cohort=bool(cohort_names())),
        resources={**build_resources(settings), **(resources or {})},
        executor=in_process_executor,
    )
