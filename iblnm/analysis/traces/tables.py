"""Table of mean traces."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fiber")
_REGION = Column("brain_region", "str", "Recording target")
_FIBER = Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0)
_EVENT = Column("event", "str", "Event that the response is aligned to", nullable=False)
MEAN_TRACES = Table(
    "mean_traces",
    "Mean response by contrast and outcome: one row per recording, event, condition and time",
    (
        _EID,
        _SUBJECT,
        _TARGET,
        _REGION,
        _FIBER,
        _EVENT,
        Column("contrast", "float", "Contrast", "%", nullable=False, ge=0, le=100),
        Column("feedbackType", "float", "1 reward, −1 error", nullable=False, ge=-1, le=1),
        Column("time", "float", "Time from the event", "s", nullable=False),
        Column("response", "float", "Mean over trials, minus baseline", "z or dF/F"),
        Column("n_trials", "int", "Trials with a value at this time", nullable=False, ge=0),
    ),
    key=("eid", "fiber_idx", "event", "contrast", "feedbackType", "time"),
)

TABLES = {
    "mean_traces": MEAN_TRACES,
}
