import os
import subprocess

import numpy as np
import pandas as pd
import pytest
import xarray as xr

EVENTS = ["stimOn_times", "firstMovement_times", "feedback_times"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a tmpfs is not permitted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def make_session(seed=0, *, names=("VTA", "NBM_1"), n_samples=900, n_trials=20):
    """Objects of every group of a session file, with missing values of every kind."""
    rng = np.random.default_rng(seed)
    recordings = {}
    responses = {}
    for i, name in enumerate(names):
        signal = rng.normal(size=n_samples)
        signal[:3] = np.nan
        recordings[name] = xr.Dataset(
            {
                "signal": ("time", signal),
                "dff": ("time", rng.normal(size=n_samples)),
                "filter_edge": ("time", np.arange(n_samples) < 100),
            },
            coords={"time": np.arange(n_samples) / 30 + 0.1},
            attrs={
                "fs": 30.0,
                "mean": 0.1 + 0.2,
                "sd": 1e-300,
                "correction": "isosbestic",
                "iso_r2": np.nan,
                "n": 7,
                "flag": True,
                "task_start_s": None,
                "window": [-1.0, 1.0],
                "labels": ["a", "é"],
                "fiber_idx": i,
                "hemisphere": "lr"[i % 2],
            },
        )
        values = rng.normal(size=(3, n_trials, 60))
        values[1, 2] = np.nan
        responses[name] = xr.DataArray(
            values,
            dims=("event", "trial", "time"),
            coords={
                "event": EVENTS[::-1],
                "trial": np.arange(n_trials),
                "time": np.arange(-30, 30) / 30,
                "masked_share": (("event", "trial"), rng.uniform(size=(3, n_trials))),
            },
            attrs={"fs": 30.0, "response_window": [-1.0, 1.0]},
        )
    trials = pd.DataFrame({name: rng.normal(size=n_trials) for name in EVENTS})
    trials.loc[3, "feedback_times"] = np.nan
    trials["choice"] = rng.choice([-1.0, 0.0, 1.0], n_trials)
    trials["signed_contrast"] = 0.0
    trials["stim_side"] = ["left", "right", None, "left"] * (n_trials // 4)
    trials.attrs = {"block_repair": "reconstructed"}
    velocity = rng.normal(size=(n_trials, 50)).astype(np.float32)
    velocity[:, 40:] = np.nan
    bands = ["GCaMP", "Isosbestic"]
    qc = pd.DataFrame(
        {
            "eid": "e",
            # rows of the regions are interleaved on purpose
            "brain_region": list(names) * 2,
            "band": np.repeat(bands, len(names)),
            "fiber_idx": pd.array(list(range(len(names))) * 2, dtype="Int64"),
            "ar_score": rng.normal(size=2 * len(names)),
            "bleaching_tau": [np.nan] * (2 * len(names)),
            "note": [None, "not identifiable"] * len(names),
        }
    )
    metadata = pd.DataFrame(
        [
            {
                "eid": "96268231-87d4-3791-b39f-6e3059cfa72e",
                "subject": "é",
                "number": 1,
                "session_length": 3600.25,
                "end_time": None,
                "has_record": True,
                "brain_region": ["VTA", "NBM"],
                "hemisphere": ["l", None],
                "dataset_sizes": [10, None, 2**40],
                "genotype": [],
                "session_json": '{"LEN_BLOCKS": [90]}',
            }
        ]
    )
    errors = pd.DataFrame(
        {
            "eid": ["e", "e"],
            "error_type": ["BandInversion", "KeyError"],
            "error_message": ["3 > 0", None],
            "traceback": [None, "line 1\nline 2"],
        }
    )
    return {
        "metadata": metadata,
        "errors": errors,
        "photometry/qc": qc,
        "photometry/preprocessed": recordings,
        "photometry/responses": responses,
        "trials": trials,
        "wheel": xr.DataArray(
            velocity,
            dims=("trial", "time"),
            coords={"trial": np.arange(n_trials), "time": np.arange(50) / 100},
            attrs={"fs": 100, "t0_event": "stimOn_times", "n_capped": 0},
            name="velocity",
        ),
    }


@pytest.fixture
def session():
    return make_session()


@pytest.fixture
def session_maker():
    return make_session
