"""Marginal means, slopes and simple effects of a fitted mixed model."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from iblnm.analysis.lmm.model import LMMResult
from iblnm.analysis.trials import REWARD_CODES, SIDE_CODES, ContrastCoding

FACTORS = ("contrast", "side", "reward")
_INFERENCE = ["se", "df", "z", "p", "p_wald", "ci_low", "ci_high"]


def factor_levels(lmm: LMMResult, factor: str) -> dict[str, float]:
    """Coded value of each level of a factor.

    Parameters
    ----------
    lmm : LMMResult
    factor : {'contrast', 'side', 'reward'}
        The levels of contrast are those of the trials, named by their percentage.

    Raises
    ------
    ValueError
        If the model has no such factor.
    """
    known = {name for term in lmm.terms for name in term.split(":")} & set(FACTORS)
    if factor not in known:
        raise ValueError(f"factor {factor!r} is not in the model; it has {sorted(known)}")
    if factor == "contrast":
        coding = ContrastCoding(lmm.contrast_coding, lmm.contrast_levels)
        coded = np.asarray(coding.encode(np.array(lmm.contrasts)), dtype=float)
        coded = coded - lmm.contrast_center
        return {f"{c:g}": float(x) for c, x in zip(lmm.contrasts, coded, strict=True)}
    return dict(SIDE_CODES if factor == "side" else REWARD_CODES)


def marginal_means(lmm: LMMResult, factor: str) -> pd.DataFrame:
    """Mean response at each level of a factor, the other factors at 0.

    Parameters
    ----------
    lmm : LMMResult
    factor : {'contrast', 'side', 'reward'}

    Returns
    -------
    DataFrame
        ``factor``, ``level``, ``coded`` (value in the model), ``mean`` [units of the
        response], ``se``, ``df``, ``ci_low``, ``ci_high`` (95 %; also ``ci_lower``,
        ``ci_upper``). At 0 of the others: midway
        between sides and outcomes, at the mean of the coded analyzed contrasts.

    Raises
    ------
    ValueError
        If the model has no such factor.
    """
    levels = factor_levels(lmm, factor)
    weights = np.array([lmm.weights_at(**{factor: value}) for value in levels.values()])
    found = lmm.combine(weights)
    columns = ["se", "df", "ci_low", "ci_high"]
    return pd.DataFrame(
        {
            "factor": factor,
            "level": list(levels),
            "coded": list(levels.values()),
            "mean": found["estimate"],
            **{name: found[name] for name in columns},
            **_known_limits(found),
        }
    )


def compute_marginal_means(lmm: LMMResult, factor: str) -> pd.DataFrame:
    """As `marginal_means`; the levels of contrast are numbers [%]."""
    table = marginal_means(lmm, factor)
    return table.astype({"level": float}) if factor == "contrast" else table


def contrast_slopes(lmm: LMMResult) -> pd.DataFrame:
    """Slope of the response on contrast, and at each outcome and side.

    Parameters
    ----------
    lmm : LMMResult

    Returns
    -------
    DataFrame
        ``factor`` ('all', 'reward' or 'side'), ``level`` ('all' or the level's name),
        ``slope`` [units of the response per unit of coded contrast], ``se``, ``df``, ``z``,
        ``p``, ``p_wald``, ``ci_low``, ``ci_high``. The slope at reward r is
        β_contrast + r·β_contrast:reward; its variance has both variances and their
        covariance. Without outcome in the model there are no rows of 'reward'.

    Raises
    ------
    ValueError
        If contrast is not in the model.
    """
    factor_levels(lmm, "contrast")
    conditions = [("all", "all", {})]
    for factor in ("reward", "side"):
        if any(factor in term.split(":") for term in lmm.terms):
            levels = factor_levels(lmm, factor)
            conditions += [(factor, level, {factor: value}) for level, value in levels.items()]
    weights = np.array([_effect(lmm, "contrast", 0.0, 1.0, at) for _, _, at in conditions])
    found = lmm.combine(weights)
    return pd.DataFrame(
        {
            "factor": [factor for factor, _, _ in conditions],
            "level": [level for _, level, _ in conditions],
            "slope": found["estimate"],
            **{name: found[name] for name in _INFERENCE},
            **_known_limits(found),
        }
    )


def compute_contrast_slopes(lmm: LMMResult) -> pd.DataFrame:
    """Slope of the response on contrast at each outcome, of all subjects and of each.

    Parameters
    ----------
    lmm : LMMResult

    Returns
    -------
    DataFrame
        ``reward`` ('incorrect', 'correct'; None without outcome in the model), ``slope``,
        ``ci_lower``, ``ci_upper``, ``type``, ``subject``. Rows of type 'population' are those
        of `contrast_slopes`, with its further columns. Where slopes are random there are rows
        of type 'subject': the population's slope plus the predicted deviation of the subject,
        without an interval.

    Raises
    ------
    ValueError
        If contrast is not in the model.
    """
    table = contrast_slopes(lmm)
    wanted = "reward" if (table["factor"] == "reward").any() else "all"
    population = table[table["factor"] == wanted].drop(columns="factor").reset_index(drop=True)
    levels = population.pop("level").astype(object)
    population.insert(0, "reward", levels if wanted == "reward" else None)
    known = ["reward", "slope", "ci_lower", "ci_upper", "type", "subject"]
    population = population.assign(type="population", subject=None)
    population = population[[*known, *(name for name in population if name not in known)]]
    if "contrast" not in lmm.subject_effects:
        return population
    rows = [
        {"reward": at.reward, "slope": at.slope + own, "type": "subject", "subject": subject}
        for subject, own in lmm.subject_effects["contrast"].items()
        for at in population.itertuples()
    ]
    own = pd.DataFrame(rows).astype({"reward": object})
    return pd.concat([population, own], ignore_index=True)[list(population)]


def predictions(lmm: LMMResult) -> pd.DataFrame:
    """Response that the fixed effects predict at every combination of levels.

    Returns
    -------
    DataFrame
        ``contrast`` [%], ``side``, ``reward`` (None where it is not in the model),
        ``predicted``, ``ci_lower``, ``ci_upper`` (95 %), ``se``, ``df``.
    """
    named = {name for term in lmm.terms for name in term.split(":")}
    levels = {name: factor_levels(lmm, name) for name in FACTORS if name in named}
    grid = list(product(*(of.items() for of in levels.values())))
    weights = [
        lmm.weights_at(**{name: value for name, (_, value) in zip(levels, at, strict=True)})
        for at in grid
    ]
    found = lmm.combine(np.array(weights))
    columns: dict[str, object] = dict.fromkeys(FACTORS)
    for i, name in enumerate(levels):
        columns[name] = [at[i][0] for at in grid]
    table = pd.DataFrame(columns, index=range(len(grid)))
    if "contrast" in levels:
        table["contrast"] = table["contrast"].astype(float)
    more = {"predicted": found["estimate"], **_known_limits(found)}
    return table.assign(**more, se=found["se"], df=found["df"])


def compute_interaction_effects(lmm: LMMResult, y_factor: str, x_factor: str) -> pd.DataFrame:
    """Effect of one factor at each level of another, the third at 0.

    Parameters
    ----------
    lmm : LMMResult
    y_factor : {'contrast', 'side', 'reward'}
        Factor whose effect is wanted: contra − ipsi, correct − incorrect, or the slope of
        contrast.
    x_factor : {'contrast', 'side', 'reward'}
        Factor at whose levels it is wanted.

    Returns
    -------
    DataFrame
        ``y_factor``, ``x_factor``, ``level`` and ``coded`` of x, ``effect``, ``se``, ``df``,
        ``z``, ``p``, ``p_wald``, ``ci_low``, ``ci_high``; and ``x_level`` (a number for
        contrast) and ``p_interaction``, the p of the product of both factors, in every row.

    Raises
    ------
    ValueError
        If the factors are the same, or one is not in the model.
    """
    if y_factor == x_factor:
        raise ValueError(f"the effect of {y_factor!r} at its own levels is no interaction")
    factor_levels(lmm, y_factor)
    levels = factor_levels(lmm, x_factor)
    low, high = (0.0, 1.0) if y_factor == "contrast" else (-0.5, 0.5)
    weights = [_effect(lmm, y_factor, low, high, {x_factor: v}) for v in levels.values()]
    found = lmm.combine(np.array(weights))
    return pd.DataFrame(
        {
            "y_factor": y_factor,
            "x_factor": x_factor,
            "level": list(levels),
            "coded": list(levels.values()),
            "effect": found["estimate"],
            **{name: found[name] for name in _INFERENCE},
            **_known_limits(found),
            "x_level": [float(at) for at in levels] if x_factor == "contrast" else list(levels),
            "p_interaction": _p_of_product(lmm, y_factor, x_factor),
        }
    )


def _p_of_product(lmm: LMMResult, *factors: str) -> float:
    own = [set(term.split(":")) == set(factors) for term in lmm.terms]
    p = lmm.coefficients["p"][own]
    return float(p.iloc[0]) if len(p) else np.nan


def _known_limits(found: pd.DataFrame) -> dict[str, pd.Series]:
    """The interval under the names that scripts know."""
    return {"ci_lower": found["ci_low"], "ci_upper": found["ci_high"]}


def _effect(
    lmm: LMMResult, factor: str, low: float, high: float, at: dict[str, float]
) -> np.ndarray:
    return lmm.weights_at(**{**at, factor: high}) - lmm.weights_at(**{**at, factor: low})
