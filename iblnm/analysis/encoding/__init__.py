"""Regressions per recording, their components and correlation with behavior."""

from iblnm.analysis.declaration import TRIAL_SETTINGS, Analysis, Figure
from iblnm.analysis.encoding.compute import task_encoding
from iblnm.analysis.encoding.tables import TABLES

_EVENTS = {"stimOn": "stimOn_times", "feedback": "feedback_times"}
_CCA_FIGURES = (
    ("weights", ("cca_weights", "cca_results"), 1),
    ("projections", ("cca_projections", "cca_results"), 1),
    ("targets", ("cca_cross_projections", "cca_weight_similarities", "cca_results"), 2),
)
ANALYSIS = Analysis(
    name="task_encoding",
    compute=task_encoding,
    folder="task_encoding",
    tables=TABLES,
    settings_read=(
        *TRIAL_SETTINGS,
        "encoding",
    ),
    methods=(
        "analysis.encoding.glm",
        "analysis.encoding.cohort_cca",
        "analysis.stats.cca",
    ),
    figures=(
        Figure("glm_coefficients", "figures:glm_coefficients_figure", ("glm_coefficients",)),
        *(
            Figure(
                f"glm_{method}_{event}",
                "figures:components_figure",
                ("glm_component_scores", "glm_component_loadings", "glm_component_tests"),
                n_required=2,
                options={"event": times, "method": method},
            )
            for method in ("pca", "ica")
            for event, times in _EVENTS.items()
        ),
        *(
            Figure(
                f"cca_{name}_{variant}",
                f"cca_figures:cca_{name}_figure",
                tables,
                n_required=n_required,
                options={"variant": variant},
                count_by="cca_figures:cca_counts",
                count_tables=("cca_projections", "glm_coefficients", "cca_results"),
            )
            for variant in ("plain", "elastic_net")
            for name, tables, n_required in _CCA_FIGURES
        ),
    ),
)
