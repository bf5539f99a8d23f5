"""What the instance knows of the sessions now: latest check results and failures."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import sqlalchemy as db
from dagster import AssetCheckKey, AssetKey, DagsterEventType, DagsterInstance
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster._serdes import deserialize_value
from dagster._utils.error import SerializableErrorInfo

from iblnm.config import Settings
from iblnm.validation import RULES, Rule
from iblnm_dagster.checks import CHECKED_ASSETS
from iblnm_dagster.partitions import known_sessions

SESSION_ASSET_NAMES = (
    "session",
    "trials",
    "photometry",
    "photometry_qc",
    "preprocessed",
    "responses",
    "performance",
    "wheel_velocity",
    "video_qc",
)
_FAILED = AssetCheckExecutionRecordStatus.FAILED.value
_SUCCEEDED = AssetCheckExecutionRecordStatus.SUCCEEDED.value
_DECODER = json.JSONDecoder()
_EVALUATION = '"event_specific_data": '
_RUNS_PER_QUERY = 500


@dataclass(frozen=True)
class AssetFailure:
    """The latest attempt to make one session's asset ended with an error."""

    eid: str
    asset: str
    error_type: str
    message: str
    traceback: str


def session_rules() -> list[Rule]:
    """Rules that are evaluated per session."""
    return [rule for rule in RULES.values() if rule.asset in CHECKED_ASSETS]


def check_key(rule: Rule) -> AssetCheckKey:
    """Dagster's key of the rule's check."""
    return AssetCheckKey(AssetKey(rule.asset), rule.name)


def latest_statuses(
    instance: DagsterInstance, rules: Iterable[Rule]
) -> dict[str, dict[str, bool]]:
    """Latest result of every check: rule name → eid → passed."""
    statuses: dict[str, dict[str, bool]] = {rule.name: {} for rule in rules}
    columns = [_EXECUTIONS.execution_status]
    for name, eid, status in _latest_evaluations(instance, list(statuses), columns):
        statuses[name][eid] = status == _SUCCEEDED
    return statuses


def evaluation_table(instance: DagsterInstance) -> pd.DataFrame:
    """Latest evaluation of every check of every session.

    One query for all; a planned evaluation that did not come about (its asset was not made)
    leaves the one before it in force, like the asset that it judges.

    Returns
    -------
    DataFrame
        Columns of the schema `iblnm.schemas.QC_MATRIX`, without ``label``; one row per
        session and check that was ever evaluated. Severity and asset are those of the rule
        today; value, limit and message those of the evaluation.
    """
    names = [rule.name for rule in session_rules()]
    columns = [
        _EXECUTIONS.execution_status,
        _EXECUTIONS.evaluation_event,
        _EXECUTIONS.evaluation_event_timestamp,
    ]
    rows = [
        (eid, name, status, *_numbers(event), stamp)
        for name, eid, status, event, stamp in _latest_evaluations(instance, names, columns)
    ]
    names = ["eid", "check", "status", "value", "limit", "message", "stamp"]
    table = pd.DataFrame(rows, columns=names)
    rule_of = table["check"].map(RULES)
    table["asset"] = [rule.asset for rule in rule_of]
    table["severity"] = [rule.severity for rule in rule_of]
    failed = table["severity"].map({"BLOCK": "fail", "ERROR": "fail", "WARN": "warn"})
    table["outcome"] = failed.where(table["status"] == _FAILED, "pass")
    stamps = pd.to_datetime(table["stamp"])
    table["evaluated_at"] = stamps.dt.strftime("%Y-%m-%dT%H:%M:%S")
    table[["value", "limit"]] = table[["value", "limit"]].astype("float64")
    order = ["eid", "check", "asset", "severity", "outcome", "value", "limit", "message"]
    return table[[*order, "evaluated_at"]]


_EXECUTIONS = AssetCheckExecutionsTable.c


def _latest_evaluations(
    instance: DagsterInstance, names: Sequence[str], columns: Sequence[db.Column]
) -> Iterator[tuple]:
    """Check, session and the columns of the latest completed evaluations of session checks."""
    latest = (
        db.select(db.func.max(_EXECUTIONS.id).label("id"))
        .where(
            _EXECUTIONS.execution_status.in_([_FAILED, _SUCCEEDED]),
            _EXECUTIONS.check_name.in_(list(names)),
            _EXECUTIONS.asset_key.in_([AssetKey(name).to_string() for name in CHECKED_ASSETS]),
            _EXECUTIONS.partition.is_not(None),
        )
        .group_by(_EXECUTIONS.asset_key, _EXECUTIONS.check_name, _EXECUTIONS.partition)
        .subquery()
    )
    query = db.select(_EXECUTIONS.check_name, _EXECUTIONS.partition, *columns).join(
        latest, _EXECUTIONS.id == latest.c.id
    )
    with instance.event_log_storage.index_connection() as connection:
        yield from connection.execute(query)


def _numbers(event: str) -> tuple[float | None, float | None, str | None]:
    """Value, limit and message of a stored evaluation."""
    # decoding only this part of the event, without Dagster's classes, is twenty times faster
    evaluation = _DECODER.raw_decode(event, event.index(_EVALUATION) + len(_EVALUATION))[0]
    metadata = evaluation["metadata"]
    value, limit = (metadata.get(name, {}).get("value") for name in ("value", "limit"))
    return value, limit, evaluation["description"]


def asset_failures(
    instance: DagsterInstance, assets: Sequence[str] = SESSION_ASSET_NAMES
) -> list[AssetFailure]:
    """Assets whose latest attempt for a session raised an error, newest attempt only."""
    storage = instance.event_log_storage
    wanted: dict[str, dict[str, str]] = {}
    for name in assets:
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
    innermost = _innermost(data.error)
    user = data.user_failure_data
    typed = user.metadata.get("error_type") if user else None
    return AssetFailure(
        eid=eid,
        asset=asset,
        error_type=typed.value if typed else (innermost.cls_name or "Error"),
        message=(user.description if typed else innermost.message).strip(),
        traceback="" if typed else innermost.to_string(),
    )


def _innermost(error: SerializableErrorInfo) -> SerializableErrorInfo:
    while error.cause:
        error = error.cause
    return error


def current_errors(matrix: pd.DataFrame, failures: Iterable[AssetFailure]) -> pd.DataFrame:
    """One row per session and failed check or asset, as things stand now.

    Parameters
    ----------
    matrix : DataFrame
        Schema `iblnm.schemas.QC_MATRIX`.
    failures : iterable of AssetFailure

    Returns
    -------
    DataFrame
        Columns of the schema `iblnm.schemas.ERRORS`. A session that now succeeds has no rows.
    """
    from iblnm.data.qc_catalog import matrix_errors

    failed = failure_table(failures).rename(columns={"message": "error_message"})
    failed["traceback"] = failed["traceback"].replace("", None)
    parts = [matrix_errors(matrix), failed.assign(severity="FAILURE")]
    errors = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    return errors.sort_values(["eid", "asset", "error_type"], ignore_index=True)


def current_duplicate_candidates(
    instance: DagsterInstance, sessions: pd.DataFrame
) -> pd.DataFrame:
    """Sessions to look for duplicates among; see `iblnm.data.qc_catalog`."""
    from iblnm.data.qc_catalog import duplicate_candidates

    failures = failure_table(asset_failures(instance))
    return duplicate_candidates(sessions, evaluation_table(instance), failures)


def current_matrix(
    instance: DagsterInstance,
    sessions: pd.DataFrame,
    labels: pd.DataFrame,
    settings: Settings,
) -> pd.DataFrame:
    """The matrix of outcomes of all sessions that the instance knows.

    Parameters
    ----------
    instance : DagsterInstance
    sessions : DataFrame
        Schema `iblnm.schemas.SESSIONS_TABLE`.
    labels : DataFrame
        Schema `iblnm.schemas.LABELS`.
    settings : Settings

    Returns
    -------
    DataFrame
        Schema `iblnm.schemas.QC_MATRIX`.
    """
    from iblnm.data import qc_catalog

    evaluations = evaluation_table(instance)
    failures = failure_table(asset_failures(instance))
    duplicates = qc_catalog.duplicate_outcomes(
        sessions["eid"],
        qc_catalog.duplicate_candidates(sessions, evaluations, failures),
        settings,
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    )
    matrix = qc_catalog.complete_matrix(
        pd.concat([evaluations, duplicates.drop(columns="label")], ignore_index=True),
        known_sessions(instance),
        [*session_rules(), RULES[qc_catalog.DUPLICATES]],
        failures,
    )
    return qc_catalog.apply_labels(matrix, labels)
