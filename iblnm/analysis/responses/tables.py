"""Table of response magnitudes."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table
from iblnm.schemas.selection import SESSION_SELECTION
from iblnm.schemas.tables import SOURCE

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_SESSION_TYPE = Column("session_type", "str", "Task of the session")
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fiber")
_REGION = Column("brain_region", "str", "Recording target")
_FIBER = Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0)
_EVENT = Column("event", "str", "Event that the response is aligned to", nullable=False)
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
RESPONSE_MAGNITUDES = Table(
    "response_magnitudes",
    "Mean early response: one row per recording, event and trial",
    (
        _EID,
        _SUBJECT,
        _SESSION_TYPE,
        Column("NM", "str", "Neuromodulator", isin=("DA", "5HT", "NE", "ACh")),
        _TARGET,
        _REGION,
        Column("hemisphere", "str", "Side of the fiber", isin=("l", "r")),
        _FIBER,
        _EVENT,
        _TRIAL,
        *_STIMULUS,
        Column(
            "relative_contrast", "float", "Contrast, negative on the fiber's side", "%", ge=-100
        ),
        Column("side", "str", "Stimulus relative to the fiber", isin=("contra", "ipsi")),
        *_OUTCOME,
        Column("response_early", "float", "Mean early response minus baseline", "z"),
        Column("n_samples", "int", "Samples of the mean", nullable=False, ge=0),
        Column(
            "response_kernel",
            "float",
            "The same with the contribution of all other events removed, see response_kernels",
            "z",
        ),
        Column("correction", "str", "How the signal was corrected: isosbestic or signal_only"),
        Column(
            "signal_sd",
            "float",
            "Standard deviation of the corrected signal, by which z is multiplied to give dF/F",
            "dF/F",
            ge=0,
        ),
        SOURCE,
    ),
    key=("eid", "fiber_idx", "event", "trial"),
)

TABLES = {
    "responses": RESPONSE_MAGNITUDES,
    "session_selection": SESSION_SELECTION,
}
