"""Sides and contrasts of the stimuli, sides of the choices.

A zero contrast has a side: it is the one of ``contrastLeft`` and ``contrastRight`` that is
not missing. Nothing is read from the sign of a zero.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from iblnm.constants import MAX_UNUSABLE_TRIAL_SHARE
from iblnm.errors import DataError, MalformedFileError, MissingColumnError

_MAX_ROWS_NAMED = 10
_CHOICE_SIDES = {-1.0: "right", 0.0: "none", 1.0: "left"}
_HEMISPHERE_SIGNS = {"l": 1.0, "r": -1.0, "left": 1.0, "right": -1.0}


def require_columns(trials: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Raise `MissingColumnError` naming the columns that a trials table lacks.

    Raises
    ------
    DataError
        If there is no table, as before the trials of a session are loaded.
    """
    if trials is None:
        raise DataError("there is no table of trials (None); load_trials() or load_h5() reads it")
    missing = [name for name in names if name not in trials]
    if missing:
        raise MissingColumnError(
            f"the trials table has no column {', '.join(missing)}; it has {list(trials.columns)}"
        )


def compute_trial_contrasts(
    trials: pd.DataFrame, *, max_unusable_share: float = MAX_UNUSABLE_TRIAL_SHARE
) -> pd.DataFrame:
    """Side and contrast of the stimulus of each trial.

    Parameters
    ----------
    trials : DataFrame
        Columns ``contrastLeft`` and ``contrastRight`` as in ALF: fractions from 0 to 1, the
        one of the side without stimulus NaN, or 0 beside a contrast on the other side. Two
        zeros have the side of ``stim_side``, or that which ``choice`` and ``feedbackType``
        tell, where these columns are there.
    max_unusable_share : float
        Share of the trials whose side may be unknown.

    Returns
    -------
    DataFrame
        Index of `trials`; ``stim_side`` ('left' or 'right'), ``contrast`` (%, ≥ 0) and
        ``signed_contrast`` (%, negative on the left, +0.0 for a zero contrast), float64. A
        trial with a contrast on both sides or on neither has missing values; of two zeros
        that nothing tells apart the side is missing.

    Raises
    ------
    MalformedFileError
        If a column is missing, more than `max_unusable_share` of the trials have a contrast
        above 0 on both sides, or none on either, or a contrast is outside 0 to 1.

    Examples
    --------
    >>> trials = pd.DataFrame(
    ...     {"contrastLeft": [1.0, np.nan, 0.0], "contrastRight": [np.nan, 0.25, np.nan]}
    ... )
    >>> compute_trial_contrasts(trials)
      stim_side  contrast  signed_contrast
    0      left     100.0           -100.0
    1     right      25.0             25.0
    2      left       0.0              0.0
    """
    require_columns(trials, ("contrastLeft", "contrastRight"))
    left = _to_float(trials["contrastLeft"])
    right = _to_float(trials["contrastRight"])
    on_left, on_right = ~np.isnan(left), ~np.isnan(right)
    zeros = (left == 0) & (right == 0)
    # 0 is how some writers mark the side without stimulus
    on_left &= ~((left == 0) & (right > 0))
    on_right &= ~((right == 0) & (left > 0)) & ~zeros
    both, neither = on_left & on_right, ~on_left & ~on_right
    if (both | neither).sum() > max_unusable_share * len(trials):
        _refuse(both, "a contrast on both sides; exactly one side is expected")
        _refuse(neither, "no contrast on either side; exactly one side is expected")
    fraction = np.where(both | neither, np.nan, np.where(on_left, left, right))
    outside = (left < 0) | (left > 1) | (right < 0) | (right > 1)
    if outside.any():
        given = np.concatenate([left[outside], right[outside]])
        worst = given[np.nanargmax(np.abs(given))]
        _refuse(outside, f"a contrast outside 0 to 1 (for example {worst:g})")
    # Adding zero turns -0.0 into +0.0; rounding undoes the noise of 100 x 0.07 and the like.
    contrast = np.round(100.0 * fraction, 9) + 0.0
    signed = np.where(on_left, -contrast, contrast) + 0.0
    side = np.where(on_left, "left", "right").astype(object)
    side[both | neither] = None
    if zeros.any():
        side[zeros] = _side_of_zeros(trials)[zeros]
    return pd.DataFrame(
        {
            "stim_side": side,
            "contrast": contrast,
            "signed_contrast": signed,
        },
        index=trials.index,
    )


def _side_of_zeros(trials: pd.DataFrame) -> np.ndarray:
    """Side of each trial by what else tells it, None where nothing does."""
    side = np.full(len(trials), None, dtype=object)
    if {"choice", "feedbackType"} <= set(trials):
        # a rewarded choice is towards the stimulus, and 1 is leftward
        towards_left = _to_float(trials["choice"]) * _to_float(trials["feedbackType"])
        side[towards_left > 0], side[towards_left < 0] = "left", "right"
    if "stim_side" in trials:
        stored = trials["stim_side"].to_numpy(dtype=object)
        known = np.isin(stored.astype(str), ["left", "right"])
        side[known] = stored[known]
    return side


def compute_choice_side(trials: pd.DataFrame) -> pd.Series:
    """Side of the choice of each trial: 'left', 'right' or 'none'; None where it is unknown.

    Parameters
    ----------
    trials : DataFrame
        Column ``choice`` as in ALF: −1 is a *rightward* choice, 1 a leftward one, 0 none.

    Returns
    -------
    Series
        Index of `trials`, dtype object.

    Raises
    ------
    MalformedFileError
        If a choice is none of −1, 0 and 1.

    Examples
    --------
    >>> compute_choice_side(pd.DataFrame({"choice": [-1, 0, 1]})).tolist()
    ['right', 'none', 'left']
    """
    require_columns(trials, ("choice",))
    choice = _to_float(trials["choice"])
    missing = np.isnan(choice)
    known = np.isin(choice, list(_CHOICE_SIDES)) | missing
    if not known.all():
        _refuse(~known, f"choice {choice[~known][0]:g}; -1, 0 or 1 is expected")
    position = np.where(missing, 2.0, choice).astype(int) + 1
    side = np.array(["right", "none", "left", None], dtype=object)[position]
    return pd.Series(side, index=trials.index, name="choice_side", dtype=object)


def add_trial_columns(
    trials: pd.DataFrame, *, max_unusable_share: float = MAX_UNUSABLE_TRIAL_SHARE
) -> pd.DataFrame:
    """Trials with the columns that are derived from those of ALF.

    Parameters
    ----------
    trials : DataFrame
        The ALF trials table: contrasts, choice and the times of stimulus, first movement
        and feedback (s).
    max_unusable_share : float
        See `compute_trial_contrasts`.

    Returns
    -------
    DataFrame
        Copy of `trials`, numeric columns as float64, with ``stim_side``, ``contrast``,
        ``signed_contrast`` (see `compute_trial_contrasts`), ``choice_side`` (see
        `compute_choice_side`), ``reaction_time``, ``movement_time`` and ``response_time``
        (s, see `iblnm.task.trial_timing`). Raw columns keep their values.

    Raises
    ------
    MalformedFileError
        If a column that is needed is missing or holds values that cannot be used.
    """
    from iblnm.task.timing import trial_timing

    numbers = {
        name: trials[name].astype(float)
        for name in trials.columns
        if pd.api.types.is_numeric_dtype(trials[name])
    }
    timing = trial_timing(trials).drop(columns="trial")
    derived = {
        **compute_trial_contrasts(trials, max_unusable_share=max_unusable_share),
        "choice_side": compute_choice_side(trials),
        **timing.set_axis(trials.index),
    }
    return trials.assign(**numbers | derived)


def add_relative_contrast(df: pd.DataFrame) -> pd.DataFrame:
    """Contrast and side of the stimulus relative to the hemisphere of the fiber.

    Parameters
    ----------
    df : DataFrame
        Columns ``signed_contrast`` (%, negative on the left), ``hemisphere`` ('l', 'r' or
        null) and, for the side of a zero contrast, ``stim_side`` ('left' or 'right').

    Returns
    -------
    DataFrame
        Copy of `df` with ``hemi_sign`` (1 left, −1 right hemisphere), ``relative_contrast``
        (%, positive for the side opposite to the fiber, +0.0 for zero) and ``side``
        ('contra' or 'ipsi'). An unknown hemisphere gives missing values, never a default.
        Without ``stim_side`` the side of a zero contrast is missing.

    Raises
    ------
    MalformedFileError
        If ``signed_contrast`` or ``hemisphere`` is missing.

    Examples
    --------
    >>> df = pd.DataFrame(
    ...     {
    ...         "signed_contrast": [-25.0, 0.0],
    ...         "stim_side": ["left", "left"],
    ...         "hemisphere": ["r", None],
    ...     }
    ... )
    >>> add_relative_contrast(df)[["relative_contrast", "side"]]
       relative_contrast    side
    0               25.0  contra
    1                NaN    None
    """
    require_columns(df, ("signed_contrast", "hemisphere"))
    signed = _to_float(df["signed_contrast"])
    sign = np.array(
        [
            _HEMISPHERE_SIGNS.get(side.lower(), np.nan) if isinstance(side, str) else np.nan
            for side in df["hemisphere"]
        ],
        dtype=float,
    )
    stimulus = np.sign(signed)
    if "stim_side" in df:
        side = df["stim_side"].to_numpy(dtype=object, na_value=None)
        stimulus = np.where(side == "right", 1.0, np.where(side == "left", -1.0, 0.0))
    laterality = stimulus * sign
    side = np.full(len(df), None, dtype=object)
    side[laterality > 0] = "contra"
    side[laterality < 0] = "ipsi"
    return df.assign(hemi_sign=sign, relative_contrast=signed * sign + 0.0, side=side)


def sort_trials_by_type(trials: pd.DataFrame) -> np.ndarray:
    """Order of trials for a raster plot: errors first, then correct, high contrast first.

    Parameters
    ----------
    trials : DataFrame
        Columns ``feedbackType`` (1 reward, else an error) and ``contrast``.

    Returns
    -------
    ndarray of int
        Positions (not labels) of the trials; ties keep the order of the session and
        trials with a missing contrast come last in their group.

    Examples
    --------
    >>> trials = pd.DataFrame({"feedbackType": [1, -1, 1], "contrast": [25.0, 100.0, 50.0]})
    >>> sort_trials_by_type(trials)
    array([1, 2, 0])
    """
    require_columns(trials, ("feedbackType", "contrast"))
    correct = _to_float(trials["feedbackType"]) == 1
    return np.lexsort((-_to_float(trials["contrast"]), correct))


def _to_float(values: pd.Series) -> np.ndarray:
    try:
        return values.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise MalformedFileError(f"column {values.name} is not numeric ({error})") from error


def _refuse(bad: np.ndarray, what: str) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        named = ", ".join(map(str, rows[:_MAX_ROWS_NAMED]))
        more = ", ..." if rows.size > _MAX_ROWS_NAMED else ""
        raise MalformedFileError(
            f"{rows.size} of {bad.size} trials have {what}; rows {named}{more}"
        )
