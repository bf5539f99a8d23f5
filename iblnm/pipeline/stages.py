"""The stages of the pipeline for one session: each reads its inputs and composes the science.

`STAGES` declares them. A function that computes one returns a `Result`; a result without a
value says that the session has no such data; that is no error. Its parameters are named like
the stages whose values they take.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.constants import RAW
from iblnm.errors import MissingFileError
from iblnm.io.photometry_clock import CAMERA
from iblnm.io.task_files import (
    CAMERA_TIMES,
    known_collection,
    raw_wheel_collections,
    task_of,
    wheel_collections,
)
from iblnm.pipeline import steps
from iblnm.pipeline.rules.values import listed_categories
from iblnm.pipeline.stage import Result, Stage
from iblnm.pipeline.stage_inputs import dataset_provenance, reference_provenance, task_provenance
from iblnm.schemas import PERFORMANCE, PHOTOMETRY_REFERENCE, QC_PHOTOMETRY, SESSIONS, VIDEO
from iblnm.storage.provenance import Provenance
from iblnm.viewer.panels import behavior, signal
from iblnm.viewer.panels import responses as response_panels
from iblnm.viewer.report import REPORTS

# in the order of preference
_SIGNALS = ("extracted_photometry_signal", "raw_photometry_signals")
_TRIALS = ("extracted_task", "raw_task")
_WHEELS = ("extracted_wheel", "raw_wheel")
_FIBERS = ("raw_photometry_inputs", "extracted_photometry_locations")


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
        task_provenance(
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
        dataset_provenance(session, categories, settings),
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
        reference_provenance(photometry, settings.signal.model_dump()),
        {"rows": len(table), "lowest unique fraction": float(table.n_unique_samples.min())},
        "" if raw else "no raw frames are registered: band inversions and early samples unknown",
    )


def preprocessed_signal(photometry: pd.DataFrame, settings: Settings) -> Result:
    """Bleach- and isosbestic-corrected signal of each fiber, at 30 Hz, z-scored last."""
    from iblnm.signal.masking import preprocess_masked

    eid = str(photometry.eid.iloc[0])
    windows = steps.masks_of(photometry, settings)
    bands = steps.read_bands(photometry, settings)
    failures: dict[str, str] = {}
    with steps.faults_of(eid, photometry.signal_path.iloc[0]):
        recordings = preprocess_masked(bands, windows, settings.signal, failures=failures)
    for recording in recordings.values():
        recording.attrs |= steps.origin_of(photometry)
    first = next(iter(recordings.values()))
    return Result(
        recordings,
        reference_provenance(photometry, settings.signal.model_dump()),
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
    note = steps.other_clock(preprocessed, trials)
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
        task_provenance(session, _WHEELS[0], trace.source, settings, settings.wheel.model_dump()),
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


STAGES = (
    Stage(
        "session",
        session_metadata,
        group="sessions",
        table=SESSIONS,
        folder="metadata/sessions",
        h5_group="metadata",
        rule_input="session_row",
        settings_read=(
            "line_neuromodulator",
            "region_fixes",
            "rejected_protocol_words",
            "revision_before",
            "right_is_positive_ml",
            "session_type_words",
            "strain_neuromodulator",
            "target_neuromodulator",
        ),
        methods=("archive.sessions", "io.fibers"),
        hand_made=("fibers",),
    ),
    Stage(
        "trials",
        trials_table,
        group="behavior",
        h5_group="trials",
        settings_read=(
            "dataset_categories",
            "thresholds.max_unusable_trial_share",
            "thresholds.min_block_length",
            "thresholds.n_unbiased_trials",
        ),
        methods=("io.trials", "io.raw_task", "task.blocks"),
        datasets=_TRIALS,
    ),
    Stage(
        "photometry",
        photometry_reference,
        group="photometry",
        table=PHOTOMETRY_REFERENCE,
        folder="data/photometry",
        rule_input="reference",
        settings_read=(
            "dataset_categories",
            "region_fixes",
            "response_events",
            "signal.max_gap_s",
            "signal.response_window",
            "thresholds.max_saturated_s",
            "thresholds.max_still_s",
            "thresholds.max_unusable_trial_share",
            "thresholds.min_sync_matched_share",
        ),
        methods=(
            "io.photometry",
            "io.photometry_clock",
            "io.trials",
            "signal.continuity",
            "signal.synchronization",
        ),
        datasets=(*_SIGNALS, *_FIBERS, *_TRIALS),
        panels=(signal.RAW,),
    ),
    Stage(
        "photometry_qc",
        photometry_quality,
        group="photometry",
        h5_group="photometry/qc",
        rule_input="qc",
        settings_read=(
            "signal.lowpass_hz",
            "signal.lowpass_order",
            "signal.max_gap_s",
            "signal.max_tau_durations",
            "signal.qc_min_coverage",
            "signal.qc_step_s",
            "signal.qc_window_s",
            "signal.task_padding_s",
            "thresholds.early_sample_tolerance_s",
            "thresholds.max_missing_frame_share",
        ),
        methods=("signal.bleaching", "signal.isosbestic", "signal.metrics", "signal.qc"),
        panels=(signal.QUALITY,),
    ),
    Stage(
        "preprocessed",
        preprocessed_signal,
        group="photometry",
        h5_group="photometry/preprocessed",
        after=("photometry_qc",),
        settings_read=(
            "signal.filter_edge_s",
            "signal.fs",
            "signal.lowpass_hz",
            "signal.lowpass_order",
            "signal.max_gap_s",
            "signal.task_padding_s",
        ),
        methods=(
            "signal.bleaching",
            "signal.isosbestic",
            "signal.masking",
            "signal.preprocess",
            "signal.resample",
        ),
        hand_made=("masks",),
        panels=(signal.PREPROCESSED,),
    ),
    Stage(
        "responses",
        peri_event_responses,
        group="photometry",
        h5_group="photometry/responses",
        settings_read=(
            "response_events",
            "signal.fs",
            "signal.response_window",
            "thresholds.min_event_completeness",
        ),
        methods=("signal.masking", "signal.perievent"),
        panels=(response_panels.RESPONSES,),
    ),
    Stage(
        "performance",
        task_performance,
        group="behavior",
        table=PERFORMANCE,
        folder="data/performance",
        settings_read=("thresholds.max_unusable_trial_share", "thresholds.min_block_length"),
        methods=("task.performance", "task.psychometric"),
        datasets=(),
        panels=(behavior.PSYCHOMETRIC, behavior.REACTION),
    ),
    Stage(
        "wheel_velocity",
        wheel_velocity,
        group="behavior",
        h5_group="wheel",
        settings_read=("dataset_categories", "thresholds.max_wheel_fault_share", "wheel"),
        methods=("io.wheel", "signal.wheel"),
        datasets=(*_WHEELS, *_TRIALS),
        panels=(behavior.WHEEL,),
    ),
    Stage(
        "video_qc",
        video_quality,
        group="video",
        table=VIDEO,
        folder="metadata/video",
        rule_input="video",
        settings_read=(
            "dataset_categories",
            "qc_scores",
            "thresholds.max_camera_fault_share",
            "thresholds.max_video_length_difference_s",
        ),
        methods=("io.video",),
        datasets=("raw_video", f"*{CAMERA_TIMES}"),
    ),
    Stage(
        "session_report",
        session_page,
        group="sessions",
        folder=REPORTS,
        is_page=True,
        settings_read=(
            "excluded_subjects",
            "missing_modality",
            "response_events",
            "signal.baseline_window",
            "signal.task_padding_s",
            "thresholds",
            "valid_lines",
            "valid_strains",
        ),
        methods=("viewer.report",),
    ),
)
