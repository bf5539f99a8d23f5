"""Asset checks generated from `iblnm.pipeline.rules`: one check per rule and session."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pandas as pd
from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetIn,
    MetadataValue,
    ResourceParam,
    asset_check,
    multi_asset_check,
)

from iblnm.analysis.declaration import Analysis
from iblnm.config import Settings
from iblnm.errors import MissingFileError
from iblnm.pipeline.graph import checked_stages
from iblnm.pipeline.groups import PHOTOMETRY, running_group
from iblnm.pipeline.rules import RULES, Outcome, Rule, rules_for
from iblnm.pipeline.wording import stored_session_words
from iblnm.reference.rules import rule_address, rule_text
from iblnm.storage.store import SessionStore
from iblnm_dagster.markup import without_markup
from iblnm_dagster.migration import outcomes_of
from iblnm_dagster.partitions import SESSION_PARTITIONS
from iblnm_dagster.workarounds.check_target import CheckResult


def build_session_checks(settings: Settings) -> list[AssetChecksDefinition]:
    """One step per asset that evaluates all its rules for one session."""
    return [_checks_of(name, rules_for(name), settings) for name in checked_stages()]


def build_catalog_checks(settings: Settings) -> list[AssetChecksDefinition]:
    """Checks of the tables over all sessions."""
    if running_group() != PHOTOMETRY:
        return [pass_share]
    return [_duplicate_check(RULES["true_duplicate_session"], settings), pass_share]


def analysis_check_specs(declared: Analysis) -> list[AssetCheckSpec]:
    """Checks of an analysis, which it evaluates in its own step."""
    return [
        AssetCheckSpec(
            check.name,
            asset=declared.name,
            description=check.text,
            metadata={"severity": "WARN", "unit": check.unit, "level": "cohort"},
        )
        for check in declared.checks
    ]


def analysis_check_results(
    declared: Analysis, parameters: Mapping[str, Any], settings: Settings
) -> Iterator[AssetCheckResult]:
    """Results of the checks of an analysis, from the parameters of its result."""
    for check in declared.checks:
        yield _result(declared.name, check.evaluate(parameters, settings))


def _checks_of(asset: str, rules: list[Rule], declared: Settings) -> AssetChecksDefinition:
    @multi_asset_check(
        name=f"{asset}_checks", specs=[_spec(rule, declared) for rule in rules], can_subset=True
    )
    def evaluate_rules(
        context: AssetCheckExecutionContext,
        store: ResourceParam[SessionStore],
        settings: ResourceParam[Settings],
    ) -> Iterator[AssetCheckResult]:
        from iblnm.pipeline.checking import evaluate_stored

        selected = {key.name for key in context.selected_asset_check_keys}
        try:
            outcomes = evaluate_stored(store, asset, context.partition_key, settings)
        except MissingFileError as error:
            context.log.info(f"nothing to evaluate: {error}")
            return
        outcomes = [outcome for outcome in outcomes if outcome.rule in selected]
        outcomes_of(context.instance, settings).record_evaluations(context.partition_key, outcomes)
        failed = any(not outcome.passed for outcome in outcomes)
        words = stored_session_words(store, context.partition_key) if failed else ""
        for outcome in outcomes:
            if outcome.evaluated:
                cell = cell_url(settings, context.partition_key, outcome.rule)
                yield _result(asset, outcome, words, cell)

    return evaluate_rules


def _duplicate_check(rule: Rule, declared: Settings) -> AssetChecksDefinition:
    @asset_check(
        asset=rule.asset,
        name=rule.name,
        description=rule_text(rule),
        metadata=_facts(rule, declared),
    )
    def find_duplicates(
        context: AssetCheckExecutionContext,
        sessions: pd.DataFrame,
        settings: ResourceParam[Settings],
    ) -> AssetCheckResult:
        from iblnm.pipeline.selection import with_stored_performance
        from iblnm.pipeline.standing import current_duplicate_candidates

        outcomes = outcomes_of(context.instance, settings)
        known = with_stored_performance(sessions, SessionStore(settings))
        candidates = current_duplicate_candidates(outcomes, known)
        return _result(rule.asset, rule.evaluate(settings, sessions=candidates))

    return find_duplicates


@asset_check(
    asset="qc_summary",
    description="Enough of the evaluated sessions pass every BLOCK and ERROR check.",
    additional_ins={"qc_matrix": AssetIn()},
    metadata={"severity": "WARN", "unit": "fraction", "level": "cohort"},
)
def pass_share(qc_matrix: pd.DataFrame, settings: ResourceParam[Settings]) -> AssetCheckResult:
    """The check of `qc_summary`: its limit is ``Settings.thresholds.min_pass_share``."""
    from iblnm.pipeline.qc_summary import evaluate_pass_share

    return _result("qc_summary", evaluate_pass_share(qc_matrix, settings.thresholds))


def _spec(rule: Rule, settings: Settings) -> AssetCheckSpec:
    return AssetCheckSpec(
        rule.name,
        asset=rule.asset,
        description=rule_text(rule),
        blocking=rule.severity == "BLOCK",
        partitions_def=SESSION_PARTITIONS,
        metadata=_facts(rule, settings),
    )


def _facts(rule: Rule, settings: Settings) -> dict[str, Any]:
    return {
        "severity": rule.severity,
        "unit": rule.unit,
        "level": rule.level,
        "documentation": MetadataValue.url(rule_address(settings, rule.name)),
    }


def cell_url(settings: Settings, eid: str, rule: str) -> str:
    """Cell of the dashboard of a check of a session, as the viewer serves it."""
    place = urlencode({"open": f"{eid}~{rule}"})
    return f"{settings.viewer_url}/figures/qc/dashboard.html#{place}"


def _result(
    asset: str, outcome: Outcome, words: str = "", dashboard: str = ""
) -> AssetCheckResult:
    warns = outcome.severity == "WARN"
    whose = "" if outcome.passed or not words else f"{words}: "
    return CheckResult(
        asset_key=asset,
        check_name=outcome.rule,
        passed=outcome.passed,
        severity=AssetCheckSeverity.WARN if warns else AssetCheckSeverity.ERROR,
        description=without_markup(whose + outcome.message),
        metadata=_metadata(outcome)
        | ({"session": words} if whose else {})
        | ({"dashboard": MetadataValue.url(dashboard)} if dashboard else {}),
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
            else without_markup(entry)
            if isinstance(entry, str)
            else entry
        )
    return metadata


def _markdown_table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = [
        list(map(_cell, names)),
        ["---"] * len(names),
        *([_cell(row[n]) for n in names] for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return without_markup(text).replace("|", "\\|")
