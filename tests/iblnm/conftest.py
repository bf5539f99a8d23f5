"""A simulated cohort for the tests of analyses and of groups."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from iblnm.config import Settings
from iblnm.storage import write_groups


@dataclass(frozen=True)
class Cohort:
    """Simulated sessions: three mice, two sessions each, the first mouse with two fibers."""

    settings: Settings
    catalog: pd.DataFrame
    truth: dict[tuple[str, int], tuple[xr.DataArray, pd.DataFrame]]

    def h5_path(self, eid):
        return self.settings.sessions_h5_dir / f"{eid}.h5"


@pytest.fixture(scope="session")
def cohort(loops, tmp_path_factory):
    """Session files and catalog of simulated sessions. Read only."""
    settings = Settings(root=tmp_path_factory.mktemp("cohort"))
    settings.sessions_h5_dir.mkdir(parents=True)
    rows, truth = [], {}
    for i in range(6):
        subject, day = divmod(i, 2)
        regions = ["VTA", "SNc"] if subject == 0 else [["LC"], ["DR"]][subject - 1]
        nm = ["DA", "NE", "5HT"][subject]
        eid = f"{i:08d}-0000-4000-8000-000000000000"
        rows.append(
            {
                "eid": eid,
                "subject": f"m{subject}",
                "start_time": f"2024-01-0{day + 1}T10:00:00",
                "number": 1,
                "lab": "lab-a",
                "session_type": ["biased", "ephys"][day],
                "NM": nm,
                "brain_region": regions,
                "recording_name": regions,
                "hemisphere": ["l", "r"][: len(regions)],
                "target_NM": [f"{region}-{nm}" for region in regions],
                "n_recordings": len(regions),
            }
        )
        responses, trials = loops.simulate(10 * i, 120)
        other, _ = loops.simulate(10 * i + 1, 120)
        arrays = dict(zip(regions, (responses, other), strict=False))
        for fiber, array in enumerate(arrays.values()):
            truth[eid, fiber] = (array, trials)
        wheel = xr.DataArray(
            np.random.default_rng(i).normal(size=(120, 50)).astype(np.float32),
            dims=("trial", "time"),
            coords={"trial": np.arange(120), "time": np.arange(50) / 100},
        )
        groups = {"trials": trials, "photometry/responses": arrays, "wheel": wheel}
        write_groups(settings.sessions_h5_dir / f"{eid}.h5", groups)
    return Cohort(settings, pd.DataFrame(rows), truth)
