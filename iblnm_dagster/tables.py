"""The tables over all sessions, made in this process."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from iblnm.config import Settings
from iblnm.errors import TransientError
from iblnm_dagster.jobs import CATALOG_JOB

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions, ExecuteInProcessResult


_WAIT_S = 1800.0


def tables_exist(settings: Settings) -> bool:
    """Whether all tables were made before; the errors are the last of them."""
    return (settings.metadata_dir / "errors.pqt").exists()


def update_tables(defs: Definitions, instance: DagsterInstance) -> ExecuteInProcessResult:
    """Make the tables over all sessions anew.

    Of several processes one is at it at a time, so that the tables that are written last were
    made of the latest sessions.
    """
    from iblnm.storage.atomic import locked

    metadata_dir = defs.resources["settings"].metadata_dir
    with ExitStack() as held:
        with suppress(TransientError):  # rather beside another than never
            held.enter_context(locked(metadata_dir / "tables", timeout_s=_WAIT_S))
        return defs.resolve_job_def(CATALOG_JOB).execute_in_process(instance=instance)
