"""Photometry signal files: the columns needed, checked once, kept for the next stage."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from iblnm.errors import MalformedFileError, MissingFileError, UnreadableFileError
from iblnm.signal.continuity import check_clock, constant_stretches

if TYPE_CHECKING:
    import pyarrow as pa

VALID_COLUMNS = ("valid", "include")
# a wrong time far away, or times in milliseconds
MAX_SPAN_S = 24 * 3600.0
MAX_INTERVAL_S = 1.0
# a stretch of equal values that long is no light; at the top of the range sooner
MAX_STILL_S = 5.0
MAX_SATURATED_S = 0.5
ISOSBESTIC_BELOW_NM = 440.0
"""Between the LED of the isosbestic (405 or 415 nm) and that of GCaMP (470 nm)."""
_NO_BAND = ("", "None", "nan")
_SIGNAL_COLUMN = re.compile(r"Region\d+(?P<old>[RG]?)|(?P<new>[RG])\d+")


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
    n_out_of_order : int
        Frames without a time that is known, which belong to no band: the clock stood still
        or went back there, see `iblnm.signal.continuity.check_clock`.
    largest_back_s : float
        Largest step of the clock backwards [s].
    longest_pause_s : float
        Longest time between two frames, of whichever band [s].
    n_repeated : int
        Frames of the same band as the frame before, one frame later: which of the two belongs
        to the cycle is not known, both belong to no band here.
    still : dict of str to float
        By signal column, its longest stretch of equal values [s]; such samples are NaN if it
        is longer than `max_still_s`.
    saturated : dict of str to float
        By signal column, how long it stood at the top of its range [s]; NaN there.
    n_text : dict of str to int
        By signal column, the values that are text and no number; NaN here.
    """

    times: np.ndarray
    columns: dict[str, np.ndarray]
    band: np.ndarray
    bands: tuple[str, ...]
    valid: np.ndarray
    valid_column: str | None
    n_out_of_order: int = 0
    largest_back_s: float = 0.0
    n_repeated: int = 0
    longest_pause_s: float = 0.0
    still: dict[str, float] = field(default_factory=dict)
    saturated: dict[str, float] = field(default_factory=dict)
    n_text: dict[str, int] = field(default_factory=dict)

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
    path: Path | str,
    columns: Iterable[str] = (),
    *,
    eid: str | None = None,
    is_raw: bool = False,
    max_still_s: float = MAX_STILL_S,
    max_saturated_s: float = MAX_SATURATED_S,
) -> SignalFile:
    """Read a photometry signal file (``photometry.signal.pqt``), or raw frames as one.

    Parameters
    ----------
    path : Path
    columns : iterable of str
        Signal columns known by name; those that are named as signal columns are read anyway.
    eid : str, optional
        Session to name in an error.
    is_raw : bool
        Whether the file holds the camera's raw frames
        (``_neurophotometrics_fpData.raw.pqt``), which ibl-photometry's reader takes; times
        are then those of the camera.
    max_still_s, max_saturated_s : float
        Samples of longer stretches of equal values, and of longer stretches at the largest
        value, are NaN [s].

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
        no frame has a time, the times span more than a day, or frames are more than a second
        apart (times in milliseconds).

    Notes
    -----
    The first frame, taken while the LEDs start, is dropped as ibl-photometry does.
    The last file read by a process is kept, since quality control and
    preprocessing read the same one. Samples that are exactly zero where light is seen
    otherwise were not taken, and are NaN.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise MissingFileError("no such file", eid=eid, path=path) from error
    limits = (max_still_s, max_saturated_s)
    key = (path, stat.st_size, stat.st_mtime_ns, tuple(sorted(columns)), is_raw, limits)
    try:
        return _read(*key)
    except (MalformedFileError, UnreadableFileError) as error:
        raise type(error)(error.message, eid=eid, path=path) from error.__cause__


def count_mislabeled(path: Path | str, signal: SignalFile) -> int | None:
    """Frames of a signal file whose wavelength contradicts the name of their band.

    Parameters
    ----------
    path : Path
        The file that `signal` was read from.
    signal : SignalFile

    Returns
    -------
    int or None
        Frames of GCaMP below, and of its isosbestic above `ISOSBESTIC_BELOW_NM`; None if the
        file has no wavelengths.
    """
    import pyarrow.parquet as pq

    if "wavelength" not in pq.read_schema(path).names:
        return None
    wavelength = _numbers(pq.read_table(path, columns=["wavelength"]), "wavelength")[1:]
    known, wrong = np.isfinite(wavelength) & (wavelength > 0), np.zeros(len(signal.band), bool)
    for name, is_long in (("GCaMP", True), ("Isosbestic", False)):
        if name in signal.bands:
            own = known & (signal.band == signal.bands.index(name))
            wrong |= own & ((wavelength > ISOSBESTIC_BELOW_NM) != is_long)
    return int(wrong.sum()) if known.any() else None


def forget_signal_file() -> None:
    """Drop the table that is kept from the last reading."""
    _read.cache_clear()


def is_red(column: str) -> bool:
    """Whether a signal column is the red camera's, which sees no GCaMP.

    Examples
    --------
    >>> [is_red(name) for name in ("R0", "Region3R", "G0", "Region3G", "Region3")]
    [True, True, False, False, False]
    """
    found = _SIGNAL_COLUMN.fullmatch(column)
    return bool(found) and "R" in (found["old"], found["new"])


@lru_cache(maxsize=1)
def _read(
    path: Path,
    size: int,
    mtime_ns: int,
    named: tuple[str, ...],
    is_raw: bool,
    limits: tuple[float, float],
) -> SignalFile:
    del size, mtime_ns
    table, columns, valid_column = (_read_raw if is_raw else _read_columns)(path, named)
    if table.num_rows < 2:
        raise MalformedFileError(f"{table.num_rows} frames; more than the first are expected")
    times = _numbers(table, "times")[1:]
    known = np.isfinite(times)
    if not known.any():
        raise MalformedFileError(f"0 of {len(times)} times are finite")
    span = float(times[known].max() - times[known].min())
    if span > MAX_SPAN_S:
        raise MalformedFileError(
            f"the times span {span:g} s; at most {MAX_SPAN_S:g} s are expected of a session"
        )
    band, bands = _bands(table)
    n_repeated = _leave_out_repeated(times, band, len(bands))
    n_bad, largest = _leave_out_disorder(times, band, bands)
    values, n_text = {}, {}
    for name in columns:
        values[name], n_text[name] = _numbers_and_text(table, name)
    still, saturated = {}, {}
    for name in columns:
        values[name], still[name], saturated[name] = _without_dropouts(
            times, values[name], band, limits
        )
    return SignalFile(
        times, values, band, bands, _valid(table, valid_column), valid_column,
        n_bad, largest, n_repeated, _longest_pause(times[band >= 0]), still, saturated, n_text,
    )  # fmt: skip


def _leave_out_repeated(times: np.ndarray, band: np.ndarray, n_bands: int) -> int:
    """Take frames that follow one of the same band at once out of their band, and that one."""
    if n_bands < 2:
        return 0
    steps = np.diff(times)
    at_once = steps <= 1.5 * np.nanmedian(steps)
    # a time that stands still or goes back is the clock's fault, see below
    repeated = (band[1:] == band[:-1]) & (band[1:] >= 0) & at_once & (steps > 0)
    n_repeated = int(repeated.sum())
    if n_repeated:
        both = np.append(repeated, False) | np.insert(repeated, 0, False)
        band[both] = -1
    return n_repeated


def _leave_out_disorder(
    times: np.ndarray, band: np.ndarray, bands: tuple[str, ...]
) -> tuple[int, float]:
    """Take frames without a time that is known out of their band."""
    lost = (band >= 0) & ~np.isfinite(times)
    band[lost] = -1
    n_lost, largest = int(lost.sum()), 0.0
    for i, name in enumerate(bands):
        frames = np.flatnonzero(band == i)
        clock = check_clock(times[frames])
        band[frames[~clock.usable]] = -1
        n_lost += int((~clock.usable).sum())
        largest = max(largest, clock.largest_back_s)
        kept = times[frames[clock.usable]]
        interval = float(np.median(np.diff(kept))) if len(kept) > 1 else 0.0
        if interval > MAX_INTERVAL_S:
            raise MalformedFileError(
                f"frames of {name} are {interval:g} s apart; at most {MAX_INTERVAL_S:g} s is "
                "expected (times must be in seconds)"
            )
    return n_lost, largest


def _longest_pause(times: np.ndarray) -> float:
    return float(np.diff(np.sort(times)).max(initial=0.0))


def _without_dropouts(
    times: np.ndarray, values: np.ndarray, band: np.ndarray, limits: tuple[float, float]
) -> tuple[np.ndarray, float, float]:
    """Values, NaN where the detector stood; the longest such stretch, and the time at the top."""
    bad = np.zeros(len(values), dtype=bool)
    longest = at_top = 0.0
    for i in range(int(band.max(initial=-1)) + 1):
        frames = np.flatnonzero(band == i)
        own, when = values[frames], times[frames]
        if len(own) < 2 or not np.isfinite(own).any():
            continue
        step = float(np.median(np.diff(when)))
        if np.nanmedian(own) > 0:
            bad[frames[own == 0]] = True
        top = np.nanmax(own)
        for start, stop in constant_stretches(own, max(3, int(limits[1] / step))):
            if stop - start == len(own):
                break  # a detector that never moved: few_unique_samples tells
            duration = float(when[stop - 1] - when[start] + step)
            is_top = own[start] == top and top > 0
            longest = max(longest, duration)
            at_top += duration * is_top
            if duration > (limits[1] if is_top else limits[0]):
                bad[frames[start:stop]] = True
    return np.where(bad, np.nan, values) if bad.any() else values, longest, at_top


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


def _read_raw(path: Path, named: tuple[str, ...]) -> tuple[pa.Table, list[str], str | None]:
    import pyarrow as pa

    from iblnm.io.raw_signal import read_raw_signal

    frame = read_raw_signal(path)
    present = [str(name) for name in frame]
    columns = _signal_columns(present, named)
    if not columns:
        raise MalformedFileError(
            f"the raw frames have no signal column (Region*, R* or G*); the file has "
            f"{', '.join(present)}"
        )
    wanted = frame[["times", "name", *columns, "valid"]]
    return pa.Table.from_pandas(wanted, preserve_index=False), columns, "valid"


def _signal_columns(present: list[str], named: tuple[str, ...]) -> list[str]:
    plain = [name for name in present if _SIGNAL_COLUMN.fullmatch(name)]
    regions = [name for name in plain if name.startswith("Region")]
    return [name for name in present if name in named or name in (regions or plain)]


def _numbers_and_text(table: pa.Table, name: str) -> tuple[np.ndarray, int]:
    """Values of a signal column without its first frame, and how many are text."""
    import pyarrow as pa

    kind = table.schema.field(name).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return _numbers(table, name)[1:], 0
    given = table.column(name).to_pylist()[1:]
    values = np.array([_number(text) for text in given])
    return values, sum(text is not None for text in given) - int(np.isfinite(values).sum())


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    import pyarrow as pa

    kind = table.schema.field(name).type
    if pa.types.is_null(kind):
        return np.full(table.num_rows, np.nan)
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise MalformedFileError(f"column {name} has type {kind}; numbers are expected")
    column = table.column(name)
    # a cast loads the whole of pyarrow.compute, 15 MB in a server that stays small
    if kind != pa.float64():
        column = column.cast(pa.float64(), safe=False)
    return _as_numpy(column, np.nan)


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
    # a frame that nobody marked is not known to be valid
    if pa.types.is_floating(column.type):  # marks with gaps, as pandas stores them
        return np.nan_to_num(_numbers(table, name)[1:]) != 0
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type)):
        raise MalformedFileError(f"column {name} has type {column.type}; booleans are expected")
    if pa.types.is_boolean(column.type) and not column.null_count:
        return np.concatenate([_bits(chunk) for chunk in column.chunks])[1:]
    return _as_numpy(column.cast(pa.bool_()).cast(pa.uint8()), 0)[1:].astype(bool)


def _bits(chunk: pa.BooleanArray) -> np.ndarray:
    """Booleans as pyarrow stores them, eight to a byte."""
    count = chunk.offset + len(chunk)
    packed = np.frombuffer(chunk.buffers()[1], dtype=np.uint8)
    return np.unpackbits(packed, count=count, bitorder="little")[chunk.offset :].astype(bool)


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
