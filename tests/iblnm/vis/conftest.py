"""Tables of a small cohort for the figures."""

import numpy as np
import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.demo.cohort_tables import simulate_magnitudes

TIMES = np.arange(-30, 30) / 30


@pytest.fixture(scope="session")
def settings():
    return Settings()


@pytest.fixture(scope="session")
def magnitudes():
    return simulate_magnitudes(
        targets=("VTA-DA", "LC-NE"),
        n_subjects=3,
        sessions_per_subject=2,
        n_trials=200,
        n_unbiased=60,
        nogo_fraction=0.02,
    )[0]


@pytest.fixture(scope="session")
def mean_traces(magnitudes):
    keys = ["eid", "subject", "target_NM", "brain_region", "fiber_idx"]
    keys += ["event", "contrast", "feedbackType"]
    cells = magnitudes.groupby(keys)["response_early"].agg(["mean", "size"]).reset_index()
    long = cells.loc[cells.index.repeat(len(TIMES))].reset_index(drop=True)
    long["time"] = np.tile(TIMES, len(cells))
    long["response"] = long["mean"] * (long["time"] >= 0)
    return long.rename(columns={"size": "n_trials"}).drop(columns="mean")


@pytest.fixture(scope="session")
def response_matrix(magnitudes):
    outcome = magnitudes["feedbackType"].map({1.0: "correct", -1.0: "incorrect"})
    feature = magnitudes["event"].str.removesuffix("_times") + "_c"
    feature += magnitudes["contrast"].map("{:g}".format) + "_" + magnitudes["side"] + "_" + outcome
    index = ["eid", "target_NM", "fiber_idx", "subject"]
    wide = magnitudes.assign(feature=feature).pivot_table(
        index=index, columns="feature", values="response_early"
    )
    return wide.reset_index().rename_axis(columns=None)


@pytest.fixture(scope="session")
def quality():
    rng = np.random.default_rng(0)
    rows = []
    for i in range(12):
        for band in ("GCaMP", "Isosbestic"):
            rows.append(
                {
                    "eid": f"session{i}",
                    "brain_region": "VTA",
                    "band": band,
                    "fiber_idx": 0,
                    "n_unique_samples": rng.uniform(0.1, 1),
                    "n_band_inversions": 0.0,
                    "n_early_samples": 0.0,
                    "ar_score": rng.uniform(0.5, 1),
                    "median_absolute_deviance": 10 ** rng.uniform(-5, -2),
                    "percentile_asymmetry": rng.uniform(0.8, 1.4),
                    "percentile_distance": rng.uniform(1, 3),
                    "bleaching_tau": rng.uniform(100, 900) if band == "GCaMP" else np.nan,
                    "iso_correlation": rng.uniform(0, 1) if band == "GCaMP" else np.nan,
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def sessions():
    n = 12
    return pd.DataFrame(
        {
            "eid": [f"session{i}" for i in range(n)],
            "subject": [f"mouse{i % 4}" for i in range(n)],
            "start_time": [f"2024-{1 + i // 4:02d}-{3 + i:02d}T10:00:00" for i in range(n)],
            "target_NM": [["VTA-DA"] if i % 2 else ["LC-NE"] for i in range(n)],
        }
    )
