"""The early response of every recording, event and trial."""

from iblnm.analysis.declaration import Analysis, Figure
from iblnm.analysis.responses.compute import response_magnitudes
from iblnm.analysis.responses.tables import TABLES

ANALYSIS = Analysis(
    name="response_magnitudes",
    compute=response_magnitudes,
    folder="responses",
    tables=TABLES,
    figures=(
        Figure(
            "example_session",
            "figures:stored_session_figure",
            ("responses",),
            folder="example_session",
        ),
    ),
    reads=("trials", "responses"),
)
