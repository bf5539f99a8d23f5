"""Tables of the components of regression coefficients."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_EVENT = Column("event", "str", "Event that the response is aligned to", nullable=False)
_METHOD = Column("method", "str", "Decomposition", nullable=False, isin=("pca", "ica"))
_COMPONENT = Column("component", "str", "Component", nullable=False)

GLM_COMPONENT_SCORES = Table(
    "glm_component_scores",
    "Scores of recordings on the components of the coefficients, targets weighted alike",
    (
        _EVENT,
        _METHOD,
        Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False),
        Column("subject", "str", "Mouse name", nullable=False),
        Column("target_NM", "str", "Target and neuromodulator of the fibre", nullable=False),
        Column("fiber_idx", "int", "Fibre of the session, from 0", nullable=False, ge=0),
        _COMPONENT,
        Column("score", "float", "Score", nullable=False),
    ),
    key=("event", "method", "eid", "fiber_idx", "component"),
)

GLM_COMPONENT_LOADINGS = Table(
    "glm_component_loadings",
    "Terms on the components: one row per component and term",
    (
        _EVENT,
        _METHOD,
        _COMPONENT,
        Column("term", "str", "Term of the model", nullable=False),
        Column("weight", "float", "Weight of the standardised coefficient in the score"),
        Column("loading", "float", "Standardised coefficient per unit of score"),
        Column("explained_variance_ratio", "float", "Share of variance", ge=0, le=1.000001),
        Column("n_recordings", "int", "Recordings", nullable=False, ge=0),
    ),
    key=("event", "method", "component", "term"),
)

GLM_COMPONENT_TESTS = Table(
    "glm_component_tests",
    "Differences of scores between targets, on the means of animals",
    (
        _EVENT,
        _METHOD,
        _COMPONENT,
        Column("test", "str", "Test", nullable=False, isin=("kruskal_wallis", "mann_whitney")),
        Column("group_a", "str", "Target; null for the test over all"),
        Column("group_b", "str", "Target; null for the test over all"),
        Column("n_a", "int", "Animals of group a, or of all", ge=0),
        Column("n_b", "int", "Animals of group b", ge=0),
        Column("df", "int", "Degrees of freedom of the test over all", ge=0),
        Column("statistic", "float", "H, or U of group a"),
        Column("effect_size", "float", "ε² (all), rank-biserial correlation (pair)"),
        Column("p", "float", "p, not corrected", ge=0, le=1),
        Column("p_corrected", "float", "p corrected over components, or pairs", ge=0, le=1),
        Column("correction", "str", "Method of the correction", nullable=False),
    ),
    key=("event", "method", "component", "test", "group_a", "group_b"),
)
