"""The fiber table: where each subject's fibers were implanted."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.errors import MalformedFileError, MissingFileError, UnreadableFileError
from iblnm.io.text import Line, read_delimited

if TYPE_CHECKING:
    from iblnm.config import Settings

METHOD_VERSION = 1
FIBER_COLUMNS = (
    "subject",
    "targeted_region",
    "neuromodulator",
    "X-ml_um",
    "Y-ap_um",
    "Z-dv_um",
    "depth",
    "theta",
    "phi",
    "roll",
    "expression",
    "fiber_diameter_um",
    "fiber_length_mm",
    "numerical_aperture",
    "fiber_tip",
    "surgery_date",
    "notes",
)
REQUIRED_COLUMNS = FIBER_COLUMNS[:9]
_CHECKOUT = Path(__file__).resolve().parents[2]
_NUMBERS = ("X-ml_um", "Y-ap_um", "Z-dv_um", "depth", "theta", "phi")
_MISSING = ("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "None", "null", "NULL")


def fibers_path(settings: Settings) -> Path | None:
    """The fiber table in force: of the root, else of the archive, else of the checkout."""
    shipped = _CHECKOUT / "metadata" / "fibers.csv"
    for path in (settings.fibers_fpath, settings.cache_dir / "fibers.csv", shipped):
        if path.is_file():
            return path
    return None


def describe_fiber_table(settings: Settings) -> str:
    """A sentence for messages: which fiber table is in force, or where to put one."""
    path = fibers_path(settings)
    if path is None:
        return f"There is no fiber table: put one at {settings.fibers_fpath}."
    return f"The fiber table is {path}."


def read_fibers(path: Path | str) -> pd.DataFrame:
    """Read a fiber table.

    Parameters
    ----------
    path : Path
        Text with at least the first nine of `FIBER_COLUMNS`, as
        `iblnm.io.text.read_delimited` takes it; coordinates in µm relative to bregma, angles
        in degrees.

    Returns
    -------
    DataFrame
        One row per fiber; text columns with null for what is missing, numbers as float64.

    Raises
    ------
    MissingFileError, UnreadableFileError, MalformedFileError
        If there is no file, it is no CSV text, or columns are missing or not numeric, with the
        line.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise MissingFileError("no such file", path=path) from error
    return _read(path, stat.st_size, stat.st_mtime_ns).copy()


def subject_fibers(settings: Settings, subject: str) -> pd.DataFrame:
    """Fibers of one subject in the table in force; empty if there is no table.

    Returns
    -------
    DataFrame
        As `read_fibers`, with ``side``: 'l', 'r' or None.
    """
    path = fibers_path(settings)
    if path is None:
        return pd.DataFrame({name: [] for name in (*FIBER_COLUMNS, "side")})
    fibers = read_fibers(path)
    own = fibers[fibers["subject"] == subject].reset_index(drop=True)
    sides = [side_of(x, settings.right_is_positive_ml) for x in own["X-ml_um"]]
    return own.assign(side=pd.Series(sides, index=own.index, dtype=object))


def side_of(x_ml_um: float, right_is_positive_ml: bool) -> str | None:
    """Side of a medio-lateral coordinate; None on the midline or if it is unknown.

    Examples
    --------
    >>> side_of(-1500.0, right_is_positive_ml=True)
    'l'
    """
    if not np.isfinite(x_ml_um) or x_ml_um == 0:
        return None
    return "r" if (x_ml_um > 0) == right_is_positive_ml else "l"


def fiber_tip(
    entry: Any, depth: float | np.ndarray, theta: float | np.ndarray, phi: float | np.ndarray
) -> np.ndarray:
    """Position of a fiber's tip from its entry point and angles.

    Parameters
    ----------
    entry : array_like, shape (3,) or (n, 3)
        x, y, z of the entry [µm].
    depth : float or array
        Length from the entry to the tip [µm].
    theta, phi : float or array
        Polar angle and azimuth [degrees].

    Returns
    -------
    ndarray, shape (3,) or (n, 3)
        ``entry − depth · (sin θ cos φ, sin θ sin φ, cos θ)``.

    Examples
    --------
    >>> fiber_tip((1000.0, -3000.0, 0.0), 4000.0, 0.0, 180.0).tolist()
    [1000.0, -3000.0, -4000.0]
    """
    theta, phi = np.deg2rad(theta), np.deg2rad(phi)
    direction = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1
    )
    return np.asarray(entry, dtype=np.float64) - np.asarray(depth)[..., None] * direction


@lru_cache(maxsize=4)
def _read(path: Path, size: int, mtime_ns: int) -> pd.DataFrame:
    del size, mtime_ns
    found = read_delimited(path, FIBER_COLUMNS)
    used = [
        line for line in found.lines if any(line.fields) and not line.fields[0].startswith("#")
    ]
    if not used:
        raise UnreadableFileError("no readable CSV file: it is empty", path=path)
    header, *rows = used
    missing = [name for name in REQUIRED_COLUMNS if name not in header.fields]
    if missing:
        raise MalformedFileError(
            f"line {header.number}: columns {', '.join(missing)} are missing; expected, separated "
            f"by commas, semicolons or tabs, are {', '.join(REQUIRED_COLUMNS)}",
            path=path,
        )
    twice = [name for name in header.fields if name and header.fields.count(name) > 1]
    if twice:
        raise MalformedFileError(
            f"line {header.number}: column {twice[0]} is there twice; remove one", path=path
        )
    records = [_record(header.fields, line, found.has_decimal_commas, path) for line in rows]
    table = pd.DataFrame(records, columns=[name for name in header.fields if name], dtype=object)
    return table.astype(dict.fromkeys(_NUMBERS, np.float64))


def _record(
    names: list[str], line: Line, has_decimal_commas: bool, path: Path
) -> dict[str, str | float | None]:
    if len(line.fields) > len(names):
        raise MalformedFileError(
            f"line {line.number}: {len(line.fields)} fields, {len(names)} are expected; put a "
            "text that holds a separator in quotes",
            path=path,
        )
    fields = [*line.fields, *[""] * (len(names) - len(line.fields))]
    record: dict[str, str | float | None] = {
        name: None if text in _MISSING else text
        for name, text in zip(names, fields, strict=True)
        if name
    }
    for name in _NUMBERS:
        text = record[name] or "nan"
        try:
            record[name] = float(text.replace(",", ".") if has_decimal_commas else text)
        except ValueError:
            raise MalformedFileError(
                f"line {line.number}: column {name} is {text!r}; a number is expected", path=path
            ) from None
    return record
