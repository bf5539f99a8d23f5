"""Settings of single cohort analyses; part of `iblnm.config.Settings`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from iblnm.constants import ANY_SAMPLE, WHOLE_WINDOW


class CohortSettings(BaseModel):
    """Selection of trials and features in cohort analyses; times in seconds."""

    max_cached_sessions: int = 8
    """Sessions that a group holds in memory at once."""
    probability_left: float = 0.5
    """Block whose trials are analyzed, by its probability of a left stimulus."""
    min_response_time_s: float = 0.05
    """Trials that were answered in this time or less are left out."""
    min_coverage: float = Field(default=WHOLE_WINDOW, ge=ANY_SAMPLE, le=WHOLE_WINDOW)
    """Share of the samples of the early window that a magnitude needs; at least one sample.
    0 takes trials of which one sample is left, as earlier analyses did; see docs/cohort.md."""
    response: Literal["early", "kernel"] = "kernel"
    """Magnitude that models and features take: ``kernel``, which has the other events removed
    (`response_kernels`) and needs no mask, where it was made; or ``early``, the masked mean minus
    the baseline."""
    unit: Literal["z", "dff"] = "z"
    """Unit of the responses in all analyses that start from single trials, and in mean traces and
    whole curves: ``z``, by each recording's own standard deviation, or ``dff``, dF/F as a
    fraction."""
    min_whole_share: float = 1 / 3
    """Share of the selected trials of a target and event that should have a magnitude."""
    min_trials_per_cell: int = 5
    """Trials that a mean of one condition needs."""
    max_nan_rate: float = 0.3
    """Share of the recordings that may lack a condition; it is left out where more do."""


class ModelSettings(BaseModel):
    """Mixed models of responses and movements."""

    events: tuple[str, ...] = ("stimOn_times", "feedback_times")
    """Events whose responses are modeled."""
    contrast_coding: Literal["log", "linear", "rank"] = "log"
    """How contrast enters a model: ln(c + 1), percent, or position among the levels."""
    re_formulas: tuple[str, ...] = ("contrast + side + reward ||", "contrast", "1")
    """Random effects of the subject, in order of preference: the first that converges. With ``||``
    they are uncorrelated, and those that the model does not have are left out."""
    fibers: Literal["averaged", "independent"] = "averaged"
    """What two fibers of one session are: ``averaged``, so that a trial counts once, or
    ``independent``, as earlier analyses took them."""
    min_subjects: int = 2
    """Animals that a model needs."""
    min_subjects_for_p: int = 4
    """Animals that a p-value of a mixed model needs; with fewer there are estimates only."""
    loglik_tolerance: float = 0.01
    """Largest difference of the log-likelihoods of two maximizations."""
    se_tolerance: float = 0.01
    """Largest relative difference of their standard errors."""
    timings: tuple[str, ...] = ("reaction_time", "movement_time")
    """Times of the trial that are compared with contrast."""
    min_movement_subjects: int = 3
    """Animals that are needed to leave each of them out in turn."""
    min_movement_trials: int = 20
    """Trials that an animal needs to be left out and predicted."""
    n_permutations: int = 1000
    """Shifts or permutations behind each p-value of the movement models."""
    timing_null: Literal["shifts", "permutations"] = "shifts"
    """What a response without timing is in the movement models: ``shifts`` of a session's trials
    in time, which keep what drifts over it, or ``permutations`` of them (and the slopes' own t),
    as before."""
    seed: int = 0
    """Of the permutations."""
    wheel_variables: tuple[str, ...] = ("peak_velocity", "reaction_time", "movement_time")
    """What the models of the wheel predict."""
    correction: str = "holm"
    """Method of ``statsmodels.stats.multitest.multipletests``."""


class DiscriminationSettings(BaseModel):
    """Similarity and decoding of targets, repeated-measures ANOVA."""

    seed: int = 0
    """Of permutations, bootstrap and inner folds."""
    min_subjects: int = 2
    """Animals that a target needs; one alone can never be predicted from others."""
    n_permutations: int = 500
    """Permutations of the targets' labels behind p-values of decoding."""
    n_similarity_permutations: int = 1000
    """The same of the similarity."""
    n_bootstrap: int = 2000
    """Draws of animals behind the intervals."""
    coverage: float = 0.95
    """Of the intervals."""
    n_inner_folds: int = 5
    """Folds of the other animals in which the penalty is chosen."""
    tolerance: float = 1e-4
    """Largest violation of the optimality conditions of a fit, in units of the penalty."""
    anova_min_subjects: int = 4
    """Animals that an analysis of variance needs."""
    anova_min_trials: int = 10
    """Trials that an animal needs in each condition of it; where there are contrasts in its place,
    that a recording needs of each outcome."""
    correction: str = "holm"
    """Method of ``statsmodels.stats.multitest.multipletests``."""


class KernelSettings(BaseModel):
    """Regression of the continuous signal on all events; times in seconds."""

    window: tuple[float, float] = (-0.5, 2.0)
    """Extent of a kernel from its event."""
    penalties: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    """Of the ridge, in events of a condition; one is chosen for each recording."""
    n_folds: int = 3
    """Folds of the cross-validation that chooses the penalty."""


class EncodingSettings(BaseModel):
    """Regressions per recording, and their canonical correlation with behavior."""

    events: tuple[str, ...] = ("stimOn_times", "feedback_times")
    """Events whose responses are regressed on the task."""
    contrast_coding: Literal["log", "linear", "rank"] = "log"
    """How contrast enters a regression: ln(c + 1), percent, or position among the levels."""
    min_trials: int = 20
    """Trials of one recording and event that a regression needs."""
    n_components: int = 3
    """Components of the regressions' coefficients."""
    min_recordings: int = 10
    """Complete recordings that the canonical correlation of a target needs."""
    psychometric_parameters: tuple[str, ...] = (
        "threshold",
        "lateral_bias",
        "lapse_contra",
        "lapse_ipsi",
    )
    """Features of behavior that the canonical correlation takes."""
    n_permutations: int = 1000
    """Permutations behind each p-value of the canonical correlation."""
    n_bootstrap: int = 1000
    """Draws of animals behind the intervals."""
    confidence: float = 0.95
    """Coverage of the intervals."""
    seed: int = 42
    """Of permutations and bootstrap."""
    penalties: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    """Of the elastic-net variant; one of them is chosen within each permutation."""
    l1_ratio: float = 0.0
    """Share of the absolute penalty in the elastic-net variant."""
    correction: str = "holm"
    """Method of ``statsmodels.stats.multitest.multipletests``."""


class OverviewSettings(BaseModel):
    """Overviews of task performance and signal quality."""

    correction: str = "holm"
    """Method of ``statsmodels.stats.multitest.multipletests`` for comparisons of groups."""
    confidence: float = 0.95
    """Coverage of the intervals."""
    n_components: int = 3
    """Components of the quality metrics."""
    trend_correction: str = "fdr_bh"
    """Method of the same function for trends over sessions."""
    min_trend_subjects: int = 4
    """Animals that a trend over sessions needs."""
    quality_metrics: tuple[str, ...] | None = None
    """Columns of the table of quality; those that are declared for the overview by default."""
