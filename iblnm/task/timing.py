"""Times of a trial relative to one another."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iblnm.constants import TRIAL_EVENTS
from iblnm.task.contrasts import require_columns

METHOD_VERSION = 1


def trial_timing(trials: pd.DataFrame) -> pd.DataFrame:
    """Reaction, movement and response time of each trial.

    Parameters
    ----------
    trials : DataFrame
        Columns ``stimOn_times``, ``firstMovement_times`` and ``feedback_times`` (s).

    Returns
    -------
    DataFrame
        One row per trial, range index: ``trial`` (int64, from 0), ``reaction_time`` =
        first movement − stimulus, ``movement_time`` = feedback − first movement and
        ``response_time`` = feedback − stimulus (s, float64; NaN where an event is missing).

    Raises
    ------
    MalformedFileError
        If an event's column is missing.

    Examples
    --------
    >>> trial_timing(
    ...     pd.DataFrame(
    ...         {"stimOn_times": [1.0], "firstMovement_times": [1.25], "feedback_times": [1.75]}
    ...     )
    ... )
       trial  reaction_time  movement_time  response_time
    0      0           0.25            0.5           0.75
    """
    require_columns(trials, TRIAL_EVENTS)
    stimulus, movement, feedback = (
        trials[event].to_numpy(dtype=float, na_value=np.nan) for event in TRIAL_EVENTS
    )
    return pd.DataFrame(
        {
            "trial": np.arange(len(trials), dtype=np.int64),
            "reaction_time": movement - stimulus,
            "movement_time": feedback - movement,
            "response_time": feedback - stimulus,
        }
    )
