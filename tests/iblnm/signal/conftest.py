from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

CQ002 = "alf/cortexlab/Subjects/CQ002/2024-11-05/001"
FIP_40 = "alf/wittenlab/Subjects/fip_40/2023-05-18/001"


def _bands(root: Path, regions: dict[str, str], valid: str, masked: bool) -> dict:
    table = pd.read_parquet(root / "alf/photometry/photometry.signal.pqt")
    bands = {}
    for band in ("GCaMP", "Isosbestic"):
        rows = table[table["name"] == band].set_index("times")
        if len(rows):
            frame = rows[list(regions)].set_axis(list(regions.values()), axis=1)
            if masked:
                frame[~rows[valid].to_numpy()] = np.nan
            bands[band] = frame
    return bands


@pytest.fixture
def cq002(real_data):
    """Bands with every sample, and trials."""
    bands = _bands(real_data / CQ002, {"G0": "SI", "G4": "PPT"}, "valid", masked=False)
    return bands, pd.read_parquet(real_data / CQ002 / "alf/task_00/_ibl_trials.table.pqt")


@pytest.fixture
def fip_40(real_data):
    """Bands with invalid samples NaN, and trials."""
    regions = {"Region0G": "DLS", "Region1G": "DMS", "Region2G": "NAcc"}
    bands = _bands(real_data / FIP_40, regions, "include", masked=True)
    return bands, pd.read_parquet(real_data / FIP_40 / "alf/_ibl_trials.table.pqt")


@pytest.fixture
def make_bands():
    """Bands of a session with bleaching, autocorrelated noise and jittered times."""

    def make(duration_s=600.0, fs=30.0, recordings=("VTA", "DR"), isosbestic=True, seed=0):
        rng = np.random.default_rng(seed)
        n = int(duration_s * fs)
        times = 100.0 + np.cumsum(rng.normal(1 / fs, 2e-4, n))
        shared = {name: lfilter([0.05], [1, -0.95], rng.normal(size=n)) for name in recordings}

        def shared_at(at, name):
            return np.interp(at, times, shared[name])

        def frame(offset_s, amplitude):
            values = {
                name: (0.02 * np.exp(-(times - times[0]) / 1500) + 0.01)
                * (1 + amplitude * shared_at(times + offset_s, name) + 5e-4 * rng.normal(size=n))
                for name in recordings
            }
            return pd.DataFrame(values, index=pd.Index(times + offset_s, name="times"))

        bands = {"GCaMP": frame(0.0, 0.05)}
        if isosbestic:
            bands["Isosbestic"] = frame(-0.5 / fs, 0.02)
        return bands

    return make
