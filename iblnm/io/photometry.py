"""The photometry signal of a session: a verified reference to it, and its two bands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.archive.datasets import dataset_path, find_dataset
from iblnm.archive.hashes import file_md5
from iblnm.errors import MalformedFileError, MissingFileError, UnreadableFileError
from iblnm.io.raw_frames import read_raw_frames
from iblnm.io.regions import LOCATIONS, read_locations, split_region
from iblnm.io.signal_file import SignalFile, read_signal_file
from iblnm.io.trials import load_trials_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iblnm.config import Settings

__all__ = ["load_photometry", "photometry_reference", "read_raw_frames"]

SIGNAL = "alf/photometry/photometry.signal.pqt"
RAW_FRAMES = (
    "raw_photometry_data/_neurophotometrics_fpData.raw.pqt",
    "raw_photometry_data/_neurophotometrics_fpData.raw.csv",
)
SIGNAL_BAND = "GCaMP"
REFERENCE_BAND = "Isosbestic"
_PADDING_S = 5.0


def photometry_reference(
    one: Any, eid: str, session_row: pd.Series | pd.DataFrame, settings: Settings
) -> pd.DataFrame:
    """Verify the signal of a session and say where it is, without copying it.

    Parameters
    ----------
    one : ONE
    eid : str
    session_row : Series or one-row DataFrame
        Metadata of the session, see `iblnm.archive.fetch_session`.
    settings : Settings

    Returns
    -------
    DataFrame
        One row per signal column: files, hash and size; column, recording name, region, side
        and fibre; bands, rate [Hz], samples; first and last sample, start and end of the
        task, first stimulus and last feedback [s, session clock; null without trials];
        ``unmapped_columns``, the columns that do not map to exactly one region.

    Raises
    ------
    MissingFileError
        If the session lists no signal, or a listed file is not on disk.
    UnreadableFileError, MalformedFileError, DownloadIntegrityError
        If the signal, the locations or the trials cannot be used.
    """
    session = session_row.iloc[0] if isinstance(session_row, pd.DataFrame) else session_row
    path = dataset_path(one, eid, SIGNAL)
    if path is None:
        raise MissingFileError("the session lists no photometry signal", eid=eid)
    locations_path = dataset_path(one, eid, LOCATIONS)
    raw_path = dataset_path(one, eid, RAW_FRAMES)
    rois = [roi for roi in session["roi"] if isinstance(roi, str)]
    signal = read_signal_file(path, rois, eid=eid)
    _check_signal(signal, rois, eid, path)
    located = {} if locations_path is None else read_locations(locations_path, eid=eid)
    fibers = _map_columns(list(signal.columns), session, located, settings)
    dataset = find_dataset(one, eid, SIGNAL)
    times = signal.times[signal.frames_of(SIGNAL_BAND)]
    common = {
        "eid": eid,
        "signal_path": str(path),
        "locations_path": None if locations_path is None else str(locations_path),
        "signal_hash": dataset.hash or file_md5(path),
        "signal_size": path.stat().st_size,
        "signal_revision": dataset.revision or None,
        "raw_path": None if raw_path is None else str(raw_path),
        "bands": list(signal.bands),
        "rate_hz": 1 / float(np.median(np.diff(times))),
        "n_samples": len(times),
        "first_sample_s": float(times[0]),
        "last_sample_s": float(times[-1]),
        "valid_column": signal.valid_column,
        **_task_window(one, eid),
        "unmapped_columns": [name for name, i in fibers.items() if i is None],
    }
    rows = []
    for column, i in fibers.items():
        known = {
            "recording_name": None if i is None else session["recording_name"][i],
            "brain_region": None if i is None else session["brain_region"][i],
            "hemisphere": None if i is None else session["hemisphere"][i],
            "fiber_idx": i,
        }
        rows.append({**common, "column": column, **known})
    reference = pd.DataFrame(rows).astype({"fiber_idx": "Int64"})
    return reference.sort_values("fiber_idx", na_position="last", ignore_index=True)


def load_photometry(
    reference: pd.DataFrame,
    *,
    restrict: bool = True,
    padding_s: float = _PADDING_S,
    bands: Sequence[str] = (SIGNAL_BAND, REFERENCE_BAND),
) -> dict[str, pd.DataFrame]:
    """Load the bands of a session's signal.

    Parameters
    ----------
    reference : DataFrame
        See `photometry_reference`; columns without a recording name are left out.
    restrict : bool
        Whether to keep only the samples from `padding_s` before the first to `padding_s`
        after the last trial interval; without trials all are kept.
    padding_s : float
    bands : sequence of str
        Bands to load, as far as they are present.

    Returns
    -------
    dict of str to DataFrame
        By band: index ``times`` (float64, s, session clock), one float64 column per
        recording name, invalid samples NaN. All bands have as many rows as the shortest.

    Raises
    ------
    MissingFileError, UnreadableFileError, MalformedFileError
        If the file is gone, has changed since the reference was made, or has no valid
        sample within the task.

    Notes
    -----
    The same frames as ``iblphotometry.fpio.PhotometrySessionLoader.load_photometry``, which
    does not look at the marks of validity.
    """
    first = reference.iloc[0]
    eid, path = str(first["eid"]), Path(first["signal_path"])
    mapped = reference.dropna(subset=["recording_name"]).sort_values("fiber_idx")
    if mapped.empty:
        raise MalformedFileError("no signal column maps to a region", eid=eid, path=path)
    signal = read_signal_file(path, reference["column"], eid=eid)
    _check_unchanged(first, eid, path)
    window = (-np.inf, np.inf)
    if restrict and not pd.isna(first["task_start_s"]):
        window = (first["task_start_s"] - padding_s, first["task_end_s"] + padding_s)
    frames = {band: signal.frames_within(band, window) for band in signal.bands if band in bands}
    shortest = min(map(len, frames.values()), default=0)
    if not shortest:
        empty = [band for band, index in frames.items() if not len(index)] or bands
        raise MalformedFileError(
            f"0 samples of {', '.join(empty)} between {window[0]:.1f} and {window[1]:.1f} s; the "
            f"signal spans {signal.times[0]:.1f} to {signal.times[-1]:.1f} s",
            eid=eid,
            path=path,
        )
    columns = dict(zip(mapped["column"], mapped["recording_name"], strict=True))
    loaded = {
        band: _band_frame(signal, index[:shortest], columns) for band, index in frames.items()
    }
    _check_samples(loaded, eid, path)
    return loaded


def _band_frame(signal: SignalFile, index: np.ndarray, columns: dict[str, str]) -> pd.DataFrame:
    data = {name: signal.columns[column][index] for column, name in columns.items()}
    invalid = ~signal.valid[index]
    if invalid.any():
        for values in data.values():
            values[invalid] = np.nan
    return pd.DataFrame(data, index=pd.Index(signal.times[index], name="times"))


def _map_columns(
    columns: list[str], session: pd.Series, located: dict[str, Any], settings: Settings
) -> dict[str, int | None]:
    """Fibre of each signal column; None unless exactly one region claims it."""
    regions, rois = list(session["brain_region"]), list(session["roi"])
    if not any(isinstance(roi, str) for roi in rois):
        # regions without columns can be told apart only if there is one of each
        single = len(columns) == len(regions) == 1
        return dict.fromkeys(columns, 0 if single else None)
    mapping: dict[str, int | None] = {}
    for column in columns:
        claims = [i for i, roi in enumerate(rois) if roi == column]
        other = located.get(column)
        if isinstance(other, str) and other.strip() and claims:
            bare, _ = split_region(other, settings.region_fixes)
            claims = [i for i in claims if i >= len(regions) or regions[i] == bare]
        claims = [i for i in claims if i < len(regions)]
        is_single = len(claims) == 1 and session["recording_name"][claims[0]] is not None
        mapping[column] = claims[0] if is_single else None
    return mapping


def _task_window(one: Any, eid: str) -> dict[str, float | None]:
    names = ("task_start_s", "task_end_s", "first_stim_on_s", "last_feedback_s")
    try:
        trials = load_trials_table(one, eid)
    except MissingFileError as error:
        if error.path is not None:  # listed, but not on disk
            raise
        return dict.fromkeys(names)
    stim, feedback = trials["stimOn_times"].dropna(), trials["feedback_times"].dropna()
    values = (
        float(trials["intervals_0"].iloc[0]),
        float(trials["intervals_1"].iloc[-1]),
        None if stim.empty else float(stim.min()),
        None if feedback.empty else float(feedback.max()),
    )
    return dict(zip(names, values, strict=True))


def _check_signal(signal: SignalFile, rois: list[str], eid: str, path: Path) -> None:
    if SIGNAL_BAND not in signal.bands:
        found = ", ".join(signal.bands) or "none"
        raise MalformedFileError(f"bands: {found}; {SIGNAL_BAND} is expected", eid=eid, path=path)
    absent = [roi for roi in rois if roi not in signal.columns]
    if absent:
        raise MalformedFileError(
            f"regions name the columns {', '.join(absent)}; the file has "
            f"{', '.join(signal.columns)}",
            eid=eid,
            path=path,
        )
    frames = signal.frames_of(SIGNAL_BAND)
    if len(frames) < 2:
        raise MalformedFileError(
            f"{len(frames)} samples of {SIGNAL_BAND}; at least 2 are expected",
            eid=eid,
            path=path,
        )
    for name, values in signal.columns.items():
        if not np.isfinite(values[frames]).any():
            raise MalformedFileError(
                f"column {name}: 0 of {len(frames)} samples of {SIGNAL_BAND} are finite",
                eid=eid,
                path=path,
            )


def _check_unchanged(reference: pd.Series, eid: str, path: Path) -> None:
    size = path.stat().st_size
    if not pd.isna(reference["signal_size"]) and size != reference["signal_size"]:
        raise UnreadableFileError(
            f"{size} bytes on disk, {reference['signal_size']} when it was verified; "
            "materialize the session's photometry again",
            eid=eid,
            path=path,
        )


def _check_samples(bands: dict[str, pd.DataFrame], eid: str, path: Path) -> None:
    for band, frame in bands.items():
        empty = [name for name in frame if not frame[name].notna().any()]
        if empty:
            raise MalformedFileError(
                f"{', '.join(empty)}: 0 of {len(frame)} samples of {band} are valid and finite",
                eid=eid,
                path=path,
            )
