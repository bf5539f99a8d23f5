"""Outcomes of a root from before they had a file of their own: taken once from the event log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as db
from dagster import AssetKey, DagsterInstance
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._utils.error import SerializableErrorInfo

from iblnm.config import Settings
from iblnm.pipeline import graph
from iblnm.pipeline.outcomes import Attempt, OutcomeStore, open_outcomes
from iblnm.pipeline.rules.registry import RULES
from iblnm.storage.atomic import locked

_PASSED = AssetCheckExecutionRecordStatus.SUCCEEDED.value
_FAILED = AssetCheckExecutionRecordStatus.FAILED.value


def outcomes_of(instance: DagsterInstance, settings: Settings) -> OutcomeStore:
    """The table of outcomes of a root; an older root's history is taken in at first use."""
    outcomes = open_outcomes(settings)
    place = outcomes.place
    if isinstance(place, Path) and not place.exists():
        settings.metadata_dir.mkdir(parents=True, exist_ok=True)
        with locked(place):
            if not place.exists():
                _migrate(instance, outcomes)
    return outcomes


def _migrate(instance: DagsterInstance, outcomes: OutcomeStore) -> None:
    attempts = [
        Attempt(eid, name, "stored")
        for name in graph.stage_names()
        for eid in instance.get_materialized_partitions(AssetKey(name))
    ]
    outcomes.insert_attempts([*attempts, *_failures(instance)])
    outcomes.insert_evaluations(list(_evaluations(instance)))


def _evaluations(instance: DagsterInstance) -> Iterator[tuple]:
    """Rows of the latest completed evaluation of every check and session."""
    columns = AssetCheckExecutionsTable.c
    latest = (
        db.select(db.func.max(columns.id).label("id"))
        .where(
            columns.check_name.in_(list(RULES)),
            columns.partition.is_not(None),
            columns.execution_status.in_([_PASSED, _FAILED]),
        )
        .group_by(columns.check_name, columns.partition)
        .subquery()
    )
    query = db.select(
        columns.partition,
        columns.check_name,
        columns.execution_status,
        columns.evaluation_event,
        columns.evaluation_event_timestamp,
    ).join(latest, columns.id == latest.c.id)
    with instance.event_log_storage.index_connection() as connection:
        for eid, name, status, event, stamp in connection.execute(query):
            found = json.loads(event)["dagster_event"]["event_specific_data"]
            value, limit = (
                found["metadata"].get(key, {}).get("value") for key in ("value", "limit")
            )
            result = "pass" if status == _PASSED else "fail"
            if result == "pass" and "note" in found["metadata"] and value is None:
                result = "not evaluated"
            when = stamp.strftime("%Y-%m-%dT%H:%M:%S")
            message, severity = _bare(found), found["metadata"].get("severity", {}).get("text")
            yield eid, name, result, value, limit, message, when, severity


def _bare(found: dict[str, Any]) -> str | None:
    """The message of an evaluation without the words that name its session."""
    words = found["metadata"].get("session", {}).get("text")
    message = found["description"]
    return message.removeprefix(f"{words}: ") if words and message else message


def _failures(instance: DagsterInstance) -> Iterator[Attempt]:
    storage = instance.event_log_storage
    for name in graph.stage_names():
        latest = (
            storage.get_latest_asset_partition_materialization_attempts_without_materializations(
                AssetKey(name)
            )
        )
        for eid, (run_id, _) in latest.items():
            yield from _failure(instance.all_logs(run_id), name, eid)


def _failure(entries: Sequence[EventLogEntry], name: str, eid: str) -> Iterator[Attempt]:
    for entry in entries:
        event = entry.dagster_event
        if event is None or not event.is_step_failure or event.step_key != name:
            continue
        data = event.step_failure_data
        user = data.user_failure_data
        if user is not None and "error_type" in user.metadata:
            kind = str(user.metadata["error_type"].value)
            state = "blocked" if "blocked" in user.metadata else "failed"
            told = user.metadata.get("message")
            message = user.description if told is None else str(told.value)
            yield Attempt(eid, name, state, kind, message)
        elif data.error is not None:
            error = _innermost(data.error)
            text = error.message.strip().partition(f"{error.cls_name}: ")[2] or error.message
            yield Attempt(eid, name, "failed", error.cls_name, text, error.to_string())


def _innermost(error: SerializableErrorInfo) -> SerializableErrorInfo:
    while error.cause:
        error = error.cause
    return error
