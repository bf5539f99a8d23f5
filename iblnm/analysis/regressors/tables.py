"""Tables of trial regressors."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table
from iblnm.schemas.tables import SOURCE

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_SESSION_TYPE = Column("session_type", "str", "Task of the session")
_TRIAL = Column("trial", "int", "Trial, from 0", nullable=False, ge=0)
_STIMULUS = (
    Column("stim_side", "str", "Side of the stimulus", isin=("left", "right")),
    Column("contrast", "float", "Contrast", "%", ge=0, le=100),
    Column("signed_contrast", "float", "Contrast, negative on the left", "%", ge=-100, le=100),
)
_OUTCOME = (
    Column("choice", "float", "−1 right, 0 none, 1 left (ALF)", ge=-1, le=1),
    Column("feedbackType", "float", "1 reward, −1 error", ge=-1, le=1),
    Column("probabilityLeft", "float", "Prior of a left stimulus", ge=0, le=1),
    Column("reaction_time", "float", "First movement − stimulus", "s"),
    Column("movement_time", "float", "Feedback − first movement", "s"),
    Column("response_time", "float", "Feedback − stimulus", "s"),
)
TRIAL_REGRESSORS = Table(
    "trial_regressors",
    "Task and movement: one row per session and trial",
    (
        _EID,
        _SUBJECT,
        _SESSION_TYPE,
        _TRIAL,
        *_STIMULUS,
        *_OUTCOME,
        Column("peak_velocity", "float", "Largest speed of the wheel in the trial", "rad/s", ge=0),
        SOURCE,
    ),
    key=("eid", "trial"),
)
PEAK_VELOCITY = Table(
    "peak_velocity",
    "Largest speed of the wheel: one row per session and trial",
    (
        _EID,
        _TRIAL,
        Column("peak_velocity", "float", "Largest speed of the wheel in the trial", "rad/s", ge=0),
    ),
    key=("eid", "trial"),
)

TABLES = {
    "trial_regressors": TRIAL_REGRESSORS,
}
