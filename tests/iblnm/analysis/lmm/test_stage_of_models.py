from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import simulate_magnitudes

from iblnm.analysis.lmm.compute import response_lmm
from iblnm.analysis.lmm.model import LMMResult
from iblnm.analysis.lmm.tables import TABLES as LMM_TABLES
from iblnm.analysis.movement.compute import movement_encoding
from iblnm.analysis.movement.tables import TABLES as MOVEMENT_TABLES
from iblnm.analysis.result import write_result
from iblnm.config import ModelSettings, Settings
from iblnm.data import PhotometrySessionGroup
from iblnm.storage.parquet import read_provenance, read_table

pytestmark = pytest.mark.slow

SETTINGS = Settings(models=ModelSettings(n_permutations=99, timings=("reaction_time",)))


@pytest.fixture(scope="module")
def cohort():
    return simulate_magnitudes(
        targets=["VTA-DA", "LC-NE"],
        n_subjects=4,
        n_trials=200,
        timing_effect=-0.8,
        wheel_effect=0.3,
        n_unbiased=150,
        nogo_fraction=0.05,
        seed=6,
    )


@pytest.fixture(scope="module")
def lmm(cohort):
    return response_lmm(cohort[0], SETTINGS)


@pytest.fixture(scope="module")
def movement(cohort):
    return movement_encoding(cohort[0], cohort[1]["trial_regressors"], SETTINGS)


def test_only_unbiased_trials_with_a_choice_are_used(cohort, lmm):
    table = cohort[0]
    usable = table[(table["probabilityLeft"] == 0.5) & (table["choice"] != 0)]
    expected = usable.drop_duplicates(["eid", "trial"]).shape[0]
    assert lmm.counts["candidate"]["trials"] == 16 * 200
    assert lmm.counts["eligible"]["trials"] == lmm.counts["used"]["trials"] == expected
    assert lmm.counts["used"]["subjects"] == 8
    per_fit = lmm.tables["lmm_fits"]["n_trials"]
    assert per_fit.sum() == len(usable)


def test_coefficients_have_effect_interval_and_both_p(lmm, cohort):
    table = lmm.tables["lmm_coefficients"]
    assert len(table) == 2 * (4 + 8)
    assert table["converged"].all()
    assert ((table["ci_low"] < table["estimate"]) & (table["estimate"] < table["ci_high"])).all()
    assert (table["p_corrected"] >= table["p"]).all()
    assert set(table["correction"]) == {"holm within event, intercepts apart"}
    at_stimulus = table[table["event"] == "stimOn_times"]
    assert not at_stimulus["term"].str.contains("reward").any()
    reward = table[(table["term"] == "reward")].set_index("target_NM")
    planted = {
        target: cohort[1]["effects"][target]["feedback_times"]["reward"] for target in reward.index
    }
    for target, value in planted.items():
        assert abs(reward.loc[target, "estimate"] - value) < 4 * reward.loc[target, "se"]
        # the degrees of freedom are those of four animals
        assert reward.loc[target, "p_corrected"] < 0.05


def test_tables_that_follow(lmm):
    means = lmm.tables["marginal_means"]
    assert set(means["factor"]) == {"contrast", "side", "reward"}
    assert len(means) == 2 * (5 + 2) + 2 * (5 + 2 + 2)
    slopes = lmm.tables["contrast_slopes"]
    assert len(slopes) == 2 * 3 + 2 * 5
    assert slopes["p_corrected"].notna().all()
    effects = lmm.tables["interaction_effects"]
    assert not effects[effects["event"] == "stimOn_times"]["y_factor"].eq("reward").any()


def test_movement_tables(movement):
    encoding = movement.tables["movement_encoding"]
    assert len(encoding) == 8
    tests = movement.tables["movement_tests"].set_index(["target_NM", "predictor"])
    assert tests.loc[("VTA-DA", "contrast"), "p"] == 0.01
    assert (tests["p_corrected"] >= tests["p"]).all()
    slopes = movement.tables["movement_slopes"]
    assert len(slopes) == 2 * 5
    assert (np.abs(slopes["timing_coef"] + 0.8) < 4 * slopes["timing_se"]).all()
    wheel = movement.tables["wheel_models"]
    assert len(wheel) == 2 * 5 * 3
    velocity = wheel[wheel["dv"] == "peak_velocity"]
    assert (np.abs(velocity["nm_coefficient"] - 0.3) < 4 * velocity["nm_se"]).all()
    assert (velocity["lrt_pvalue"] < 0.005).sum() > 8
    # four animals have few degrees of freedom, so that few tests are left after correction
    assert velocity["n_animals"].eq(4).all()
    assert (np.abs(velocity["animal_coefficient"] - 0.3) < 0.3).all()
    assert (velocity["animal_p"] < 0.05).sum() > 3
    assert (velocity["p_corrected"] >= velocity["animal_p"]).all()


def test_without_velocities_the_other_variables_remain(cohort):
    wheel = movement_encoding(cohort[0], None, SETTINGS).tables["wheel_models"]
    assert set(wheel["dv"]) == {"reaction_time", "movement_time"}


def test_files_carry_what_was_chosen(lmm, movement, tmp_path):
    paths = {
        **write_result(lmm, tmp_path, LMM_TABLES),
        **write_result(movement, tmp_path, MOVEMENT_TABLES),
    }
    assert len(paths) == 9
    origin = read_provenance(paths["lmm_coefficients"]).parameters
    assert origin["contrast_coding"] == "log"
    assert origin["re_formulas"] == ["contrast + side + reward ||", "contrast", "1"]
    assert origin["counts"]["used"]["subjects"] == 8
    assert read_provenance(paths["movement_tests"]).parameters["seed"] == 0
    pd.testing.assert_frame_equal(
        read_table(paths["wheel_models"], MOVEMENT_TABLES["wheel_models"]),
        movement.tables["wheel_models"],
    )


def test_a_fit_that_did_not_converge_has_no_estimates(cohort):
    strict = Settings(models=ModelSettings(se_tolerance=0.0, re_formulas=("1",)))
    own = cohort[0][cohort[0]["target_NM"] == "LC-NE"]
    result = response_lmm(own, strict)
    coefficients = result.tables["lmm_coefficients"]
    assert not coefficients["converged"].any()
    assert coefficients[["estimate", "se", "p", "ci_low", "p_corrected"]].isna().all(axis=None)
    assert result.tables["marginal_means"].empty
    assert result.counts["used"]["subjects"] == 0
    assert result.numbers["not converged"] == 2
    assert "LC-NE, stimOn_times: not converged with random effects '1'" in result.notes


@pytest.mark.parametrize("mice", [0, 1])
def test_too_small_cohorts_are_empty_with_a_note(cohort, mice, tmp_path):
    table = cohort[0]
    table = table[table["subject"].isin(["VTA-DA_000"][:mice])]
    lmm = response_lmm(table, SETTINGS)
    movement = movement_encoding(table, cohort[1]["trial_regressors"], SETTINGS)
    assert all(t.empty for t in (*lmm.tables.values(), *movement.tables.values()))
    assert "2" in lmm.notes[0]
    assert len(movement.notes) == mice
    assert len(write_result(lmm, tmp_path, LMM_TABLES)) == 5
    assert len(write_result(movement, tmp_path, MOVEMENT_TABLES)) == 4


class TestGroup:
    @pytest.fixture
    def group(self, cohort, tmp_path):
        table, _ = cohort
        one = table.drop_duplicates(["eid", "fiber_idx"])
        sessions = pd.DataFrame(
            {
                "eid": one["eid"],
                "subject": one["subject"],
                "brain_region": [[name] for name in one["brain_region"]],
                "hemisphere": [[side] for side in one["hemisphere"]],
                "target_NM": [[target] for target in one["target_NM"]],
            }
        )
        group = PhotometrySessionGroup(sessions, one=object(), h5_dir=tmp_path, settings=SETTINGS)
        group.response_magnitudes = table
        return group

    def test_fit_lmm(self, group, lmm):
        assert group.lmm_results is None
        results = group.fit_lmm()
        assert isinstance(results["LC-NE", "feedback"], LMMResult)
        assert group.lmm_re_formula["VTA-DA", "stimOn"] == "contrast + side + reward ||"
        ours = lmm.tables["lmm_coefficients"]
        table = group.lmm_coefficients
        pd.testing.assert_frame_equal(table[ours.columns.tolist()], ours)
        pd.testing.assert_series_equal(table["Coef."], ours["estimate"], check_names=False)
        np.testing.assert_allclose(table["Coef."] / table["Std.Err."], table["z"])
        assert table["P>|z|"].between(0, 1).all()
        fit = results["LC-NE", "feedback"]
        assert set(fit.emm_reward["level"]) == {"correct", "incorrect"}
        assert fit.emm_contrast["level"].tolist() == list(fit.contrasts)
        means = fit.emm_side.set_index("level")
        assert (means["ci_lower"] < means["mean"]).all()
        assert (means["mean"] < means["ci_upper"]).all()
        assert fit.contrast_slopes["slope"].notna().all()
        assert set(fit.interaction_contrast_reward["level"]) == {"correct", "incorrect"}
        at_stimulus = results["VTA-DA", "stimOn"]
        assert at_stimulus.emm_reward is at_stimulus.interaction_reward_side is None
        assert len(at_stimulus.interaction_contrast_side) == 2
        assert group.fit_lmm(min_subjects=5) == {}
        assert "4 subjects, 5 are needed" in group.lmm_notes[0]
        assert group.lmm_coefficients.empty
        results = group.fit_lmm(re_formulas=("1",), contrast_coding="rank")
        assert results["LC-NE", "stimOn"].contrast_coding == "rank"
        assert set(group.lmm_re_formula.values()) == {"1"}

    def test_fit_wheel_lmm(self, group, cohort, movement):
        group.peak_velocity = cohort[1]["trial_regressors"][["eid", "trial", "peak_velocity"]]
        results = group.fit_wheel_lmm()
        assert results is group.wheel_lmm_results
        summary, ours = group.wheel_lmm_summary, movement.tables["wheel_models"]
        pd.testing.assert_frame_equal(summary[ours.columns.tolist()], ours, check_dtype=False)
        known = ["base_r2_marginal", "full_r2_marginal", "nm_coefficient", "nm_pvalue"]
        assert summary[known].notna().all(axis=None)
        row = group.wheel_lmm_results["VTA-DA", 0.0, "peak_velocity"]
        assert row["lrt_pvalue"] < 0.01

    def test_fit_movement_encoding(self, group, movement):
        found = group.fit_movement_encoding()
        pd.testing.assert_frame_equal(found, movement.tables["movement_encoding"])
        pd.testing.assert_frame_equal(group.movement_tests, movement.tables["movement_tests"])
        assert len(group.movement_slopes) == 10
