"""Sliding quality metrics against `iblphotometry.qc.qc_signals`, in one process.

Run: python benchmarks/bench_sliding_qc.py
Five metrics on a simulated 60-minute recording of two fibers and two bands, and on CQ002 when
IBLNM_REAL_DATA is set; both compute the same windows, whose values are compared.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from _common import cpu_seconds, row

from iblnm.signal.qc import sliding_metrics

NAMES = (
    "median_absolute_deviance",
    "percentile_distance",
    "percentile_asymmetry",
    "ar_score",
)


def library(bands: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The library's table, the unique fraction of whole signals included."""
    from iblphotometry import metrics, qc

    functions = [getattr(metrics, name) for name in (*NAMES, "n_unique_samples")]
    return qc.qc_signals(
        bands,
        functions,
        metrics_kwargs={"percentile_asymmetry": {"pc_comp": 75}},
        sliding_kwargs={"w_len": 120, "step_len": 60, "detrend": True},
    )


def ours(bands: dict[str, pd.DataFrame]) -> dict[tuple[str, str], pd.DataFrame]:
    """Our windows of every band and fiber, and the unique fraction of the whole signals."""
    tables = {}
    for band, frame in bands.items():
        for name in frame:
            values = frame[name].to_numpy()
            tables[band, name] = sliding_metrics(frame.index.to_numpy(), values)
            tables[band, name].attrs["unique"] = len(np.unique(values)) / len(values)
    return tables


def largest_difference(theirs: pd.DataFrame, tables: dict) -> float:
    """Largest absolute difference of any window's value."""
    largest = 0.0
    windows = theirs.dropna(subset=["window"])
    for (band, region, metric), group in windows.groupby(["band", "brain_region", "metric"]):
        if metric in NAMES:
            mine = tables[band, region][metric].to_numpy()
            difference = np.abs(mine - group["value"].to_numpy(dtype=float))
            assert np.isfinite(difference).all(), f"{metric}: a window without a value"
            largest = max(largest, float(difference.max()))
    return largest


def compare(name: str, bands: dict[str, pd.DataFrame]) -> None:
    """Print CPU of both, their ratio and the largest difference."""
    difference = largest_difference(library(bands), ours(bands))
    slow = cpu_seconds(lambda: library(bands), repeats=2)
    fast = cpu_seconds(lambda: ours(bands), repeats=5)
    row(f"{name}: qc_signals, five metrics", slow, "CPU-s")
    row(f"{name}: iblnm", fast, "CPU-s")
    row("  ratio", slow / fast, "x", ">= 10")
    row("  largest difference of a window", difference, "", "<= 1e-9")


def main() -> None:
    from iblnm.demo import simulate_session

    bands = simulate_session(duration_s=3600, n_trials=800).bands
    compare("60 min, 2 fibers, 2 bands", {name: band.dropna() for name, band in bands.items()})
    real = os.environ.get("IBLNM_REAL_DATA")
    if real:
        from iblphotometry.fpio import from_session_path

        session = Path(real) / "alf/cortexlab/Subjects/CQ002/2024-11-05/001"
        compare("CQ002", from_session_path(session))


if __name__ == "__main__":
    main()
