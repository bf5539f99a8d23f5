"""Tables of movement encoding."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table

_TARGET = Column("target_NM", "str", "Target and neuromodulator", nullable=False)
_TIMING = Column("timing_col", "str", "Time whose log₁₀ is the predictor", nullable=False)
_N_TRIALS = Column("n_trials", "int", "Trials", ge=0)
_N_SUBJECTS = Column("n_subjects", "int", "Subjects", ge=0)


def _corrected(family: str) -> tuple[Column, Column]:
    return (
        Column("p_corrected", "float", f"p corrected over {family}", ge=0, le=1),
        Column("correction", "str", "Method and family of the correction"),
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
        Column(
            "p",
            "float",
            "One-sided, by shifts in time shared by the recordings of a session (or permutations)",
            ge=0,
            le=1,
        ),
        Column("null_median", "float", "Median of the means of permuted data"),
        Column("null_high", "float", "Means above it have p < 0.05, not corrected"),
        *_corrected("the targets, for one timing and predictor"),
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
        Column("timing_coef", "float", "Slope", "z or dF/F per factor of ten"),
        Column("timing_se", "float", "Standard error", "z or dF/F per factor of ten", ge=0),
        Column("timing_df", "float", "Degrees of freedom by Satterthwaite", ge=1),
        Column(
            "timing_p",
            "float",
            "Two-sided, by shifts in time shared by the recordings of a session",
            ge=0,
            le=1,
        ),
        Column(
            "timing_p_model",
            "float",
            "Two-sided, t with df: too small where response and timing drift",
            ge=0,
            le=1,
        ),
        *_corrected("all targets and contrasts, for one timing"),
        Column("ci_low", "float", "Lower end of the 95 % interval", "z or dF/F per factor of ten"),
        Column(
            "ci_high", "float", "Upper end of the 95 % interval", "z or dF/F per factor of ten"
        ),
        Column("side_coef", "float", "contra − ipsi", "z or dF/F"),
        Column("r2_marginal", "float", "Variance explained by fixed effects", ge=0, le=1),
        Column("r2_conditional", "float", "By fixed and random effects", ge=0, le=1),
        Column(
            "intercept_variance",
            "float",
            "Variance between subjects",
            "squared unit of the response",
            ge=0,
        ),
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
        Column(
            "lrt_pvalue",
            "float",
            "p of the likelihood ratio: too small where response and movement drift",
            ge=0,
            le=1,
        ),
        Column("animal_coefficient", "float", "Mean of the animals' own coefficients"),
        Column("animal_ci_low", "float", "Lower end of its 95 % interval, t over animals"),
        Column("animal_ci_high", "float", "Upper end of its 95 % interval"),
        Column("animal_p", "float", "p of it, t over animals", ge=0, le=1),
        Column("n_animals", "int", "Animals with a coefficient of their own", ge=0),
        *_corrected("all targets and contrasts, for one variable; of the test over animals"),
        Column("nm_coefficient", "float", "Change per unit (z) of response, in units of dv"),
        Column("nm_se", "float", "Its standard error", ge=0),
        Column("nm_ci_low", "float", "Lower end of the 95 % interval"),
        Column("nm_ci_high", "float", "Upper end of the 95 % interval"),
    ),
    key=("target_NM", "contrast", "dv"),
)

TABLES = {
    "movement_encoding": MOVEMENT_ENCODING,
    "movement_tests": MOVEMENT_TESTS,
    "movement_slopes": MOVEMENT_SLOPES,
    "wheel_models": WHEEL_MODELS,
}
