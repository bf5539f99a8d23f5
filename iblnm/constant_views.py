"""The upper-case names of `iblnm.config`: views on the settings, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

    from iblnm.config import Settings

View = Callable[["Settings"], Any]

_NM_CMAPS = {"DA": "Reds", "5HT": "Purples", "NE": "Blues", "ACh": "Greens"}
# from no training to the last stage of the task, in quarters
_STAGES = {"habituation": 0.0, "training": 0.25, "biased": 0.5, "ephys": 0.75}
_NOT_SET = "NOT SET"


def _target_position(settings: Settings) -> dict[str, int]:
    return {target: i for i, target in enumerate(settings.target_colors)}


def _color_maps(_: Settings) -> dict[str, Colormap]:
    from matplotlib import colormaps

    return {modulator: colormaps[name] for modulator, name in _NM_CMAPS.items()}


def _qc_color_map(_: Settings) -> Colormap:
    """Red, orange and green: from a verdict of 0 to one of 1."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("qc", ["#c8443c", "#e8a33d", "#3f9c5a"])


def _session_schema(_: Settings) -> dict[str, tuple[type, Any]]:
    from iblnm.schemas import SESSIONS

    kinds: dict[str, tuple[type, Any]] = {
        "str": (str, None),
        "int": (int, None),
        "float": (float, float("nan")),
        "bool": (bool, False),
        "list": (list, []),
    }
    return {column.name: kinds[column.dtype] for column in SESSIONS.columns}


def _quality_columns(is_wanted: Callable[[Any], bool]) -> list[str]:
    from iblnm.signal.metrics import metrics

    return [metric.name for metric in metrics() if is_wanted(metric)]


def _font_size(_: Settings) -> int:
    from iblnm.vis.style import FONT_SIZE

    return FONT_SIZE


def _blockers(_: Settings) -> set[str]:
    from iblnm.pipeline.selection import blocking_errors

    return blocking_errors()


def _under(*parts: str) -> View:
    def place(settings: Settings) -> Path:
        return settings.root.joinpath(*parts)

    return place


def _log(name: str) -> View:
    return lambda s: s.metadata_dir / f"{name}_log.pqt"


VIEWS: dict[str, View] = {
    "PROJECT_ROOT": lambda s: s.root,
    "SESSIONS_FPATH": lambda s: s.metadata_dir / "sessions.pqt",
    "SESSIONS_QC_FPATH": lambda s: s.metadata_dir / "sessions_qc.pqt",
    "SESSIONS_H5_DIR": lambda s: s.sessions_h5_dir,
    "ERRORS_FPATH": lambda s: s.metadata_dir / "errors.pqt",
    "QUERY_DATABASE_LOG_FPATH": _log("query_database"),
    "PHOTOMETRY_LOG_FPATH": _log("photometry"),
    "TASK_LOG_FPATH": _log("task"),
    "WHEEL_LOG_FPATH": _log("wheel"),
    "VIDEO_LOG_FPATH": _log("video"),
    "VIDEO_FPATH": lambda s: s.metadata_dir / "video.pqt",
    "TRAJECTORIES_FPATH": lambda s: s.metadata_dir / "trajectories.json",
    "LP_SESSIONS_FPATH": lambda s: s.metadata_dir / "LightningPoseSessions.csv",
    "FIBERS_FPATH": lambda s: s.fibers_fpath,
    "QCPHOTOMETRY_FPATH": lambda s: s.data_dir / "qc_photometry.pqt",
    "PERFORMANCE_FPATH": lambda s: s.data_dir / "performance.pqt",
    "TRIAL_TIMING_FPATH": lambda s: s.data_dir / "trial_timing.pqt",
    "RESULTS_DIR": _under("results"),
    "RESPONSES_DIR": _under("results", "responses"),
    "RESPONSES_FPATH": _under("results", "responses", "responses.pqt"),
    "RESPONSE_MATRIX_FPATH": _under("results", "responses", "response_matrix.pqt"),
    "MEAN_TRACES_FPATH": _under("results", "responses", "mean_traces.pqt"),
    "TRIAL_REGRESSORS_FPATH": _under("results", "responses", "trial_regressors.pqt"),
    # the peak is a column of the regressors
    "PEAK_VELOCITY_FPATH": _under("results", "responses", "trial_regressors.pqt"),
    "MOVEMENT_ENCODING_DIR": _under("results", "movement_encoding"),
    "TASK_ENCODING_DIR": _under("results", "task_encoding"),
    "RESPONSE_EVENTS": lambda s: list(s.response_events),
    "TARGET_FS": lambda s: s.signal.fs,
    "WHEEL_FS": lambda s: s.wheel.fs,
    "RESPONSE_WINDOW": lambda s: s.signal.response_window,
    "BASELINE_WINDOW": lambda s: s.signal.baseline_window,
    "RESPONSE_WINDOWS": lambda s: {
        "early": s.signal.early_window,
        "late": s.signal.late_window,
    },
    "ANALYSIS_CONTRASTS": lambda s: list(s.analysis_contrasts),
    "REQUIRED_CONTRASTS": lambda s: frozenset(s.analysis_contrasts),
    "ANALYSIS_QC_BLOCKERS": _blockers,
    "SESSION_SCHEMA": _session_schema,
    "SESSION_TYPES": lambda s: list(s.session_type_words.values()),
    "SESSION_TYPES_TO_ANALYZE": lambda s: tuple(s.analysed_session_types),
    "TARGETNMS_TO_ANALYZE": lambda s: list(s.analysed_targets),
    "VALID_TARGETNMS": lambda s: list(s.valid_targets),
    "TARGET2NM": lambda s: dict(s.target_neuromodulator),
    "REGION_NAME_FIXES": lambda s: dict(s.region_fixes),
    "MIN_TRAINING_PERFORMANCE": lambda s: s.thresholds.min_training_fraction_correct,
    "MIN_PERFORMANCE": lambda s: {"training": s.thresholds.min_training_fraction_correct},
    "SUBJECTS_TO_EXCLUDE": lambda s: list(s.excluded_subjects),
    "VALID_STRAINS": lambda s: list(s.valid_strains),
    "VALID_LINES": lambda s: list(s.valid_lines),
    "VALID_TARGETS": lambda s: list(s.target_neuromodulator),
    "VALID_NEUROMODULATORS": lambda s: sorted(set(s.target_neuromodulator.values())),
    "LENGTH_MISMATCH_THRESHOLD": lambda s: s.thresholds.max_video_length_difference_s,
    "N_UNIQUE_SAMPLES_THRESHOLD": lambda s: s.thresholds.min_unique_fraction,
    "QC_RAW_METRICS": lambda _: _quality_columns(lambda m: m.source == "frames"),
    "QC_SLIDING_METRICS": lambda _: _quality_columns(
        lambda m: m.source != "frames" and not m.bands
    ),
    "QC_PREPROCESSING": lambda _: _quality_columns(lambda m: bool(m.bands)),
    "QCVAL2NUM": lambda s: {**s.qc_scores, _NOT_SET: float("nan")},
    "QCCMAP": _qc_color_map,
    "NM_CMAPS": _color_maps,
    "TARGETNM_COLORS": lambda s: dict(s.target_colors),
    "TARGETNM2POSITION": _target_position,
    "SESSIONTYPE2COLOR": lambda s: dict(s.session_type_colors),
    "SESSIONTYPE2FLOAT": lambda _: dict(_STAGES),
    "FIGURE_DPI": lambda s: s.figures.dpi,
    "TICKFONTSIZE": _font_size,
    "LABELFONTSIZE": _font_size,
}
