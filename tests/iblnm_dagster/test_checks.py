"""The checks on the page: what is declared, what is recorded, what stops what."""

from __future__ import annotations

import dagster as dg
import pandas as pd
import pytest
from dagster import AssetCheckKey, AssetCheckSeverity, AssetKey, MetadataValue

from iblnm.analysis import registry
from iblnm.config import Settings
from iblnm.pipeline.groups import running_rules
from iblnm.reference import rule_address
from iblnm.schemas import QC_MATRIX
from iblnm.validation import RULES
from iblnm_dagster.build import build_defs
from iblnm_dagster.checks import pass_share
from iblnm_dagster.partitions import SESSION_PARTITIONS

OF_ANALYSES = {
    (check.name, declared.name) for declared in registry.ANALYSES for check in declared.checks
}


@pytest.fixture(scope="module")
def specs():
    graph = build_defs(Settings()).resolve_asset_graph()
    return {key: graph.get_check_spec(key) for key in graph.asset_check_keys}


def test_every_rule_is_a_check_of_its_asset(specs):
    declared = {(key.name, key.asset_key.to_user_string()) for key in specs}
    assert declared == {(rule.name, rule.asset) for rule in running_rules()} | {
        ("pass_share", "qc_summary"),
        *OF_ANALYSES,
    }


def test_blocking_severity_unit_and_words_are_those_of_the_rule(specs):
    for key, spec in specs.items():
        if (key.name, key.asset_key.to_user_string()) in OF_ANALYSES | {
            ("pass_share", "qc_summary")
        }:
            continue
        rule = RULES[key.name]
        assert spec.blocking == (rule.severity == "BLOCK")
        assert spec.description == f"{rule.description} If not: {rule.remedy}"
        assert spec.metadata == {
            "severity": rule.severity,
            "unit": rule.unit,
            "level": rule.level,
            "documentation": MetadataValue.url(rule_address(Settings(_env_file=None), rule.name)),
        }
        expected = None if rule.level == "cohort" else SESSION_PARTITIONS
        assert spec.partitions_def == expected


def test_a_graph_without_checks_has_those_alone_that_analyses_make_in_their_own_step():
    graph = build_defs(Settings(), checks=False).resolve_asset_graph()
    left = {(key.name, key.asset_key.to_user_string()) for key in graph.asset_check_keys}
    assert left == OF_ANALYSES


def evaluation(faulty, defect, check):
    eid = next(s["eid"] for s in faulty.truth["sessions"] if s["defect"] == defect)
    records = faulty.instance.event_log_storage.get_asset_check_execution_history(
        AssetCheckKey(AssetKey(RULES[check].asset), check), limit=1000
    )
    return next(r.evaluation for r in records if r.partition == eid and r.evaluation)


@pytest.mark.slow
def test_an_evaluation_has_numbers_message_and_table(faulty):
    blocked = evaluation(faulty, "band_inversion", "band_inversion")
    assert not blocked.passed
    assert blocked.blocking
    assert blocked.severity == AssetCheckSeverity.ERROR
    assert blocked.metadata["value"].value > 0
    assert blocked.metadata["limit"].value == 0.0
    assert blocked.metadata["severity"].value == "BLOCK"
    warned = evaluation(faulty, "few_unique_samples", "few_unique_samples")
    assert not warned.passed
    assert not warned.blocking
    assert warned.severity == AssetCheckSeverity.WARN
    assert warned.metadata["value"].value < warned.metadata["limit"].value == 0.05
    tables = [v for v in warned.metadata.values() if isinstance(v, dg.MarkdownMetadataValue)]
    assert len(tables) == 1
    assert tables[0].md_str.splitlines()[1].startswith("| --- |")


@pytest.mark.slow
def test_checks_of_the_tables_are_recorded(faulty):
    storage = faulty.instance.event_log_storage
    planted = [
        session["eid"]
        for session in faulty.truth["sessions"]
        if "true_duplicate_session" in session["expected_failures"]
    ]
    (record,) = storage.get_asset_check_execution_history(
        AssetCheckKey(AssetKey("sessions"), "true_duplicate_session"), limit=10
    )
    assert record.partition is None
    assert not record.evaluation.passed
    assert record.evaluation.severity == AssetCheckSeverity.WARN
    assert record.evaluation.metadata["value"].value == len(planted) == 1
    assert planted[0] in record.evaluation.metadata["sessions"].md_str
    (record,) = storage.get_asset_check_execution_history(
        AssetCheckKey(AssetKey("qc_summary"), "pass_share"), limit=10
    )
    assert record.evaluation.passed
    metadata = record.evaluation.metadata
    assert metadata["evaluated"].value == len(faulty.truth["sessions"])
    matrix = faulty.table("qc_matrix")
    strict = matrix[matrix["severity"] != "WARN"]
    spoiled = strict.loc[strict["outcome"].isin({"fail", "not run"}), "eid"]
    passing = matrix["eid"].nunique() - spoiled.nunique()
    assert metadata["passing"].value == passing
    assert metadata["value"].value == pytest.approx(passing / len(faulty.truth["sessions"]))


@pytest.mark.parametrize(("limit", "passed"), [(0.5, True), (0.6, False)])
def test_pass_share_is_held_to_the_settings(limit, passed):
    rule = RULES["insufficient_trials"]
    matrix = QC_MATRIX.conform(
        pd.DataFrame(
            {
                "eid": ["a", "b"],
                "check": rule.name,
                "asset": rule.asset,
                "severity": rule.severity,
                "outcome": ["pass", "fail"],
            }
        )
    )
    settings = Settings(thresholds={"min_pass_share": limit})
    result = pass_share(qc_matrix=matrix, settings=settings)
    assert result.passed is passed
    assert result.severity == AssetCheckSeverity.WARN
    assert result.metadata["value"].value == 0.5
    assert result.metadata["limit"].value == limit
