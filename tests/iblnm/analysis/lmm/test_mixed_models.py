from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import EVENTS, simulate_magnitudes

from iblnm.analysis import (
    compute_interaction_effects,
    compute_marginal_means,
    contrast_slopes,
    fit_best_random_effects,
    fit_mixed_model,
    likelihood_ratio_test,
)
from iblnm.analysis.trials import code_trials
from iblnm.errors import DataError

STIMULUS, FEEDBACK = EVENTS


@pytest.fixture(scope="module")
def cohort():
    return simulate_magnitudes(targets=["VTA-DA", "NBM-ACh"], n_subjects=8, seed=2)


def of(table, target, event):
    return table[(table["target_NM"] == target) & (table["event"] == event)]


@pytest.fixture(scope="module")
def feedback_fit(cohort):
    return fit_mixed_model(of(cohort[0], "VTA-DA", FEEDBACK), "response_early", None, "contrast")


@pytest.mark.parametrize("target", ["VTA-DA", "NBM-ACh"])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.slow
def test_planted_effects_are_found(cohort, target, event):
    table, truth = cohort
    fit = fit_mixed_model(of(table, target, event), "response_early", re_formula="contrast")
    assert fit.is_converged
    assert fit.method == "REML"
    planted = truth["effects"][target][event]
    expected = np.array([planted.get(term, 0.0) for term in fit.terms])
    assert (np.abs(fit.coefficients["estimate"] - expected) < 4 * fit.coefficients["se"]).all()
    assert fit.residual_variance == pytest.approx(1.0, rel=0.06)
    assert fit.n_subjects == 8
    assert fit.n_sessions == fit.n_recordings == 16
    own = truth["random"].query("target_NM == @target and event == @event").set_index("subject")
    predicted = fit.subject_effects["Intercept"] - fit.subject_effects["Intercept"].mean()
    actual = (own["intercept"] - own["intercept"].mean()).loc[predicted.index]
    np.testing.assert_allclose(predicted, actual, atol=0.25)


def test_no_outcome_at_the_stimulus(cohort):
    own = of(cohort[0], "VTA-DA", STIMULUS)
    fit = fit_mixed_model(own, "response_early")
    assert fit.terms == ["Intercept", "contrast", "side", "contrast:side"]
    for formula in ("contrast + reward", "response_early ~ side * contrast:reward"):
        with pytest.raises(ValueError, match="reward at stimOn_times"):
            fit_mixed_model(own, "response_early", formula)
    with pytest.raises(ValueError, match="feedbackType"):
        fit_mixed_model(own, "response_early", "contrast + feedbackType")


def test_all_interactions_at_the_feedback(feedback_fit):
    assert set(feedback_fit.terms) == {
        "Intercept",
        "contrast",
        "side",
        "reward",
        "contrast:side",
        "contrast:reward",
        "side:reward",
        "contrast:side:reward",
    }


def test_codes(cohort):
    table = of(cohort[0], "VTA-DA", FEEDBACK)
    coded, center = code_trials(table, "response_early")
    assert center == pytest.approx(np.log1p([0, 6.25, 12.5, 25, 100]).mean())
    np.testing.assert_allclose(coded["contrast"], np.log1p(table["contrast"]) - center)
    assert set(coded.loc[table["side"] == "contra", "side"]) == {0.5}
    assert set(coded.loc[table["feedbackType"] == -1, "reward"]) == {-0.5}
    rank, center = code_trials(table.assign(contrast=25.0), "response_early", "rank")
    assert center == 2.0
    assert set(rank["contrast"]) == {1.0}
    assert code_trials(table.assign(contrast=50.0), "response_early", "rank")[0].empty


def test_center_does_not_depend_on_the_trials(cohort):
    table = of(cohort[0], "VTA-DA", STIMULUS)
    fit = fit_mixed_model(table[table["contrast"] > 0], "response_early")
    assert fit.contrast_center == pytest.approx(np.log1p([0, 6.25, 12.5, 25, 100]).mean())
    assert fit.contrasts == (6.25, 12.5, 25.0, 100.0)


def test_unusable_trials_are_counted(cohort):
    table = of(cohort[0], "VTA-DA", FEEDBACK).copy()
    table.iloc[:7, table.columns.get_loc("response_early")] = np.nan
    table.iloc[7:12, table.columns.get_loc("side")] = None
    fit = fit_mixed_model(table, "response_early")
    assert fit.n_dropped == 12
    assert fit.n_trials == len(table) - 12


@pytest.mark.slow
def test_r2_is_that_of_the_variances():
    table, _ = simulate_magnitudes(
        targets=["LC-NE"],
        n_subjects=60,
        sessions_per_subject=1,
        effects={"LC-NE": {STIMULUS: {"contrast": 0.5, "side": 0.4}}},
        subject_sd=0.8,
        slope_sd=0.3,
        seed=1,
    )
    table = table[table["event"] == STIMULUS]
    fit = fit_mixed_model(table, "response_early", re_formula="contrast")
    spread = np.var(np.log1p([0, 6.25, 12.5, 25, 100]))
    fixed, random = 0.25 * spread + 0.16 / 4, 0.64 + 0.09 * spread
    total = fixed + random + 1.0
    assert fit.r2_marginal == pytest.approx(fixed / total, abs=0.05)
    assert fit.r2_conditional == pytest.approx((fixed + random) / total, abs=0.05)
    cov = fit.cov_random.to_numpy()
    z = np.column_stack([np.ones(len(table)), np.log1p(table["contrast"]) - fit.contrast_center])
    tau2 = np.einsum("ni,ij,nj->n", z, cov, z).mean()
    ratio = (fit.r2_conditional - fit.r2_marginal) / (1 - fit.r2_conditional)
    assert ratio == pytest.approx(tau2 / fit.residual_variance, rel=1e-9)


def test_p_uses_few_degrees_of_freedom_where_animals_differ(feedback_fit):
    found = feedback_fit.coefficients.set_index("term")
    assert 6 < found.loc["contrast", "df"] < 10
    assert found.loc["Intercept", "df"] == pytest.approx(7, abs=0.5)
    assert found.loc["side", "df"] > 1000
    assert (found["p"] >= found["p_wald"]).all()
    half = (found["ci_high"] - found["ci_low"]) / 2
    assert half["contrast"] > 2.2 * found.loc["contrast", "se"]
    assert half["side"] == pytest.approx(1.96 * found.loc["side", "se"], rel=1e-3)


@pytest.mark.slow
def test_singular_fits_take_the_animals_as_the_unit():
    table, _ = simulate_magnitudes(
        targets=["LC-NE"], n_subjects=3, subject_sd=0.0, slope_sd=0.0, seed=1
    )
    own = table[table["event"] == FEEDBACK]
    fit = fit_mixed_model(own, "response_early", re_formula="contrast")
    assert fit.is_singular
    df = fit.coefficients.set_index("term")["df"]
    assert df["Intercept"] <= 2
    assert df["contrast"] <= 2
    assert df["reward"] > 1000
    slopes = contrast_slopes(fit)
    assert (slopes["df"] <= 2).all()


class TestRefused:
    def test_no_errors(self, cohort):
        table = of(cohort[0], "VTA-DA", FEEDBACK)
        with pytest.raises(DataError, match="determine 4 of 8 effects"):
            fit_mixed_model(table[table["feedbackType"] == 1], "response_early")

    def test_one_subject(self, cohort):
        table = of(cohort[0], "VTA-DA", FEEDBACK)
        with pytest.raises(DataError, match="1 subjects"):
            fit_mixed_model(table[table["subject"] == "VTA-DA_000"], "response_early")

    def test_missing_column_and_unknown_name(self, cohort):
        table = of(cohort[0], "VTA-DA", FEEDBACK)
        with pytest.raises(DataError, match="no column side"):
            fit_mixed_model(
                table.drop(columns=["side", "hemisphere", "signed_contrast"]), "response_early"
            )
        with pytest.raises(DataError, match="cannot be used"):
            fit_mixed_model(table, "response_early", "contrast * nonsense")


class TestRandomEffects:
    @pytest.mark.slow
    def test_slopes_where_they_converge(self, cohort):
        fit = fit_best_random_effects(of(cohort[0], "VTA-DA", FEEDBACK), "response_early")
        assert fit.re_formula == "contrast"
        assert fit.note == ""
        assert list(fit.cov_random) == ["Intercept", "contrast"]

    @pytest.mark.slow
    def test_what_does_not_converge_is_said(self, cohort):
        table = of(cohort[0], "VTA-DA", FEEDBACK)
        fit = fit_best_random_effects(table, "response_early", se_tolerance=0.0)
        assert fit.re_formula == "1"
        assert not fit.is_converged
        assert fit.note == "not converged with random effects 'contrast', '1'"


class TestLikelihoodRatio:
    @pytest.mark.slow
    def test_of_a_planted_and_of_no_effect(self, cohort):
        table = of(cohort[0], "VTA-DA", FEEDBACK)
        fits = [
            fit_mixed_model(table, "response_early", formula, reml=False)
            for formula in ("contrast + reward", "contrast", "contrast + reward + side:reward")
        ]
        test = likelihood_ratio_test(fits[0], fits[1])
        assert test["df"] == 1
        assert test["p"] < 1e-20
        z = fits[0].coefficients.set_index("term").loc["reward", "z"]
        assert test["chi2"] == pytest.approx(z**2, rel=0.2)

    @pytest.mark.slow
    def test_reml_is_refused(self, cohort):
        table = of(cohort[0], "VTA-DA", STIMULUS)
        full = fit_mixed_model(table, "response_early")
        with pytest.raises(ValueError, match="use ML"):
            likelihood_ratio_test(full, full)


class TestMarginal:
    @pytest.mark.slow
    def test_means(self, feedback_fit):
        beta = feedback_fit.params
        means = compute_marginal_means(feedback_fit, "contrast")
        assert means["level"].tolist() == [0.0, 6.25, 12.5, 25.0, 100.0]
        coded = np.log1p([0, 6.25, 12.5, 25, 100]) - feedback_fit.contrast_center
        expected = beta["Intercept"] + coded * beta["contrast"]
        np.testing.assert_allclose(means["mean"], expected, atol=1e-12)
        means = compute_marginal_means(feedback_fit, "reward").set_index("level")["mean"]
        assert means["correct"] - means["incorrect"] == pytest.approx(beta["reward"])
        with pytest.raises(ValueError, match="not in the model"):
            compute_marginal_means(feedback_fit, "choice")

    @pytest.mark.slow
    def test_slope_at_each_outcome_with_its_variance(self, feedback_fit):
        terms = feedback_fit.terms
        i, j = terms.index("contrast"), terms.index("contrast:reward")
        v = feedback_fit.cov_fixed
        slopes = contrast_slopes(feedback_fit).set_index(["factor", "level"])
        for level, r in (("incorrect", -0.5), ("correct", 0.5)):
            found = slopes.loc[("reward", level)]
            beta = feedback_fit.params
            expected = beta["contrast"] + r * beta["contrast:reward"]
            assert found["slope"] == pytest.approx(expected)
            variance = v[i, i] + r**2 * v[j, j] + 2 * r * v[i, j]
            assert found["se"] == pytest.approx(np.sqrt(variance))
        planted = -0.10 + 0.5 * -0.25
        found = slopes.loc[("reward", "correct")]
        assert found["ci_low"] < planted < found["ci_high"]

    @pytest.mark.slow
    def test_no_outcome_without_outcome(self, cohort):
        fit = fit_mixed_model(of(cohort[0], "VTA-DA", STIMULUS), "response_early")
        assert contrast_slopes(fit)["factor"].tolist() == ["all", "side", "side"]

    def test_simple_effects(self, feedback_fit):
        effects = compute_interaction_effects(feedback_fit, "reward", "contrast")
        beta = feedback_fit.params
        expected = beta["reward"] + effects["coded"] * beta["contrast:reward"]
        np.testing.assert_allclose(effects["effect"], expected, atol=1e-12)
        planted = 1.2 - 0.25 * effects["coded"]
        assert (np.abs(effects["effect"] - planted) < 4 * effects["se"]).all()
        with pytest.raises(ValueError, match="own levels"):
            compute_interaction_effects(feedback_fit, "side", "side")


def test_result_survives_pickling(feedback_fit):
    import pickle

    again = pickle.loads(pickle.dumps(feedback_fit))
    pd.testing.assert_frame_equal(
        compute_marginal_means(again, "side"), compute_marginal_means(feedback_fit, "side")
    )


@pytest.mark.slow
def test_animals_that_differ_in_side_and_reward_carry_the_error_of_these_effects():
    """Four animals; with slopes of contrast alone the error is that of the trials."""
    effects = {event: {} for event in EVENTS}
    table, _ = simulate_magnitudes(
        targets=["VTA-DA"], n_subjects=4, n_trials=200, effects={"VTA-DA": effects}, seed=31
    )
    own = table[table["event"] == FEEDBACK].copy()
    _, code = np.unique(own["subject"], return_inverse=True)
    slopes = np.array([[-0.5, 0.4, 0.6, -0.3], [0.6, -0.6, 0.5, -0.4]])
    side = np.where(own["side"] == "contra", 0.5, -0.5)
    reward = np.where(own["feedbackType"] == 1, 0.5, -0.5)
    own["response_early"] += slopes[0][code] * side + slopes[1][code] * reward
    one = fit_mixed_model(own, "response_early", re_formula="contrast")
    all_of_them = fit_mixed_model(own, "response_early", re_formula="contrast + side + reward ||")
    assert all_of_them.cov_random.columns.tolist() == ["Intercept", "contrast", "side", "reward"]
    off = all_of_them.cov_random.to_numpy()[~np.eye(4, dtype=bool)]
    assert (off == 0).all()
    before, after = (fit.coefficients.set_index("term") for fit in (one, all_of_them))
    for term, spread in (("side", slopes[0]), ("reward", slopes[1])):
        assert after.loc[term, "se"] == pytest.approx(spread.std(ddof=1) / 2, rel=0.6)
        assert after.loc[term, "se"] > 2 * before.loc[term, "se"]
        assert after.loc[term, "df"] < 8 < 100 < before.loc[term, "df"]
    assert all_of_them.log_likelihood > one.log_likelihood + 5
    at_stimulus = table[table["event"] == EVENTS[0]]
    fit = fit_mixed_model(at_stimulus, "response_early", re_formula="contrast + side + reward ||")
    assert fit.cov_random.columns.tolist() == ["Intercept", "contrast", "side"]
