"""Stages of task performance and of the quality overview."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.performance.compute import task_performance, trial_errors
from iblnm.analysis.performance.tables import TABLES
from iblnm.analysis.quality.compute import qc_overview
from iblnm.analysis.quality.tables import TABLES as QUALITY_TABLES
from iblnm.analysis.result import write_result
from iblnm.config import Settings
from iblnm.schemas import ERRORS, PERFORMANCE, QC_PHOTOMETRY, SESSIONS_TABLE, VIDEO

STAGES = ["training"] * 4 + ["biased"] * 3 + ["ephys"] * 2


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(root=tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def sessions():
    """Eight animals of each of two targets; the first training session has no fiber."""
    rows = []
    for target in ("DR-5HT", "LC-NE"):
        for i in range(8):
            extra = 3 if target == "LC-NE" else 0
            stages = ["training"] * extra + STAGES
            for j, stage in enumerate(stages):
                region = target.split("-")[0]
                rows.append(
                    {
                        "eid": f"{target}-{i}-{j:02}",
                        "subject": f"{target}-{i}",
                        "start_time": (
                            pd.Timestamp("2024-01-01T10:00") + pd.Timedelta(days=60 * i + j)
                        ).isoformat(),
                        "session_type": stage,
                        "lab": "lab",
                        "brain_region": [region] if j else [],
                        "hemisphere": ["l"] if j else [],
                        "target_NM": [target] if j else [],
                        "recording_name": [region] if j else [],
                        "datasets": ["alf/_ibl_trials.table.pqt"],
                    }
                )
    return SESSIONS_TABLE.conform(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def performance(sessions):
    """Animals of LC-NE have twice the shift of the bias."""
    rng = np.random.default_rng(0)
    n = len(sessions)
    trained = (sessions["session_type"] != "training").to_numpy()
    shift = np.where(sessions["subject"].str.startswith("LC"), 20.0, 10.0) + rng.normal(0, 1, n)
    table = sessions[["eid"]].assign(
        n_trials=500,
        fraction_correct=rng.uniform(0.4, 0.9, n),
        fraction_correct_easy=0.9,
        nogo_fraction=0.01,
        bias_shift=np.where(trained, shift, np.nan),
    )
    for block in (50, 20, 80):
        fitted = trained if block != 50 else np.ones(n, dtype=bool)
        for name, mean in (("bias", 0), ("threshold", 20), ("lapse_left", 0.1)):
            table[f"psych_{block}_{name}"] = np.where(
                fitted, mean + rng.normal(0, 0.01, n), np.nan
            )
        table[f"psych_{block}_lapse_right"] = 0.05
    return PERFORMANCE.conform(table)


@pytest.fixture(scope="module")
def result(sessions, performance, settings):
    return task_performance(sessions, performance, None, settings)


@pytest.mark.slow
def test_tables_hold_their_schemas_and_are_written(result, tmp_path):
    assert set(result.tables) == set(TABLES)
    assert set(write_result(result, tmp_path, TABLES)) == set(TABLES)


@pytest.mark.slow
def test_all_training_counts_also_without_fiber_or_below_70_percent(result, sessions):
    curves = result.tables["learning_curves"]
    assert len(curves) == len(sessions)
    assert (curves["fraction_correct"] < 0.7).any()
    assert result.counts["used"] == {
        "sessions": len(sessions),
        "recordings": len(sessions) - 16,
        "subjects": 16,
        "trials": 500 * len(sessions),
    }


@pytest.mark.slow
def test_planted_differences_are_found_and_no_others(result):
    table = result.tables["target_comparisons"]
    overall = table[table["test"] == "kruskal_wallis"].set_index("measure")
    pairs = table[table["test"] == "mann_whitney"].set_index("measure")
    assert (overall["n_a"] == 16).all()
    assert overall.loc["bias_shift", "p_corrected"] < 0.01
    assert pairs.loc["bias_shift", "ci_low"] < -10 < pairs.loc["bias_shift", "ci_high"] < -8
    assert overall.loc["sessions_to_biased", "p_corrected"] < 0.01
    assert pairs.loc["sessions_to_biased", "shift"] == -3
    assert overall.loc[["threshold", "lapse_left", "fraction_correct"], "p_corrected"].min() > 0.05
    # all animals need as many biased sessions: nothing to test
    assert np.isnan(overall.loc["biased_sessions_to_ephys", "p"])


def test_means_and_trajectories_count_animals(result):
    means = result.tables["learning_curve_means"]
    late = means[(means["target_NM"] == "LC-NE") & (means["stage_index"] == 7)]
    assert set(late["session_type"]) == {"training"} and (late["n_subjects"] == 8).all()
    fits = result.tables["psychometric_trajectories"]
    assert (fits[fits["block"] != 50]["session_type"] != "training").all()


@pytest.mark.slow
def test_sessions_that_break_a_rule_about_trials_are_left_out(sessions, performance, settings):
    assert {"InsufficientTrials", "ChoiceSign"} <= trial_errors()
    eids = sessions["eid"].iloc[:3].tolist()
    errors = ERRORS.conform(
        pd.DataFrame(
            {
                "eid": eids,
                "error_type": ["InsufficientTrials", "BandInversion", "ChoiceSign"],
                "asset": ["trials", "photometry_qc", "trials"],
                "severity": "BLOCK",
            }
        )
    )
    result = task_performance(sessions, performance, errors, settings)
    used = set(result.tables["learning_curves"]["eid"])
    assert eids[1] in used and not {eids[0], eids[2]} & used


@pytest.mark.slow
def test_an_animal_first_seen_later_tells_nothing_about_the_stage_before(
    sessions, performance, settings
):
    seen = sessions[(sessions["subject"] != "DR-5HT-0") | (sessions["session_type"] == "ephys")]
    result = task_performance(seen, performance, None, settings)
    overall = result.tables["target_comparisons"].query("test == 'kruskal_wallis'")
    n = overall.set_index("measure")["n_a"]
    assert n["sessions_to_biased"] == n["biased_sessions_to_ephys"] == 15
    assert n["bias_shift"] == 16


@pytest.mark.slow
def test_no_sessions_give_empty_tables(sessions, performance, settings):
    result = task_performance(sessions[:0], performance, None, settings)
    for name, table in result.tables.items():
        TABLES[name].validate(table)
    assert result.tables["learning_curves"].empty
    assert result.counts["used"]["sessions"] == 0
    assert "0 targets; comparing needs 2" in result.notes


@pytest.fixture(scope="module")
def quality(sessions):
    rng = np.random.default_rng(1)
    own = sessions[sessions["target_NM"].map(len) > 0]
    month = own["subject"].str[-1].astype(int)
    table = own[["eid"]].assign(
        brain_region=[r[0] for r in own["brain_region"]],
        band="GCaMP",
        fiber_idx=0,
        n_unique_samples=rng.uniform(0.2, 0.5, len(own)),
        ar_score=rng.uniform(0.5, 0.9, len(own)),
        median_absolute_deviance=rng.uniform(0.1, 0.2, len(own)),
        percentile_asymmetry=rng.uniform(0.8, 1.2, len(own)),
        percentile_distance=rng.uniform(1, 2, len(own)),
        bleaching_tau=1000 - 50 * month + rng.normal(0, 5, len(own)),
        iso_correlation=rng.uniform(0, 1, len(own)),
    )
    return QC_PHOTOMETRY.conform(table)


@pytest.mark.slow
def test_quality_overview_finds_the_planted_trend(sessions, quality, settings, tmp_path):
    video = VIDEO.conform(sessions[["eid", "subject", "session_type"]].assign(qc_focus="PASS"))
    result = qc_overview(sessions, quality, video, settings)
    assert set(write_result(result, tmp_path, QUALITY_TABLES)) == set(QUALITY_TABLES)
    tests = result.tables["qc_trend_tests"].set_index(["target_NM", "metric"])
    for target in ("DR-5HT", "LC-NE"):
        planted = tests.loc[(target, "bleaching_tau")]
        # animals follow each other by 60 days
        assert planted["ci_low"] < -25 < planted["ci_high"] < 0
        assert planted["p_corrected"] < 0.01 and planted["n_subjects"] == 8
        assert tests.loc[(target, "ar_score"), "p_corrected"] > 0.05
    assert result.counts["used"]["recordings"] == len(quality)
    assert len(result.tables["qc_values"]) == 7 * len(quality)
    focus = result.tables["video_overview"].query("qc_column == 'qc_focus'")
    assert focus["n_sessions"].sum() == len(sessions)


def test_quality_overview_of_nothing(sessions, quality, settings):
    result = qc_overview(sessions[:0], quality, None, settings)
    for name, table in result.tables.items():
        QUALITY_TABLES[name].validate(table)
    assert result.tables["qc_values"].empty and result.counts["used"]["recordings"] == 0
