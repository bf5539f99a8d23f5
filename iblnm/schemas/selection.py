"""Account of a selection of sessions."""

from __future__ import annotations

from iblnm.schemas.core import LIST, Column, Table

SESSION_SELECTION = Table(
    "session_selection",
    "What each criterion of the selection removed, in order",
    (
        Column("step", "int", "Order of the criterion, from 1", nullable=False, ge=1),
        Column("criterion", "str", "Criterion with its value", nullable=False),
        Column("n_sessions_before", "int", "Sessions before it", nullable=False, ge=0),
        Column("n_sessions_removed", "int", "Sessions that it removed", nullable=False, ge=0),
        Column("n_sessions", "int", "Sessions after it", nullable=False, ge=0),
        Column("n_subjects", "int", "Subjects after it", nullable=False, ge=0),
        Column("setting", "str", "Setting that changes it, where it is a default"),
        Column("eids_removed", LIST, "Sessions that it removed"),
    ),
    key=("step",),
)
