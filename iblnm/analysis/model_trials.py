"""Trials as the mixed models see them: codes of the factors, design matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iblnm.config import get_settings
from iblnm.errors import DataError
from iblnm.util.contrasts import get_contrast_coding

STIMULUS_EVENT = "stimOn_times"
SIDE_CODES = {"ipsi": -0.5, "contra": 0.5}
REWARD_CODES = {"incorrect": -0.5, "correct": 0.5}
OUTCOME_TERMS = ("reward", "feedbackType", "outcome", "correct")


def code_trials(
    df: pd.DataFrame, response_col: str, contrast_coding: str = "log"
) -> tuple[pd.DataFrame, float]:
    """Trials as the models see them.

    Parameters
    ----------
    df : DataFrame
        ``subject``, ``contrast`` (%), ``side`` ('contra' or 'ipsi'), ``feedbackType`` (1 or
        −1) and the response; other columns are kept.
    response_col : str
    contrast_coding : {'log', 'linear', 'rank'}

    Returns
    -------
    coded : DataFrame
        ``response``, ``contrast`` (coded and centred), ``side`` (contra +.5, ipsi −.5),
        ``reward`` (±.5, where ``feedbackType`` is there), ``percent``, and the other columns;
        rows without response, contrast, side or outcome are left out.
    center : float
        Mean of the coded contrasts of the settings. It does not depend on the trials, so
        coefficients compare between targets and events.

    Raises
    ------
    DataError
        If a column is missing.
    """
    missing = [c for c in ("subject", "contrast", "side", response_col) if c not in df]
    if missing:
        raise DataError(f"the table of trials has no column {', '.join(missing)}")
    transform, _ = get_contrast_coding(contrast_coding)
    center = float(np.mean(transform(np.asarray(get_settings().analysis_contrasts))))
    percent = df["contrast"].to_numpy(dtype=float, na_value=np.nan)
    coded = df.assign(
        response=df[response_col].to_numpy(dtype=float, na_value=np.nan),
        percent=percent,
        contrast=np.asarray(transform(percent), dtype=float) - center,
        side=df["side"].astype(object).map(SIDE_CODES).astype(float),
    )
    needed = ["response", "contrast", "side"]
    if "feedbackType" in df:
        feedback = df["feedbackType"].to_numpy(dtype=float, na_value=np.nan)
        coded["reward"] = np.where(
            np.isfinite(feedback), np.where(feedback > 0, 0.5, -0.5), np.nan
        )
        needed.append("reward")
    return coded[np.isfinite(coded[needed]).all(axis=1) & coded["subject"].notna()], center


def right_hand_side(formula: str | None, coded: pd.DataFrame) -> str:
    """Right-hand side of a formula; by default all factors, without outcome at stimOn_times.

    Raises
    ------
    ValueError
        If the formula has an outcome at stimOn_times.
    """
    from patsy import ModelDesc

    at_stimulus = "event" in coded and (coded["event"] == STIMULUS_EVENT).all()
    if formula is None:
        return "contrast * side" if at_stimulus else "contrast * side * reward"
    right = formula.split("~", 1)[-1].strip()
    terms = ModelDesc.from_formula(right).rhs_termlist
    named = {factor.name() for term in terms for factor in term.factors}
    outcome = sorted(named & set(OUTCOME_TERMS))
    if at_stimulus and outcome:
        raise ValueError(
            f"formula {formula!r} has {', '.join(outcome)} at {STIMULUS_EVENT}, before any outcome"
        )
    return right


def design_matrices(
    coded: pd.DataFrame, right: str, re_formula: str
) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Fixed and random columns of coded trials, and their names.

    Raises
    ------
    DataError
        If a formula cannot be evaluated.
    """
    from patsy import PatsyError, dmatrix

    columns = [name for name in ("contrast", "side", "reward") if name in coded]
    try:
        x, z = dmatrix(right, coded[columns]), dmatrix(re_formula, coded[columns])
    except PatsyError as error:
        raise DataError(f"formula {right!r} or {re_formula!r} cannot be used: {error}") from error
    return (
        np.asarray(x),
        np.asarray(z),
        x.design_info.column_names,
        z.design_info.column_names,
    )
