"""Tables of mixed models: responses, movement encoding, wheel."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_TARGET = Column("target_NM", "str", "Target and neuromodulator", nullable=False)
_EVENT = Column("event", "str", "Event that the response is aligned to", nullable=False)
_CONVERGED = Column("converged", "bool", "Whether two maximisations agree", nullable=False)
_SINGULAR = Column("singular", "bool", "Covariance of the random effects not of full rank")
_LOGLIK_GAP = Column("loglik_gap", "float", "Difference of their log-likelihoods", ge=0)
_SE_GAP = Column("se_gap", "float", "Largest relative difference of their standard errors", ge=0)
_TIMING = Column("timing_col", "str", "Time whose log₁₀ is the predictor", nullable=False)
_N_TRIALS = Column("n_trials", "int", "Trials", ge=0)
_N_SUBJECTS = Column("n_subjects", "int", "Subjects", ge=0)
_COUNTS = (
    _N_TRIALS,
    Column("n_sessions", "int", "Sessions", ge=0),
    Column("n_recordings", "int", "Recordings", ge=0),
    _N_SUBJECTS,
)
_CORRECTED = (
    Column("p_corrected", "float", "p, corrected within its family", ge=0, le=1),
    Column("correction", "str", "Method and family of the correction"),
)
_INFERENCE = (
    Column("se", "float", "Standard error", "z", ge=0),
    Column("df", "float", "Degrees of freedom by Satterthwaite", ge=1),
    Column("z", "float", "Estimate over its standard error"),
    Column("p", "float", "Two-sided, t with df", ge=0, le=1),
    Column("p_wald", "float", "Two-sided, normal", ge=0, le=1),
    Column("ci_low", "float", "Lower end of the 95 % interval", "z"),
    Column("ci_high", "float", "Upper end of the 95 % interval", "z"),
)

LMM_COEFFICIENTS = Table(
    "lmm_coefficients",
    "Fixed effects of the mixed models of responses; missing where a fit did not converge",
    (
        _TARGET,
        _EVENT,
        Column("term", "str", "Fixed effect", nullable=False),
        Column("estimate", "float", "Estimate (per unit of the coded factors)", "z"),
        *_INFERENCE,
        *_CORRECTED,
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
        Column("residual_variance", "float", "Variance of the residuals", "z²", ge=0),
        Column("intercept_variance", "float", "Variance of intercepts between subjects", "z²"),
        Column("slope_variance", "float", "Variance of slopes of contrast between subjects"),
        Column("log_likelihood", "float", "Logarithm of the likelihood"),
        _CONVERGED,
        _SINGULAR,
        _LOGLIK_GAP,
        _SE_GAP,
        *_COUNTS,
        Column("n_dropped", "int", "Trials without side, contrast or outcome", ge=0),
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
        Column("mean", "float", "Mean response", "z"),
        Column("se", "float", "Standard error", "z", ge=0),
        Column("df", "float", "Degrees of freedom by Satterthwaite", ge=1),
        Column("ci_low", "float", "Lower end of the 95 % interval", "z"),
        Column("ci_high", "float", "Upper end of the 95 % interval", "z"),
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
        Column("slope", "float", "Slope", "z per unit of coded contrast"),
        *_INFERENCE,
        *_CORRECTED,
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
        Column("effect", "float", "contra − ipsi, correct − incorrect, or slope", "z"),
        *_INFERENCE,
        *_CORRECTED,
    ),
    key=("target_NM", "event", "y_factor", "x_factor", "level"),
)

MOVEMENT_ENCODING = Table(
    "movement_encoding",
    "Cross-validated R² of each held-out subject, and what contrast and timing add to it",
    (
        _TARGET,
        _TIMING,
        Column("subject", "str", "Held-out mouse", nullable=False),
        Column("n_trials", "int", "Trials of the mouse", ge=0),
        Column("r2_full", "float", "R² of contrast, side and timing", le=1),
        Column("r2_drop_contrast", "float", "R² without contrast", le=1),
        Column("r2_drop_timing", "float", "R² without timing", le=1),
        Column("delta_r2_contrast", "float", "What contrast adds"),
        Column("delta_r2_timing", "float", "What timing adds"),
    ),
    key=("target_NM", "timing_col", "subject"),
)

MOVEMENT_TESTS = Table(
    "movement_tests",
    "Mean ΔR² over subjects with its permutation test",
    (
        _TARGET,
        _TIMING,
        Column("predictor", "str", "Predictor", nullable=False, isin=("contrast", "timing")),
        Column("mean_delta_r2", "float", "Mean over subjects"),
        Column("ci_low", "float", "Lower end of the 95 % interval over subjects"),
        Column("ci_high", "float", "Upper end of the 95 % interval over subjects"),
        Column("p", "float", "One-sided, permutation within recordings", ge=0, le=1),
        *_CORRECTED,
        _N_SUBJECTS,
        _N_TRIALS,
        Column("n_permutations", "int", "Permutations", ge=0),
        Column("seed", "int", "Seed of the permutations"),
    ),
    key=("target_NM", "timing_col", "predictor"),
)

MOVEMENT_SLOPES = Table(
    "movement_slopes",
    "Slope of the response on log₁₀ timing at each contrast",
    (
        _TARGET,
        _TIMING,
        Column("contrast", "float", "Contrast", "%", nullable=False, ge=0, le=100),
        Column("timing_coef", "float", "Slope", "z per factor of ten"),
        Column("timing_se", "float", "Standard error", "z per factor of ten", ge=0),
        Column("timing_df", "float", "Degrees of freedom by Satterthwaite", ge=1),
        Column("timing_p", "float", "Two-sided, t with df", ge=0, le=1),
        *_CORRECTED,
        Column("ci_low", "float", "Lower end of the 95 % interval", "z per factor of ten"),
        Column("ci_high", "float", "Upper end of the 95 % interval", "z per factor of ten"),
        Column("side_coef", "float", "contra − ipsi", "z"),
        Column("r2_marginal", "float", "Variance explained by fixed effects", ge=0, le=1),
        Column("r2_conditional", "float", "By fixed and random effects", ge=0, le=1),
        Column("intercept_variance", "float", "Variance between subjects", "z²", ge=0),
        _N_TRIALS,
        _N_SUBJECTS,
    ),
    key=("target_NM", "timing_col", "contrast"),
)

WHEEL_MODELS = Table(
    "wheel_models",
    "Movement ~ side · choice with and without the response to the stimulus",
    (
        _TARGET,
        Column("contrast", "float", "Contrast", "%", nullable=False, ge=0, le=100),
        Column("dv", "str", "Variable of the movement", nullable=False),
        _N_TRIALS,
        _N_SUBJECTS,
        Column("n_base_effects", "int", "Fixed effects without the response", ge=1),
        Column("r2_base", "float", "Marginal R² without the response", ge=0, le=1),
        Column("r2_full", "float", "Marginal R² with the response", ge=0, le=1),
        Column("delta_r2", "float", "What the response adds"),
        Column("lrt_chi2", "float", "Likelihood ratio, χ² with 1 degree of freedom", ge=0),
        Column("lrt_pvalue", "float", "p of the likelihood ratio", ge=0, le=1),
        *_CORRECTED,
        Column("nm_coefficient", "float", "Change per unit (z) of response, in units of dv"),
        Column("nm_se", "float", "Its standard error", ge=0),
        Column("nm_ci_low", "float", "Lower end of the 95 % interval"),
        Column("nm_ci_high", "float", "Upper end of the 95 % interval"),
    ),
    key=("target_NM", "contrast", "dv"),
)
