"""Responses to all events from one regression per recording."""

from iblnm.analysis.declaration import SELECTION_SETTINGS, Analysis, Figure
from iblnm.analysis.kernels.compute import response_kernels
from iblnm.analysis.kernels.tables import TABLES

ANALYSIS = Analysis(
    name="response_kernels",
    compute=response_kernels,
    folder="responses",
    tables=TABLES,
    settings_read=(
        *SELECTION_SETTINGS,
        "kernels.n_folds",
        "kernels.penalties",
        "kernels.window",
        "signal.baseline_window",
        "signal.early_window",
    ),
    methods=("analysis.kernels.regression", "analysis.kernels.effects"),
    figures=(Figure("response_kernels", "figures:kernels_figure", ("kernels",)),),
    reads=("trials", "preprocessed"),
)
