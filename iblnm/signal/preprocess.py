"""Preprocessing of one recording: bleaching, isosbestic correction, resampling, z-score."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm import __version__
from iblnm.config import SignalSettings
from iblnm.errors import MalformedFileError
from iblnm.signal.bleaching import lowpass_baseline
from iblnm.signal.checks import as_arrays, check_times, check_values, pair_by_time
from iblnm.signal.isosbestic import IsosbesticFit, regress_isosbestic
from iblnm.signal.resample import resample_signal

if TYPE_CHECKING:
    import xarray as xr

METHOD_VERSION = 1
ISOSBESTIC = "isosbestic"
SIGNAL_ONLY = "signal_only"
Baseline = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes times (s) and values of one band, returns what to divide by."""


def preprocess_photometry(
    bands: dict[str, pd.DataFrame],
    settings: SignalSettings | None = None,
    *,
    signal_band: str = "GCaMP",
    reference_band: str | None = "Isosbestic",
    correct: Callable[..., xr.Dataset] | None = None,
    failures: dict[str, str] | None = None,
) -> dict[str, xr.Dataset]:
    """Preprocess every fiber of a session; see `preprocess_recording`.

    Parameters
    ----------
    bands : dict of DataFrame
        One frame per band, restricted to the task: index times (s), one column per
        recording, invalid samples NaN.
    settings : SignalSettings, optional
    signal_band, reference_band : str
        Without the reference band the signal is corrected for bleaching only.
    correct : callable, optional
        Takes signal, reference (or None) and settings, returns the Dataset of one recording;
        `preprocess_recording` by default.
    failures : dict, optional
        Filled with the recordings that cannot be used and why; without it the first of them
        raises.

    Returns
    -------
    dict of Dataset
        Of the recordings that can be used.

    Raises
    ------
    MalformedFileError
        If the signal band is absent or has no recordings, or none can be used.
    """
    settings = settings or SignalSettings()
    if signal_band not in bands or not len(bands[signal_band].columns):
        raise MalformedFileError(
            f"band {signal_band} has 0 recordings (bands found: {', '.join(bands) or 'none'}); "
            "at least 1 is needed"
        )
    signals = bands[signal_band]
    references = bands.get(reference_band, pd.DataFrame(index=signals.index))
    correct = correct or preprocess_recording
    recordings = {}
    for name in signals.columns:
        reference = references.get(name)
        try:
            recording = correct(signals[name], reference, settings)
        except MalformedFileError as error:
            if failures is None:
                raise
            failures[name] = error.message
            continue
        for key in ("task_start_s", "task_end_s"):
            if key in signals.attrs:
                recording.attrs[key] = float(signals.attrs[key])
        recordings[name] = recording
    if not recordings:
        raise MalformedFileError("; ".join((failures or {}).values()))
    return recordings


def preprocess_recording(
    signal: pd.Series, reference: pd.Series | None, settings: SignalSettings | None = None
) -> xr.Dataset:
    """Corrected, resampled and z-scored signal of one fiber.

    dF/F = (F − LP)/LP of each band, LP its slow baseline; the reference, at the signal's
    times, is regressed out (ordinary least squares); the rest is resampled and z-scored
    last, so that what is stored has mean 0 and standard deviation 1.

    Parameters
    ----------
    signal : Series
        Index times (s), invalid samples NaN.
    reference : Series or None
        The isosbestic band, paired by time. None, or without any valid sample: the
        correction is `signal_only`.
    settings : SignalSettings, optional

    Returns
    -------
    Dataset
        Dimension `time` (s, session clock); variables `signal` (z), `dff` (fraction,
        before z-scoring) and `filter_edge` (True in the first and last `filter_edge_s`
        of the valid samples, where the baseline is extrapolated; values are kept).
        Attributes: fs, mean, sd, correction, iso_slope, iso_intercept, iso_r2,
        iso_slope_robust (NaN without reference), software, parameters (JSON).

    Raises
    ------
    MalformedFileError
        If times do not increase, nothing is valid, all is constant, or a baseline is not
        positive. The message holds the value and the limit.
    """
    settings = settings or SignalSettings()
    name = str(signal.name or "signal")
    times, dff, paired = relative_changes(signal, reference, settings)
    if paired is None:
        return finish_recording(times, dff, settings, name=name)
    fit = regress_isosbestic(dff, paired)
    if not np.isfinite(fit.slope):
        raise MalformedFileError(
            f"{name}: {int(np.isfinite(dff + paired).sum())} samples have a reference; "
            "at least 3 that vary are needed"
        )
    dff = dff - (fit.slope * paired + fit.intercept)
    return finish_recording(times, dff, settings, name=name, correction=ISOSBESTIC, fit=fit)


def relative_changes(
    signal: pd.Series,
    reference: pd.Series | None,
    settings: SignalSettings,
    baseline: Baseline | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """dF/F of a signal, and of its reference at the same times.

    Parameters
    ----------
    signal : Series
        Index times (s), invalid samples NaN.
    reference : Series or None
    settings : SignalSettings
    baseline : callable, optional
        Takes times (s) and values of one band, returns what to divide by; by default the slow
        part by the low-pass filter of the settings.

    Returns
    -------
    times : ndarray (n,)
        Of the signal, s.
    dff : ndarray (n,)
        As a fraction.
    paired : ndarray (n,) or None
        That of the reference; None without any valid sample of it.

    Raises
    ------
    MalformedFileError
        See `preprocess_recording`.
    """
    name = str(signal.name or "signal")
    times, values = as_arrays(signal)
    times = check_times(times, name)
    baseline = baseline or _lowpass_of(settings)
    dff = _relative_change(times, check_values(values, times, name), baseline, name)
    if reference is None or not np.isfinite(reference.to_numpy(dtype=float)).any():
        return times, dff, None
    what = f"{name}, reference"
    reference_times, values = as_arrays(reference)
    reference_times = check_times(reference_times, what)
    values = check_values(values, reference_times, what)
    change = _relative_change(reference_times, values, baseline, what)
    return times, dff, pair_by_time(times, reference_times, change, settings.max_gap_s)


def finish_recording(
    times: np.ndarray,
    dff: np.ndarray,
    settings: SignalSettings,
    *,
    name: str = "signal",
    correction: str = SIGNAL_ONLY,
    fit: IsosbesticFit | None = None,
    edge_s: float | None = None,
) -> xr.Dataset:
    """Resample and z-score a corrected signal: the last steps of every correction.

    Parameters
    ----------
    times, dff : ndarray (n,)
        Times (s) and corrected dF/F of the samples, missing ones NaN.
    settings : SignalSettings
    name : str
        Of the recording, for messages.
    correction : str
    fit : IsosbesticFit, optional
        Of the reference.
    edge_s : float, optional
        What is marked at either end, s; `SignalSettings.filter_edge_s` by default.

    Returns
    -------
    Dataset
        See `preprocess_recording`.

    Raises
    ------
    MalformedFileError
        If fewer than 2 samples are valid, or they are constant.
    """
    import xarray as xr

    fit = fit or IsosbesticFit(np.nan, np.nan, np.nan, np.nan)
    corrected = resample_signal(
        pd.Series(dff, index=times, name=name), settings.fs, max_gap_s=settings.max_gap_s
    )
    span = times[np.isfinite(dff)]
    time, dff = as_arrays(corrected)
    mean, sd = moments(dff, name)
    edge = settings.filter_edge_s if edge_s is None else edge_s
    return xr.Dataset(
        {
            "signal": (
                "time",
                (dff - mean) / sd,
                {"long_name": "corrected signal, z-scored", "units": "z"},
            ),
            "dff": ("time", dff, {"long_name": "corrected dF/F", "units": "1"}),
            "filter_edge": (
                "time",
                (time < span[0] + edge) | (time > span[-1] - edge),
                {"long_name": "near an end, where the baseline is extrapolated"},
            ),
        },
        coords={"time": ("time", time, {"long_name": "session clock", "units": "s"})},
        attrs={
            "fs": float(settings.fs),
            "mean": mean,
            "sd": sd,
            "correction": correction,
            "iso_slope": fit.slope,
            "iso_intercept": fit.intercept,
            "iso_r2": fit.r2,
            "iso_slope_robust": fit.slope_robust,
            "software": f"iblnm {__version__}",
            "parameters": json.dumps(settings.model_dump()),
        },
    )


def moments(dff: np.ndarray, name: str) -> tuple[float, float]:
    """Mean and standard deviation that z-score a corrected signal.

    Parameters
    ----------
    dff : ndarray
        Missing samples NaN.
    name : str
        Of the recording, for messages.

    Raises
    ------
    MalformedFileError
        If fewer than 2 samples are valid, or they are constant to rounding.
    """
    valid = dff[np.isfinite(dff)]
    if len(valid) < 2:
        raise MalformedFileError(
            f"{name}: {len(valid)} valid samples after correction; at least 2 are needed"
        )
    mean, sd = float(valid.mean()), float(valid.std())
    rounding = len(valid) * np.finfo(float).eps
    if sd <= rounding:
        raise MalformedFileError(
            f"{name}: standard deviation {sd:.3g} of the corrected dF/F; "
            f"it must be above {rounding:.3g} to z-score"
        )
    return mean, sd


def restrict_to_task(
    bands: dict[str, pd.DataFrame], start_s: float, end_s: float, padding_s: float = 5.0
) -> dict[str, pd.DataFrame]:
    """Rows from shortly before the first to shortly after the last trial.

    Parameters
    ----------
    bands : dict of DataFrame
        Index times, s.
    start_s, end_s : float
        Start of the first and end of the last trial interval, s.
    padding_s : float
        Kept on both sides, s.

    Returns
    -------
    dict of DataFrame
        New frames with attributes task_start_s and task_end_s. An odd last frame without
        partner is left out: for a recording that lost none, the same rows as
        `iblphotometry.fpio.restrict_to_session_time`.

    Raises
    ------
    MalformedFileError
        If the window is not finite or holds fewer than 2 samples of a band.
    """
    if not np.isfinite([start_s, end_s]).all() or end_s <= start_s:
        raise MalformedFileError(
            f"the task runs from {start_s:.6g} to {end_s:.6g} s; the end must be after the start"
        )
    restricted = {}
    for band, frame in bands.items():
        times = frame.index.to_numpy()
        inside = (times > start_s - padding_s) & (times < end_s + padding_s)
        if inside.sum() < 2:
            raise MalformedFileError(
                f"band {band}: {int(inside.sum())} samples lie in the task ({start_s:.6g} to "
                f"{end_s:.6g} s); at least 2 are needed"
            )
        restricted[band] = frame.loc[inside]
    lengths = [len(frame) for frame in restricted.values()]
    for band, frame in restricted.items():
        if max(lengths) - min(lengths) == 1:
            restricted[band] = frame.iloc[: min(lengths)]
        restricted[band].attrs.update(task_start_s=float(start_s), task_end_s=float(end_s))
    return restricted


def _lowpass_of(settings: SignalSettings) -> Baseline:
    return partial(lowpass_baseline, order=settings.lowpass_order, cutoff_hz=settings.lowpass_hz)


def _relative_change(
    times: np.ndarray, values: np.ndarray, baseline: Baseline, name: str
) -> np.ndarray:
    slow = baseline(times, values)
    lowest = float(np.nanmin(slow))
    if lowest <= 0:
        raise MalformedFileError(
            f"{name}: the baseline falls to {lowest:.6g}; it must stay above 0 to divide by it"
        )
    return (values - slow) / slow
