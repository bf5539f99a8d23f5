"""Tables of encoding: regressions per recording, canonical correlation with behavior."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_TARGET = Column("target_NM", "str", "Target and neuromodulator of the fiber", nullable=False)
_FIBER = Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0)
_EVENT = Column("event", "str", "Event that the response is aligned to", nullable=False)
_VARIANT = Column(
    "variant",
    "str",
    "Canonical correlation without or with penalty",
    nullable=False,
    isin=("plain", "elastic_net"),
)
_VIEW = Column("view", "str", "Set of features", nullable=False, isin=("encoding", "behavior"))
_P = Column("p", "float", "p, not corrected", ge=0, le=1)


def _corrected(family: str) -> tuple[Column, Column]:
    return (
        Column("p_corrected", "float", f"p corrected over {family}", ge=0, le=1),
        Column("correction", "str", "Method of the correction"),
    )


GLM_COEFFICIENTS = Table(
    "glm_coefficients",
    "Linear model of single-trial responses: one row per recording, event and term",
    (
        _EID,
        _SUBJECT,
        _TARGET,
        Column("brain_region", "str", "Recording target"),
        Column("hemisphere", "str", "Side of the fiber", isin=("l", "r")),
        _FIBER,
        _EVENT,
        Column("term", "str", "Term of the model", nullable=False),
        Column("estimate", "float", "Coefficient", "z or dF/F"),
        Column("se", "float", "Standard error", "z or dF/F", ge=0),
        Column("ci_low", "float", "Lower end of the interval", "z or dF/F"),
        Column("ci_high", "float", "Upper end of the interval", "z or dF/F"),
        Column("t", "float", "Estimate / standard error"),
        Column("df", "float", "Residual degrees of freedom", ge=0),
        _P,
        *_corrected("the recordings, for one term and event"),
        Column("n_trials", "int", "Trials used", nullable=False, ge=0),
        Column("residual_sd", "float", "Standard deviation of the residuals", "z or dF/F", ge=0),
        Column("r2", "float", "Share of variance explained", le=1),
        Column("note", "str", "Why the recording was not fitted"),
    ),
    key=("eid", "fiber_idx", "event", "term"),
)

PSYCHOMETRIC_FEATURES = Table(
    "psychometric_features",
    "Psychometric parameters relative to the fiber: one row per recording",
    (
        _EID,
        _SUBJECT,
        _TARGET,
        _FIBER,
        Column("hemisphere", "str", "Side of the fiber", isin=("l", "r")),
        Column("threshold", "float", "Threshold", "% contrast", ge=0),
        Column("lateral_bias", "float", "Bias, positive contralateral", "% contrast"),
        Column("lapse_contra", "float", "Lapse, contralateral stimuli", ge=0, le=1),
        Column("lapse_ipsi", "float", "Lapse, ipsilateral stimuli", ge=0, le=1),
    ),
    key=("eid", "fiber_idx"),
)

CCA_RESULTS = Table(
    "cca_results",
    "Canonical correlation of encoding and behavior: one row per event, variant and target",
    (
        _EVENT,
        _VARIANT,
        _TARGET,
        Column("correlation", "float", "First canonical correlation, in sample", ge=0, le=1),
        Column("ci_low", "float", "Lower end of the interval over animals", ge=0, le=1),
        Column("ci_high", "float", "Upper end of the interval over animals", ge=0, le=1),
        Column(
            "correlation_held_out",
            "float",
            "Correlation in animals that the weights were not fitted to",
            ge=-1,
            le=1,
        ),
        Column("p", "float", "p of whole-session permutations, not corrected", ge=0, le=1),
        *_corrected("events and targets of one variant"),
        Column(
            "p_within_subject",
            "float",
            "p of permutations that leave every session to its animal, not corrected",
            ge=0,
            le=1,
        ),
        Column(
            "p_within_subject_corrected",
            "float",
            "The same, corrected over events and targets of one variant",
            ge=0,
            le=1,
        ),
        Column("null_median", "float", "Median correlation of the permutations", ge=0, le=1),
        Column("null_q95", "float", "95 % quantile of the permutations", ge=0, le=1),
        Column("n_recordings", "int", "Complete recordings", nullable=False, ge=0),
        Column("n_sessions", "int", "Their sessions", ge=0),
        Column("n_movable_sessions", "int", "Sessions with a partner of equal size", ge=0),
        Column("n_subjects", "int", "Their animals", ge=0),
        Column("n_permutations", "int", "Permutations", ge=0),
        Column("seed", "int", "Seed of permutations, folds and interval"),
        Column("penalty", "float", "Penalty chosen", ge=0),
        Column("l1_ratio", "float", "Share of the L1 penalty", ge=0, le=1),
        Column("note", "str", "Why a target was not fitted, or what to mind"),
    ),
    key=("event", "variant", "target_NM"),
)

CCA_WEIGHTS = Table(
    "cca_weights",
    "Weights of standardized features on the first canonical pair, signs common to all targets",
    (
        _EVENT,
        _VARIANT,
        _TARGET,
        _VIEW,
        Column("feature", "str", "Feature", nullable=False),
        Column("weight", "float", "Weight of the standardized feature"),
        Column("loading", "float", "Correlation with the score of its view"),
    ),
    key=("event", "variant", "target_NM", "view", "feature"),
)

CCA_PROJECTIONS = Table(
    "cca_projections",
    "Scores on the first canonical pair of the own target: one row per recording",
    (
        _EVENT,
        _VARIANT,
        _EID,
        _SUBJECT,
        _TARGET,
        _FIBER,
        Column("encoding_score", "float", "Score of the coefficients"),
        Column("behaviour_score", "float", "Score of the psychometric parameters"),
    ),
    key=("event", "variant", "eid", "fiber_idx"),
)

CCA_CROSS_PROJECTIONS = Table(
    "cca_cross_projections",
    "Correlation of the scores that one target's weights give in another target",
    (
        _EVENT,
        _VARIANT,
        Column("data_target", "str", "Target of the recordings", nullable=False),
        Column("weights_target", "str", "Target of the weights", nullable=False),
        Column("correlation", "float", "Correlation", ge=-1, le=1),
        Column("n_recordings", "int", "Recordings", nullable=False, ge=0),
    ),
    key=("event", "variant", "data_target", "weights_target"),
)

CCA_WEIGHT_SIMILARITIES = Table(
    "cca_weight_similarities",
    "Cosine of the weights of two targets",
    (
        _EVENT,
        _VARIANT,
        _VIEW,
        Column("target_a", "str", "Target", nullable=False),
        Column("target_b", "str", "Target", nullable=False),
        Column("cosine", "float", "Cosine", ge=-1, le=1),
    ),
    key=("event", "variant", "view", "target_a", "target_b"),
)

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
        Column("target_NM", "str", "Target and neuromodulator of the fiber", nullable=False),
        Column("fiber_idx", "int", "Fiber of the session, from 0", nullable=False, ge=0),
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
        Column("weight", "float", "Weight of the standardized coefficient in the score"),
        Column("loading", "float", "Standardized coefficient per unit of score"),
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
        Column("note", "str", "Why a pair is not tested"),
    ),
    key=("event", "method", "component", "test", "group_a", "group_b"),
)

TABLES = {
    "glm_coefficients": GLM_COEFFICIENTS,
    "glm_component_scores": GLM_COMPONENT_SCORES,
    "glm_component_loadings": GLM_COMPONENT_LOADINGS,
    "glm_component_tests": GLM_COMPONENT_TESTS,
    "psychometric_features": PSYCHOMETRIC_FEATURES,
    "cca_results": CCA_RESULTS,
    "cca_weights": CCA_WEIGHTS,
    "cca_projections": CCA_PROJECTIONS,
    "cca_cross_projections": CCA_CROSS_PROJECTIONS,
    "cca_weight_similarities": CCA_WEIGHT_SIMILARITIES,
}
