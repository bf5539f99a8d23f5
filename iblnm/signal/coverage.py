"""How much of a task a recording covers, and which trials lie in its gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from iblnm.signal.continuity import gaps, touched, union


def recording_coverage(
    bands: Mapping[str, tuple[np.ndarray, np.ndarray]],
    window: tuple[float, float] | None,
    trial_windows: np.ndarray,
    *,
    max_gap_s: float,
) -> dict[str, float | int | None]:
    """What is missing of one recording.

    Parameters
    ----------
    bands : mapping of str to (times, valid)
        Increasing times (s) of the bands that the corrected signal needs, and which samples
        are valid. Where one band has a gap, there is no corrected signal.
    window : tuple of float or None
        Start and end of the task, s; the whole recording if None.
    trial_windows : ndarray (n_trials, 2)
        From the first to the last time of each trial that a response needs, s; NaN where a
        trial has no events.
    max_gap_s : float
        Longest distance of valid samples without a gap between them, s.

    Returns
    -------
    dict
        ``missing_share`` (of the window), ``longest_gap_s``, ``n_gaps``, ``n_trials`` with
        events and ``n_trials_missing``, those that a gap touches (null without window).

    Examples
    --------
    >>> times = np.arange(0.0, 100.0, 0.1)
    >>> found = recording_coverage(
    ...     {"GCaMP": (times, (times < 20) | (times > 40))}, (0.0, 99.9),
    ...     np.array([[1.0, 3.0], [39.0, 42.0]]), max_gap_s=0.1)
    >>> round(found["missing_share"], 2), found["n_trials"], found["n_trials_missing"]
    (0.2, 2, 1)
    """  # fmt: skip
    times = [when for when, _ in bands.values() if len(when)]
    is_whole = window is None
    if window is None:
        ends = [(when[0], when[-1]) for when in times]
        window = (min(first for first, _ in ends), max(last for _, last in ends))
    missing = union(
        *(gaps(when, valid, window, max_gap_s) for when, valid in bands.values() if len(when))
    )
    lengths = missing[:, 1] - missing[:, 0]
    known = np.isfinite(trial_windows).all(axis=1)
    starts, stops = trial_windows[known].T
    lost = touched(starts, stops, missing)
    duration = window[1] - window[0]
    return {
        "missing_share": float(lengths.sum() / duration) if duration > 0 else None,
        "longest_gap_s": float(lengths.max(initial=0.0)),
        "n_gaps": len(missing),
        "n_trials": None if is_whole else int(known.sum()),
        "n_trials_missing": None if is_whole else int(lost.sum()),
    }


def trial_windows(
    trials: pd.DataFrame, events: Sequence[str], response_window: tuple[float, float]
) -> np.ndarray:
    """From the first to the last time of each trial that its responses need, s.

    Parameters
    ----------
    trials : DataFrame
        Event times, s.
    events : sequence of str
    response_window : tuple of float
        Relative to each event, s.

    Returns
    -------
    ndarray (n_trials, 2)
        NaN for a trial without any event.
    """
    times = trials[[event for event in events if event in trials]].to_numpy(dtype=float)
    known = np.isfinite(times)
    first = np.where(known, times, np.inf).min(axis=1, initial=np.inf) + response_window[0]
    last = np.where(known, times, -np.inf).max(axis=1, initial=-np.inf) + response_window[1]
    windows = np.stack([first, last], axis=1)
    return np.where(known.any(axis=1)[:, None], windows, np.nan)
