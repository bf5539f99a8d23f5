"""Performance of a session, and progress of subjects through the stages of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Thresholds
from iblnm.constants import BLOCK_TASKS
from iblnm.io.stamps import local_times
from iblnm.task.blocks import validate_block_structure
from iblnm.task.contrasts import compute_trial_contrasts, require_columns
from iblnm.task.psychometric import (
    BLOCKS,
    PARAMETERS,
    compute_bias_shift,
    fit_psychometric,
)

METHOD_VERSION = 1
STAGES = ("training", "biased", "ephys")
EASY_CONTRAST = 50.0
_FIT_COLUMNS = (*PARAMETERS, "r_squared", "n_trials", "at_bound")


def compute_fraction_correct(trials: pd.DataFrame, exclude_nogo: bool = True) -> float:
    """Fraction of rewarded trials.

    Parameters
    ----------
    trials : DataFrame
        Columns ``feedbackType`` (1 reward) and ``choice`` (0 none); a trial in which one of
        them is missing is left out.
    exclude_nogo : bool
        Leave out the trials without choice; otherwise they count as errors.

    Returns
    -------
    float
        0 to 1; NaN without trials.

    Examples
    --------
    >>> trials = pd.DataFrame({"feedbackType": [1, -1, -1], "choice": [1, -1, 0]})
    >>> compute_fraction_correct(trials)
    0.5
    """
    require_columns(trials, ("feedbackType", "choice"))
    feedback = trials["feedbackType"].to_numpy(dtype=float, na_value=np.nan)
    choice = _choice(trials)
    used = np.isfinite(feedback) & np.isfinite(choice)
    if exclude_nogo:
        used &= choice != 0
    return float((feedback[used] == 1).mean()) if used.any() else np.nan


def compute_nogo_fraction(trials: pd.DataFrame) -> float:
    """Fraction of trials without choice (``choice`` 0) among those where it is known.

    Examples
    --------
    >>> compute_nogo_fraction(pd.DataFrame({"choice": [1, -1, 0, 1]}))
    0.25
    """
    require_columns(trials, ("choice",))
    choice = _choice(trials)
    known = choice[np.isfinite(choice)]
    return float((known == 0).mean()) if known.size else np.nan


def session_performance(
    trials: pd.DataFrame,
    *,
    session_type: str,
    eid: str | None = None,
    thresholds: Thresholds | None = None,
) -> dict[str, Any]:
    """Fractions correct and psychometric fits of one session, as one flat row.

    Parameters
    ----------
    trials : DataFrame
        The trials table, with or without the columns of `add_trial_columns`.
    session_type : str
        Blocks are fitted in 'biased' and 'ephys' sessions only.
    eid : str, optional
    thresholds : Thresholds, optional

    Returns
    -------
    dict
        ``eid``, ``n_trials``, ``fraction_correct`` (of the trials with a choice),
        ``fraction_correct_easy`` (the same at ≥ 50 % contrast), ``nogo_fraction``,
        ``contrasts`` (list of %, unsigned), ``psych_{50,20,80}_{bias, threshold, lapse_left,
        lapse_right, r_squared, n_trials, at_bound}`` (see `fit_psychometric`; the number is
        100 times the left probability) and ``bias_shift``. A fit that was not made has NaN,
        its ``at_bound`` is None. 20 and 80 need a biased or ephys session with a valid
        structure of the blocks (see `validate_block_structure`).

    Raises
    ------
    MalformedFileError
        If a column is missing or contrasts cannot be used.
    """
    require_columns(trials, ("choice", "feedbackType", "probabilityLeft"))
    if not {"contrast", "signed_contrast"} <= set(trials.columns):
        trials = trials.assign(**compute_trial_contrasts(trials))
    easy = trials["contrast"].to_numpy(dtype=float) >= EASY_CONTRAST
    row: dict[str, Any] = {
        "eid": eid,
        "n_trials": len(trials),
        "fraction_correct": compute_fraction_correct(trials),
        "fraction_correct_easy": compute_fraction_correct(trials[easy]),
        "nogo_fraction": compute_nogo_fraction(trials),
        "contrasts": np.unique(trials["contrast"].dropna().to_numpy(dtype=float)).tolist(),
    }
    has_blocks = (
        session_type in BLOCK_TASKS
        and validate_block_structure(trials, thresholds=thresholds)["valid"]
    )
    fits = {}
    for name, probability_left in BLOCKS.items():
        if has_blocks or name == "50":
            fits[name] = fit_psychometric(trials, probability_left)
        else:
            fits[name] = dict.fromkeys(_FIT_COLUMNS, np.nan)
        if np.isnan(fits[name]["bias"]):
            fits[name]["at_bound"] = None
        row |= {f"psych_{name}_{column}": fits[name][column] for column in _FIT_COLUMNS}
    row["bias_shift"] = compute_bias_shift(fits["20"], fits["80"])
    return row


def count_sessions_to_stage(df: pd.DataFrame) -> pd.DataFrame:
    """Number of sessions that each subject needed to reach the next stage.

    Parameters
    ----------
    df : DataFrame
        One row per session: ``subject``, ``session_type`` and ``start_time`` (ISO text or
        datetime) or, without it, ``session_n`` or ``day_n``.

    Returns
    -------
    DataFrame
        One row per subject, sorted: ``subject``, ``n_training``, ``n_biased``, ``n_ephys``,
        ``sessions_to_biased`` (training sessions before the first biased one) and
        ``biased_sessions_to_ephys`` (biased sessions before the first ephys one); the last
        two float64, NaN if the stage was not reached.

    Raises
    ------
    MalformedFileError
        If a column is missing.

    Examples
    --------
    >>> df = pd.DataFrame(
    ...     {
    ...         "subject": ["m"] * 3,
    ...         "session_n": [1, 2, 3],
    ...         "session_type": ["training", "training", "biased"],
    ...     }
    ... )
    >>> count_sessions_to_stage(df)[["sessions_to_biased", "biased_sessions_to_ephys"]]
       sessions_to_biased  biased_sessions_to_ephys
    0                 2.0                       NaN
    """
    require_columns(df, ("subject", "session_type"))
    order = next((name for name in ("start_time", "session_n", "day_n") if name in df), None)
    if order is None:
        require_columns(df, ("start_time",))
    when = df[order]
    if order == "start_time":
        when = local_times(when)
    rows = []
    for subject, sessions in df.assign(_when=when).groupby("subject", sort=True):
        times = {
            stage: sessions.loc[sessions["session_type"] == stage, "_when"] for stage in STAGES
        }
        row: dict[str, Any] = {"subject": subject}
        row |= {f"n_{stage}": len(times[stage]) for stage in STAGES}
        row["sessions_to_biased"] = _n_before(times["training"], times["biased"])
        row["biased_sessions_to_ephys"] = _n_before(times["biased"], times["ephys"])
        rows.append(row)
    columns = ["subject", *(f"n_{stage}" for stage in STAGES)]
    columns += ["sessions_to_biased", "biased_sessions_to_ephys"]
    return pd.DataFrame(rows, columns=columns)


def get_subjects_by_stage(df: pd.DataFrame) -> dict[str, list[str]]:
    """Subjects that reached each stage.

    Parameters
    ----------
    df : DataFrame
        One row per session: ``subject``, ``session_type``.

    Returns
    -------
    dict
        'training', 'biased' and 'ephys', each a sorted list of the subjects with at least
        one session of that type.

    Raises
    ------
    MalformedFileError
        If a column is missing.
    """
    require_columns(df, ("subject", "session_type"))
    return {
        stage: sorted(df.loc[df["session_type"] == stage, "subject"].dropna().unique())
        for stage in STAGES
    }


def _n_before(earlier: pd.Series, later: pd.Series) -> float:
    return float((earlier < later.min()).sum()) if len(later) else np.nan


def _choice(trials: pd.DataFrame) -> np.ndarray:
    return trials["choice"].to_numpy(dtype=float, na_value=np.nan)
