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
from iblnm.pipeline.rules import RULES, Finding, Rule, RuleError, rule
from iblnm.pipeline.rules.values import as_row
from iblnm.pipeline.stage import Result, Stage
from iblnm.reference import reference_pages
from iblnm.schemas import Column, Table
from iblnm.signal import metrics as signal_metrics
from iblnm.signal.metrics import Metric
from iblnm.storage.store import SessionStore

# a quality metric ------------------------------------------------------------------------------


def interdecile_range(windows) -> np.ndarray:
    """P90 − P10 of each detrended window."""
    return windows.percentile(90) - windows.percentile(10)


@pytest.fixture
def declared_metric(monkeypatch) -> Metric:
    metric = Metric(
        "interdecile_range",
        "a.u.",
        "P90−P10 of the detrended signal, mean over windows",
        interdecile_range,
        bounds=(0, None),
        is_positive=True,
    )
    monkeypatch.setattr(signal_metrics, "METRICS", (*signal_metrics.METRICS, metric))
    return metric


@pytest.fixture
def measured_bands() -> dict[str, pd.DataFrame]:
    times = np.arange(0, 300, 1 / 30)
    rng = np.random.default_rng(5)
    return {
        band: pd.DataFrame({"VTA": level + 0.01 * rng.standard_normal(len(times))}, index=times)
        for band, level in (("GCaMP", 1.0), ("Isosbestic", 0.5))
    }


def test_a_declared_metric_is_measured_and_stored(declared_metric, measured_bands, tmp_path):
    from iblnm.schemas import QC_PHOTOMETRY
    from iblnm.signal.qc import qc_table, sliding_metrics
    from iblnm.storage.h5 import read_group, write_groups
    from iblnm.storage.parquet import read_table, write_table

    name = declared_metric.name
    column = next(column for column in QC_PHOTOMETRY.columns if column.name == name)
    assert (column.unit, column.ge, column.le) == ("a.u.", 0, None)
    assert column.description == declared_metric.description
    eid = "0a64126d-a149-4d28-80d8-00a5ca60c681"
    table = QC_PHOTOMETRY.validate(qc_table(measured_bands, eid=eid, fiber_idx={"VTA": 0}))
    for band, value in zip(table["band"], table[name], strict=True):
        signal = measured_bands[band]["VTA"]
        windows = sliding_metrics(signal.index.to_numpy(), signal.to_numpy())
        assert value == pytest.approx(windows[name].mean(), rel=1e-12)
        assert value == pytest.approx(0.02563, rel=0.05)  # of a normal distribution, sd 0.01
    path = tmp_path / f"{eid}.h5"
    write_groups(path, {"photometry/qc": table})
    assert read_group(path, "photometry/qc")[name].tolist() == table[name].tolist()
    write_table(table, tmp_path / "qc_photometry.pqt", QC_PHOTOMETRY)
    stored = read_table(tmp_path / "qc_photometry.pqt", QC_PHOTOMETRY)
    assert stored[name].tolist() == table[name].tolist()


@pytest.mark.slow
def test_a_declared_metric_is_on_the_page_in_the_overview_and_in_the_reference(
    declared_metric, measured_bands, tmp_path
):
    import iblnm.config
    from iblnm.analysis.quality.compute import qc_overview
    from iblnm.schemas import QC_PHOTOMETRY, SESSIONS_TABLE
    from iblnm.signal.qc import qc_table
    from iblnm.vis import qc_histograms_figure

    settings = Settings(root=tmp_path)
    assert declared_metric.name in iblnm.config.QC_SLIDING_METRICS
    assert f"`{declared_metric.name}`" in reference_pages(settings)["metrics"]
    assert f"`{declared_metric.name}`" in reference_pages(settings)["tables"]
    quality = QC_PHOTOMETRY.conform(qc_table(measured_bands, eid="a", fiber_idx={"VTA": 0}))
    row = {"eid": "a", "subject": "m", "start_time": "2024-01-01T10:00:00"}
    row |= {"brain_region": ["VTA"], "hemisphere": ["l"], "target_NM": ["VTA-DA"]}
    sessions = SESSIONS_TABLE.conform(pd.DataFrame([row]))
    overview = qc_overview(sessions, quality, None, settings)
    values = overview.tables["qc_values"]
    assert declared_metric.name in set(values["metric"])
    assert declared_metric.name in overview.parameters["quality_metrics"]
    figure = qc_histograms_figure(values, settings=settings)
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert "interdecile range (a.u.)" in labels


# a rule with a threshold -----------------------------------------------------------------------


class ShortSession(RuleError):
    """The session is too short to be compared with its video."""


@pytest.fixture
def declared_rule(monkeypatch) -> Rule:
    monkeypatch.setitem(RULES, "short_session", None)  # taken out again afterwards
    del RULES["short_session"]

    @rule(
        ShortSession,
        asset="session",
        level="session",
        severity="ERROR",
        threshold=lambda settings: settings.thresholds.max_video_length_difference_s,
        unit="s",
        description="The session lasts longer than its video may differ from it.",
    )
    def short_session(session_row, settings: Settings) -> Finding:
        length = as_row(session_row)["session_length"]
        limit = settings.thresholds.max_video_length_difference_s
        message = f"The session lasts {length:g} s; more than {limit:g} s are expected."
        return Finding(length > limit, float(length), message)

    return RULES["short_session"]


def test_a_declared_rule_is_a_check_an_exception_and_a_validator(declared_rule, tmp_path):
    from iblnm import validation
    from iblnm.data import PhotometrySession
    from iblnm_dagster.build import build_defs

    settings = Settings(root=tmp_path)
    assets = build_defs(settings).resolve_asset_graph()
    check = assets.get_check_spec(dg.AssetCheckKey(dg.AssetKey("session"), "short_session"))
    assert declared_rule.description in check.description
    assert check.blocking is False
    assert validation.ShortSession is ShortSession
    assert {"ShortSession", "validate_short_session"} <= set(dir(validation))
    assert validation.error_types({"ShortSession"}) == {"ShortSession"}
    row = pd.Series({"eid": "a", "session_length": 60.0})
    with pytest.raises(ShortSession, match="60 s; more than 120 s") as raised:
        validation.validate_short_session(row)
    assert (raised.value.outcome.value, raised.value.outcome.limit) == (60, 120)
    log: list[dict] = []
    validation.validate_short_session(row, exlog=log)
    assert [entry["error_type"] for entry in log] == ["ShortSession"]
    loose = Settings(root=tmp_path, thresholds=Thresholds(max_video_length_difference_s=30))
    assert declared_rule.evaluate(loose, session_row=row).passed
    assert PhotometrySession(row, settings=loose).settings is loose
    line = next(
        line for line in reference_pages(loose)["rules"].splitlines() if "short_session" in line
    )
    assert "| session | ERROR | 30 s | The session lasts longer than" in line


@pytest.mark.slow
def test_a_declared_rule_is_judged_and_shown(declared_rule, small_archive, tmp_path):
    from iblnm_dagster.build import build_defs
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions
    from iblnm_dagster.running.worker import Worker
    from iblnm_dagster.tables import update_tables

    limits = Thresholds(max_video_length_difference_s=1e6)
    settings = Settings(root=tmp_path, one_cache_dir=small_archive[0], thresholds=limits)
    eid = small_archive[1]["sessions"][0]["eid"]
    with open_instance(settings) as instance:
        add_sessions(instance, [eid])
        Worker(settings, instance, assets=("session",)).run(eid)
        assert update_tables(build_defs(settings), instance).success
    matrix = pd.read_parquet(settings.metadata_dir / "qc_matrix.pqt")
    (cell,) = matrix[matrix["check"] == "short_session"].to_dict("records")
    length = SessionStore(settings).load("session", eid)["session_length"].iloc[0]
    assert (cell["outcome"], cell["value"], cell["limit"]) == ("fail", length, 1e6)
    assert "more than 1e+06 s are expected" in cell["message"]
    errors = pd.read_parquet(settings.metadata_dir / "errors.pqt")
    assert "ShortSession" in set(errors["error_type"])
    page = (settings.figures_dir / "qc" / "dashboard.html").read_text(encoding="utf-8")
    assert "short_session" in page
    assert declared_rule.description in page


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
    stage = Stage("rewards", count_rewards, group="behavior", table=REWARDS, folder="data/rewards")
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
    assert node.group_name == "behavior"
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
    blocked = RULES["insufficient_trials"].blocks
    assert {"responses", "performance", "wheel_velocity"} < {*blocked}
    assert blocked[-1] == "rewards"
    assert graph.checked_stages()[-1] == "rewards"
    assert graph.inputs_of_rules("rewards") == {"rewards": "rewards"}
    assert "rewards" not in graph.essential_stages()
    pages = reference_pages(Settings(root=tmp_path))
    assert "| `rewards` | Rewarded trials of the session. | session, trials |" in pages["stages"]
    assert "## `rewards`" in pages["tables"]


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
    assert "stopped by the check insufficient_trials of trials: " in problem


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
    pages = reference_pages(Settings(root=tmp_path))
    (line,) = (line for line in pages["analyses"].splitlines() if "`reward_shares`" in line)
    assert "Share of rewarded trials of each animal." in line
    assert "`results/rewards/reward_shares.pqt` | `figures/rewards/reward_shares`" in line
    assert "## `reward_shares`" in pages["tables"]


@pytest.mark.slow
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
