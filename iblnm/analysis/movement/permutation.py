"""Permutation test of the cross-validated ΔR² of the movement models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iblnm.analysis.movement.cross_validation import (
    FULL,
    REDUCED,
    MovementDesign,
    design_products,
    is_determined,
    movement_design,
    one_target,
)
from iblnm.analysis.movement.shifts import Shifts
from iblnm.analysis.stats.intercept import leave_one_out
from iblnm.analysis.stats.products import Products
from iblnm.constants import TASK_CONTRASTS

_ROUND_OFF = 1e-14
TEST_COLUMNS = [
    "predictor",
    "mean_delta_r2",
    "ci_low",
    "ci_high",
    "p",
    "null_median",
    "null_high",
    "n_subjects",
    "n_trials",
    "n_permutations",
    "seed",
    "timing_col",
    "target_NM",
]


def movement_permutation_test(
    df: pd.DataFrame,
    response_col: str,
    timing_col: str,
    min_subjects: int = 3,
    *,
    min_trials: int = 20,
    contrast_coding: str = "log",
    contrasts: Sequence[float] = TASK_CONTRASTS,
    n_permutations: int = 1000,
    seed: int = 0,
    alpha: float = 0.05,
    null: str = "shifts",
) -> pd.DataFrame:
    """Test of the mean ΔR² over subjects, by shifts or permutation within recordings.

    Parameters
    ----------
    df, response_col, timing_col, min_subjects, min_trials, contrast_coding, contrasts
        As for `cross_validate_movement`.
    n_permutations : int
    seed : int
    alpha : float
        Level of ``null_high``.
    null : {'shifts', 'permutations'}
        Circular shifts in time, shared by the recordings of a session, which keep what drifts
        over it; or permutations of the trials of each recording, which do not.

    Returns
    -------
    DataFrame
        One row per predictor ('contrast', 'timing'): ``mean_delta_r2``, ``ci_low``,
        ``ci_high`` (95 %, t over subjects), ``p`` (one-sided), ``null_median`` and
        ``null_high`` of the permuted means (above the latter p < `alpha`), ``n_subjects``,
        ``n_trials``, ``n_permutations``, ``seed``, ``timing_col``, ``target_NM``; empty with
        too few subjects.

    Notes
    -----
    ΔR² of the subjects share their training sets and are negative on average without an
    effect, so a t-test over subjects has no nominal level. Here the residuals of the reduced
    model (with an intercept per subject) are shifted in time, or permuted among the trials of
    each recording, and added to its prediction (Freedman & Lane 1983, J Bus Econ Stat 1),
    everything is predicted anew, and p = (1 + #{drawn ≥ observed}) / (1 + n). The variance
    ratio of each fold stays that of the data: both keep every subject's mean. With
    permutations the p is too small where response and timing drift over a session.
    """
    from scipy.stats import t

    design = movement_design(
        df,
        response_col,
        timing_col,
        min_trials=min_trials,
        contrast_coding=contrast_coding,
        contrasts=contrasts,
    )
    k = len(design.names)
    if k < min_subjects or not is_determined(design):
        return pd.DataFrame(columns=TEST_COLUMNS)
    products = design_products(design)
    rng = np.random.default_rng(seed)
    rows = []
    for name, columns in REDUCED.items():
        folds = [_Folds(products, which) for which in (FULL, columns)]
        observed = _delta(folds, products.xy, products.yy)
        means = observed.mean()
        drawn = _permuted_means(design, columns, folds, rng, n_permutations, null)
        half = t.ppf(0.975, k - 1) * observed.std(ddof=1) / np.sqrt(k)
        rows.append(
            {
                "predictor": name,
                "mean_delta_r2": means,
                "ci_low": means - half,
                "ci_high": means + half,
                "p": (1 + (drawn >= means - _ROUND_OFF).sum()) / (1 + n_permutations),
                "null_median": np.median(drawn) if len(drawn) else np.nan,
                "null_high": significance_limit(drawn, alpha),
                "n_subjects": k,
                "n_trials": len(design.y),
                "n_permutations": n_permutations,
                "seed": seed,
                "timing_col": timing_col,
                "target_NM": one_target(df),
            }
        )
    return pd.DataFrame(rows, columns=TEST_COLUMNS)


def significance_limit(null: np.ndarray, alpha: float) -> float:
    """Value above which a statistic has p < `alpha`, p = (1 + #{null ≥ it}) / (1 + n).

    Parameters
    ----------
    null : array (n,)
        Statistics of permuted data.
    alpha : float

    Returns
    -------
    float
        NaN where so few permutations give no p below `alpha`.

    Examples
    --------
    >>> significance_limit(np.arange(99.0), 0.05)
    95.0
    """
    # as many permutations may reach the statistic
    n_above = int(np.ceil(alpha * (1 + len(null)) - 1e-9)) - 2
    if n_above < 0 or n_above >= len(null):
        return float("nan")
    return float(np.sort(null)[::-1][n_above])


class _Folds:
    """One model in all folds, its variance ratios held: linear in the responses."""

    def __init__(self, products: Products, columns: np.ndarray):
        _, ratio = leave_one_out(products, columns)
        xx = products.xx[:, columns][:, :, columns]
        ones = xx[:, 0]
        weights = ratio[:, None] / (1 + ratio[:, None] * products.n)
        np.fill_diagonal(weights, 0.0)
        outer = ones[:, :, None] * ones[:, None, :]
        others = xx.sum(0) - xx - np.einsum("fk,kij->fij", weights, outer)
        self.columns = columns
        self.inverse = np.linalg.inv(others)
        sums = products.xy[:, 0]
        self.constant = np.einsum("fk,kp,k->fp", weights, ones, sums)
        self.centered = xx - outer / products.n[:, None, None]
        self.ones, self.sums, self.n = ones, sums, products.n

    def r2(self, xy: np.ndarray, tss: np.ndarray) -> np.ndarray:
        """Held-out R² per fold from cross-products with y, shape (K, 4)."""
        own = xy[:, self.columns]
        beta = np.einsum("fij,fj->fi", self.inverse, own.sum(0) - own - self.constant)
        centered = own - self.ones * (self.sums / self.n)[:, None]
        explained = 2 * np.einsum("fp,fp->f", beta, centered)
        explained -= np.einsum("fp,fpq,fq->f", beta, self.centered, beta)
        return explained / tss


def _permuted_means(
    design: MovementDesign,
    columns: np.ndarray,
    folds: list[_Folds],
    rng: np.random.Generator,
    n_permutations: int,
    null: str,
) -> np.ndarray:
    shifts = Shifts.of(design.subject, design.session, design.recording, design.trial)
    order = shifts.order
    x, y, subject = design.x[order], design.y[order], design.subject[order]
    recording = design.recording[order].astype(float)
    starts = np.flatnonzero(np.diff(subject, prepend=-1))
    n = np.diff(np.append(starts, len(y))).astype(float)

    def center(values: np.ndarray) -> np.ndarray:
        means = np.add.reduceat(values, starts) / (n[:, None] if values.ndim == 2 else n)
        return values - means[subject]

    inner = columns[1:]
    within = center(x[:, inner])
    beta, *_ = np.linalg.lstsq(within, center(y), rcond=None)
    residual = center(y) - within @ beta
    # Recordings are contiguous, so sorting random keys within them permutes the residuals.
    rank = np.cumsum(np.diff(recording, prepend=recording[0]) != 0)
    fitted = y - residual
    means = np.empty(n_permutations)
    for i in range(n_permutations):
        drawn = shifts.draw(rng) if null == "shifts" else np.argsort(rank + rng.random(len(y)))
        shuffled = fitted + residual[drawn]
        xy = np.add.reduceat(x * shuffled[:, None], starts)
        yy = np.add.reduceat(shuffled**2, starts)
        means[i] = _delta(folds, xy, yy).mean()
    return means


def _delta(folds: list[_Folds], xy: np.ndarray, yy: np.ndarray) -> np.ndarray:
    full, reduced = folds
    tss = yy - xy[:, 0] ** 2 / full.n
    return full.r2(xy, tss) - reduced.r2(xy, tss)
