"""What the checks say of the sessions now: latest evaluations, matrix, errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import pandas as pd
import sqlalchemy as db
from dagster import AssetCheckKey, AssetKey, DagsterInstance
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from iblnm.config import Settings
from iblnm.pipeline.graph import checked_stages
from iblnm.pipeline.groups import running_rules
from iblnm.pipeline.rules import RULES, Rule
from iblnm_dagster.failures import AssetFailure, asset_failures, failure_table
from iblnm_dagster.partitions import known_sessions

_FAILED = AssetCheckExecutionRecordStatus.FAILED.value
_SUCCEEDED = AssetCheckExecutionRecordStatus.SUCCEEDED.value
_DECODER = json.JSONDecoder()
_EVALUATION = '"event_specific_data": '
_KEYS_PER_QUERY = 500


def session_rules() -> list[Rule]:
    """Rules that are evaluated per session."""
    return [rule for rule in running_rules() if rule.asset in checked_stages()]


def check_key(rule: Rule) -> AssetCheckKey:
    """Dagster's key of the rule's check."""
    return AssetCheckKey(AssetKey(rule.asset), rule.name)


def latest_statuses(
    instance: DagsterInstance, rules: Iterable[Rule]
) -> dict[str, dict[str, bool]]:
    """Latest result of every check: rule name → eid → passed."""
    statuses: dict[str, dict[str, bool]] = {rule.name: {} for rule in rules}
    for name, eid, status in _latest_evaluations(instance, list(statuses), []):
        statuses[name][eid] = status == _SUCCEEDED
    return statuses


def evaluation_table(instance: DagsterInstance) -> pd.DataFrame:
    """Latest evaluation of every check of every session.

    A planned evaluation that did not come about (its asset was not made) leaves the one before
    it in force, like the asset that it judges.

    Returns
    -------
    DataFrame
        Columns of the schema `iblnm.schemas.QC_MATRIX`, without ``label``; one row per
        session and check that was ever evaluated. Severity and asset are those of the rule
        today; value, limit and message those of the evaluation.
    """
    names = [rule.name for rule in session_rules()]
    columns = [_EXECUTIONS.evaluation_event, _EXECUTIONS.evaluation_event_timestamp]
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
    """Check, session, status and the columns of the latest completed evaluations."""
    storage = instance.event_log_storage
    unfinished: dict[str, set[str]] = {}
    # the latest executions come from an index; asking for their status reads all rows
    with storage.index_connection() as connection:
        for row in connection.execute(_latest_executions(names, columns)):
            if row[2] in (_FAILED, _SUCCEEDED):
                yield tuple(row)
            else:
                unfinished.setdefault(row[1], set()).add(row[0])
    eids = list(unfinished)
    for start in range(0, len(eids), _KEYS_PER_QUERY):
        query = _latest_executions(
            names,
            columns,
            _EXECUTIONS.partition.in_(eids[start : start + _KEYS_PER_QUERY]),
            _EXECUTIONS.execution_status.in_([_FAILED, _SUCCEEDED]),
        )
        with storage.index_connection() as connection:
            for row in connection.execute(query):
                if row[0] in unfinished[row[1]]:
                    yield tuple(row)


def _latest_executions(
    names: Sequence[str], columns: Sequence[db.Column], *conditions: db.ColumnElement
) -> db.Select:
    latest = (
        db.select(db.func.max(_EXECUTIONS.id).label("id"))
        .where(
            _EXECUTIONS.check_name.in_(list(names)),
            _EXECUTIONS.asset_key.in_([AssetKey(name).to_string() for name in checked_stages()]),
            _EXECUTIONS.partition.is_not(None),
            *conditions,
        )
        .group_by(_EXECUTIONS.asset_key, _EXECUTIONS.check_name, _EXECUTIONS.partition)
        .subquery()
    )
    return db.select(
        _EXECUTIONS.check_name, _EXECUTIONS.partition, _EXECUTIONS.execution_status, *columns
    ).join(latest, _EXECUTIONS.id == latest.c.id)


def _numbers(event: str) -> tuple[float | None, float | None, str | None]:
    """Value, limit and message of a stored evaluation."""
    # decoding only this part of the event, without Dagster's classes, is twenty times faster
    evaluation = _DECODER.raw_decode(event, event.index(_EVALUATION) + len(_EVALUATION))[0]
    metadata = evaluation["metadata"]
    value, limit = (metadata.get(name, {}).get("value") for name in ("value", "limit"))
    return value, limit, evaluation["description"]


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

    statuses = latest_statuses(instance, session_rules())
    failed = [
        (eid, name, "fail")
        for name, of_session in statuses.items()
        for eid, passed in of_session.items()
        if not passed
    ]
    return duplicate_candidates(
        sessions,
        pd.DataFrame(failed, columns=["eid", "check", "outcome"]),
        failure_table(asset_failures(instance)),
    )


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
