"""Effects on whole traces, over animals."""

from iblnm.analysis.declaration import Analysis, Figure
from iblnm.analysis.waveforms.compute import waveform_inference
from iblnm.analysis.waveforms.tables import TABLES
from iblnm.constants import FEEDBACK_EVENT, STIMULUS_EVENT

ANALYSIS = Analysis(
    name="waveform_inference",
    compute=waveform_inference,
    folder="responses",
    tables=TABLES,
    settings_read=(
        "cohort.unit",
        "models.correction",
        "models.seed",
    ),
    methods=(
        "analysis.waveforms.regression",
        "analysis.stats.curves",
    ),
    figures=tuple(
        Figure(
            f"waveforms_{event.removesuffix('_times')}",
            "figures:waveforms_figure",
            ("waveforms", "animal_waveforms"),
            options={"event": event},
        )
        for event in (STIMULUS_EVENT, FEEDBACK_EVENT)
    ),
)
