"""What limits many workers and 100,000 sessions: database, file system or sensor.

A simulation of events. Each worker begins (imports, then what is done alone: the list of
sessions, its claims), then takes one session after the other: it computes, asks the database in
between, and reads and writes files. The database has some cores, the file system a bandwidth;
who finds them busy waits in line. The costs are those that `bench_cluster.py` measures.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

_TURNS = 5
"""Of a session: as often it computes for a while, then asks the database."""


@dataclass(frozen=True)
class Costs:
    """Of one session and of one task [s of a core, MB].

    Parameters
    ----------
    compute_s : float
        The worker's own, per session.
    database_s : float
        The server's, per session.
    file_mb : float
        Read and written per session.
    start_s : float
        Imports, per task.
    alone_s : float
        In which one task at a time lists and claims sessions.
    cores : int
        Of the database.
    bandwidth_mb_s : float
        Of the file system, for all together.
    """

    compute_s: float = 1.0
    database_s: float = 0.1
    file_mb: float = 100.0
    start_s: float = 8.0
    alone_s: float = 5.0
    cores: int = 4
    bandwidth_mb_s: float = 1000.0


class _Line:
    """Some equal servers with one line before them, first come, first served."""

    def __init__(self, servers: int):
        self._free = [0.0] * servers
        self.busy_s = 0.0

    def serve(self, arrival: float, seconds: float) -> float:
        """When a request that arrives at a time is done."""
        end = max(arrival, heapq.heappop(self._free)) + seconds
        heapq.heappush(self._free, end)
        self.busy_s += seconds
        return end


@dataclass(frozen=True)
class Run:
    """How a simulated array ended.

    Parameters
    ----------
    hours : float
        Until the last session.
    per_hour : float
        Sessions.
    database, files : float
        Share of the time in which these are busy.
    efficiency : float
        Sessions per hour over those of as many workers that wait for nothing.
    """

    hours: float
    per_hour: float
    database: float
    files: float
    efficiency: float


def simulate(workers: int, sessions: int, costs: Costs, seed: int = 0) -> Run:
    """Run an array of so many tasks over so many sessions."""
    rng = np.random.default_rng(seed)
    database, files, alone = _Line(costs.cores), _Line(1), _Line(1)
    steps = [_task(i, workers, sessions, costs, rng) for i in range(workers)]
    waiting = [(0.0, i) for i in range(workers)]
    end = 0.0
    while waiting:
        now, i = heapq.heappop(waiting)
        step = next(steps[i], None)
        if step is None:
            end = max(end, now)
            continue
        kind, seconds = step
        if kind == "compute":
            now += seconds
        else:
            line = {"database": database, "files": files, "alone": alone}[kind]
            now = line.serve(now, seconds)
        heapq.heappush(waiting, (now, i))
    unhindered = costs.compute_s + costs.database_s + costs.file_mb / costs.bandwidth_mb_s
    per_s = sessions / end
    return Run(
        end / 3600,
        3600 * per_s,
        database.busy_s / end / costs.cores,
        files.busy_s / end,
        per_s * unhindered / workers,
    )


def _task(
    i: int, workers: int, sessions: int, costs: Costs, rng: np.random.Generator
) -> Iterator[tuple[str, float]]:
    yield "compute", costs.start_s
    yield "alone", costs.alone_s
    for _ in range(i, sessions, workers):
        # sessions differ in length: one in twenty takes twice the median
        length = rng.lognormal(0.0, 0.42) / np.exp(0.42**2 / 2)
        for _ in range(_TURNS):
            yield "compute", length * costs.compute_s / _TURNS
            yield "database", costs.database_s / _TURNS
        yield "files", length * costs.file_mb / costs.bandwidth_mb_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    for name, default in vars(Costs()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    given = vars(parser.parse_args())
    n = given.pop("sessions")
    costs = Costs(**given)
    print(costs)
    print("workers  cores   MB/s       h    per h  database  files  efficiency")
    places = [
        (costs.cores, costs.bandwidth_mb_s),
        (1, costs.bandwidth_mb_s),
        (costs.cores, costs.bandwidth_mb_s / 10),
    ]
    for cores, bandwidth in places:
        for workers in (1, 4, 16, 64, 256):
            run = simulate(workers, n, replace(costs, cores=cores, bandwidth_mb_s=bandwidth))
            print(
                f"{workers:>7}{cores:>7}{bandwidth:>7.0f}{run.hours:>8.1f}{run.per_hour:>9.0f}"
                f"{run.database:>10.0%}{run.files:>7.0%}{run.efficiency:>12.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
