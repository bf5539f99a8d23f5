"""Each thing that can be added is declared here, once, and found everywhere else."""

from __future__ import annotations

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from iblnm.analysis import registry
from iblnm.analysis.declaration import Analysis, Figure
from iblnm.analysis.result import AnalysisResult, count_units
from iblnm.config import Settings, Thresholds
from iblnm.pipeline import graph, stages
from iblnm.pipeline.rules import RULES, Finding, RuleError, rule
from iblnm.pipeline.stage import Result, Stage
from iblnm.schemas import Column, Table
from iblnm.storage.store import SessionStore

# a stage of a session with a table, and a rule about it ---------------------------------------

REWARDS = Table(
    "rewards",
    "Rewards of each session",
    (
        Column("eid", "str", "Session", nullable=False),
        Column("n_rewards", "int", "Rewarded trials", nullable=False, ge=0),
    ),
    key=("eid",),
)


def count_rewards(session: pd.Series, trials: pd.DataFrame, settings: Settings) -> Result:
    """Rewarded trials of the session."""
    n_rewards = int((trials["feedbackType"] == 1).sum())
    table = REWARDS.conform(pd.DataFrame([{"eid": session.eid, "n_rewards": n_rewards}]))
    return Result(table, numbers={"rewards": n_rewards})


class FewRewards(RuleError):
    """Fewer rewards than an animal works for."""


def few_rewards(rewards: pd.DataFrame, settings: Settings) -> Finding:
    n_rewards = int(rewards["n_rewards"].iloc[0])
    return Finding(n_rewards >= 20, n_rewards, f"{n_rewards} rewards; at least 20 are expected")


@pytest.fixture
def rewards_stage(monkeypatch) -> Stage:
    """The declared stage and its rule, for the time of a test."""
    stage = Stage(
        "rewards", count_rewards, group="behaviour", table=REWARDS, folder="data/rewards"
    )
    monkeypatch.setattr(stages, "STAGES", (*stages.STAGES, stage))
    monkeypatch.setitem(RULES, "few_rewards", None)  # taken out again afterwards
    del RULES["few_rewards"]
    rule(
        FewRewards,
        asset="rewards",
        level="session",
        severity="WARN",
        threshold=lambda _: 20.0,
        unit="trials",
        description="The animal is rewarded in at least 20 trials.",
    )(few_rewards)
    return stage


def test_a_declared_stage_is_an_asset_with_place_check_and_guard(rewards_stage, tmp_path):
    from iblnm_dagster.build import build_defs
    from iblnm_dagster.jobs import SESSION_JOB
    from iblnm_dagster.partitions import SESSION_PARTITIONS

    defs = build_defs(Settings(root=tmp_path))
    assets, key = defs.resolve_asset_graph(), dg.AssetKey("rewards")
    node = assets.get(key)
    assert {parent.to_user_string() for parent in node.parent_keys} == {"session", "trials"}
    assert node.partitions_def == SESSION_PARTITIONS
    assert node.group_name == "behaviour"
    assert node.description == "Rewarded trials of the session."
    assert node.kinds == {"parquet"}
    assert node.metadata["folder"] == "data/rewards"
    columns = node.metadata["dagster/column_schema"].columns
    assert [column.name for column in columns] == ["eid", "n_rewards"]
    check = assets.get_check_spec(dg.AssetCheckKey(key, "few_rewards"))
    assert check.partitions_def == SESSION_PARTITIONS
    assert check.blocking is False
    job = defs.resolve_job_def(SESSION_JOB)
    assert {"rewards", "rewards_checks"} <= {step.name for step in job.nodes}
    assert graph.guards("rewards") == ("trials",)
    assert RULES["insufficient_trials"].blocks == (
        "responses",
        "performance",
        "wheel_velocity",
        "rewards",
    )
    assert graph.checked_stages()[-1] == "rewards"
    assert graph.inputs_of_rules("rewards") == {"rewards": "rewards"}
    assert "rewards" not in graph.essential_stages()


@pytest.mark.slow
def test_a_declared_stage_is_made_judged_stored_and_guarded(
    rewards_stage, small_archive, tmp_path
):
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions
    from iblnm_dagster.running.worker import BLOCKED, PASSED, Worker

    settings = Settings(root=tmp_path, one_cache_dir=small_archive[0])
    eid = small_archive[1]["sessions"][0]["eid"]
    strict = Thresholds(min_trials=10_000)
    with open_instance(settings) as instance:
        add_sessions(instance, [eid])
        worker = Worker(settings, instance, assets=("session", "trials", "rewards"))
        assert worker.run(eid).status == PASSED
        evaluation = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey("rewards"), "few_rewards"), limit=1
        )[0].evaluation
        refused = Worker(
            settings.model_copy(update={"thresholds": strict}), instance, assets=("rewards",)
        ).run(eid)
    store = SessionStore(settings)
    trials = store.load("trials", eid)
    n_rewards = int(np.sum(trials["feedbackType"] == 1))
    assert n_rewards > 20
    stored = pd.read_parquet(tmp_path / "data" / "rewards" / f"{eid}.pqt")
    assert stored.to_dict("records") == [{"eid": eid, "n_rewards": n_rewards}]
    assert store.load("rewards", eid)["n_rewards"].tolist() == [n_rewards]
    assert store.collect("rewards")["eid"].tolist() == [eid]
    assert store.eids("rewards") == [eid]
    assert evaluation.passed
    assert evaluation.metadata["value"].value == n_rewards
    assert refused.status == BLOCKED
    (problem,) = refused.problems
    assert problem.startswith("rewards: stopped by the check insufficient_trials of trials: ")


# an analysis over all sessions with a table and a figure ---------------------------------------

REWARD_SHARES = Table(
    "reward_shares",
    "Share of rewarded trials of each animal",
    (
        Column("subject", "str", "Mouse name", nullable=False),
        Column("share", "float", "Rewarded share of the trials", nullable=False, ge=0, le=1),
    ),
    key=("subject",),
)


def reward_shares(response_magnitudes: pd.DataFrame, settings: Settings) -> AnalysisResult:
    """Share of rewarded trials of each animal.

    Parameters
    ----------
    response_magnitudes : DataFrame
    settings : Settings
    """
    trials = response_magnitudes.drop_duplicates(["eid", "trial"])
    share = (trials["feedbackType"] == 1).groupby(trials["subject"]).mean()
    used = count_units(trials)
    return AnalysisResult(
        {"reward_shares": share.rename("share").reset_index()},
        counts=dict.fromkeys(("candidate", "eligible", "used"), used),
        parameters={"project": settings.project},
    )


def draw_reward_shares(shares: pd.DataFrame, *, counts, settings: Settings):
    """The shares as bars."""
    from iblnm.vis.style import new_figure

    figure = new_figure(2, 2)
    figure.add_subplot().bar(shares["subject"], shares["share"])
    return figure


@pytest.fixture
def shares_analysis(monkeypatch) -> Analysis:
    declared = Analysis(
        "reward_shares",
        reward_shares,
        folder="rewards",
        tables={"reward_shares": REWARD_SHARES},
        figures=(Figure("reward_shares", draw_reward_shares, ("reward_shares",)),),
    )
    monkeypatch.setattr(registry, "ANALYSES", (*registry.ANALYSES, declared))
    return declared


def test_a_declared_analysis_is_an_asset_with_table_figure_and_help(shares_analysis, tmp_path):
    from iblnm.vis import FIGURES, figures_in
    from iblnm_dagster.build import build_defs
    from iblnm_dagster.cli import cli
    from iblnm_dagster.cohort import cohort_names
    from iblnm_dagster.jobs import COHORT_JOB

    defs = build_defs(Settings(root=tmp_path))
    assets = defs.resolve_asset_graph()
    node = assets.get(dg.AssetKey("reward_shares"))
    assert {key.to_user_string() for key in node.parent_keys} == {"response_magnitudes"}
    assert node.description == "Share of rewarded trials of each animal."
    assert node.metadata["file"] == "results/rewards/reward_shares.pqt"
    columns = node.metadata["dagster/column_schema"].columns
    assert [column.name for column in columns] == ["subject", "share"]
    drawn = assets.get(dg.AssetKey("rewards_figures"))
    assert {key.to_user_string() for key in drawn.parent_keys} == {"reward_shares"}
    job = defs.resolve_job_def(COHORT_JOB)
    assert {"reward_shares", "rewards_figures"} <= {step.name for step in job.nodes}
    assert FIGURES["reward_shares"].files == ("results/rewards/reward_shares.pqt",)
    assert figures_in("rewards") == ["reward_shares"]
    assert registry.tables()["reward_shares"] is REWARD_SHARES
    assert registry.producer("results/rewards/reward_shares.pqt") == "reward_shares"
    assert {"reward_shares", "rewards_figures"} <= set(cohort_names())
    shown = CliRunner().invoke(cli, ["analyse", "--help"]).output
    assert "Share of rewarded trials of each animal." in shown
    assert "rewards_figures" in shown


def test_a_declared_analysis_is_computed_stored_and_drawn(shares_analysis, tmp_path):
    from bench.cohort_tables import simulate_magnitudes

    from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
    from iblnm.storage.parquet import read_provenance, read_table, write_table
    from iblnm_dagster.build import build_defs
    from iblnm_dagster.jobs import COHORT_JOB

    settings = Settings(root=tmp_path, figures={"file_types": ("png",), "dpi": 40})
    table = simulate_magnitudes(targets=["LC-NE"], n_subjects=2, n_trials=60, seed=3)[0]
    path = settings.root / registry.analysis("response_magnitudes").files["responses"]
    write_table(RESPONSE_MAGNITUDES.conform(table), path, RESPONSE_MAGNITUDES)
    keys = [dg.AssetKey("reward_shares"), dg.AssetKey("rewards_figures")]
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            build_defs(settings)
            .resolve_job_def(COHORT_JOB)
            .execute_in_process(instance=instance, asset_selection=keys)
        )
    assert result.success
    stored = settings.results_dir / "rewards" / "reward_shares.pqt"
    trials = table.drop_duplicates(["eid", "trial"])
    expected = (trials["feedbackType"] == 1).groupby(trials["subject"]).mean()
    found = read_table(stored, REWARD_SHARES).set_index("subject")["share"]
    assert found.to_dict() == pytest.approx(expected.to_dict())
    origin = read_provenance(stored).parameters
    assert origin["project"] == settings.project
    assert origin["counts"]["used"]["subjects"] == 2
    assert (settings.figures_dir / "rewards" / "reward_shares.png").stat().st_size > 500
