"""Table of response vectors."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table
from iblnm.schemas.wide import WideTable

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fiber")
_FIBER = Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0)


RESPONSE_MATRIX = WideTable(
    "response_matrix",
    "Mean early response per condition: one row per recording",
    Table(
        "response_matrix",
        "Recordings of the response matrix",
        (_EID, _TARGET, _FIBER, _SUBJECT),
        key=("eid", "fiber_idx"),
    ),
    pattern=r"[A-Za-z]+_c[0-9.]+_(contra|ipsi)_(correct|incorrect)",
    text="Mean of the trials' early responses [z]",
)

TABLES = {
    "response_matrix": RESPONSE_MATRIX,
}
