"""Mixed models of the responses."""

from iblnm.analysis.declaration import TRIAL_SETTINGS, Analysis, Figure
from iblnm.analysis.lmm.compute import response_lmm
from iblnm.analysis.lmm.tables import TABLES

ANALYSIS = Analysis(
    name="response_lmm",
    compute=response_lmm,
    folder="responses",
    tables=TABLES,
    settings_read=(
        *TRIAL_SETTINGS,
        "models.contrast_coding",
        "models.correction",
        "models.events",
        "models.fibers",
        "models.loglik_tolerance",
        "models.min_subjects",
        "models.min_subjects_for_p",
        "models.re_formulas",
        "models.se_tolerance",
    ),
    methods=(
        "analysis.lmm.design",
        "analysis.lmm.fibers",
        "analysis.stats.mixedlm",
    ),
    figures=(
        *(
            Figure(name, f"figures:{name}_figure", (name,))
            for name in ("lmm_coefficients", "marginal_means", "contrast_slopes")
        ),
    ),
)
