"""Photometry signal files: the columns needed, checked once, kept for the next stage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from iblnm.errors import MalformedFileError, MissingFileError, UnreadableFileError

if TYPE_CHECKING:
    import pyarrow as pa

VALID_COLUMNS = ("valid", "include")
# a wrong time far away, or times in milliseconds
MAX_SPAN_S = 24 * 3600.0
_NO_BAND = ("", "None", "nan")


@dataclass(frozen=True)
class SignalFile:
    """Content of a signal file without its first frame.

    Parameters
    ----------
    times : ndarray, shape (n,), float64
        Session clock [s].
    columns : dict of str to ndarray, shape (n,), float64
        Raw fluorescence by signal column.
    band : ndarray, shape (n,), int
        Index into `bands`; −1 for frames of no band.
    bands : tuple of str
        Excitation channels in order of appearance.
    valid : ndarray, shape (n,), bool
        All true if the file marks none.
    valid_column : str or None
        Column that the marks come from.
    """

    times: np.ndarray
    columns: dict[str, np.ndarray]
    band: np.ndarray
    bands: tuple[str, ...]
    valid: np.ndarray
    valid_column: str | None

    def frames_of(self, band: str) -> np.ndarray:
        """Indices of the frames of one band."""
        return np.flatnonzero(self.band == self.bands.index(band))

    def frames_within(self, band: str, window: tuple[float, float]) -> np.ndarray:
        """Indices of the frames of one band whose times lie strictly within a window [s]."""
        index = self.frames_of(band)
        times = self.times[index]
        start = np.searchsorted(times, window[0], side="right")
        stop = np.searchsorted(times, window[1], side="left")
        return index[start:stop]


def read_signal_file(
    path: Path | str, columns: Iterable[str] = (), *, eid: str | None = None
) -> SignalFile:
    """Read a photometry signal file (``photometry.signal.pqt``).

    Parameters
    ----------
    path : Path
    columns : iterable of str
        Signal columns known by name; those that are named as signal columns are read anyway.
    eid : str, optional
        Session to name in an error.

    Returns
    -------
    SignalFile

    Raises
    ------
    MissingFileError
        If there is no file.
    UnreadableFileError
        If it is empty, truncated or no parquet file.
    MalformedFileError
        If columns are missing or of a wrong type, or there are no frames after the first,
        or a time is not finite, or time does not increase within a band or spans more than a
        day.

    Notes
    -----
    The first frame, taken while the LEDs start, is dropped as ibl-photometry does.
    The last file read by a process is kept, since quality control and
    preprocessing read the same one.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise MissingFileError("no such file", eid=eid, path=path) from error
    key = (path, stat.st_size, stat.st_mtime_ns, tuple(sorted(columns)))
    try:
        return _read(*key)
    except (MalformedFileError, UnreadableFileError) as error:
        raise type(error)(error.message, eid=eid, path=path) from error.__cause__


def forget_signal_file() -> None:
    """Drop the table that is kept from the last reading."""
    _read.cache_clear()


@lru_cache(maxsize=1)
def _read(path: Path, size: int, mtime_ns: int, named: tuple[str, ...]) -> SignalFile:
    del size, mtime_ns
    table, columns, valid_column = _read_columns(path, named)
    if table.num_rows < 2:
        raise MalformedFileError(f"{table.num_rows} frames; more than the first are expected")
    times = _numbers(table, "times")[1:]
    n_bad = int((~np.isfinite(times)).sum())
    if n_bad:
        raise MalformedFileError(f"{n_bad} of {len(times)} times are not finite")
    span = float(times.max() - times.min())
    if span > MAX_SPAN_S:
        raise MalformedFileError(
            f"the times span {span:g} s; at most {MAX_SPAN_S:g} s are expected of a session"
        )
    values = {name: _numbers(table, name)[1:] for name in columns}
    band, bands = _bands(table)
    signal = SignalFile(times, values, band, bands, _valid(table, valid_column), valid_column)
    for name in bands:
        steps = np.diff(times[signal.frames_of(name)])
        n_back = int((steps <= 0).sum())
        if n_back:
            raise MalformedFileError(
                f"time does not increase at {n_back} of {len(steps)} steps of band {name}"
            )
    return signal


def _read_columns(path: Path, named: tuple[str, ...]) -> tuple[pa.Table, list[str], str | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        present = pq.read_schema(path).names
        missing = [name for name in ("times", "name") if name not in present]
        if missing:
            raise MalformedFileError(
                f"columns {', '.join(missing)} are missing; the file has {', '.join(present)}"
            )
        # decoded once per distinct text instead of once per frame
        with pq.ParquetFile(path, read_dictionary=["name"]) as file:
            valid_column = next((name for name in VALID_COLUMNS if name in present), None)
            columns = _signal_columns(present, named)
            if not columns:
                raise MalformedFileError(
                    f"no signal column (Region*, R* or G*); the file has {', '.join(present)}"
                )
            wanted = ["times", "name", *columns, *([valid_column] if valid_column else [])]
            return file.read(columns=wanted, use_threads=False), columns, valid_column
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(f"no readable parquet file: {error}") from error


def _signal_columns(present: list[str], named: tuple[str, ...]) -> list[str]:
    regions = [name for name in present if name.startswith("Region")]
    plain = regions or [name for name in present if name.startswith(("R", "G"))]
    return [name for name in present if name in named or name in plain]


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    import pyarrow as pa

    kind = table.schema.field(name).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise MalformedFileError(f"column {name} has type {kind}; numbers are expected")
    return _as_numpy(table.column(name).cast(pa.float64(), safe=False), np.nan)


def _as_numpy(column: pa.ChunkedArray | pa.Array, null: float) -> np.ndarray:
    """Values of a column, read only; pyarrow's own conversion would import pandas."""
    import pyarrow as pa

    if column.null_count:
        column = column.fill_null(null)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return np.from_dlpack(column)


def _valid(table: pa.Table, name: str | None) -> np.ndarray:
    import pyarrow as pa

    if name is None:
        return np.ones(table.num_rows - 1, dtype=bool)
    column = table.column(name)
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type)):
        raise MalformedFileError(f"column {name} has type {column.type}; booleans are expected")
    # a frame that nobody marked is not known to be valid
    return _as_numpy(column.cast(pa.bool_()).cast(pa.uint8()), 0)[1:].astype(bool)


def _bands(table: pa.Table) -> tuple[np.ndarray, tuple[str, ...]]:
    import pyarrow as pa

    column = table.column("name").combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    kind = column.type.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise MalformedFileError(f"column name has type {kind}; text is expected")
    labels = column.dictionary.to_pylist()
    codes = _as_numpy(column.indices, -1)[1:]
    used, first = np.unique(codes, return_index=True)
    order = [code for code in used[np.argsort(first)] if _is_band(labels, code)]
    position = np.full(len(labels) + 1, -1)
    position[order] = np.arange(len(order))
    # the last element stands for the code −1, a null
    return position[codes], tuple(labels[code] for code in order)


def _is_band(labels: list[str | None], code: int) -> bool:
    return code >= 0 and labels[code] is not None and labels[code] not in _NO_BAND
