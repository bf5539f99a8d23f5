"""Responses, contrast and movement."""

from iblnm.analysis.declaration import Analysis, Figure
from iblnm.analysis.movement.compute import movement_encoding
from iblnm.analysis.movement.tables import TABLES

ANALYSIS = Analysis(
    name="movement_encoding",
    compute=movement_encoding,
    folder="movement_encoding",
    tables=TABLES,
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
