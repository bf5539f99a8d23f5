"""Responses, contrast and movement."""

from iblnm.analysis.declaration import TRIAL_SETTINGS, Analysis, Figure
from iblnm.analysis.movement.compute import movement_encoding
from iblnm.analysis.movement.tables import TABLES

ANALYSIS = Analysis(
    name="movement_encoding",
    compute=movement_encoding,
    folder="movement_encoding",
    tables=TABLES,
    settings_read=(
        *TRIAL_SETTINGS,
        "figures.alpha",
        "models.contrast_coding",
        "models.correction",
        "models.min_movement_subjects",
        "models.min_movement_trials",
        "models.min_subjects",
        "models.min_subjects_for_p",
        "models.n_permutations",
        "models.seed",
        "models.timing_null",
        "models.timings",
        "models.wheel_variables",
    ),
    methods=(
        "analysis.movement.animals",
        "analysis.movement.cross_validation",
        "analysis.movement.shifts",
        "analysis.movement.wheel",
        "analysis.stats.mixedlm",
    ),
    figures=(
        Figure(
            "movement_encoding",
            "figures:movement_encoding_figure",
            ("movement_encoding", "movement_tests"),
        ),
        Figure("movement_slopes", "figures:movement_slopes_figure", ("movement_slopes",)),
        Figure("wheel_models", "wheel_figures:wheel_models_figure", ("wheel_models",)),
    ),
)
