"""The session file ``{eid}.h5``: groups written in one atomic step, read one at a time.

Layout: ``metadata/`` (scalars as attributes, lists as datasets), ``errors/``,
``photometry/{region}/{preprocessed,responses,qc}``, ``trials/``, ``wheel/responses``.
Datasets carry dimension scales, so that xarray and netCDF readers find named dimensions.
Nothing is compressed: a float64 signal with noise shrinks by a few percent only, at
several times the time of a write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iblnm.errors import MissingFileError, UnreadableFileError
from iblnm.storage import _groups
from iblnm.storage._groups import LOAD_HANDLERS as _LOAD_HANDLERS
from iblnm.storage._groups import SAVE_HANDLERS as _SAVE_HANDLERS
from iblnm.storage._values import PROVENANCE, read_attrs, write_attrs
from iblnm.storage.atomic import LOCK_TIMEOUT_S, locked, set_aside, write_whole
from iblnm.storage.names import validate_name
from iblnm.storage.provenance import Provenance

if TYPE_CHECKING:
    import h5py

GROUPS = tuple(_SAVE_HANDLERS)
_NUMBERS = count()
_IN_MEMORY = {"driver": "core", "backing_store": False, "block_size": 4 << 20}
_MAX_BLOAT = 1.5
_BLOAT_FREE_BYTES = 1_000_000
_PHOTOMETRY = tuple(key for key in GROUPS if key.startswith("photometry/"))


def write_groups(
    path: Path | str,
    groups: Mapping[str, Any],
    provenance: Provenance | Mapping[str, Provenance] | None = None,
    *,
    recordings: Mapping[str, Mapping[str, Any]] | None = None,
    timeout_s: float = LOCK_TIMEOUT_S,
) -> None:
    """Write groups of a session file in one step; the others stay as they are.

    Parameters
    ----------
    path : Path
        File to create or to update. An existing file that cannot be read is kept under
        another name, with a warning.
    groups : dict
        ``metadata`` (one-row DataFrame, Series or dict), ``errors`` and ``trials``
        (DataFrame), ``photometry/qc`` (DataFrame with ``brain_region``),
        ``photometry/preprocessed`` (dict of name to Dataset, dim time),
        ``photometry/responses`` (dict of name to DataArray, dims event, trial, time),
        ``wheel`` (DataArray, dims trial, time); or ``photometry`` with a dict of its three
        parts. A group that is given replaces all that was stored under it; None removes it.
    provenance : Provenance or dict of it, optional
        Stored with every group written, or with those named.
    recordings : dict, optional
        Attributes of region groups (``fiber_idx``, ``hemisphere``, ``target_NM``,
        ``brain_region``) by recording name; they are also taken from the objects' attrs.
    timeout_s : float
        How long to wait for another process that writes the same file.

    Raises
    ------
    KeyError
        For a group that the layout does not know.
    InvalidNameError
        If a region, event or column has no valid name.
    TransientError
        If another process holds the file's lock for too long.
    """
    groups = _flatten(groups)
    path = Path(path)
    with locked(path, timeout_s=timeout_s):
        with _editable(path) as file:
            for key in groups:
                _groups.remove(file, key)
            for key, data in groups.items():
                origin = provenance.get(key) if isinstance(provenance, Mapping) else provenance
                if data is not None:
                    _write(file, key, data, None if origin is None else origin.to_json())
            _groups.remove_empty_regions(file)
            _write_recordings(file, recordings or {})
            content = _image_of(file)
            if len(content) > _MAX_BLOAT * _groups.live_size(file) + _BLOAT_FREE_BYTES:
                content = _compacted(file)
        with write_whole(path) as temporary:
            temporary.write_bytes(content)


def read_group(path: Path | str, key: str, *, regions: Iterable[str] | None = None) -> Any:
    """Read one group of a session file.

    Parameters
    ----------
    path : Path
    key : str
        As in `write_groups`; ``photometry`` gives a dict of the parts present.
    regions : iterable of str, optional
        Recording names to read, for photometry; all by default.

    Returns
    -------
    DataFrame, DataArray or dict
        What was written under the key.

    Raises
    ------
    MissingFileError
        If there is no file.
    UnreadableFileError
        If it is truncated or no HDF5 file.
    KeyError
        If the file has no such group.
    """
    with _open(path) as file:
        if key == "photometry":
            parts = [part for part in _PHOTOMETRY if _groups.stored_groups(file, part)]
            if parts:
                return {
                    part.removeprefix("photometry/"): _read(file, part, regions) for part in parts
                }
        elif key not in _LOAD_HANDLERS:
            raise KeyError(f"{key!r} is no group of a session file; known: {', '.join(GROUPS)}")
        elif _groups.stored_groups(file, key):
            return _read(file, key, regions)
        raise KeyError(f"{Path(path).name} has no group {key!r}")


def read_groups(path: Path | str, keys: Iterable[str] | None = None) -> dict[str, Any]:
    """Read the groups of a session file that it has; all of them by default; see `read_group`."""
    wanted = GROUPS if keys is None else [key for key in GROUPS if key in set(keys)]
    with _open(path) as file:
        return {key: _read(file, key, None) for key in wanted if _groups.stored_groups(file, key)}


def list_groups(path: Path | str) -> list[str]:
    """Names of the groups that a session file has, as `read_group` takes them."""
    with _open(path) as file:
        return [key for key in GROUPS if _groups.stored_groups(file, key)]


def read_recordings(path: Path | str) -> dict[str, dict[str, Any]]:
    """Attributes of each region group (`fiber_idx`, `hemisphere`, ...) by recording name."""
    with _open(path) as file:
        return _read_recordings(file)


def read_signal_attributes(path: Path | str) -> dict[str, dict[str, Any]]:
    """Attributes of the preprocessed signals by recording, without the signals."""
    with _open(path) as file:
        return _groups.signal_attributes(file)


def read_provenance(path: Path | str, key: str) -> Provenance | None:
    """Provenance stored with a group; None if there is none."""
    with _open(path) as file:
        for group in _groups.stored_groups(file, key):
            text = group.attrs.get(PROVENANCE)
            return None if text is None else Provenance.from_json(text)
    raise KeyError(f"{Path(path).name} has no group {key!r}")


def _read_recordings(file: h5py.File) -> dict[str, dict[str, Any]]:
    photometry = _groups.child(file, "photometry")
    return {name: read_attrs(group) for name, group in (photometry or {}).items()}


def _flatten(groups: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, data in groups.items():
        if key == "photometry":
            parts = dict.fromkeys(("qc", "preprocessed", "responses")) if data is None else data
            flat.update({f"photometry/{part}": value for part, value in parts.items()})
        else:
            flat[key] = data
    unknown = [key for key in flat if key not in _SAVE_HANDLERS]
    if unknown:
        raise KeyError(f"no group of a session file: {unknown}; known: {', '.join(GROUPS)}")
    return flat


def _read(file: h5py.File, key: str, regions: Iterable[str] | None) -> Any:
    try:
        if key in _PHOTOMETRY:
            return _LOAD_HANDLERS[key](file, regions)
        return _LOAD_HANDLERS[key](file)
    except UnreadableFileError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableFileError(
            f"the group {key} is not of the documented layout: {error}", path=file.filename
        ) from error


def _write(file: h5py.File, key: str, data: Any, origin: str | None) -> None:
    for group in _SAVE_HANDLERS[key](file, data):
        if origin is not None:
            group.attrs[PROVENANCE] = origin


def _write_recordings(file: h5py.File, recordings: Mapping[str, Mapping[str, Any]]) -> None:
    for name, attrs in recordings.items():
        region = _groups.child(file, f"photometry/{validate_name(name)}")
        if region is not None:
            write_attrs(region, attrs)


@contextmanager
def _editable(path: Path) -> Iterator[h5py.File]:
    """The file's content in memory, or an empty file if there is none that can be read.

    HDF5 does not reach the disk while it changes a file: a full disk would leave the
    library unable to close it, and is a plain error of the one write that follows.
    """
    file = None
    if path.exists():
        file = _load_intact(path)
        if file is None:
            set_aside(path)
    with file or _new_in_memory() as editable:
        yield editable


def _load_intact(path: Path) -> h5py.File | None:
    import h5py

    if not path.stat().st_size:  # in memory that would be a new file
        return None
    try:
        file = h5py.File(path, "r+", **_IN_MEMORY)
    except OSError as error:
        if error.errno is not None:  # the system's refusal says nothing about the content
            raise
        return None
    try:
        for key in GROUPS:
            for group in _groups.stored_groups(file, key):
                list(group)
    except (OSError, RuntimeError, KeyError, ValueError, UnreadableFileError):
        file.close()
        return None
    return file


def _new_in_memory() -> h5py.File:
    import h5py

    # HDF5 takes two open files of one name for the same
    return h5py.File(f"new session file {next(_NUMBERS)}", "w", **_IN_MEMORY)


def _image_of(file: h5py.File) -> bytes:
    file.flush()
    return file.id.get_file_image()


def _compacted(old: h5py.File) -> bytes:
    """The file's content without the space that replaced groups have left in it.

    Copying HDF5 objects between files would lose the references of the dimension scales.
    """
    with _new_in_memory() as new:
        for key in GROUPS:
            groups = _groups.stored_groups(old, key)
            if groups:
                _write(new, key, _read(old, key, None), groups[0].attrs.get(PROVENANCE))
        _write_recordings(new, _read_recordings(old))
        return _image_of(new)


@contextmanager
def _open(path: Path | str) -> Iterator[h5py.File]:
    import h5py

    path = Path(path)
    try:
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError as error:
        raise MissingFileError("no such file", path=path) from error
    except OSError as error:
        raise UnreadableFileError(f"no readable HDF5 file: {error}", path=path) from error
    with file:
        try:
            yield file
        except (OSError, RuntimeError) as error:
            raise UnreadableFileError(f"damaged HDF5 file: {error}", path=path) from error
