"""Canonical correlation against cca-zoo, scikit-learn and refits; permutations of sessions."""

import numpy as np
import pandas as pd
import pytest
from cca_zoo.linear import CCA as ZooCCA

from iblnm.analysis.stats.cca import fit_cca, permutation_p
from iblnm.analysis.stats.permutations import count_movable_sessions, session_permutations
from iblnm.errors import MalformedFileError


def views(n, rng, *, rho=0.0, p=6, q=4):
    """Mixed views whose first canonical correlation is rho in the population."""
    x, y = rng.standard_normal((n, p)), rng.standard_normal((n, q))
    y[:, 0] = rho * x[:, 0] + np.sqrt(1 - rho**2) * y[:, 0]
    mix_x, mix_y = rng.standard_normal((p, p)), rng.standard_normal((q, q))
    names = [f"b{i}" for i in range(p)], [f"y{i}" for i in range(q)]
    return pd.DataFrame(x @ mix_x, columns=names[0]), pd.DataFrame(y @ mix_y, columns=names[1])


def pairs(n):
    """Sessions of two recordings, a third of them of one."""
    sizes = np.tile([2, 2, 1], n)
    return np.repeat(np.arange(len(sizes)), sizes)[:n]


def test_planted_correlation_is_recovered():
    x, y = views(5000, np.random.default_rng(0), rho=0.7)
    result = fit_cca(x, y)
    # standard error of a correlation of 0.7 at n = 5000 is 0.007
    assert result.correlation == pytest.approx(0.7, abs=0.03)
    assert (result.correlations[1:] < 0.08).all()


def test_correlations_and_weights_agree_with_cca_zoo():
    x, y = views(80, np.random.default_rng(1), rho=0.6)
    result = fit_cca(x, y)
    z = [(v - v.mean()) / v.std() for v in (x, y)]
    zoo = ZooCCA(n_components=4).fit([v.to_numpy() for v in z])
    scores = zoo.transform([v.to_numpy() for v in z])
    expected = [np.corrcoef(scores[0][:, i], scores[1][:, i])[0, 1] for i in range(4)]
    np.testing.assert_allclose(result.correlations, expected, atol=1e-10)
    for ours, theirs in ((result.x_weights, zoo.weights_[0]), (result.y_weights, zoo.weights_[1])):
        a = ours / np.linalg.norm(ours, axis=0)
        b = theirs / np.linalg.norm(theirs, axis=0)
        np.testing.assert_allclose(np.abs((a * b).sum(axis=0)), 1, atol=1e-8)


def test_scores_have_unit_variance_and_correlate_as_stated():
    x, y = views(60, np.random.default_rng(2), rho=0.5)
    result = fit_cca(x, y)
    np.testing.assert_allclose(result.x_scores.var(axis=0, ddof=1), 1, atol=1e-10)
    np.testing.assert_allclose(result.y_scores.var(axis=0, ddof=1), 1, atol=1e-10)
    cross = result.x_scores.T @ result.y_scores / 59
    np.testing.assert_allclose(cross, np.diag(result.correlations), atol=1e-10)
    z = (x - result.x_mean) / result.x_scale
    np.testing.assert_allclose(z @ result.x_weights, result.x_scores, atol=1e-12)
    assert result.x_loadings.loc["b0", "CC1"] == pytest.approx(
        np.corrcoef(x["b0"], result.x_scores[:, 0])[0, 1]
    )


@pytest.mark.slow
def test_p_is_that_of_a_refit_for_every_permutation():
    x, y = views(50, np.random.default_rng(3), rho=0.45)
    labels = pairs(50)
    result = fit_cca(x, y, 1, n_permutations=200, session_labels=labels, seed=5)
    null = np.array(
        [
            fit_cca(x.to_numpy(), y.to_numpy()[order], 1).correlation
            for order in session_permutations(labels, 200, 5)
        ]
    )
    np.testing.assert_allclose(result.null_correlations, null, atol=1e-10)
    assert result.p_value == (1 + (null >= result.correlation).sum()) / 201
    assert 0 < result.p_value < 1


def test_p_of_later_components_leaves_out_the_earlier_ones():
    rng = np.random.default_rng(4)
    x, y = views(400, rng, rho=0.8)
    result = fit_cca(x, y, n_permutations=199, seed=0)
    assert result.p_values[0] == 1 / 200
    assert result.p_values[1] > 0.05
    assert (np.diff(result.p_values) >= 0).all()


@pytest.mark.slow
def test_permutations_keep_sessions_together_and_sizes_apart():
    labels = np.array(["a", "b", "a", "c", "b", "c", "d", "e", "f", "f", "f"])
    orders = session_permutations(labels, 300, seed=1)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(11), (300, 1)))
    rows = {name: np.flatnonzero(labels == name) for name in "abcdef"}
    sources = {name: set() for name in rows}
    for order in orders:
        for name, where in rows.items():
            taken = order[where]
            source = labels[taken[0]]
            np.testing.assert_array_equal(taken, rows[source])  # whole and in order
            sources[name].add(source)
    assert sources["a"] == sources["b"] == sources["c"] == {"a", "b", "c"}
    assert sources["d"] == sources["e"] == {"d", "e"}
    assert sources["f"] == {"f"}
    assert count_movable_sessions(labels) == 5


def test_sessions_can_be_left_to_their_animals():
    labels = np.repeat(np.arange(9), 2)
    animals = np.repeat(["m", "n", "o"], 6)
    animals[-2:] = "p"
    orders = session_permutations(labels, 2000, 1, within=animals)
    np.testing.assert_array_equal(animals[orders], np.tile(animals, (2000, 1)))
    np.testing.assert_array_equal(labels[orders[:, ::2]], labels[orders[:, 1::2]])
    assert len(np.unique(orders, axis=0)) == 6 * 6 * 2
    assert count_movable_sessions(labels, animals) == 8
    assert count_movable_sessions(labels) == 9


@pytest.mark.slow
def test_what_animals_share_is_no_evidence_within_them():
    rng = np.random.default_rng(11)
    n_animals, animals = 12, np.repeat(np.arange(12), 4)
    within, across = [], []
    for i in range(60):
        x = rng.standard_normal((48, 3)) + 2 * rng.standard_normal((n_animals, 3))[animals]
        y = rng.standard_normal((48, 2)) + 2 * rng.standard_normal((n_animals, 2))[animals]
        across.append(fit_cca(x, y, 1, 99, seed=i).p_value)
        within.append(fit_cca(x, y, 1, 99, seed=i, within=animals).p_value)
    # binomial: 0.05 + 4 standard errors of 0.028
    assert np.mean(np.array(within) <= 0.05) < 0.165
    assert np.mean(np.array(across) <= 0.05) > 0.3
    x[:, 0] = y[:, 0] + 0.5 * rng.standard_normal(48)
    assert fit_cca(x, y, 1, 99, within=animals).p_value == 0.01


def test_orders_are_uniform_and_seeded():
    labels = np.arange(3)
    orders = session_permutations(labels, 6000, seed=2)
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert (np.abs(counts - 1000) < 5 * np.sqrt(1000)).all()
    np.testing.assert_array_equal(orders, session_permutations(labels, 6000, seed=2))
    assert (orders != session_permutations(labels, 6000, seed=3)).any()


def test_sessions_that_cannot_move_give_p_1():
    x, y = views(15, np.random.default_rng(5), rho=0.9)
    labels = np.repeat(np.arange(5), [1, 2, 3, 4, 5])
    result = fit_cca(x, y, 1, n_permutations=50, session_labels=labels)
    assert result.p_value == 1.0
    assert result.n_movable_sessions == 0
    assert result.n_sessions == 5


def test_p_counts_the_observed_order():
    assert permutation_p(np.array([0.9]), np.zeros((999, 1)))[0] == 0.001
    np.testing.assert_array_equal(
        permutation_p(np.array([0.5, 0.4]), np.array([[0.6, 0.1], [0.1, 0.1], [0.1, 0.1]])),
        [0.5, 0.5],
    )


def test_fewer_recordings_than_features_is_no_evidence():
    x, y = views(9, np.random.default_rng(6))
    result = fit_cca(x, y, 1, n_permutations=99)
    assert result.correlation == pytest.approx(1.0)
    assert result.p_value == 1.0


def test_incomplete_rows_are_left_out_of_both_views():
    x, y = views(40, np.random.default_rng(7), rho=0.5)
    x.iloc[3, 0], y.iloc[[4, 5], 1] = np.nan, np.nan
    result = fit_cca(x, y)
    expected = fit_cca(x.drop(index=[3, 4, 5]), y.drop(index=[3, 4, 5]))
    assert result.n_recordings == 37
    assert result.correlation == pytest.approx(expected.correlation)
    assert 4 not in result.index and len(result.x_scores) == 37


def test_constant_and_dependent_features_do_not_matter():
    x, y = views(40, np.random.default_rng(8), rho=0.5)
    plain = fit_cca(x, y, 1)
    more = fit_cca(x.assign(constant=0.1, copy=2 * x["b0"]), y.assign(zero=0.0), 1)
    assert more.correlation == pytest.approx(plain.correlation)
    assert "constant" not in more.x_weights.index and "zero" not in more.y_weights.index
    assert more.all_weights("x").loc["constant", "CC1"] == 0
    assert more.x_weights.index.tolist() == [*x.columns, "copy"]


def test_correlation_does_not_depend_on_the_scale_of_features():
    x, y = views(40, np.random.default_rng(9), rho=0.5)
    scaled = fit_cca(x * np.array([1e-3, 1, 10, 1, 1, 1e4]) + 7, y, 1)
    assert scaled.correlation == pytest.approx(fit_cca(x, y, 1).correlation)


def test_unusable_input_is_refused():
    x, y = views(10, np.random.default_rng(10))
    with pytest.raises(MalformedFileError, match="X has 10 rows, Y 9"):
        fit_cca(x, y.iloc[:9])
    with pytest.raises(MalformedFileError, match="0 of 10 recordings are complete"):
        fit_cca(x * np.nan, y)
    with pytest.raises(MalformedFileError, match="no feature that varies"):
        fit_cca(x * 0, y)
