"""Loading of photometry: ibl-photometry's session loader against `iblnm.io.load_photometry`.

Both in this process, on one core: CPU time of a load from disk to the frames of both bands,
restricted to the task. Sessions: a synthetic one of 60 minutes with 2 fibers, 60 frames per
second and 800 trials, and the real recording CQ002 (folder IBLNM_REAL_DATA, if present).

    python benchmarks/bench_loading.py
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from iblphotometry.fpio import PhotometrySessionLoader
from one.api import One

from iblnm.archive import fetch_session
from iblnm.config import Settings
from iblnm.io import load_photometry, photometry_reference
from iblnm.io.signal_file import _read

REPEATS = 7
DURATION_S = 3600.0
FRAME_RATE = 60.0
N_TRIALS = 800


def cpu_seconds(function: Callable[[], object], before: Callable[[], object]) -> float:
    """Smallest CPU time of several calls, each after `before`."""
    spent = []
    for _ in range(REPEATS + 1):  # the first call warms up
        before()
        start = time.process_time()
        function()
        spent.append(time.process_time() - start)
    return min(spent[1:])


def make_session(folder: Path) -> str:
    """Write a session of the size of a long recording, with the tables of ONE."""
    from iblutil.io.parquet import save
    from one.alf.cache import make_parquet_db

    session = folder / "lab" / "Subjects" / "M1" / "2024-01-01" / "001"
    photometry = session / "alf" / "photometry"
    photometry.mkdir(parents=True)
    n = int(DURATION_S * FRAME_RATE)
    rng = np.random.default_rng(0)
    name = np.where(np.arange(n) % 2 == 1, "GCaMP", "Isosbestic").astype(object)
    name[0] = ""
    table = {f"G{i}": 1 + 0.01 * rng.normal(size=n) for i in range(2)}
    table |= {"times": np.arange(n) / FRAME_RATE, "valid": True, "wavelength": 470.0}
    pd.DataFrame({**table, "name": name, "color": name}).to_parquet(
        photometry / "photometry.signal.pqt"
    )
    index = pd.Index(["G0", "G1"], name="ROI")
    locations = pd.DataFrame({"fiber": "f", "brain_region": ["VTA", "SNc"]}, index=index)
    locations.to_parquet(photometry / "photometryROI.locations.pqt")
    begin = np.linspace(20, DURATION_S - 20, N_TRIALS)
    times = ("goCue", "stimOn", "firstMovement", "response", "feedback")
    trials = pd.DataFrame({f"{event}_times": begin + 0.1 for event in times})
    trials["intervals_0"], trials["intervals_1"] = begin, begin + 3
    for column in ("choice", "feedbackType", "contrastLeft", "contrastRight", "rewardVolume"):
        trials[column] = 1.0
    trials["probabilityLeft"] = 0.5
    trials.to_parquet(session / "alf" / "_ibl_trials.table.pqt")
    make_parquet_db(folder, hash_files=True, lab="lab")
    eid = str(uuid.uuid3(uuid.NAMESPACE_URL, "benchmark"))
    sessions = pd.read_parquet(folder / "sessions.pqt").reset_index()
    datasets = pd.read_parquet(folder / "datasets.pqt").reset_index()
    sessions["id"], datasets["eid"] = eid, eid
    meta = {"date_created": "2024-01-01 00:00", "origin": "benchmark"}
    save(folder / "sessions.pqt", sessions.set_index("id"), meta)
    save(folder / "datasets.pqt", datasets.set_index(["eid", "id"]), meta)
    return eid


def compare(label: str, cache_dir: Path, eid: str) -> None:
    """Print the CPU times of both loaders and their ratio."""
    one = One(cache_dir=cache_dir, mode="local")
    settings = Settings(root=cache_dir, one_cache_dir=cache_dir, _env_file=None)
    row = fetch_session(one, eid, settings)
    reference = photometry_reference(one, eid, row, settings)
    loader = PhotometrySessionLoader(one=one, eid=eid)
    loader.load_trials()
    library = cpu_seconds(loader.load_photometry, lambda: None)
    ours = cpu_seconds(lambda: load_photometry(reference), _read.cache_clear)
    kept = cpu_seconds(lambda: load_photometry(reference), lambda: None)
    verified = cpu_seconds(
        lambda: photometry_reference(one, eid, row, settings), _read.cache_clear
    )
    bands = load_photometry(reference)
    for band, frame in loader.photometry.items():
        valid = bands[band].notna().all(axis=1).to_numpy()
        assert np.array_equal(bands[band].index, frame.index)
        assert np.array_equal(bands[band].to_numpy()[valid], frame.to_numpy()[valid])
    print(
        f"{label:26s} library {library * 1e3:7.1f} ms   iblnm {ours * 1e3:6.1f} ms"
        f"   ratio {library / ours:5.1f}   from the kept file {kept * 1e3:5.1f} ms"
        f"   reference {verified * 1e3:5.1f} ms"
    )


def main() -> None:
    warnings.simplefilter("ignore")
    print(f"CPU time, smallest of {REPEATS} calls")
    with tempfile.TemporaryDirectory() as name:
        eid = make_session(Path(name))
        compare("synthetic 60 min, 2 fibers", Path(name), eid)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    real = Path(os.environ.get("IBLNM_REAL_DATA", default)) / "alf"
    if (real / "sessions.pqt").is_file():
        compare("CQ002, 52 min, 2 fibers", real, "96268231-87d4-3791-b39f-6e3059cfa72e")
    else:
        print(f"no real recordings at {real} (IBLNM_REAL_DATA)")


if __name__ == "__main__":
    main()
