"""The datasets of a session, and verified paths to their files."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.archive.hashes import file_md5, remember_md5
from iblnm.archive.records import is_remote
from iblnm.errors import (
    DownloadIntegrityError,
    MissingFileError,
    RemoteError,
    UnknownSessionError,
    UnreadableFileError,
)
from iblnm.io.sizes import require_size
from iblnm.storage.atomic import locked, write_whole
from iblnm.storage.names import validate_eid, validate_relative_path

_SESSIONS_KEPT = 8
_ISO_DAY = 10
_GONE = (404, 410)
# listing asks the server, or filters the whole table: a session's assets share one answer
_LISTED: weakref.WeakKeyDictionary[Any, OrderedDict[str, _Session]] = weakref.WeakKeyDictionary()


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
        Whether this is the revision to use.
    url : str or None
        Where the file server has it; None if the client knows that itself.
    """

    rel_path: str
    name: str
    revision: str
    size: int | None
    hash: str | None
    default: bool
    url: str | None = None


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
        ``default`` (whether it is the revision that is used: of each name exactly one, that of
        the archive's record, else the latest). With the setting `revision_before` later
        revisions are left out, and the latest of the others is used.

    Raises
    ------
    UnknownSessionError
        If the archive does not know the session.
    """
    datasets = _session(one, eid, refresh).datasets
    names = [column.name for column in fields(Dataset) if column.name != "url"]
    table = pd.DataFrame(
        {name: [getattr(dataset, name) for dataset in datasets] for name in names},
        columns=names,
        dtype=object,
    )
    return table.astype({"size": "Int64", "default": bool})


def session_datasets(one: Any, eid: str) -> list[Dataset]:
    """Datasets of a session, sorted by path, all revisions; see `list_session_datasets`."""
    return _session(one, eid, False).datasets


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
            return next(found for found in datasets if found.name == first and found.default)
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
        Whether to compare the md5 with the archive's record; a file is hashed once as long as
        it does not change, also by later processes.

    Returns
    -------
    Path or None
        None if the session lists no such dataset.

    Raises
    ------
    MissingFileError
        The file is listed, but not on disk or not on the file server.
    UnreadableFileError
        Local mode: its size or hash is not what the archive's table says. An array is truncated.
    MalformedFileError
        Its header states more than the limits of the settings (`FileLimits`).
    DownloadIntegrityError
        Remote mode: the same after one fresh download; no such file is left on disk.
    TransientError, RemoteError
        Remote mode: see `iblnm.archive.remote.rest`.
    """
    found = find_dataset(one, eid, patterns)
    return None if found is None else _readable(one, eid, _verified(one, eid, found, verify_hash))


def _readable(one: Any, eid: str, path: Path) -> Path:
    """The path of a file that fits into memory; a client of the user's own has no limits."""
    limits = getattr(one, "file_limits", None)
    if limits is not None:
        require_size(path, limits, eid=eid)
    return path


def _verified(one: Any, eid: str, found: Dataset, verify_hash: bool) -> Path:
    path = session_path(one, eid) / validate_relative_path(found.rel_path, eid=eid)
    record = _record(one, eid)
    if is_remote(one):
        return _remote_path(one, eid, path, found, record, verify_hash)
    if not path.is_file():
        raise MissingFileError(f"{found.rel_path} is listed but not on disk", eid=eid, path=path)
    fault = _fault(path, found, record, verify_hash)
    if fault:
        raise UnreadableFileError(fault, eid=eid, path=path)
    return path


def registered_path(
    one: Any, eid: str, rel_path: str, *, verify_hash: bool = False
) -> Path | None:
    """Local path of the file at exactly this place, with its revision folder.

    Parameters
    ----------
    one : ONE
    eid : str
    rel_path : str
        Path within the session.
    verify_hash : bool
        Its size is verified in any case.

    Returns
    -------
    Path or None
        None if the session lists no such dataset.

    Raises
    ------
    MissingFileError, UnreadableFileError, DownloadIntegrityError, TransientError, RemoteError
        See `dataset_path`.
    """
    datasets = _session(one, eid, False).datasets
    found = next((dataset for dataset in datasets if dataset.rel_path == rel_path), None)
    return None if found is None else _readable(one, eid, _verified(one, eid, found, verify_hash))


def _remote_path(
    one: Any, eid: str, path: Path, found: Dataset, record: Path | None, verify_hash: bool
) -> Path:
    if path.is_file() and _fault(path, found, record, verify_hash) is None:
        return path
    patience = {"timeout_s": one.lock_timeout_s} if hasattr(one, "lock_timeout_s") else {}
    with locked(Path(one.cache_dir) / ".downloads" / validate_eid(eid), **patience):
        if path.is_file() and _fault(path, found, record, verify_hash) is None:
            return path  # another process has fetched it meanwhile
        path.unlink(missing_ok=True)
        for _ in range(2):
            fault = _fetch(one, eid, path, found, record, verify_hash)
            if not fault:
                return path
    raise DownloadIntegrityError(f"{fault}, also after a fresh download", eid=eid, path=path)


def _fetch(
    one: Any, eid: str, path: Path, found: Dataset, record: Path | None, verify_hash: bool
) -> str | None:
    """Download a file; what is wrong with it, in which case it is not kept."""
    if found.url is None:  # a client of the user's own
        path = Path(one.load_dataset(eid, found.rel_path, download_only=True, check_hash=False))
        fault = _fault(path, found, record, verify_hash)
        if fault:
            path.unlink()
        return fault
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with write_whole(path) as temporary:
            digest = one.download(found.url, temporary, size=found.size)
            fault = _difference(temporary.stat().st_size, digest, found)
            if fault:
                raise _Spoilt
    except _Spoilt:
        return fault
    except RemoteError as error:
        if error.status not in _GONE:
            raise
        raise MissingFileError(
            f"Alyx lists {found.rel_path}, but its file server has no such file "
            f"(HTTP {error.status})",
            eid=eid,
            path=path,
        ) from None
    if record is not None:
        remember_md5(path, digest, record)
    return None


class _Spoilt(Exception):
    """Leaves the block that would keep the file."""


def _record(one: Any, eid: str) -> Path | None:
    """Where the hashes of the session's files are kept; an archive of others is not written to."""
    folder = getattr(one, "verified_dir", None)
    return None if folder is None else folder / f"{validate_eid(eid)}.json"


def _session(one: Any, eid: str, refresh: bool) -> _Session:
    eid = validate_eid(eid)
    try:
        known = _LISTED.setdefault(one, OrderedDict())
    except TypeError:  # a stand-in that cannot be hashed or referred to weakly
        known = OrderedDict()
    if refresh or eid not in known:
        known[eid] = _ask(one, eid)
        while len(known) > _SESSIONS_KEPT:
            known.popitem(last=False)
    known.move_to_end(eid)
    return known[eid]


def _ask(one: Any, eid: str) -> _Session:
    if hasattr(one, "describe"):
        folder, listed = one.describe(eid)
    else:
        folder, listed = one.eid2path(eid), one.list_datasets(eid, details=True)
    if folder is None:
        raise UnknownSessionError("the archive has no such session", eid=eid)
    columns = [
        list(listed[name]) if name in listed else [None] * len(listed)
        for name in ("rel_path", "file_size", "hash", "default_revision", "url")
    ]
    datasets = []
    for rel_path, size, digest, default, url in zip(*columns, strict=True):
        parts = str(rel_path).split("/")
        datasets.append(
            Dataset(
                rel_path=str(rel_path),
                name=without_revision(str(rel_path)),
                revision=next((part.strip("#") for part in parts if _is_revision(part)), ""),
                size=None if pd.isna(size) else int(size),
                hash=None if pd.isna(digest) or not digest else str(digest),
                default=default is True or default == 1,
                url=url,
            )
        )
    datasets = _with_one_default(_as_of(getattr(one, "revision_before", None), datasets))
    return _Session(sorted(datasets, key=lambda dataset: dataset.rel_path), Path(folder))


def _as_of(day: date | None, datasets: list[Dataset]) -> list[Dataset]:
    """What the archive had at the end of a day, by the dates that name the revisions."""
    if day is None:
        return datasets
    kept = [found for found in datasets if found.revision[:_ISO_DAY] <= day.isoformat()]
    # what is the default today was decided later
    return [replace(found, default=False) for found in kept]


def _with_one_default(datasets: list[Dataset]) -> list[Dataset]:
    """Of each name one default: a server marks it, a local tree does not, there the latest is."""
    used: dict[str, Dataset] = {}
    for found in sorted(datasets, key=lambda found: (found.default, found.revision)):
        used[found.name] = found
    return [replace(found, default=found is used[found.name]) for found in datasets]


def without_revision(rel_path: str) -> str:
    """Path of a dataset without the folder of its revision.

    Examples
    --------
    >>> without_revision("alf/#2024-01-01#/_ibl_trials.table.pqt")
    'alf/_ibl_trials.table.pqt'
    """
    return "/".join(part for part in rel_path.split("/") if not _is_revision(part))


def _is_revision(part: str) -> bool:
    return len(part) > 2 and part.startswith("#") and part.endswith("#")


def _fault(path: Path, expected: Dataset, record: Path | None, verify_hash: bool) -> str | None:
    size = path.stat().st_size
    fault = _difference(size, None, expected)
    if fault or not verify_hash or expected.hash is None:
        return fault
    return _difference(size, file_md5(path, record), expected)


def _difference(size: int, digest: str | None, expected: Dataset) -> str | None:
    if expected.size is not None and size != expected.size:
        return f"{size} bytes on disk, {expected.size} bytes in the archive's record"
    if digest is not None and expected.hash is not None and digest != expected.hash:
        return f"md5 {digest} on disk, {expected.hash} in the archive's record"
    return None
