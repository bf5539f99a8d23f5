"""Whether the response to the stimulus predicts how the wheel is then turned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.movement.animals import animal_slopes, over_animals
from iblnm.analysis.stats.intercept import fit_intercept
from iblnm.analysis.trials import code_trials
from iblnm.errors import MissingColumnError

METHOD_VERSION = 1
_LEVEL = 0.95
_SMALL_CHI2 = 1e-2


def fit_wheel_model(
    df: pd.DataFrame,
    dv_col: str,
    response_col: str = "response_early",
    target_nm: str = "",
    contrast: float = 0.0,
    min_subjects: int = 2,
    *,
    min_trials: int = 20,
    min_subjects_for_p: int = 4,
) -> dict[str, Any] | None:
    """Compare dv ~ side · choice + (1 | subject) with and without the response.

    Parameters
    ----------
    df : DataFrame
        Selected trials of one target and contrast at stimOn_times: ``subject``, ``side``,
        ``feedbackType``, ``contrast``, the response and `dv_col`.
    dv_col : str
        Peak velocity [rad/s], reaction or movement time [s].
    response_col : str
    target_nm, contrast : str, float
        Copied into the result.
    min_subjects, min_trials : int
    min_subjects_for_p : int
        Animals that the test over animals needs.

    Returns
    -------
    dict or None
        ``target_NM``, ``contrast`` (%), ``dv``, ``n_trials``, ``n_subjects``,
        ``n_base_effects``, ``r2_base``, ``r2_full`` (marginal), ``delta_r2``, ``lrt_chi2``,
        ``lrt_pvalue``, ``nm_coefficient`` [units of dv per unit of response], ``nm_se``,
        ``nm_ci_low``, ``nm_ci_high``; and what `iblnm.analysis.movement.animals.over_animals`
        gives: the mean of the animals' own coefficients with p and interval by t. None with
        too few subjects or trials, or where the response or the variable does not vary.

    Raises
    ------
    DataError
        If a column is missing.

    Notes
    -----
    Side and choice are relative to the fiber (contra +.5, ipsi −.5); the choice is the side
    of the stimulus on correct trials and the other side on errors. Where there are no errors
    choice adds nothing to side and is left out of both models (``n_base_effects`` < 4). ML,
    χ² with one degree of freedom. The response varies within subjects, over hundreds of
    trials, which is why χ² holds with few animals; whether the coefficient differs between
    animals is not in the model. The interval is that of the likelihood ratio (test-based,
    Miettinen 1976, Am J Epidemiol 103): it holds zero exactly where p ≥ 0.05. Trials of a
    session are not independent where response and movement drift, and two fibers of it have
    the same movement: the likelihood ratio then rejects too often, t over animals does not.
    """
    from scipy.stats import norm

    missing = [name for name in (dv_col, "feedbackType") if name not in df]
    if missing:
        raise MissingColumnError(f"the table of trials has no column {', '.join(missing)}")
    coded, _ = code_trials(df, response_col, "linear")
    dv = coded[dv_col].to_numpy(dtype=float, na_value=np.nan)
    coded, dv = coded[np.isfinite(dv)], dv[np.isfinite(dv)]
    names, subject = np.unique(coded["subject"].to_numpy(dtype=object), return_inverse=True)
    response = coded["response"].to_numpy()
    if len(names) < min_subjects or len(coded) < min_trials:
        return None
    side = coded["side"].to_numpy()
    choice = side * 2 * coded["reward"].to_numpy()
    base = _independent([np.ones(len(side)), side, choice, side * choice])
    full = _independent([*base.T, response])
    if full.shape[1] == base.shape[1] or np.ptp(dv) == 0:
        return None
    keys = [name for name in ("subject", "eid", "fiber_idx") if name in coded]
    recording = coded.groupby(keys, sort=False).ngroup().to_numpy()
    slopes = animal_slopes(base[:, 1:], response, dv, subject, recording)
    small = fit_intercept(base, dv, subject, reml=False)
    large = fit_intercept(full, dv, subject, reml=False)
    ratio = _likelihood_ratio(small.log_likelihood, large.log_likelihood)
    beta, se = float(large.beta[-1]), float(large.se[-1])
    half = norm.ppf(0.5 + _LEVEL / 2) * _se_of_test(beta, se, ratio["lrt_chi2"])
    return {
        "target_NM": target_nm or None,
        "contrast": float(contrast),
        "dv": dv_col,
        "n_trials": len(coded),
        "n_subjects": len(names),
        "n_base_effects": base.shape[1],
        "r2_base": small.r2_marginal,
        "r2_full": large.r2_marginal,
        "delta_r2": large.r2_marginal - small.r2_marginal,
        **ratio,
        "nm_coefficient": beta,
        "nm_se": se,
        "nm_ci_low": beta - half,
        "nm_ci_high": beta + half,
        **over_animals(slopes, min_subjects_for_p),
    }


def _likelihood_ratio(base: float, full: float) -> dict[str, float]:
    from scipy.stats import chi2

    statistic = max(0.0, 2 * (full - base))
    return {"lrt_chi2": statistic, "lrt_pvalue": float(chi2.sf(statistic, 1))}


def _se_of_test(beta: float, se: float, chi2: float) -> float:
    """Standard error with which a normal test of the coefficient has the χ² of the ratio."""
    # near zero it is the quotient of two rounding errors, and both intervals hold zero
    return abs(beta) / np.sqrt(chi2) if chi2 > _SMALL_CHI2 else se


def _independent(columns: list[np.ndarray]) -> np.ndarray:
    """Columns that are not a combination of those before them."""
    kept: list[np.ndarray] = []
    for column in columns:
        trial = np.column_stack([*kept, column])
        if np.linalg.matrix_rank(trial) == trial.shape[1]:
            kept.append(column)
    return np.column_stack(kept)
