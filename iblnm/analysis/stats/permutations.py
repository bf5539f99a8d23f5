"""Permutations that move whole sessions."""

from __future__ import annotations

import numpy as np
import pandas as pd


def session_permutations(
    labels: np.ndarray, n_permutations: int, seed: int, within: np.ndarray | None = None
) -> np.ndarray:
    """Orders of the rows in which sessions change places with sessions of equal size.

    Parameters
    ----------
    labels : array, shape (n,)
        Session of each row; the rows of a session need not be adjacent.
    n_permutations : int
    seed : int
    within : array, shape (n,), optional
        Unit that a session does not leave, normally its subject; one value per session.

    Returns
    -------
    ndarray of int, shape (n_permutations, n)
        Row `i` of the data takes the values of row ``result[k, i]``. The rows of a session
        stay together and in their order. A session whose size no other has stays in place.

    Notes
    -----
    Whole-block exchangeability: Winkler, Webster, Vidaurre, Nichols & Smith (2015),
    "Multi-level block permutation", NeuroImage 123, 253–268.

    Examples
    --------
    >>> session_permutations(np.array(["a", "a", "b", "b", "c"]), 2, seed=0)
    array([[2, 3, 0, 1, 4],
           [0, 1, 2, 3, 4]])
    """
    rng = np.random.default_rng(seed)
    code = pd.factorize(np.asarray(labels))[0]
    by_session = np.argsort(code, kind="stable")
    sizes = np.bincount(code) if code.size else np.empty(0, dtype=int)
    first = np.cumsum(sizes) - sizes
    orders = np.tile(np.arange(code.size), (n_permutations, 1))
    exchangeable = _exchangeable(code, sizes, within)
    for group in np.unique(exchangeable):
        sessions = np.flatnonzero(exchangeable == group)
        rows = by_session[first[sessions][:, None] + np.arange(sizes[sessions[0]])]
        draws = rng.random((n_permutations, sessions.size)).argsort(axis=1)
        orders[:, rows.ravel()] = rows[draws].reshape(n_permutations, -1)
    return orders


def count_movable_sessions(labels: np.ndarray, within: np.ndarray | None = None) -> int:
    """Number of sessions that share their size, and the unit they stay in, with another.

    Examples
    --------
    >>> count_movable_sessions(np.array(["a", "a", "b", "b", "c"]))
    2
    """
    code = pd.factorize(np.asarray(labels))[0]
    group = _exchangeable(code, np.bincount(code), within)
    return int((np.bincount(group)[group] > 1).sum())


def _exchangeable(code: np.ndarray, sizes: np.ndarray, within: np.ndarray | None) -> np.ndarray:
    """Code of each session that it shares with those it may change places with."""
    if within is None:
        return pd.factorize(sizes, sort=True)[0]
    unit = pd.factorize(np.asarray(within))[0]
    of_session = np.zeros(len(sizes), dtype=unit.dtype)
    of_session[code] = unit
    return pd.factorize(of_session * (sizes.max(initial=0) + 1) + sizes)[0]
