"""Tables behind the figures of signal and video quality."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table
from iblnm.schemas.selection import SESSION_SELECTION

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_FIBER = Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0)
_BAND = Column("band", "str", "Excitation channel", nullable=False)
_METRIC = Column("metric", "str", "Quality metric", nullable=False)
_WHO = (
    Column("subject", "str", "Mouse name", nullable=False),
    Column("lab", "str", "Recording lab"),
    Column("target_NM", "str", "Target and neuromodulator of the fiber"),
    Column("brain_region", "str", "Recording target", nullable=False),
    Column("session_type", "str", "Task of the session"),
    Column("start_time", "str", "Start of the session, ISO 8601"),
)

QC_VALUES = Table(
    "qc_values",
    "Quality metrics in long form: one row per recording, band and metric",
    (
        _EID,
        _FIBER,
        _BAND,
        *_WHO,
        _METRIC,
        Column("value", "float", "Value, in the unit of the metric", nullable=False),
    ),
    key=("eid", "fiber_idx", "band", "metric"),
)

QC_SCORES = Table(
    "qc_scores",
    "Principal components of the metrics: one row per recording, band and component",
    (
        _EID,
        _FIBER,
        _BAND,
        *_WHO,
        Column("component", "int", "Component, from 1", nullable=False, ge=1),
        Column("score", "float", "Score", nullable=False),
    ),
    key=("eid", "fiber_idx", "band", "component"),
)

QC_COMPONENTS = Table(
    "qc_components",
    "Loadings of the metrics on their principal components",
    (
        _BAND,
        Column("component", "int", "Component, from 1", nullable=False, ge=1),
        _METRIC,
        Column(
            "loading", "float", "Loading of the standardized metric", ge=-1.000001, le=1.000001
        ),
        Column(
            "explained_variance_ratio", "float", "Share of variance of the component", ge=0, le=1
        ),
        Column("n_recordings", "int", "Complete recordings", nullable=False, ge=0),
    ),
    key=("band", "component", "metric"),
)

QC_TREND = Table(
    "qc_trend",
    "Metrics over time: one row per target, band, metric and month",
    (
        Column("target_NM", "str", "Target and neuromodulator of the fiber", nullable=False),
        _BAND,
        _METRIC,
        Column("month", "str", "Month, YYYY-MM", nullable=False),
        Column("median", "float", "Median over recordings"),
        Column("q25", "float", "Lower quartile"),
        Column("q75", "float", "Upper quartile"),
        Column("n_recordings", "int", "Recordings", nullable=False, ge=1),
        Column("n_sessions", "int", "Sessions", nullable=False, ge=1),
        Column("n_subjects", "int", "Animals", nullable=False, ge=1),
    ),
    key=("target_NM", "band", "metric", "month"),
)

QC_TREND_TESTS = Table(
    "qc_trend_tests",
    "Change of a metric over the animals of a target in order of time",
    (
        Column("target_NM", "str", "Target and neuromodulator of the fiber", nullable=False),
        _BAND,
        _METRIC,
        Column("slope", "float", "Theil–Sen slope of animals' medians, per 30 days"),
        Column("ci_low", "float", "Lower end of the interval"),
        Column("ci_high", "float", "Upper end of the interval"),
        Column("kendall_tau", "float", "Rank correlation with time", ge=-1, le=1),
        Column("p", "float", "p of Kendall's τ, not corrected", ge=0, le=1),
        Column("p_corrected", "float", "p corrected over all rows", ge=0, le=1),
        Column("correction", "str", "Method of the correction", nullable=False),
        Column("n_subjects", "int", "Animals", nullable=False, ge=0),
        Column("n_recordings", "int", "Recordings", nullable=False, ge=0),
    ),
    key=("target_NM", "band", "metric"),
)

VIDEO_OVERVIEW = Table(
    "video_overview",
    "Values of the video quality checks: one row per column, value and task",
    (
        Column("qc_column", "str", "Column of the video table", nullable=False),
        Column("value", "str", "Value; 'missing' where there is none", nullable=False),
        Column("session_type", "str", "Task of the session", nullable=False),
        Column("n_sessions", "int", "Sessions", nullable=False, ge=1),
        Column("n_subjects", "int", "Animals", nullable=False, ge=1),
    ),
    key=("qc_column", "value", "session_type"),
)

TABLES = {
    "qc_values": QC_VALUES,
    "qc_scores": QC_SCORES,
    "qc_components": QC_COMPONENTS,
    "qc_trend": QC_TREND,
    "qc_trend_tests": QC_TREND_TESTS,
    "video_overview": VIDEO_OVERVIEW,
    "session_selection": SESSION_SELECTION,
}
