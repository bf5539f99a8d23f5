"""Raw frames of the photometry camera as a signal, by ibl-photometry's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from iblnm.errors import MalformedFileError, UnreadableFileError
from iblnm.io.raw_frames import LED_BITS, STATE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_RED = "RCaMP"
# what tells the versions of the file apart; the library's own guess wants columns that it
# does not use
_VERSIONS = {"Flags": "version_1", "SystemTimestamp": "version_5", "Timestamp": "version_2"}


def read_raw_signal(path: Path) -> pd.DataFrame:
    """Raw Neurophotometrics frames in the columns of a signal file.

    Parameters
    ----------
    path : Path
        ``_neurophotometrics_fpData.raw.pqt`` or its text form ``.csv``, of any version that
        ibl-photometry knows.

    Returns
    -------
    DataFrame
        One column per region of interest; ``times`` (s, clock of the camera), ``valid``,
        ``wavelength``, ``name`` and ``color``; the first frame included.

    Raises
    ------
    UnreadableFileError
        If the file cannot be read.
    MalformedFileError
        If time stamps or states of the LEDs are missing.

    Notes
    -----
    The library looks whole LED states up in a table, which lacks those with more than one
    input or output on: their frames would have no band. It is given the three bits of the
    LEDs. Frames under 470 and 560 nm at once are frames of GCaMP for the green camera.
    """
    # fpio first: the two modules import each other
    from iblphotometry import fpio, neurophotometrics  # noqa: F401

    try:
        frame = neurophotometrics.read_neurophotometrics_file(path)
    except (ValueError, OSError) as error:  # of pandas, pyarrow and the library itself
        raise UnreadableFileError(f"no readable table of frames: {error}") from error
    present = ", ".join(map(str, frame))
    states = next((name for name in STATE_COLUMNS if name in frame), None)
    version = next((name for column, name in _VERSIONS.items() if column in frame), None)
    if states is None or version is None or len(frame) < 2:
        raise MalformedFileError(
            f"at least 2 frames with time stamps and states of the LEDs are expected; the file "
            f"has {len(frame)} with {present}"
        )
    try:
        frame[states] = frame[states].astype("int64") & LED_BITS
        signal = neurophotometrics.from_neurophotometrics_df_to_photometry_df(
            frame, version=version, drop_first=False, validate=False
        )
    except (ValueError, TypeError, KeyError) as error:
        raise MalformedFileError(
            f"ibl-photometry cannot take the frames ({error}); the file has {present}"
        ) from error
    signal["name"] = signal["name"].map(_band)
    return signal


def _band(name: str) -> str:
    parts = [part for part in name.split("+") if part != _RED]
    return parts[0] if len(parts) == 1 else name
