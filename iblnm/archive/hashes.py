"""md5 of files, each read once as long as it does not change, also by later processes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

_KEPT = 10_000
_CHUNK_BYTES = 1 << 20
_FIELDS = 3  # size, time, md5
_HASHED: dict[tuple[str, int, int], str] = {}


def file_md5(path: Path, record: Path | None = None) -> str:
    """md5 of a file; one that did not change (size and time) is not read again.

    Parameters
    ----------
    path : Path
    record : Path, optional
        File that remembers the hashes for other processes: several may use it at once.

    Returns
    -------
    str
    """
    stat = path.stat()
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    if key in _HASHED:
        return _HASHED[key]
    known = {} if record is None else _load(record)
    name = _name(path, record)
    if known.get(name, [])[:2] == list(key[1:]):
        digest = known[name][2]
    else:
        digest = _read(path)
        if record is not None:
            remember_md5(path, digest, record)
    _keep(key, digest)
    return digest


def remember_md5(path: Path, digest: str, record: Path) -> None:
    """Record the md5 of a file that was just written; see `file_md5`."""
    stat = path.stat()
    _keep((str(path), stat.st_size, stat.st_mtime_ns), digest)
    entry = [stat.st_size, stat.st_mtime_ns, digest]
    _save(record, {**_load(record), _name(path, record): entry})


def _name(path: Path, record: Path | None) -> str:
    """Key of a file in a record, which may move together."""
    return str(path) if record is None else Path(os.path.relpath(path, record.parent)).as_posix()


def _keep(key: tuple[str, int, int], digest: str) -> None:
    if len(_HASHED) >= _KEPT:
        _HASHED.clear()
    _HASHED[key] = digest


def _read(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _load(record: Path) -> dict[str, list]:
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or spoilt: it costs reading a file again
        return {}
    if not isinstance(known, dict):
        return {}
    return {k: v for k, v in known.items() if isinstance(v, list) and len(v) == _FIELDS}


def _save(record: Path, known: dict[str, list]) -> None:
    """Replace the record whole; it is not forced to disk, since its loss costs no more."""
    # an archive that is not ours to write to, or a full disk
    with suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=record.parent, prefix=f".{record.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(known, file)
            Path(name).replace(record)
        finally:
            Path(name).unlink(missing_ok=True)
