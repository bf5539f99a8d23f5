"""One vector of mean responses per recording."""

from iblnm.analysis.declaration import TRIAL_SETTINGS, Analysis, Figure
from iblnm.analysis.vectors.compute import response_matrix
from iblnm.analysis.vectors.tables import TABLES

ANALYSIS = Analysis(
    name="response_matrix",
    compute=response_matrix,
    folder="responses",
    tables=TABLES,
    settings_read=(
        *TRIAL_SETTINGS,
        "cohort.max_nan_rate",
        "cohort.min_trials_per_cell",
    ),
    methods=("analysis.vectors.matrix",),
    figures=(Figure("response_vectors", "figures:response_vectors_figure", ("response_matrix",)),),
)
