"""Linear mixed models of trial responses: contrast, side and reward, subjects at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.lmm.design import design_matrices, right_hand_side
from iblnm.analysis.stats.mixedlm import fit_mixed
from iblnm.analysis.stats.products import Products, satterthwaite, variance_of_variance
from iblnm.analysis.trials import code_trials
from iblnm.constants import TASK_CONTRASTS
from iblnm.errors import DataError

_LEVEL = 0.95


@dataclass(frozen=True)
class LMMResult:
    """A fitted linear mixed model.

    Parameters
    ----------
    coefficients : DataFrame
        One row per fixed effect: ``term``, ``estimate``, ``se``, ``df`` (Satterthwaite), ``z``
        (estimate / se), ``p`` (two-sided, from t with ``df``), ``p_wald`` (from the normal),
        ``ci_low``, ``ci_high`` (95 %).
    formula, re_formula : str
        Right-hand sides of fixed and random effects.
    response_col : str
    contrast_coding : str
    contrast_center : float
        Subtracted from the coded contrast.
    contrasts : tuple of float
        Contrasts of the trials used [%].
    contrast_levels : tuple of float
        Analyzed contrasts [%], on whose mean code contrast is centered.
    cov_random : DataFrame
        Covariance of the random effects.
    random_effects : DataFrame
        Best linear unbiased predictions, one row per subject.
    residual_variance : float
    log_likelihood : float
        Of the criterion of `method`.
    method : {'REML', 'ML'}
    r2_marginal, r2_conditional : float
        Share of the variance explained by fixed, and by fixed and random effects.
    is_converged : bool
        Whether two maximizations agree; the estimates of a fit that did not converge are not
        to be used.
    is_singular : bool
        Whether the covariance of the random effects has not full rank.
    loglik_gap, se_gap : float
        Difference of the two maximizations: absolute in the log-likelihood, largest relative
        one of the standard errors.
    n_trials, n_sessions, n_recordings, n_subjects, n_dropped : int
        Used; trials without response, contrast or side are dropped.
    note : str
        What differs from what was asked, for example why slopes were left out.
    """

    coefficients: pd.DataFrame
    formula: str
    re_formula: str
    response_col: str
    contrast_coding: str
    contrast_center: float
    contrasts: tuple[float, ...]
    contrast_levels: tuple[float, ...]
    cov_random: pd.DataFrame
    random_effects: pd.DataFrame
    residual_variance: float
    log_likelihood: float
    method: str
    r2_marginal: float
    r2_conditional: float
    is_converged: bool
    is_singular: bool
    loglik_gap: float
    se_gap: float
    n_trials: int
    n_sessions: int
    n_recordings: int
    n_subjects: int
    n_dropped: int
    note: str = ""
    cov_fixed: np.ndarray = field(repr=False, default_factory=lambda: np.empty((0, 0)))
    cov_jacobian: np.ndarray = field(repr=False, default_factory=lambda: np.empty((0, 0, 0)))
    cov_parameters: np.ndarray = field(repr=False, default_factory=lambda: np.empty((0, 0)))

    @property
    def terms(self) -> list[str]:
        """Names of the fixed effects."""
        return self.coefficients["term"].tolist()

    @property
    def params(self) -> pd.Series:
        """Estimates by term."""
        return self.coefficients.set_index("term")["estimate"]

    @property
    def emm_reward(self) -> pd.DataFrame | None:
        """Marginal means of the outcomes, None without outcome in the model."""
        return self._means("reward")

    @property
    def emm_side(self) -> pd.DataFrame | None:
        """Marginal means of the sides, None without side in the model."""
        return self._means("side")

    @property
    def emm_contrast(self) -> pd.DataFrame | None:
        """Marginal means of the contrasts, None without contrast in the model."""
        return self._means("contrast")

    @property
    def contrast_slopes(self) -> pd.DataFrame | None:
        """Slopes on contrast, None without contrast in the model."""
        from iblnm.analysis.lmm.marginal import compute_contrast_slopes

        return compute_contrast_slopes(self) if self._has("contrast") else None

    @property
    def interaction_contrast_reward(self) -> pd.DataFrame | None:
        """Effect of contrast at each outcome, None if one is not in the model."""
        return self._interaction("contrast", "reward")

    @property
    def interaction_contrast_side(self) -> pd.DataFrame | None:
        """Effect of contrast at each side, None if one is not in the model."""
        return self._interaction("contrast", "side")

    @property
    def interaction_reward_side(self) -> pd.DataFrame | None:
        """Effect of the outcome at each side, None if one is not in the model."""
        return self._interaction("reward", "side")

    def _has(self, *factors: str) -> bool:
        used = {factor for term in self.terms for factor in term.split(":")}
        return used.issuperset(factors)

    def _means(self, factor: str) -> pd.DataFrame | None:
        from iblnm.analysis.lmm.marginal import compute_marginal_means

        return compute_marginal_means(self, factor) if self._has(factor) else None

    def _interaction(self, of: str, at: str) -> pd.DataFrame | None:
        from iblnm.analysis.lmm.marginal import compute_interaction_effects

        return compute_interaction_effects(self, of, at) if self._has(of, at) else None

    def combine(self, weights: np.ndarray) -> pd.DataFrame:
        """Linear combinations of the fixed effects with their uncertainty.

        Parameters
        ----------
        weights : ndarray, shape (m, p)
            One combination per row, in the order of `terms`.

        Returns
        -------
        DataFrame
            ``estimate``, ``se``, ``df``, ``z``, ``p``, ``p_wald``, ``ci_low``, ``ci_high``.

        Notes
        -----
        Degrees of freedom by Satterthwaite, 2v² / Var(v) with v the variance of the
        combination and Var(v) by the delta method from the inverse Hessian of the deviance, as
        in lmerTest (Kuznetsova et al. 2017, J Stat Softw 82). The normal approximation that
        statsmodels reports rejects too often when few animals carry the variance: an effect
        that varies between K animals gets about K − 1 degrees of freedom here, one that does
        not gets about the number of trials. Where the fit is singular the expansion fails, and
        an estimate of no variance between a few animals is weak evidence: combinations of
        effects that are random have at most K − 1 degrees of freedom there.
        """
        from scipy.stats import norm, t

        weights = np.atleast_2d(np.asarray(weights, dtype=float))
        estimate = weights @ self.coefficients["estimate"].to_numpy()
        variance = np.einsum("mi,ij,mj->m", weights, self.cov_fixed, weights)
        df = satterthwaite(
            weights,
            self.cov_fixed,
            self.cov_jacobian,
            self.cov_parameters,
            largest=float(self.n_trials - len(self.coefficients)),
        )
        if self.is_singular:
            between = [term in self.cov_random.columns for term in self.coefficients["term"]]
            df = np.where(np.any(weights[:, between] != 0, axis=1), self._few(df), df)
        se = np.sqrt(variance)
        z = estimate / se
        half = t.ppf(0.5 + _LEVEL / 2, df) * se
        return pd.DataFrame(
            {
                "estimate": estimate,
                "se": se,
                "df": df,
                "z": z,
                "p": 2 * t.sf(np.abs(z), df),
                "p_wald": 2 * norm.sf(np.abs(z)),
                "ci_low": estimate - half,
                "ci_high": estimate + half,
            }
        )

    def _few(self, df: np.ndarray) -> np.ndarray:
        return np.minimum(df, self.n_subjects - 1.0)

    def weights_at(self, **values: float) -> np.ndarray:
        """Weights of the fixed effects at coded values of the factors; the others are 0.

        Parameters
        ----------
        **values : float
            ``contrast``, ``side``, ``reward`` as coded.
        """
        from patsy import dmatrix

        names = ("contrast", "side", "reward")
        at = pd.DataFrame({name: [float(values.get(name, 0.0))] for name in names})
        return np.asarray(dmatrix(self.formula, at))[0]


def fit_mixed_model(
    df: pd.DataFrame,
    response_col: str,
    formula: str | None = None,
    re_formula: str = "1",
    contrast_coding: str = "log",
    *,
    contrasts: Sequence[float] = TASK_CONTRASTS,
    reml: bool = True,
    loglik_tolerance: float = 0.01,
    se_tolerance: float = 0.01,
) -> LMMResult:
    """Fit response ~ contrast · side · reward with random effects of the subject.

    Parameters
    ----------
    df : DataFrame
        Selected trials of one target and event; see `code_trials`. Where ``event`` says that
        all are of stimOn_times, the model has no outcome.
    response_col : str
    formula : str, optional
        Patsy formula in ``contrast``, ``side`` and ``reward``, with or without left-hand side;
        by default ``contrast * side * reward``, at stimOn_times ``contrast * side``.
    re_formula : str
        Random effects: ``1``, or ``contrast`` for intercept and slope.
    contrast_coding : {'log', 'linear', 'rank'}
        ln(c + 1), percent, or rank among `contrasts`, centered.
    contrasts : sequence of float
        Analyzed contrasts [%].
    reml : bool
        REML for estimates; ML for comparing models of different fixed effects.
    loglik_tolerance, se_tolerance : float
        How far two maximizations may differ: absolute in the log-likelihood, relative in the
        standard errors.

    Returns
    -------
    LMMResult

    Raises
    ------
    DataError
        If fewer than two subjects are left, or the trials do not determine the effects, for
        example because there are no errors.
    ValueError
        If the formula has an outcome at stimOn_times.

    Notes
    -----
    R² of Nakagawa & Schielzeth (2013, Methods Ecol Evol 4); with random slopes τ² is their
    mean variance over trials (Johnson 2014, Methods Ecol Evol 5).
    """
    coded, center = code_trials(df, response_col, contrast_coding, contrasts=contrasts)
    right = right_hand_side(formula, coded)
    x, z, x_names, z_names = design_matrices(coded, right, re_formula)
    names, subject = np.unique(coded["subject"].to_numpy(dtype=object), return_inverse=True)
    if len(names) < 2:
        raise DataError(f"{len(names)} subjects with usable trials; at least 2 are needed")
    rank = np.linalg.matrix_rank(x)
    if rank < x.shape[1] or len(x) <= x.shape[1]:
        raise DataError(
            f"{len(x)} trials determine {rank} of {x.shape[1]} effects of {right!r}; every "
            "combination of its factors must occur"
        )
    y = coded["response"].to_numpy()
    products, fit = fit_mixed(
        x,
        z,
        y,
        subject,
        reml=reml,
        loglik_tolerance=loglik_tolerance,
        se_tolerance=se_tolerance,
    )
    found = products.solve(fit.factor)
    variance = found.rss / products.degrees(reml)
    cov_random = variance * fit.factor @ fit.factor.T
    fixed = float(np.var(x @ found.beta))
    random = float(np.einsum("ni,ij,nj->", z, cov_random, z) / len(z))
    total = fixed + random + variance
    jacobian, cov_parameters = variance_of_variance(products, fit.factor, variance, reml)
    result = LMMResult(
        coefficients=pd.DataFrame({"term": x_names, "estimate": found.beta}),
        formula=right,
        re_formula=re_formula,
        response_col=response_col,
        contrast_coding=contrast_coding,
        contrast_center=center,
        contrasts=tuple(float(c) for c in np.unique(coded["percent"])),
        contrast_levels=tuple(float(c) for c in contrasts),
        cov_random=pd.DataFrame(cov_random, z_names, z_names),
        random_effects=_predictions(products, fit.factor, found.beta, names, z_names),
        residual_variance=float(variance),
        log_likelihood=-products.deviance(fit.factor, reml) / 2,
        method="REML" if reml else "ML",
        r2_marginal=fixed / total,
        r2_conditional=(fixed + random) / total,
        is_converged=fit.is_converged,
        is_singular=fit.is_singular,
        loglik_gap=fit.loglik_gap,
        se_gap=fit.se_gap,
        n_trials=len(x),
        n_sessions=_n_distinct(coded, ["eid"]),
        n_recordings=_n_distinct(coded, ["eid", "fiber_idx"]),
        n_subjects=len(names),
        n_dropped=len(df) - len(coded),
        cov_fixed=variance * found.cov_unscaled,
        cov_jacobian=jacobian,
        cov_parameters=cov_parameters,
    )
    inference = result.combine(np.eye(len(x_names)))
    result.coefficients[inference.columns.tolist()] = inference
    return result


def fit_best_random_effects(
    df: pd.DataFrame,
    response_col: str,
    *,
    re_formulas: Sequence[str] = ("contrast", "1"),
    **options: Any,
) -> LMMResult:
    """Fit with the first random effects that converge.

    Parameters
    ----------
    df, response_col
        See `fit_mixed_model`.
    re_formulas : sequence of str
        In order of preference.
    **options
        Of `fit_mixed_model`.

    Returns
    -------
    LMMResult
        The last fit if none converges, marked; ``note`` says which were left out.

    Notes
    -----
    A singular fit that converged is kept and marked: its slope variance is what protects the
    test of contrast, and leaving it out makes that test reject too often.
    """
    from dataclasses import replace

    failed: list[str] = []
    for re_formula in re_formulas:
        result = fit_mixed_model(df, response_col, re_formula=re_formula, **options)
        if result.is_converged:
            break
        failed.append(re_formula)
    if not failed:
        return result
    note = f"not converged with random effects {', '.join(map(repr, failed))}"
    return replace(result, note=note)


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


def _predictions(
    products: Products,
    factor: np.ndarray,
    beta: np.ndarray,
    subjects: np.ndarray,
    names: list[str],
) -> pd.DataFrame:
    residual = products.zy - np.einsum("kpq,p->kq", products.xz, beta)
    inner = np.eye(len(factor)) + factor.T @ products.zz @ factor
    scaled = np.linalg.solve(inner, (residual @ factor)[:, :, None])[:, :, 0]
    return pd.DataFrame(scaled @ factor.T, pd.Index(subjects, name="subject"), names)


def _n_distinct(table: pd.DataFrame, names: list[str]) -> int:
    known = [name for name in names if name in table]
    return len(table[known].drop_duplicates()) if known else 0
