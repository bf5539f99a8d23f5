"""Sizes that files state in their headers: known before anything is read."""

from __future__ import annotations

import math
from pathlib import Path

from iblnm.errors import MalformedFileError, UnreadableFileError
from iblnm.file_settings import FileLimits

_PARQUET = (".pqt", ".parquet")
_BYTES_PER_VALUE = 8


def require_size(path: Path, limits: FileLimits, *, eid: str | None = None) -> None:
    """Refuse a file that would not fit into memory.

    A file without a readable header is passed: who reads it says what is wrong with it.

    Parameters
    ----------
    path : Path
        A table (parquet), an array (npy), or any other file.
    limits : FileLimits
    eid : str, optional
        Session to name in an error.

    Raises
    ------
    UnreadableFileError
        An array's header states more than the file holds.
    MalformedFileError
        The file is too large, with its size and the limit.
    """
    if path.suffix == ".npy":
        _require_array(path, limits, eid)
    elif path.suffix in _PARQUET:
        _require_table(path, limits, eid)
    else:
        _require(path.stat().st_size, "bytes", limits.max_bytes, "MAX_BYTES", path, eid)


def _require_array(path: Path, limits: FileLimits, eid: str | None) -> None:
    from numpy.lib import format as npy

    read_header = {
        (1, 0): npy.read_array_header_1_0,
        (2, 0): npy.read_array_header_2_0,
    }
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            if version not in read_header:
                return
            shape, _, dtype = read_header[version](file)
            n_there = path.stat().st_size - file.tell()
    except (ValueError, EOFError):
        return
    # numbers of Python: those of numpy would overflow
    n_samples = math.prod(map(int, shape))
    _require(n_samples, "numbers", limits.max_samples, "MAX_SAMPLES", path, eid)
    n_bytes = n_samples * dtype.itemsize
    _require(n_bytes, "bytes", limits.max_bytes, "MAX_BYTES", path, eid)
    if n_bytes > n_there and not dtype.hasobject:
        raise UnreadableFileError(
            f"the file is truncated: its header states {n_bytes} bytes, {n_there} are there",
            eid=eid,
            path=path,
        )


def _require_table(path: Path, limits: FileLimits, eid: str | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return
    _require(found.num_rows, "rows", limits.max_rows, "MAX_ROWS", path, eid)
    groups = (found.row_group(n).total_byte_size for n in range(found.num_row_groups))
    # what is encoded by its repetitions needs its full size once it is read
    n_bytes = max(sum(groups), found.num_rows * found.num_columns * _BYTES_PER_VALUE)
    _require(n_bytes, "bytes", limits.max_bytes, "MAX_BYTES", path, eid)


def _require(n: int, unit: str, limit: int, setting: str, path: Path, eid: str | None) -> None:
    if n > limit:
        raise MalformedFileError(
            f"the file states {n} {unit}, more than the limit of {limit} (IBLNM_FILES__{setting})",
            eid=eid,
            path=path,
        )
