"""Windows of time that a human marked as artefact: missing samples, on an untouched clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import SignalSettings
from iblnm.errors import MalformedFileError

if TYPE_CHECKING:
    import xarray as xr

Windows = Sequence[tuple[float, float]]


def mask_bands(
    bands: Mapping[str, pd.DataFrame], windows: Mapping[str, Windows]
) -> dict[str, pd.DataFrame]:
    """Bands in which the samples of masked windows are missing.

    Parameters
    ----------
    bands : mapping of str to DataFrame
        Index times (s), one column per recording.
    windows : mapping of str to sequence of (float, float)
        First and last masked time (s), by recording.

    Returns
    -------
    dict of str to DataFrame
        The same rows; frames without masked samples are those that were given.
    """
    masked = {}
    for band, frame in bands.items():
        times = frame.index.to_numpy()
        marks = {name: is_masked(times, windows.get(str(name), ())) for name in frame}
        if any(mark.any() for mark in marks.values()):
            attrs = frame.attrs
            frame = frame.mask(pd.DataFrame(marks, index=frame.index))
            frame.attrs = attrs
        masked[band] = frame
    return masked


def preprocess_masked(
    bands: Mapping[str, pd.DataFrame],
    windows: Mapping[str, Windows],
    settings: SignalSettings | None = None,
) -> dict[str, xr.Dataset]:
    """Preprocess every fibre of a session without its masked samples.

    Parameters
    ----------
    bands, settings
        See `iblnm.signal.preprocess.preprocess_photometry`.
    windows : mapping of str to sequence of (float, float)
        First and last masked time (s), by recording.

    Returns
    -------
    dict of Dataset
        As without masks, with the variable ``masked`` and the attribute ``masked_windows``
        (JSON).
    """
    from iblnm.signal.preprocess import preprocess_photometry

    recordings = preprocess_photometry(mask_bands(bands, windows), settings)
    return {
        name: mark_masked(recording, windows.get(name, ()))
        for name, recording in recordings.items()
    }


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


def mark_masked(recording: xr.Dataset, windows: Windows) -> xr.Dataset:
    """Give a preprocessed recording the variable ``masked``, and no value where it is true.

    Resampling bridges gaps up to `SignalSettings.max_gap_s`, so that a short window has values
    again; they are removed, and the rest is z-scored anew.

    Parameters
    ----------
    recording : Dataset
        See `iblnm.signal.preprocess.preprocess_recording`; made of a masked signal.
    windows : sequence of (float, float)
        First and last masked time (s).

    Raises
    ------
    MalformedFileError
        If fewer than 2 samples are left.
    """
    masked = is_masked(recording["time"].to_numpy(), windows)
    text = {"long_name": "marked as artefact by a human"}
    recording = recording.assign(masked=("time", masked, text))
    recording.attrs["masked_windows"] = json.dumps([list(window) for window in windows])
    bridged = masked & np.isfinite(recording["dff"].to_numpy())
    if not bridged.any():
        return recording
    dff = np.where(masked, np.nan, recording["dff"].to_numpy())
    valid = dff[np.isfinite(dff)]
    if len(valid) < 2 or not valid.std() > 0:
        raise MalformedFileError(f"{len(valid)} samples are left beside the masked windows")
    mean, sd = float(valid.mean()), float(valid.std())
    recording["dff"] = recording["dff"].copy(data=dff)
    recording["signal"] = recording["signal"].copy(data=(dff - mean) / sd)
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
