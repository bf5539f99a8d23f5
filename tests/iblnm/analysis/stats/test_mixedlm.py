from __future__ import annotations

import warnings

import numpy as np
import pytest
from bench.cohort_tables import simulate_magnitudes
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

from iblnm.analysis.lmm.design import design_matrices
from iblnm.analysis.stats.intercept import fit_intercept, leave_one_out
from iblnm.analysis.stats.mixedlm import fit_mixed
from iblnm.analysis.stats.products import Products, maximize, satterthwaite, variance_of_variance
from iblnm.analysis.trials import code_trials

pytestmark = pytest.mark.slow


def library_fit(y, x, subject, z=None, **options):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return MixedLM(y, x, subject, z).fit(**options)


def example(n_subjects=8, slope_sd=0.4, seed=0, sizes=(20, 300)):
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n_subjects), rng.integers(*sizes, n_subjects))
    n = len(subject)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    random = rng.normal(0, (0.6, slope_sd), (n_subjects, 2))[subject]
    y = x @ [1.0, 0.3, -0.2] + (random * x[:, :2]).sum(1) + rng.normal(size=n)
    return x, x[:, :2], y, subject


def difficult():
    """Four animals whose slopes hardly differ: the default fit of MixedLM stops early."""
    table, _ = simulate_magnitudes(targets=["LC-NE"], n_subjects=4, n_trials=100, seed=7)
    coded, _ = code_trials(table[table["event"] == "stimOn_times"], "response_early")
    x, z, *_ = design_matrices(coded, "contrast * side", "contrast")
    return x, z, coded["response"].to_numpy(), np.unique(coded["subject"], return_inverse=True)[1]


@pytest.mark.parametrize("reml", [True, False])
def test_likelihood_is_that_of_the_library(reml):
    x, z, y, subject = example()
    products = Products.from_arrays(x, z, y, subject)
    psi = np.array([[0.4, 0.1], [0.1, 0.2]])
    model = MixedLM(y, x, subject, z)
    model.reml, model.cov_pen, model.fe_pen, model._cov_sing = reml, None, None, 0
    theirs = model.loglike(MixedLMParams.from_components(np.zeros(3), psi))
    ours = -products.deviance(np.linalg.cholesky(psi), reml) / 2
    assert ours == pytest.approx(theirs, abs=1e-8)


def test_order_of_trials_is_no_matter():
    x, z, y, subject = example()
    order = np.random.default_rng(1).permutation(len(y))
    first = Products.from_arrays(x, z, y, subject)
    mixed = Products.from_arrays(x[order], z[order], y[order], subject[order])
    np.testing.assert_allclose(mixed.xx, first.xx, atol=1e-9)
    np.testing.assert_allclose(mixed.zy, first.zy, atol=1e-9)


@pytest.mark.parametrize("reml", [True, False])
def test_estimates_are_those_of_the_library(reml):
    x, z, y, subject = example()
    products, fit = fit_mixed(x, z, y, subject, reml=reml)
    theirs = library_fit(y, x, subject, z, reml=reml)
    assert fit.is_converged and not fit.is_singular
    found = products.solve(fit.factor)
    variance = found.rss / products.degrees(reml)
    np.testing.assert_allclose(found.beta, theirs.fe_params, atol=1e-4)
    np.testing.assert_allclose(
        np.sqrt(np.diag(found.cov_unscaled) * variance), theirs.bse_fe, rtol=1e-3
    )
    np.testing.assert_allclose(variance * fit.factor @ fit.factor.T, theirs.cov_re, atol=2e-3)
    assert -products.deviance(fit.factor, reml) / 2 == pytest.approx(theirs.llf, abs=1e-4)


def test_unit_of_the_random_column_is_no_matter():
    x, z, y, subject = example()
    scaled = z * [1.0, 1000.0]
    first = maximize(Products.from_arrays(x, z, y, subject), True)
    other = maximize(Products.from_arrays(x, scaled, y, subject), True)
    np.testing.assert_allclose(other * [[1.0], [1000.0]], first, atol=2e-4)


@pytest.mark.slow
def test_default_fit_of_the_library_stops_early_and_says_it_converged():
    # When this fails MixedLM has been mended, and _mixedlm.py can do with less.
    x, z, y, subject = difficult()
    theirs = library_fit(y, x, subject, z)
    products, fit = fit_mixed(x, z, y, subject)
    ours = -products.deviance(fit.factor, True) / 2
    assert theirs.converged
    assert ours > theirs.llf + 1.0
    assert fit.is_converged
    slope_se = np.sqrt(np.diag(products.solve(fit.factor).cov_unscaled)[1])
    assert theirs.bse_fe[1] > 2 * slope_se


@pytest.mark.slow
def test_singular_fits_are_marked():
    # Two animals cannot tell a correlation of intercepts and slopes from ±1.
    x, z, y, subject = example(n_subjects=2, sizes=(200, 300))
    _, fit = fit_mixed(x, z, y, subject)
    assert fit.is_singular
    assert np.linalg.matrix_rank(fit.factor, tol=1e-4) == 1
    x, z, y, subject = example(slope_sd=0.4)
    assert not fit_mixed(x, z, y, subject)[1].is_singular


@pytest.mark.slow
def test_disagreement_is_not_convergence():
    x, z, y, subject = example()
    _, fit = fit_mixed(x, z, y, subject, loglik_tolerance=0.0, se_tolerance=0.0)
    assert not fit.is_converged
    assert fit.se_gap > 0
    # An optimizer that is stopped at once is far from the other.
    _, fit = fit_mixed(x, z, y, subject, methods=())
    assert not fit.is_converged
    assert fit.loglik_gap == np.inf


def test_dependent_columns_are_refused():
    x, z, y, subject = example()
    with pytest.raises(np.linalg.LinAlgError):
        Products.from_arrays(np.column_stack([x, x[:, 1] * 0]), z, y, subject).solve(np.eye(2))


class TestIntercept:
    @pytest.mark.parametrize("reml", [True, False])
    def test_is_the_fit_of_the_library(self, reml):
        x, _, y, subject = example(slope_sd=0.0)
        fit = fit_intercept(x, y, subject, reml=reml)
        theirs = library_fit(y, x, subject, reml=reml, method=["bfgs", "powell"])
        np.testing.assert_allclose(fit.beta, theirs.fe_params, atol=1e-5)
        np.testing.assert_allclose(fit.se, theirs.bse_fe, rtol=2e-3)
        assert fit.log_likelihood == pytest.approx(theirs.llf, abs=1e-4)
        assert fit.intercept_variance == pytest.approx(theirs.cov_re[0, 0], rel=2e-3)

    def test_no_variance_between_subjects_is_the_boundary(self):
        rng = np.random.default_rng(3)
        subject = np.repeat(np.arange(10), 50)
        x = np.column_stack([np.ones(500), rng.normal(size=500)])
        y = rng.normal(size=500)
        y -= np.bincount(subject, y)[subject] / 50
        fit = fit_intercept(x, y, subject)
        assert fit.intercept_variance == 0.0
        np.testing.assert_allclose(fit.beta, np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-12)

    def test_degrees_of_freedom_of_a_balanced_design(self):
        # K animals, balanced: the mean has K − 1 degrees of freedom, exactly.
        rng = np.random.default_rng(4)
        subject = np.repeat(np.arange(7), 40)
        within = np.tile(np.repeat([-0.5, 0.5], 20), 7)
        x = np.column_stack([np.ones(280), within])
        y = rng.normal(0, 1.0, 7)[subject] + rng.normal(size=280)
        fit = fit_intercept(x, y, subject)
        assert fit.df[0] == pytest.approx(6, rel=1e-3)
        assert fit.df[1] == pytest.approx(280 - 7 - 1, rel=1e-2)

    def test_random_slope_gives_the_slope_few_degrees_of_freedom(self):
        rng = np.random.default_rng(5)
        subject = np.repeat(np.arange(6), 200)
        c = np.tile(np.linspace(-2, 2, 200), 6)
        x = np.column_stack([np.ones(1200), c])
        y = (rng.normal(0, 0.5, (6, 2))[subject] * x).sum(1) + rng.normal(size=1200)
        products, fit = fit_mixed(x, x, y, subject)
        found = products.solve(fit.factor)
        variance = found.rss / products.degrees(True)
        pieces = variance_of_variance(products, fit.factor, variance, True)
        df = satterthwaite(np.eye(2), variance * found.cov_unscaled, *pieces, largest=1198.0)
        np.testing.assert_allclose(df, [5, 5], rtol=0.02)

    def test_leaving_one_out_is_refitting_without_it(self):
        x, _, y, subject = example(12, slope_sd=0.0, sizes=(20, 900))
        products = Products.from_arrays(x, np.ones((len(y), 1)), y, subject)
        beta, ratio = leave_one_out(products, np.arange(3))
        for k in range(12):
            rest = subject != k
            codes = np.unique(subject[rest], return_inverse=True)[1]
            fit = fit_intercept(x[rest], y[rest], codes)
            np.testing.assert_allclose(beta[k], fit.beta, atol=1e-7)
            expected = fit.intercept_variance / fit.residual_variance
            assert ratio[k] == pytest.approx(expected, rel=1e-4)
