"""Tables of the mixed models."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_TARGET = Column("target_NM", "str", "Target and neuromodulator", nullable=False)
_EVENT = Column("event", "str", "Event that the response is aligned to", nullable=False)
_CONVERGED = Column("converged", "bool", "Whether two maximizations agree", nullable=False)
_SINGULAR = Column("singular", "bool", "Covariance of the random effects not of full rank")
_LOGLIK_GAP = Column("loglik_gap", "float", "Difference of their log-likelihoods", ge=0)
_SE_GAP = Column("se_gap", "float", "Largest relative difference of their standard errors", ge=0)
_N_TRIALS = Column("n_trials", "int", "Trials; one that several fibers recorded is one", ge=0)
_N_SUBJECTS = Column("n_subjects", "int", "Subjects", ge=0)
_COUNTS = (
    _N_TRIALS,
    Column("n_sessions", "int", "Sessions", ge=0),
    Column("n_recordings", "int", "Recordings", ge=0),
    Column(
        "n_averaged",
        "int",
        "Recordings that share trials with another fiber of their session; these are averaged",
        ge=0,
    ),
    _N_SUBJECTS,
)
_INFERENCE = (
    Column("se", "float", "Standard error", "z or dF/F", ge=0),
    Column("df", "float", "Degrees of freedom by Satterthwaite", ge=1),
    Column("z", "float", "Estimate over its standard error"),
    Column("p", "float", "Two-sided, t with df", ge=0, le=1),
    Column("p_wald", "float", "Two-sided, normal", ge=0, le=1),
    Column("ci_low", "float", "Lower end of the 95 % interval", "z or dF/F"),
    Column("ci_high", "float", "Upper end of the 95 % interval", "z or dF/F"),
)


def _corrected(family: str) -> tuple[Column, Column]:
    return (
        Column("p_corrected", "float", f"p corrected over {family}", ge=0, le=1),
        Column("correction", "str", "Method and family of the correction"),
    )


LMM_COEFFICIENTS = Table(
    "lmm_coefficients",
    "Fixed effects of the mixed models of responses; missing where a fit did not converge",
    (
        _TARGET,
        _EVENT,
        Column("term", "str", "Fixed effect", nullable=False),
        Column("estimate", "float", "Estimate (per unit of the coded factors)", "z or dF/F"),
        *_INFERENCE,
        *_corrected("all targets and terms of an event, the intercepts apart"),
        _CONVERGED,
        _SINGULAR,
        _LOGLIK_GAP,
        _SE_GAP,
        Column("re_formula", "str", "Random effects of the subject"),
        *_COUNTS,
    ),
    key=("target_NM", "event", "term"),
)
LMM_FITS = Table(
    "lmm_fits",
    "The mixed models of responses: one row per target and event",
    (
        _TARGET,
        _EVENT,
        Column("formula", "str", "Fixed effects"),
        Column("re_formula", "str", "Random effects of the subject"),
        Column("contrast_coding", "str", "Coding of contrast", isin=("log", "linear", "rank")),
        Column("contrast_center", "float", "Subtracted from the coded contrast"),
        Column("method", "str", "Likelihood", isin=("REML", "ML")),
        Column("r2_marginal", "float", "Variance explained by fixed effects", ge=0, le=1),
        Column("r2_conditional", "float", "By fixed and random effects", ge=0, le=1),
        Column(
            "residual_variance",
            "float",
            "Variance of the residuals",
            "squared unit of the response",
            ge=0,
        ),
        Column(
            "intercept_variance",
            "float",
            "Variance of intercepts between subjects",
            "squared unit of the response",
        ),
        Column("slope_variance", "float", "Variance of slopes of contrast between subjects"),
        Column("log_likelihood", "float", "Logarithm of the likelihood"),
        _CONVERGED,
        _SINGULAR,
        _LOGLIK_GAP,
        _SE_GAP,
        *_COUNTS,
        Column("n_dropped", "int", "Trials without side, contrast or outcome", ge=0),
        Column(
            "fiber_correlation",
            "float",
            "Correlation of two fibers' noise in a trial; missing where no trial has two",
            ge=0,
            le=1,
        ),
        Column("note", "str", "What differs from what was asked"),
    ),
    key=("target_NM", "event"),
)
MARGINAL_MEANS = Table(
    "marginal_means",
    "Mean response at each level of a factor, the other factors at 0",
    (
        _TARGET,
        _EVENT,
        Column("factor", "str", "Factor", nullable=False, isin=("contrast", "side", "reward")),
        Column("level", "str", "Level; contrasts in percent", nullable=False),
        Column("coded", "float", "Value of the level in the model"),
        Column("mean", "float", "Mean response", "z or dF/F"),
        Column("se", "float", "Standard error", "z or dF/F", ge=0),
        Column("df", "float", "Degrees of freedom by Satterthwaite", ge=1),
        Column("ci_low", "float", "Lower end of the 95 % interval", "z or dF/F"),
        Column("ci_high", "float", "Upper end of the 95 % interval", "z or dF/F"),
    ),
    key=("target_NM", "event", "factor", "level"),
)
CONTRAST_SLOPES = Table(
    "contrast_slopes",
    "Slope of the response on coded contrast, over all trials and by outcome and side",
    (
        _TARGET,
        _EVENT,
        Column("factor", "str", "all, reward or side", nullable=False),
        Column("level", "str", "Level of the factor", nullable=False),
        Column("slope", "float", "Slope", "z or dF/F per unit of coded contrast"),
        *_INFERENCE,
        *_corrected("all targets and levels of one factor at an event"),
    ),
    key=("target_NM", "event", "factor", "level"),
)
INTERACTION_EFFECTS = Table(
    "interaction_effects",
    "Effect of one factor at each level of another",
    (
        _TARGET,
        _EVENT,
        Column("y_factor", "str", "Factor whose effect it is", nullable=False),
        Column("x_factor", "str", "Factor at whose level", nullable=False),
        Column("level", "str", "Level; contrasts in percent", nullable=False),
        Column("coded", "float", "Value of the level in the model"),
        Column("effect", "float", "contra − ipsi, correct − incorrect, or slope", "z or dF/F"),
        *_INFERENCE,
        *_corrected("all targets and levels of two factors at an event"),
    ),
    key=("target_NM", "event", "y_factor", "x_factor", "level"),
)

TABLES = {
    "lmm_coefficients": LMM_COEFFICIENTS,
    "lmm_fits": LMM_FITS,
    "marginal_means": MARGINAL_MEANS,
    "contrast_slopes": CONTRAST_SLOPES,
    "interaction_effects": INTERACTION_EFFECTS,
}
