"""Estimates of a mixed model with its information criteria, by maximum likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from iblnm.analysis.stats.products import maximize

if TYPE_CHECKING:
    from iblnm.analysis.lmm.model import LMMResult


class FitSummary(NamedTuple):
    """What scripts read from a fit of statsmodels.

    Parameters
    ----------
    aic, bic, llf : float
        By maximum likelihood whatever the fit, so that models of the same trials compare; NaN
        if the trials are not known any more.
    fe_params, bse, pvalues : Series
        By term, of the fit itself; p of z.
    nobs : int
    method : {'REML', 'ML'}
        Of the estimates.
    """

    aic: float
    bic: float
    llf: float
    fe_params: pd.Series
    bse: pd.Series
    pvalues: pd.Series
    nobs: int
    method: str


def fit_summary(lmm: LMMResult) -> FitSummary:
    """Estimates, AIC = 2k − 2ℓ and BIC = k ln n − 2ℓ of a fit.

    Notes
    -----
    k counts fixed effects, the distinct (co)variances of the random effects, and the variance
    of the residuals, as `statsmodels.regression.mixed_linear_model.MixedLMResults` does. The
    likelihood is maximized again, since REML likelihoods of different fixed effects, and so of
    different codings of contrast, do not compare.
    """
    table = lmm.coefficients.set_index("term")
    n_random = len(lmm.cov_random)
    k = len(table) + n_random * (n_random + 1) // 2 + 1
    llf = np.nan
    if lmm.products is not None:
        llf = -lmm.products.deviance(maximize(lmm.products, False), False) / 2
    return FitSummary(
        aic=float(2 * k - 2 * llf),
        bic=float(k * np.log(lmm.n_trials) - 2 * llf),
        llf=float(llf),
        fe_params=table["estimate"],
        bse=table["se"],
        pvalues=table["p_wald"],
        nobs=lmm.n_trials,
        method=lmm.method,
    )


def likelihood_ratio_test(full: LMMResult, reduced: LMMResult) -> dict[str, float]:
    """Compare two models of the same trials by their likelihoods.

    Parameters
    ----------
    full, reduced : LMMResult
        Fitted by ML (`fit_mixed_model` with ``reml=False``) to the same trials.

    Returns
    -------
    dict
        ``chi2``, ``df`` (difference in fixed effects), ``p``.

    Raises
    ------
    ValueError
        If a model was fitted by REML, or the models are of different trials or random effects.
    """
    from scipy.stats import chi2

    if {full.method, reduced.method} != {"ML"}:
        raise ValueError("REML likelihoods of different fixed effects do not compare; use ML")
    if full.n_trials != reduced.n_trials or full.re_formula != reduced.re_formula:
        raise ValueError("the models are of different trials or random effects")
    df = len(full.terms) - len(reduced.terms)
    statistic = max(0.0, 2 * (full.log_likelihood - reduced.log_likelihood))
    return {"chi2": statistic, "df": float(df), "p": float(chi2.sf(statistic, df))}
