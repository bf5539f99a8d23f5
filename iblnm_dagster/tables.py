"""The tables over all sessions, made in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iblnm.config import Settings
from iblnm_dagster.jobs import CATALOG_JOB

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions, ExecuteInProcessResult


def tables_exist(settings: Settings) -> bool:
    """Whether all tables were made before; the errors are the last of them."""
    return (settings.metadata_dir / "errors.pqt").exists()


def update_tables(defs: Definitions, instance: DagsterInstance) -> ExecuteInProcessResult:
    """Make the tables over all sessions anew."""
    return defs.resolve_job_def(CATALOG_JOB).execute_in_process(instance=instance)
