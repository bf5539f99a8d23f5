"""Assets that could not be made: the latest attempt of a session ended with an error."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import sqlalchemy as db
from dagster import AssetKey, DagsterEventType, DagsterInstance
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import deserialize_value
from dagster._utils.error import SerializableErrorInfo

from iblnm import errors
from iblnm.pipeline.graph import stage_names

_RUNS_PER_QUERY = 500


def _names_of(family: type[Exception]) -> frozenset[str]:
    kinds = (kind for kind in vars(errors).values() if isinstance(kind, type))
    return frozenset(kind.__name__ for kind in kinds if issubclass(kind, family))


DATA_ERRORS = _names_of(errors.DataError)
_OWN_ERRORS = _names_of(errors.IblnmError)


@dataclass(frozen=True)
class AssetFailure:
    """The latest attempt to make one session's asset ended with an error."""

    eid: str
    asset: str
    error_type: str
    message: str
    traceback: str


def asset_failures(
    instance: DagsterInstance, assets: Sequence[str] | None = None
) -> list[AssetFailure]:
    """Assets whose latest attempt for a session raised an error, newest attempt only.

    Parameters
    ----------
    instance : DagsterInstance
    assets : sequence of str, optional
        All stages by default.
    """
    storage = instance.event_log_storage
    wanted: dict[str, dict[str, str]] = {}
    for name in stage_names() if assets is None else assets:
        attempts = (
            storage.get_latest_asset_partition_materialization_attempts_without_materializations(
                AssetKey(name)
            )
        )
        for eid, (run_id, _) in attempts.items():
            wanted.setdefault(run_id, {})[name] = eid
    failures = []
    for run_id, step, event in _step_failures(instance, wanted):
        eid = wanted[run_id].get(step)
        if eid is not None:
            failures.append(_failure(eid, step, deserialize_value(event, EventLogEntry)))
    return failures


def failure_table(failures: Iterable[AssetFailure]) -> pd.DataFrame:
    """Failures as a table: eid, asset, error_type, message, traceback."""
    names = ["eid", "asset", "error_type", "message", "traceback"]
    return pd.DataFrame([asdict(failure) for failure in failures], columns=names)


def _step_failures(
    instance: DagsterInstance, run_ids: Iterable[str]
) -> Iterator[tuple[str, str, str]]:
    """Run, step and stored event of the failed steps of those runs that failed."""
    storage = instance.event_log_storage
    columns = SqlEventLogStorageTable.c
    with storage.index_connection() as connection:
        failed_runs = set(
            connection.execute(
                db.select(columns.run_id).where(
                    columns.dagster_event_type == DagsterEventType.PIPELINE_FAILURE.value
                )
            ).scalars()
        )
    run_ids = [run_id for run_id in run_ids if run_id in failed_runs]
    if hasattr(storage, "path_for_shard"):
        yield from _step_failures_in_files(map(storage.path_for_shard, run_ids))
        return
    for start in range(0, len(run_ids), _RUNS_PER_QUERY):
        with storage.index_connection() as connection:
            yield from connection.execute(
                db.select(columns.run_id, columns.step_key, columns.event).where(
                    columns.run_id.in_(run_ids[start : start + _RUNS_PER_QUERY]),
                    columns.dagster_event_type == DagsterEventType.STEP_FAILURE.value,
                )
            )


def _step_failures_in_files(paths: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """The same from SQLite storage, which keeps a file per run.

    Opening a run through the storage compares its schema each time, which takes fifty times
    longer than the reading.
    """
    statement = "SELECT run_id, step_key, event FROM event_logs WHERE dagster_event_type = ?"
    for path in paths:
        with closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)) as connection:
            yield from connection.execute(statement, (DagsterEventType.STEP_FAILURE.value,))


def _failure(eid: str, asset: str, entry: EventLogEntry) -> AssetFailure:
    data = entry.dagster_event.step_failure_data
    decisive = decisive_error(data.error)
    user = data.user_failure_data
    typed = user.metadata.get("error_type") if user else None
    message = user.description if typed else plain_message(decisive)
    is_expected = typed is not None or decisive.cls_name in _OWN_ERRORS
    return AssetFailure(
        eid=eid,
        asset=asset,
        error_type=typed.value if typed else (decisive.cls_name or "Error"),
        message=message,
        traceback="" if is_expected else decisive.to_string(),
    )


def plain_message(error: SerializableErrorInfo) -> str:
    """Message of an error; without the name of its class where that is one of ours."""
    message = error.message.strip()
    if error.cls_name in _OWN_ERRORS:
        return message.partition(f"{error.cls_name}: ")[2] or message
    return message


def decisive_error(error: SerializableErrorInfo) -> SerializableErrorInfo:
    """The error to tell of: the first that is one of ours, else the innermost."""
    while error.cls_name not in _OWN_ERRORS and error.cause:
        error = error.cause
    return error
