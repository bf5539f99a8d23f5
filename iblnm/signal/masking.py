"""Windows of time that a human marked as artifact: missing samples, on an untouched clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.config import SignalSettings

if TYPE_CHECKING:
    import xarray as xr

METHOD_VERSION = 1
Windows = Sequence[tuple[float, float]]


def preprocess_masked(
    bands: dict[str, pd.DataFrame],
    windows: Mapping[str, Windows],
    settings: SignalSettings | None = None,
    *,
    correct: Callable[..., xr.Dataset] | None = None,
    **parameters: Any,
) -> dict[str, xr.Dataset]:
    """Preprocess every fiber of a session without its masked samples.

    Parameters
    ----------
    bands, settings, correct
        See `iblnm.signal.preprocess.preprocess_photometry`.
    windows : mapping of str to sequence of (float, float)
        First and last masked time (s, ends included), by recording; none for one that is absent.
    **parameters
        Passed to `iblnm.signal.preprocess.preprocess_photometry`.

    Returns
    -------
    dict of Dataset
        As without masks, with the variable ``masked`` and the attribute ``masked_windows``
        (JSON).

    Raises
    ------
    MalformedFileError
        See `iblnm.signal.preprocess.preprocess_photometry`; a recording of which the masks
        leave nothing cannot be used.
    """
    from iblnm.signal.preprocess import preprocess_photometry, preprocess_recording

    def correct_unmasked(
        signal: pd.Series, reference: pd.Series | None, settings: SignalSettings
    ) -> xr.Dataset:
        own = windows.get(str(signal.name), ())
        recording = (correct or preprocess_recording)(
            mask_series(signal, own),
            None if reference is None else mask_series(reference, own),
            settings,
        )
        return mark_masked(recording, own, name=str(signal.name))

    return preprocess_photometry(bands, settings, correct=correct_unmasked, **parameters)


def mask_series(values: pd.Series, windows: Windows) -> pd.Series:
    """The series (index times, s) with masked samples missing; itself if none is masked."""
    masked = is_masked(values.index.to_numpy(), windows)
    return values.mask(masked) if masked.any() else values


def is_masked(times: np.ndarray, windows: Windows) -> np.ndarray:
    """Which times lie in one of the windows, ends included.

    Examples
    --------
    >>> is_masked(np.array([0.0, 1.0, 2.0, 3.0]), [(1.0, 2.5)]).tolist()
    [False, True, True, False]
    """
    marks = np.zeros(len(times), dtype=bool)
    for start, stop in windows:
        marks |= (times >= start) & (times <= stop)
    return marks


def mark_masked(recording: xr.Dataset, windows: Windows, name: str = "signal") -> xr.Dataset:
    """Give a preprocessed recording the variable ``masked``, and no value where it is true.

    Resampling bridges gaps up to `SignalSettings.max_gap_s`, so that a short window has values
    again; they are removed, and the rest is z-scored anew.

    Parameters
    ----------
    recording : Dataset
        See `iblnm.signal.preprocess.preprocess_recording`; made of a masked signal. One without
        ``dff`` is not z-scored anew.
    windows : sequence of (float, float)
        First and last masked time (s).
    name : str
        Of the recording, for messages.

    Raises
    ------
    MalformedFileError
        If fewer than 2 samples are left, or they are constant.
    """
    from iblnm.signal.preprocess import moments

    masked = is_masked(recording["time"].to_numpy(), windows)
    text = {"long_name": "marked as artifact by a human"}
    recording = recording.assign(masked=("time", masked, text))
    recording.attrs["masked_windows"] = json.dumps([list(window) for window in windows])
    signal = recording["signal"]
    if not np.isfinite(signal.to_numpy()[masked]).any():
        return recording
    if "dff" not in recording:
        recording["signal"] = signal.where(~masked)
        return recording
    dff = recording["dff"].where(~masked)
    mean, sd = moments(dff.to_numpy(), name)
    recording["dff"] = dff
    recording["signal"] = signal.copy(data=(dff.to_numpy() - mean) / sd)
    recording.attrs |= {"mean": mean, "sd": sd}
    return recording


def with_masked_share(
    responses: xr.DataArray,
    trials: pd.DataFrame,
    times: np.ndarray,
    masked: xr.DataArray | None,
) -> xr.DataArray:
    """Responses with the coordinate ``masked_share`` (event, trial).

    It is the share of the samples around the event that are missing because they were masked,
    0 to 1; 0 where the event is missing.

    Parameters
    ----------
    responses : DataArray (event, trial, time)
    trials : DataFrame
        Times of the events, s.
    times : ndarray (n,)
        Of the preprocessed signal, s.
    masked : DataArray of bool (n,), optional
        Variable ``masked`` of the preprocessed signal.
    """
    from iblnm.signal.perievent import sample_at

    share = np.zeros(responses.shape[:2])
    if masked is not None and masked.to_numpy().any():
        names = [str(event) for event in responses["event"].to_numpy()]
        events = trials[names].to_numpy(dtype=float, na_value=np.nan).T
        at = events[..., None] + responses["time"].to_numpy()
        # a point between a masked and another sample has no value either
        marks = sample_at(times, masked.to_numpy().astype(float), at)
        share = (np.nan_to_num(marks) > 0).mean(axis=-1)
    text = {"long_name": "share of samples that were masked", "units": "1"}
    return responses.assign_coords(masked_share=(("event", "trial"), share, text))
