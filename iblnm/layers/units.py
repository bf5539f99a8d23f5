"""The units of a session, with place, counts and quality metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.layers.errors import SpikeSortingError
from iblnm.layers.mapped import release
from iblnm.layers.probes import SPIKE_CLUSTERS
from iblnm.layers.regions import region_of_ids
from iblnm.layers.spike_sorting import (
    CLUSTER_CHANNELS,
    CLUSTER_METRICS,
    SortedProbe,
    read_uuids,
)

UNIT_COLUMNS = (
    "uuid",
    "cluster_id",
    "eid",
    "pid",
    "probe",
    "subject",
    "session_n",
    "channel",
    "depth",
    "axial_um",
    "lateral_um",
    "x",
    "y",
    "z",
    "atlas_id",
    "region",
    "coarse_region",
    "histology",
    "n_spikes",
    "sorter",
)
_SITES = ("electrodeSites", "channels")
_IDS = "brainLocationIds_ccf_2017.npy"
_UM = 1e-6


def probe_units(probe: SortedProbe, session: Mapping[str, Any]) -> pd.DataFrame:
    """Units of one probe.

    Parameters
    ----------
    probe : SortedProbe
    session : mapping
        ``subject`` and ``session_n``.

    Returns
    -------
    DataFrame
        One row per cluster with the columns `UNIT_COLUMNS` and those of
        ``clusters.metrics.pqt``, joined by its ``cluster_id``: real files have fewer rows than
        clusters, whose metrics are then missing. x, y, z [m], depth and axial_um, lateral_um
        [µm]. ``histology`` says which file gave the region.

    Raises
    ------
    SpikeSortingError
        If the files do not fit each other.
    """
    uuids = read_uuids(probe)
    n = len(uuids)
    channel = _of_clusters(probe, CLUSTER_CHANNELS, n)
    depth = _of_clusters(probe, "clusters.depths.npy", n)
    table = pd.DataFrame(
        {
            "uuid": uuids,
            "cluster_id": np.arange(n, dtype=np.int64),
            "eid": probe.eid,
            "pid": probe.pid,
            "probe": probe.probe,
            "subject": session.get("subject"),
            "session_n": session.get("session_n"),
            "channel": pd.array(channel, dtype="Int64") if channel is not None else None,
            "depth": depth,
            **_places(probe, channel, n),
            "n_spikes": _spike_counts(probe, n),
            "sorter": probe.sorting.sorter,
        }
    )
    return _with_metrics(probe, table[list(UNIT_COLUMNS)])


def _spike_counts(probe: SortedProbe, n: int) -> np.ndarray:
    from iblnm.layers._kernels import count_clusters

    clusters = probe.array(SPIKE_CLUSTERS)
    if not np.issubdtype(clusters.dtype, np.integer):
        raise probe.fault(f"cluster numbers are {clusters.dtype}; integers are expected")
    counts, top = count_clusters(clusters, n)
    release(clusters)
    if top >= n:
        raise probe.fault(f"cluster {top} has no uuid, there are {n}")
    return counts


def _of_clusters(probe: SortedProbe, name: str, n: int) -> np.ndarray | None:
    values = probe.array(name, required=False)
    if values is not None and len(values) != n:
        raise probe.fault(f"{name} has {len(values)} values for {n} clusters", probe.path(name))
    return None if values is None else np.array(values)


def _places(probe: SortedProbe, channel: np.ndarray | None, n: int) -> dict[str, Any]:
    """Coordinates and regions of the units by their peak channels."""
    empty = np.full(n, np.nan)
    found: dict[str, Any] = dict.fromkeys(("axial_um", "lateral_um", "x", "y", "z"), empty)
    none = np.full(n, None, dtype=object)
    found |= {"atlas_id": pd.array([pd.NA] * n, dtype="Int64"), "region": none}
    found |= {"coarse_region": none, "histology": none}
    if channel is None:
        return found
    local = _rows(probe, ("channels.localCoordinates.npy", "electrodeSites.localCoordinates.npy"))
    if local is not None and local.ndim == 2 and local.shape[1] == 2:
        found["lateral_um"], found["axial_um"] = _taken(
            probe, local, channel, "localCoordinates"
        ).T
    for sites in _SITES:
        ids = _rows(probe, (f"{sites}.{_IDS}",))
        if ids is None:
            continue
        atlas_id = _taken(probe, ids.reshape(-1), channel, f"{sites}.{_IDS}")
        found["atlas_id"] = pd.array(atlas_id.astype(np.int64), dtype="Int64")
        found["region"], found["coarse_region"] = region_of_ids(atlas_id)
        found["histology"] = np.full(n, sites, dtype=object)
        place = _rows(probe, (f"{sites}.mlapdv.npy",))
        if place is not None and place.ndim == 2 and place.shape[1] == 3:
            meters = _taken(probe, place, channel, f"{sites}.mlapdv.npy") * _UM
            found["x"], found["y"], found["z"] = meters.T
        break
    return found


def _rows(probe: SortedProbe, names: tuple[str, ...]) -> np.ndarray | None:
    """An array of the sites: beside the spikes, or in the folder of the probe."""
    for name in names:
        path = probe.path(name) or probe.open_file(f"alf/{probe.probe}", name, "")
        if path is not None:
            try:
                return np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise probe.fault(f"no readable array: {error}", path) from error
    return None


def _taken(probe: SortedProbe, values: np.ndarray, channel: np.ndarray, name: str) -> np.ndarray:
    if channel.size and (channel.max() >= len(values) or channel.min() < 0):
        raise probe.fault(
            f"peak channel {channel.max()} is not among the {len(values)} sites of {name}"
        )
    return np.asarray(values[channel])


def _with_metrics(probe: SortedProbe, table: pd.DataFrame) -> pd.DataFrame:
    path = probe.path(CLUSTER_METRICS)
    if path is None:
        return table
    metrics = read_metrics(path, probe)
    renamed = {name: f"metrics_{name}" for name in metrics if name in UNIT_COLUMNS}
    renamed.pop("cluster_id", None)
    return table.merge(metrics.rename(columns=renamed), on="cluster_id", how="left")


def read_metrics(path: Path, probe: SortedProbe) -> pd.DataFrame:
    """``clusters.metrics.pqt`` with whole numbers in ``cluster_id``.

    Raises
    ------
    SpikeSortingError
        If it cannot be read, has no ``cluster_id``, or a cluster twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metrics = pq.read_table(path, use_threads=False).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise probe.fault(f"no readable parquet file: {error}", path) from error
    if "cluster_id" not in metrics and metrics.index.name == "cluster_id":
        metrics = metrics.reset_index()
    if "cluster_id" not in metrics:
        raise probe.fault(f"columns are {list(metrics.columns)}; cluster_id is expected", path)
    numbers = pd.to_numeric(metrics["cluster_id"], errors="coerce")
    odd = ~(numbers % 1 == 0)
    if odd.any():
        first = metrics["cluster_id"][odd].iloc[0]
        raise probe.fault(f"cluster_id {first} is no whole number", path)
    metrics["cluster_id"] = numbers.astype("int64")
    twice = metrics["cluster_id"].duplicated()
    if twice.any():
        raise probe.fault(f"cluster {metrics.cluster_id[twice].iloc[0]} has two rows", path)
    return metrics.drop(columns=[name for name in ("uuids",) if name in metrics])


def session_units(probes: list[SortedProbe], session: Mapping[str, Any]) -> pd.DataFrame:
    """Units of all probes of a session, each uuid once.

    Raises
    ------
    SpikeSortingError
        If a uuid occurs twice.
    """
    tables = [probe_units(probe, session) for probe in probes]
    table = pd.concat([t.dropna(axis=1, how="all") for t in tables], ignore_index=True)
    own = list(UNIT_COLUMNS)
    table = table.reindex(columns=[*own, *(name for name in table if name not in own)])
    twice = table["uuid"].duplicated()
    if twice.any():
        raise SpikeSortingError(
            f"unit {table.uuid[twice].iloc[0]} occurs twice",
            probe="+".join(probe.probe for probe in probes),
            eid=probes[0].eid,
        )
    return table
