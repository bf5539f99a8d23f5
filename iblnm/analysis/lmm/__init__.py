"""Mixed models of the responses."""

from iblnm.analysis.declaration import Analysis, Figure
from iblnm.analysis.lmm.compute import response_lmm
from iblnm.analysis.lmm.tables import TABLES

ANALYSIS = Analysis(
    name="response_lmm",
    compute=response_lmm,
    folder="responses",
    tables=TABLES,
    figures=(
        *(
            Figure(name, f"figures:{name}_figure", (name,))
            for name in ("lmm_coefficients", "marginal_means", "contrast_slopes")
        ),
    ),
)
