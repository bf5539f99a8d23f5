"""The stages of the pipeline for one session: each reads its inputs and composes the science.

`STAGES` declares them. A function that computes one returns a `Result`; a result without a
value says that the session has no such data; that is no error. Its parameters are named like
the stages whose values they take.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.archive.datasets import without_revision
from iblnm.config import Settings
from iblnm.constants import EXTRACTED, RAW
from iblnm.errors import MissingFileError
from iblnm.io.photometry import SIGNAL
from iblnm.io.photometry_clock import CAMERA
from iblnm.io.task_files import (
    RAW_TASK_FILES,
    known_collection,
    raw_collection,
    raw_trials_collections,
    raw_wheel_collections,
    task_collections,
    task_of,
    wheel_collections,
)
from iblnm.pipeline import steps
from iblnm.pipeline.rules.values import listed_categories
from iblnm.pipeline.stage import Result, Stage
from iblnm.schemas import PERFORMANCE, PHOTOMETRY_REFERENCE, QC_PHOTOMETRY, SESSIONS, VIDEO
from iblnm.storage.provenance import Provenance
from iblnm.viewer.report import REPORTS

# in the order of preference
_SIGNALS = ("extracted_photometry_signal", "raw_photometry_signals")
_TRIALS = ("extracted_task", "raw_task")
_WHEELS = ("extracted_wheel", "raw_wheel")


def has_data(session: pd.Series, category: str, settings: Settings) -> bool:
    """Whether the session lists a dataset of a category of the settings."""
    return category in listed_categories(session, settings)


def session_metadata(one: Any, eid: str, settings: Settings) -> Result:
    """Metadata, recording targets and dataset list of the session, as registered on Alyx."""
    from iblnm.archive.sessions import fetch_session

    row = SESSIONS.conform(fetch_session(one, eid, settings))
    series = row.iloc[0]
    return Result(
        row,
        Provenance(),
        {
            "subject": series.subject,
            "recordings": int(series.n_recordings),
            "datasets": len(series.datasets),
        },
    )


def trials_table(one: Any, session: pd.Series, settings: Settings) -> Result:
    """Trials with sides, contrasts and times; blocks repaired where the session's JSON allows.

    Where they were not extracted yet, the rig's log is taken, through ibllib's extractors.
    """
    if not any(has_data(session, category, settings) for category in _TRIALS):
        return Result(None, note="neither extracted trials nor a log of trials are listed")
    task = known_collection(session) or task_of(one, session.eid).collection
    if task is None:
        return Result(None, note="no task with choices is listed for the session")
    trials = steps.read_trials(one, session.eid, settings, task)
    repair = steps.repair_session_blocks(trials, session, settings)
    trials, notes = repair.trials, [repair.note, steps.note_of_trials(trials)]
    return Result(
        trials,
        _task_provenance(
            session, _TRIALS[0], trials.attrs["source"], settings, {"block_repair": repair.note}
        ),
        {"trials": len(trials), "source": trials.attrs["source"]},
        "; ".join(note for note in notes if note),
    )


def photometry_reference(one: Any, session: pd.Series, settings: Settings) -> Result:
    """Verified reference to the signal: files, hashes, rates, bands, regions, time windows.

    Where it was not extracted yet, the camera's raw frames are taken: on the clock of the trials
    where the camera has logged their pulses, else on its own.
    """
    if not any(has_data(session, category, settings) for category in _SIGNALS):
        return Result(
            None, note="neither an extracted photometry signal nor raw frames are listed"
        )
    reference = steps.read_reference(one, session, settings)
    first = reference.iloc[0]
    signals = (_SIGNALS[1], "raw_photometry_inputs") if first.source == RAW else _SIGNALS[:1]
    categories = (*signals, "extracted_photometry_locations")
    return Result(
        reference,
        _provenance(session, categories, settings),
        {
            "signals": len(reference),
            "bands": ", ".join(first.bands),
            "rate [Hz]": float(first.rate_hz),
            "samples per band": int(first.n_samples),
            "source": first.source,
            **_clock_numbers(first),
        },
        _reference_note(reference),
    )


def _reference_note(reference: pd.DataFrame) -> str:
    first = reference.iloc[0]
    notes = []
    if first.source == RAW:
        notes.append(f"not extracted yet: raw frames {_clock_words(first)}")
    if len(first.red_columns):
        notes.append(
            f"{', '.join(first.red_columns)}: the red camera's, which sees no GCaMP; not used"
        )
    worst = reference.loc[reference.missing_share.fillna(0.0).idxmax()]
    if worst.missing_share > 0:
        notes.append(
            f"{worst.missing_share:.1%} without signal in {int(worst.n_gaps)} gaps of "
            f"{worst.recording_name or worst.column}, the longest of {worst.longest_gap_s:.1f} s"
        )
    return "; ".join(notes)


def _clock_numbers(first: pd.Series) -> dict[str, float]:
    known = {"residual of the clock [s]": "sync_residual_s", "drift [ppm]": "sync_drift_ppm"}
    return {words: float(first[name]) for words, name in known.items() if not pd.isna(first[name])}


def _clock_words(first: pd.Series) -> str:
    if first.clock == CAMERA:
        return f"on the camera's own clock, which no trial is on: {first.sync_note}"
    return (
        f"put on the clock of the trials by {int(first.sync_n_matched)} of "
        f"{int(first.sync_n_events)} events, residual {1e3 * first.sync_residual_s:.2f} ms, "
        f"drift {first.sync_drift_ppm:.1f} ppm"
    )


def photometry_quality(photometry: pd.DataFrame, settings: Settings) -> Result:
    """Quality metrics per region and band, from the signal and the raw frames."""
    from iblnm.signal.qc import qc_table

    bands = steps.read_bands(photometry, settings)
    raw = steps.measure_raw_frames(photometry, settings)
    eid = str(photometry.eid.iloc[0])
    mapped = photometry.dropna(subset=["recording_name"])
    fiber_idx = {row.recording_name: int(row.fiber_idx) for row in mapped.itertuples()}
    with steps.faults_of(eid, photometry.signal_path.iloc[0]):
        table = qc_table(bands, eid=eid, fiber_idx=fiber_idx, raw=raw, settings=settings.signal)
    table = QC_PHOTOMETRY.conform(table.assign(source=photometry.source.iloc[0]))
    return Result(
        table,
        _reference_provenance(photometry, settings.signal.model_dump()),
        {"rows": len(table), "lowest unique fraction": float(table.n_unique_samples.min())},
        "" if raw else "no raw frames are registered: band inversions and early samples unknown",
    )


def preprocessed_signal(photometry: pd.DataFrame, settings: Settings) -> Result:
    """Bleach- and isosbestic-corrected signal of each fiber, at 30 Hz, z-scored last."""
    from iblnm.pipeline.label_rows import labels_paths, rows_in_force
    from iblnm.pipeline.masks import masked_windows
    from iblnm.signal.masking import preprocess_masked

    eid = str(photometry.eid.iloc[0])
    mapped = photometry.dropna(subset=["recording_name"])
    fibers = dict(zip(mapped.recording_name, mapped.fiber_idx, strict=True))
    windows = masked_windows(rows_in_force(labels_paths(settings)), eid, fibers)
    bands = steps.read_bands(photometry, settings)
    failures: dict[str, str] = {}
    with steps.faults_of(eid, photometry.signal_path.iloc[0]):
        recordings = preprocess_masked(bands, windows, settings.signal, failures=failures)
    for recording in recordings.values():
        recording.attrs |= steps.origin_of(photometry)
    first = next(iter(recordings.values()))
    return Result(
        recordings,
        _reference_provenance(photometry, settings.signal.model_dump()),
        {
            "recordings": len(recordings),
            "correction": first.attrs["correction"],
            "samples": int(first.sizes["time"]),
            "masked windows": sum(map(len, windows.values())),
        },
        "; ".join(failures.values()),
    )


def peri_event_responses(
    preprocessed: dict[str, Any], trials: pd.DataFrame, settings: Settings
) -> Result:
    """Peri-event responses (event × trial × time) of every fiber, without events often missing."""
    note = _other_clock(preprocessed, trials)
    if note:
        return Result(None, note=note)
    from iblnm.signal.masking import with_masked_share

    limit = settings.thresholds.min_event_completeness
    events = [event for event in settings.response_events if trials[event].notna().mean() >= limit]
    left_out = [event for event in settings.response_events if event not in events]
    note = f"left out, missing in too many trials: {', '.join(left_out)}" if left_out else ""
    if not events:
        return Result(None, note=note)
    signals = {name: data["signal"].to_series() for name, data in preprocessed.items()}
    responses = steps.cut_responses(signals, trials, settings, events=events)
    for name, data in preprocessed.items():
        responses[name] = with_masked_share(
            responses[name], trials, data["time"].to_numpy(), data.get("masked")
        )
        responses[name].attrs["source"] = steps.source_of(data, trials)
    parameters = {"window": settings.signal.response_window, "fs": settings.signal.fs}
    return Result(
        responses,
        Provenance(parameters=parameters),
        {"recordings": len(responses), "events": ", ".join(events), "trials": len(trials)},
        note,
    )


def _other_clock(preprocessed: dict[str, Any], trials: pd.DataFrame) -> str:
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


def task_performance(trials: pd.DataFrame, session: pd.Series, settings: Settings) -> Result:
    """Fractions correct and psychometric fits of one session."""
    row = steps.measure_performance(trials, session, settings)
    source = trials.attrs.get("source")
    table = PERFORMANCE.conform(pd.DataFrame([{**row, "source": source}]))
    numbers = {
        name: float(row[name])
        for name in ("fraction_correct", "psych_50_bias", "psych_50_threshold")
        if np.isfinite(row[name])
    }
    return Result(table, Provenance(), {"trials": int(row["n_trials"]), **numbers})


def wheel_velocity(
    one: Any, session: pd.Series, trials: pd.DataFrame, settings: Settings
) -> Result:
    """Wheel velocity of every trial, from the stimulus to the feedback."""
    if not any(has_data(session, category, settings) for category in _WHEELS):
        return Result(None, note="no wheel is listed for the session, extracted or raw")
    own = known_collection(session)
    places = {*wheel_collections(session.datasets), *raw_wheel_collections(session.datasets)}
    if own is not None and own not in places:
        return Result(
            None,
            note=f"{own}, which has the trials, has no wheel; that of "
            f"{', '.join(sorted(places))} is on the clock of another task",
        )
    try:
        trace = steps.read_wheel(one, session.eid, settings, own)
    except MissingFileError as error:
        if error.path is not None:  # listed, but not on disk
            raise
        return Result(None, note=error.message)
    with steps.faults_of(session.eid, "_ibl_wheel.timestamps.npy"):
        velocity = steps.cut_wheel(
            trace.times, trace.position, trials, settings, resets=trace.resets
        )
    velocity.attrs["source"] = trace.source
    return Result(
        velocity,
        _task_provenance(session, _WHEELS[0], trace.source, settings, settings.wheel.model_dump()),
        {
            "source": trace.source,
            "trials with velocity": int(np.isfinite(velocity.values).any(axis=1).sum()),
            "capped trials": int(velocity.attrs["n_capped"]),
            "trials with a reset": int(velocity.attrs["n_reset"]),
            "samples left out": trace.n_missing + trace.n_out_of_order,
        },
        trace.note,
    )


def video_quality(one: Any, session: pd.Series, settings: Settings) -> Result:
    """Length and quality verdicts of the left camera."""
    from iblnm.io.video import video_qc

    if not has_data(session, "raw_video", settings):
        return Result(None, note="no video is listed for the session")
    table = VIDEO.conform(video_qc(one, session.eid, session, settings))
    score = table.video_qc_score.iloc[0]
    return Result(table, Provenance(), {} if pd.isna(score) else {"score": float(score)})


def session_page(session: pd.Series, settings: Settings) -> Result:
    """Report of the session: one HTML file with its signals, responses, behavior and checks."""
    from iblnm.storage.store import SessionStore
    from iblnm.viewer.document import stored_document
    from iblnm.viewer.report import render_report

    eid = str(session.eid)
    document = stored_document(SessionStore(settings), eid, settings)
    page = render_report(eid, document.stamp, document.blocks, viewer_url=settings.viewer_url)
    return Result(
        page, Provenance(), {"bytes": len(page.encode()), "fibers": len(document.blocks) - 1}
    )


def _provenance(
    session: pd.Series,
    categories: tuple[str, ...],
    settings: Settings,
    parameters: dict[str, Any] | None = None,
) -> Provenance:
    task = known_collection(session)
    others = {*task_collections(session.datasets)} - {task} if task else set()

    def is_used(name: str) -> bool:
        listed = listed_categories({"datasets": [name]}, settings)
        return bool(listed & {*categories}) and not {*task_collections([name])} & others

    return Provenance(parameters=parameters or {}, inputs=_inputs(session, is_used))


def _task_provenance(
    session: pd.Series,
    category: str,
    source: str,
    settings: Settings,
    parameters: dict[str, Any],
) -> Provenance:
    """What trials or a wheel were made of: files of a category, or the rig's raw files."""
    if source == EXTRACTED:
        return _provenance(session, (category,), settings, parameters)
    task = known_collection(session)
    tasks = raw_trials_collections(session.datasets) if task is None else [task]
    names = {f"{raw_collection(name)}/{file}" for name in tasks for file in RAW_TASK_FILES}
    inputs = _inputs(session, lambda name: without_revision(name) in names)
    return Provenance(parameters=parameters, inputs=inputs)


def _inputs(session: pd.Series, is_used: Callable[[str], bool]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "revision": session.dataset_revisions[i],
            "size": session.dataset_sizes[i],
            "hash": session.dataset_hashes[i],
        }
        for i, name in enumerate(session.datasets)
        if is_used(name)
    ]


def _reference_provenance(reference: pd.DataFrame, parameters: dict[str, Any]) -> Provenance:
    first = reference.iloc[0]
    signal = {
        # a file of raw frames lies in a folder of its own name, without revision
        "name": "/".join(Path(first.signal_path).parts[-2:]) if first.source == RAW else SIGNAL,
        "revision": None if pd.isna(first.signal_revision) else first.signal_revision,
        "size": None if pd.isna(first.signal_size) else int(first.signal_size),
        "hash": None if pd.isna(first.signal_hash) else first.signal_hash,
    }
    return Provenance(parameters=parameters, inputs=[signal])


STAGES = (
    Stage(
        "session",
        session_metadata,
        group="sessions",
        table=SESSIONS,
        folder="metadata/sessions",
        h5_group="metadata",
        rule_input="session_row",
    ),
    Stage("trials", trials_table, group="behavior", h5_group="trials"),
    Stage(
        "photometry",
        photometry_reference,
        group="photometry",
        table=PHOTOMETRY_REFERENCE,
        folder="data/photometry",
        rule_input="reference",
    ),
    Stage(
        "photometry_qc",
        photometry_quality,
        group="photometry",
        h5_group="photometry/qc",
        rule_input="qc",
    ),
    Stage(
        "preprocessed",
        preprocessed_signal,
        group="photometry",
        h5_group="photometry/preprocessed",
        after=("photometry_qc",),
    ),
    Stage("responses", peri_event_responses, group="photometry", h5_group="photometry/responses"),
    Stage(
        "performance",
        task_performance,
        group="behavior",
        table=PERFORMANCE,
        folder="data/performance",
    ),
    Stage("wheel_velocity", wheel_velocity, group="behavior", h5_group="wheel"),
    Stage(
        "video_qc",
        video_quality,
        group="video",
        table=VIDEO,
        folder="metadata/video",
        rule_input="video",
    ),
    Stage("session_report", session_page, group="sessions", folder=REPORTS, is_page=True),
)
