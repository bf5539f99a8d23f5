"""The computations of one session that the stages and `PhotometrySession` share.

Each reads files or applies the science to what was read, for one session; what the session
lists, what is recorded and what is stored is the callers' matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.config import Settings
from iblnm.constants import BLOCK_TASKS, RAW
from iblnm.errors import DataError
from iblnm.io.photometry_clock import CAMERA
from iblnm.pipeline.rules.values import Row, get
from iblnm.schemas import PHOTOMETRY_REFERENCE

if TYPE_CHECKING:
    import xarray as xr

    from iblnm.io.wheel import WheelTrace
    from iblnm.task.blocks import BlockRepair


# what a trial may lack without a word of any rule
_NOTED = {
    "intervals_0": "start",
    "intervals_1": "end",
    "stim_side": "side",
    "choice": "choice",
    "feedbackType": "outcome",
}


@contextmanager
def faults_of(eid: str, path: Any = None) -> Iterator[None]:
    """Name session and file in what the science finds wrong with the file's values."""
    try:
        yield
    except DataError as error:
        if error.path is not None:
            raise
        path = None if path is None or pd.isna(path) else Path(path)
        raise type(error)(error.message, eid=eid, path=path) from error


def read_trials(
    one: Any, eid: str, settings: Settings, collection: str | None = None
) -> pd.DataFrame:
    """The ALF table with sides, contrasts [%] and times [s]; blocks as they were recorded."""
    from iblnm.io.trials import load_trials_table
    from iblnm.task import add_trial_columns

    limit = settings.thresholds.max_unusable_trial_share
    loaded = load_trials_table(one, eid, collection, max_unusable_share=limit)
    with faults_of(eid, "_ibl_trials.table.pqt"):
        return add_trial_columns(loaded, max_unusable_share=limit)


def note_of_trials(trials: pd.DataFrame) -> str:
    """What was left out of a table that `read_trials` gave; empty for nothing."""
    notes = []
    if trials.attrs.get("source") == RAW:
        notes.append("not extracted yet: from the rig's log of trials")
    if trials.attrs.get("extraction"):
        notes.append(f"missing: {trials.attrs['extraction']}")
    if trials.attrs.get("left_out"):
        notes.append(f"columns without numbers left out: {', '.join(trials.attrs['left_out'])}")
    if trials.attrs.get("n_out_of_order"):
        notes.append(
            f"{trials.attrs['n_out_of_order']} of {len(trials)} trials do not start after the one "
            "before and are missing"
        )
    wrong = list(trials.attrs.get("wrong_values", ()))
    if wrong:
        counts = ", ".join(map(str, wrong))
        notes.append(f"values that cannot be are missing: {counts} of {len(trials)} trials")
    n_known_missing = trials.attrs.get("n_out_of_order") or 0
    lacking = {
        word: int(trials[name].isna().sum()) - n_known_missing
        for name, word in _NOTED.items()
        if name in trials
    }
    counts = ", ".join(f"{n} without {word}" for word, n in lacking.items() if n > 0)
    if counts:
        notes.append(f"of {len(trials)} trials {counts}")
    return "; ".join(notes)


def has_blocks(session: Row) -> bool:
    """Whether the session's task has blocks of unequal probability."""
    return get(session, "session_type") in BLOCK_TASKS


def repair_session_blocks(trials: pd.DataFrame, session: Row, settings: Settings) -> BlockRepair:
    """Blocks replaced by those of the session's plan, where it allows; none in training."""
    from iblnm.archive.records import parse_json
    from iblnm.task import BlockRepair, repair_blocks, without_debiasing

    limits = settings.thresholds
    if has_blocks(session):
        plan = parse_json(get(session, "session_json"))
        repair = repair_blocks(trials, plan, thresholds=limits)
    elif get(session, "session_type") == "training":
        repair = without_debiasing(trials, thresholds=limits)
    else:
        repair = BlockRepair(trials, False, "")
    repair.trials.attrs = dict(trials.attrs)
    return repair


def read_reference(one: Any, session: Row, settings: Settings) -> pd.DataFrame:
    """Verified reference to the signal; see `iblnm.io.photometry.photometry_reference`."""
    from iblnm.io.photometry import photometry_reference

    reference = photometry_reference(one, session["eid"], session, settings)
    return PHOTOMETRY_REFERENCE.conform(reference)


def origin_of(reference: pd.DataFrame) -> dict[str, Any]:
    """Source and clock of a signal, and how it was put on this clock, as attributes."""
    first = reference.iloc[0]
    names = ("source", "clock", "sync_residual_s", "sync_drift_ppm", "sync_note")
    return {name: first[name] for name in names if name in first and not pd.isna(first[name])}


def source_of(*inputs: Any) -> str | None:
    """Source of what is made from these: raw where any of them is; None where none is known."""
    known = {data.attrs.get("source") for data in inputs}
    return RAW if RAW in known else next((name for name in known if name), None)


def read_bands(
    photometry: pd.DataFrame, settings: Settings, *, restrict: bool = True
) -> dict[str, pd.DataFrame]:
    """Bands of the signal that a reference names: index times [s], a column per recording."""
    from iblnm.io.photometry import load_photometry

    return load_photometry(photometry, restrict=restrict, padding_s=settings.signal.task_padding_s)


def masks_of(photometry: pd.DataFrame, settings: Settings) -> dict[str, list[tuple[float, float]]]:
    """Windows that a person has marked as artifact [s], by recording of a reference."""
    from iblnm.pipeline.label_rows import labels_paths, rows_in_force
    from iblnm.pipeline.masks import masked_windows

    mapped = photometry.dropna(subset=["recording_name"])
    fibers = dict(zip(mapped.recording_name, mapped.fiber_idx, strict=True))
    rows = rows_in_force(labels_paths(settings))
    return masked_windows(rows, str(photometry.eid.iloc[0]), fibers)


def measure_raw_frames(
    photometry: pd.DataFrame, settings: Settings
) -> dict[str, float | int] | None:
    """Counts of early and repeated raw frames; None where raw frames are not registered."""
    from iblnm.io.photometry import read_raw_frames
    from iblnm.signal.qc import raw_frame_metrics

    first = photometry.iloc[0]
    if pd.isna(first["raw_path"]):
        return None
    frames = read_raw_frames(
        first["raw_path"],
        eid=str(first["eid"]),
        max_missing_share=settings.thresholds.max_missing_frame_share,
    )
    with faults_of(str(first["eid"]), first["raw_path"]):
        return raw_frame_metrics(
            frames["times"].to_numpy(),
            frames["led"].to_numpy(),
            tolerance_s=settings.thresholds.early_sample_tolerance_s,
        )


def cut_responses(
    signals: Mapping[str, pd.Series] | pd.DataFrame,
    trials: pd.DataFrame,
    settings: Settings,
    *,
    events: Iterable[str],
    window: tuple[float, float] | None = None,
) -> dict[str, xr.DataArray]:
    """Peri-event responses of each recording; see `iblnm.signal.perievent.extract_responses`.

    Parameters
    ----------
    signals : mapping of str to Series, or DataFrame
        By recording name; index times [s].
    trials : DataFrame
        With the events' times [s].
    settings : Settings
    events : iterable of str
    window : tuple of float, optional
        From, to [s]; that of the settings by default.

    Returns
    -------
    dict of str to DataArray
        Dims (event, trial, time).
    """
    from iblnm.signal.perievent import extract_responses

    events = list(events)
    return {
        name: extract_responses(
            signal.index.to_numpy(),
            signal.to_numpy(),
            trials,
            events=events,
            window=window or settings.signal.response_window,
            fs=settings.signal.fs,
            region=name,
        )
        for name, signal in signals.items()
    }


def measure_performance(trials: pd.DataFrame, session: Row, settings: Settings) -> dict[str, Any]:
    """Fractions correct and psychometric fits, as one row of the table of performance."""
    from iblnm.task import session_performance

    return session_performance(
        trials,
        session_type=get(session, "session_type"),
        eid=session["eid"],
        thresholds=settings.thresholds,
    )


def read_wheel(
    one: Any, eid: str, settings: Settings, collection: str | None = None
) -> WheelTrace:
    """The wheel as far as it can be used; see `iblnm.io.wheel.load_wheel_trace`."""
    from iblnm.io.wheel import load_wheel_trace

    return load_wheel_trace(
        one,
        eid,
        collection=collection,
        max_fault_share=settings.thresholds.max_wheel_fault_share,
        max_speed_rad_s=settings.wheel.max_speed_rad_s,
    )


def cut_wheel(
    times: Any,
    position: Any,
    trials: pd.DataFrame,
    settings: Settings,
    resets: Any = None,
    **events: str,
) -> xr.DataArray:
    """Velocity of the wheel in each trial; see `iblnm.signal.wheel.trial_wheel_velocity`."""
    from iblnm.signal.wheel import trial_wheel_velocity

    return trial_wheel_velocity(
        times,
        position,
        trials,
        fs=settings.wheel.fs,
        max_trial_s=settings.wheel.max_trial_s,
        resets=resets,
        **events,
    )


def other_clock(preprocessed: dict[str, Any], trials: pd.DataFrame) -> str:
    """Why signal and trials cannot be compared in time; empty where they can."""
    own = trials.attrs.get("clock", "session")
    for data in preprocessed.values():
        clock = data.attrs.get("clock", "session")
        if clock == CAMERA:
            reason = data.attrs.get("sync_note") or "it was not synchronized"
            return (
                "the signal is on the camera's own clock until it is extracted: its time cannot "
                f"be compared with that of the trials ({reason})"
            )
        if clock != own:
            return f"the signal is on the clock of the {clock}, the trials on that of the {own}"
    return ""
