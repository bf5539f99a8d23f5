"""The tables of the project."""

from __future__ import annotations

from dataclasses import replace

from iblnm.schemas.core import LIST, Column, Table

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_SESSION_TYPE = Column("session_type", "str", "Task of the session")
_REGION = Column("brain_region", "str", "Recording target", nullable=False)
_FIBER = Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0)
SOURCE = Column(
    "source",
    "str",
    "Who extracted the data: the archive, or iblnm from raw files",
    isin=("extracted", "raw"),
)

SESSIONS = Table(
    "sessions",
    "One row per session: metadata, genetics, recording targets and datasets",
    (
        _EID,
        _SUBJECT,
        Column("start_time", "str", "Start of the session, ISO 8601"),
        Column("end_time", "str", "End of the session, ISO 8601"),
        Column("number", "int", "Number of the session on its day", ge=0),
        Column("task_protocol", "str", "Task protocol as registered"),
        Column("projects", LIST, "Projects of the session"),
        Column("users", LIST, "Experimenters (hashed on export)"),
        Column("lab", "str", "Recording lab"),
        _SESSION_TYPE,
        Column("NM", "str", "Neuromodulator", isin=("DA", "5HT", "NE", "ACh")),
        Column("brain_region", LIST, "Recording targets, one per fiber"),
        Column("recording_name", LIST, "Name of each fiber in the session file"),
        Column("hemisphere", LIST, "Side of each fiber: l, r or null"),
        Column("target_NM", LIST, "Target and neuromodulator of each fiber"),
        Column("roi", LIST, "Signal column of each fiber"),
        Column("n_recordings", "int", "Number of fibers", ge=0),
        Column("region_source", "str", "Where the regions were read"),
        Column("hemisphere_suffix", LIST, "Side in the region's name"),
        Column("hemisphere_locations", LIST, "Side in the ROI locations, beside the name's"),
        Column("hemisphere_fibers", LIST, "Side in the fiber table"),
        Column("hemisphere_alyx", LIST, "Side of the insertion on Alyx"),
        Column("n_insertions", "int", "Fiber insertions registered on Alyx", ge=0),
        Column("day_n", "int", "Days since the subject's first session", "d", ge=0),
        Column("session_n", "float", "Index of the session within its subject", ge=1),
        Column("session_length", "float", "Duration of the session", "s"),
        Column("strain", "str", "Mouse strain"),
        Column("line", "str", "Mouse line"),
        Column("genotype", LIST, "Genotype"),
        Column("datasets", LIST, "Relative paths of the session's datasets"),
        Column("dataset_sizes", LIST, "Recorded size of each dataset [bytes]"),
        Column("dataset_hashes", LIST, "Recorded hash of each dataset"),
        Column("dataset_revisions", LIST, "Revision of each dataset"),
        Column("revision", "str", "Latest revision among the datasets"),
        Column("url", "str", "Address of the session on Alyx"),
        Column("qc", "str", "Quality verdict on Alyx"),
        Column("extended_qc", "str", "Extended quality control of Alyx, as JSON"),
        Column("session_json", "str", "Free-form JSON of the session on Alyx"),
        Column("has_record", "bool", "Whether an Alyx record was found"),
        Column("task_collection", "str", "Folder of the task: trials, wheel and camera"),
        Column("task_part", "str", "Part of the protocol that is this task's"),
        Column("task_reason", "str", "Why this task, in words"),
        Column("task_rivals", LIST, "Other collections that could have been meant"),
    ),
)

SESSIONS_TABLE = Table(
    "sessions_table",
    "One row per session as in the session files, with what became of it since",
    (
        *SESSIONS.columns,
        Column("label", "str", "Human verdict on the whole session", isin=("keep", "drop")),
        Column("excluded", LIST, "Fibers that a human dropped (fiber_idx)"),
        Column("withdrawn", "str", "When it was found gone from the archive, ISO 8601, UTC"),
    ),
)

PHOTOMETRY_REFERENCE = Table(
    "photometry",
    "Verified reference to a session's photometry signal: one row per signal column",
    (
        _EID,
        replace(SOURCE, nullable=False),
        Column(
            "clock",
            "str",
            "Clock of the samples: that of the session, of the rig, or the camera's own",
            nullable=False,
            isin=("session", "bpod", "camera"),
        ),
        Column("sync_offset_s", "float", "Time of this clock at zero of the camera's", "s"),
        Column("sync_drift_ppm", "float", "How much slower the camera's clock runs", "ppm"),
        Column(
            "sync_residual_s",
            "float",
            "Root mean square of what is left between the camera's pulses and the trials",
            "s",
            ge=0,
        ),
        Column("sync_n_events", "int", "Events of the task that give a pulse", ge=0),
        Column("sync_n_matched", "int", "Of these, those that the camera has logged", ge=0),
        Column("sync_note", "str", "Why raw frames cannot be put on the clock of the trials"),
        Column("signal_path", "str", "Signal file", nullable=False),
        Column("locations_path", "str", "File that names the regions"),
        Column("signal_hash", "str", "Hash of the signal file"),
        Column("signal_size", "int", "Size of the signal file", "bytes", ge=0),
        Column("signal_revision", "str", "Revision of the signal file"),
        Column("raw_path", "str", "Raw frames, if registered"),
        Column("column", "str", "Signal column", nullable=False),
        Column("recording_name", "str", "Name of the fiber; null if no region maps to it"),
        Column("brain_region", "str", "Recording target"),
        Column("hemisphere", "str", "Side of the fiber", isin=("l", "r")),
        Column("fiber_idx", "int", "Fiber of the session, from 0", ge=0),
        Column("bands", LIST, "Excitation channels"),
        Column("rate_hz", "float", "Sampling rate per band", "Hz", ge=0),
        Column("n_samples", "int", "Samples per band", ge=0),
        Column("first_sample_s", "float", "First valid sample, see clock", "s"),
        Column("last_sample_s", "float", "Last valid sample, see clock", "s"),
        Column("missing_share", "float", "Share of the task without signal", ge=0, le=1),
        Column("longest_gap_s", "float", "Longest time without signal in the task", "s", ge=0),
        Column("n_gaps", "int", "Gaps in the task", ge=0),
        Column("n_trials", "int", "Trials with events", ge=0),
        Column("n_trials_missing", "int", "Trials that a gap touches", ge=0),
        Column("still_s", "float", "Longest time without any change of the value", "s", ge=0),
        Column("saturated_s", "float", "Time at the top of the range", "s", ge=0),
        Column("still_limit_s", "float", "Samples that stand for longer are missing", "s", ge=0),
        Column("saturated_limit_s", "float", "The same at the top of the range", "s", ge=0),
        Column("n_out_of_order", "int", "Frames without a time that is known", ge=0),
        Column("largest_back_s", "float", "Largest step of the clock backwards", "s", ge=0),
        Column("longest_pause_s", "float", "Longest time between two frames", "s", ge=0),
        Column("n_repeated", "int", "Frames at once after one of the same band", ge=0),
        Column("n_text", "int", "Values of the column that are text and no number", ge=0),
        Column(
            "n_mislabeled", "int", "Frames whose wavelength contradicts their band's name", ge=0
        ),
        Column("valid_column", "str", "Column that marks valid samples"),
        Column("task_start_s", "float", "Start of the first trial", "s"),
        Column("task_end_s", "float", "End of the last trial", "s"),
        Column("first_stim_on_s", "float", "First stimulus", "s"),
        Column("last_feedback_s", "float", "Last feedback", "s"),
        Column("unmapped_columns", LIST, "Signal columns that map to no single region"),
        Column("red_columns", LIST, "Columns of the red camera, which sees no GCaMP"),
        Column("absent_columns", LIST, "Columns that a source names and the file does not have"),
    ),
    key=("eid", "column"),
)


def _metric_columns() -> tuple[Column, ...]:
    from iblnm.signal.metrics import metrics

    return tuple(
        Column(m.name, "float", m.description, m.unit, ge=m.bounds[0], le=m.bounds[1])
        for m in metrics()
    )


QC_PHOTOMETRY = Table(
    "qc_photometry",
    "Signal quality: one row per session, region and band",
    lambda: (
        _EID,
        _REGION,
        Column("band", "str", "Excitation channel", nullable=False),
        _FIBER,
        *_metric_columns(),
        Column("note", "str", "Why a value is missing"),
        SOURCE,
    ),
    key=("eid", "brain_region", "band"),
)


def _psychometric_columns(block: str, label: str) -> tuple[Column, ...]:
    return (
        Column(f"psych_{block}_bias", "float", f"Bias, {label}", "% contrast"),
        Column(f"psych_{block}_threshold", "float", f"Threshold, {label}", "% contrast", ge=0),
        Column(f"psych_{block}_lapse_left", "float", f"Lapse, left stimuli, {label}", ge=0, le=1),
        Column(
            f"psych_{block}_lapse_right", "float", f"Lapse, right stimuli, {label}", ge=0, le=1
        ),
        Column(f"psych_{block}_r_squared", "float", f"R² over contrasts, {label}", le=1),
        Column(f"psych_{block}_n_trials", "int", f"Trials of the fit, {label}", ge=0),
        Column(f"psych_{block}_at_bound", "bool", f"A parameter lies on its bound, {label}"),
    )


PERFORMANCE = Table(
    "performance",
    "Behavior: one row per session",
    (
        _EID,
        Column("n_trials", "int", "Trials", nullable=False, ge=0),
        Column("fraction_correct", "float", "Correct among trials with a choice", ge=0, le=1),
        Column("fraction_correct_easy", "float", "The same, contrast ≥ 50 %", ge=0, le=1),
        Column("nogo_fraction", "float", "Trials without a choice", ge=0, le=1),
        Column("contrasts", LIST, "Contrasts shown [%]"),
        *_psychometric_columns("50", "blocks with p(left) = 0.5"),
        *_psychometric_columns("20", "blocks with p(left) = 0.2"),
        *_psychometric_columns("80", "blocks with p(left) = 0.8"),
        Column("bias_shift", "float", "Bias at p(left) = 0.8 minus bias at 0.2", "% contrast"),
        SOURCE,
    ),
)

TRIAL_TIMING = Table(
    "trial_timing",
    "One row per trial: its conditions and times",
    (
        _EID,
        Column("trial", "int", "Trial, from 0", nullable=False, ge=0),
        Column("reaction_time", "float", "First movement − stimulus", "s"),
        Column("movement_time", "float", "Feedback − first movement", "s"),
        Column("response_time", "float", "Feedback − stimulus", "s"),
        Column("signed_contrast", "float", "Contrast, negative on the left", "%", ge=-100, le=100),
        Column("contrast", "float", "Contrast", "%", ge=0, le=100),
        Column("stim_side", "str", "Side of the stimulus", isin=("left", "right")),
        Column("choice", "float", "−1 right, 0 none, 1 left (ALF)", ge=-1, le=1),
        Column("choice_side", "str", "Side chosen", isin=("left", "right", "none")),
        Column("feedbackType", "float", "1 reward, −1 error", ge=-1, le=1),
        Column("probabilityLeft", "float", "Prior of a left stimulus", ge=0, le=1),
        SOURCE,
    ),
    key=("eid", "trial"),
)

VIDEO = Table(
    "video",
    "Left camera: one row per session",
    (
        _EID,
        _SUBJECT,
        _SESSION_TYPE,
        Column("video_qc_score", "float", "Mean of the quality values; −1 with an error"),
        Column("qc_timestamps", "str", "Alyx: frame times"),
        Column("qc_dropped_frames", "str", "Alyx: dropped frames"),
        Column("qc_pin_state", "str", "Alyx: synchronization pin"),
        Column("qc_focus", "str", "Alyx: focus"),
        Column("qc_position", "str", "Alyx: camera position"),
        Column("qc_brightness", "str", "Alyx: brightness"),
        Column("qc_resolution", "str", "Alyx: resolution"),
        Column("qc_wheel_alignment", "str", "Alyx: alignment with the wheel"),
        Column("timestamps_loadable", "bool", "Whether the frame times could be read"),
        Column("session_length", "float", "Duration of the session", "s"),
        Column("video_length", "float", "Duration of the video", "s", ge=0),
        Column("length_discrepancy", "float", "Session minus video", "s"),
        Column("framerate_from_tpts", "float", "1 / median frame interval", "Hz", ge=0),
        Column("note", "str", "Why a value is missing"),
    ),
)

VIDEO_CHECKS = tuple(name.removeprefix("qc_") for name in VIDEO.names if name.startswith("qc_"))
VIDEO_TABLE = Table(
    "video_table",
    "Left camera: one row per session, its checks under the names of Alyx too",
    (
        *VIDEO.columns,
        *(
            Column(f"qc_videoLeft_{check}", "str", f"As qc_{check}, the name of Alyx")
            for check in VIDEO_CHECKS
        ),
    ),
)

ERRORS = Table(
    "errors",
    "What is wrong now: one row per session and failed check or asset",
    (
        _EID,
        Column("error_type", "str", "Name of the exception", nullable=False),
        Column("error_message", "str", "What is wrong, with value and limit"),
        Column("traceback", "str", "Where an unexpected error came from"),
        Column("asset", "str", "Asset concerned"),
        Column("severity", "str", "Severity", isin=("BLOCK", "ERROR", "WARN", "FAILURE")),
    ),
    key=("eid", "error_type", "asset"),
)

_CHECK = Column("check", "str", "Name of the check", nullable=False)
_SEVERITY = Column(
    "severity", "str", "Severity of the check", nullable=False, isin=("BLOCK", "ERROR", "WARN")
)

QC_MATRIX = Table(
    "qc_matrix",
    "Latest outcome of every check: one row per session and check",
    (
        _EID,
        _CHECK,
        Column("asset", "str", "Asset that the check judges", nullable=False),
        _SEVERITY,
        Column(
            "outcome",
            "str",
            "fail: a BLOCK or ERROR check failed; warn: a WARN check failed; not evaluated: the "
            "rule had nothing to look at; not run: its asset was not made, or it was not asked",
            nullable=False,
            isin=("pass", "warn", "fail", "not evaluated", "not run"),
        ),
        Column("value", "float", "The number that decided, in the unit of the check"),
        Column("limit", "float", "The number it was held to"),
        Column("message", "str", "Value and limit in words, or why the check did not run"),
        Column("label", "str", "Human verdict on the session", isin=("keep", "drop")),
        Column("evaluated_at", "str", "Time of the evaluation, ISO 8601, UTC"),
    ),
    key=("eid", "check"),
)

QC_SUMMARY = Table(
    "qc_summary",
    "Counts of outcomes per check: all sessions, and per lab, target and month",
    (
        Column(
            "scope",
            "str",
            "What the sessions have in common",
            nullable=False,
            isin=("all", "lab", "target", "month"),
        ),
        Column("group", "str", "Lab, target or month of the sessions", nullable=False),
        _CHECK,
        _SEVERITY,
        Column("n_sessions", "int", "Sessions", nullable=False, ge=0),
        Column("n_pass", "int", "Sessions that pass", nullable=False, ge=0),
        Column("n_warn", "int", "Sessions that fail a WARN check", nullable=False, ge=0),
        Column("n_fail", "int", "Sessions that fail a BLOCK or ERROR check", nullable=False, ge=0),
        Column(
            "n_not_evaluated",
            "int",
            "Sessions where the rule had nothing to look at",
            nullable=False,
            ge=0,
        ),
        Column("n_not_run", "int", "Sessions without evaluation", nullable=False, ge=0),
        Column("pass_rate", "float", "Passes among evaluated sessions", ge=0, le=1),
    ),
    key=("scope", "group", "check"),
)

LABELS = Table(
    "labels",
    "Human verdicts on sessions and fibers, and windows of artifacts: one row each",
    (
        _EID,
        Column("fiber_idx", "int", "Fiber of the session, from 0; null: all of it", ge=0),
        Column(
            "verdict",
            "str",
            "keep: warnings do not count; drop: not used in analyses; mask: an artifact",
            nullable=False,
            isin=("keep", "drop", "mask"),
        ),
        Column("who", "str", "Who decided", nullable=False),
        Column("when", "str", "Day of the decision, ISO 8601", nullable=False),
        Column("why", "str", "Reason", nullable=False),
        Column("t0", "float", "Start of a masked window, session clock", "s"),
        Column("t1", "float", "End of a masked window, session clock", "s"),
    ),
    key=("eid", "fiber_idx", "t0", "t1"),
)

TABLES = {
    table.name: table
    for table in (
        SESSIONS,
        SESSIONS_TABLE,
        PHOTOMETRY_REFERENCE,
        QC_PHOTOMETRY,
        PERFORMANCE,
        TRIAL_TIMING,
        VIDEO,
        VIDEO_TABLE,
        ERRORS,
        QC_MATRIX,
        QC_SUMMARY,
        LABELS,
    )
}
