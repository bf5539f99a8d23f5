"""The wheel trace of a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from iblnm.archive.datasets import dataset_path, session_datasets
from iblnm.config import Thresholds, WheelSettings
from iblnm.constants import EXTRACTED, RAW
from iblnm.errors import (
    MalformedFileError,
    MissingFileError,
    RawTaskError,
    UnreadableFileError,
)
from iblnm.io.task_files import (
    TRIALS,
    WHEEL_POSITION,
    WHEEL_TIMES,
    raw_wheel_collections,
    task_of,
    wheel_collections,
)
from iblnm.signal.continuity import check_clock

METHOD_VERSION = 1


# a wrong time far away would make a regular trace of any size of it
MAX_SPAN_S = 24 * 3600.0
_MIN_SAMPLES = 2
# a sixth of a turn: samples may lie as near as the encoder's clock ticks
_RESET_RAD = 1.0


@dataclass(frozen=True)
class WheelTrace:
    """The wheel as it can be used.

    Parameters
    ----------
    times, position : ndarray (n,)
        s on the session clock, strictly increasing; rad.
    resets : ndarray (n_resets, 2)
        Stretches in which the encoder was reset, s: the position before and after is on
        different origins. The jump is taken out of `position`.
    n_samples : int
        Samples of the files.
    n_missing : int
        Samples left out because time or position is not finite.
    n_out_of_order : int
        Samples left out because their time is not after the one before.
    source : str
        ``extracted``, or ``raw`` where it was extracted here from the encoder's log.
    """

    times: np.ndarray
    position: np.ndarray
    resets: np.ndarray
    n_samples: int
    n_missing: int
    n_out_of_order: int
    source: str = EXTRACTED

    @property
    def note(self) -> str:
        """What is wrong with the trace in words; empty if nothing is."""
        parts = []
        if self.source == RAW:
            parts.append("not extracted yet: from the encoder's log")
        if self.n_missing:
            parts.append(f"{self.n_missing} of {self.n_samples} samples are missing")
        if self.n_out_of_order:
            parts.append(
                f"{self.n_out_of_order} of {self.n_samples} samples left out, their time is not "
                "after the one before"
            )
        if len(self.resets):
            parts.append(f"{len(self.resets)} resets of the encoder; such trials are missing")
        return "; ".join(parts)


def load_wheel(one: Any, eid: str) -> tuple[np.ndarray, np.ndarray]:
    """Load the times and positions of the wheel.

    Parameters
    ----------
    one : ONE
    eid : str

    Returns
    -------
    times : ndarray, shape (n,), float64
        Seconds on the session clock, strictly increasing.
    position : ndarray, shape (n,), float64
        Radians.

    Raises
    ------
    MissingFileError, UnreadableFileError, MalformedFileError
        See `load_wheel_trace`.
    """
    trace = load_wheel_trace(one, eid)
    return trace.times, trace.position


def load_wheel_trace(
    one: Any,
    eid: str,
    *,
    collection: str | None = None,
    max_fault_share: float = Thresholds().max_wheel_fault_share,
    max_speed_rad_s: float = WheelSettings().max_speed_rad_s,
) -> WheelTrace:
    """Load the wheel and leave out what cannot be used; see `clean_wheel`.

    Parameters
    ----------
    one : ONE
    eid : str
    collection : str, optional
        Of the task, as ``alf/task_00``; that of `iblnm.io.task_files.task_of` by default.
    max_fault_share : float
        Share of the samples that may be left out.
    max_speed_rad_s : float
        A faster step of more than a radian is a reset of the encoder.

    Returns
    -------
    WheelTrace

    Raises
    ------
    MissingFileError
        If the task has no wheel on the clock of its trials, or a file is not on disk.
    RawTaskError
        If it was not extracted and cannot be.
    UnreadableFileError
        If a file is empty, truncated or no npy file of numbers.
    MalformedFileError
        If the two disagree in length, are not one-dimensional, hold fewer than two samples
        that can be used, or more than `max_fault_share` cannot, or time spans more than a day.

    Notes
    -----
    Where the task's trials are taken from the rig's log its wheel is too, if it can be, so that
    both are on one clock. A wheel from the encoder's log is not used with extracted trials that
    are on another clock than the rig's.
    """
    names = [found.name for found in session_datasets(one, eid)]
    collection = collection or task_of(one, eid).collection or _only_wheel(names)
    limits = {"max_fault_share": max_fault_share, "max_speed_rad_s": max_speed_rad_s}
    if collection in raw_wheel_collections(names):
        has_trials = f"{collection}/{TRIALS}" in names
        has_wheel = collection in wheel_collections(names)
        if not (has_trials and has_wheel):
            trace = _raw_trace(one, eid, collection, has_trials, limits)
            if trace is not None:
                return trace
    return _extracted_trace(one, eid, collection, limits)


def _extracted_trace(one: Any, eid: str, collection: str, limits: dict[str, float]) -> WheelTrace:
    arrays = {}
    for name in (WHEEL_TIMES, WHEEL_POSITION):
        path = dataset_path(one, eid, f"{collection}/{name}")
        if path is None:
            what = name.split(".")[1]
            message = f"the session lists no wheel {what} in {collection}, the task's collection"
            raise MissingFileError(message, eid=eid)
        arrays[name] = read_npy(path, eid=eid)
    return _cleaned(*arrays.values(), eid, path, limits)


def _raw_trace(
    one: Any, eid: str, collection: str, has_trials: bool, limits: dict[str, float]
) -> WheelTrace | None:
    """The wheel from the encoder's log; None where the extracted one is the only one."""
    from iblnm.io.raw_task import load_raw_task, same_clock, trials_clock
    from iblnm.io.trials import load_trials_table

    extracted = f"{collection}/{WHEEL_TIMES}"
    is_extracted = any(found.name == extracted for found in session_datasets(one, eid))
    task = load_raw_task(one, eid, collection)
    if task.wheel_times is None:
        if is_extracted and trials_clock(one, eid) == "session":
            return None
        raise RawTaskError(task.wheel_fault, eid=eid, path=task.path)
    if has_trials:
        starts = load_trials_table(one, eid, collection)["intervals_0"].to_numpy()
        if not same_clock(starts, task.trials["intervals_0"].to_numpy()):
            raise MissingFileError(
                "the wheel is on the clock of the rig, which the extracted trials are not on",
                eid=eid,
            )
    trace = _cleaned(task.wheel_times, task.wheel_position, eid, task.path, limits)
    return replace(trace, source=RAW)


def _cleaned(
    times: np.ndarray, position: np.ndarray, eid: str, path: Path, limits: dict[str, float]
) -> WheelTrace:
    try:
        return clean_wheel(times, position, **limits)
    except MalformedFileError as error:
        raise MalformedFileError(error.message, eid=eid, path=path) from error


def _only_wheel(names: Sequence[str]) -> str:
    """Collection of the first wheel of a session without trials."""
    places = wheel_collections(names) or raw_wheel_collections(names)
    return places[0] if places else "alf"


def clean_wheel(
    times: np.ndarray,
    position: np.ndarray,
    *,
    max_fault_share: float,
    max_speed_rad_s: float,
) -> WheelTrace:
    """The samples of a wheel trace that can be used.

    Parameters
    ----------
    times, position : ndarray (n,)
        s, rad.
    max_fault_share, max_speed_rad_s : float
        See `load_wheel_trace`.

    Returns
    -------
    WheelTrace

    Raises
    ------
    MalformedFileError
        With the value and the limit; it names no file.

    Examples
    --------
    >>> trace = clean_wheel(
    ...     np.array([0.0, 1.0, 1.0, 2.0]),
    ...     np.array([0.0, 0.1, 0.1, 0.2]),
    ...     max_fault_share=0.5,
    ...     max_speed_rad_s=200.0,
    ... )
    >>> trace.times.tolist(), trace.n_out_of_order
    ([0.0, 1.0, 2.0], 1)
    """
    n = len(times)
    if n != len(position) or n < _MIN_SAMPLES:
        raise MalformedFileError(
            f"{n} times and {len(position)} positions; as many of both are expected, "
            f"at least {_MIN_SAMPLES}"
        )
    known = np.isfinite(times) & np.isfinite(position)
    clock = check_clock(times[known])
    n_missing, n_disorder = int((~known).sum()), int((~clock.usable).sum())
    share = (n_missing + n_disorder) / n
    if share > max_fault_share or n - n_missing - n_disorder < _MIN_SAMPLES:
        raise MalformedFileError(
            f"{n_missing} of {n} wheel samples are not finite and {n_disorder} not after the one "
            f"before, {share:.1%} in all; at most {max_fault_share:.1%} is accepted"
        )
    times, position = times[known][clock.usable], position[known][clock.usable]
    if times[-1] - times[0] > MAX_SPAN_S:
        raise MalformedFileError(
            f"the wheel's times span {times[-1] - times[0]:g} s; at most {MAX_SPAN_S:g} s are "
            "expected of a session"
        )
    steps = np.diff(position)
    jumps = np.flatnonzero(
        (np.abs(steps) > _RESET_RAD) & (np.abs(steps) > max_speed_rad_s * np.diff(times))
    )
    resets = np.stack([times[jumps], times[jumps + 1]], axis=1)
    if len(jumps):
        offset = np.zeros(len(position))
        offset[jumps + 1] = steps[jumps]
        position = position - np.cumsum(offset)
    return WheelTrace(times, position, resets, n, n_missing, n_disorder)


def read_npy(path: Path, *, eid: str | None = None) -> np.ndarray:
    """Read a one-dimensional npy file of numbers as float64; nothing is unpickled."""
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise MissingFileError("no such file", eid=eid, path=path) from error
    except (ValueError, EOFError, OSError) as error:
        raise UnreadableFileError(f"no readable npy file: {error}", eid=eid, path=path) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        kind = getattr(array, "dtype", type(array).__name__)
        raise MalformedFileError(f"type {kind}; numbers are expected", eid=eid, path=path)
    if array.ndim == 2 and 1 in array.shape:  # a column, as other software saves a vector
        array = array.ravel()
    if array.ndim != 1:
        raise MalformedFileError(
            f"shape {array.shape}; one dimension is expected", eid=eid, path=path
        )
    return array.astype(np.float64, copy=False)
