"""The early response of every recording, event and trial."""

from iblnm.analysis.declaration import (
    SELECTION_SETTINGS,
    TRIAL_SETTINGS,
    Analysis,
    Check,
    Figure,
)
from iblnm.analysis.remaining import FEW_WHOLE_WINDOWS, evaluate_whole_windows
from iblnm.analysis.responses.compute import response_magnitudes
from iblnm.analysis.responses.corrections import MIXED_CORRECTIONS, evaluate_corrections
from iblnm.analysis.responses.tables import TABLES

ANALYSIS = Analysis(
    name="response_magnitudes",
    compute=response_magnitudes,
    folder="responses",
    tables=TABLES,
    settings_read=(
        *SELECTION_SETTINGS,
        *TRIAL_SETTINGS,
        "cohort.min_coverage",
        "response_events",
        "signal.baseline_window",
        "signal.early_window",
    ),
    methods=("analysis.responses.magnitudes",),
    figures=(
        Figure(
            "example_session",
            "figures:stored_session_figure",
            ("responses",),
            folder="example_session",
        ),
    ),
    checks=(
        Check(
            FEW_WHOLE_WINDOWS,
            "Of every target and event enough trials have all samples of the early window before "
            "the next event.",
            "fraction",
            evaluate_whole_windows,
            remedy="take magnitudes of the regression on all events, which need no whole window "
            "(IBLNM_COHORT__RESPONSE=kernel), or a shorter early window.",
        ),
        Check(
            MIXED_CORRECTIONS,
            "All recordings of a target are corrected alike: z is smaller where there is no "
            "isosbestic band, so a mixture puts a difference of scale between animals.",
            "targets",
            evaluate_corrections,
            remedy="analyze in dF/F (IBLNM_COHORT__UNIT=dff), or leave out the sessions without "
            "isosbestic band by a label.",
        ),
    ),
    reads=("trials", "preprocessed", "responses"),
)
