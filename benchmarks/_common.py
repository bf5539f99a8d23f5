"""What the benchmarks share: archives to run on, CPU time, printed rows."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# servers, planted cohorts and slow references are those of the tests
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


@contextmanager
def temporary_root() -> Iterator[Path]:
    """A folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="iblnm-benchmark-") as folder:
        yield Path(folder)


def cpu_seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """Smallest CPU time of the function over some repeats."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def report_rate(name: str, hits: Sequence[bool], nominal: float) -> None:
    """Print a rate, of how many, its interval (Clopper & Pearson) and the nominal rate."""
    from scipy.stats import binomtest

    n = len(hits)
    interval = binomtest(int(sum(hits)), n, nominal).proportion_ci(0.95)
    holds = "holds" if interval.low <= nominal <= interval.high else "differs from"
    text = f"n {n} [{interval.low:.3f}, {interval.high:.3f}] {holds} {nominal:g}"
    row(name, sum(hits) / n, "", text)


def row(name: str, value: float, unit: str, limit: str = "") -> None:
    """Print one result."""
    print(f"{name:<64}{value:>10.3g} {unit:<10} {limit}", flush=True)
