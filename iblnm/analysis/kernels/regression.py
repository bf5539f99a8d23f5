"""Kernels of the recordings of one session, and magnitudes without the other events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from iblnm.analysis.kernels.design import (
    Condition,
    block_indicators,
    event_conditions,
    folds_of,
    lagged_design,
    lags,
)
from iblnm.analysis.kernels.solver import fit_ridge
from iblnm.analysis.trials import BASELINE_WINDOW, EARLY_WINDOW
from iblnm.constants import TRIAL_EVENTS
from iblnm.signal.perievent import in_window, sample_at

METHOD_VERSION = 1
KERNEL_WINDOW = (-0.5, 2.0)
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
N_FOLDS = 3
MIN_SAMPLES_PER_COLUMN = 2


@dataclass(frozen=True)
class Kernels:
    """What was fitted to one recording.

    Parameters
    ----------
    conditions : list of Condition
    time : ndarray (n_lags,)
        From the event, s.
    kernels : ndarray (n_conditions, n_lags)
        In the unit of the signal.
    magnitude : ndarray (n_events, n_trials)
        Of `TRIAL_EVENTS`: mean over the window of the event's own kernel and of what no event
        explains around that trial's event.
    n_samples : ndarray of int (n_events, n_trials)
    penalty, r2 : float
        See `iblnm.analysis.kernels.solver.RidgeFit`.
    """

    conditions: list[Condition]
    time: np.ndarray
    kernels: np.ndarray
    magnitude: np.ndarray
    n_samples: np.ndarray
    penalty: float
    r2: float


def fit_kernels(
    times: np.ndarray,
    signals: np.ndarray,
    trials: pd.DataFrame,
    *,
    window: tuple[float, float] = EARLY_WINDOW,
    baseline_window: tuple[float, float] | None = BASELINE_WINDOW,
    kernel_window: tuple[float, float] = KERNEL_WINDOW,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = N_FOLDS,
) -> list[Kernels | None]:
    """Regress the signals of a session on all its events together.

    Parameters
    ----------
    times : ndarray (n_samples,)
        Regular, s.
    signals : ndarray (n_signals, n_samples)
        Missing samples are left out.
    trials : DataFrame
        See `iblnm.analysis.kernels.design.event_conditions`.
    window : tuple of float
        Of the magnitude, s from the event, end excluded.
    baseline_window : tuple of float, optional
        Of the kernel, whose mean there is subtracted; None for nothing. What no event explains
        is not subtracted trial by trial: three samples of noise would be added to each trial.
    kernel_window : tuple of float
    penalties : sequence of float
    n_folds : int

    Returns
    -------
    list of Kernels or None
        One per signal; None where fewer samples are known than twice the coefficients.

    Notes
    -----
    Responses that follow each other within a second overlap; a baseline before feedback lies
    on the decaying response to the stimulus and carries its contrast and side into the
    response to feedback. In the regression each event has the others' contribution removed,
    and no sample need be masked. After Parker et al. 2016 (Nat Neurosci 19), with kernels
    linear between the lags.
    """
    fs = 1.0 / np.median(np.diff(times))
    conditions, lag = event_conditions(trials), lags(kernel_window, fs)
    events = lagged_design(times[0], len(times), fs, conditions, lag)
    blocks = block_indicators(times, trials)
    folds = folds_of(len(times), fs, n_folds)
    known = np.isfinite(signals)
    found: list[Kernels | None] = [None] * len(signals)
    for group in _same_rows(known):
        rows = known[group[0]]
        design, free = _present(events[rows], blocks[rows])
        if rows.sum() < MIN_SAMPLES_PER_COLUMN * design.shape[1] or not conditions:
            continue
        fit = fit_ridge(design, signals[group][:, rows].T, folds[rows], penalties, free)
        rest = np.full((len(group), len(times)), np.nan)
        rest[:, rows] = signals[group][:, rows] - (design @ fit.beta).T
        for i, signal in enumerate(group):
            kernels = fit.beta[: events.shape[1], i].reshape(len(conditions), len(lag))
            magnitude, n_samples = _magnitudes(
                times, rest[i], conditions, kernels, lag / fs, len(trials), window, baseline_window
            )
            found[signal] = Kernels(
                conditions,
                lag / fs,
                kernels,
                magnitude,
                n_samples,
                float(fit.penalty[i]),
                float(fit.r2[i]),
            )
    return found


def _magnitudes(
    times: np.ndarray,
    rest: np.ndarray,
    conditions: Sequence[Condition],
    kernels: np.ndarray,
    lag_s: np.ndarray,
    n_trials: int,
    window: tuple[float, float],
    baseline_window: tuple[float, float] | None,
) -> tuple[np.ndarray, np.ndarray]:
    inside = in_window(lag_s, window)
    before = in_window(lag_s, baseline_window) if baseline_window else np.zeros_like(inside)
    magnitude = np.full((len(TRIAL_EVENTS), n_trials), np.nan)
    n_samples = np.zeros(magnitude.shape, dtype=np.int64)
    for condition, kernel in zip(conditions, kernels, strict=True):
        event, rows = TRIAL_EVENTS.index(condition.event), condition.trials
        own = kernel[inside].mean()
        if baseline_window is not None:
            own -= kernel[before].mean()
        if condition.modulator is None:
            around = sample_at(times, rest, condition.times[:, None] + lag_s[inside])
            n_samples[event, rows] = np.isfinite(around).sum(axis=1)
            magnitude[event, rows] = around.mean(axis=1) + own
        else:
            magnitude[event, rows] += own * condition.weight
    return magnitude, n_samples


def _same_rows(known: np.ndarray) -> list[list[int]]:
    """Signals by their known samples: those that share them share a design."""
    groups: dict[bytes, list[int]] = {}
    for i, rows in enumerate(known):
        groups.setdefault(rows.tobytes(), []).append(i)
    return list(groups.values())


def _present(events, blocks):
    """Events beside the blocks that have a sample; and how many those are."""
    from scipy.sparse import hstack

    blocks = blocks[:, np.flatnonzero(blocks.sum(axis=0))]
    return hstack([events, blocks], format="csr"), blocks.shape[1]
