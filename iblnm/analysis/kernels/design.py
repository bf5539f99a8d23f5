"""Design of the regression of a continuous signal on all events of its session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.constants import FEEDBACK_EVENT, MOVEMENT_EVENT, STIMULUS_EVENT, TRIAL_EVENTS

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SIDE_WEIGHTS = {"left": -0.5, "right": 0.5}
BLOCK_S = 120.0
"""Length of the stretches that are dealt to the folds of the cross-validation."""


@dataclass(frozen=True)
class Condition:
    """Events that share a kernel.

    Parameters
    ----------
    event : str
    trials : ndarray of int
        Rows of the trials.
    times : ndarray
        Of the events, s.
    contrast : float
        Percent; NaN where the kernel is of all contrasts.
    stim_side : str or None
        None where it is of both sides.
    feedback : float
        1 or −1; NaN where it is of both outcomes.
    modulator : str or None
        What the kernel is multiplied by; its response adds to those of the same event.
    weights : ndarray, optional
        Of the events; 1 without a modulator.
    center, spread : float
        Mean and standard deviation of the modulator, which `weights` are standardized by:
        ln(contrast + 1), or −.5 left and .5 right.
    """

    event: str
    trials: np.ndarray
    times: np.ndarray
    contrast: float = np.nan
    stim_side: str | None = None
    feedback: float = np.nan
    modulator: str | None = None
    weights: np.ndarray | None = None
    center: float = 0.0
    spread: float = 1.0

    @property
    def weight(self) -> np.ndarray:
        """Factor of each event."""
        return np.ones(len(self.times)) if self.weights is None else self.weights


def event_conditions(trials: pd.DataFrame) -> list[Condition]:
    """Stimulus by contrast and side, movement, feedback by outcome and modulated by both.

    Parameters
    ----------
    trials : DataFrame
        Times of the events (s), ``contrast`` (%), ``stim_side``, ``feedbackType``. Events
        without a time, or whose condition is unknown, are in none.

    Returns
    -------
    list of Condition
        Those with at least one event.

    Notes
    -----
    Where feedback had kernels by outcome alone, the effects of contrast and side on the
    response to it would be taken for late parts of the response to the stimulus.
    """
    factors = {
        STIMULUS_EVENT: ("contrast", "stim_side"),
        MOVEMENT_EVENT: (),
        FEEDBACK_EVENT: ("feedbackType",),
    }
    names = {"contrast": "contrast", "stim_side": "stim_side", "feedbackType": "feedback"}
    found = []
    for event in TRIAL_EVENTS:
        if event not in trials:
            continue
        by = list(factors[event])
        at = trials[event].to_numpy(dtype=float, na_value=np.nan)
        rows = pd.DataFrame({name: trials[name].to_numpy() for name in by})
        rows = rows.assign(row=np.arange(len(trials)))[np.isfinite(at)]
        groups = rows.groupby(by, sort=True) if by else [((), rows)]
        for values, own in groups:
            if len(own):
                known = {names[n]: _plain(v) for n, v in zip(by, values, strict=True)}
                row = own["row"].to_numpy()
                found.append(Condition(event, row, at[row], **known))
        if event == FEEDBACK_EVENT:
            found += _modulated(event, at, trials)
    return found


def _modulated(event: str, at: np.ndarray, trials: pd.DataFrame) -> list[Condition]:
    contrast = np.log1p(trials["contrast"].to_numpy(dtype=float, na_value=np.nan))
    side = trials["stim_side"].astype(object).map(SIDE_WEIGHTS).to_numpy(dtype=float)
    found = []
    for name, values in (("contrast", contrast), ("stim_side", side)):
        row = np.flatnonzero(np.isfinite(at) & np.isfinite(values))
        spread = values[row].std() if len(row) else 0.0
        if spread > 0:
            center = values[row].mean()
            found.append(
                Condition(
                    event,
                    row,
                    at[row],
                    modulator=name,
                    weights=(values[row] - center) / spread,
                    center=float(center),
                    spread=float(spread),
                )
            )
    return found


def lags(window: tuple[float, float], fs: float) -> np.ndarray:
    """Lags of a kernel in samples, both ends included.

    Examples
    --------
    >>> lags((-0.1, 0.1), 30.0).tolist()
    [-3, -2, -1, 0, 1, 2, 3]
    """
    first, last = (int(np.rint(edge * fs)) for edge in window)
    return np.arange(first, last + 1)


def lagged_design(
    start: float, n_samples: int, fs: float, conditions: Sequence[Condition], lag: np.ndarray
) -> csr_matrix:
    """Columns of all kernels: a kernel is linear between its lags.

    Parameters
    ----------
    start : float
        Time of the first sample, s.
    n_samples : int
    fs : float
        Hz.
    conditions : sequence of Condition
    lag : ndarray of int (n_lags,)

    Returns
    -------
    csr_matrix (n_samples, n_conditions · n_lags)
        Condition by condition. An event between two samples has its share in both, so that
        kernels are not smeared by the width of a sample.
    """
    from scipy.sparse import csr_matrix

    rows, columns, values = [], [], []
    for i, condition in enumerate(conditions):
        position = (condition.times - start) * fs
        whole = np.floor(position).astype(np.int64)
        part = position - whole
        sample = whole[:, None] + lag
        column = np.broadcast_to(i * len(lag) + np.arange(len(lag)), sample.shape)
        for shift, weight in ((0, 1.0 - part), (1, part)):
            rows.append((sample + shift).ravel())
            columns.append(column.ravel())
            value = (weight * condition.weight)[:, None]
            values.append(np.broadcast_to(value, sample.shape).ravel())
    shape = (n_samples, len(conditions) * len(lag))
    if not rows:
        return csr_matrix(shape)
    row, column, value = (np.concatenate(part) for part in (rows, columns, values))
    inside = (row >= 0) & (row < n_samples) & (value != 0)
    return csr_matrix((value[inside], (row[inside], column[inside])), shape=shape)


def block_indicators(times: np.ndarray, trials: pd.DataFrame) -> csr_matrix:
    """A level for each block of trials with the same probability of the sides.

    Parameters
    ----------
    times : ndarray (n_samples,)
        s.
    trials : DataFrame
        ``stimOn_times`` and, where there are blocks, ``probabilityLeft``.

    Returns
    -------
    csr_matrix (n_samples, n_blocks)
        A block lasts from its first stimulus to that of the next one.
    """
    from scipy.sparse import csr_matrix

    onset = trials[STIMULUS_EVENT].to_numpy(dtype=float, na_value=np.nan)
    prior = np.full(len(trials), 0.5)
    if "probabilityLeft" in trials:
        prior = trials["probabilityLeft"].to_numpy(dtype=float, na_value=np.nan)
    known = np.isfinite(onset) & np.isfinite(prior)
    onset, prior = onset[known], prior[known]
    changes = onset[1:][np.diff(prior) != 0]
    block = np.searchsorted(changes, times, side="right")
    n = len(times)
    return csr_matrix((np.ones(n), (np.arange(n), block)), shape=(n, len(changes) + 1))


def folds_of(n_samples: int, fs: float, n_folds: int) -> np.ndarray:
    """Fold of each sample: stretches of `BLOCK_S` dealt in turn.

    Returns
    -------
    ndarray of int (n_samples,)
    """
    stretch = np.arange(n_samples) // max(1, int(BLOCK_S * fs))
    if stretch[-1] + 1 < n_folds:
        stretch = np.arange(n_samples) * n_folds // n_samples
    return stretch % n_folds


def _plain(value: object) -> object:
    return value if isinstance(value, str) else float(value)
