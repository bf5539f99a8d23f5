"""Tables of task performance over training, and of comparisons between targets."""

from __future__ import annotations

from iblnm.schemas.core import Column, Table
from iblnm.schemas.selection import SESSION_SELECTION

_EID = Column("eid", "str", "Session identifier on Alyx (UUID)", nullable=False)
_SUBJECT = Column("subject", "str", "Mouse name", nullable=False)
_TARGET = Column("target_NM", "str", "Target that the subject is recorded from", nullable=False)
_PROGRESS = (
    Column("session_type", "str", "Task of the session", nullable=False),
    Column("start_time", "str", "Start of the session, ISO 8601"),
    Column("session_index", "int", "Session of the subject, from 1", nullable=False, ge=1),
    Column("stage_index", "int", "Session of the subject in this task", nullable=False, ge=1),
)

LEARNING_CURVES = Table(
    "learning_curves",
    "Performance over training: one row per session and target of its subject",
    (
        _EID,
        _SUBJECT,
        _TARGET,
        *_PROGRESS,
        Column("n_trials", "int", "Trials", nullable=False, ge=0),
        Column("fraction_correct", "float", "Correct among trials with a choice", ge=0, le=1),
        Column("fraction_correct_easy", "float", "The same, contrast ≥ 50 %", ge=0, le=1),
        Column("nogo_fraction", "float", "Trials without a choice", ge=0, le=1),
    ),
    key=("eid", "target_NM"),
)

LEARNING_CURVE_MEANS = Table(
    "learning_curve_means",
    "Mean over animals: one row per target, task, session of the task and measure",
    (
        _TARGET,
        Column("session_type", "str", "Task of the session", nullable=False),
        Column("stage_index", "int", "Session in this task, from 1", nullable=False, ge=1),
        Column("measure", "str", "Measure", nullable=False),
        Column("mean", "float", "Mean over animals"),
        Column("sd", "float", "Standard deviation over animals", ge=0),
        Column("ci_low", "float", "Lower end of the interval over animals"),
        Column("ci_high", "float", "Upper end of the interval over animals"),
        Column("n_subjects", "int", "Animals", nullable=False, ge=0),
        Column("n_sessions", "int", "Sessions", nullable=False, ge=0),
    ),
    key=("target_NM", "session_type", "stage_index", "measure"),
)

SESSIONS_TO_STAGE = Table(
    "sessions_to_stage",
    "Sessions that each animal needed: one row per subject and target",
    (
        _SUBJECT,
        _TARGET,
        Column("n_training", "int", "Training sessions", nullable=False, ge=0),
        Column("n_biased", "int", "Biased sessions", nullable=False, ge=0),
        Column("n_ephys", "int", "Ephys sessions", nullable=False, ge=0),
        Column(
            "sessions_to_biased", "float", "Training sessions before the first biased one", ge=0
        ),
        Column(
            "biased_sessions_to_ephys", "float", "Biased sessions before the first ephys one", ge=0
        ),
    ),
    key=("subject", "target_NM"),
)

PSYCHOMETRIC_TRAJECTORIES = Table(
    "psychometric_trajectories",
    "Psychometric fits over training: one row per session, target of its subject and block",
    (
        _EID,
        _SUBJECT,
        _TARGET,
        *_PROGRESS,
        Column("block", "int", "100 × probability of a left stimulus", "%", nullable=False, ge=0),
        Column("bias", "float", "Bias, positive to the right", "% contrast"),
        Column("threshold", "float", "Threshold", "% contrast", ge=0),
        Column("lapse_left", "float", "Lapse, left stimuli", ge=0, le=1),
        Column("lapse_right", "float", "Lapse, right stimuli", ge=0, le=1),
        Column("r_squared", "float", "R² over contrasts", le=1),
        Column("n_trials", "int", "Trials of the fit", ge=0),
        Column("at_bound", "bool", "A parameter lies on its bound"),
        Column("bias_shift", "float", "Bias at 80 minus bias at 20, of the session", "% contrast"),
    ),
    key=("eid", "target_NM", "block"),
)

TARGET_COMPARISONS = Table(
    "target_comparisons",
    "Differences between targets, one value per animal: a test over all, then each pair",
    (
        Column("measure", "str", "Measure", nullable=False),
        Column("test", "str", "Test", nullable=False, isin=("kruskal_wallis", "mann_whitney")),
        Column("group_a", "str", "Target; 'all' for the test over all", nullable=False),
        Column("group_b", "str", "Target; 'all' for the test over all", nullable=False),
        Column("n_a", "int", "Animals of group a, or of all", nullable=False, ge=0),
        Column("n_b", "int", "Animals of group b, or of all", nullable=False, ge=0),
        Column("median_a", "float", "Median of group a"),
        Column("median_b", "float", "Median of group b"),
        Column("statistic", "float", "H, or U of group a"),
        Column("effect_size", "float", "ε² (all), rank-biserial correlation (pair)"),
        Column("shift", "float", "Hodges–Lehmann difference a − b of a pair"),
        Column("ci_low", "float", "Lower end of the interval of the shift"),
        Column("ci_high", "float", "Upper end of the interval of the shift"),
        Column("p", "float", "p, not corrected", ge=0, le=1),
        Column("p_corrected", "float", "p corrected over the measures, or the pairs", ge=0, le=1),
        Column("correction", "str", "Method of the correction", nullable=False),
        Column("note", "str", "Why a pair is not tested"),
    ),
    key=("measure", "test", "group_a", "group_b"),
)

TABLES = {
    "learning_curves": LEARNING_CURVES,
    "learning_curve_means": LEARNING_CURVE_MEANS,
    "sessions_to_stage": SESSIONS_TO_STAGE,
    "psychometric_trajectories": PSYCHOMETRIC_TRAJECTORIES,
    "target_comparisons": TARGET_COMPARISONS,
    "session_selection": SESSION_SELECTION,
}
