"""Length and quality verdicts of the left camera's video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.archive.datasets import dataset_path
from iblnm.archive.records import parse_json
from iblnm.errors import DataError
from iblnm.io.task_files import CAMERA_TIMES, known_collection, task_of
from iblnm.io.wheel import read_npy
from iblnm.signal.continuity import check_clock

if TYPE_CHECKING:
    from iblnm.config import Settings

METHOD_VERSION = 1
ERROR_CHECKS = ("timestamps", "dropped_frames", "pin_state")
SCORED_CHECKS = ("focus", "position", "brightness", "resolution", "wheel_alignment")
_PREFIX = "_videoLeft_"
_VERDICTS = ("PASS", "WARNING", "FAIL", "CRITICAL", "NOT_SET")


def video_qc(
    one: Any, eid: str, session_row: pd.Series | pd.DataFrame, settings: Settings
) -> pd.DataFrame:
    """Describe the left video of a session.

    Parameters
    ----------
    one : ONE
    eid : str
    session_row : Series or one-row DataFrame
        Metadata of the session, with ``session_length`` [s] and ``extended_qc`` (JSON text).
    settings : Settings
        ``qc_scores`` and the limit of the length difference.

    Returns
    -------
    DataFrame
        One row: verdicts of Alyx ``qc_*``; ``timestamps_loadable``; ``video_length``,
        ``length_discrepancy`` (session minus video) [s]; ``framerate_from_tpts`` [Hz];
        ``video_qc_score``, the mean of the scores of focus, position, brightness,
        resolution and wheel alignment as far as they are known, or −1 if the times cannot
        be loaded, the lengths differ too much, or times, dropped frames or pin state have a
        verdict other than PASS. What is unknown is null; ``note`` says why.
    """
    session = session_row.iloc[0] if isinstance(session_row, pd.DataFrame) else session_row
    extended = parse_json(session["extended_qc"]) or {}
    verdicts = {
        f"qc_{check}": verdict(extended, check) for check in (*ERROR_CHECKS, *SCORED_CHECKS)
    }
    length = session["session_length"]
    share = settings.thresholds.max_camera_fault_share
    times, note = _camera_times(one, eid, known_collection(session), share)
    row = {
        "eid": eid,
        "subject": session["subject"],
        "session_type": session["session_type"],
        **verdicts,
        "timestamps_loadable": times is not None,
        "session_length": None if pd.isna(length) else float(length),
        "video_length": None,
        "length_discrepancy": None,
        "framerate_from_tpts": None,
        "note": note,
    }
    if times is not None:
        row["video_length"] = float(times[-1] - times[0])
        row["framerate_from_tpts"] = 1 / float(np.median(np.diff(times)))
        if row["session_length"] is not None:
            row["length_discrepancy"] = row["session_length"] - row["video_length"]
    row["video_qc_score"] = _score(row, settings)
    return pd.DataFrame([row])


def verdict(extended_qc: Mapping[str, Any], check: str) -> str | None:
    """Verdict of one check of the left camera in Alyx's extended QC; None if there is none.

    A value is a verdict, or a list that begins with one, or a boolean.

    Examples
    --------
    >>> verdict({"_videoLeft_dropped_frames": ["PASS", 0, 2]}, "dropped_frames")
    'PASS'
    """
    for key, value in extended_qc.items():
        if key.startswith(_PREFIX) and key.removeprefix(_PREFIX) == check:
            value = value[0] if isinstance(value, list) and value else value
            if isinstance(value, bool):
                return "PASS" if value else "FAIL"
            text = str(value).upper().replace(" ", "_")
            return text if text in _VERDICTS else None
    return None


def _camera_times(
    one: Any, eid: str, collection: str | None, max_fault_share: float
) -> tuple[np.ndarray | None, str | None]:
    try:
        collection = collection or task_of(one, eid).collection
        # a camera that ran through all tasks lies beside them
        places = [collection, "alf"] if collection else ["alf", "alf/task_*"]
        path = dataset_path(one, eid, [f"{place}/{CAMERA_TIMES}" for place in places])
        if path is None:
            return None, "the session lists no camera times"
        times = read_npy(path, eid=eid)
    except DataError as error:
        return None, error.message
    known = times[np.isfinite(times)]
    known = known[check_clock(known).usable]
    n, n_bad = len(times), len(times) - len(known)
    if len(known) < 2 or n_bad > max_fault_share * n:
        return None, (
            f"{n_bad} of {n} camera times are not finite or not after the one before; at most "
            f"{max_fault_share:.1%} are accepted, and at least 2 must increase"
        )
    note = f"{n_bad} of {n} camera times are not finite or not after the one before"
    return known, note if n_bad else None


def _score(row: Mapping[str, Any], settings: Settings) -> float | None:
    limit = settings.thresholds.max_video_length_difference_s
    difference = row["length_discrepancy"]
    is_faulty = (
        not row["timestamps_loadable"]
        or (difference is not None and abs(difference) >= limit)
        or any(row[f"qc_{check}"] not in (None, "NOT_SET", "PASS") for check in ERROR_CHECKS)
    )
    if is_faulty:
        return -1.0
    values = [settings.qc_scores.get(row[f"qc_{check}"] or "") for check in SCORED_CHECKS]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
