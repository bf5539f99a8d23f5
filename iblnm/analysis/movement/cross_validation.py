"""What contrast and the timing of movements each explain of responses to the stimulus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from iblnm.analysis.derived import with_derived
from iblnm.analysis.movement.shifts import Shifts
from iblnm.analysis.stats.intercept import InterceptFit, fit_intercept, leave_one_out
from iblnm.analysis.stats.products import Products
from iblnm.analysis.trials import code_trials
from iblnm.constants import TASK_CONTRASTS
from iblnm.errors import MissingColumnError

METHOD_VERSION = 1
FULL = np.array([0, 1, 2, 3])
REDUCED = {"contrast": np.array([0, 2, 3]), "timing": np.array([0, 1, 2])}
LOSO_COLUMNS = [
    "subject",
    "n_trials",
    "r2_full",
    "r2_drop_contrast",
    "r2_drop_timing",
    "delta_r2_contrast",
    "delta_r2_timing",
    "timing_col",
    "target_NM",
]
SLOPE_COLUMNS = [
    "contrast",
    "timing_coef",
    "timing_se",
    "timing_df",
    "timing_p",
    "timing_p_model",
    "ci_low",
    "ci_high",
    "side_coef",
    "r2_marginal",
    "r2_conditional",
    "intercept_variance",
    "n_trials",
    "n_subjects",
    "timing_col",
    "target_NM",
]


@dataclass(frozen=True)
class MovementDesign:
    """Usable trials of the movement models.

    Parameters
    ----------
    x : ndarray, shape (n, 4)
        1, contrast (coded, centered), side (±.5), log₁₀ timing minus its mean.
    y : ndarray, shape (n,)
    subject : ndarray of int, shape (n,)
        Codes into `names`.
    recording : ndarray of int, shape (n,)
    session : ndarray of int, shape (n,)
    trial : ndarray, shape (n,)
        Place in time within the session.
    percent : ndarray, shape (n,)
        Contrast [%].
    names : ndarray of str, shape (K,)
    """

    x: np.ndarray
    y: np.ndarray
    subject: np.ndarray
    recording: np.ndarray
    session: np.ndarray
    trial: np.ndarray
    percent: np.ndarray
    names: np.ndarray


def movement_design(
    df: pd.DataFrame,
    response_col: str,
    timing_col: str,
    *,
    min_trials: int = 20,
    contrast_coding: str = "log",
    contrasts: Sequence[float] = TASK_CONTRASTS,
    is_logarithm: bool = False,
) -> MovementDesign:
    """Trials with a response, a side, a contrast and a positive time.

    Parameters
    ----------
    df : DataFrame
        Selected trials of one target at stimOn_times, see `code_trials`.
    response_col, timing_col : str
        Response; time [s], of which the logarithm to base 10 is taken. Premature movements
        (time ≤ 0) have none and are left out.
    is_logarithm : bool
        Whether `timing_col` is a logarithm already, and is used as it is.
    min_trials : int
        Subjects with fewer usable trials are left out.
    contrast_coding : {'log', 'linear', 'rank'}
    contrasts : sequence of float
        Analyzed contrasts [%], on whose mean code contrast is centered.

    Raises
    ------
    DataError
        If a column is missing.
    """
    if timing_col not in df:
        raise MissingColumnError(f"the table of trials has no column {timing_col}")
    df = with_derived(df)
    needed = {"subject", "contrast", "side", "eid", "fiber_idx", "trial"}
    needed |= {response_col, timing_col}
    narrow = df[[name for name in df if name in needed]]
    coded, _ = code_trials(narrow, response_col, contrast_coding, contrasts=contrasts)
    time = coded[timing_col].to_numpy(dtype=float, na_value=np.nan)
    timing = time if is_logarithm else np.log10(np.where(time > 0, time, np.nan))
    coded = coded.assign(timing=timing)
    coded = coded[np.isfinite(coded["timing"])]
    n = coded.groupby("subject", sort=False)["timing"].transform("size")
    coded = coded[n >= min_trials]
    names, subject = np.unique(coded["subject"].to_numpy(dtype=object), return_inverse=True)
    keys = [name for name in ("subject", "eid", "fiber_idx") if name in coded]
    of_session = [name for name in ("subject", "eid") if name in coded]
    timing = coded["timing"].to_numpy()
    columns = [np.ones(len(coded)), coded["contrast"], coded["side"]]
    return MovementDesign(
        x=np.column_stack([*columns, timing - (timing.mean() if len(timing) else 0.0)]),
        y=coded["response"].to_numpy(),
        subject=subject,
        recording=coded.groupby(keys, sort=False).ngroup().to_numpy(),
        session=coded.groupby(of_session, sort=False).ngroup().to_numpy(),
        trial=coded["trial"].to_numpy(float) if "trial" in coded else np.arange(len(coded)),
        percent=coded["percent"].to_numpy(),
        names=names,
    )


def cross_validate_movement(
    df: pd.DataFrame,
    response_col: str,
    timing_col: str,
    min_subjects: int = 3,
    *,
    min_trials: int = 20,
    contrast_coding: str = "log",
    contrasts: Sequence[float] = TASK_CONTRASTS,
    is_logarithm: bool = False,
) -> pd.DataFrame:
    """Cross-validated ΔR² of contrast and of timing, leaving one subject out at a time.

    Parameters
    ----------
    df : DataFrame
        Selected trials of one target at stimOn_times.
    response_col, timing_col, is_logarithm
        See `movement_design`.
    min_subjects : int
        With fewer subjects the table is empty.
    min_trials : int
        Of a subject.
    contrast_coding : {'log', 'linear', 'rank'}
    contrasts : sequence of float
        Analyzed contrasts [%], on whose mean code contrast is centered.

    Returns
    -------
    DataFrame
        One row per held-out subject: ``subject``, ``n_trials``, ``r2_full``,
        ``r2_drop_contrast``, ``r2_drop_timing``, ``delta_r2_contrast``, ``delta_r2_timing``
        (full minus reduced), ``timing_col``, ``target_NM``. R² is that of the fixed-effect
        prediction of the held-out subject after removing that subject's mean from both
        prediction and response; it is negative where predicting the mean is better.

    Notes
    -----
    Models y ~ contrast + side + timing + (1 | subject) and those without contrast or timing,
    fitted by REML: the variance ratio maximizes the profile likelihood, a function of the
    subjects' cross-products only, so that leaving a subject out is a subtraction (see
    `iblnm.analysis.stats.intercept.leave_one_out`). Refitting with
    `statsmodels.regression.mixed_linear_model.MixedLM` in every fold gives the same numbers.
    """
    design = movement_design(
        df,
        response_col,
        timing_col,
        min_trials=min_trials,
        contrast_coding=contrast_coding,
        contrasts=contrasts,
        is_logarithm=is_logarithm,
    )
    if len(design.names) < min_subjects or not is_determined(design):
        return pd.DataFrame(columns=LOSO_COLUMNS)
    products = design_products(design)
    r2 = {"full": _held_out_r2(products, leave_one_out(products, FULL)[0], FULL)}
    for name, columns in REDUCED.items():
        r2[name] = _held_out_r2(products, leave_one_out(products, columns)[0], columns)
    return pd.DataFrame(
        {
            "subject": design.names,
            "n_trials": products.n.astype(int),
            "r2_full": r2["full"],
            **{f"r2_drop_{name}": r2[name] for name in REDUCED},
            **{f"delta_r2_{name}": r2["full"] - r2[name] for name in REDUCED},
            "timing_col": timing_col,
            "target_NM": one_target(df),
        },
        columns=LOSO_COLUMNS,
    )


def fit_timing_slopes(
    df: pd.DataFrame,
    response_col: str,
    timing_col: str,
    min_subjects: int = 2,
    *,
    min_trials: int = 20,
    is_logarithm: bool = False,
    n_shifts: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Slope of the response on timing at each contrast, y ~ side + timing + (1 | subject).

    Parameters
    ----------
    df, response_col, timing_col, is_logarithm
        As for `cross_validate_movement`.
    min_subjects : int
        Contrasts with fewer subjects are left out.
    min_trials : int
        Contrasts with fewer trials are left out.
    n_shifts : int
        Circular shifts behind p and interval; 0 takes those of the model.
    seed : int
        Of the shifts.

    Returns
    -------
    DataFrame
        One row per contrast: ``contrast`` (%), ``timing_coef`` [units of the response per
        factor of ten in time], ``timing_se``, ``timing_df``, ``timing_p``,
        ``timing_p_model``, ``ci_low``, ``ci_high``, ``side_coef``, ``r2_marginal``,
        ``r2_conditional``, ``intercept_variance``, ``n_trials``, ``n_subjects``,
        ``timing_col``, ``target_NM``.

    Notes
    -----
    REML; ``timing_p_model`` by t with Satterthwaite's degrees of freedom. The model has no
    slope per subject: the interval is that of these animals' common slope. Where response and
    timing both drift over a session it is too narrow. With `n_shifts` the residuals of the
    model without timing (with an intercept per subject) are shifted in time, all recordings of
    a session together (see `iblnm.analysis.movement.shifts`): p is the share of shifts whose
    slope is as large, the interval ends where that share is 5 %.
    """
    from scipy.stats import t

    rng = np.random.default_rng(seed)

    design = movement_design(df, response_col, timing_col, min_trials=1, is_logarithm=is_logarithm)
    rows = []
    for contrast in np.unique(design.percent):
        here = design.percent == contrast
        names, subject = np.unique(design.subject[here], return_inverse=True)
        x = design.x[here][:, [0, 2, 3]]
        if len(names) < min_subjects or here.sum() < min_trials:
            continue
        if np.linalg.matrix_rank(x) < x.shape[1]:
            continue
        fit = fit_intercept(x, design.y[here], subject)
        half = t.ppf(0.975, fit.df[2]) * fit.se[2]
        p_model = p = 2 * t.sf(abs(fit.beta[2] / fit.se[2]), fit.df[2])
        if n_shifts:
            p, half = _by_shifts(design, here, x, subject, fit, rng, n_shifts)
        rows.append(
            {
                "contrast": contrast,
                "timing_coef": fit.beta[2],
                "timing_se": fit.se[2],
                "timing_df": fit.df[2],
                "timing_p": p,
                "timing_p_model": p_model,
                "ci_low": fit.beta[2] - half,
                "ci_high": fit.beta[2] + half,
                "side_coef": fit.beta[1],
                "r2_marginal": fit.r2_marginal,
                "r2_conditional": fit.r2_conditional,
                "intercept_variance": fit.intercept_variance,
                "n_trials": int(here.sum()),
                "n_subjects": len(names),
                "timing_col": timing_col,
                "target_NM": one_target(df),
            }
        )
    return pd.DataFrame(rows, columns=SLOPE_COLUMNS)


def _by_shifts(
    design: MovementDesign,
    here: np.ndarray,
    x: np.ndarray,
    subject: np.ndarray,
    fit: InterceptFit,
    rng: np.random.Generator,
    n_shifts: int,
) -> tuple[float, float]:
    """p of the slope on timing, the last column, and half its interval, by circular shifts."""
    shifts = Shifts.of(subject, design.session[here], design.recording[here], design.trial[here])
    x, y, subject = x[shifts.order], design.y[here][shifts.order], subject[shifts.order]
    n = np.bincount(subject).astype(float)

    def centered(values: np.ndarray, share: np.ndarray) -> np.ndarray:
        means = np.zeros((len(n), values.shape[1]))
        np.add.at(means, subject, values)
        return values - share[subject, None] * (means / n[:, None])[subject]

    within = centered(np.column_stack([x[:, 1:-1], y]), np.ones(len(n)))
    beta = np.linalg.lstsq(within[:, :-1], within[:, -1], rcond=None)[0]
    residual = within[:, -1] - within[:, :-1] @ beta
    # the slope is linear in the responses once the variances are held
    ratio = fit.intercept_variance / fit.residual_variance
    share = 1 - 1 / np.sqrt(1 + ratio * n)
    weights = centered(np.linalg.pinv(centered(x, share))[-1:].T, share)[:, 0]
    null = np.abs([weights @ residual[shifts.draw(rng)] for _ in range(n_shifts)])
    p = (1 + int((null >= abs(weights @ residual) * (1 - 1e-12)).sum())) / (1 + n_shifts)
    return p, float(np.quantile(null, 0.95, method="higher"))


def design_products(design: MovementDesign) -> Products:
    """Cross-products of the design with an intercept per subject."""
    return Products.from_arrays(design.x, np.ones((len(design.y), 1)), design.y, design.subject)


def _held_out_r2(products: Products, beta: np.ndarray, columns: np.ndarray) -> np.ndarray:
    xx, xy = products.xx[:, columns][:, :, columns], products.xy[:, columns]
    outer = xx[:, :1, :] * xx[:, :, :1]
    xx = xx - outer / products.n[:, None, None]
    means = products.xy[:, 0] / products.n
    xy = xy - products.xx[:, columns][:, :, 0] * means[:, None]
    tss = products.yy - products.xy[:, 0] * means
    explained = 2 * np.einsum("kp,kp->k", beta, xy) - np.einsum("kp,kpq,kq->k", beta, xx, beta)
    return explained / tss


def is_determined(design: MovementDesign) -> bool:
    """Whether every training set determines all effects."""
    if len(design.names) < 2:
        return False
    products = design_products(design)
    others = products.xx.sum(0) - products.xx
    scale = np.sqrt(np.diagonal(others, axis1=1, axis2=2))
    if (scale == 0).any():
        return False
    correlation = others / scale[:, :, None] / scale[:, None, :]
    return bool((np.linalg.eigvalsh(correlation)[:, 0] > 1e-10).all())


def one_target(df: pd.DataFrame) -> str | None:
    """Target of the table; None if it has several or none."""
    targets = df["target_NM"].dropna().unique() if "target_NM" in df else []
    return str(targets[0]) if len(targets) == 1 else None
