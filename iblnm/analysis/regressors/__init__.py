"""Task and movement variables of every trial."""

from iblnm.analysis.declaration import SELECTION_SETTINGS, Analysis
from iblnm.analysis.regressors.compute import trial_regressors
from iblnm.analysis.regressors.tables import TABLES

ANALYSIS = Analysis(
    name="trial_regressors",
    compute=trial_regressors,
    folder="responses",
    tables=TABLES,
    settings_read=(*SELECTION_SETTINGS,),
    methods=("analysis.regressors.session",),
    reads=("trials", "wheel_velocity"),
)
