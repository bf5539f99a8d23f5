"""Spikes by unit: exact, whole, by uuid; duplicates in whole samples; faults by name."""

import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.errors import DataError, MissingFileError, NotWritableError
from iblnm.layers import load_spikes, load_units
from iblnm.layers.duplicates import compare_masks, find_duplicates, samples_of_times
from iblnm.layers.errors import SpikeSortingError, UnknownUnitError
from iblnm.layers.grouping import group_spikes
from iblnm.layers.spike_file import read_units, write_spike_index, write_spikes
from iblnm.layers.spike_trains import SpikeTrains

from .conftest import EID, probe_in, uuids_of, write_sorting


@pytest.mark.slow
def test_real_spikes_have_their_known_values(layers_data, known):
    right = known["spikes"]
    times = np.load(layers_data / "spikes" / "spikes.times.npy")
    clusters = np.load(layers_data / "spikes" / "spikes.clusters.npy")
    grouped = group_spikes(times, clusters, right["n_ids"])
    assert len(grouped.times) == right["n_spikes"]
    assert (grouped.n_spikes > 0).sum() == right["n_with_spikes"]
    for unit, n in right["spikes_of"].items():
        assert grouped.n_spikes[int(unit)] == n
    busiest, n = right["busiest"]
    own = grouped.times[grouped.offsets[busiest] : grouped.offsets[busiest + 1]]
    assert len(own) == n == grouped.n_spikes.max()
    assert own[-1] == right["last_of_busiest"]
    order = np.argsort(clusters, kind="stable")
    np.testing.assert_array_equal(grouped.times, times[order])


@pytest.mark.slow
def test_real_duplicates_are_counted_in_whole_samples(layers_data, known):
    folder = layers_data / "bombcell"
    right = known["bombcell"]["exact_duplicates"]
    samples = np.load(folder / "spike_times.npy").ravel().astype(np.int64)
    clusters = np.load(folder / "spike_clusters.npy").ravel()
    metrics = pd.read_parquet(folder / "templates._bc_qMetrics.v0.94.parquet")
    channels = metrics.set_index("phy_clusterID")["maxChannels"].sort_index().to_numpy()
    amplitudes = np.load(folder / "amplitudes.npy").ravel()
    found = find_duplicates(samples, clusters, amplitudes, channels)
    assert found.sum() == right["total"] == 153
    per_unit = np.bincount(clusters[found], minlength=15)
    assert {str(k): n for k, n in enumerate(per_unit) if n} == right["of_unit"]
    mask = np.load(folder / "spikes._bc_duplicateSpikes.npy").ravel() != 0
    compared = compare_masks(found, mask, samples)
    assert (compared["own"], compared["other"]) == (153, known["bombcell"]["mask_sum"])
    assert compared["drift"] == pytest.approx((0.01085 - 0.00343) - (0.00029 - 0.00037), abs=2e-5)


@pytest.mark.slow
def test_duplicates_need_one_peak_channel_and_one_sample():
    samples = np.array([10, 11, 13, 13, 100, 100, 100])
    clusters = np.array([0, 1, 0, 2, 0, 0, 1])
    amplitudes = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 9.0])
    found = find_duplicates(samples, clusters, amplitudes, np.array([5, 5, 6]))
    # of units 0 (4 spikes) and 1 (2 spikes) the spike of unit 1 goes; within unit 0 the smaller
    assert found.tolist() == [False, True, False, False, True, False, True]


def test_samples_beyond_single_precision_are_exact():
    samples = np.array([2**24, 2**24 + 2])
    assert find_duplicates(samples, np.array([0, 0]), None, np.array([1])).sum() == 0
    assert samples_of_times(samples / 30_000).tolist() == samples.tolist()


@pytest.fixture
def stored(tmp_path, sorting):
    folder, ids = sorting
    root = tmp_path / "root"
    path = root / "data" / "spikes" / f"{EID}.h5"
    write_spikes(path, EID, [probe_in(folder)])
    write_spike_index(root / "data" / "spikes.h5", [path])
    return root, path, ids


@pytest.mark.slow
def test_the_documented_access_works(stored):
    root, _, ids = stored
    with h5py.File(root / "data" / "spikes.h5") as file:
        assert file[ids[0]]["times"][:].tolist() == [0.1, 0.2, 0.4]
        assert file[ids[1]]["times"][:].tolist() == []
        assert file[ids[2]]["duplicates"][:].tolist() == [True, False]
        assert sorted(file) == sorted(ids)


def test_the_root_can_be_moved(stored, tmp_path):
    root, _, ids = stored
    moved = tmp_path / "elsewhere"
    root.rename(moved)
    with h5py.File(moved / "data" / "spikes.h5") as file:
        assert file[ids[2]]["times"][:].tolist() == [0.2, 0.3]


def test_a_unit_that_is_gone_raises_and_is_never_another(stored, tmp_path):
    root, path, ids = stored
    settings = Settings(root=root)
    other = tmp_path / "other"
    new = write_sorting(other, [0.5, 0.6, 0.7], [0, 1, 2], 3, seed=9)
    write_spikes(path, EID, [probe_in(other)])
    with h5py.File(root / "data" / "spikes.h5") as file, pytest.raises(KeyError):
        file[ids[0]]
    with pytest.raises(UnknownUnitError, match=ids[0]):
        load_spikes([ids[0]], settings=settings)
    with pytest.raises(UnknownUnitError, match=new[0]):
        load_spikes([new[0]], settings=settings)
    path.unlink()
    with pytest.raises(MissingFileError, match=EID):
        load_spikes([ids[0]], settings=settings)


def test_spikes_come_in_the_order_asked_for(stored):
    root, path, ids = stored
    settings = Settings(root=root)
    trains = load_spikes([ids[2], ids[0]], settings=settings)
    assert list(trains) == [ids[2], ids[0]]
    assert load_spikes(ids[2], True, settings=settings)[ids[2]].tolist() == [0.3]
    many = read_units(path)
    assert list(many) == ids and many[ids[0]].tolist() == [0.1, 0.2, 0.4]
    few = read_units(path, ids[::-1] * 4)
    assert list(few) == ids[::-1]


@pytest.mark.slow
def test_many_units_by_uuid_are_those_of_each_alone(tmp_path):
    rng = np.random.default_rng(0)
    times, clusters = np.sort(rng.random(5000)), rng.integers(0, 40, 5000)
    ids = write_sorting(tmp_path / "s", times, clusters, 40, clusters__channels=np.arange(40) % 5)
    path = tmp_path / f"{EID}.h5"
    write_spikes(path, EID, [probe_in(tmp_path / "s")])
    wanted = [ids[i] for i in rng.permutation(40)[:20]]
    for remove in (False, True):
        many = read_units(path, wanted, remove_duplicates=remove)
        for uuid in wanted:
            alone = read_units(path, [uuid], remove_duplicates=remove)[uuid]
            np.testing.assert_array_equal(many[uuid], alone)
    np.testing.assert_array_equal(many[wanted[0]], np.unique(many[wanted[0]]))
    with pytest.raises(UnknownUnitError, match="ffffffff"):
        read_units(path, [*wanted, "ffffffff-0000-4000-8000-000000000000"])


def test_two_probes_in_one_file(tmp_path):
    a = write_sorting(tmp_path / "a", [0.1, 0.2], [1, 0], 2, seed=1)
    b = write_sorting(tmp_path / "b", [0.3], [0], 1, seed=2)
    path = tmp_path / f"{EID}.h5"
    done = write_spikes(path, EID, [probe_in(tmp_path / "a"), probe_in(tmp_path / "b", "probe01")])
    assert (done.n_units, done.n_spikes, done.n_duplicates) == (3, 3, None)
    assert {u: t.tolist() for u, t in read_units(path).items()} == {
        a[0]: [0.2],
        a[1]: [0.1],
        b[0]: [0.3],
    }
    with pytest.raises(DataError, match="peak channels"):
        read_units(path, [a[0]], remove_duplicates=True)
    with pytest.raises(SpikeSortingError, match=r"probe00\+probe01"):
        write_spikes(path, EID, [probe_in(tmp_path / "a"), probe_in(tmp_path / "a", "probe01")])
    assert len(read_units(path)) == 3


def _cut(folder):
    path = folder / "spikes.times.npy"
    path.write_bytes(path.read_bytes()[:-9])


FAULTS = {
    "4 spike times and 5 cluster": lambda f: np.save(f / "spikes.times.npy", [0.1, 0.2, 0.3, 0.4]),
    "cluster 9 has no uuid": lambda f: np.save(f / "spikes.clusters.npy", [0, 9, 2, 2, 0]),
    "is negative": lambda f: np.save(f / "spikes.clusters.npy", [0, -1, 2, 2, 0]),
    "not finite": lambda f: np.save(f / "spikes.times.npy", [0.1, np.nan, 0.3, 0.4, 0.5]),
    "-0.1 s is negative": lambda f: np.save(f / "spikes.times.npy", [-0.1, 0.2, 0.3, 0.4, 0.5]),
    "before the spike": lambda f: np.save(f / "spikes.times.npy", [0.1, 0.3, 0.2, 0.4, 0.5]),
    "occur twice": lambda f: (f / "clusters.uuids.csv").write_text(
        "uuids\n" + "\n".join([*uuids_of(2), uuids_of(1)[0]])
    ),
    "is no uuid": lambda f: (f / "clusters.uuids.csv").write_text("uuids\na\nb\nc\n"),
    "no readable array": _cut,
}


@pytest.mark.parametrize("message", FAULTS)
@pytest.mark.slow
def test_files_that_do_not_fit_are_named_and_the_old_file_stays(stored, sorting, message):
    _, path, ids = stored
    folder, _ = sorting
    FAULTS[message](folder)
    before = path.read_bytes()
    with pytest.raises(SpikeSortingError, match=message) as caught:
        write_spikes(path, EID, [probe_in(folder)])
    assert EID in str(caught.value) and "probe00" in str(caught.value)
    assert path.read_bytes() == before
    assert read_units(path)[ids[2]].tolist() == [0.2, 0.3]


@pytest.mark.slow
def test_a_kill_while_writing_leaves_the_old_file(stored, sorting):
    _, path, ids = stored
    folder, _ = sorting
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[3])\n"
        "import importlib.util as u\n"
        "s = u.spec_from_file_location('c', sys.argv[3] + '/conftest.py')\n"
        "c = u.module_from_spec(s); s.loader.exec_module(c)\n"
        "import iblnm.layers.spike_file as f\n"
        "while True:\n"
        "    f.write_spikes(Path(sys.argv[1]), c.EID, [c.probe_in(Path(sys.argv[2]))])\n"
        "    print('once', flush=True)\n"
    )
    here = str(Path(__file__).parent)
    for wait_s in (0.0, 0.003, 0.011):
        worker = subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(folder), here], stdout=subprocess.PIPE
        )
        worker.stdout.readline()
        time.sleep(wait_s)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert read_units(path)[ids[0]].tolist() == [0.1, 0.2, 0.4]


@contextmanager
def files_up_to(n_bytes):
    """The system refuses to let a file of this process grow further, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n_bytes", [100, 180_000, 321_000])
def test_a_full_disk_leaves_the_old_file(stored, tmp_path, n_bytes):
    root, path, ids = stored
    n_units = 50
    times = np.sort(np.random.default_rng(0).random(20_000))
    new = write_sorting(tmp_path / "new", times, np.arange(20_000) % n_units, n_units, seed=9)
    before = path.read_bytes()
    with files_up_to(n_bytes), pytest.raises(NotWritableError, match=f"{EID}.*too large"):
        write_spikes(path, EID, [probe_in(tmp_path / "new")])
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    assert load_spikes(ids[0], settings=Settings(root=root))[ids[0]].tolist() == [0.1, 0.2, 0.4]
    # and once there is room it is written, by the same process
    write_spikes(path, EID, [probe_in(tmp_path / "new")])
    # what was reserved and not used is given back
    assert path.stat().st_size - 9 * len(times) < 4096 * n_units
    index = root / "data" / "spikes.h5"
    before = index.read_bytes()
    with files_up_to(100), pytest.raises(NotWritableError, match=r"spikes\.h5"):
        write_spike_index(index, [path])
    assert index.read_bytes() == before
    assert len(read_units(path)[new[0]]) == 20_000 // n_units


def test_a_probe_without_spikes_has_units_without_spikes(tmp_path):
    silent = write_sorting(tmp_path / "a", [], [], 2, seed=1)
    (unit,) = write_sorting(tmp_path / "b", [0.3], [0], 1, seed=2)
    path = tmp_path / f"{EID}.h5"
    done = write_spikes(path, EID, [probe_in(tmp_path / "a"), probe_in(tmp_path / "b", "probe01")])
    assert (done.n_units, done.n_spikes) == (3, 1)
    found = {uuid: times.tolist() for uuid, times in read_units(path).items()}
    assert found == {silent[0]: [], silent[1]: [], unit: [0.3]}


@pytest.mark.slow
def test_counts_are_those_of_numpy():
    rng = np.random.default_rng(1)
    times = {uuid: np.sort(rng.random(300) * 20) for uuid in uuids_of(4)}
    counts = SpikeTrains(times).counts(2.0, 12.35, 0.1)
    assert counts.shape == (4, 103)
    for i, own in enumerate(times.values()):
        right, _ = np.histogram(own, 2.0 + 0.1 * np.arange(104))
        np.testing.assert_array_equal(counts[i], right)
    assert SpikeTrains(times).counts(0, 300, 10).sizes["time"] == 30


def test_units_are_filtered(tmp_path):
    table = pd.DataFrame(
        {"uuid": ["a", "b", "c"], "eid": ["x", "y", "x"], "label": [1.0, 1.0, 0.5]}
    )
    (tmp_path / "data").mkdir()
    table.to_parquet(tmp_path / "data" / "units.pqt")
    settings = Settings(root=tmp_path)
    assert load_units(["y", "x"], settings=settings)["uuid"].tolist() == ["b", "a", "c"]
    assert load_units("x", "label == 1", settings=settings)["uuid"].tolist() == ["a"]
    assert load_units(None, {"label": 0.5}, settings=settings)["uuid"].tolist() == ["c"]
    assert load_units(unit_filter=lambda t: t.label < 1, settings=settings).uuid.tolist() == ["c"]
