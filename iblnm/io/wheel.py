"""The wheel trace of a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from iblnm.archive.datasets import dataset_path
from iblnm.errors import MalformedFileError, MissingFileError, UnreadableFileError

# a wrong time far away would make a regular trace of any size of it
MAX_SPAN_S = 24 * 3600.0


def load_wheel(one: Any, eid: str) -> tuple[np.ndarray, np.ndarray]:
    """Load the times and positions of the wheel.

    Parameters
    ----------
    one : ONE
    eid : str

    Returns
    -------
    times : ndarray, shape (n,), float64
        Seconds on the session clock, not decreasing.
    position : ndarray, shape (n,), float64
        Radians.

    Raises
    ------
    MissingFileError
        If the session lists no wheel or a file is not on disk.
    UnreadableFileError
        If a file is empty, truncated or no npy file of numbers.
    MalformedFileError
        If the two disagree in length, are not one-dimensional, hold fewer than two samples
        or values that are not finite, time runs backwards, or it spans more than a day.
    """
    arrays = {}
    for name in ("timestamps", "position"):
        path = dataset_path(
            one, eid, (f"alf/_ibl_wheel.{name}.npy", f"alf/task_*/_ibl_wheel.{name}.npy")
        )
        if path is None:
            raise MissingFileError(f"the session lists no wheel {name}", eid=eid)
        arrays[name] = read_npy(path, eid=eid)
    times, position = arrays["timestamps"], arrays["position"]
    if len(times) != len(position) or len(times) < 2:
        raise MalformedFileError(
            f"{len(times)} times and {len(position)} positions; as many of both are expected, "
            "at least 2",
            eid=eid,
            path=path,
        )
    for name, values in arrays.items():
        n_bad = int((~np.isfinite(values)).sum())
        if n_bad:
            raise MalformedFileError(
                f"{n_bad} of {len(values)} wheel {name} are not finite", eid=eid, path=path
            )
    if times[-1] - times[0] > MAX_SPAN_S:
        raise MalformedFileError(
            f"the wheel's times span {times[-1] - times[0]:g} s; at most {MAX_SPAN_S:g} s are "
            "expected of a session",
            eid=eid,
            path=path.with_name(path.name.replace("position", "timestamps")),
        )
    n_back = int((np.diff(times) < 0).sum())
    if n_back:
        raise MalformedFileError(
            f"wheel time runs backwards {n_back} times of {len(times)}", eid=eid, path=path
        )
    return times, position


def read_npy(path: Path, *, eid: str | None = None) -> np.ndarray:
    """Read a one-dimensional npy file of numbers as float64; nothing is unpickled."""
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise MissingFileError("no such file", eid=eid, path=path) from error
    except (ValueError, EOFError, OSError) as error:
        raise UnreadableFileError(f"no readable npy file: {error}", eid=eid, path=path) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        kind = getattr(array, "dtype", type(array).__name__)
        raise MalformedFileError(f"type {kind}; numbers are expected", eid=eid, path=path)
    if array.ndim != 1:
        raise MalformedFileError(
            f"shape {array.shape}; one dimension is expected", eid=eid, path=path
        )
    return array.astype(np.float64, copy=False)
