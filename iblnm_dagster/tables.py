"""The tables over all sessions, made in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from iblnm.config import Settings
from iblnm.errors import TransientError
from iblnm_dagster.jobs import CATALOG_JOB

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions, ExecuteInProcessResult

_WAIT_S = 1800.0
_LOOK_S = 1.0


def tables_exist(settings: Settings) -> bool:
    """Whether all tables were made before; the errors are the last of them."""
    return (settings.metadata_dir / "errors.pqt").exists()


@contextmanager
def alone_at_the_tables(
    metadata_dir: Path, on_wait: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Wait until no other process makes the tables, so that the last to be written are the latest.

    Parameters
    ----------
    metadata_dir : Path
        Where the tables are.
    on_wait : callable
        Called about once a second while it waits; what it raises ends that.
    """
    from iblnm.storage.atomic import locked

    end = time.monotonic() + _WAIT_S
    with ExitStack() as held:
        while time.monotonic() < end:  # then rather beside another than never
            with suppress(TransientError):
                held.enter_context(locked(metadata_dir / "tables", timeout_s=_LOOK_S))
                break
            on_wait()
        yield


def update_tables(defs: Definitions, instance: DagsterInstance) -> ExecuteInProcessResult:
    """Make the tables over all sessions anew.

    Of several processes one is at it at a time.
    """
    with alone_at_the_tables(defs.resources["settings"].metadata_dir):
        return defs.resolve_job_def(CATALOG_JOB).execute_in_process(instance=instance)
