"""Velocity of the wheel, over the session and per trial.

The velocity is that of the IBL tools: positions interpolated linearly onto a uniform grid,
Butterworth low-pass of order 8 at 20 Hz applied forwards and backwards, first difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.errors import MalformedFileError, MissingColumnError
from iblnm.signal.continuity import touched

if TYPE_CHECKING:
    import xarray as xr

METHOD_VERSION = 2
_MIN_SAMPLES = 2


def wheel_velocity(
    times: np.ndarray,
    position: np.ndarray,
    *,
    fs: float = 100.0,
    corner_hz: float = 20.0,
    order: int = 8,
) -> tuple[np.ndarray, np.ndarray]:
    """Low-pass filtered velocity of the wheel on a uniform grid.

    Parameters
    ----------
    times : ndarray, shape (n,)
        Seconds on the session clock, strictly increasing; need not be uniform.
    position : ndarray, shape (n,)
        Position, rad, unwrapped.
    fs : float
        Rate of the grid, Hz.
    corner_hz : float
        Corner frequency of the low-pass, Hz, below ``fs / 2``.
    order : int
        Order of the Butterworth filter, applied in both directions.

    Returns
    -------
    t : ndarray, shape (m,), float64
        Grid from ``times[0]`` in steps of ``1 / fs``, within the recording.
    v : ndarray, shape (m,), float64
        Velocity, rad/s; ``v[i]`` is the difference of the filtered positions at ``t[i]`` and
        ``t[i - 1]``, and ``v[0]`` is 0.

    Raises
    ------
    MalformedFileError
        If the arrays are empty, differ in length, hold values that are not finite, times do
        not increase, or the recording is too short to filter.
    ValueError
        If the corner frequency is not between 0 and ``fs / 2``.

    Notes
    -----
    Equal, to rounding, to ``brainbox.behavior.wheel.interpolate_position`` followed by
    ``velocity_filtered(fs, corner_frequency=20, order=8)``.
    """
    from scipy.signal import butter, sosfiltfilt

    if not 0 < corner_hz < fs / 2:
        raise ValueError(
            f"corner frequency {corner_hz} Hz; it must be above 0 and below half the rate of "
            f"{fs} Hz"
        )
    times, position = _check_trace(times, position)
    t = np.arange(times[0], times[-1], 1 / fs)
    if t[-1] > times[-1]:
        t = t[:-1]
    sos = butter(order, corner_hz / fs * 2, btype="lowpass", output="sos")
    # The padding that scipy needs: the filter's transient, less the sections' zeros at origin.
    n_needed = 3 * (2 * len(sos) + 1 - min((sos[:, 2] == 0).sum(), (sos[:, 5] == 0).sum())) + 1
    if t.size < n_needed:
        raise MalformedFileError(
            f"the wheel trace lasts {times[-1] - times[0]:.3f} s, {t.size} samples at {fs:g} Hz; "
            f"at least {n_needed} are needed to filter it"
        )
    smooth = sosfiltfilt(sos, np.interp(t, times, position))
    return t, np.diff(smooth, prepend=smooth[0]) * fs


def trial_wheel_velocity(
    times: np.ndarray,
    position: np.ndarray,
    trials: pd.DataFrame,
    *,
    fs: float = 100.0,
    t0_event: str = "stimOn_times",
    t1_event: str = "feedback_times",
    max_trial_s: float = 60.0,
    resets: np.ndarray | None = None,
) -> xr.DataArray:
    """Velocity of the wheel in each trial, from one event to another.

    Parameters
    ----------
    times, position : ndarray, shape (n,)
        The wheel trace, s and rad; see `wheel_velocity`.
    trials : DataFrame
        Columns `t0_event` and `t1_event`, s.
    fs : float
        Rate, Hz.
    t0_event, t1_event : str
        Columns of the start and of the end of a trial's trace. Both ends are included as far
        as they fall on a sample: sample k is at ``t0 + k / fs`` ≤ t1.
    max_trial_s : float
        Longer trials are cut to this duration.
    resets : ndarray (n_resets, 2), optional
        Stretches in which the encoder was reset, s; a trial that touches one is NaN.

    Returns
    -------
    DataArray, dims (trial, time), float32
        rad/s, interpolated linearly from the session's velocity. Coordinates ``trial``
        (int64, position in `trials`) and ``time`` (s from `t0_event`). Each trial has its own
        end and is NaN after it; a missing start or end, or an end before the start, gives a
        row of NaN; so do the parts outside the wheel recording. Attributes ``fs``,
        ``t0_event``, ``t1_event``, ``units``, ``max_trial_s``, ``n_capped``, the number of
        trials that were cut, ``n_reset``, the number of trials with a reset, ``n_timed``, the
        number of trials with both events in order, and ``n_incomplete``, those of them of
        whose trace a part is missing.

    Raises
    ------
    MalformedFileError
        If an event's column is missing, or as `wheel_velocity`.
    """
    import xarray as xr

    missing = [event for event in (t0_event, t1_event) if event not in trials]
    if missing:
        raise MissingColumnError(f"the trials table has no column {', '.join(missing)}")
    t, velocity = wheel_velocity(times, position, fs=fs)
    start = trials[t0_event].to_numpy(dtype=float, na_value=np.nan)
    duration = trials[t1_event].to_numpy(dtype=float, na_value=np.nan) - start
    usable = np.isfinite(duration) & (duration >= 0)
    n_timed = int(usable.sum())
    is_reset = np.zeros(len(trials), dtype=bool)
    if resets is not None:
        is_reset = usable & touched(start, start + duration + 1 / fs, resets)
    usable &= ~is_reset
    capped = usable & (duration > max_trial_s)
    duration = np.where(usable, np.minimum(duration, max_trial_s), 0.0)
    # A duration of a whole number of samples must not lose its last one to rounding.
    n_samples = np.where(usable, np.floor(duration * fs * (1 + 1e-9) + 1e-6).astype(int) + 1, 0)

    n_columns = int(n_samples.max(initial=0))
    values = np.full((len(trials), n_columns), np.nan, dtype=np.float32)
    # Only the samples that a trial has are interpolated: one long trial costs no more than
    # its own length, whatever the number of trials.
    inside = np.arange(n_columns) < n_samples[:, None]
    trial_of, sample_of = np.nonzero(inside)
    values[inside] = np.interp(
        start[trial_of] + sample_of / fs, t, velocity, left=np.nan, right=np.nan
    )
    is_complete = usable & (np.isfinite(values).sum(axis=1) == n_samples)
    return xr.DataArray(
        values,
        dims=("trial", "time"),
        coords={
            "trial": np.arange(len(trials), dtype=np.int64),
            "time": ("time", np.arange(n_columns) / fs, {"units": "s"}),
        },
        name="wheel_velocity",
        attrs={
            "fs": float(fs),
            "t0_event": t0_event,
            "t1_event": t1_event,
            "units": "rad/s",
            "max_trial_s": float(max_trial_s),
            "n_capped": int(capped.sum()),
            "n_reset": int(is_reset.sum()),
            "n_timed": n_timed,
            "n_incomplete": n_timed - int(is_complete.sum()),
        },
    )


def _check_trace(times: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    try:
        times, position = np.asarray(times, dtype=float), np.asarray(position, dtype=float)
    except (TypeError, ValueError) as error:
        raise MalformedFileError(f"the wheel trace is not numeric ({error})") from error
    if times.ndim != 1 or times.shape != position.shape:
        raise MalformedFileError(
            f"wheel times of shape {times.shape} and positions of shape {position.shape}; "
            "two arrays of one dimension and equal length are expected"
        )
    if times.size < _MIN_SAMPLES:
        raise MalformedFileError(
            f"the wheel trace has {times.size} samples; at least {_MIN_SAMPLES} are needed"
        )
    for name, values in (("times", times), ("positions", position)):
        n_bad = int(np.count_nonzero(~np.isfinite(values)))
        if n_bad:
            raise MalformedFileError(
                f"{n_bad} of {values.size} wheel {name} are not finite; 0 are allowed"
            )
    steps = np.diff(times)
    if not (steps > 0).all():
        raise MalformedFileError(
            f"{int((steps <= 0).sum())} of {steps.size} steps of the wheel times do not increase "
            f"(the smallest is {steps.min():.6g} s); all must be above 0 s"
        )
    return times, position
