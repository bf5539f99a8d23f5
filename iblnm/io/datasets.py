"""The datasets of a session, and verified paths to their files."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.errors import (
    DownloadIntegrityError,
    MissingFileError,
    UnknownSessionError,
    UnreadableFileError,
)
from iblnm.io.records import is_remote
from iblnm.storage.names import validate_eid

_SESSIONS_KEPT = 8
_HASHES_KEPT = 10_000
_CHUNK_BYTES = 1 << 20
# listing asks the server, or filters the whole table: a session's assets share one answer
_LISTED: weakref.WeakKeyDictionary[Any, OrderedDict[str, _Session]] = weakref.WeakKeyDictionary()
_HASHED: dict[tuple[str, int, int], str] = {}


@dataclass(frozen=True)
class Dataset:
    """One dataset of a session.

    Parameters
    ----------
    rel_path : str
        Path within the session, with its revision folder.
    name : str
        The same without it.
    revision : str
        Empty for none.
    size : int or None
        Recorded size [bytes].
    hash : str or None
        Recorded md5.
    default : bool
        Whether this is the default revision.
    """

    rel_path: str
    name: str
    revision: str
    size: int | None
    hash: str | None
    default: bool


@dataclass(frozen=True)
class _Session:
    datasets: list[Dataset]
    path: Path


def list_session_datasets(one: Any, eid: str, *, refresh: bool = False) -> pd.DataFrame:
    """Datasets of a session.

    Parameters
    ----------
    one : ONE
        Any object with ``list_datasets`` and ``eid2path``.
    eid : str
    refresh : bool
        Ask again even if the answer of this process is known.

    Returns
    -------
    DataFrame
        Sorted by path: ``rel_path`` (with its revision folder), ``name`` (without it),
        ``revision`` ('' for none), ``size`` [bytes, Int64] and ``hash`` (md5 or null),
        ``default`` (whether it is the default revision).

    Raises
    ------
    UnknownSessionError
        If the archive does not know the session.
    """
    datasets = _session(one, eid, refresh).datasets
    names = [column.name for column in fields(Dataset)]
    table = pd.DataFrame(
        {name: [getattr(dataset, name) for dataset in datasets] for name in names},
        columns=names,
        dtype=object,
    )
    return table.astype({"size": "Int64", "default": bool})


def session_path(one: Any, eid: str) -> Path:
    """Local folder of a session."""
    return _session(one, eid, False).path


def find_dataset(one: Any, eid: str, patterns: str | Sequence[str]) -> Dataset | None:
    """First dataset of a session that matches; the default revision of it.

    Parameters
    ----------
    patterns : str or sequence of str
        Unix patterns of the path without revision, tried in order; within one pattern the
        first path in alphabetical order is taken (so ``alf/task_00`` before ``task_01``).

    Returns
    -------
    Dataset or None
    """
    datasets = _session(one, eid, False).datasets
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        names = [dataset.name for dataset in datasets if fnmatchcase(dataset.name, pattern)]
        if names:
            first = min(names)
            revisions = [dataset for dataset in datasets if dataset.name == first]
            # a server marks one as default, a local tree none: there the latest is
            return max(revisions, key=lambda dataset: (dataset.default, dataset.revision))
    return None


def dataset_path(
    one: Any,
    eid: str,
    patterns: str | Sequence[str],
    *,
    verify_hash: bool = True,
) -> Path | None:
    """Local path of a dataset, downloaded if need be, its size and hash verified.

    Parameters
    ----------
    one : ONE
    eid : str
    patterns : str or sequence of str
        See `find_dataset`.
    verify_hash : bool
        Whether to compare the md5 with the archive's record; a file is hashed once per
        process as long as it does not change.

    Returns
    -------
    Path or None
        None if the session lists no such dataset.

    Raises
    ------
    MissingFileError
        Local mode: the file is listed but not on disk.
    UnreadableFileError
        Local mode: its size or hash is not what the archive's table says.
    DownloadIntegrityError
        Remote mode: the same after one fresh download.
    """
    found = find_dataset(one, eid, patterns)
    if found is None:
        return None
    path = session_path(one, eid) / found.rel_path
    if not is_remote(one):
        if not path.is_file():
            raise MissingFileError(
                f"{found.rel_path} is listed but not on disk", eid=eid, path=path
            )
        fault = _fault(path, found, verify_hash)
        if fault:
            raise UnreadableFileError(fault, eid=eid, path=path)
        return path
    if path.is_file() and _fault(path, found, verify_hash) is None:
        return path
    fault = ""
    for _ in range(2):
        path.unlink(missing_ok=True)
        path = Path(one.load_dataset(eid, found.rel_path, download_only=True, check_hash=False))
        fault = _fault(path, found, verify_hash) or ""
        if not fault:
            return path
    raise DownloadIntegrityError(f"{fault}, also after a fresh download", eid=eid, path=path)


def _session(one: Any, eid: str, refresh: bool) -> _Session:
    eid = validate_eid(eid)
    try:
        known = _LISTED.setdefault(one, OrderedDict())
    except TypeError:  # a stand-in that cannot be hashed or referred to weakly
        known = OrderedDict()
    if refresh or eid not in known:
        known[eid] = _Session(_list(one, eid), _folder(one, eid))
        while len(known) > _SESSIONS_KEPT:
            known.popitem(last=False)
    known.move_to_end(eid)
    return known[eid]


def _folder(one: Any, eid: str) -> Path:
    path = one.eid2path(eid)
    if path is None:
        raise UnknownSessionError("the archive has no such session", eid=eid)
    return Path(path)


def _list(one: Any, eid: str) -> list[Dataset]:
    listed = one.list_datasets(eid, details=True)
    columns = [
        list(listed[name]) if name in listed else [None] * len(listed)
        for name in ("rel_path", "file_size", "hash", "default_revision")
    ]
    datasets = []
    for rel_path, size, digest, default in zip(*columns, strict=True):
        parts = str(rel_path).split("/")
        datasets.append(
            Dataset(
                rel_path=str(rel_path),
                name="/".join(part for part in parts if not _is_revision(part)),
                revision=next((part.strip("#") for part in parts if _is_revision(part)), ""),
                size=None if pd.isna(size) else int(size),
                hash=None if pd.isna(digest) or not digest else str(digest),
                default=default is True or default == 1,
            )
        )
    return sorted(datasets, key=lambda dataset: dataset.rel_path)


def _is_revision(part: str) -> bool:
    return len(part) > 2 and part.startswith("#") and part.endswith("#")


def _fault(path: Path, expected: Dataset, verify_hash: bool) -> str | None:
    size = path.stat().st_size
    if expected.size is not None and size != expected.size:
        return f"{size} bytes on disk, {expected.size} bytes in the archive's record"
    if verify_hash and expected.hash is not None:
        digest = file_md5(path)
        if digest != expected.hash:
            return f"md5 {digest} on disk, {expected.hash} in the archive's record"
    return None


def file_md5(path: Path) -> str:
    """md5 of a file; a file that did not change is read once per process."""
    stat = path.stat()
    return _md5(path, stat.st_size, stat.st_mtime_ns)


def _md5(path: Path, size: int, mtime_ns: int) -> str:
    import hashlib

    key = (str(path), size, mtime_ns)
    if key not in _HASHED:
        if len(_HASHED) >= _HASHES_KEPT:
            _HASHED.clear()
        with path.open("rb") as file:
            digest = hashlib.md5(usedforsecurity=False)
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        _HASHED[key] = digest.hexdigest()
    return _HASHED[key]
