"""How the analyses of the cohort grow. Run: python benchmarks/bench_cohort_growth.py

Simulated tables of 100, 300 and 1,000 recordings of five targets in 40, 60 and 120 animals, 300
trials each. Every analysis that starts from the magnitudes runs in a process of its own, with the
settings of the study; printed are its CPU and wall time, its peak memory, and the exponent by
which the CPU time grows from the first size to the last.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _common import row, temporary_root
from bench.cohort_tables import ANALYZED, simulate_magnitudes

from iblnm.analysis import registry
from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.config import Settings
from iblnm.schemas import PERFORMANCE

SIZES = {100: 40, 300: 60, 1000: 120}
NAMES = (
    "response_matrix",
    "response_similarity",
    "response_anova",
    "response_lmm",
    "target_decoding",
    "movement_encoding",
    "task_encoding",
)
MAX_EXPONENT = 1.3


def write_inputs(folder: Path, n: int, n_subjects: int) -> None:
    """Tables that the analyses start from."""
    per_target = n_subjects // len(ANALYZED)
    magnitudes, truth = simulate_magnitudes(
        n_subjects=per_target, sessions_per_subject=round(n / n_subjects), n_trials=300, seed=n
    )
    RESPONSE_MAGNITUDES.conform(magnitudes).to_parquet(folder / "response_magnitudes.pqt")
    truth["trial_regressors"].to_parquet(folder / "trial_regressors.pqt")
    rng, eids = np.random.default_rng(n), magnitudes["eid"].unique()
    performance = pd.DataFrame(
        {
            "eid": eids,
            "n_trials": 300,
            "psych_50_bias": rng.normal(0, 5, len(eids)),
            "psych_50_threshold": rng.normal(20, 3, len(eids)),
            "psych_50_lapse_left": rng.uniform(0, 0.2, len(eids)),
            "psych_50_lapse_right": rng.uniform(0, 0.2, len(eids)),
        }
    )
    PERFORMANCE.conform(performance).to_parquet(folder / "performance_table.pqt")


def run(folder: Path, name: str, answers: multiprocessing.Queue) -> None:
    """Make one analysis; tell CPU s, wall s and peak MiB of the process."""
    declared = registry.analysis(name)
    given = {entry: pd.read_parquet(folder / f"{entry}.pqt") for entry in declared.inputs}
    given |= {entry: Settings(root=folder) for entry in declared.resources}
    cpu, wall = time.process_time(), time.perf_counter()
    result = declared.compute(**given)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    result.tables[declared.main].to_parquet(folder / f"{name}.pqt")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answers.put((cpu, wall, memory))


def measure(folder: Path, name: str) -> tuple[float, float, float]:
    """Numbers of `run`, in a new process."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=run, args=(folder, name, answers))
    process.start()
    found = answers.get()
    process.join()
    return found


def main() -> None:
    """Print a row per analysis and size, then the exponents."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--names", nargs="+", default=list(NAMES))
    given = parser.parse_args()
    cpus: dict[str, dict[int, float]] = {name: {} for name in given.names}
    for n in given.sizes:
        total = 0.0
        with temporary_root() as folder:
            write_inputs(folder, n, SIZES.get(n, max(n // 8, 20)))
            for name in given.names:
                cpu, wall, memory = measure(folder, name)
                cpus[name][n] = cpu
                total += wall
                row(f"{name}, {n} recordings, CPU", cpu, "s")
                row(f"{name}, {n} recordings, wall", wall, "s")
                row(f"{name}, {n} recordings, memory", memory, "MiB")
        row(f"all, {n} recordings, one after the other", total / 60, "min", "<= 30" * (n == 1000))
    for name, by_size in cpus.items():
        first, last = min(by_size), max(by_size)
        if first < last:
            exponent = np.log(by_size[last] / by_size[first]) / np.log(last / first)
            row(f"{name}, exponent from {first} to {last}", exponent, "", f"<= {MAX_EXPONENT}")


if __name__ == "__main__":
    main()
