"""Speed and memory of the data layers, against straightforward loops: one process, CPU seconds.

``python benchmarks/bench_layers.py [--small]`` writes inputs of the sizes of real insertions
(1,600 units, 26 million spikes) into a temporary folder, runs each part once for its compiler
and once for the clock, and prints time, ratio and limit. ``--large`` adds 83 million spikes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from _common import temporary_root
from bench.layer_tables import simulate_sessions

from iblnm.archive.cache_tables import update_cache_tables
from iblnm.demo import build_layers_archive
from iblnm.layers.dataset_status import dataset_status
from iblnm.layers.duplicates import find_duplicates
from iblnm.layers.grouping import group_spikes
from iblnm.layers.page import build_page, save_page
from iblnm.layers.population import correlation_matrix, eigenvalue_spectrum
from iblnm.layers.registry import Registry, entries_of_paths
from iblnm.layers.single_unit import Epoch, single_unit_metrics
from iblnm.layers.spike_file import read_units, write_spike_index, write_spikes
from iblnm.layers.spike_sorting import SortedProbe, sorted_probe
from iblnm.layers.spike_trains import count_spikes
from iblnm.layers.units import session_units

EID = "51b90000-0000-4000-8000-000000000001"
DURATION_S, RATE_HZ = 5400.0, 30_000
DAYS = ("2024-05-01", "2024-05-08")  # of the two sessions of an animal of the simulated archive
EPOCHS = {"spontaneous": Epoch((100.0, 400.0), (3000.0, 3300.0))}


def uuids(n: int, rng: np.random.Generator) -> list[str]:
    return [str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(n)]


def make_sorting(folder: Path, n_spikes: int, n_units: int, seed: int = 0) -> SortedProbe:
    """Files of a sorting with log-normal rates."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rates = rng.lognormal(0, 1.3, n_units)
    clusters = rng.choice(n_units, n_spikes, p=rates / rates.sum()).astype(np.uint32)
    samples = np.sort(rng.integers(0, int(DURATION_S * RATE_HZ), n_spikes))
    arrays = {
        "spikes.times": samples / RATE_HZ,
        "spikes.clusters": clusters,
        "spikes.samples": samples,
        "spikes.amps": rng.random(n_spikes),
        "clusters.channels": rng.integers(0, 384, n_units),
        "clusters.depths": rng.random(n_units),
        "channels.localCoordinates": rng.random((384, 2)),
        "channels.brainLocationIds_ccf_2017": np.full(384, 128),
        "channels.mlapdv": rng.integers(-3000, 3000, (384, 3)),
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    (folder / "clusters.uuids.csv").write_text("uuids\n" + "\n".join(uuids(n_units, rng)))
    metrics = {f"metric_{i}": rng.random(n_units) for i in range(30)}
    pd.DataFrame({"cluster_id": np.arange(n_units), **metrics}).to_parquet(
        folder / "clusters.metrics.pqt"
    )
    paths = [f"alf/probe00/iblsorter/{path.name}" for path in folder.iterdir()]
    registry = Registry(entries_of_paths(paths))
    return sorted_probe(registry, EID, "probe00", "pid", lambda rel: folder / Path(rel).name)


def cpu(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def report(what: str, seconds: float, limit: float, loop: float | None = None) -> None:
    ratio = "" if loop is None else f"{loop / seconds:8.1f} x"
    mark = "ok" if seconds <= limit else "OVER"
    print(f"{what:52} {seconds * 1e3:10.1f} ms  limit {limit * 1e3:8.0f} ms {ratio:>10} {mark}")


def loop_grouping(times: np.ndarray, clusters: np.ndarray, n: int, some: int = 40) -> float:
    """A mask per unit, of a part of the units, scaled to all."""
    return cpu(lambda: [times[clusters == k] for k in range(some)]) * n / some


def bench_status() -> None:
    rng = np.random.default_rng(0)
    paths = [f"alf/probe0{i % 2}/iblsorter/file{i}.npy" for i in range(110)]
    paths += [
        f"alf/probe0{i}/iblsorter/spikes.{w}.npy" for i in (0, 1) for w in ("times", "clusters")
    ]
    paths += [f"raw_video_data/file{i}.mp4" for i in range(36)]
    rng.shuffle(paths)
    insertions = [{"name": "probe00", "json": {"xyz_picks": [[0, 0, 0]]}}] * 2

    def one() -> dict:
        return dataset_status(EID, Registry(entries_of_paths(paths)), insertions, ())[0]

    one()
    seconds = cpu(lambda: [one() for _ in range(1000)])
    report("38 columns of a session of 150 datasets", seconds / 1000, 0.005)
    report("table of 1,000 sessions", cpu(lambda: pd.DataFrame([one() for _ in range(1000)])), 3.0)


def forget_peak() -> None:
    """The largest memory is taken from here on (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """Largest memory of this process since `forget_peak` (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def bench_spikes(
    folder: Path, n_spikes: int, n_units: int, limit: float, memory_mib: float
) -> None:
    probe = make_sorting(folder / f"sorting{n_spikes}", n_spikes, n_units)
    path = folder / "spikes" / f"{EID}.h5"
    forget_peak()
    seconds = cpu(lambda: write_spikes(path, EID, [probe]))
    report(f"spikes of {n_spikes:.1e}, files to file", seconds, limit)
    print(f"{'':52} {peak_mib():10.1f} MiB limit {memory_mib:8.0f} MiB at most of this process")
    ids = list(read_units(path))
    alone = cpu(lambda: [read_units(path, [uuid]) for uuid in ids[:50]]) / 50

    def loop_read() -> list:
        with h5py.File(path) as file:
            return [file["units"][uuid]["times"][:] for uuid in ids]

    report("one unit", alone, 0.002)
    report(
        "all units",
        cpu(lambda: [t.sum() for t in read_units(path).values()]),
        0.15,
        cpu(loop_read),
    )
    units = cpu(lambda: session_units([probe], {"subject": "a", "session_n": 1.0}))
    report("units of one insertion", units, 0.1)


def bench_science(folder: Path, n_spikes: int, n_units: int) -> None:
    source = folder / f"sorting{n_spikes}"
    times, clusters, samples, amps, channels = (
        np.load(source / f"{name}.npy")
        for name in (
            "spikes.times",
            "spikes.clusters",
            "spikes.samples",
            "spikes.amps",
            "clusters.channels",
        )
    )
    report(
        "grouping alone",
        cpu(lambda: group_spikes(times, clusters, n_units)),
        0.5,
        loop_grouping(times, clusters, n_units),
    )
    report("duplicates", cpu(lambda: find_duplicates(samples, clusters, amps, channels)), 0.5)
    grouped = group_spikes(times, clusters, n_units)
    ids = uuids(n_units, np.random.default_rng(1))
    report(
        "single_unit, spontaneous",
        cpu(lambda: single_unit_metrics(grouped.times, grouped.offsets, ids, EPOCHS)),
        10.0,
    )
    n = min(700, n_units)
    some = grouped.times[: grouped.offsets[n]], grouped.offsets[: n + 1]
    starts = (100.0, 500.0, 3000.0, 3500.0)

    def loop_counts() -> None:
        for start in starts:
            edges = start + 0.1 * np.arange(3001)
            for k in range(n):
                np.histogram(some[0][some[1][k] : some[1][k + 1]], edges)

    report(
        f"counts, {n} units x 4 epochs",
        cpu(lambda: [count_spikes(*some, start, start + 300.0, 0.1) for start in starts]),
        1.0,
        cpu(loop_counts),
    )
    counts = count_spikes(grouped.times, grouped.offsets, 100.0, 400.0, 0.1)
    spectrum: list[np.ndarray] = []
    seconds = cpu(lambda: spectrum.append(eigenvalue_spectrum(correlation_matrix(counts)[0])))
    from sklearn.decomposition import PCA

    rows = counts[counts.std(axis=1) > 0]
    z = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    pca = PCA()
    slow = cpu(lambda: pca.fit(z.T))
    report(f"spectrum, {len(rows)} x 3,000", seconds, 1.0, slow)
    right = pca.explained_variance_ * (z.shape[1] - 1) / z.shape[1]
    print(f"{'':52} largest difference {np.abs(right - spectrum[0]).max():.1e}")


def bench_page(folder: Path, n_sessions: int) -> None:
    sessions, detail, histology = simulate_sessions(n_sessions)
    path = folder / "datasets.html"
    seconds = cpu(lambda: save_page(build_page(sessions, detail, histology), path))
    print(f"{f'page Datasets, {n_sessions} sessions':52} {seconds * 1e3:10.1f} ms")
    print(f"{'':52} {path.stat().st_size / 1e6:.2f} MB, limit 2 MB")


def bench_index(folder: Path, n_files: int, n_units: int) -> None:
    rng = np.random.default_rng(0)
    files = []
    (folder / "index" / "spikes").mkdir(parents=True)
    for i in range(n_files):
        files.append(folder / "index" / "spikes" / f"{i:08d}-0000-4000-8000-000000000000.h5")
        with h5py.File(files[-1], "w") as file:
            file["uuids"] = np.array(uuids(n_units, rng)).astype("S36")
    path = folder / "index" / "spikes.h5"
    report(f"index of {n_files * n_units} units", cpu(lambda: write_spike_index(path, files)), 5.0)
    print(f"{'':52} {path.stat().st_size / 1e6:.1f} MB, limit 20 MB")


def bench_worker(folder: Path, n_spikes: int, n_units: int) -> None:
    """All layers of a session in a warm worker, which is a process of its own."""
    truth = build_layers_archive(folder / "alf", n_animals=1)["sessions"]
    eids = [eid for eid, session in truth.items() if session["condition"]]
    (day,) = (folder / "alf").glob(f"*/Subjects/PS_000/{DAYS[1]}")
    (times,) = day.rglob("spikes.times.npy")
    make_sorting(folder / "large", n_spikes, n_units)
    for path in (folder / "large").iterdir():
        path.replace(times.with_name(path.name))
    record = folder / "alf" / ".alyx" / "sessions" / f"{eids[1]}.json"
    detail = json.loads(record.read_text())
    for item in detail["data_dataset_session_related"]:
        if (written := times.with_name(item["name"])).exists():
            item |= {"file_size": written.stat().st_size, "hash": None}
    record.write_text(json.dumps(detail))
    update_cache_tables(folder / "alf", [detail], "bench_layers")
    os.environ["IBLNM_ROOT"] = str(folder / "root")
    os.environ["IBLNM_ONE_CACHE_DIR"] = str(folder / "alf")
    os.environ["IBLNM_LAYERS__ENABLED"] = "true"
    process = multiprocessing.get_context("spawn").Process(target=run_layers, args=(eids,))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("the worker has failed")


def run_layers(eids: list[str]) -> None:
    """A small session, then a large one, by the settings of the environment."""
    from iblnm.config import get_settings
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions
    from iblnm_dagster.running.worker import Worker

    settings = get_settings()
    with open_instance(settings) as instance:
        add_sessions(instance, eids)
        worker = Worker(settings, instance)
        worker.run(eids[0])
        forget_peak()
        outcome = worker.run(eids[1])
    if outcome.status not in ("passed", "blocked"):
        raise SystemExit(f"{outcome}")
    (spikes,) = (settings.root / "data" / "spikes").glob(f"{eids[1]}.h5")
    print(f"{'warm worker, all layers of a session':52} {outcome.cpu_s * 1e3:10.1f} ms")
    print(
        f"{'':52} {peak_mib():10.1f} MiB limit     1024 MiB; {spikes.stat().st_size / 1e6:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tenth of the spikes")
    parser.add_argument("--large", action="store_true", help="83 million spikes too")
    given = parser.parse_args()
    n_spikes = 2_600_000 if given.small else 26_000_000
    with temporary_root() as folder:
        for part in (folder / "warm", folder):  # compile, then measure
            n, m = (20_000, 60) if part != folder else (n_spikes, 1600)
            bench_status()
            bench_spikes(part, n, m, 3.0, 900.0)
            bench_science(part, n, m)
            bench_page(part, 10 if part != folder else 1000)
            bench_index(part, 2 if part != folder else 50, m)
            print("-" * 100)
        bench_worker(folder / "worker", n_spikes, 1600)
        if given.large:
            bench_spikes(folder, 83_000_000, 1600, 6.0, 2048.0)


if __name__ == "__main__":
    main()
