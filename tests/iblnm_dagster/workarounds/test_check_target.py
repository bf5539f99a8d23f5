"""The work-around for results of checks that each ask what they are about."""

from __future__ import annotations

import dagster as dg
import pytest

from iblnm_dagster.workarounds.check_target import CheckResult

pytestmark = pytest.mark.slow
N = 4
KEY = dg.AssetKey("signal")
SESSIONS = dg.StaticPartitionsDefinition(["a", "b"])


def evaluate(result_type, monkeypatch):
    """Make a signal of two sessions, check the second; questions to the log, and targets."""

    @dg.asset(key=KEY, partitions_def=SESSIONS)
    def signal():
        return None

    names = [f"rule_{i}" for i in range(N)]

    @dg.multi_asset_check(
        specs=[dg.AssetCheckSpec(name, asset=KEY, partitions_def=SESSIONS) for name in names]
    )
    def rules():
        for name in names:
            yield result_type(asset_key=KEY, check_name=name, passed=True)

    stock = dg.DagsterInstance.fetch_materializations
    asked = []

    def counting(self, *args, **options):
        asked.append(args)
        return stock(self, *args, **options)

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([signal], partition_key="a", instance=instance)
        monkeypatch.setattr(dg.DagsterInstance, "fetch_materializations", counting)
        result = dg.materialize([signal, rules], partition_key="b", instance=instance)
        monkeypatch.undo()
    targets = {e.target_materialization_data.run_id for e in result.get_asset_check_evaluations()}
    assert len(result.get_asset_check_evaluations()) == N
    assert targets == {result.run_id}
    return len(asked)


def test_the_results_of_a_step_ask_once(monkeypatch):
    assert evaluate(CheckResult, monkeypatch) == 1


def test_those_of_stock_dagster_still_ask_each(monkeypatch):
    """When this fails, Dagster asks once: drop the work-around."""
    assert evaluate(dg.AssetCheckResult, monkeypatch) == N
