"""Raw frames of the photometry camera: when each was taken and under which LED."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from iblnm.errors import MalformedFileError, MissingFileError, UnreadableFileError

TIME_COLUMNS = ("SystemTimestamp", "Timestamp")
STATE_COLUMNS = ("LedState", "Flags")
LED_BITS = 0b111


def read_raw_frames(
    path: Path | str, *, eid: str | None = None, max_missing_share: float = 0.0
) -> pd.DataFrame:
    """Read the times and LED states of raw frames.

    Parameters
    ----------
    path : Path
        ``_neurophotometrics_fpData.raw.pqt`` or its text form ``.csv``, of any version.
    eid : str, optional
        Session to name in an error.
    max_missing_share : float
        Share of the frames of which time or state may be missing.

    Returns
    -------
    DataFrame
        ``times`` (float64, s, clock of the camera; NaN where missing) and ``led`` (int64): the
        three lowest bits of the state, 1 for 415 nm, 2 for 470 nm, 4 for 560 nm, 0 for none or
        a missing state.

    Raises
    ------
    MissingFileError, UnreadableFileError, MalformedFileError
        If there is no file, it cannot be read, or times or states are not numeric, missing
        in too many frames, or there are fewer than two frames.

    Notes
    -----
    The higher bits tell the state of inputs and outputs; tables of whole states miss frames
    during which one of these was on.
    """
    path = Path(path)
    try:
        table = _read_text(path) if path.suffix == ".csv" else _read_parquet(path)
    except FileNotFoundError as error:
        raise MissingFileError("no such file", eid=eid, path=path) from error
    except (MalformedFileError, UnreadableFileError) as error:
        raise type(error)(error.message, eid=eid, path=path) from error.__cause__
    numbers = {}
    for name in table:
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise MalformedFileError(
                f"column {name} has type {table[name].dtype}; numbers are expected",
                eid=eid,
                path=path,
            )
        numbers[name] = table[name].to_numpy(dtype=np.float64, na_value=np.nan)
        n_bad = int((~np.isfinite(numbers[name])).sum())
        if n_bad > max_missing_share * len(table):
            raise MalformedFileError(
                f"{n_bad} of {len(table)} values of {name} are not finite; at most "
                f"{max_missing_share:.1%} may be",
                eid=eid,
                path=path,
            )
    if len(table) < 2:
        raise MalformedFileError(
            f"{len(table)} frames; at least 2 are expected", eid=eid, path=path
        )
    times, states = numbers.values()
    times = np.where(np.isfinite(times), times, np.nan)
    states = np.where(np.isfinite(states), states, 0)
    return pd.DataFrame({"times": times, "led": states.astype(np.int64) & LED_BITS})


def _columns(present: list[str]) -> list[str]:
    chosen = []
    for candidates in (TIME_COLUMNS, STATE_COLUMNS):
        found = next((name for name in candidates if name in present), None)
        if found is None:
            raise MalformedFileError(
                f"no column {' or '.join(candidates)}; the file has {', '.join(present)}"
            )
        chosen.append(found)
    return chosen


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = _columns(file.schema_arrow.names)
            return file.read(columns=columns, use_threads=False).to_pandas()[columns]
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(f"no readable parquet file: {error}") from error


def _read_text(path: Path) -> pd.DataFrame:
    try:
        columns = _columns(list(pd.read_csv(path, nrows=0)))
        return pd.read_csv(path, usecols=columns, float_precision="round_trip")[columns]
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UnreadableFileError(f"no readable CSV file: {error}") from error
