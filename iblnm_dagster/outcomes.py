"""What the instance knows of the sessions now: latest check results and failures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from dagster import (
    AssetCheckKey,
    AssetKey,
    DagsterEventType,
    DagsterInstance,
)
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus,
)
from dagster._utils.error import SerializableErrorInfo
from iblnm.validation import RULES, Rule

from iblnm_dagster.checks import CHECKED_ASSETS

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
_FAILED = AssetCheckExecutionRecordStatus.FAILED
_SUCCEEDED = AssetCheckExecutionRecordStatus.SUCCEEDED
_BLOCKED_BY_CHECK = "DagsterAssetCheckFailedError"


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
    keys = [check_key(RULES[name]) for name in statuses]
    for info in instance.event_log_storage.get_asset_check_partition_info(keys):
        if info.partition_key and info.latest_execution_status in (_FAILED, _SUCCEEDED):
            passed = info.latest_execution_status == _SUCCEEDED
            statuses[info.check_key.name][info.partition_key] = passed
    return statuses


def failed_evaluations(instance: DagsterInstance, rule: Rule, eids: set[str]) -> dict[str, str]:
    """Message of the latest failed evaluation of a rule, by eid."""
    messages: dict[str, str] = {}
    cursor = None
    while len(messages) < len(eids):
        records = instance.event_log_storage.get_asset_check_execution_history(
            check_key(rule), limit=1000, cursor=cursor, status={_FAILED}
        )
        for record in records:
            if record.partition in eids and record.partition not in messages:
                evaluation = record.evaluation
                messages[record.partition] = (evaluation.description or "") if evaluation else ""
        if len(records) < 1000:
            break
        cursor = records[-1].id
    return messages


def asset_failures(
    instance: DagsterInstance, assets: Sequence[str] = SESSION_ASSET_NAMES
) -> list[AssetFailure]:
    """Assets whose latest attempt for a session raised an error, newest attempt only."""
    storage = instance.event_log_storage
    wanted: dict[str, list[tuple[str, str]]] = {}
    for name in assets:
        attempts = (
            storage.get_latest_asset_partition_materialization_attempts_without_materializations(
                AssetKey(name)
            )
        )
        for eid, (run_id, _) in attempts.items():
            wanted.setdefault(run_id, []).append((name, eid))
    failures = []
    for run_id, pairs in wanted.items():
        records = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE)
        errors = {record.event_log_entry.step_key: record for record in records.records}
        for name, eid in pairs:
            if name in errors:
                failures.append(_failure(eid, name, errors[name]))
    return failures


def _failure(eid: str, asset: str, record) -> AssetFailure:
    data = record.event_log_entry.dagster_event.step_failure_data
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


def current_errors(instance: DagsterInstance) -> pd.DataFrame:
    """One row per session and failed rule or failed asset, as things stand now.

    Returns
    -------
    DataFrame
        Columns of the schema `iblnm.schemas.ERRORS`. A session that now succeeds has no rows.
    """
    rows = []
    for rule in session_rules():
        passed = latest_statuses(instance, [rule])[rule.name]
        failing = {eid for eid, ok in passed.items() if not ok}
        for eid, message in failed_evaluations(instance, rule, failing).items():
            rows.append((eid, rule.exception.__name__, message, None, rule.asset, rule.severity))
    for failure in asset_failures(instance):
        rows.append(
            (
                failure.eid,
                failure.error_type,
                failure.message,
                failure.traceback or None,
                failure.asset,
                "FAILURE",
            )
        )
    names = ["eid", "error_type", "error_message", "traceback", "asset", "severity"]
    return pd.DataFrame(rows, columns=names).sort_values(["eid", "asset", "error_type"])
