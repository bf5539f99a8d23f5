"""Tables of similarity."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table
from iblnm.schemas.wide import WideTable

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fiber", nullable=False)
_FIBER = Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0)
_N_SUBJECTS = Column("n_subjects", "int", "Subjects", nullable=False, ge=0)
_LOW = Column("low", "float", "Lower end of the interval over resampled subjects")
_HIGH = Column("high", "float", "Upper end of the interval over resampled subjects")
_P = Column("p", "float", "p of the permutation test, one-sided", ge=0, le=1)
_CORRECTED = Column(
    "p_corrected",
    "float",
    "p corrected over the targets; that of all targets is a test alone",
    ge=0,
    le=1,
)
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
            ("fiber_idx", "int", "Fiber of the recording"),
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

TABLES = {
    "similarity_pairs": SIMILARITY_PAIRS,
    "similarity_matrix": SIMILARITY_MATRIX,
    "target_similarity": TARGET_SIMILARITY,
    "similarity_contrasts": SIMILARITY_CONTRASTS,
}
