"""Mean responses per condition of one recording."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings

if TYPE_CHECKING:
    import xarray as xr

DEFAULT_EVENTS = ("stimOn_times", "feedback_times")
UNBIASED = 0.5
MIN_RESPONSE_TIME_S = 0.05
_OPPOSITE = {"l": "right", "r": "left"}


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
        Side of the fibre; without one no condition is known, and all values are NaN.
    settings : Settings
        Contrasts [%], windows and order of events.
    min_trials : int
        Conditions with fewer trials are NaN.
    normalize : {None, 'zscore', 'unit'}
        Standardise the vector, or scale it to length 1; NaN is left out.
    events : iterable of str, optional
        Stimulus and feedback by default.

    Returns
    -------
    Series
        Labels ``{event}_c{contrast}_{contra|ipsi}_{correct|incorrect}``; trials of the
        unbiased block with a choice and a response time over 50 ms.
    """
    from iblnm.signal.perievent import (
        mask_subsequent_events,
        response_magnitude,
        subtract_baseline,
    )

    if normalize not in (None, "zscore", "unit"):
        raise ValueError(f"normalize {normalize!r} is unknown; known are None, 'zscore', 'unit'")
    # an event that the responses lack still ends the one before it
    masked = mask_subsequent_events(responses, trials, settings.response_events)
    prepared = subtract_baseline(masked, settings.signal.baseline_window)
    mean, _ = response_magnitude(prepared, settings.signal.early_window)
    selected = (
        (trials["probabilityLeft"] == UNBIASED)
        & (trials["choice"] != 0)
        & (trials["response_time"] > MIN_RESPONSE_TIME_S)
    ).to_numpy()
    contra = (trials["stim_side"] == _OPPOSITE.get(hemisphere or "")).to_numpy()
    correct = (trials["feedbackType"] == 1).to_numpy()
    contrast = trials["contrast"].to_numpy(dtype=float)
    values = {}
    for event in events or [e for e in DEFAULT_EVENTS if e in responses["event"]]:
        magnitude = np.asarray(mean.sel(event=event))
        usable = selected & np.isfinite(magnitude)
        for level in settings.analysis_contrasts:
            for laterality, on_side in (("contra", contra), ("ipsi", ~contra)):
                for outcome, right in (("correct", correct), ("incorrect", ~correct)):
                    cell = usable & np.isclose(contrast, level) & on_side & right
                    label = f"{event.removesuffix('_times')}_c{level:g}_{laterality}_{outcome}"
                    known = hemisphere in _OPPOSITE and cell.sum() >= min_trials
                    values[label] = magnitude[cell].mean() if known else np.nan
    vector = pd.Series(values, dtype=float)
    if normalize == "zscore":
        return (vector - vector.mean()) / vector.std()
    if normalize == "unit":
        return vector / np.sqrt((vector**2).sum())
    return vector
