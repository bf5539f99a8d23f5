"""The figures of the cohort: one asset per folder below ``figures/``."""

from __future__ import annotations

from dagster import AssetsDefinition, MaterializeResult, MetadataValue, ResourceParam, asset

from iblnm.config import Settings

GROUP = "cohort_figures"
# folder below figures/: what it shows, and the assets whose tables are drawn
FOLDERS = {
    "responses": (
        "Mean traces, response vectors, similarity, decoding and mixed models",
        [
            "mean_traces",
            "response_similarity",
            "target_decoding",
            "response_lmm",
        ],
    ),
    "example_session": (
        "One session: raw bands, preprocessed signal, every trial",
        ["response_magnitudes"],
    ),
    "movement_encoding": (
        "What contrast and timing add, slopes on timing, models of the wheel",
        ["movement_encoding"],
    ),
    "task_encoding": (
        "Coefficients of the recordings, their components, correlation with behaviour",
        ["task_encoding"],
    ),
    "task_performance": (
        "Learning curves, psychometric curves and their change, sessions to each stage",
        ["task_performance", "response_magnitudes"],
    ),
    "qc_overview": (
        "Distributions of the quality metrics, their components and trend",
        ["qc_overview"],
    ),
    "video": ("Quality of the videos", ["video"]),
}
_PREVIEW_BYTES = 30_000


def _figure_asset(folder: str, text: str, deps: list[str]) -> AssetsDefinition:
    @asset(
        name=f"{folder}_figures",
        group_name=GROUP,
        kinds={"matplotlib"},
        deps=deps,
        description=f"{text}, under figures/{folder}/.",
    )
    def draw(settings: ResourceParam[Settings]) -> MaterializeResult:
        from iblnm.vis import thumbnail
        from iblnm.vis.cohort_figures import save_cohort_figures

        saved = save_cohort_figures(folder, settings)
        previews = {
            name: MetadataValue.md(f"![{name}]({thumbnail(figure, max_bytes=_PREVIEW_BYTES)})")
            for name, (figure, _) in saved.items()
        }
        path = MetadataValue.path(str(settings.figures_dir / folder))
        return MaterializeResult(metadata={"path": path, "figures": len(saved), **previews})

    return draw


ASSETS = [_figure_asset(folder, *about) for folder, about in FOLDERS.items()]
