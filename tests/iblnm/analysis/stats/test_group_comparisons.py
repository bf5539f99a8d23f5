"""Components, group comparisons, repeated-measures ANOVA: planted truth and libraries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis import (
    ica_glm_coefficients,
    kruskal_wallis,
    mann_whitney_pairs,
    pca_glm_coefficients,
    repeated_measures_anova,
)
from iblnm.analysis.anova.repeated import missing_cells, subject_cell_means
from iblnm.analysis.encoding.decomposition import component_tests
from iblnm.errors import DataError, IncompleteDesignError

TERMS = ["contrast", "side", "reward", "contrast:side", "contrast:reward", "side:reward"]


def _coefficients(n=300, n_minor=30, seed=0, noise=0.05):
    """Mixtures of three sources that are not Gaussian; the second target is rarer."""
    rng = np.random.default_rng(seed)
    sources = rng.laplace(size=(n, 3))
    values = sources @ rng.normal(size=(3, 6)) + noise * rng.normal(size=(n, 6))
    target = np.where(np.arange(n) < n - n_minor, "VTA-DA", "LC-NE")
    subject = np.array([f"{t}{i % 10}" for i, t in enumerate(target)])
    index = pd.MultiIndex.from_arrays(
        [[f"e{i}" for i in range(n)], target, np.zeros(n, int)],
        names=["eid", "target_NM", "fiber_idx"],
    )
    frame = pd.DataFrame(values, index=index, columns=TERMS)
    frame.insert(0, "intercept", 5.0)
    return frame, subject, sources


def test_pca_is_that_of_sklearn():
    from sklearn.decomposition import PCA

    coefs, _, _ = _coefficients()
    result = pca_glm_coefficients(coefs, 3)
    z = coefs[TERMS].to_numpy()
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    model = PCA(3).fit(z)
    np.testing.assert_allclose(result.explained_variance_ratio, model.explained_variance_ratio_)
    signs = np.sign((model.components_ * result.components).sum(axis=1))
    np.testing.assert_allclose(result.components, signs[:, None] * model.components_, atol=1e-10)
    np.testing.assert_allclose(result.scores, signs * model.transform(z), atol=1e-10)
    assert result.index.equals(coefs.index)
    assert result.feature_names == TERMS
    assert (np.abs(result.components).max(axis=1) == result.components.max(axis=1)).all()


def test_ica_finds_the_planted_sources():
    coefs, _, sources = _coefficients()
    result = ica_glm_coefficients(coefs, 3)
    assert result.converged
    correlation = np.abs(np.corrcoef(result.scores.T, sources.T)[:3, 3:])
    assert (correlation.max(axis=1) > 0.97).all()
    assert sorted(correlation.argmax(axis=1)) == [0, 1, 2]


def test_ica_agrees_with_sklearn():
    from sklearn.decomposition import FastICA

    coefs, _, _ = _coefficients()
    z = coefs[TERMS].to_numpy()
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    model = FastICA(3, whiten="unit-variance", random_state=0, tol=1e-10, max_iter=5000)
    theirs = model.fit_transform(z)
    ours = ica_glm_coefficients(coefs, 3).scores
    assert np.abs(np.corrcoef(ours.T, theirs.T)[:3, 3:]).max(axis=1).min() > 1 - 1e-6


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_components", [1, 3, 6])
@pytest.mark.slow
def test_explained_variance_adds_up(weighted, n_components):
    coefs, _, _ = _coefficients()
    pca = pca_glm_coefficients(coefs, n_components, weighted)
    ica = ica_glm_coefficients(coefs, n_components, weighted)
    total = pca.explained_variance_ratio.sum()
    assert ica.explained_variance_ratio.sum() == pytest.approx(total)
    assert total <= 1 + 1e-12
    assert total == pytest.approx(1.0) if n_components == 6 else total < 1
    assert (np.diff(ica.explained_variance_ratio) <= 1e-12).all()
    for result in (pca, ica):
        z = (coefs[TERMS] - result.mean) / result.scale
        np.testing.assert_allclose(result.scores, z @ result.components.T, atol=1e-10)
    np.testing.assert_allclose(
        pca.scores @ pca.mixing.T.to_numpy(), ica.scores @ ica.mixing.T.to_numpy(), atol=1e-9
    )
    # what is left over is what the components do not explain
    explained = result.score_table @ result.mixing.T
    left = result.weights.to_numpy() @ ((z - explained) ** 2).sum(axis=1)
    assert left / 6 == pytest.approx(1 - total, abs=1e-10)


def test_weights_make_every_target_count_the_same():
    coefs, _, _ = _coefficients(n=120, n_minor=20)
    weighted = pca_glm_coefficients(coefs, 3, cohort_weighted=True)
    minor = coefs.index.get_level_values("target_NM") == "LC-NE"
    balanced = pd.concat([coefs[~minor], *[coefs[minor]] * 5])
    repeated = pca_glm_coefficients(balanced, 3)
    np.testing.assert_allclose(weighted.components, repeated.components, atol=1e-10)
    np.testing.assert_allclose(
        weighted.explained_variance_ratio, repeated.explained_variance_ratio
    )
    assert weighted.weights[minor].sum() == pytest.approx(0.5)
    ica, ica_repeated = (
        ica_glm_coefficients(frame, 3, cohort_weighted=w)
        for frame, w in ((coefs, True), (balanced, False))
    )
    np.testing.assert_allclose(ica.components, ica_repeated.components, atol=1e-5)


def test_rows_with_missing_coefficients_are_left_out():
    coefs, subject, _ = _coefficients(n=50, n_minor=10)
    coefs.iloc[3, 2] = np.nan
    result = pca_glm_coefficients(coefs, 2, subjects=subject)
    assert len(result.scores) == len(result.subjects) == 49
    assert result.subjects.tolist() == np.delete(subject, 3).tolist()


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        (lambda c: c, {"n_components": 7}, "1 to 6"),
        (lambda c: c.assign(side=1.0), {}, "side does not vary"),
        (lambda c: c.assign(**{"side:reward": c["side"], "contrast:side": c["side"]}), {}, None),
        (lambda c: c.reset_index(drop=True), {"cohort_weighted": True}, "weights by target"),
        (lambda c: c[:1], {}, "1 recordings"),
    ],
)
def test_what_cannot_be_decomposed_is_refused(change, options, text):
    coefs = change(_coefficients(n=40, n_minor=10)[0])
    if text is None:
        with pytest.raises(DataError, match="rank 4"):
            pca_glm_coefficients(coefs, 6)
    else:
        with pytest.raises(DataError, match=text):
            pca_glm_coefficients(coefs, **{"n_components": 3, **options})


@pytest.mark.slow
def test_scores_are_compared_on_the_means_of_subjects():
    from scipy.stats import kruskal

    coefs, subject, _ = _coefficients(n=100, n_minor=50)
    coefs.loc[coefs.index.get_level_values("target_NM") == "LC-NE", TERMS] += 8.0
    result = pca_glm_coefficients(coefs, 2, subjects=subject)
    stats = component_tests(result)
    overall = stats[stats["test"] == "kruskal_wallis"].set_index("component")
    means = result.score_table["PC1"].groupby(subject).mean()
    groups = [means[means.index.str.startswith(t)] for t in ("VTA", "LC")]
    assert overall.loc["PC1", "p"] == pytest.approx(kruskal(*groups).pvalue)
    assert overall.loc["PC1", "n_a"] == 20
    assert overall.loc["PC1", "p_corrected"] < 0.01
    pairs = stats[stats["test"] == "mann_whitney"]
    assert len(pairs) == 2
    assert (pairs["p_corrected"] >= pairs["p"]).all()
    assert pairs[["n_a", "n_b"]].to_numpy().tolist() == [[10, 10]] * 2


def test_scores_without_subjects_are_not_compared():
    coefs, _, _ = _coefficients(n=40, n_minor=10)
    with pytest.raises(DataError, match="subject"):
        component_tests(pca_glm_coefficients(coefs, 2))


# comparisons --------------------------------------------------------------------------------


def test_units_are_averaged_before_the_test():
    table = pd.DataFrame(
        {
            "g": list("aaaabbb"),
            "s": list("xxyzuvv"),
            "v": [1.0, 3.0, 4.0, np.nan, 9.0, 10.0, 12.0],
        }
    )
    test = kruskal_wallis(table, "g", "v", unit_col="s")
    assert {name: list(v) for name, v in test["groups"].items()} == {"a": [2, 4], "b": [9, 11]}
    assert (test["n"], test["df"], test["n_groups"]) == (4, 1, 2)
    assert test["statistic"] == pytest.approx(2.4)
    assert test["effect_size"] == pytest.approx(0.8)


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [1.0, 2.0, np.nan]])
def test_nothing_to_compare_gives_missing_values(values):
    table = pd.DataFrame({"g": ["a", "a", "b"], "v": values})
    test = kruskal_wallis(table, "g", "v")
    assert np.isnan([test["statistic"], test["p"], test["effect_size"]]).all()
    with pytest.raises(DataError, match="absent"):
        kruskal_wallis(table, "g", "absent")


def test_pairs_are_tested_and_corrected():
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    groups = {"a": rng.normal(size=8), "b": rng.normal(2, size=9), "c": rng.normal(size=7)}
    groups["none"] = [np.nan]
    table = mann_whitney_pairs(groups).set_index(["group_a", "group_b"])
    assert len(table) == 6
    first = mannwhitneyu(groups["a"], groups["b"])
    assert table.loc[("a", "b"), "p"] == first.pvalue
    assert table.loc[("a", "b"), "effect_size"] == 2 * first.statistic / 72 - 1
    tested = table["p"].notna()
    assert tested.sum() == 3
    np.testing.assert_allclose(
        table.loc[tested, "p_corrected"], np.minimum(3 * table.loc[tested, "p"], 1)
    )
    assert table.loc[~tested, "p_corrected"].isna().all()
    assert mann_whitney_pairs({"a": [1.0]}).empty


# ANOVA --------------------------------------------------------------------------------------


def _design(n_subjects=8, effect=0.0, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        (f"m{s}", contrast, side, offset + effect * contrast / 100 + rng.normal(0, 0.3))
        for s, offset in enumerate(rng.normal(size=n_subjects))
        for contrast in (0.0, 12.5, 100.0)
        for side in ("contra", "ipsi")
    ]
    return pd.DataFrame(rows, columns=["subject", "contrast", "side", "response"])


def test_f_of_a_two_level_factor_is_t_squared():
    from scipy.stats import ttest_rel

    table = _design()
    result = repeated_measures_anova(table, "response", "subject", ["contrast", "side"]).set_index(
        "source"
    )
    means = table.pivot_table(index="subject", columns="side", values="response")
    paired = ttest_rel(means["contra"], means["ipsi"])
    assert result.loc["side", "F"] == pytest.approx(paired.statistic**2)
    assert result.loc["side", "p"] == pytest.approx(paired.pvalue)
    assert result.loc["side", "epsilon"] == pytest.approx(1.0)
    assert result.index.tolist() == ["contrast", "side", "contrast:side"]
    assert result["df"].tolist() == [2, 1, 2]
    assert result["df_error"].tolist() == [14, 7, 14]


def test_a_planted_effect_is_found_and_sphericity_corrected():
    result = repeated_measures_anova(
        _design(effect=1.5, seed=2), "response", "subject", ["contrast", "side"]
    )
    result = result.set_index("source")
    assert result.loc["contrast", "p_gg"] < 1e-3
    assert result.loc["contrast", "p_gg"] >= result.loc["contrast", "p"]
    assert 0.5 <= result.loc["contrast", "epsilon"] <= 1
    assert result.loc["side", "p_gg"] > 0.05


def test_epsilon_of_known_covariances():
    """Epsilon by its definition from the double-centered covariance of the levels."""
    rng = np.random.default_rng(1)
    wide = rng.normal(size=(30, 4)) * [1, 1, 3, 6]
    table = pd.DataFrame(wide).rename_axis("s").reset_index().melt("s", var_name="k")
    result = repeated_measures_anova(table, "value", "s", ["k"]).iloc[0]
    covariance = np.cov(wide, rowvar=False)
    centered = covariance - covariance.mean(0) - covariance.mean(1)[:, None] + covariance.mean()
    expected = np.trace(centered) ** 2 / (3 * (centered**2).sum())
    assert result["epsilon"] == pytest.approx(expected)
    assert expected < 0.7


def test_names_of_factors_do_not_matter():
    table = _design(effect=1.0)
    odd = table.rename(columns={"contrast": "C", "side": "Q(x) - 1"})
    a = repeated_measures_anova(table, "response", "subject", ["contrast", "side"])
    b = repeated_measures_anova(odd, "response", "subject", ["C", "Q(x) - 1"])
    assert b["source"].tolist() == ["C", "Q(x) - 1", "C:Q(x) - 1"]
    np.testing.assert_allclose(a["F"], b["F"])


def test_missing_cells_are_refused_and_named():
    table = _design()
    gone = table.drop(index=[7])
    gone.loc[3, "response"] = np.nan
    with pytest.raises(IncompleteDesignError) as caught:
        repeated_measures_anova(gone, "response", "subject", ["contrast", "side"])
    text = str(caught.value)
    assert "2 cells" in text
    assert "subject m0: contrast=12.5, side=ipsi" in text
    assert "subject m1: contrast=0.0, side=ipsi" in text
    assert caught.value.missing["subject"].tolist() == ["m0", "m1"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t[t["subject"] == "m0"], "1 subjects"),
        (lambda t: t[t["side"] == "ipsi"], "factor side"),
        (lambda t: pd.concat([t, t[:1]]), "more than one value"),
        (lambda t: t.assign(response=t["response"].where(t["subject"] != "m3")), "m3"),
    ],
)
def test_other_designs_are_refused(change, text):
    with pytest.raises(IncompleteDesignError, match=text):
        repeated_measures_anova(change(_design()), "response", "subject", ["contrast", "side"])


def test_cells_with_few_trials_are_missing():
    trials = pd.DataFrame(
        {
            "subject": ["m0"] * 5 + ["m1"] * 2,
            "side": ["contra"] * 3 + ["ipsi"] * 2 + ["contra"] * 2,
            "x": [1.0, 2, 3, 5, np.nan, 7, 9],
        }
    )
    cells = subject_cell_means(trials, "x", "subject", ["side"], 2)
    assert cells["x"].tolist() == [2.0, 8.0]
    assert cells["n_trials"].tolist() == [3, 2]
    lacking = missing_cells(cells, "subject", ["side"], [["contra", "ipsi"]])
    assert lacking.to_numpy().tolist() == [["m0", "ipsi"], ["m1", "ipsi"]]


def test_pairs_that_cannot_reject_are_not_tested():
    groups = {
        "a": [1.0, 2, 3],
        "b": [7.0, 8, 9],
        "c": [10.0, 11, 12, 13, 14],
        "d": [4.0, 5, 6, 6.5, 6.6],
    }
    table = mann_whitney_pairs(groups, only_possible=True).set_index(["group_a", "group_b"])
    assert table.loc[("a", "b"), "note"] == "with 3 and 3 animals no p under 0.05 is possible"
    assert np.isnan(table.loc[("a", "b"), "p"])
    assert table.loc[("a", "b"), "effect_size"] == -1
    tested = table.drop(("a", "b"))
    assert tested["p"].notna().all() and tested["note"].isna().all()
    # five tests, not six
    np.testing.assert_allclose(
        tested["p_corrected"], np.minimum(5 * tested["p"].to_numpy(float), 1)
    )
    few = mann_whitney_pairs({name: groups[name][:2] for name in "abc"}, only_possible=True)
    assert few["p"].isna().all() and few["p_corrected"].isna().all()
    assert set(few["note"]) == {
        "over all: with 2, 2 and 2 animals no p under 0.05 is possible",
    }
    assert mann_whitney_pairs(groups)["p"].notna().all()
    assert mann_whitney_pairs({}, only_possible=True).empty


@pytest.mark.parametrize("sizes", [(2, 2), (3, 3), (2, 2, 2), (2, 3, 2), (1, 2, 4)])
def test_the_least_p_is_that_of_all_divisions(sizes):
    from itertools import permutations

    from scipy.stats import kruskal

    from iblnm.analysis.stats.comparisons import least_p

    labels = np.repeat(np.arange(len(sizes)), sizes)
    ranks = np.arange(1.0, len(labels) + 1)
    divisions = set(permutations(labels.tolist()))
    values = [
        kruskal(*(ranks[np.array(order) == code] for code in range(len(sizes)))).statistic
        for order in divisions
    ]
    expected = np.isclose(values, max(values)).mean()
    assert least_p(sizes) == pytest.approx(expected)
