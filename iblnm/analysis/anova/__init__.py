"""Analysis of variance of the responses."""

from iblnm.analysis.anova.compute import response_anova
from iblnm.analysis.anova.tables import TABLES
from iblnm.analysis.declaration import TRIAL_SETTINGS, Analysis

ANALYSIS = Analysis(
    name="response_anova",
    compute=response_anova,
    folder="responses",
    tables=TABLES,
    settings_read=(
        *TRIAL_SETTINGS,
        "discrimination.anova_min_subjects",
        "discrimination.anova_min_trials",
        "discrimination.correction",
    ),
    methods=("analysis.anova.contrasts", "analysis.anova.repeated"),
)
