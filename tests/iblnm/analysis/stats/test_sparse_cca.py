"""Penalized canonical correlation against cca-zoo and alternating scikit-learn regressions."""

import numpy as np
import pandas as pd
import pytest
from cca_zoo.linear import RidgeCCA
from sklearn.linear_model import ElasticNet, Ridge

from iblnm.analysis.stats.cca import fit_cca
from iblnm.analysis.stats.elastic_net import canonical_weights
from iblnm.analysis.stats.permutations import session_permutations
from iblnm.analysis.stats.sparse_cca import _deal, fit_penalized_cca, held_out_correlation
from iblnm.errors import MalformedFileError


def views(n, rng, rho, p=6, q=4):
    x, y = rng.standard_normal((n, p)), rng.standard_normal((n, q))
    y[:, 0] = rho * x[:, 0] + np.sqrt(1 - rho**2) * y[:, 0]
    return pd.DataFrame(x).add_prefix("b"), pd.DataFrame(y).add_prefix("y")


def cosine(a, b):
    return float(abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b))


def zscore(frame):
    return ((frame - frame.mean()) / frame.std(ddof=0)).to_numpy()


def alternate_with_sklearn(x, y, alpha, l1_ratio, start):
    """Weights by alternating elastic-net regressions of scikit-learn, until they settle."""
    v = y @ start
    for _ in range(2000):
        v = v / v.std()
        wx = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, fit_intercept=False, tol=1e-12).fit(x, v)
        u = x @ wx.coef_
        u = u / u.std()
        wy = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, fit_intercept=False, tol=1e-12).fit(y, u)
        old, v = v, y @ wy.coef_
        if np.abs(v / v.std() - old).max() < 1e-10:
            break
    return wx.coef_, wy.coef_


def test_ridge_agrees_with_cca_zoo():
    x, y = views(60, np.random.default_rng(0), 0.5)
    alpha = 0.3
    result = fit_penalized_cca(x, y, alpha=alpha)
    zoo = RidgeCCA(shrinkage=alpha / (1 + alpha)).fit(
        [zscore(x) * np.sqrt(59 / 60), zscore(y) * np.sqrt(59 / 60)]
    )
    assert cosine(result.x_weights["CC1"], zoo.weights_[0][:, 0]) == pytest.approx(1, abs=1e-3)
    assert cosine(result.y_weights["CC1"], zoo.weights_[1][:, 0]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("alpha", "l1_ratio"), [(0.1, 0.5), (0.05, 1.0), (0.3, 0.2)])
def test_elastic_net_agrees_with_alternating_regressions_of_scikit_learn(alpha, l1_ratio):
    x, y = views(80, np.random.default_rng(1), 0.6)
    start = fit_penalized_cca(x, y, alpha=alpha).y_weights["CC1"].to_numpy()
    wx, wy = alternate_with_sklearn(zscore(x), zscore(y), alpha, l1_ratio, start)
    result = fit_penalized_cca(x, y, alpha=alpha, l1_ratio=l1_ratio)
    np.testing.assert_allclose(
        np.abs(result.x_weights["CC1"]), np.abs(wx) / np.linalg.norm(wx), atol=1e-5
    )
    np.testing.assert_allclose(
        np.abs(result.y_weights["CC1"]), np.abs(wy) / np.linalg.norm(wy), atol=1e-5
    )


def test_a_small_penalty_gives_the_plain_result():
    x, y = views(80, np.random.default_rng(2), 0.5)
    plain = fit_cca(x, y, 1)
    result = fit_penalized_cca(x, y, alpha=1e-9, unit_norm=False)
    assert result.correlation == pytest.approx(plain.correlation, abs=1e-7)
    np.testing.assert_allclose(
        np.abs(result.x_weights["CC1"]), np.abs(plain.x_weights["CC1"]), rtol=1e-4
    )


def test_lasso_keeps_the_planted_features_only():
    x, y = views(300, np.random.default_rng(3), 0.8)
    result = fit_penalized_cca(x, y, alpha=0.3, l1_ratio=1.0)
    assert result.x_weights["CC1"].abs().idxmax() == "b0"
    assert (result.x_weights["CC1"].drop("b0").abs() < 1e-12).all()
    assert np.linalg.norm(result.y_weights["CC1"]) == pytest.approx(1)


def test_a_penalty_that_leaves_nothing():
    x, y = views(50, np.random.default_rng(4), 0.3)
    result = fit_penalized_cca(x, y, 20, alpha=5.0, l1_ratio=1.0)
    assert result.correlation == 0
    assert not result.x_weights.to_numpy().any()
    assert result.p_value == 1.0


def straightforward(x, y, sessions, fold_of, penalties):
    """Ridge variant by refits with scikit-learn; correlation at the penalty chosen."""

    def fit(x, y, alpha):
        n = len(x)
        wy = np.linalg.svd(x.T @ y)[2][0]
        for _ in range(3000):
            v = y @ wy / np.sqrt(np.mean((y @ wy) ** 2))
            wx = Ridge(alpha=n * alpha, fit_intercept=False).fit(x, v).coef_
            u = x @ wx / np.sqrt(np.mean((x @ wx) ** 2))
            new = Ridge(alpha=n * alpha, fit_intercept=False).fit(y, u).coef_
            if np.abs(new - wy).max() < 1e-11:
                return wx, new
            wy = new
        return wx, wy

    held_out = []
    for alpha in penalties:
        u, v = [], []
        for fold in np.unique(fold_of):
            test = fold_of == fold
            scaled = []
            for view in (x, y):
                mean, sd = view[~test].mean(axis=0), view[~test].std(axis=0)
                scaled.append((view - mean) / sd)
            wx, wy = fit(scaled[0][~test], scaled[1][~test], alpha)
            sign = np.sign(wx[np.abs(wx).argmax()])
            u.append(sign * scaled[0][test] @ wx / np.sqrt(np.mean((scaled[0][~test] @ wx) ** 2)))
            v.append(sign * scaled[1][test] @ wy / np.sqrt(np.mean((scaled[1][~test] @ wy) ** 2)))
        u, v = np.concatenate(u), np.concatenate(v)
        held_out.append(u @ v / np.sqrt(u @ u * (v @ v)))
    chosen = penalties[int(np.argmax(held_out))]
    wx, wy = fit(zscore(pd.DataFrame(x)), zscore(pd.DataFrame(y)), chosen)
    u, v = zscore(pd.DataFrame(x)) @ wx, zscore(pd.DataFrame(y)) @ wy
    return chosen, abs(np.corrcoef(u, v)[0, 1])


@pytest.mark.slow
def test_the_penalty_is_chosen_anew_in_every_permutation():
    rng = np.random.default_rng(5)
    x, y = views(48, rng, 0.5, p=3, q=2)
    labels = np.repeat(np.arange(24), 2)
    penalties = (0.03, 0.3, 3.0)
    result = fit_penalized_cca(x, y, 12, labels, seed=1, alpha=penalties, n_folds=3)
    folds = _deal(labels, 3, 1)
    args = labels, folds, penalties
    chosen, correlation = straightforward(x.to_numpy(), y.to_numpy(), *args)
    assert result.alpha == chosen
    assert result.correlation == pytest.approx(correlation, abs=1e-6)
    null = [
        straightforward(x.to_numpy(), y.to_numpy()[order], *args)
        for order in session_permutations(labels, 12, 1)
    ]
    assert len({penalty for penalty, _ in null}) > 1
    np.testing.assert_allclose(result.null_correlations, [value for _, value in null], atol=1e-6)


def test_held_out_units_are_never_split():
    labels = np.array(["a", "b", "a", "c", "d", "b"])
    folds = _deal(labels, 3, 0)
    assert folds[0] == folds[2] and folds[1] == folds[5]
    assert set(folds) == {0, 1, 2}
    with pytest.raises(MalformedFileError, match="1 unit to hold out"):
        _deal(np.array(["a", "a"]), 3, 0)


def test_same_seed_same_result():
    x, y = views(40, np.random.default_rng(6), 0.4)
    a, b = (fit_penalized_cca(x, y, 50, seed=3) for _ in range(2))
    np.testing.assert_array_equal(a.null_correlations, b.null_correlations)
    assert a.penalties == b.penalties and a.alpha in a.penalties


def test_unusable_penalties_are_refused():
    x, y = views(20, np.random.default_rng(7), 0.4)
    with pytest.raises(ValueError, match="must be positive"):
        fit_penalized_cca(x, y, alpha=0.0)
    with pytest.raises(ValueError, match=r"l1_ratio 1\.5"):
        fit_penalized_cca(x, y, l1_ratio=1.5)


def test_each_problem_of_a_stack_is_solved_by_itself():
    rng = np.random.default_rng(8)
    data = [views(50, rng, r) for r in (0.1, 0.5, 0.9)]
    stack = []
    for x, y in data:
        r = np.corrcoef(np.hstack([x, y]).T)
        stack.append((r[:6, :6], r[6:, 6:], r[:6, 6:]))
    together = canonical_weights(
        *(np.stack(m) for m in zip(*stack, strict=True)), np.full(3, 0.1), 0.5
    )
    for i, matrices in enumerate(stack):
        alone = canonical_weights(*(m[None] for m in matrices), np.full(1, 0.1), 0.5)
        np.testing.assert_allclose(together[0][i], alone[0][0], atol=1e-6)


@pytest.mark.slow
def test_held_out_correlation_is_near_the_planted_one_and_near_zero_without():
    subjects = np.repeat(np.arange(100), 4)
    planted = held_out_correlation(*views(400, np.random.default_rng(9), 0.6), subjects)
    assert planted == pytest.approx(0.6, abs=0.1)
    null = [
        held_out_correlation(*views(60, np.random.default_rng(i), 0.0), np.repeat(range(15), 4))
        for i in range(40)
    ]
    in_sample = [
        fit_cca(*views(60, np.random.default_rng(i), 0.0), 1).correlation for i in range(40)
    ]
    # standard error of the mean of 40 correlations of 60 recordings: 0.02
    assert np.mean(null) < 0.1 < 0.4 < np.mean(in_sample)
    x, y = views(20, np.random.default_rng(10), 0.5)
    assert np.isnan(held_out_correlation(x, y, np.zeros(20)))
