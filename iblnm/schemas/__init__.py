"""One schema per table: name, type, unit, description, nullable, range of every column."""

from iblnm.schemas.core import LIST, Column, Table
from iblnm.schemas.responses import (
    MEAN_TRACES,
    PEAK_VELOCITY,
    RESPONSE_MAGNITUDES,
    RESPONSE_MATRIX,
    SESSION_SELECTION,
    TRIAL_REGRESSORS,
)
from iblnm.schemas.tables import (
    ERRORS,
    LABELS,
    PERFORMANCE,
    PHOTOMETRY_REFERENCE,
    QC_MATRIX,
    QC_PHOTOMETRY,
    QC_SUMMARY,
    SESSIONS,
    SESSIONS_TABLE,
    TABLES,
    TRIAL_TIMING,
    VIDEO,
)

__all__ = [
    "ERRORS",
    "LABELS",
    "LIST",
    "MEAN_TRACES",
    "PEAK_VELOCITY",
    "PERFORMANCE",
    "PHOTOMETRY_REFERENCE",
    "QC_MATRIX",
    "QC_PHOTOMETRY",
    "QC_SUMMARY",
    "RESPONSE_MAGNITUDES",
    "RESPONSE_MATRIX",
    "SESSIONS",
    "SESSIONS_TABLE",
    "SESSION_SELECTION",
    "TABLES",
    "TRIAL_REGRESSORS",
    "TRIAL_TIMING",
    "VIDEO",
    "Column",
    "Table",
]
