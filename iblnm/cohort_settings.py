"""Settings of single cohort analyses; part of `iblnm.config.Settings`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class EncodingSettings(BaseModel):
    """Regressions per recording, and their canonical correlation with behavior."""

    events: tuple[str, ...] = ("stimOn_times", "feedback_times")
    contrast_coding: Literal["log", "linear", "rank"] = "log"
    min_trials: int = 20
    """Trials of one recording and event that a regression needs."""
    n_components: int = 3
    min_recordings: int = 10
    """Complete recordings that the canonical correlation of a target needs."""
    psychometric_parameters: tuple[str, ...] = (
        "threshold",
        "lateral_bias",
        "lapse_contra",
        "lapse_ipsi",
    )
    n_permutations: int = 1000
    n_bootstrap: int = 1000
    confidence: float = 0.95
    seed: int = 42
    penalties: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    """Of the elastic-net variant; one of them is chosen within each permutation."""
    l1_ratio: float = 0.0
    correction: str = "holm"
    """Method of ``statsmodels.stats.multitest.multipletests``."""


class OverviewSettings(BaseModel):
    """Overviews of task performance and signal quality."""

    correction: str = "holm"
    confidence: float = 0.95
    n_components: int = 3
    trend_correction: str = "fdr_bh"
    min_trend_subjects: int = 4
    quality_metrics: tuple[str, ...] | None = None
    """Columns of the table of quality; those that are declared for the overview by default."""
