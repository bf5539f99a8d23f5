"""Real inputs of the data layers, and small spike sortings on disk."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iblnm.layers.registry import Registry, entries_of_paths
from iblnm.layers.spike_sorting import SortedProbe, sorted_probe

EID = "51b90000-0000-4000-8000-000000000001"
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def layers_data() -> Path:
    """Folder of real inputs; skips where it is absent."""
    root = Path(os.environ.get("IBLNM_REAL_DATA", REPOSITORY / ".." / "shared" / "data"))
    if not (root / "layers" / "known_values.json").exists():
        pytest.skip(f"no real inputs at {root / 'layers'} (set IBLNM_REAL_DATA)")
    return root.resolve() / "layers"


@pytest.fixture(scope="session")
def known(layers_data) -> dict:
    """Right values of the real inputs."""
    return json.loads((layers_data / "known_values.json").read_text())


def uuids_of(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(n)]


def write_sorting(folder: Path, times, clusters, n_clusters: int, *, seed: int = 0, **extra):
    """Files of a sorting; `extra` are further arrays by name with dots as ``__``."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "spikes.times.npy", np.asarray(times, float))
    np.save(folder / "spikes.clusters.npy", np.asarray(clusters, np.uint32))
    ids = uuids_of(n_clusters, seed)
    (folder / "clusters.uuids.csv").write_text("uuids\n" + "\n".join(ids) + "\n")
    for name, values in extra.items():
        np.save(folder / f"{name.replace('__', '.')}.npy", values)
    return ids


def probe_in(folder: Path, name: str = "probe00", eid: str = EID) -> SortedProbe:
    """The sorting of a folder as that of a probe."""
    paths = [f"alf/{name}/iblsorter/{path.name}" for path in sorted(folder.iterdir())]
    registry = Registry(entries_of_paths(paths))
    found = sorted_probe(registry, eid, name, f"pid-{name}", lambda rel: folder / Path(rel).name)
    assert found is not None
    return found


@pytest.fixture
def sorting(tmp_path) -> tuple[Path, list[str]]:
    """Three units: 3, 0 and 2 spikes, one duplicate."""
    folder = tmp_path / "sorting"
    times = np.array([0.1, 0.2, 0.2, 0.3, 0.4])
    ids = write_sorting(
        folder,
        times,
        [0, 0, 2, 2, 0],
        3,
        spikes__samples=(times * 30_000).round().astype(np.int64),
        spikes__amps=np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
        clusters__channels=np.array([7, 8, 7]),
        clusters__depths=np.array([10.0, 20.0, 30.0]),
    )
    pd.DataFrame({"cluster_id": [0, 2], "label": [1.0, 0.5]}).to_parquet(
        folder / "clusters.metrics.pqt"
    )
    return folder, ids
