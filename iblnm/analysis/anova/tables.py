"""Tables of the analysis of variance."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fiber", nullable=False)
_N_SUBJECTS = Column("n_subjects", "int", "Subjects", nullable=False, ge=0)
_CORRECTION = Column("correction", "str", "Method and family of the correction")
FACTORIAL = "rm"
CONTRASTS = "contrasts"
RESPONSE_ANOVA = Table(
    "response_anova",
    "Effects on responses over mice: repeated-measures ANOVA, or two-stage contrasts where mice "
    "lack cells with outcome; p corrected over all targets and effects of an event",
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
        Column(
            "p_corrected",
            "float",
            "p_gg corrected over all targets and effects of an event",
            ge=0,
            le=1,
        ),
        _CORRECTION,
        _N_SUBJECTS,
        Column(
            "method",
            "str",
            "rm: ANOVA of the full factorial; contrasts: t over mice of each one's own effects, "
            "contrast as one slope",
            isin=(FACTORIAL, CONTRASTS),
        ),
    ),
    key=("target_NM", "event", "source"),
)
ANOVA_MISSING_CELLS = Table(
    "anova_missing_cells",
    "Cells for which a mouse has too few trials; it is left out of an ANOVA, not of contrasts",
    (
        _TARGET,
        Column("event", "str", "Event that the response is aligned to", nullable=False),
        _SUBJECT,
        Column("contrast", "float", "Contrast", "%", ge=0, le=100),
        Column("side", "str", "Stimulus relative to the fiber", isin=("contra", "ipsi")),
        Column("feedbackType", "float", "1 reward, −1 error; null where it is no factor"),
    ),
    key=("target_NM", "event", "subject", "contrast", "side", "feedbackType"),
)

TABLES = {
    "response_anova": RESPONSE_ANOVA,
    "anova_missing_cells": ANOVA_MISSING_CELLS,
}
