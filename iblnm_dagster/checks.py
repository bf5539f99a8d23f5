"""Asset checks generated from the rules of `iblnm.validation`: one check per rule and session."""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    MetadataValue,
    ResourceParam,
    multi_asset_check,
)

from iblnm.config import Settings
from iblnm.storage.store import SessionStore
from iblnm.validation import RULES, Outcome, Rule, rules_for
from iblnm_dagster.partitions import SESSION_PARTITIONS

CHECKED_ASSETS = (
    "session",
    "trials",
    "photometry",
    "photometry_qc",
    "preprocessed",
    "performance",
    "video_qc",
)


def build_session_checks() -> list[AssetChecksDefinition]:
    """One step per asset that evaluates all its rules for one session."""
    return [_checks_of(asset, rules) for asset in CHECKED_ASSETS if (rules := rules_for(asset))]


def check_severity(name: str) -> str:
    """Severity of a check by its name: BLOCK, ERROR or WARN."""
    return RULES[name].severity


def _checks_of(asset: str, rules: list[Rule]) -> AssetChecksDefinition:
    @multi_asset_check(
        name=f"{asset}_checks", specs=[_spec(rule) for rule in rules], can_subset=True
    )
    def evaluate_rules(
        context: AssetCheckExecutionContext,
        store: ResourceParam[SessionStore],
        settings: ResourceParam[Settings],
    ) -> Iterator[AssetCheckResult]:
        from iblnm.data.checking import evaluate_stored

        selected = {key.name for key in context.selected_asset_check_keys}
        for outcome in evaluate_stored(store, asset, context.partition_key, settings):
            if outcome.rule in selected:
                yield _result(asset, outcome)

    return evaluate_rules


def _spec(rule: Rule) -> AssetCheckSpec:
    return AssetCheckSpec(
        rule.name,
        asset=rule.asset,
        description=rule.description,
        blocking=rule.severity == "BLOCK",
        partitions_def=SESSION_PARTITIONS,
        metadata={"severity": rule.severity, "unit": rule.unit, "level": rule.level},
    )


def _result(asset: str, outcome: Outcome) -> AssetCheckResult:
    warns = outcome.severity == "WARN"
    return AssetCheckResult(
        asset_key=asset,
        check_name=outcome.rule,
        passed=outcome.passed,
        severity=AssetCheckSeverity.WARN if warns else AssetCheckSeverity.ERROR,
        description=outcome.message,
        metadata=_metadata(outcome),
    )


def _metadata(outcome: Outcome) -> dict[str, Any]:
    metadata: dict[str, Any] = {"severity": outcome.severity}
    for name in ("value", "limit"):
        number = getattr(outcome, name)
        if number is not None:
            metadata[name] = MetadataValue.float(float(number))
    for name, entry in outcome.metadata.items():
        metadata[name] = (
            MetadataValue.md(_markdown_table(entry))
            if isinstance(entry, list) and entry and isinstance(entry[0], dict)
            else entry
        )
    return metadata


def _markdown_table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([_cell(row[n]) for n in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")
