"""The clock of raw photometry frames, put on that of the trials where both saw the same events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from iblnm.constants import RAW
from iblnm.errors import DataError
from iblnm.io.digital_inputs import pulses_path, read_pulses, sync_channel
from iblnm.signal.synchronization import ClockFit, fit_clock

METHOD_VERSION = 1
CAMERA = "camera"
COLUMNS = (
    "sync_offset_s",
    "sync_drift_ppm",
    "sync_residual_s",
    "sync_n_events",
    "sync_n_matched",
    "sync_note",
)


def synchronize(
    one: Any, eid: str, trials: pd.DataFrame | None, *, min_matched_share: float
) -> ClockFit:
    """Fit the camera's clock to that of the trials.

    Parameters
    ----------
    one : ONE
    eid : str
    trials : DataFrame or None
        See `iblnm.io.trials.load_trials_table`; None where there are none.
    min_matched_share : float
        Share of the events of the task that must have given a pulse.

    Returns
    -------
    ClockFit
        Its `fault` says why the two cannot be synchronized: pulses or trials are missing,
        cannot be read, or do not match.
    """
    if trials is None:
        return _fault("the session has no trials whose clock could be taken")
    try:
        path = pulses_path(one, eid)
        if path is None:
            return _fault("the session lists no digital inputs of the camera")
        pulses = read_pulses(path, eid=eid)
        events = task_events(one, eid, trials)
        wanted = sync_channel(one, eid)
    except DataError as error:
        return _fault(str(error))
    if wanted is not None and wanted in pulses:
        pulses = {wanted: pulses[wanted]}
    fits = [
        fit_clock(times, events, min_matched_share=min_matched_share) for times in pulses.values()
    ]
    if not fits:
        return _fault("the digital inputs have no pulse")
    return min(fits, key=_badness)


def task_events(one: Any, eid: str, trials: pd.DataFrame) -> np.ndarray:
    """Events of the task that give a pulse to the camera [s, clock of the trials], increasing.

    Those of the rig's log where the trials are from there; else those that the extracted table
    has: the starts of the trials and the rewards.
    """
    if trials.attrs.get("source") == RAW:
        from iblnm.io.raw_task import load_raw_task

        return load_raw_task(one, eid, trials.attrs["collection"]).events
    rewards = trials.loc[trials["feedbackType"] == 1, "feedback_times"]
    events = np.r_[trials["intervals_0"].to_numpy(), rewards.to_numpy()]
    return np.unique(events[np.isfinite(events)])


def clock_columns(fit: ClockFit | None) -> dict[str, Any]:
    """Columns of the reference; all null where nothing was to be synchronized."""
    if fit is None:
        return dict.fromkeys(COLUMNS)
    return {
        "sync_offset_s": _known(fit.offset_s),
        "sync_drift_ppm": _known(fit.drift_ppm),
        "sync_residual_s": _known(fit.residual_s),
        "sync_n_events": fit.n_events,
        "sync_n_matched": fit.n_matched,
        "sync_note": fit.fault or None,
    }


def _badness(fit: ClockFit) -> tuple:
    return bool(fit.fault), -fit.matched_share, fit.residual_s


def _fault(words: str) -> ClockFit:
    return ClockFit(np.nan, np.nan, np.nan, 0, 0, words)


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
