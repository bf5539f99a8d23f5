"""The photometry signal of a session: a verified reference to it, and its two bands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.archive.datasets import Dataset, dataset_path, find_dataset
from iblnm.archive.hashes import file_md5
from iblnm.constants import EXTRACTED, RAW, REFERENCE_BAND, SIGNAL_BAND
from iblnm.errors import (
    MalformedFileError,
    MissingFileError,
    RawTaskError,
    UnreadableFileError,
)
from iblnm.io.photometry_clock import CAMERA, clock_columns, synchronize
from iblnm.io.raw_frames import read_raw_frames
from iblnm.io.regions import LOCATIONS, read_locations, split_region
from iblnm.io.signal_file import SignalFile, count_mislabeled, is_red, read_signal_file
from iblnm.io.task_files import known_collection
from iblnm.io.trials import load_trials_table, task_interval
from iblnm.signal.coverage import recording_coverage, trial_windows
from iblnm.signal.synchronization import to_other_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iblnm.config import Settings

METHOD_VERSION = 3
__all__ = ["load_photometry", "photometry_reference", "read_raw_frames"]

SIGNAL = "alf/photometry/photometry.signal.pqt"
RAW_FRAMES = (
    "raw_photometry_data/_neurophotometrics_fpData.raw.pqt",
    "raw_photometry_data/_neurophotometrics_fpData.raw.csv",
)
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
        Metadata of the session, see `iblnm.io.fetch_session`.
    settings : Settings

    Returns
    -------
    DataFrame
        One row per signal column: files, hash and size; ``source`` (``extracted``, or ``raw``
        where only the camera's frames are there) and ``clock``; how raw frames were put on the
        clock of the trials, or why they could not be (``sync_*``); column, recording name,
        region, side and fiber; bands, rate [Hz], samples; first and last valid sample, what is
        missing of the task (see `iblnm.signal.coverage`), start and end of the task, first
        stimulus and last feedback [s, session clock; null without trials];
        ``unmapped_columns``, the columns that do not map to exactly one region,
        ``red_columns``, those of the red camera that are no recording of GCaMP, and
        ``absent_columns``, those that a source names and the file does not have.

    Raises
    ------
    MissingFileError
        If the session lists neither a signal nor raw frames, or a listed file is not on disk.
    UnreadableFileError, MalformedFileError, DownloadIntegrityError
        If the signal, the locations or the extracted trials cannot be used. Trials that cannot
        be extracted from the rig's log are as none here.
    """
    session = session_row.iloc[0] if isinstance(session_row, pd.DataFrame) else session_row
    path, dataset, is_raw = _signal_dataset(one, eid)
    locations_path = dataset_path(one, eid, LOCATIONS)
    raw_path = dataset_path(one, eid, RAW_FRAMES)
    rois = [roi for roi in session["roi"] if isinstance(roi, str)]
    limits = settings.thresholds
    signal = read_signal_file(
        path,
        rois,
        eid=eid,
        is_raw=is_raw,
        max_still_s=limits.max_still_s,
        max_saturated_s=limits.max_saturated_s,
    )
    _check_signal(signal, rois, eid, path)
    located = {} if locations_path is None else read_locations(locations_path, eid=eid)
    fibers = _map_columns(list(signal.columns), session, located, settings)
    is_named = is_raw and not len(session["brain_region"])
    named = [name for name in signal.columns if not is_red(name)] if is_named else []
    share = limits.max_unusable_trial_share
    trials = _task_trials(one, eid, known_collection(session), share)
    signal, trials, clock = _on_one_clock(one, eid, signal, trials, is_raw, settings)
    times = signal.times[signal.frames_of(SIGNAL_BAND)]
    task = _task_window(trials)
    common = {
        "eid": eid,
        "source": RAW if is_raw else EXTRACTED,
        **clock,
        "signal_path": str(path),
        "locations_path": None if locations_path is None else str(locations_path),
        "signal_hash": dataset.hash or file_md5(path),
        "signal_size": path.stat().st_size,
        "signal_revision": dataset.revision or None,
        "raw_path": None if raw_path is None else str(raw_path),
        "bands": list(signal.bands),
        "rate_hz": 1 / float(np.median(np.diff(times))),
        "n_samples": len(times),
        "valid_column": None if is_raw else signal.valid_column,
        "still_limit_s": limits.max_still_s,
        "saturated_limit_s": limits.max_saturated_s,
        "n_out_of_order": signal.n_out_of_order,
        "largest_back_s": signal.largest_back_s,
        "longest_pause_s": signal.longest_pause_s,
        "n_repeated": signal.n_repeated,
        "n_mislabeled": None if is_raw else count_mislabeled(path, signal),
        **task,
        "unmapped_columns": [
            name for name, i in fibers.items() if i is None and not is_red(name) and not is_named
        ],
        "red_columns": [name for name, i in fibers.items() if i is None and is_red(name)],
        "absent_columns": [roi for roi in rois if roi not in signal.columns],
    }
    rows = []
    for column, i in fibers.items():
        if i is None and is_red(column):
            continue
        known = {
            "recording_name": None if i is None else session["recording_name"][i],
            "brain_region": None if i is None else session["brain_region"][i],
            "hemisphere": None if i is None else session["hemisphere"][i],
            "fiber_idx": i,
        }
        if is_named:  # nobody has said where the fibers are: the column is all there is
            known |= {"recording_name": column, "fiber_idx": named.index(column)}
        coverage = _coverage(signal, column, task, trials, settings)
        rows.append({**common, "column": column, **known, **coverage})
    reference = pd.DataFrame(rows).astype({"fiber_idx": "Int64"})
    return reference.sort_values("fiber_idx", na_position="last", ignore_index=True)


def _signal_dataset(one: Any, eid: str) -> tuple[Path, Dataset, bool]:
    """File of the signal and its record: the extracted one, else the raw frames."""
    for patterns, is_raw in ((SIGNAL, False), (RAW_FRAMES, True)):
        path = dataset_path(one, eid, patterns)
        if path is not None:
            return path, find_dataset(one, eid, patterns), is_raw
    raise MissingFileError("the session lists no photometry signal and no raw frames", eid=eid)


def _on_one_clock(
    one: Any,
    eid: str,
    signal: SignalFile,
    trials: pd.DataFrame | None,
    is_raw: bool,
    settings: Settings,
) -> tuple[SignalFile, pd.DataFrame | None, dict[str, Any]]:
    """Signal, and the trials as far as they are on its clock, and the columns of the clock."""
    own = "session" if trials is None else trials.attrs["clock"]
    if not is_raw:
        trials = trials if own == "session" else None
        return signal, trials, {"clock": "session", **clock_columns(None)}
    share = settings.thresholds.min_sync_matched_share
    fit = synchronize(one, eid, trials, min_matched_share=share)
    if fit.fault:
        return signal, None, {"clock": CAMERA, **clock_columns(fit)}
    moved = replace(signal, times=fit.apply(signal.times))
    return moved, trials, {"clock": own, **clock_columns(fit)}


def _coverage(
    signal: SignalFile,
    column: str,
    task: dict[str, float | None],
    trials: pd.DataFrame | None,
    settings: Settings,
) -> dict[str, Any]:
    bands = {}
    for band in (SIGNAL_BAND, REFERENCE_BAND):
        frames = signal.frames_of(band) if band in signal.bands else np.zeros(0, dtype=int)
        valid = np.isfinite(signal.columns[column][frames]) & signal.valid[frames]
        if valid.any() or band == SIGNAL_BAND:  # a reference that is never there is not used
            bands[band] = (signal.times[frames], valid)
    times, valid = bands[SIGNAL_BAND]
    window, wanted = None, np.zeros((0, 2))
    if trials is not None:
        wanted = trial_windows(trials, settings.response_events, settings.signal.response_window)
        known = wanted[np.isfinite(wanted).all(axis=1)]
        window = (
            float(known[:, 0].min(initial=task["task_start_s"])),
            float(known[:, 1].max(initial=task["task_end_s"])),
        )
    return {
        "first_sample_s": float(times[valid][0]) if valid.any() else None,
        "last_sample_s": float(times[valid][-1]) if valid.any() else None,
        "still_s": signal.still[column],
        "saturated_s": signal.saturated[column],
        "n_text": signal.n_text.get(column, 0),
        **recording_coverage(bands, window, wanted, max_gap_s=settings.signal.max_gap_s),
    }


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
        By band: index ``times`` (float64, s, see ``clock`` of the reference), one float64 column
        per recording name, samples that are invalid or stood still NaN. Bands are as long as
        they were recorded: they are to be paired by time. Only an odd last frame, whose
        partner came after the end of the window, is left out.

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
    signal = read_signal_file(
        path,
        reference["column"],
        eid=eid,
        is_raw=first["source"] == RAW,
        max_still_s=float(first["still_limit_s"]),
        max_saturated_s=float(first["saturated_limit_s"]),
    )
    _check_unchanged(first, eid, path)
    if first["source"] == RAW and first["clock"] != CAMERA:
        times = to_other_clock(signal.times, first["sync_offset_s"], first["sync_drift_ppm"])
        signal = replace(signal, times=times)
    window = (-np.inf, np.inf)
    if restrict and not pd.isna(first["task_start_s"]):
        window = (first["task_start_s"] - padding_s, first["task_end_s"] + padding_s)
    frames = {band: signal.frames_within(band, window) for band in signal.bands if band in bands}
    empty = [band for band, index in frames.items() if not len(index)]
    if SIGNAL_BAND in empty or len(empty) == len(frames):
        raise MalformedFileError(
            f"0 samples of {', '.join(empty) or ', '.join(bands)} between {window[0]:.1f} and "
            f"{window[1]:.1f} s; the signal spans {np.nanmin(signal.times):.1f} to "
            f"{np.nanmax(signal.times):.1f} s",
            eid=eid,
            path=path,
        )
    frames = _without_odd_last(signal.times, frames)
    columns = dict(zip(mapped["column"], mapped["recording_name"], strict=True))
    loaded = {band: _band_frame(signal, index, columns) for band, index in frames.items()}
    _check_samples(loaded, eid, path)
    return loaded


def _without_odd_last(times: np.ndarray, frames: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Bands without a last frame that has no partner in the others, as ibl-photometry has it."""
    lengths = [len(index) for index in frames.values()]
    if max(lengths) - min(lengths) != 1:
        return frames
    last = [times[index[-1]] for index in frames.values() if len(index) > 1]
    step = [np.median(np.diff(times[index])) for index in frames.values() if len(index) > 1]
    if not step or max(last) - min(last) > 1.5 * min(step):
        return frames
    return {band: index[: min(lengths)] for band, index in frames.items()}


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
    """Fiber of each signal column; None unless exactly one region claims it."""
    regions, rois = list(session["brain_region"]), list(session["roi"])
    if not any(isinstance(roi, str) for roi in rois):
        # regions without columns can be told apart only if there is one of each
        green = [name for name in columns if not is_red(name)] or columns
        single = len(green) == len(regions) == 1
        return {name: 0 if single and name in green else None for name in columns}
    mapping: dict[str, int | None] = {}
    for column in columns:
        if is_red(column) and any(not is_red(name) for name in columns):
            mapping[column] = None
            continue
        claims = [i for i, roi in enumerate(rois) if roi == column]
        other = located.get(column)
        if isinstance(other, str) and other.strip() and claims:
            bare, _ = split_region(other, settings.region_fixes)
            claims = [i for i in claims if i >= len(regions) or regions[i] == bare]
        claims = [i for i in claims if i < len(regions)]
        is_single = len(claims) == 1 and session["recording_name"][claims[0]] is not None
        mapping[column] = claims[0] if is_single else None
    return mapping


def _task_trials(
    one: Any, eid: str, collection: str | None, max_unusable_share: float
) -> pd.DataFrame | None:
    try:
        return load_trials_table(one, eid, collection, max_unusable_share=max_unusable_share)
    except MissingFileError as error:
        if error.path is not None:  # listed, but not on disk
            raise
        return None
    except (MalformedFileError, RawTaskError):  # the stage of the trials names the fault
        return None


def _task_window(trials: pd.DataFrame | None) -> dict[str, float | None]:
    names = ("task_start_s", "task_end_s", "first_stim_on_s", "last_feedback_s")
    if trials is None:
        return dict.fromkeys(names)
    stim, feedback = trials["stimOn_times"].dropna(), trials["feedback_times"].dropna()
    values = (
        *task_interval(trials),
        None if stim.empty else float(stim.min()),
        None if feedback.empty else float(feedback.max()),
    )
    return dict(zip(names, values, strict=True))


def _check_signal(signal: SignalFile, rois: list[str], eid: str, path: Path) -> None:
    if SIGNAL_BAND not in signal.bands:
        found = ", ".join(signal.bands) or "none"
        raise MalformedFileError(f"bands: {found}; {SIGNAL_BAND} is expected", eid=eid, path=path)
    if rois and not set(rois) & set(signal.columns):
        raise MalformedFileError(
            f"regions name the columns {', '.join(rois)}; the file has "
            f"{', '.join(signal.columns)}",
            eid=eid,
            path=path,
        )
    frames = signal.frames_of(SIGNAL_BAND)
    if len(frames) < 2:
        lost = ""
        if signal.n_repeated or signal.n_out_of_order:
            lost = (
                f" (left out: {signal.n_repeated} frames that follow one of the same band at "
                f"once, {signal.n_out_of_order} without a time that is known)"
            )
        raise MalformedFileError(
            f"{len(frames)} samples of {SIGNAL_BAND}; at least 2 are expected{lost}",
            eid=eid,
            path=path,
        )
    if not any(np.isfinite(values[frames]).any() for values in signal.columns.values()):
        raise MalformedFileError(
            f"columns {', '.join(signal.columns)}: 0 of {len(frames)} samples of {SIGNAL_BAND} "
            "are finite",
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
    frame = bands.get(SIGNAL_BAND)
    if frame is not None and not frame.notna().any(axis=None):
        raise MalformedFileError(
            f"{', '.join(frame)}: 0 of {len(frame)} samples of {SIGNAL_BAND} are valid and finite",
            eid=eid,
            path=path,
        )
