"""Mean traces of every recording."""

from iblnm.analysis.declaration import SELECTION_SETTINGS, Analysis, Figure
from iblnm.analysis.traces.compute import mean_traces
from iblnm.analysis.traces.tables import TABLES
from iblnm.constants import FEEDBACK_EVENT, MOVEMENT_EVENT, STIMULUS_EVENT

ANALYSIS = Analysis(
    name="mean_traces",
    compute=mean_traces,
    folder="responses",
    tables=TABLES,
    settings_read=(
        *SELECTION_SETTINGS,
        "cohort.min_response_time_s",
        "cohort.probability_left",
        "cohort.unit",
        "response_events",
        "signal.baseline_window",
    ),
    methods=("analysis.traces.means",),
    figures=(
        *(
            Figure(
                f"mean_traces_{event.removesuffix('_times')}",
                "figures:mean_traces_figure",
                ("mean_traces",),
                options={"event": event},
            )
            for event in (STIMULUS_EVENT, FEEDBACK_EVENT, MOVEMENT_EVENT)
        ),
    ),
    reads=("trials", "preprocessed", "responses"),
)
