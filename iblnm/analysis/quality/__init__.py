"""How good recordings and videos are."""

from iblnm.analysis.declaration import SELECTION_SETTINGS, Analysis, Figure
from iblnm.analysis.quality.compute import qc_overview
from iblnm.analysis.quality.tables import TABLES

_COUNTS = {
    "count_by": "figures:quality_counts",
    "count_tables": ("qc_values", "performance_table"),
}
ANALYSIS = Analysis(
    name="qc_overview",
    compute=qc_overview,
    folder="qc_overview",
    tables=TABLES,
    settings_read=(
        *SELECTION_SETTINGS,
        "overview",
    ),
    methods=("analysis.quality.overview",),
    figures=(
        Figure("qc_histograms", "figures:qc_histograms_figure", ("qc_values",), **_COUNTS),
        Figure("qc_violins", "figures:qc_violins_figure", ("qc_values",), **_COUNTS),
        Figure(
            "qc_trend",
            "trend_figures:qc_trend_figure",
            ("qc_trend",),
            **_COUNTS | {"count_by": "trend_figures:trend_counts"},
        ),
        Figure(
            "qc_components",
            "trend_figures:qc_components_figure",
            ("qc_scores", "qc_components"),
            n_required=2,
            count_by="figures:quality_counts",
            count_tables=("qc_scores", "performance_table"),
        ),
        Figure("video", "video_figures:video_figure", ("video",), folder="video"),
    ),
)
