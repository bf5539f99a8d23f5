"""Trials that another program wrote: the columns that can be derived from those there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iblnm.constants import TRIAL_EVENTS
from iblnm.task.contrasts import compute_choice_side, compute_trial_contrasts
from iblnm.task.timing import trial_timing


def complete_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Add the derived columns that a table of trials lacks.

    Parameters
    ----------
    trials : DataFrame
        Any columns of the ALF trials table, or of the trials of a session file.

    Returns
    -------
    DataFrame
        The same columns, untouched, and behind them those of `iblnm.task.add_trial_columns`
        that are missing and can be derived; the table itself if there are none.

    Examples
    --------
    >>> trials = pd.DataFrame({"signed_contrast": [-25.0, 100.0], "choice": [1, -1]})
    >>> complete_trials(trials)[["contrast", "stim_side", "choice_side"]]
       contrast stim_side choice_side
    0      25.0      left        left
    1     100.0     right       right
    """
    attrs = trials.attrs
    added: dict[str, object] = {}
    for derive in (_stimuli, _choices, _times):
        derived = derive(trials)
        added |= {name: derived[name] for name in derived if name not in trials}
    if not added:
        return trials
    completed = trials.assign(**added)
    completed.attrs = attrs
    return completed


def _stimuli(trials: pd.DataFrame) -> dict[str, object]:
    if {"contrastLeft", "contrastRight"} <= set(trials):
        return dict(compute_trial_contrasts(trials).items())
    if "signed_contrast" in trials:
        signed = trials["signed_contrast"].astype(float)
        side = pd.Series(np.where(signed < 0, "left", "right"), index=trials.index, dtype=object)
        # a zero has no sign: its side is not known
        return {"contrast": signed.abs(), "stim_side": side.where(signed.abs() > 0, None)}
    if {"contrast", "stim_side"} <= set(trials):
        sign = trials["stim_side"].map({"left": -1.0, "right": 1.0}).astype(float)
        return {"signed_contrast": trials["contrast"].astype(float) * sign + 0.0}
    return {}


def _choices(trials: pd.DataFrame) -> dict[str, object]:
    return {"choice_side": compute_choice_side(trials)} if "choice" in trials else {}


def _times(trials: pd.DataFrame) -> dict[str, object]:
    if not set(TRIAL_EVENTS) <= set(trials):
        return {}
    timing = trial_timing(trials).drop(columns="trial")
    return dict(timing.set_axis(trials.index).items())
