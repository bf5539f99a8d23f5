"""Analyses under the names of the labs' scripts: arguments, kinds, columns, values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kruskal, mannwhitneyu

from iblnm import analysis
from iblnm.analysis.anova.repeated import repeated_measures_anova
from iblnm.analysis.movement.cross_validation import cross_validate_movement, fit_timing_slopes


@pytest.fixture(scope="module")
def trials():
    """Trials of six animals; the response rises by 0.5 for each factor of ten in time."""
    rng = np.random.default_rng(3)
    n = 6 * 150
    table = pd.DataFrame(
        {
            "subject": np.repeat([f"m{i}" for i in range(6)], n // 6),
            "eid": np.repeat([f"e{i}" for i in range(6)], n // 6),
            "target_NM": "VTA-DA",
            "fiber_idx": 0,
            "contrast": rng.choice([0.0, 6.25, 12.5, 25.0, 100.0], n),
            "side": rng.choice(["contra", "ipsi"], n),
            "feedbackType": rng.choice([1.0, -1.0], n, p=[0.8, 0.2]),
            "reaction_time": 10 ** rng.normal(-0.5, 0.4, n),
        }
    )
    table["log_rt"] = np.log10(table["reaction_time"])
    noise = rng.normal(0, 0.3, n)
    table["response_early"] = 0.5 * table["log_rt"] + 0.01 * table["contrast"] + noise
    table["peak_velocity"] = 3.0 + 2.0 * table["response_early"] + rng.normal(0, 0.5, n)
    return table


def test_groups_are_compared_as_a_tuple_and_pairs_as_a_list():
    df = pd.DataFrame({"g": list("aaabbbccc"), "x": [1.0, 2, 3, 4, 5, 6, 9, 8, 7]})
    h, p, groups = analysis.kruskal_wallis_groups(df, "g", "x")
    assert (h, p) == pytest.approx(tuple(kruskal([1, 2, 3], [4, 5, 6], [7, 8, 9])))
    assert groups["c"].tolist() == [9.0, 8.0, 7.0]
    pairs = analysis.pairwise_mannwhitney(groups)
    assert [(a, b) for a, b, _, _ in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    u, p = mannwhitneyu([1, 2, 3], [4, 5, 6])
    assert pairs[0][2:] == pytest.approx((u, 3 * p))
    h, p, groups = analysis.kruskal_wallis_groups(df[df["g"] == "a"], "g", "x")
    assert np.isnan([h, p]).all()
    assert list(groups) == ["a"]
    assert analysis.pairwise_mannwhitney(groups) == []


def test_an_anova_has_the_columns_of_the_table_that_is_known():
    rng = np.random.default_rng(0)
    rows = [
        (s, c, side, s + c * 0.1 + rng.normal())
        for s in range(8)
        for c in (0, 1, 2)
        for side in "ci"
    ]
    df = pd.DataFrame(rows, columns=["subject", "contrast", "side", "y"])
    table = analysis.anova_rm(df, "y", "subject", ["contrast", "side"])
    known = ["Source", "F", "Num DF", "Den DF", "Pr(>F)", "method"]
    assert table.columns[:6].tolist() == known
    assert set(table["method"]) == {"rm"}
    ours = repeated_measures_anova(df, "y", "subject", ["contrast", "side"])
    np.testing.assert_array_equal(table["Pr(>F)"], ours["p"])
    row = table.set_index("Source").loc["contrast"]
    assert (row["Num DF"], row["Den DF"]) == (2, 14)


def test_a_time_that_is_a_logarithm_is_used_as_it_is(trials):
    found = analysis.loso_cv_movement_lmm(trials, "response_early", "log_rt")
    ours = cross_validate_movement(trials, "response_early", "reaction_time")
    assert len(found) == 6
    pd.testing.assert_frame_equal(
        found.drop(columns="timing_col"), ours.drop(columns="timing_col")
    )
    assert found["delta_r2_timing"].mean() > 0.1


@pytest.mark.slow
def test_the_slope_of_one_contrast_is_a_dict_or_nothing(trials):
    own = trials[trials["contrast"] == 25.0]
    found = analysis.fit_movement_lmm_per_contrast(own, "response_early", "log_rt")
    assert found["timing_coef"] == pytest.approx(0.5, abs=0.1)
    known = {"timing_se", "timing_p", "r2_marginal", "n_trials", "n_subjects", "timing_col"}
    assert known <= set(found)
    assert (found["n_trials"], found["n_subjects"]) == (len(own), 6)
    slopes = fit_timing_slopes(own, "response_early", "reaction_time")
    assert found["timing_p"] == pytest.approx(slopes["timing_p"].iloc[0])
    few = own.head(3)
    assert analysis.fit_movement_lmm_per_contrast(few, "response_early", "log_rt") is None
    with pytest.raises(ValueError, match="5 contrasts"):
        analysis.fit_movement_lmm_per_contrast(trials, "response_early", "log_rt")


@pytest.mark.slow
def test_a_model_that_the_data_cannot_carry_is_none_and_told(trials):
    own = trials.assign(event="feedback_times")
    assert analysis.fit_response_lmm(own, "response_early").n_subjects == 6
    with pytest.warns(UserWarning, match="1 subjects with usable trials"):
        alone = analysis.fit_response_lmm(own[own["subject"] == "m0"], "response_early")
    assert alone is None
    with pytest.raises(KeyError, match="nothing"):
        analysis.fit_response_lmm(own, "nothing")


@pytest.mark.slow
def test_wheel_models_read_the_side_and_choice_of_the_trials(trials):
    own = trials[trials["contrast"] == 25.0]
    left = own["side"] == "contra"
    raw = own.drop(columns=["side", "feedbackType"]).assign(
        hemisphere="r",
        stim_side=np.where(left, "left", "right"),
        choice=np.where(left, 1.0, -1.0) * own["feedbackType"],
    )
    options = {"target_nm": "VTA-DA", "contrast": 25.0}
    found = analysis.fit_wheel_lmm(raw, "peak_velocity", **options)
    expected = analysis.fit_wheel_lmm(own, "peak_velocity", **options)
    assert found == expected
    assert found["nm_coefficient"] == pytest.approx(2.0, abs=0.15)
    assert found["nm_pvalue"] == found["lrt_pvalue"] < 1e-6
    assert found["full_r2_marginal"] - found["base_r2_marginal"] == found["delta_r2"]
    assert (found["target_nm"], found["dv"], found["contrast"]) == ("VTA-DA", "peak_velocity", 25)
    assert analysis.fit_wheel_lmm(raw.head(5), "peak_velocity") is None


@pytest.mark.slow
def test_decoding_gives_a_table_of_predictions():
    rng = np.random.default_rng(1)
    names = [(f"e{i}", "A" if i % 2 else "B") for i in range(24)]
    index = pd.MultiIndex.from_tuples(names, names=["eid", "target_NM"])
    labels = index.get_level_values("target_NM").to_numpy()
    subjects = np.array([f"m{i // 2 % 6}" for i in range(24)])
    data = rng.normal(0, 0.2, (24, 3))
    data[:, 0] += labels == "A"
    X = pd.DataFrame(data, index=index, columns=["x", "y", "z"])
    found = analysis.decode_target_nm(X, labels, subjects, C=10.0)
    table = found["predictions"]
    assert table.columns.tolist() == ["eid", "target_NM", "true", "predicted"]
    assert table["true"].tolist() == labels.tolist()
    share = (table["true"] == table["predicted"]).mean()
    assert found["accuracy"] == pytest.approx(share)
    assert share > 0.9
    assert (found["n_valid"], found["best_C"]) == (24, 10.0)
    added = analysis.feature_unique_contribution(X, labels, subjects, C=10.0)
    known = ["feature", "full_accuracy", "reduced_accuracy", "delta"]
    assert added.columns[:4].tolist() == known
    assert added.set_index("feature")["delta"].idxmax() == "x"
    np.testing.assert_allclose(
        added["delta"], added["full_accuracy"] - added["reduced_accuracy"], atol=1e-12
    )
    with pytest.raises(ValueError, match="target"):
        analysis.decode_target_nm(X, ["A"] * 24, subjects)


def test_recordings_still_to_be_made_are_projected():
    table = analysis.compute_recording_projection(
        {"VTA-DA": 30, "LC-NE": 0, "DR-5HT": 60},
        {"VTA-DA": 40, "LC-NE": 4, "DR-5HT": 60},
        target_n=60,
        deadline="2025-03-31",
        capacity_per_day=2,
        today="2025-03-01",
    )
    row = table.loc["VTA-DA"]
    assert (row["yield_rate"], row["shortfall"]) == (0.75, 30)
    assert (row["effective_sessions_needed"], row["recording_days_needed"]) == (40, 20)
    assert np.isinf(table.loc["LC-NE", "effective_sessions_needed"])
    assert table.loc["DR-5HT", "recording_days_needed"] == 0
    assert table["days_available"].tolist() == [30, 30, 30]


# models --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fit(trials):
    number = trials["subject"].str[1].astype(int)
    own = trials.assign(event="feedback_times")
    own["response_early"] += 0.2 * number + 0.002 * number * trials["contrast"]
    return analysis.fit_response_lmm(own, "response_early", re_formula="contrast")


@pytest.mark.slow
def test_a_model_is_read_as_scripts_read_it(fit, trials):
    assert fit.summary_df.columns.tolist() == ["Coef.", "Std.Err.", "z", "P>|z|"]
    assert fit.summary_df.loc[fit.contrast_col, "Coef."] == fit.params["contrast"]
    assert fit.variance_explained == {
        "marginal": fit.r2_marginal,
        "conditional": fit.r2_conditional,
    }
    assert set(fit.random_effects) == set(trials["subject"])
    assert fit.random_effects["m2"]["contrast"] == fit.subject_effects.loc["m2", "contrast"]
    np.testing.assert_array_equal(fit.result.pvalues, fit.summary_df["P>|z|"])
    np.testing.assert_array_equal(fit.result.fe_params, fit.summary_df["Coef."])
    np.testing.assert_array_equal(fit.result.bse, fit.summary_df["Std.Err."])


@pytest.mark.slow
def test_information_criteria_are_by_maximum_likelihood(trials):
    from statsmodels.formula.api import mixedlm

    own = trials.assign(event="feedback_times")
    own["response_early"] += 0.3 * own["subject"].str[1].astype(int)
    found = {
        coding: analysis.fit_response_lmm(own, "response_early", contrast_coding=coding).result
        for coding in ("log", "linear")
    }
    # the response is linear in the contrast
    assert found["linear"].aic < found["log"].aic - 10
    coded = own.assign(s=own["side"].map({"contra": 0.5, "ipsi": -0.5}), r=own["feedbackType"] / 2)
    theirs = mixedlm("response_early ~ contrast * s * r", coded, groups=coded["subject"])
    theirs = theirs.fit(reml=False, method="powell")
    assert found["linear"].llf == pytest.approx(theirs.llf, abs=1e-3)
    assert found["linear"].aic == pytest.approx(theirs.aic, abs=2e-3)
    assert found["linear"].bic == pytest.approx(theirs.bic, abs=2e-3)


@pytest.mark.slow
def test_predictions_are_on_the_grid_of_levels(fit):
    table = fit.predictions
    known = ["contrast", "side", "reward", "predicted", "ci_lower", "ci_upper"]
    assert table.columns[:6].tolist() == known
    assert len(table) == 5 * 2 * 2
    assert sorted(table["contrast"].unique()) == [0.0, 6.25, 12.5, 25.0, 100.0]
    assert (
        (table["ci_lower"] < table["predicted"]) & (table["predicted"] < table["ci_upper"])
    ).all()
    correct = table[table["reward"] == "correct"].groupby("contrast")["predicted"].mean()
    means = fit.emm_reward.set_index("level")["mean"]
    high = fit.emm_contrast.set_index("level")["mean"]
    assert table[table["contrast"] == 100]["predicted"].mean() == pytest.approx(high[100.0])
    assert correct.is_monotonic_increasing and means["correct"] < correct[100.0]


@pytest.mark.slow
def test_slopes_are_those_of_outcomes_and_of_subjects(fit, trials):
    slopes = analysis.compute_contrast_slopes(fit)
    known = ["reward", "slope", "ci_lower", "ci_upper", "type", "subject"]
    assert slopes.columns[:6].tolist() == known
    population = slopes[slopes["type"] == "population"].set_index("reward")
    assert set(population.index) == {"correct", "incorrect"}
    half = fit.params["contrast:reward"] / 2
    assert population.loc["correct", "slope"] == pytest.approx(fit.params["contrast"] + half)
    own = slopes[(slopes["type"] == "subject") & (slopes["subject"] == "m3")].set_index("reward")
    deviation = fit.random_effects["m3"]["contrast"]
    np.testing.assert_allclose(own["slope"] - population["slope"], deviation)
    fixed = analysis.fit_response_lmm(trials.assign(event="stimOn_times"), "response_early")
    assert analysis.compute_contrast_slopes(fixed)["reward"].tolist() == [None]
    effects = analysis.compute_interaction_effects(fit, "reward", "contrast")
    assert effects["x_level"].tolist() == [0.0, 6.25, 12.5, 25.0, 100.0]
    p = fit.coefficients.set_index("term").loc["contrast:reward", "p"]
    assert (effects["p_interaction"] == p).all()


@pytest.mark.slow
def test_contrasts_without_a_code_are_named_and_no_variance_is_no_model(trials):
    own = trials.assign(event="feedback_times")
    n = int((own["contrast"] == 12.5).sum())
    odd = own.assign(contrast=own["contrast"].replace(12.5, 50.0))
    with pytest.warns(UserWarning, match=rf"'rank' leaves out contrasts 50 % \({n} trials\)"):
        assert analysis.fit_response_lmm(odd, "response_early", contrast_coding="rank")
    with pytest.warns(UserWarning, match="no variance"):
        assert analysis.fit_response_lmm(own.assign(response_early=1.0), "response_early") is None


# responses -----------------------------------------------------------------------------------


def test_every_event_may_have_an_end_of_its_own():
    series = pd.Series(np.arange(100.0), index=np.arange(100) / 10)
    responses, tpts = analysis.get_responses(
        series, [1.0, 2.0, 3.0], t0=-0.2, t1=[1.5, 2.2, np.nan]
    )
    np.testing.assert_allclose(tpts, np.arange(-2, 5) / 10)
    np.testing.assert_allclose(responses[0], np.arange(8, 15))
    np.testing.assert_allclose(responses[1][:4], np.arange(18, 22))
    assert np.isnan(responses[1][4:]).all() and np.isnan(responses[2]).all()


# components and canonical variates -----------------------------------------------------------


@pytest.fixture(scope="module")
def coefficients():
    rng = np.random.default_rng(5)
    target = np.repeat(["DR-5HT", "VTA-DA"], 20)
    index = pd.MultiIndex.from_arrays(
        [[f"e{i}" for i in range(40)], target, [0] * 40], names=["eid", "target_NM", "fiber_idx"]
    )
    values = rng.normal(size=(40, 4))
    values[:, :2] += 3 * (target == "DR-5HT")[:, None]
    return pd.DataFrame(
        values, index=index, columns=["contrast", "reward", "side", "contrast:side"]
    )


def test_components_are_used_as_arrays(coefficients):
    pca = analysis.pca_glm_coefficients(coefficients, 2)
    assert pca.scores[:, 0].shape == (40,) and pca.components[0].shape == (4,)
    assert pca.scores[pca.target_labels == "DR-5HT"].shape == (20, 2)
    assert pca.feature_names == coefficients.columns.tolist()
    assert pca.index.equals(coefficients.index)
    z = (coefficients - coefficients.mean()) / coefficients.std(ddof=0)
    np.testing.assert_allclose(pca.scores, z.to_numpy() @ pca.components.T, atol=1e-12)
    assert f"{pca.explained_variance_ratio[0]:.0%}" == f"{pca.variance_ratio.iloc[0]:.0%}"


@pytest.mark.slow
def test_scores_of_targets_are_compared_by_component(coefficients):
    pca = analysis.pca_glm_coefficients(coefficients, 2)
    recordings = pd.DataFrame(
        {
            "eid": coefficients.index.get_level_values("eid"),
            "subject": [f"m{i // 4}" for i in range(40)],
        }
    )
    means, statistics = analysis.pca_subject_score_stats(pca, recordings)
    assert means.columns[:5].tolist() == ["subject", "target_NM", "pc", "mean", "sem"]
    assert len(means) == 10 * 2
    own = means[(means["subject"] == "m1") & (means["pc"] == 2)].iloc[0]
    assert own["mean"] == pytest.approx(pca.scores[4:8, 1].mean())
    assert own["sem"] == pytest.approx(pca.scores[4:8, 1].std(ddof=1) / 2)
    known = ["pc", "kruskal_h", "kruskal_p", "target_a", "target_b", "mwu_u", "mwu_p"]
    assert statistics.columns[:7].tolist() == known
    overall = statistics[statistics["target_a"].isna()].set_index("pc")
    groups = [own["mean"] for _, own in means[means["pc"] == 1].groupby("target_NM")]
    h, p = kruskal(*groups)
    assert overall.loc[1, ["kruskal_h", "kruskal_p"]].tolist() == pytest.approx([h, p])
    pairs = statistics[statistics["target_a"].notna()]
    assert pairs["mwu_u"].notna().all() and pairs["kruskal_p"].isna().all()
    assert pairs[["target_a", "target_b"]].to_numpy().tolist() == [["DR-5HT", "VTA-DA"]] * 2
    with pytest.warns(UserWarning, match="recordings are compared"):
        assert analysis.pca_score_stats(pca)["n_a"].max() == 40


@pytest.mark.slow
def test_a_penalized_correlation_has_as_many_components_as_are_asked_for():
    rng = np.random.default_rng(2)
    x = pd.DataFrame(rng.normal(size=(80, 4)), columns=list("abcd")).assign(still=1.0)
    y = pd.DataFrame(
        x[["b", "c"]].to_numpy() + [[0.2, 0.6]] * rng.normal(size=(80, 2)), columns=["u", "v"]
    )
    both = analysis.fit_sparse_cca(x, y, None, 19, seed=0)
    assert both.x_weights.columns.tolist() == ["CC1", "CC2"] and both.alpha == 0.01
    assert both.x_weights.index.tolist() == list("abcd")
    assert (
        both.x_weights["CC1"].abs().idxmax() == "b" and both.y_weights["CC2"].abs().idxmax() == "v"
    )
    assert both.correlations[0] > both.correlations[1] > 0.7
    assert np.corrcoef(both.x_scores.T)[0, 1] == pytest.approx(0, abs=1e-9)
    z = (x[list("abcd")] - x[list("abcd")].mean()) / x[list("abcd")].std()
    np.testing.assert_allclose(z.to_numpy() @ both.x_weights.to_numpy(), both.x_scores, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(both.x_weights, axis=0), 1)
    observed = [np.corrcoef(both.x_scores[:, i], both.y_scores[:, i])[0, 1] for i in (0, 1)]
    np.testing.assert_allclose(observed, both.correlations)
    one = analysis.fit_sparse_cca(x, y, 1, 19, seed=0)
    np.testing.assert_allclose(one.x_weights["CC1"], both.x_weights["CC1"])
    assert one.p_values[0] == both.p_values[0] == 0.05
    plain = analysis.fit_cca(x, y, 2)
    cosine = analysis.compare_cca_weights(plain, one)
    assert set(cosine) == {"neural_cosine", "behavioral_cosine"}
    assert abs(cosine["neural_cosine"]) > 0.95


def test_a_correlation_is_made_again_from_stored_tables(tmp_path):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    made = analysis.fit_cca(x, y, n_permutations=9)
    made.x_weights.to_parquet(tmp_path / "x.pqt")
    made.y_weights.to_parquet(tmp_path / "y.pqt")
    weights = [pd.read_parquet(tmp_path / name) for name in ("x.pqt", "y.pqt")]
    again = analysis.CCAResult(
        *weights, made.x_scores, made.y_scores, made.correlations, made.p_values, 30, 9
    )
    assert again.alpha is None and again.l1_ratio is None
    np.testing.assert_array_equal(again.x_scores[:, 1], made.x_scores[:, 1])
    assert analysis.compare_cca_weights(again, made)["neural_cosine"] == pytest.approx(1)
    aligned = analysis.align_cca_signs({"a": again, "b": made.flipped()})
    np.testing.assert_allclose(aligned["a"].y_weights, aligned["b"].y_weights)
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1), (y - y.mean(axis=0)) / y.std(axis=0, ddof=1)
    assert analysis.cross_project_cca(*z, again) == pytest.approx(made.correlation)
    with pytest.raises(ValueError, match="2 features of view x for 3 weights"):
        analysis.cross_project_cca(z[0][:, :2], z[1], again)


# tables of earlier runs -----------------------------------------------------------------------


@pytest.mark.slow
def test_functions_of_trials_derive_what_other_columns_say(trials):
    n = len(trials)
    rng = np.random.default_rng(8)
    left = rng.random(n) < 0.5
    own = trials.assign(
        event="feedback_times",
        brain_region="VTA",
        hemisphere=np.where(trials["subject"].isin(["m0", "m1"]), "l", "r"),
    )
    ours = own.assign(side=np.where(left == (own["hemisphere"] == "r"), "contra", "ipsi"))
    stim_side = np.where(left, "left", "right")
    signed = np.where(left, -1, 1) * own["contrast"]
    earlier = own.drop(columns=["side", "fiber_idx", "contrast"]).assign(
        stim_side=stim_side, signed_contrast=signed
    )
    pd.testing.assert_frame_equal(
        analysis.fit_response_glm(earlier, "feedback_times")[0],
        analysis.fit_response_glm(ours, "feedback_times")[0],
    )
    found = analysis.fit_response_lmm(earlier, "response_early")
    expected = analysis.fit_response_lmm(ours, "response_early")
    assert found.n_recordings == expected.n_recordings == 6
    pd.testing.assert_frame_equal(found.summary_df, expected.summary_df)
    pd.testing.assert_frame_equal(
        analysis.loso_cv_movement_lmm(earlier, "response_early", "log_rt"),
        analysis.loso_cv_movement_lmm(ours, "response_early", "log_rt"),
    )
    with pytest.raises(KeyError, match="side"):
        analysis.fit_response_lmm(earlier.drop(columns="stim_side"), "response_early")
