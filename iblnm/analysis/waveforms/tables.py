"""Tables of the inference on whole curves."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fiber", nullable=False)
_EVENT = Column("event", "str", "Event that the response is aligned to", nullable=False)
_TERM = Column("term", "str", "Fixed effect of response_lmm", nullable=False)
_TIME = Column("time", "float", "Time from the event", "s", nullable=False)
WAVEFORMS = Table(
    "waveforms",
    "Effect of each term over time, mean over animals with simultaneous band; one row per target, "
    "event, term and time. The family of p is all times of a curve",
    (
        _TARGET,
        _EVENT,
        _TERM,
        _TIME,
        Column("effect", "float", "Mean over animals", "z or dF/F"),
        Column("se", "float", "Standard error over animals", "z or dF/F", ge=0),
        Column("low", "float", "Lower edge of the simultaneous 95 % band", "z or dF/F"),
        Column("high", "float", "Upper edge", "z or dF/F"),
        Column("p", "float", "Sign flips of animals, largest |t| over all times", ge=0, le=1),
        Column("n_subjects", "int", "Animals with a value at this time", nullable=False, ge=0),
        Column("note", "str", "Why there is no band and no p"),
    ),
    key=("target_NM", "event", "term", "time"),
)
WAVEFORM_TESTS = Table(
    "waveform_tests",
    "Smallest p of each curve, corrected over the targets and terms of an event, the intercepts "
    "apart: one row per curve",
    (
        _TARGET,
        _EVENT,
        _TERM,
        Column("n_subjects", "int", "Animals", nullable=False, ge=0),
        Column("n_times", "int", "Times of the test", nullable=False, ge=0),
        Column("p", "float", "Smallest adjusted p over time", ge=0, le=1),
        Column(
            "p_corrected",
            "float",
            "p corrected over all targets and terms of an event, the intercepts apart",
            ge=0,
            le=1,
        ),
        Column("correction", "str", "Method and family"),
        Column("note", "str", "Why there is no p"),
    ),
    key=("target_NM", "event", "term"),
)
ANIMAL_WAVEFORMS = Table(
    "animal_waveforms",
    "Effect of each term over time in each animal: fibers averaged within sessions, sessions "
    "within the animal",
    (
        _TARGET,
        _EVENT,
        _TERM,
        Column("subject", "str", "Mouse name", nullable=False),
        _TIME,
        Column("effect", "float", "Coefficient", "z or dF/F"),
    ),
    key=("target_NM", "event", "term", "subject", "time"),
)

TABLES = {
    "waveforms": WAVEFORMS,
    "waveform_tests": WAVEFORM_TESTS,
    "animal_waveforms": ANIMAL_WAVEFORMS,
}
