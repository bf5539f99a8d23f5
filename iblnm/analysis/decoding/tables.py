"""Tables of decoding."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fiber", nullable=False)
_FIBER = Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0)
_LOW = Column("low", "float", "Lower end of the interval over resampled subjects")
_HIGH = Column("high", "float", "Upper end of the interval over resampled subjects")
_P = Column("p", "float", "p of the permutation test, one-sided", ge=0, le=1)
_CORRECTED = Column(
    "p_corrected",
    "float",
    "p of the balanced accuracy, the only test of the table: the same",
    ge=0,
    le=1,
)
_CORRECTION = Column("correction", "str", "Method and family of the correction")
DECODING_PREDICTIONS = Table(
    "decoding_predictions",
    "Target that was predicted for every recording, its mouse held out",
    (
        _EID,
        _SUBJECT,
        _TARGET,
        _FIBER,
        Column("predicted", "str", "Predicted target; null if there is no prediction"),
        Column("status", "str", "predicted, or why there is no prediction", nullable=False),
        Column("C", "float", "Inverse penalty chosen in the training set", ge=0),
        Column("violation", "float", "Violation of the optimality conditions", ge=0),
    ),
    key=("eid", "fiber_idx"),
)
DECODING_ACCURACY = Table(
    "decoding_accuracy",
    "Accuracy and confusion of the decoder on held-out mice",
    (
        Column(
            "measure",
            "str",
            "What the value is",
            nullable=False,
            isin=("accuracy", "balanced_accuracy", "confusion"),
        ),
        Column("target_NM", "str", "True target, of a confusion"),
        Column("predicted", "str", "Predicted target, of a confusion"),
        Column("value", "float", "Share of recordings", ge=0, le=1),
        Column("low", "float", "Lower end of the interval over resampled subjects", ge=0, le=1),
        Column("high", "float", "Upper end of the interval over resampled subjects", ge=0, le=1),
        Column("n_recordings", "int", "Recordings with a prediction", nullable=False, ge=0),
        Column("n_subjects", "int", "Subjects with a prediction", nullable=False, ge=0),
        _P,
        _CORRECTED,
        _CORRECTION,
    ),
    key=("measure", "target_NM", "predicted"),
)
DECODING_COEFFICIENTS = Table(
    "decoding_coefficients",
    "Coefficients of the decoder refitted on all recordings at the median C",
    (
        _TARGET,
        Column("feature", "str", "Condition", nullable=False),
        Column("coefficient", "float", "Log-odds per standard deviation of the feature"),
    ),
    key=("target_NM", "feature"),
)
DECODING_CONTRIBUTIONS = Table(
    "decoding_contributions",
    "What held-out balanced accuracy loses without each feature",
    (
        Column("feature", "str", "Condition", nullable=False),
        Column("balanced_accuracy", "float", "With all features", ge=0, le=1),
        Column("balanced_accuracy_without", "float", "Without this one", ge=0, le=1),
        Column("contribution", "float", "Difference of the two", ge=-1, le=1),
        _LOW,
        _HIGH,
    ),
    key=("feature",),
)
DECODING_NULL = Table(
    "decoding_null",
    "Balanced accuracy with targets shuffled between mice, C chosen once per shuffle",
    (
        Column("permutation", "int", "Shuffle, from 0", nullable=False, ge=0),
        Column("balanced_accuracy", "float", "Of the shuffle; null: no prediction", ge=0, le=1),
        Column("observed", "float", "The same statistic without shuffling", ge=0, le=1),
        Column("p", "float", "p of the permutation test", ge=0, le=1),
    ),
    key=("permutation",),
)

TABLES = {
    "decoding_predictions": DECODING_PREDICTIONS,
    "decoding_accuracy": DECODING_ACCURACY,
    "decoding_coefficients": DECODING_COEFFICIENTS,
    "decoding_contributions": DECODING_CONTRIBUTIONS,
    "decoding_null": DECODING_NULL,
}
