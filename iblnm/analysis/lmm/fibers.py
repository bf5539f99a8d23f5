"""Fibers of one session in a mixed model: a trial counts once, however many recorded it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

METHOD_VERSION = 1
LARGEST_CORRELATION = 0.95
_TRIAL = ("subject", "eid", "event", "trial")


class JoinedTrials(NamedTuple):
    """Rows of a mixed model whose errors are independent.

    Parameters
    ----------
    x : ndarray, shape (n, p)
    z : ndarray, shape (n, q)
    y : ndarray, shape (n,)
    subject : ndarray of int, shape (n,)
    n_trials : int
        Trials of sessions.
    n_averaged : int
        Recordings that share trials with another one.
    correlation : float
        Of the noise of two fibers in the same trial; NaN where no trial has two.
    """

    x: np.ndarray
    z: np.ndarray
    y: np.ndarray
    subject: np.ndarray
    n_trials: int
    n_averaged: int = 0
    correlation: float = float("nan")

    @classmethod
    def apart(
        cls, x: np.ndarray, z: np.ndarray, y: np.ndarray, subject: np.ndarray
    ) -> JoinedTrials:
        """Every row a trial of its own."""
        return cls(x, z, y, subject, len(y))


def join_fibers(
    coded: pd.DataFrame, x: np.ndarray, z: np.ndarray, y: np.ndarray, subject: np.ndarray
) -> JoinedTrials:
    """Average the fibers of each session and trial.

    Parameters
    ----------
    coded : DataFrame
        Trials as of `iblnm.analysis.trials.code_trials`, with ``eid``, ``trial`` and
        ``fiber_idx``; without them, or where a recording has a trial twice, rows stay as they
        are.
    x, z : ndarray, shapes (n, p), (n, q)
        Fixed and random columns of the trials.
    y : ndarray, shape (n,)
    subject : ndarray of int, shape (n,)

    Returns
    -------
    JoinedTrials

    Notes
    -----
    Fibers that have the stimulus on the same side differ by noise: their mean is one row. One
    fiber in each hemisphere has it on opposite sides, so that their mean has no side; they
    stay two rows, whitened by the correlation ρ of their noise (generalized least squares).
    What both share, as the effects of contrast and outcome, then rests on their mean alone,
    whose variance is (1 + ρ)/2 of one fiber's, and effects of the side on their difference. ρ
    is that of the residuals of each recording's own regression on contrast, side and outcome,
    pooled, from 0 to `LARGEST_CORRELATION`.
    """
    unchanged = JoinedTrials.apart(x, z, y, subject)
    if not {"eid", "trial", "fiber_idx"} <= set(coded):
        return unchanged
    keys = [name for name in _TRIAL if name in coded]
    trial = coded.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    recording = coded.groupby(["eid", "fiber_idx"], sort=False, dropna=False).ngroup().to_numpy()
    n_trials = int(trial.max()) + 1
    is_twice = pd.DataFrame({"trial": trial, "recording": recording}).duplicated().any()
    if n_trials == len(y) or is_twice:
        return unchanged
    shared = np.bincount(trial)[trial] > 1
    rho = noise_correlation(coded, y, trial, recording)
    contra = coded["side"].to_numpy(dtype=float) > 0
    row, of_row = np.unique(np.column_stack([trial, contra]), axis=0, return_inverse=True)
    of_row = of_row.ravel()
    size = np.bincount(of_row).astype(float)
    columns = np.column_stack([x, z, y])
    means = np.zeros((len(row), columns.shape[1]))
    np.add.at(means, of_row, columns)
    means /= size[:, None]
    variance = (1 + (size - 1) * rho) / size
    whitened = means / np.sqrt(variance)[:, None]
    # rows are ordered by trial, so both sides of one follow each other
    first = np.flatnonzero(row[1:, 0] == row[:-1, 0])
    taken = (rho / variance[first])[:, None]
    left = variance[first + 1] - rho**2 / variance[first]
    whitened[first + 1] = (means[first + 1] - taken * means[first]) / np.sqrt(left)[:, None]
    codes = np.empty(len(row), dtype=subject.dtype)
    codes[of_row] = subject
    p = x.shape[1]
    return JoinedTrials(
        x=whitened[:, :p],
        z=whitened[:, p:-1],
        y=whitened[:, -1],
        subject=codes,
        n_trials=n_trials,
        n_averaged=len(np.unique(recording[shared])),
        correlation=rho,
    )


def noise_correlation(
    coded: pd.DataFrame, y: np.ndarray, trial: np.ndarray, recording: np.ndarray
) -> float:
    """Correlation of two fibers' noise in a trial, from 0 to `LARGEST_CORRELATION`.

    Parameters
    ----------
    coded : DataFrame
        ``contrast``, ``side`` and, where it is known, ``reward``.
    y : ndarray, shape (n,)
    trial, recording : ndarray of int, shape (n,)
        Codes of each row's.
    """
    contrast, side = (coded[name].to_numpy(dtype=float) for name in ("contrast", "side"))
    columns = [np.ones(len(y)), contrast, side, contrast * side]
    if "reward" in coded:
        reward = coded["reward"].to_numpy(dtype=float)
        columns += [reward, contrast * reward, side * reward]
    design = np.column_stack(columns)
    residual = np.empty(len(y))
    for code in np.unique(recording):
        own = recording == code
        beta = np.linalg.lstsq(design[own], y[own], rcond=None)[0]
        residual[own] = y[own] - design[own] @ beta
    n = np.bincount(trial)
    squares = np.bincount(trial, residual**2)
    products = np.bincount(trial, residual) ** 2 - squares
    total = float(((n - 1) * squares)[n > 1].sum())
    rho = float(products[n > 1].sum()) / total if total > 0 else 0.0
    return float(np.clip(rho, 0.0, LARGEST_CORRELATION))
