"""Tables of similarity, decoding of targets, and repeated-measures ANOVA."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table
from iblnm.schemas.responses import WideTable

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fibre", nullable=False)
_FIBER = Column("fiber_idx", "int", "Fibre of the session, from 0", nullable=False, ge=0)
_N_SUBJECTS = Column("n_subjects", "int", "Subjects", nullable=False, ge=0)
_LOW = Column("low", "float", "Lower end of the interval over resampled subjects")
_HIGH = Column("high", "float", "Upper end of the interval over resampled subjects")
_P = Column("p", "float", "p of the permutation test, one-sided", ge=0, le=1)
_CORRECTED = Column("p_corrected", "float", "p corrected over its family", ge=0, le=1)
_CORRECTION = Column("correction", "str", "Method and family of the correction")

SIMILARITY_MATRIX = WideTable(
    "similarity_matrix",
    "Cosine similarity of every two recordings: one row and one column per recording",
    Table(
        "similarity_matrix",
        "Recordings of the rows; the columns are in the same order",
        (_EID, _TARGET, _FIBER, _SUBJECT),
        key=("eid", "fiber_idx"),
    ),
    pattern=r"[0-9a-fA-F-]+_[0-9]+",
    text="Cosine similarity with the recording {eid}_{fiber_idx}",
)


def _one_of_pair(which: str) -> tuple[Column, ...]:
    return tuple(
        Column(f"{name}_{which}", dtype, text, nullable=False)
        for name, dtype, text in (
            ("eid", "str", "Session of the recording"),
            ("fiber_idx", "int", "Fibre of the recording"),
            ("subject", "str", "Mouse of the recording"),
            ("target", "str", "Target and neuromodulator of the recording"),
        )
    )


SIMILARITY_PAIRS = Table(
    "similarity_pairs",
    "Cosine similarity of every pair of recordings, once",
    (
        *_one_of_pair("i"),
        *_one_of_pair("j"),
        Column(
            "comparison",
            "str",
            "Whether the targets agree",
            nullable=False,
            isin=("within", "between"),
        ),
        Column("same_subject", "bool", "Whether both are of one mouse", nullable=False),
        Column("similarity", "float", "Cosine similarity", ge=-1, le=1),
    ),
    key=("eid_i", "fiber_idx_i", "eid_j", "fiber_idx_j"),
)

TARGET_SIMILARITY = Table(
    "target_similarity",
    "Mean cosine similarity of the recordings of every two targets",
    (
        Column("target_i", "str", "Target and neuromodulator", nullable=False),
        Column("target_j", "str", "Target and neuromodulator", nullable=False),
        Column("similarity", "float", "Mean over all pairs", ge=-1, le=1),
        Column("similarity_other_subjects", "float", "Pairs of two mice only", ge=-1, le=1),
    ),
    key=("target_i", "target_j"),
)

SIMILARITY_CONTRASTS = Table(
    "similarity_contrasts",
    "Similarity within a target minus that between targets, over pairs of mice",
    (
        Column("target_NM", "str", "Target, or 'all'", nullable=False),
        _N_SUBJECTS,
        Column("within", "float", "Mean over pairs of mice of the target"),
        Column("between", "float", "Mean over pairs of mice of two targets"),
        Column("difference", "float", "within − between"),
        _LOW,
        _HIGH,
        _P,
        _CORRECTED,
        _CORRECTION,
    ),
    key=("target_NM",),
)

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

RESPONSE_ANOVA = Table(
    "response_anova",
    "Repeated-measures ANOVA of responses over mice",
    (
        _TARGET,
        Column("event", "str", "Event that the response is aligned to", nullable=False),
        Column("source", "str", "Main effect or interaction", nullable=False),
        Column("F", "float", "F", ge=0),
        Column("df", "float", "Degrees of freedom of the effect", ge=0),
        Column("df_error", "float", "Degrees of freedom of the error", ge=0),
        Column("p", "float", "p without correction for sphericity", ge=0, le=1),
        Column("epsilon", "float", "Greenhouse–Geisser epsilon", ge=0, le=1.000001),
        Column("p_gg", "float", "p with degrees of freedom times epsilon", ge=0, le=1),
        Column("p_corrected", "float", "p_gg corrected over its family", ge=0, le=1),
        _CORRECTION,
        _N_SUBJECTS,
    ),
    key=("target_NM", "event", "source"),
)

ANOVA_MISSING_CELLS = Table(
    "anova_missing_cells",
    "Cells for which a mouse has too few trials; it is left out of that ANOVA",
    (
        _TARGET,
        Column("event", "str", "Event that the response is aligned to", nullable=False),
        _SUBJECT,
        Column("contrast", "float", "Contrast", "%", ge=0, le=100),
        Column("side", "str", "Stimulus relative to the fibre", isin=("contra", "ipsi")),
        Column("feedbackType", "float", "1 reward, −1 error; null where it is no factor"),
    ),
    key=("target_NM", "event", "subject", "contrast", "side", "feedbackType"),
)
