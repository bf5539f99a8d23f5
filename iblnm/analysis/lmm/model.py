"""Linear mixed models of trial responses: contrast, side and reward, subjects at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.analysis.lmm.design import design_matrices, random_part, right_hand_side
from iblnm.analysis.lmm.fibers import JoinedTrials, join_fibers
from iblnm.analysis.stats.mixedlm import fit_mixed
from iblnm.analysis.stats.products import Products, satterthwaite, variance_of_variance
from iblnm.analysis.trials import code_trials
from iblnm.constants import TASK_CONTRASTS
from iblnm.errors import DataError

if TYPE_CHECKING:
    from iblnm.analysis.lmm.likelihood import FitSummary

_LEVEL = 0.95
_NO_VARIANCE = 1e-12


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
    subject_effects : DataFrame
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
        Used; trials of several fibers count once. Trials without response, contrast or side
        are dropped.
    n_averaged : int
        Recordings that were averaged with another one of their session.
    fiber_correlation : float
        Of the noise of two fibers in a trial; NaN where no trial has two.
    note : str
        What differs from what was asked, for example why slopes were left out.
    products : Products or None
        Cross-products of the trials, from which `result` has the maximum likelihood.
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
    subject_effects: pd.DataFrame
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
    n_averaged: int = 0
    fiber_correlation: float = float("nan")
    note: str = ""
    cov_fixed: np.ndarray = field(repr=False, default_factory=lambda: np.empty((0, 0)))
    cov_jacobian: np.ndarray = field(repr=False, default_factory=lambda: np.empty((0, 0, 0)))
    cov_parameters: np.ndarray = field(repr=False, default_factory=lambda: np.empty((0, 0)))
    products: Products | None = field(repr=False, default=None)

    @property
    def terms(self) -> list[str]:
        """Names of the fixed effects."""
        return self.coefficients["term"].tolist()

    @property
    def params(self) -> pd.Series:
        """Estimates by term."""
        return self.coefficients.set_index("term")["estimate"]

    @property
    def summary_df(self) -> pd.DataFrame:
        """Fixed effects by term, with the column names of statsmodels; p of z as there."""
        table = self.coefficients.set_index("term")
        names = {"estimate": "Coef.", "se": "Std.Err.", "z": "z", "p_wald": "P>|z|"}
        return table[list(names)].rename(columns=names)

    @property
    def random_effects(self) -> dict[str, pd.Series]:
        """Predicted effects of each subject."""
        return {str(subject): row for subject, row in self.subject_effects.iterrows()}

    @property
    def variance_explained(self) -> dict[str, float]:
        """R² by fixed (``marginal``), and by fixed and random effects (``conditional``)."""
        return {"marginal": self.r2_marginal, "conditional": self.r2_conditional}

    @property
    def contrast_col(self) -> str:
        """Name of contrast in the terms, whatever its coding."""
        return "contrast"

    @property
    def predictions(self) -> pd.DataFrame:
        """Predicted response at every combination of levels, see `marginal.predictions`."""
        from iblnm.analysis.lmm.marginal import predictions

        return predictions(self)

    @property
    def result(self) -> FitSummary:
        """Estimates and information criteria, see `iblnm.analysis.lmm.likelihood`."""
        from iblnm.analysis.lmm.likelihood import fit_summary

        return fit_summary(self)

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
        """Slopes of outcomes and subjects, None without contrast in the model."""
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
    fibers: str = "averaged",
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
        Random effects: ``1``, ``contrast`` for intercept and slope, or with ``||`` at the end
        factors without correlations, those of them that the model has:
        ``contrast + side + reward ||``.
    contrast_coding : {'log', 'linear', 'rank'}
        ln(c + 1), percent, or rank among `contrasts`, centered.
    contrasts : sequence of float
        Analyzed contrasts [%].
    reml : bool
        REML for estimates; ML for comparing models of different fixed effects.
    loglik_tolerance, se_tolerance : float
        How far two maximizations may differ: absolute in the log-likelihood, relative in the
        standard errors.
    fibers : {'averaged', 'independent'}
        Whether fibers that recorded the same trial are averaged, see
        `iblnm.analysis.lmm.fibers.join_fibers`, or each counts as a trial of its own.

    Returns
    -------
    LMMResult

    Raises
    ------
    DataError
        If fewer than two subjects are left, the response has no variance, or the trials do not
        determine the effects, for example because there are no errors.
    ValueError
        If the formula has an outcome at stimOn_times.

    Notes
    -----
    R² of Nakagawa & Schielzeth (2013, Methods Ecol Evol 4); with random slopes τ² is their
    mean variance over trials (Johnson 2014, Methods Ecol Evol 5).
    """
    coded, center = code_trials(df, response_col, contrast_coding, contrasts=contrasts)
    right = right_hand_side(formula, coded)
    slopes, is_diagonal = random_part(re_formula, right)
    x, z, x_names, z_names = design_matrices(coded, right, slopes)
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
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    if np.sqrt(np.mean(left**2)) <= _NO_VARIANCE * max(np.abs(y).max(), np.finfo(float).tiny):
        raise DataError(f"{response_col} has no variance beyond {right!r} in {len(y)} trials")
    if fibers == "averaged":
        rows = join_fibers(coded, x, z, y, subject)
    else:
        rows = JoinedTrials.apart(x, z, y, subject)
    products, fit = fit_mixed(
        rows.x,
        rows.z,
        rows.y,
        rows.subject,
        reml=reml,
        loglik_tolerance=loglik_tolerance,
        se_tolerance=se_tolerance,
        is_diagonal=is_diagonal,
    )
    found = products.solve(fit.factor)
    variance = found.rss / products.degrees(reml)
    cov_random = variance * fit.factor @ fit.factor.T
    fixed = float(np.var(x @ found.beta))
    random = float(np.einsum("ni,ij,nj->", z, cov_random, z) / len(z))
    total = fixed + random + variance
    jacobian, cov_parameters = variance_of_variance(
        products, fit.factor, variance, reml, is_diagonal=is_diagonal
    )
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
        subject_effects=_predictions(products, fit.factor, found.beta, names, z_names),
        residual_variance=float(variance),
        log_likelihood=-products.deviance(fit.factor, reml) / 2,
        method="REML" if reml else "ML",
        r2_marginal=fixed / total,
        r2_conditional=(fixed + random) / total,
        is_converged=fit.is_converged,
        is_singular=fit.is_singular,
        loglik_gap=fit.loglik_gap,
        se_gap=fit.se_gap,
        n_trials=rows.n_trials,
        n_sessions=_n_distinct(coded, ["eid"]),
        n_recordings=_n_distinct(coded, ["eid", "fiber_idx"]),
        n_subjects=len(names),
        n_dropped=len(df) - len(coded),
        n_averaged=rows.n_averaged,
        fiber_correlation=rows.correlation,
        cov_fixed=variance * found.cov_unscaled,
        cov_jacobian=jacobian,
        cov_parameters=cov_parameters,
        products=products,
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
