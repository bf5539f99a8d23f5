"""Planted units of the simulated data layers: rates, drift, an effect, duplicates."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from iblnm.demo.cohort import frozen_uuid

SAMPLING_HZ = 30_000
STOP_S = 2400.0
N_DUPLICATES = 12
_DRIFT_SD, _DRIFT_S = 0.3, 200.0
_ATLAS_IDS = (382, 733)  # CA1 and VPM: hippocampus, where the effect is, and thalamus


@dataclass
class Planted:
    """Units of a probe as planted.

    Parameters
    ----------
    uuids : list of str
    samples, clusters : ndarray
        Spikes in order.
    n_spikes : list of int
    n_duplicates : int
    rate_pre, rate_post : list of float
        Rates of the spontaneous epochs as recorded [Hz].
    channels : ndarray
        Peak channel of each unit.
    """

    uuids: list[str]
    samples: np.ndarray
    clusters: np.ndarray
    n_spikes: list[int]
    n_duplicates: int
    rate_pre: list[float]
    rate_post: list[float]
    channels: np.ndarray


def plant_units(
    eid: str,
    probe: str,
    *,
    n_units: int,
    windows: Mapping[str, float],
    rate_ratio: float,
    mean_rate_hz: float = 1.0,
) -> Planted:
    """Units whose rates drift; those of the hippocampus change after the drug.

    Parameters
    ----------
    eid, probe : str
        The same names give the same spikes.
    n_units : int
        The first half is in the hippocampus, the rest in the thalamus.
    windows : mapping
        Start of the spontaneous epoch before and after [s].
    rate_ratio : float
        Rate after the midpoint by the rate before, in the hippocampus.
    mean_rate_hz : float
    """
    rng = np.random.default_rng(zlib.crc32(f"{eid}{probe}".encode()))
    seconds = np.arange(0, STOP_S, 10.0)
    keep = np.exp(-10.0 / _DRIFT_S)
    spikes = []
    for k in range(n_units):
        log = np.empty(len(seconds))
        log[0] = rng.normal(0, _DRIFT_SD)
        for i in range(1, len(seconds)):
            log[i] = keep * log[i - 1] + rng.normal(0, _DRIFT_SD * np.sqrt(1 - keep**2))
        rate = mean_rate_hz * np.exp(log + rng.normal(0, 0.2) - _DRIFT_SD**2 / 2)
        if k < n_units // 2:
            rate = rate * np.where(seconds > (windows["pre"] + windows["post"]) / 2, rate_ratio, 1)
        counts = rng.poisson(rate * 10.0)
        times = np.repeat(seconds, counts) + rng.uniform(0, 10.0, counts.sum())
        own = np.sort((times * SAMPLING_HZ).astype(np.int64))
        # a unit is silent for longer than a sample
        spikes.append(own[np.diff(own, prepend=-10) > 60])
    # units 0 and 1 share a peak channel; the fewer spikes of the two go
    first, second = (0, 1) if len(spikes[0]) >= len(spikes[1]) + N_DUPLICATES else (1, 0)
    spikes[second] = spikes[second][~_is_near(spikes[second], spikes[first], 1)]
    if len(spikes[first]) <= len(spikes[second]) + N_DUPLICATES:
        spikes[second] = spikes[second][: max(len(spikes[first]) - 2 * N_DUPLICATES, 1)]
    doubled = rng.choice(spikes[first], N_DUPLICATES, replace=False) + 1
    free = ~_is_near(doubled, spikes[second], 60)
    spikes[second] = np.sort(np.concatenate([spikes[second], doubled[free]]))
    clusters = np.concatenate([np.full(len(own), k) for k, own in enumerate(spikes)])
    samples = np.concatenate(spikes)
    order = np.argsort(samples, kind="stable")
    channels = np.arange(n_units)
    channels[1] = 0

    def rates(start: float) -> list[float]:
        edges = np.array([start, start + 300.0]) * SAMPLING_HZ
        return [float(np.diff(np.searchsorted(own, edges))[0] / 300.0) for own in spikes]

    return Planted(
        [frozen_uuid(0, f"{eid}{probe}", str(k)) for k in range(n_units)],
        samples[order],
        clusters[order].astype(np.int64),
        [len(own) for own in spikes],
        int(free.sum()),
        rates(windows["pre"]),
        rates(windows["post"]),
        channels,
    )


def _is_near(samples: np.ndarray, others: np.ndarray, distance: int) -> np.ndarray:
    """Which samples have one of the sorted others at most so far away."""
    first = np.searchsorted(others, samples - distance)
    return (first < len(others)) & (others[first.clip(max=len(others) - 1)] <= samples + distance)


def write_sorting(folder: Path, planted: Planted) -> list[Path]:
    """Files of a sorting as a sorter leaves them; the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    n_units = len(planted.uuids)
    n_channels = max(n_units, 4)
    ids = np.where(np.arange(n_channels) < n_units // 2, *_ATLAS_IDS)
    arrays = {
        "spikes.times": planted.samples / SAMPLING_HZ,
        "spikes.clusters": planted.clusters.astype(np.uint32),
        "spikes.samples": planted.samples,
        "spikes.amps": np.full(len(planted.samples), 1e-4, dtype=np.float32),
        "clusters.channels": planted.channels,
        "clusters.depths": planted.channels * 20.0,
        "channels.localCoordinates": np.column_stack(
            [np.full(n_channels, 43.0), np.arange(n_channels) * 20.0]
        ),
        "channels.brainLocationIds_ccf_2017": ids,
        "channels.mlapdv": np.column_stack(
            [np.full(n_channels, -1500), np.full(n_channels, -2000), -20 * np.arange(n_channels)]
        ),
    }
    paths = []
    for name, values in arrays.items():
        paths.append(folder / f"{name}.npy")
        np.save(paths[-1], values)
    paths.append(folder / "clusters.uuids.csv")
    paths[-1].write_text("uuids\n" + "\n".join(planted.uuids) + "\n")
    paths.append(folder / "clusters.metrics.pqt")
    pd.DataFrame(
        {"cluster_id": np.arange(n_units), "label": np.where(np.arange(n_units) % 3, 1.0, 0.5)}
    ).to_parquet(paths[-1])
    return paths
