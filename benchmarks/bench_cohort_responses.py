"""Magnitudes and features of many recordings against loops over trials, in one process.

Run: python benchmarks/bench_cohort_responses.py
Simulated recordings of 300 trials, three events. The loops are those that the tests hold the
analyses to (`response_loops.py`); their numbers are compared here too. Memory: what is
allocated while the table is made from session files, beyond the table itself; the same for
iterating over a group with its sessions loaded.
"""

from __future__ import annotations

import gc
import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
from _common import cpu_seconds, row, temporary_root
from bench.response_loops import loop_features, loop_magnitudes, simulate

from iblnm.analysis.responses.compute import collect_magnitudes
from iblnm.analysis.responses.magnitudes import magnitude_table, recording_magnitudes
from iblnm.analysis.trials import select_trials
from iblnm.analysis.vectors.matrix import response_matrix
from iblnm.config import Settings
from iblnm.data import PhotometrySessionGroup
from iblnm.storage import write_groups

SIZES = (50, 200, 500)
N_SIMULATED = 10
TARGETS = ("VTA-DA", "SNc-DA", "DR-5HT", "LC-NE", "NBM-ACh")


def recordings(n: int) -> pd.DataFrame:
    """Rows of n recordings, one per session."""
    return pd.DataFrame(
        {
            "eid": [f"{i:08d}-0000-4000-8000-000000000000" for i in range(n)],
            "subject": [f"m{i % 40}" for i in range(n)],
            "session_type": "biased",
            "NM": "DA",
            "target_NM": [TARGETS[i % len(TARGETS)] for i in range(n)],
            "brain_region": "VTA",
            "recording_name": "VTA",
            "hemisphere": ["l", "r"] * (n // 2),
            "fiber_idx": 0,
        }
    )


def ours(rows: list[dict], data: list) -> pd.DataFrame:
    return magnitude_table(
        recording_magnitudes(row, *data[i % N_SIMULATED]) for i, row in enumerate(rows)
    )


def loops(rows: list[dict], data: list) -> pd.DataFrame:
    parts = [
        loop_magnitudes(*data[i % N_SIMULATED], row["hemisphere"]).assign(**row)
        for i, row in enumerate(rows)
    ]
    return pd.concat(parts, ignore_index=True)


def seconds_once(function) -> tuple[float, pd.DataFrame]:
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def speed() -> None:
    data = [simulate(seed) for seed in range(N_SIMULATED)]
    for n in SIZES:
        rows = recordings(n).to_dict("records")
        slow, expected = seconds_once(lambda rows=rows: loops(rows, data))
        fast = cpu_seconds(lambda rows=rows: ours(rows, data))
        table = ours(rows, data)
        np.testing.assert_allclose(
            table["response_early"].to_numpy(), expected["response_early"].to_numpy(), atol=1e-9
        )
        row(f"magnitudes, {n} recordings, loop over trials", slow, "CPU-s")
        row(f"magnitudes, {n} recordings", fast, "CPU-s")
        row(f"magnitudes, {n} recordings, ratio", slow / fast, "x", "at least 5")

        selected, _ = select_trials(table)
        slow, expected = seconds_once(lambda table=selected: loop_features(table))
        fast = cpu_seconds(lambda table=selected: response_matrix(table))
        matrix = response_matrix(selected)
        np.testing.assert_allclose(
            matrix.to_numpy(),
            expected.reindex(columns=matrix.columns).to_numpy(dtype=float),
            atol=1e-9,
        )
        row(f"features, {n} recordings, loop over trials", slow, "CPU-s")
        row(f"features, {n} recordings", fast, "CPU-s")
        row(f"features, {n} recordings, ratio", slow / fast, "x", "at least 3")


def memory(root: Path) -> None:
    settings = Settings(root=root)
    settings.sessions_h5_dir.mkdir(parents=True)
    table = recordings(max(SIZES))
    for i, eid in enumerate(table["eid"]):
        path = settings.sessions_h5_dir / f"{eid}.h5"
        if i < N_SIMULATED:
            responses, trials = simulate(i)
            write_groups(path, {"trials": trials, "photometry/responses": {"VTA": responses}})
        else:
            os.link(settings.sessions_h5_dir / f"{table['eid'][i % N_SIMULATED]}.h5", path)
    collect_magnitudes(table[:2], settings.sessions_h5_dir, settings)  # imports
    per_fiber = {
        name: [[value] for value in table[name]]
        for name in ("brain_region", "recording_name", "hemisphere", "target_NM")
    }
    catalog = table.drop(columns="fiber_idx").assign(**per_fiber)
    for n in SIZES:
        gc.collect()
        tracemalloc.start()
        result, _ = collect_magnitudes(table[:n], settings.sessions_h5_dir, settings)
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        row(f"table of magnitudes, {n} recordings", kept / 1e6, "MB", f"{len(result)} rows")
        row(f"beyond the table, {n} recordings", (peak - kept) / 1e6, "MB")
        group = PhotometrySessionGroup(catalog[:n], settings=settings)
        len(group)
        gc.collect()
        tracemalloc.start()
        for _, session in group:
            assert session.trials is not None
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        row(f"iterating a group, {n} recordings, peak", peak / 1e6, "MB", "flat")


if __name__ == "__main__":
    speed()
    with temporary_root() as folder:
        memory(folder)
