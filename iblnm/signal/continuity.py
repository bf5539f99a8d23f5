"""Continuity of a recording: the clock, values that stand still, and what gaps cover."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from iblnm.signal.checks import gap_limit, sampling_interval

METHOD_VERSION = 1


# Times out of order in so few samples running are slips of single stamps; in more, the clock
# was set back, and what follows is on a clock of its own.
_MAX_SLIP = 3


@dataclass(frozen=True)
class ClockCheck:
    """Which samples have a time that is known.

    Parameters
    ----------
    usable : ndarray of bool (n,)
        Times of these samples increase strictly.
    n_back : int
        Steps to a time that is not later.
    largest_back_s : float
        The largest of these steps, s; 0 without any.
    """

    usable: np.ndarray
    n_back: int
    largest_back_s: float


def check_clock(times: np.ndarray) -> ClockCheck:
    """Find the samples whose times can be believed.

    Parameters
    ----------
    times : ndarray (n,)
        Sample times in the order of recording, s, finite.

    Returns
    -------
    ClockCheck
        Where the clock only slips (a time repeated, or out of order in up to three samples
        running) the fewest samples are left out that leave the rest in order. Where it is
        set back for longer, only the longest stretch between such steps is usable: the others
        are on a clock whose distance to it is not known.

    Examples
    --------
    >>> check_clock(np.array([0.0, 1.0, 9.0, 3.0, 4.0])).usable.tolist()
    [True, True, False, True, True]
    """
    times = np.asarray(times, dtype=float)
    steps = np.diff(times)
    back = steps <= 0
    usable = np.ones(len(times), dtype=bool)
    if not back.any():
        return ClockCheck(usable, 0, 0.0)
    kept = _longest_increasing(times)
    for start, stop in _runs(~kept):
        if stop - start <= _MAX_SLIP:
            usable[start:stop] = False
    left = np.flatnonzero(usable)
    edges = np.flatnonzero(np.diff(times[left]) <= 0) + 1
    stretches = np.split(left, edges)
    usable[:] = False
    usable[max(stretches, key=len)] = True
    return ClockCheck(usable, int(back.sum()), float(-steps[back].min()))


def constant_stretches(values: np.ndarray, min_samples: int) -> list[tuple[int, int]]:
    """Stretches of equal values of at least a number of samples.

    Parameters
    ----------
    values : ndarray (n,)
        NaN equals nothing.
    min_samples : int
        At least 2.

    Returns
    -------
    list of (start, stop)

    Examples
    --------
    >>> constant_stretches(np.array([1.0, 2.0, 2.0, 2.0, 3.0]), 3)
    [(1, 4)]
    """
    equal = values[1:] == values[:-1]
    runs = _runs(equal).tolist()
    return [(start, stop + 1) for start, stop in runs if stop + 1 - start >= min_samples]


def gaps(
    times: np.ndarray, valid: np.ndarray, window: tuple[float, float], max_gap_s: float
) -> np.ndarray:
    """Stretches of a window without a valid sample.

    Parameters
    ----------
    times : ndarray (n,)
        Increasing sample times, s.
    valid : ndarray of bool (n,)
    window : tuple of float
        Start and end of the time that is looked at, s.
    max_gap_s : float
        Valid samples so near to one another have no gap between them, see
        `iblnm.signal.checks.gap_limit`.

    Returns
    -------
    ndarray (n_gaps, 2)
        Start and end, s, in order.

    Examples
    --------
    >>> times = np.arange(0.0, 10.0)
    >>> gaps(times, (times < 3) | (times > 6), (0.0, 12.0), 0.1).tolist()
    [[2.0, 7.0], [9.0, 12.0]]
    """
    start, stop = window
    inside = valid & (times >= start) & (times <= stop)
    known = np.concatenate([[start], times[inside], [stop]])
    limit = gap_limit(times, max_gap_s) if len(times) > 1 else max_gap_s
    wide = np.flatnonzero(np.diff(known) > limit)
    return np.stack([known[wide], known[wide + 1]], axis=1)


def union(*intervals: np.ndarray) -> np.ndarray:
    """Stretches covered by any of several lists of stretches, merged and in order.

    Examples
    --------
    >>> union(np.array([[0.0, 2.0], [5.0, 6.0]]), np.array([[1.0, 3.0]])).tolist()
    [[0.0, 3.0], [5.0, 6.0]]
    """
    every = np.concatenate([np.reshape(part, (-1, 2)) for part in intervals])
    merged: list[list[float]] = []
    for start, stop in every[np.argsort(every[:, 0], kind="stable")]:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    return np.array(merged, dtype=float).reshape(-1, 2)


def touched(starts: np.ndarray, stops: np.ndarray, stretches: np.ndarray) -> np.ndarray:
    """Which intervals share time with any of some stretches.

    Parameters
    ----------
    starts, stops : ndarray (n,)
        Of the intervals; NaN touches nothing.
    stretches : ndarray (m, 2)
        Disjoint and in order.

    Returns
    -------
    ndarray of bool (n,)

    Examples
    --------
    >>> touched(np.array([0.0, 4.0]), np.array([3.0, 5.0]), np.array([[2.0, 3.5]])).tolist()
    [True, False]
    """
    if not len(stretches):
        return np.zeros(len(starts), dtype=bool)
    known = np.isfinite(starts) & np.isfinite(stops)
    first = np.searchsorted(stretches[:, 1], np.where(known, starts, 0.0), side="right")
    begins = np.append(stretches[:, 0], np.inf)[first]
    return known & (begins < stops)


def follows(times: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Which samples come one regular interval after a valid one, and are valid themselves.

    Parameters
    ----------
    times : ndarray (n,)
        Increasing, s.
    valid : ndarray of bool (n,)

    Returns
    -------
    ndarray of bool (n,)
        The first is False.
    """
    result = np.zeros(len(times), dtype=bool)
    near = np.diff(times) <= 1.5 * sampling_interval(times)
    result[1:] = near & valid[1:] & valid[:-1]
    return result


def _runs(marks: np.ndarray) -> np.ndarray:
    """Start and end of each run of true values, (n, 2)."""
    edges = np.diff(np.concatenate([[0], marks.astype(np.int8), [0]]))
    return np.flatnonzero(edges).reshape(-1, 2)


def _longest_increasing(times: np.ndarray) -> np.ndarray:
    """Membership in a longest strictly increasing subsequence (patience sorting)."""
    tails: list[float] = []
    at: list[int] = []
    before = np.full(len(times), -1)
    for i, time in enumerate(times.tolist()):
        pile = bisect_left(tails, time)
        before[i] = at[pile - 1] if pile else -1
        if pile == len(tails):
            tails.append(time)
            at.append(i)
        elif time < tails[pile]:  # of equal times the first is kept
            tails[pile], at[pile] = time, i
    kept = np.zeros(len(times), dtype=bool)
    i = at[-1]
    while i >= 0:
        kept[i] = True
        i = before[i]
    return kept
