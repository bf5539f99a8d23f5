"""Files of one spike sorting: one sorter and one revision for all files of a probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from iblnm.layers.errors import SpikeSortingError
from iblnm.layers.mapped import release
from iblnm.layers.probes import SPIKE_CLUSTERS, SPIKE_TIMES, UUIDS, Sorting, choose_sorting
from iblnm.layers.registry import Registry

SAMPLING_HZ = 30_000
SPIKE_SAMPLES = "spikes.samples.npy"
SPIKE_AMPLITUDES = "spikes.amps.npy"
CLUSTER_CHANNELS = "clusters.channels.npy"
CLUSTER_METRICS = "clusters.metrics.pqt"
OpenFile = Callable[[str, str, str], Path | None]


@dataclass(frozen=True)
class SortedProbe:
    """Where the files of a probe's sorting are.

    Parameters
    ----------
    eid, probe : str
    pid : str or None
    sorting : Sorting
    open_file : callable
        Gives the local path of (collection, name, revision); None if it is not registered.
    """

    eid: str
    probe: str
    pid: str | None
    sorting: Sorting
    open_file: OpenFile

    def path(self, name: str) -> Path | None:
        """Local path of a file of the sorting, in the revision of the spike times.

        A file that did not change has no entry in that revision: then its own default is used.
        """
        collection, revision = self.sorting.collection, self.sorting.revision
        return self.open_file(collection, name, revision)

    def array(self, name: str, *, required: bool = True) -> np.ndarray | None:
        """An array of the sorting, mapped from its file.

        Raises
        ------
        SpikeSortingError
            If it is missing though required, truncated, or not of one dimension.
        """
        path = self.path(name)
        if path is None:
            if required:
                raise self.fault(f"{name} is not registered for {self.sorting.text}")
            return None
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self.fault(f"no readable array: {error}", path) from error
        if values.ndim == 2 and 1 in values.shape:
            values = values.reshape(-1)
        if values.ndim != 1:
            raise self.fault(f"{name} has shape {values.shape}; one dimension is expected", path)
        return values

    def fault(self, message: str, path: Path | None = None) -> SpikeSortingError:
        return SpikeSortingError(message, probe=self.probe, eid=self.eid, path=path)


def sorted_probe(
    registry: Registry, eid: str, probe: str, pid: str | None, find: Callable[[str], Path | None]
) -> SortedProbe | None:
    """The sorting of a probe that is used; None if it has no spikes.

    Parameters
    ----------
    registry : Registry
    eid, probe : str
    pid : str or None
    find : callable
        Gives the local path of a file by its path within the session, with the revision folder.
    """
    sorting = choose_sorting(registry, probe)
    if sorting is None:
        return None

    def open_file(collection: str, name: str, revision: str) -> Path | None:
        entry = registry.find_revision(collection, name, revision)
        if entry is None:
            # the spikes themselves must be of one revision
            entry = None if name == SPIKE_CLUSTERS else registry.find(collection, name)
        if entry is None:
            return None
        middle = f"#{entry.revision}#/" if entry.revision else ""
        return find(f"{collection}/{middle}{name}")

    return SortedProbe(eid, probe, pid, sorting, open_file)


def read_uuids(probe: SortedProbe) -> np.ndarray:
    """Uuid of each cluster, by its number.

    Raises
    ------
    SpikeSortingError
        If the file is missing, has no column ``uuids``, or a value is no uuid.
    """
    path = probe.path(UUIDS)
    if path is None:
        raise probe.fault(f"{UUIDS} is not registered for {probe.sorting.text}")
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise probe.fault(f"no readable table: {error}", path) from error
    if "uuids" not in table:
        raise probe.fault(f"columns are {list(table.columns)}; uuids is expected", path)
    uuids = table["uuids"].str.strip().str.lower()
    well = uuids.str.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fillna(False)
    if not well.all():
        raise probe.fault(f"{uuids[~well].iloc[0]!r} is no uuid", path)
    return uuids.to_numpy(dtype=object)


@dataclass(frozen=True)
class Faults:
    """What is wrong with the spikes of a probe.

    Parameters
    ----------
    n_spikes, n_clusters : int
    messages : tuple of str
        Empty if they fit each other.
    """

    n_spikes: int
    n_clusters: int
    messages: tuple[str, ...]


def spikes_faults(times: np.ndarray, clusters: np.ndarray, uuids: np.ndarray) -> Faults:
    """Whether times, clusters and uuids fit each other.

    Parameters
    ----------
    times : (n,) array
        Spike times [s].
    clusters : (n,) array of int
    uuids : (m,) array of str

    Returns
    -------
    Faults
    """
    from iblnm.layers._kernels import count_clusters, first_fault

    found = []
    if len(times) != len(clusters):
        found.append(f"{len(times)} spike times and {len(clusters)} cluster numbers")
    if len(set(uuids)) != len(uuids):
        found.append(f"{len(uuids) - len(set(uuids))} of {len(uuids)} uuids occur twice")
    if not np.issubdtype(times.dtype, np.floating):
        found.append(f"spike times are {times.dtype}; floats are expected")
    elif (fault := first_fault(times))[0] >= 0:
        at, kind = fault
        words = {1: "not finite", 2: "negative", 3: "before the spike that precedes it"}
        found.append(f"spike {at} at {times[at]} s is {words[kind]}")
    if not np.issubdtype(clusters.dtype, np.integer):
        found.append(f"cluster numbers are {clusters.dtype}; integers are expected")
    elif clusters.size:
        _, top = count_clusters(clusters, len(uuids))
        if top >= len(uuids):
            found.append(f"cluster {top} has no uuid, there are {len(uuids)}")
        if np.issubdtype(clusters.dtype, np.signedinteger) and clusters.min() < 0:
            found.append(f"cluster number {clusters.min()} is negative")
    release(times, clusters)
    return Faults(len(times), len(uuids), tuple(found))


def read_spikes(probe: SortedProbe) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spike times [s], cluster numbers and uuids of a probe, which fit each other.

    Raises
    ------
    SpikeSortingError
        Naming all that does not fit.
    """
    times, clusters = probe.array(SPIKE_TIMES), probe.array(SPIKE_CLUSTERS)
    uuids = read_uuids(probe)
    faults = spikes_faults(times, clusters, uuids)
    if faults.messages:
        raise probe.fault("; ".join(faults.messages), probe.path(SPIKE_TIMES))
    return times, clusters, uuids
