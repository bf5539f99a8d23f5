"""Psychometric curves: probability of a rightward choice against signed contrast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from iblnm.task.contrasts import compute_trial_contrasts, require_columns

METHOD_VERSION = 2
PARAMETERS = ("bias", "threshold", "lapse_left", "lapse_right")
START = (0.0, 40.0, 0.1, 0.1)
LOWER = (-50.0, 10.0, 0.0, 0.0)
UPPER = (50.0, 50.0, 0.2, 0.2)
BLOCKS = {"50": 0.5, "20": 0.2, "80": 0.8}
MIN_TRIALS = 10
_BOUND_FRACTION = 1e-6


def fit_psychometric(
    trials: pd.DataFrame,
    probability_left: float | None = None,
    compute_r_squared: bool = True,
    *,
    min_trials: int = MIN_TRIALS,
) -> dict[str, Any]:
    """Fit P(right) = g1 + (1 − g1 − g2)(erf((x − bias)/threshold) + 1)/2 by maximum likelihood.

    Parameters
    ----------
    trials : DataFrame
        ``choice`` as in ALF (−1 is a rightward choice, 0 none) and ``signed_contrast``
        (%, negative on the left) or ``contrastLeft`` and ``contrastRight``; with
        `probability_left` also ``probabilityLeft``. Trials without choice are left out.
    probability_left : float, optional
        Only trials of blocks with this probability; all trials by default.
    compute_r_squared : bool
        Otherwise ``r_squared`` is NaN.
    min_trials : int
        With fewer trials nothing is fitted.

    Returns
    -------
    dict
        - ``bias``, ``threshold`` : %, within ±50 and 10 to 50.
        - ``lapse_left``, ``lapse_right`` : errors on strong stimuli of that side, 0 to 0.2
          (g1 is P(right) far on the left, g2 is P(left) far on the right).
        - ``r_squared`` : 1 − RSS/TSS over the mean choice of each contrast, not clamped;
          NaN if all means are equal.
        - ``n_trials`` : int, trials with a choice.
        - ``at_bound`` : bool, bias or threshold lies on a bound or a lapse on its *upper*
          bound. A lapse of 0 is what an animal without lapses has, and does not count.
        - ``log_likelihood`` : natural logarithm, over trials.
        - ``contrasts`` : list of float, the signed contrasts (%).

        Fewer than `min_trials` trials, a single contrast, or stimuli of one side only give
        NaN for everything but ``n_trials``, ``at_bound`` (False) and ``contrasts``.

    Raises
    ------
    MalformedFileError
        If a column is missing.

    Notes
    -----
    Model, start (0, 40, 0.1, 0.1) and bounds are those that IBL uses to plot psychometric
    curves (``psychofit.mle_fit_psycho``, ``erf_psycho_2gammas``). The search has no random
    starts: see `iblnm.task._erf_fit`.

    Examples
    --------
    >>> contrast = np.repeat([-100.0, -25.0, 25.0, 100.0], 50)
    >>> right = np.tile(np.arange(50), 4) < np.repeat([0, 10, 40, 50], 50)
    >>> fit = fit_psychometric(
    ...     pd.DataFrame({"signed_contrast": contrast, "choice": np.where(right, -1, 1)})
    ... )
    >>> round(abs(fit["bias"]), 2), round(fit["threshold"], 1), fit["at_bound"]
    (0.0, 41.5, False)
    """
    contrast, chose_right = _choices(trials, probability_left)
    levels, level_of = np.unique(contrast, return_inverse=True)
    n_right = np.bincount(level_of, weights=chose_right, minlength=levels.size)
    n_left = np.bincount(level_of, weights=~chose_right, minlength=levels.size)
    result: dict[str, Any] = dict.fromkeys((*PARAMETERS, "r_squared"), np.nan)
    result |= {
        "n_trials": int(contrast.size),
        "at_bound": False,
        "log_likelihood": np.nan,
        "contrasts": levels.tolist(),
    }
    if contrast.size < min_trials or not (levels[0] < 0 < levels[-1]):
        return result

    from iblnm.task._erf_fit import maximize_likelihood, probability_right

    lower, upper = np.array(LOWER), np.array(UPPER)
    parameters, value = maximize_likelihood(
        levels, n_right, n_left, start=np.array(START), lower=lower, upper=upper
    )
    margin = _BOUND_FRACTION * (upper - lower)
    at_lower, at_upper = parameters <= lower + margin, parameters >= upper - margin
    result |= dict(zip(PARAMETERS, parameters.tolist(), strict=True))
    result["at_bound"] = bool(at_upper.any() or at_lower[:2].any())
    result["log_likelihood"] = -value
    if compute_r_squared:
        means = n_right / (n_right + n_left)
        total = np.sum((means - means.mean()) ** 2)
        residual = np.sum((means - probability_right(parameters, levels)) ** 2)
        result["r_squared"] = float(1 - residual / total) if total > 0 else np.nan
    return result


def fit_psychometric_by_block(trials: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Fit the trials of each kind of block by themselves.

    Parameters
    ----------
    trials : DataFrame
        As `fit_psychometric`, with ``probabilityLeft``.

    Returns
    -------
    dict
        Keys '50', '20' and '80' (100 times the left probability), always all three; values
        as `fit_psychometric`, NaN with ``n_trials`` 0 for a block that does not occur. The
        structure of the blocks is not checked here.
    """
    return {name: fit_psychometric(trials, p) for name, p in BLOCKS.items()}


def compute_bias_shift(fit_20: Mapping[str, Any], fit_80: Mapping[str, Any]) -> float:
    """Shift of the bias between blocks, bias at p(left) = 0.8 minus bias at 0.2.

    Parameters
    ----------
    fit_20, fit_80 : mapping
        Results of `fit_psychometric`.

    Returns
    -------
    float
        % contrast; positive for an animal that follows the blocks (a likely left stimulus
        moves the curve to the right). NaN if either fit is missing.

    Examples
    --------
    >>> compute_bias_shift({"bias": -6.0}, {"bias": 4.0})
    10.0
    """
    return float(fit_80["bias"]) - float(fit_20["bias"])


def _block(trials: pd.DataFrame, probability_left: float | None) -> pd.DataFrame:
    if probability_left is None:
        return trials
    require_columns(trials, ("probabilityLeft",))
    p = trials["probabilityLeft"].to_numpy(dtype=float, na_value=np.nan)
    return trials[np.isclose(p, probability_left)]


def _choices(
    trials: pd.DataFrame, probability_left: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Signed contrast, and whether the choice was right, of the trials with a choice."""
    require_columns(trials, ("choice",))
    trials = _block(trials, probability_left)
    with_contrast = trials if "signed_contrast" in trials else compute_trial_contrasts(trials)
    contrast = with_contrast["signed_contrast"].to_numpy(dtype=float, na_value=np.nan) + 0.0
    choice = trials["choice"].to_numpy(dtype=float, na_value=np.nan)
    used = np.isin(choice, (-1.0, 1.0)) & np.isfinite(contrast)
    return contrast[used], choice[used] == -1
