"""Spikes of a probe sorted by unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iblnm.layers.mapped import PIECE, release


@dataclass(frozen=True)
class Grouped:
    """Spike times sorted by unit.

    Parameters
    ----------
    times : (n,) array
        All times [s], those of one unit together and in their order.
    offsets : (m + 1,) array of int
        Unit ``k`` has ``times[offsets[k]:offsets[k + 1]]``.
    duplicates : (n,) array of bool, or None
        Of the sorted times; None if not known.
    """

    times: np.ndarray
    offsets: np.ndarray
    duplicates: np.ndarray | None = None

    @property
    def n_spikes(self) -> np.ndarray:
        """(m,) spikes of each unit."""
        return np.diff(self.offsets)


def group_spikes(
    times: np.ndarray,
    clusters: np.ndarray,
    n_clusters: int,
    duplicates: np.ndarray | None = None,
) -> Grouped:
    """Sort spikes by unit, keeping their order within a unit.

    Parameters
    ----------
    times : (n,) array
        Spike times [s].
    clusters : (n,) array of int
        Below `n_clusters`.
    n_clusters : int
    duplicates : (n,) array of bool, optional

    Returns
    -------
    Grouped

    Examples
    --------
    >>> group_spikes(np.array([0.1, 0.2, 0.3]), np.array([1, 0, 1]), 3).times
    array([0.2, 0.1, 0.3])
    """
    from iblnm.layers._kernels import count_clusters, scatter

    counts, _ = count_clusters(clusters, n_clusters)
    offsets = np.zeros(n_clusters + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    ordered = np.empty(len(times), dtype=np.float64)
    none = np.zeros(0, dtype=bool)
    marks = none if duplicates is None else duplicates
    flags = none if duplicates is None else np.zeros(len(times), dtype=bool)
    at = offsets[:-1].copy()
    for first in range(0, len(times), PIECE):
        last = min(first + PIECE, len(times))
        scatter(times, clusters, first, last, marks, at, ordered, flags)
        release(times, clusters)
    return Grouped(ordered, offsets, None if duplicates is None else flags)
