"""Mean responses per condition of one recording."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.analysis.trials import analyzed_trials, early_responses
from iblnm.analysis.vectors.matrix import FEATURE_EVENTS, condition_labels, response_matrix
from iblnm.config import Settings
from iblnm.task.completion import complete_trials
from iblnm.task.contrasts import add_relative_contrast

if TYPE_CHECKING:
    import xarray as xr

_NORMALIZATIONS = (None, "zscore", "unit", "minmax")
_OF_TRIALS = ("contrast", "feedbackType", "probabilityLeft", "choice", "response_time")


def response_vector(
    responses: xr.DataArray,
    trials: pd.DataFrame,
    hemisphere: str | None,
    settings: Settings,
    *,
    min_trials: int = 5,
    normalize: str | None = None,
    events: Iterable[str] | None = None,
) -> pd.Series:
    """Mean early response per event, contrast, laterality and outcome.

    Parameters
    ----------
    responses : DataArray, dims (event, trial, time)
        Peri-event responses of one recording.
    trials : DataFrame
        Trials of the session, in the order of the responses.
    hemisphere : {'l', 'r', None}
        Side of the fiber; without one no condition is known, and all values are NaN.
    settings : Settings
        Contrasts [%], selection of trials, windows and order of events.
    min_trials : int
        Conditions with fewer trials are NaN.
    normalize : {None, 'zscore', 'unit', 'minmax'}
        Standardize the vector, scale it to length 1 or to 0 to 1; NaN is left out.
    events : iterable of str, optional
        Stimulus and feedback by default.

    Returns
    -------
    Series
        Labels ``{event}_c{contrast}_{contra|ipsi}_{correct|incorrect}``, as the columns of
        `iblnm.analysis.vectors.matrix.response_matrix`, from the same trials.
    """
    if normalize not in _NORMALIZATIONS:
        raise ValueError(f"normalize {normalize!r} is unknown; known are {_NORMALIZATIONS}")
    trials = complete_trials(trials)
    present = responses["event"].to_numpy().tolist()
    wanted = list(events or [event for event in FEATURE_EVENTS if event in present])
    magnitude, _ = early_responses(
        responses,
        trials,
        event_order=settings.response_events,
        baseline_window=settings.signal.baseline_window,
        window=settings.signal.early_window,
        min_coverage=settings.cohort.min_coverage,
    )
    own = trials.iloc[responses["trial"].to_numpy()]
    # the sign of the contrast tells nothing that stim_side does not
    sides = pd.DataFrame(
        {"signed_contrast": np.nan, "hemisphere": hemisphere, "stim_side": own["stim_side"]}
    )
    once = own[list(_OF_TRIALS)].assign(
        eid="", target_NM="", fiber_idx=0, side=add_relative_contrast(sides)["side"]
    )
    table = pd.concat(
        [
            once.assign(event=event, response_early=magnitude[present.index(event)])
            for event in wanted
        ],
        ignore_index=True,
    )
    selected, _ = analyzed_trials(table, settings)
    shown = {float(level) for level in own["contrast"].dropna()}
    contrasts = tuple(sorted({*settings.analysis_contrasts, *shown}))
    matrix = response_matrix(selected, events=wanted, contrasts=contrasts, min_trials=min_trials)
    labels = condition_labels(wanted, contrasts)
    vector = matrix.iloc[0] if len(matrix) else pd.Series(np.nan, index=labels)
    vector = pd.Series(vector.to_numpy(dtype=float), index=labels)
    if normalize == "zscore":
        return (vector - vector.mean()) / vector.std()
    if normalize == "unit":
        return vector / np.sqrt((vector**2).sum())
    if normalize == "minmax":
        return (vector - vector.min()) / (vector.max() - vector.min())
    return vector
