"""Task and movement variables of each trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.analysis.regressors.tables import TRIAL_REGRESSORS
from iblnm.errors import MalformedFileError
from iblnm.task.contrasts import require_columns

if TYPE_CHECKING:
    import xarray as xr

METHOD_VERSION = 1
_OF_TRIALS = tuple(
    name
    for name in TRIAL_REGRESSORS.names
    if name not in ("eid", "subject", "session_type", "trial", "peak_velocity", "source")
)


def peak_velocity(velocity: xr.DataArray, n_trials: int | None = None) -> np.ndarray:
    """Largest speed of the wheel in each trial.

    Parameters
    ----------
    velocity : DataArray (trial, time)
        Velocity from stimulus to feedback, rad/s, NaN after the end of the trial.
    n_trials : int, optional
        Trials of the session, when the coordinate ``trial`` may lack some.

    Returns
    -------
    ndarray (n_trials,), float64
        Maximum of the absolute velocity, rad/s; NaN for a trial without a sample.

    Raises
    ------
    MalformedFileError
        If the velocity is of trials that the session does not have.
    """
    velocity = velocity.transpose("trial", "time")
    rows = velocity["trial"].to_numpy()
    n_trials = len(rows) if n_trials is None else n_trials
    if len(rows) and rows.max() >= n_trials:
        raise MalformedFileError(
            f"the wheel velocity is of trials up to {rows.max()}; the session has {n_trials}"
        )
    speed = np.abs(velocity.to_numpy())
    # of all NaN, fmax keeps NaN, and says nothing
    highest = np.fmax.reduce(speed, axis=1, initial=np.nan) if len(rows) else np.empty(0)
    peak = np.full(n_trials, np.nan)
    peak[rows] = highest
    return peak


def trial_regressors(
    session: pd.Series | dict[str, Any], trials: pd.DataFrame, velocity: xr.DataArray | None
) -> pd.DataFrame:
    """Task and movement variables of the trials of one session.

    Parameters
    ----------
    session : Series or dict
        ``eid``, ``subject``, ``session_type``.
    trials : DataFrame
        Trials with sides, contrasts and times; see `iblnm.task.add_trial_columns`.
    velocity : DataArray (trial, time), optional
        See `peak_velocity`; without it the speed is missing.

    Returns
    -------
    DataFrame
        Columns of the schema `iblnm.analysis.regressors.tables.TRIAL_REGRESSORS`.
    """
    require_columns(trials, _OF_TRIALS)
    n_trials = len(trials)
    return pd.DataFrame(
        {
            **{name: session.get(name) for name in ("eid", "subject", "session_type")},
            "trial": np.arange(n_trials, dtype=np.int64),
            **{name: trials[name].to_numpy() for name in _OF_TRIALS},
            "peak_velocity": (
                np.full(n_trials, np.nan)
                if velocity is None
                else peak_velocity(velocity, n_trials)
            ),
            "source": trials.attrs.get("source"),
        }
    )[TRIAL_REGRESSORS.names]
