"""Tables of the regression of signals on all events."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fiber")
_REGION = Column("brain_region", "str", "Recording target")
_FIBER = Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0)
_EVENT = Column("event", "str", "Event that the kernel begins at", nullable=False)
_CONDITION = (
    Column("contrast", "float", "Contrast; missing: of all", "%", ge=0, le=100),
    Column("stim_side", "str", "Side of the stimulus; missing: of both", isin=("left", "right")),
    Column("side", "str", "The same, relative to the fiber", isin=("contra", "ipsi")),
    Column("feedbackType", "float", "1 reward, −1 error; missing: of both", ge=-1, le=1),
    Column(
        "modulator",
        "str",
        "What the kernel is multiplied by, standardized over the events; it adds to those of the "
        "same event",
        isin=("contrast", "stim_side"),
    ),
)
KERNEL_MAGNITUDES = Table(
    "kernel_magnitudes",
    "Early response with the contribution of all other events removed: one row per recording, "
    "event and trial",
    (
        _EID,
        _FIBER,
        Column("event", "str", "Event of the response", nullable=False),
        Column("trial", "int", "Trial, from 0", nullable=False, ge=0),
        Column(
            "response_kernel",
            "float",
            "Own kernel, minus its baseline, and what no event explains, over the early window",
            "z",
        ),
        Column("n_samples", "int", "Known samples of the window", nullable=False, ge=0),
    ),
    key=("eid", "fiber_idx", "event", "trial"),
)
KERNELS = Table(
    "kernels",
    "Response to each condition, the others' contribution removed: one row per recording, "
    "condition and time",
    (
        _EID,
        _SUBJECT,
        _TARGET,
        _REGION,
        _FIBER,
        _EVENT,
        *_CONDITION,
        Column("n_events", "int", "Events of the condition", nullable=False, ge=1),
        Column("time", "float", "Time from the event", "s", nullable=False),
        Column("kernel", "float", "Response", "z", nullable=False),
    ),
    key=(
        "eid",
        "fiber_idx",
        "event",
        "contrast",
        "stim_side",
        "feedbackType",
        "modulator",
        "time",
    ),
)
KERNEL_EFFECTS = Table(
    "kernel_effects",
    "What contrast, side and reward add to the response, from the kernels of a recording: one row "
    "per recording, event, term and time",
    (
        _EID,
        _SUBJECT,
        _TARGET,
        _FIBER,
        Column("event", "str", "Event of the response", nullable=False),
        Column("term", "str", "Term, coded as in the mixed models", nullable=False),
        Column("time", "float", "Time from the event", "s", nullable=False),
        Column("effect", "float", "What the term adds to the response", "z", nullable=False),
        Column("signal_sd", "float", "dF/F of one z of the signal", "dF/F per z", ge=0),
        Column("n_trials", "int", "Trials of the session", nullable=False, ge=1),
    ),
    key=("eid", "fiber_idx", "event", "term", "time"),
)
KERNEL_FITS = Table(
    "kernel_fits",
    "How each recording was fitted: one row per recording",
    (
        _EID,
        _SUBJECT,
        _TARGET,
        _REGION,
        _FIBER,
        Column(
            "correction", "str", "Correction of the signal", isin=("isosbestic", "signal_only")
        ),
        Column("n_conditions", "int", "Kernels", nullable=False, ge=1),
        Column("penalty", "float", "Ridge penalty chosen by cross-validation", "events", ge=0),
        Column("r2", "float", "Variance predicted in left-out stretches", "fraction", le=1),
    ),
    key=("eid", "fiber_idx"),
)

TABLES = {
    "kernel_magnitudes": KERNEL_MAGNITUDES,
    "kernels": KERNELS,
    "kernel_effects": KERNEL_EFFECTS,
    "kernel_fits": KERNEL_FITS,
}
