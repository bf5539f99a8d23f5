"""Formulas of the mixed models and their design matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iblnm.constants import STIMULUS_EVENT
from iblnm.errors import DataError

METHOD_VERSION = 1
UNCORRELATED = "||"
"""At the end of random effects: they are uncorrelated, as lme4 writes it."""
OUTCOME_TERMS = ("reward", "feedbackType", "outcome", "correct")


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


def random_part(re_formula: str, right: str) -> tuple[str, bool]:
    """Random effects that a model can have, and whether they are uncorrelated.

    Parameters
    ----------
    re_formula : str
        Factors joined by ``+``; ending in ``||`` without correlations.
    right : str
        Fixed effects; factors that are not among them are left out.

    Examples
    --------
    >>> random_part("contrast + side + reward ||", "contrast * side")
    ('contrast + side', True)
    >>> random_part("1", "contrast * side")
    ('1', False)
    """
    from patsy import ModelDesc

    if not re_formula.rstrip().endswith(UNCORRELATED):
        return re_formula, False
    named = [name.strip() for name in re_formula.replace(UNCORRELATED, "").split("+")]
    terms = ModelDesc.from_formula(right).rhs_termlist
    known = {factor.name() for term in terms for factor in term.factors} | {"1", "0"}
    return " + ".join(name for name in named if name in known) or "1", True


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
