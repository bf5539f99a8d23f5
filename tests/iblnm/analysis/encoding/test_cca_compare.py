"""Signs, projections, similarity and intervals of canonical variates over cohorts."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.encoding.cca_compare import (
    align_cca_signs,
    bootstrap_correlation,
    cross_project_cca,
    pairwise_projections,
    pairwise_weight_similarities,
    project_recordings,
    weight_cosines,
)
from iblnm.analysis.encoding.cohort_cca import cohort_cca_scores, cohort_cca_table, fit_cohort_ccas
from iblnm.analysis.stats.cca import fit_cca, standardize_views
from iblnm.errors import MalformedFileError

DIRECTION = np.array([1.0, -0.5, 0.0])


def cohort(n, rng, *, direction=DIRECTION, rho=0.9):
    """Views whose first pair is `direction` in X and the first column in Y."""
    x = rng.standard_normal((n, 3))
    axis = direction / np.linalg.norm(direction)
    y = rng.standard_normal((n, 2))
    y[:, 0] = rho * x @ axis + np.sqrt(1 - rho**2) * y[:, 0]
    return pd.DataFrame(x, columns=list("abc")), pd.DataFrame(y, columns=["u", "v"])


@pytest.fixture(scope="module")
def same():
    rng = np.random.default_rng(0)
    data = {name: cohort(400, rng) for name in ("DR", "LC", "VTA")}
    return data, {name: fit_cca(*views, 1) for name, views in data.items()}


def test_signs_are_those_of_the_reference_whatever_they_were(same):
    _, results = same
    mixed = {name: r.flipped() if name != "DR" else r for name, r in results.items()}
    for given in (results, mixed):
        aligned = align_cca_signs(given, reference="LC")
        assert list(aligned) == list(given)
        for result in aligned.values():
            assert result.y_weights.loc["u", "CC1"] > 0
            assert result.x_weights.loc["a", "CC1"] > 0 > result.x_weights.loc["b", "CC1"]
            assert np.corrcoef(result.x_scores[:, 0], result.y_scores[:, 0])[0, 1] > 0.8


def test_default_reference_has_most_recordings(same):
    _, results = same
    rng = np.random.default_rng(1)
    opposite = fit_cca(*cohort(500, rng, direction=-DIRECTION), 1)
    aligned = align_cca_signs({**results, "NBM": opposite})
    # both views count; the pairs of X and Y point the same way in Y, opposite in X
    assert aligned["NBM"].y_weights.loc["u", "CC1"] > 0
    assert align_cca_signs({}) == {}
    with pytest.raises(MalformedFileError, match="'SI' is not a cohort"):
        align_cca_signs(results, reference="SI")


def test_weights_of_the_same_effect_are_alike_and_of_another_are_not(same):
    _, results = same
    aligned = align_cca_signs(results)
    similarity = weight_cosines(aligned["DR"], aligned["VTA"])
    assert similarity["x"] > 0.98 and similarity["y"] > 0.95
    rng = np.random.default_rng(2)
    other = fit_cca(*cohort(400, rng, direction=np.array([0.0, 0.0, 1.0])), 1)
    assert abs(weight_cosines(aligned["DR"], other)["x"]) < 0.2
    with pytest.raises(MalformedFileError, match="different features: a, z"):
        x, y = cohort(50, rng)
        weight_cosines(aligned["DR"], fit_cca(x.rename(columns={"a": "z"}), y, 1))


def test_projection_on_another_cohorts_weights(same):
    data, results = same
    aligned = align_cca_signs(results)
    table = pairwise_projections(aligned, data)
    assert table.index.name == "data" and table.columns.name == "weights"
    for name in aligned:
        assert table.loc[name, name] == pytest.approx(aligned[name].correlation)
    off = table.loc["DR", "VTA"]
    assert 0.85 < off <= aligned["DR"].correlation
    rng = np.random.default_rng(3)
    x, y = cohort(400, rng, direction=np.array([0.0, 0.0, 1.0]))
    views = standardize_views(x, y)
    assert abs(cross_project_cca(views.x, views.y, aligned["DR"])) < 0.2
    assert np.isnan(cross_project_cca(views.x * 0, views.y, aligned["DR"]))


def test_similarity_tables_are_symmetric_with_ones_on_the_diagonal(same):
    _, results = same
    tables = pairwise_weight_similarities(align_cca_signs(results))
    for table in tables.values():
        np.testing.assert_allclose(np.diag(table), 1)
        np.testing.assert_allclose(table, table.T)


def test_projection_of_recordings_gives_the_scores_of_the_fit(same):
    data, results = same
    x, y = data["LC"]
    for view, features, scores in (
        ("x", x, results["LC"].x_scores),
        ("y", y, results["LC"].y_scores),
    ):
        projected = project_recordings(features, results["LC"], view)
        np.testing.assert_allclose(projected, scores[:, 0], atol=1e-12)
    gap = x.copy()
    gap.loc[3, "a"] = np.nan
    assert project_recordings(gap, results["LC"]).isna().sum() == 1
    with pytest.raises(MalformedFileError, match="features lack b"):
        project_recordings(x.drop(columns="b"), results["LC"])


@pytest.mark.slow
def test_interval_of_animals_covers_the_planted_correlation():
    covered, n_cohorts = 0, 60
    for seed in range(n_cohorts):
        x, y = cohort(120, np.random.default_rng(seed), rho=0.7)
        groups = np.repeat(np.arange(30), 4)
        low, high = bootstrap_correlation(x, y, groups, n_draws=300, seed=seed)
        assert 0 <= low < high <= 1
        covered += low <= 0.7 <= high
    # 95 % nominal; 5 binomial standard errors below
    assert covered / n_cohorts > 0.95 - 5 * 0.028


def test_too_few_animals_have_no_interval():
    x, y = cohort(40, np.random.default_rng(4))
    assert np.isnan(bootstrap_correlation(x, y, np.repeat([0, 1], 20))).all()


def indexed(n, rng, target, *, per_session=2, **kwargs):
    x, y = cohort(n, rng, **kwargs)
    index = pd.MultiIndex.from_arrays(
        [
            [f"{target}{i // per_session:03}" for i in range(n)],
            [target] * n,
            [i % per_session for i in range(n)],
        ],
        names=["eid", "target_NM", "fiber_idx"],
    )
    return x.set_axis(index), y.set_axis(index)


@pytest.mark.slow
def test_cohort_of_targets_with_and_without_an_effect():
    rng = np.random.default_rng(5)
    parts = [
        indexed(60, rng, "DR-5HT"),
        indexed(60, rng, "LC-NE", rho=0.0),
        indexed(8, rng, "NBM-ACh"),
    ]
    x, y = (pd.concat(views) for views in zip(*parts, strict=True))
    y.iloc[0, 0] = np.nan
    subjects = {eid: f"m{int(eid[-3:]) % 8}" for eid in x.index.get_level_values("eid")}
    fitted = fit_cohort_ccas(
        x.sample(frac=1, random_state=0), y, n_permutations=199, seed=1, subjects=subjects
    )
    table = cohort_cca_table(fitted, subjects, n_bootstrap=200).set_index("target_NM")
    assert list(fitted.results) == ["DR-5HT", "LC-NE"]
    assert table.loc["DR-5HT", "p"] == 0.005
    assert table.loc["DR-5HT", "p_corrected"] == 0.01
    assert table.loc["DR-5HT", "p_within_subject"] == 0.005
    assert table.loc["DR-5HT", "p_within_subject_corrected"] == 0.01
    assert table.loc["LC-NE", "p_within_subject"] > 0.05
    assert table.loc["DR-5HT", "n_recordings"] == 59
    # one session of 59 recordings has a single complete one, which cannot move
    assert table.loc["DR-5HT", "n_movable_sessions"] == 29
    assert table.loc["DR-5HT", "ci_low"] > table.loc["DR-5HT", "null_median"]
    assert table.loc["LC-NE", "p"] > 0.05
    assert table.loc["NBM-ACh", "note"] == "8 complete recordings; 10 are needed"
    assert table.loc["NBM-ACh", ["correlation", "p", "p_corrected"]].isna().all()
    scores = cohort_cca_scores(fitted.results)
    assert len(scores) == 119 and not scores.duplicated(["eid", "fiber_idx"]).any()


def test_sparse_cohort_has_common_signs_too():
    rng = np.random.default_rng(6)
    parts = [indexed(60, rng, "DR-5HT"), indexed(60, rng, "LC-NE")]
    x, y = (pd.concat(views) for views in zip(*parts, strict=True))
    fitted = fit_cohort_ccas(x, y, n_permutations=19, sparse=True)
    assert {r.y_weights.loc["u", "CC1"] > 0 for r in fitted.results.values()} == {True}
    for result in fitted.results.values():
        assert result.alpha in result.penalties
        assert np.linalg.norm(result.x_weights["CC1"]) == pytest.approx(1)


def test_as_many_features_as_recordings_is_said():
    rng = np.random.default_rng(7)
    x, y = indexed(5, rng, "DR-5HT", per_session=1)
    fitted = fit_cohort_ccas(x, y, n_permutations=19, min_recordings=5)
    assert "5 recordings for 5 features" in fitted.notes["DR-5HT"]
    assert fitted.results["DR-5HT"].p_value == 1.0
