"""Pulses that the photometry's camera logged, by ibl-photometry's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from iblnm.archive.datasets import dataset_path
from iblnm.errors import MalformedFileError, UnreadableFileError

# a part of the files is registered under the first spelling
DIGITAL_INPUTS = tuple(
    f"raw_photometry_data/_neurophotometrics_fpData.{name}.{suffix}"
    for name in ("digitalInputs", "digitalIntputs")
    for suffix in ("pqt", "csv")
)
# of the two stamps of files of version 2 the one of the frames: the input bit of the frames
# rises at most one frame after it, and up to two after the other
_STAMP = "Value.Seconds"
_UNKNOWN_CHANNEL = 0


def read_pulses(path: Path, *, eid: str | None = None) -> dict[int, np.ndarray]:
    """Rising edges of the digital inputs.

    Parameters
    ----------
    path : Path
        ``_neurophotometrics_fpData.digitalInputs.pqt`` or ``.csv``, of any version that
        ibl-photometry knows.
    eid : str, optional
        Session to name in an error.

    Returns
    -------
    dict of int to ndarray
        By channel: times [s, clock of the frames], increasing. Files that name no channel have
        the single channel 0.

    Raises
    ------
    UnreadableFileError, MalformedFileError
        If the file cannot be read, or is of no known version.
    """
    # fpio first: the two modules import each other
    from iblphotometry import fpio, neurophotometrics  # noqa: F401
    from pandera.errors import SchemaError

    try:
        table = neurophotometrics.read_digital_inputs_file(
            path, channel=_UNKNOWN_CHANNEL, timestamps_colname=_STAMP
        )
    except OSError as error:
        raise UnreadableFileError(f"no readable table: {error}", eid=eid, path=path) from error
    except (SchemaError, ValueError, KeyError, AssertionError, TypeError) as error:
        raise MalformedFileError(
            f"ibl-photometry cannot take the digital inputs ({' '.join(str(error).split())})",
            eid=eid,
            path=path,
        ) from error
    rising = table[(table["polarity"] == 1) & np.isfinite(table["times"])]
    return {
        int(channel): np.unique(times.to_numpy(dtype=np.float64))
        for channel, times in rising.groupby("channel")["times"]
    }


def pulses_path(one: Any, eid: str) -> Path | None:
    """Verified file of the digital inputs of a session; None if it lists none."""
    return dataset_path(one, eid, DIGITAL_INPUTS)


def sync_channel(one: Any, eid: str) -> int | None:
    """Channel of the pulses of the task, as the experiment description says; None if unknown."""
    from iblnm.io.regions import known_description

    devices = known_description(one, eid).get("devices")
    device = devices.get("neurophotometrics") if isinstance(devices, dict) else None
    channel = device.get("sync_channel") if isinstance(device, dict) else None
    return int(channel) if str(channel).isdigit() else None
