"""Spikes that were found twice, in whole samples."""

from __future__ import annotations

import numpy as np

from iblnm.errors import MalformedFileError
from iblnm.layers.mapped import PIECE, release
from iblnm.layers.spike_sorting import (
    CLUSTER_CHANNELS,
    SAMPLING_HZ,
    SPIKE_AMPLITUDES,
    SPIKE_SAMPLES,
    SortedProbe,
)

MAX_DISTANCE_SAMPLES = 1


def find_duplicates(
    samples: np.ndarray,
    clusters: np.ndarray,
    amplitudes: np.ndarray | None,
    channels: np.ndarray,
    *,
    max_distance: int = MAX_DISTANCE_SAMPLES,
) -> np.ndarray:
    """Mark spikes that are another spike's double.

    Parameters
    ----------
    samples : (n,) array of int
        Sample of each spike, not decreasing.
    clusters : (n,) array of int
    amplitudes : (n,) array or None
        If None the later of two equal spikes of one unit goes.
    channels : (m,) array of int
        Peak channel of each cluster; a negative one is like no other.
    max_distance : int
        Largest distance of doubles [samples].

    Returns
    -------
    (n,) array of bool
        Of two spikes at most `max_distance` apart whose units have one peak channel: in one
        unit the one of smaller amplitude (if equal, the later), between units the spike of the
        unit with fewer spikes (if equal, the later).

    Notes
    -----
    Compared in whole numbers: single precision resolves samples up to 2**24 only, 9.3 min at
    30 kHz, and marks ever more spikes from there on.

    Examples
    --------
    >>> find_duplicates(np.array([10, 11, 50]), np.array([0, 1, 0]), None, np.array([3, 3]))
    array([False,  True, False])
    """
    from iblnm.layers._kernels import count_clusters, mark_duplicates

    flags = np.zeros(len(samples), dtype=bool)
    if len(samples) == 0:
        return flags
    if amplitudes is None:
        amplitudes = np.zeros(1).repeat(len(samples))
    for name, values in (("clusters", clusters), ("amplitudes", amplitudes)):
        if len(values) != len(samples):
            raise MalformedFileError(f"{len(values)} {name} and {len(samples)} samples of spikes")
    counts, top = count_clusters(clusters, len(channels))
    if top >= len(channels):
        raise MalformedFileError(f"cluster {top} has no channel, there are {len(channels)}")
    peaks = np.ascontiguousarray(channels, dtype=np.int64)
    for first in range(0, len(samples), PIECE):
        last = first + PIECE
        mark_duplicates(
            samples, clusters, amplitudes, peaks, counts, max_distance, first, last, flags
        )
        release(samples, clusters, amplitudes)
    return flags


def duplicates_of_probe(
    probe: SortedProbe, times: np.ndarray, clusters: np.ndarray
) -> np.ndarray | None:
    """Doubles among the spikes of a probe.

    Parameters
    ----------
    probe : SortedProbe
    times : (n,) array
        Spike times [s]; used where the sorting has no ``spikes.samples.npy``.
    clusters : (n,) array of int

    Returns
    -------
    (n,) array of bool, or None
        None if the peak channels are not known.

    Raises
    ------
    SpikeSortingError
        If samples, amplitudes or channels do not fit the spikes.
    """
    channels = probe.array(CLUSTER_CHANNELS, required=False)
    if channels is None:
        return None
    amplitudes = probe.array(SPIKE_AMPLITUDES, required=False)
    samples = probe.array(SPIKE_SAMPLES, required=False)
    if samples is None:
        samples = samples_of_times(times)
    if not np.issubdtype(samples.dtype, np.integer):
        samples = np.asarray(samples).astype(np.int64)
    elif np.issubdtype(samples.dtype, np.unsignedinteger):
        # differences of unsigned numbers would wrap around
        samples = samples.view(samples.dtype.name.removeprefix("u"))
    try:
        return find_duplicates(samples, clusters, amplitudes, channels)
    except MalformedFileError as error:
        raise probe.fault(error.message) from error


def samples_of_times(times: np.ndarray, rate_hz: int = SAMPLING_HZ) -> np.ndarray:
    """Nearest sample of each time, piece by piece."""
    samples = np.empty(len(times), dtype=np.int64)
    for start in range(0, len(times), PIECE):
        stop = start + PIECE
        samples[start:stop] = np.rint(times[start:stop] * rate_hz)
    return samples


def compare_masks(own: np.ndarray, other: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    """Own duplicates against another program's mask, in the first and last quarter of time.

    Parameters
    ----------
    own, other : (n,) array of bool
    samples : (n,) array
        Sample, or time, of each spike.

    Returns
    -------
    dict
        ``own``, ``other`` (counts) and ``drift``: fraction marked by the other minus own
        fraction in the last quarter, minus the same in the first.

    Raises
    ------
    MalformedFileError
        If the lengths differ.
    """
    if not len(own) == len(other) == len(samples):
        raise MalformedFileError(f"a mask of {len(other)} spikes, the sorting has {len(samples)}")
    excess = np.asarray(other, dtype=np.float64) - own
    result = {"own": float(own.sum()), "other": float(np.asarray(other).sum()), "drift": 0.0}
    if len(samples):
        first, last = float(samples[0]), float(samples[-1])
        step = (last - first) / 4
        early, late = samples < first + step, samples >= last - step
        result["drift"] = float(excess[late].mean() - excess[early].mean())
    return result
