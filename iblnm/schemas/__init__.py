"""One schema per table: name, type, unit, description, nullable, range of every column."""

from iblnm.schemas.core import LIST, Column, Table
from iblnm.schemas.selection import SESSION_SELECTION
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
    VIDEO_CHECKS,
    VIDEO_TABLE,
)

__all__ = [
    "ERRORS",
    "LABELS",
    "LIST",
    "PERFORMANCE",
    "PHOTOMETRY_REFERENCE",
    "QC_MATRIX",
    "QC_PHOTOMETRY",
    "QC_SUMMARY",
    "SESSIONS",
    "SESSIONS_TABLE",
    "SESSION_SELECTION",
    "TABLES",
    "TRIAL_TIMING",
    "VIDEO",
    "VIDEO_CHECKS",
    "VIDEO_TABLE",
    "Column",
    "Table",
]
