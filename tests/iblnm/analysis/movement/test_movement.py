from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import simulate_magnitudes
from statsmodels.regression.mixed_linear_model import MixedLM

from iblnm.analysis import (
    cross_validate_movement,
    fit_timing_slopes,
    fit_wheel_model,
    movement_permutation_test,
)
from iblnm.analysis.movement.compute import trials_of_fits
from iblnm.analysis.movement.cross_validation import LOSO_COLUMNS, movement_design
from iblnm.analysis.movement.permutation import significance_limit
from iblnm.analysis.result import count_stages, used_counts
from iblnm.errors import DataError

RESPONSE, TIMING = "response_early", "reaction_time"


def stimulus_trials(**options):
    table, truth = simulate_magnitudes(targets=["VTA-DA"], **options)
    table = table[table["event"] == "stimOn_times"].reset_index(drop=True)
    velocity = truth["trial_regressors"][["eid", "trial", "peak_velocity"]]
    return table.merge(velocity, on=["eid", "trial"])


def mixedlm(y, x, subject, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MixedLM(y, x, subject).fit(method=["bfgs", "powell"], **options)


def refitted(table):
    """The straightforward way: every model refitted in every fold."""
    design = movement_design(table, RESPONSE, TIMING)
    models = {"full": [0, 1, 2, 3], "drop_contrast": [0, 2, 3], "drop_timing": [0, 1, 2]}
    rows = []
    for k, name in enumerate(design.names):
        out = design.subject == k
        row = {"subject": name, "n_trials": out.sum()}
        for model, columns in models.items():
            x = design.x[:, columns]
            fit = mixedlm(design.y[~out], x[~out], design.subject[~out])
            prediction = x[out] @ fit.fe_params
            response = design.y[out] - design.y[out].mean()
            residual = response - (prediction - prediction.mean())
            row[f"r2_{model}"] = 1 - (residual**2).sum() / (response**2).sum()
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def trials():
    return stimulus_trials(
        n_subjects=5, timing_effect=-0.8, wheel_effect=0.3, slope_sd=0.02, seed=3
    )


@pytest.fixture(scope="module")
def loso(trials):
    return cross_validate_movement(trials, RESPONSE, TIMING)


class TestLeaveOneSubjectOut:
    @pytest.mark.slow
    def test_is_refitting_every_fold(self, trials, loso):
        uneven = trials[~((trials["subject"] == "VTA-DA_001") & (trials["trial"] > 40))]
        found, expected = cross_validate_movement(uneven, RESPONSE, TIMING), refitted(uneven)
        assert found["subject"].tolist() == expected["subject"].tolist()
        assert found["n_trials"].tolist() == expected["n_trials"].tolist()
        for name in ("r2_full", "r2_drop_contrast", "r2_drop_timing"):
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)

    def test_planted_effects_add(self, loso):
        assert list(loso) == LOSO_COLUMNS
        assert (loso["delta_r2_contrast"] > 0.02).all()
        assert loso["delta_r2_timing"].mean() > 0.005
        np.testing.assert_allclose(
            loso["delta_r2_timing"], loso["r2_full"] - loso["r2_drop_timing"]
        )
        assert set(loso["target_NM"]) == {"VTA-DA"}

    def test_timing_that_is_not_related_adds_nothing(self, trials):
        delta = cross_validate_movement(trials, RESPONSE, "movement_time")["delta_r2_timing"]
        assert abs(delta.mean()) < 0.002

    def test_offset_of_the_held_out_subject_is_no_matter(self, trials, loso):
        shifted = trials.copy()
        own = shifted["subject"] == "VTA-DA_002"
        shifted.loc[own, RESPONSE] += 50.0
        found = cross_validate_movement(shifted, RESPONSE, TIMING)
        row = found["subject"] == "VTA-DA_002"
        for name in ("r2_full", "delta_r2_contrast", "delta_r2_timing"):
            np.testing.assert_allclose(found.loc[row, name], loso.loc[row, name], atol=1e-9)

    def test_nothing_of_the_held_out_subject_leaks(self, trials, loso):
        # Its slope is turned round: the prediction stays, so its R² falls below zero.
        turned = trials.copy()
        own = turned["subject"] == "VTA-DA_002"
        turned.loc[own, RESPONSE] *= -1
        found = cross_validate_movement(turned, RESPONSE, TIMING)
        assert (found.loc[found["subject"] == "VTA-DA_002", "r2_full"] < -0.1).all()

    def test_limits(self, trials):
        two = trials[trials["subject"].isin(["VTA-DA_000", "VTA-DA_001"])]
        empty = cross_validate_movement(two, RESPONSE, TIMING)
        assert empty.empty
        assert list(empty) == LOSO_COLUMNS
        few = trials[~((trials["subject"] == "VTA-DA_003") & (trials.index % 60 != 0))]
        assert (few["subject"] == "VTA-DA_003").sum() < 20
        assert "VTA-DA_003" not in set(cross_validate_movement(few, RESPONSE, TIMING)["subject"])
        assert cross_validate_movement(trials.iloc[:0], RESPONSE, TIMING).empty
        one_side = trials[trials["side"] == "contra"]
        assert cross_validate_movement(one_side, RESPONSE, TIMING).empty
        with pytest.raises(DataError, match="no column nothing"):
            cross_validate_movement(trials, RESPONSE, "nothing")

    def test_premature_movements_have_no_time(self, trials):
        early = trials.copy()
        early.loc[early.index[:10], TIMING] = [-0.02, 0.0] * 5
        found = cross_validate_movement(early, RESPONSE, TIMING)
        assert found["n_trials"].sum() == len(trials) - 10


class TestPermutation:
    def test_planted_effects(self, trials, loso):
        found = movement_permutation_test(trials, RESPONSE, TIMING, n_permutations=99, seed=1)
        found = found.set_index("predictor")
        for name in ("contrast", "timing"):
            mean = loso[f"delta_r2_{name}"].mean()
            assert found.loc[name, "mean_delta_r2"] == pytest.approx(mean, abs=1e-7)
            assert found.loc[name, "p"] == 0.01
            assert found.loc[name, "ci_low"] < mean < found.loc[name, "ci_high"]

    def test_no_effect(self, trials):
        found = movement_permutation_test(trials, RESPONSE, "movement_time", n_permutations=99)
        assert found.set_index("predictor").loc["timing", "p"] > 0.05

    def test_seed_makes_it(self, trials):
        first, again, other = (
            movement_permutation_test(
                trials, RESPONSE, "movement_time", n_permutations=49, seed=seed
            )
            for seed in (4, 4, 5)
        )
        pd.testing.assert_frame_equal(first, again)
        assert first["p"].tolist() != other["p"].tolist()

    def test_too_few_subjects(self, trials):
        two = trials[trials["subject"].isin(["VTA-DA_000", "VTA-DA_001"])]
        assert movement_permutation_test(two, RESPONSE, TIMING).empty


class TestSlopes:
    def test_are_those_of_the_library(self, trials):
        found = fit_timing_slopes(trials, RESPONSE, TIMING)
        assert found["contrast"].tolist() == [0.0, 6.25, 12.5, 25.0, 100.0]
        design = movement_design(trials, RESPONSE, TIMING)
        for row in found.itertuples():
            here = design.percent == row.contrast
            x = design.x[here][:, [0, 2, 3]]
            fit = mixedlm(design.y[here], x, design.subject[here])
            assert row.timing_coef == pytest.approx(fit.fe_params[2], abs=1e-4)
            # The library's errors are from the observed information, ours from GLS.
            assert row.timing_se == pytest.approx(fit.bse_fe[2], rel=1e-2)
            assert row.n_trials == here.sum()

    def test_planted(self, trials):
        found = fit_timing_slopes(trials, RESPONSE, TIMING)
        assert (np.abs(found["timing_coef"] + 0.8) < 4 * found["timing_se"]).all()
        assert ((found["ci_low"] < -0.8) & (found["ci_high"] > -0.8)).sum() >= 4

    def test_limits(self, trials):
        one = trials[trials["subject"] == "VTA-DA_000"]
        assert fit_timing_slopes(one, RESPONSE, TIMING).empty
        rare = trials[(trials["contrast"] != 25) | (trials.index % 100 == 0)]
        found = fit_timing_slopes(rare, RESPONSE, TIMING)
        assert 25.0 not in set(found["contrast"])


class TestWheel:
    def test_is_the_likelihood_ratio_of_the_library(self, trials):
        own = trials[trials["contrast"] == 0]
        found = fit_wheel_model(own, "peak_velocity", target_nm="VTA-DA")
        side = np.where(own["side"] == "contra", 0.5, -0.5)
        choice = side * own["feedbackType"].to_numpy()
        base = np.column_stack([np.ones(len(own)), side, choice, side * choice])
        subject = np.unique(own["subject"], return_inverse=True)[1]
        y = own["peak_velocity"].to_numpy()
        small = mixedlm(y, base, subject, reml=False)
        large = mixedlm(y, np.column_stack([base, own[RESPONSE]]), subject, reml=False)
        assert found["lrt_chi2"] == pytest.approx(2 * (large.llf - small.llf), abs=1e-3)
        assert found["nm_coefficient"] == pytest.approx(large.fe_params[-1], abs=1e-5)
        assert found["n_base_effects"] == 4
        assert found["target_NM"] == "VTA-DA"

    def test_planted_and_no_effect(self, trials):
        own = trials[trials["contrast"] == 6.25]
        found = fit_wheel_model(own, "peak_velocity", contrast=6.25)
        assert found["nm_ci_low"] < 0.3 < found["nm_ci_high"]
        assert found["lrt_pvalue"] < 1e-6
        assert found["delta_r2"] > 0.03
        assert fit_wheel_model(own, "movement_time", contrast=6.25)["lrt_pvalue"] > 0.01

    def test_choice_is_relative_to_the_fiber(self, trials):
        # Which hemisphere the fiber is in does not change what contra and ipsi say.
        own = trials[trials["contrast"] == 0]
        mirrored = own.assign(
            hemisphere=own["hemisphere"].map({"l": "r", "r": "l"}), choice=-own["choice"]
        )
        assert fit_wheel_model(own, "peak_velocity") == fit_wheel_model(mirrored, "peak_velocity")

    def test_without_errors_choice_is_side(self, trials):
        own = trials[(trials["contrast"] == 100) & (trials["feedbackType"] == 1)]
        found = fit_wheel_model(own, "peak_velocity", contrast=100.0)
        assert found["n_base_effects"] == 2
        assert np.isfinite(found["lrt_pvalue"])

    def test_limits(self, trials):
        own = trials[trials["contrast"] == 0]
        assert fit_wheel_model(own[own["subject"] == "VTA-DA_000"], "peak_velocity") is None
        assert fit_wheel_model(own.iloc[::60], "peak_velocity") is None
        assert fit_wheel_model(own.assign(peak_velocity=np.nan), "peak_velocity") is None
        assert fit_wheel_model(own.assign(response_early=1.0), "peak_velocity") is None
        with pytest.raises(DataError, match="no column speed"):
            fit_wheel_model(own, "speed")


class TestWhatIsDrawn:
    """Intervals and limits that figures show agree with the p of their test."""

    @pytest.mark.parametrize("n", [40, 60, 90, 140])
    @pytest.mark.parametrize("variable", ["peak_velocity", "movement_time"])
    def test_interval_of_wheel_models_holds_zero_where_p_is_large(self, trials, n, variable):
        own = trials[trials["contrast"] == 6.25].sample(n, random_state=n)
        found = fit_wheel_model(own, variable, contrast=6.25)
        holds_zero = found["nm_ci_low"] <= 0 <= found["nm_ci_high"]
        assert holds_zero == (found["lrt_pvalue"] >= 0.05)
        # near the interval of the standard error
        half = (found["nm_ci_high"] - found["nm_ci_low"]) / 2
        assert half == pytest.approx(1.96 * found["nm_se"], rel=0.1)

    @pytest.mark.parametrize("timing", [TIMING, "movement_time"])
    def test_limit_of_the_permutation_is_where_p_is_small(self, trials, timing):
        found = movement_permutation_test(trials, RESPONSE, timing, n_permutations=99)
        above = found["mean_delta_r2"] > found["null_high"]
        assert above.tolist() == (found["p"] < 0.05).tolist()
        assert (found["null_median"] < found["null_high"]).all()

    def test_every_permutation_has_its_side_of_the_limit(self):
        null = np.random.default_rng(2).normal(size=199)
        limit = significance_limit(null, 0.05)
        for value in (*null, limit, np.nextafter(limit, 9)):
            p = (1 + (null >= value).sum()) / 200
            assert (value > limit) == (p < 0.05)
        assert np.isnan(significance_limit(null[:10], 0.05))

    def test_trials_of_a_figure_are_those_of_its_fits(self):
        trials = pd.DataFrame(
            {
                "eid": ["a", "a", "b", "b", "c"],
                "subject": ["a", "a", "b", "b", "c"],
                "target_NM": "VTA-DA",
                "fiber_idx": 0,
                "trial": [0, 1, 0, 1, 0],
                "contrast": [0.0, 100.0, 100.0, 100.0, 100.0],
                "peak_velocity": [1.0, 1.0, 2.0, np.nan, 1.0],
                "reaction_time": [0.1, 0.1, 0.1, 0.1, -0.1],
            }
        )
        fits = pd.DataFrame({"target_NM": "VTA-DA", "contrast": [100.0], "dv": "peak_velocity"})
        used = trials_of_fits(trials, fits, "dv", is_time=False)
        assert used.index.tolist() == [1, 2, 4]
        slopes = fits.rename(columns={"dv": "timing_col"}).assign(timing_col="reaction_time")
        assert trials_of_fits(trials, slopes, "timing_col").index.tolist() == [1, 2, 3]
        counts = count_stages(trials, trials, used, {"wheel_models": used.iloc[:1]})
        assert used_counts(counts, "wheel_models")["subjects"] == 1
        assert used_counts(counts, "movement_slopes")["subjects"] == 3
        assert trials_of_fits(trials, fits.iloc[:0], "dv").empty
