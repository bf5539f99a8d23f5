"""Tables of responses: magnitudes, trial regressors, mean traces, response matrix."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from iblnm.errors import MalformedFileError
from iblnm.schemas.core import LIST, Column, Table

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_SESSION_TYPE = Column("session_type", "str", "Task of the session")
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fibre")
_REGION = Column("brain_region", "str", "Recording target")
_FIBER = Column("fiber_idx", "int", "Fibre of the session, from 0", nullable=False, ge=0)
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
        Column("hemisphere", "str", "Side of the fibre", isin=("l", "r")),
        _FIBER,
        _EVENT,
        _TRIAL,
        *_STIMULUS,
        Column(
            "relative_contrast", "float", "Contrast, negative on the fibre's side", "%", ge=-100
        ),
        Column("side", "str", "Stimulus relative to the fibre", isin=("contra", "ipsi")),
        *_OUTCOME,
        Column("response_early", "float", "Mean early response minus baseline", "z"),
        Column("n_samples", "int", "Samples of the mean", nullable=False, ge=0),
    ),
    key=("eid", "fiber_idx", "event", "trial"),
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
    ),
    key=("eid", "trial"),
)

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
        Column("response", "float", "Mean over trials, minus baseline", "z"),
        Column("n_trials", "int", "Trials with a value at this time", nullable=False, ge=0),
    ),
    key=("eid", "fiber_idx", "event", "contrast", "feedbackType", "time"),
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
        Column("eids_removed", LIST, "Sessions that it removed"),
    ),
    key=("step",),
)


@dataclass(frozen=True)
class WideTable:
    """Schema of a table with one column per condition, whose number depends on the data.

    Parameters
    ----------
    name, description : str
    identity : Table
        The leading columns; its key identifies a row.
    pattern : str
        Regular expression that the name of every further column matches in full; these
        columns are float64.
    text : str
        What a further column holds.
    """

    name: str
    description: str
    identity: Table
    pattern: str
    text: str

    def features(self, df: pd.DataFrame) -> list[str]:
        """Names of the columns of conditions, in the order of the table."""
        return [str(name) for name in df.columns if name not in self.identity.names]

    def conform(self, df: pd.DataFrame) -> pd.DataFrame:
        """Bring a frame to the leading columns and float64 conditions; a range index.

        Raises
        ------
        MalformedFileError
            If a further column's name is no condition, or a value is not numeric.
        """
        names = self.features(df)
        odd = [name for name in names if not re.fullmatch(self.pattern, name)]
        if odd:
            raise MalformedFileError(
                f"table {self.name}: columns {', '.join(odd[:5])} are no conditions; names as "
                f"{self.pattern} are expected"
            )
        try:
            values = df[names].astype("float64").reset_index(drop=True)
        except (TypeError, ValueError) as error:
            raise MalformedFileError(f"table {self.name}: {error}") from error
        return pd.concat([self.identity.conform(df), values], axis=1)

    def validate(self, df: pd.DataFrame) -> pd.DataFrame:
        """Conform a frame and hold its leading columns to their schema.

        Raises
        ------
        MalformedFileError
            Naming table, column, value and limit.
        """
        conformed = self.conform(df)
        self.identity.validate(conformed[self.identity.names])
        return conformed

    def restore(self, df: pd.DataFrame) -> pd.DataFrame:
        """Types and index of a frame that was read from a file."""
        return self.conform(df)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The leading columns."""
        return self.identity.columns

    def empty(self) -> pd.DataFrame:
        """The table without rows and without conditions."""
        return self.identity.empty()


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
