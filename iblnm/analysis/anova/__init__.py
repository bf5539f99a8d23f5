"""Analysis of variance of the responses."""

from iblnm.analysis.anova.compute import response_anova
from iblnm.analysis.anova.tables import TABLES
from iblnm.analysis.declaration import Analysis

ANALYSIS = Analysis(
    name="response_anova",
    compute=response_anova,
    folder="responses",
    tables=TABLES,
)
