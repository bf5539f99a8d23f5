"""Spike times of a session in one HDF5 file, and the index over all sessions.

``data/spikes/{eid}.h5`` holds all times sorted by unit (``times``, ``offsets``, ``uuids``) and
for each unit a group ``units/{uuid}`` whose ``times`` and ``duplicates`` are virtual datasets
of the same file: nothing is stored twice. ``data/spikes.h5`` holds a relative link to each of
these groups by uuid. A uuid is never given to another unit, so a link to a unit that is gone
fails and never shows another unit's times.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from iblnm.errors import DataError, MissingFileError, NotWritableError, UnreadableFileError
from iblnm.layers.duplicates import duplicates_of_probe
from iblnm.layers.errors import SpikeSortingError, UnknownUnitError
from iblnm.layers.grouping import group_spikes
from iblnm.layers.probes import SPIKE_TIMES
from iblnm.layers.spike_sorting import SortedProbe, read_spikes, read_uuids
from iblnm.storage.atomic import write_whole
from iblnm.storage.names import validate_eid
from iblnm.storage.provenance import Provenance

if TYPE_CHECKING:
    import h5py

UNITS = "units"
_FEW = 8
_UUID = np.dtype("S36")
_ERRNO = re.compile(r"errno = (\d+)")
# room that is reserved: more than HDF5 takes
_BYTES_PER_SPIKE = 9
_BYTES_PER_UNIT = 4096
_BYTES_PER_LINK = 1024
_BYTES_AROUND = 1 << 18
# of file systems that do not offer it
_CANNOT_RESERVE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class SpikeFile:
    """What was written.

    Parameters
    ----------
    path : Path
    n_units, n_spikes : int
    n_duplicates : int or None
        None if the peak channels of a probe are not known.
    """

    path: Path
    n_units: int
    n_spikes: int
    n_duplicates: int | None


def write_spikes(
    path: Path, eid: str, probes: Sequence[SortedProbe], provenance: Provenance | None = None
) -> SpikeFile:
    """Write the spike times of a session, whole or not at all.

    Parameters
    ----------
    path : Path
        File to create or to replace; a file that is there stays if anything fails.
    eid : str
    probes : sequence of SortedProbe
        One probe is in memory at a time.
    provenance : Provenance, optional

    Returns
    -------
    SpikeFile

    Raises
    ------
    SpikeSortingError
        If files of a probe do not fit each other, or two probes share a uuid.
    NotWritableError
        If the disk is full, or the folder cannot be written to.
    """
    eid = validate_eid(eid)
    n_total = sum(len(probe.array(SPIKE_TIMES)) for probe in probes)
    n_units = sum(len(read_uuids(probe)) for probe in probes)
    n_bytes = n_total * _BYTES_PER_SPIKE + n_units * _BYTES_PER_UNIT
    with _new_file(path, n_bytes) as file:
        file.attrs["eid"] = eid
        if provenance is not None:
            file.attrs["provenance"] = provenance.to_json()
        times = file.create_dataset("times", (n_total,), np.float64)
        times.attrs["unit"] = "s"
        marks = file.create_dataset("duplicates", (n_total,), np.bool_)
        offsets, uuids, of_probe, marked = [np.zeros(1, np.int64)], [], [], []
        start = 0
        for i, probe in enumerate(probes):
            grouped, names = _grouped(probe)
            stop = start + len(grouped.times)
            if len(grouped.times):
                times.write_direct(grouped.times, dest_sel=np.s_[start:stop])
                if grouped.duplicates is not None:
                    marks.write_direct(grouped.duplicates, dest_sel=np.s_[start:stop])
            known = grouped.duplicates is not None
            marked.append(int(grouped.duplicates.sum()) if known else None)
            offsets.append(grouped.offsets[1:] + start)
            uuids.append(names)
            of_probe.append(np.full(len(names), i, np.int16))
            start = stop
            del grouped
        bounds = np.concatenate(offsets)
        names = np.concatenate([*uuids, np.array([], object)]).astype(str)
        _require_distinct(names, probes, eid)
        is_known = None not in marked
        file["offsets"] = bounds
        file["uuids"] = names.astype(_UUID)
        file["probe"] = np.concatenate([*of_probe, np.zeros(0, np.int16)])
        file.attrs["probes"] = [probe.probe for probe in probes]
        file.attrs["pids"] = [probe.pid or "" for probe in probes]
        file.attrs["sortings"] = [probe.sorting.text for probe in probes]
        if not is_known:
            del file["duplicates"]
        _write_views(file, names, bounds, is_known)
    return SpikeFile(path, len(names), n_total, sum(marked) if is_known else None)


@contextmanager
def _new_file(path: Path, n_bytes: int) -> Iterator[h5py.File]:
    """A file that replaces the one at the path when the block succeeds.

    The disk has room for it before HDF5 begins: if it ran full under the library, that could
    not close the file, and would end the process at a later one.
    """
    import h5py

    with write_whole(path) as temporary:
        try:
            _reserve(temporary, n_bytes + _BYTES_AROUND)
            with h5py.File(temporary, "r+", libver="latest") as file:
                yield file
        except (OSError, RuntimeError) as error:
            reason = _refusal(error)
            if reason is None:
                raise
            raise NotWritableError(f"{path} cannot be written: {reason}") from error


def _reserve(path: Path, n_bytes: int) -> None:
    """An empty HDF5 file with room behind it; what is not used is given back when it is closed."""
    import h5py

    with h5py.File(path.name, "w", driver="core", backing_store=False, libver="latest") as empty:
        empty.flush()
        image = empty.id.get_file_image()
    with path.open("wb") as file:
        file.write(image)
        file.flush()
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            except OSError as error:
                if error.errno not in _CANNOT_RESERVE:
                    raise


def _refusal(error: BaseException | None) -> str | None:
    """Why the system refused to write, which h5py hides behind that it cannot close the file."""
    while error is not None:
        told = _ERRNO.search(str(error))
        number = getattr(error, "errno", None) or (int(told[1]) if told else None)
        if number:
            return os.strerror(number)
        error = error.__context__
    return None


def _grouped(probe: SortedProbe) -> tuple[Any, np.ndarray]:
    times, clusters, uuids = read_spikes(probe)
    duplicates = duplicates_of_probe(probe, times, clusters)
    return group_spikes(times, clusters, len(uuids), duplicates), uuids


def _require_distinct(names: np.ndarray, probes: Sequence[SortedProbe], eid: str) -> None:
    distinct = len(set(names))
    if distinct != len(names):
        raise SpikeSortingError(
            f"{len(names) - distinct} of {len(names)} uuids occur in two probes",
            probe="+".join(probe.probe for probe in probes),
            eid=eid,
        )


def _write_views(
    file: h5py.File, names: np.ndarray, offsets: np.ndarray, with_duplicates: bool
) -> None:
    """A group per unit, its datasets views of the sorted ones; h5py proper is ten times slower."""
    from h5py import h5d, h5g, h5p, h5s

    wanted = [b"times", b"duplicates"] if with_duplicates else [b"times"]
    kinds = {name: file[name.decode()].id.get_type() for name in wanted}
    source = h5s.create_simple((int(offsets[-1]),))
    parent = file.create_group(UNITS).id
    for name, start, stop in zip(names, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        group = h5g.create(parent, name.encode())
        n = stop - start
        space = h5s.create_simple((n,))
        for dataset in wanted:
            layout = h5p.create(h5p.DATASET_CREATE)
            if n:
                source.select_hyperslab((start,), (n,))
                layout.set_virtual(space, b".", b"/" + dataset, source)
            h5d.create(group, dataset, kinds[dataset], space, layout)


def write_spike_index(path: Path, files: Iterable[Path]) -> int:
    """Write the index of all units: relative links by uuid, rebuilt whole.

    Parameters
    ----------
    path : Path
        ``data/spikes.h5``.
    files : iterable of Path
        Session files of `write_spikes`, below the folder of the index.

    Returns
    -------
    int
        Number of units.

    Raises
    ------
    SpikeSortingError
        If two sessions have a unit of one uuid.
    NotWritableError
        If the disk is full, or the folder cannot be written to.
    """
    seen: dict[bytes, Path] = {}
    for file in sorted(files):
        for uuid in _read_uuids(file):
            if uuid in seen:
                raise SpikeSortingError(
                    f"unit {uuid.decode()} is also in session {seen[uuid].stem}", eid=file.stem
                )
            seen[uuid] = file
    with _new_file(path, len(seen) * _BYTES_PER_LINK) as index:
        links = index.id.links
        targets = {
            file: file.relative_to(path.parent).as_posix().encode() for file in set(seen.values())
        }
        for uuid, file in seen.items():
            links.create_external(uuid, targets[file], f"/{UNITS}/".encode() + uuid)
    return len(seen)


def _read_uuids(path: Path) -> list[bytes]:
    with open_spikes(path) as file:
        return [bytes(uuid) for uuid in file["uuids"][:]]


@contextmanager
def open_spikes(path: Path) -> Iterator[h5py.File]:
    """Open a file of spikes for reading.

    Raises
    ------
    MissingFileError, UnreadableFileError
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise MissingFileError("no such file", eid=_eid_of(path), path=path) from error
    except OSError as error:
        raise UnreadableFileError(
            f"no readable HDF5 file: {error}", eid=_eid_of(path), path=path
        ) from error
    with file:
        yield file


def _eid_of(path: Path) -> str | None:
    return path.stem if len(path.stem) == _UUID.itemsize else None


def index_targets(path: Path, uuids: Sequence[str]) -> dict[Path, list[str]]:
    """The session files of units, from the index.

    Raises
    ------
    UnknownUnitError
        Naming the first uuid that the index does not have.
    """
    import h5py

    found: dict[Path, list[str]] = {}
    with open_spikes(path) as index:
        for uuid in uuids:
            link = index.get(uuid, getlink=True) if uuid in index.keys() else None  # noqa: SIM118
            if not isinstance(link, h5py.ExternalLink):
                raise UnknownUnitError(f"no unit {uuid} in {path.name}", path=path)
            target = Path(os.path.normpath(path.parent / link.filename))
            found.setdefault(target, []).append(uuid)
    return found


def read_units(
    path: Path, uuids: Sequence[str] | None = None, *, remove_duplicates: bool = False
) -> dict[str, np.ndarray]:
    """Spike times of units of one session.

    Parameters
    ----------
    path : Path
        Session file.
    uuids : sequence of str, optional
        All units by default.
    remove_duplicates : bool

    Returns
    -------
    dict of str to (n,) array
        Times [s] in the order asked for. Many units are read-only views of the file, which is
        read when they are looked at.

    Raises
    ------
    UnknownUnitError
        Naming the uuid that the file does not have.
    DataError
        If duplicates are to be removed and are not known.
    """
    with open_spikes(path) as file:
        if remove_duplicates and "duplicates" not in file:
            raise DataError(
                "duplicates are not known: the sorting has no peak channels", path=path
            )
        if uuids is not None and len(uuids) <= _FEW:
            return {uuid: _unit(file, uuid, path, remove_duplicates) for uuid in uuids}
        names, offsets = file["uuids"][:], file["offsets"][:]
        rows = _rows_of(names, uuids, path)
        times = _mapped(file["times"], path)
        marks = _mapped(file["duplicates"], path, np.uint8) if remove_duplicates else None
    found = {}
    for row in rows:
        part = slice(offsets[row], offsets[row + 1])
        values = times[part]
        found[names[row].decode()] = values if marks is None else values[marks[part] == 0]
    return found


def packed_units(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Times sorted by unit (a view of the file), offsets and uuids of a session."""
    with open_spikes(path) as file:
        names = [bytes(name).decode() for name in file["uuids"][:]]
        return _mapped(file["times"], path), file["offsets"][:], names


def _unit(file: h5py.File, uuid: str, path: Path, remove_duplicates: bool) -> np.ndarray:
    if f"{UNITS}/{uuid}" not in file:
        raise UnknownUnitError(f"no unit {uuid}", eid=_eid_of(path), path=path)
    group = file[UNITS][uuid]
    times = group["times"][:]
    return times[~group["duplicates"][:]] if remove_duplicates else times


def _rows_of(names: np.ndarray, uuids: Sequence[str] | None, path: Path) -> Sequence[int]:
    if uuids is None:
        return range(len(names))
    wanted = np.array([uuid.encode() for uuid in uuids], dtype=names.dtype)
    order = np.argsort(names)
    places = np.searchsorted(names, wanted, sorter=order).clip(max=max(len(names) - 1, 0))
    rows = order[places] if len(names) else np.zeros(0, int)
    if len(names) == 0 or (names[rows] != wanted).any():
        unknown = uuids[int(np.argmax(names[rows] != wanted)) if len(names) else 0]
        raise UnknownUnitError(f"no unit {unknown}", eid=_eid_of(path), path=path)
    return rows


def _mapped(dataset: h5py.Dataset, path: Path, dtype: Any = None) -> np.ndarray:
    """The values of a contiguous dataset, read from the file when they are looked at.

    The file is only ever replaced, never changed, so a mapping stays what it was.
    """
    offset = dataset.id.get_offset()
    if offset is None or dataset.size == 0:
        return dataset[:] if dtype is None else dataset[:].astype(dtype)
    kind = dataset.dtype if dtype is None else dtype
    return np.asarray(np.memmap(path, kind, "r", offset, dataset.shape))
