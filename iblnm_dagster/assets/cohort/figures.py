"""The figures of the cohort: one asset per folder below ``figures/``."""

from __future__ import annotations

from pathlib import PurePosixPath

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
# which asset writes the files that the figures need
MADE_BY = {
    "responses/mean_traces": "mean_traces",
    "responses/response_matrix": "response_matrix",
    "responses/responses": "response_magnitudes",
    "responses/similarity_matrix": "response_similarity",
    "responses/similarity_pairs": "response_similarity",
    "responses/target_similarity": "response_similarity",
    "responses/decoding_predictions": "target_decoding",
    "responses/decoding_coefficients": "target_decoding",
    "responses/decoding_contributions": "target_decoding",
    "responses/decoding_null": "target_decoding",
    "responses/lmm_coefficients": "response_lmm",
    "responses/marginal_means": "response_lmm",
    "responses/contrast_slopes": "response_lmm",
}
_PREVIEW_BYTES = 30_000


def producer(file: str) -> str:
    """The asset that writes a file of results or metadata.

    In folders other than ``responses`` one asset writes all, and has the folder's name;
    a file of ``metadata/`` has that of its asset.
    """
    path = PurePosixPath(file)
    if path.parts[0] == "metadata":
        return path.stem
    return MADE_BY.get(f"{path.parent.name}/{path.stem}", path.parent.name)


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
        metadata = {
            "path": MetadataValue.path(str(settings.figures_dir / folder)),
            "figures": len(saved) - len(saved.without_data),
            "figures without data": len(saved.without_data),
        }
        if saved.missing:
            lines = [
                f"* {left.name}: {left.reason}; materialize {producer(left.file)} first"
                for left in saved.missing
            ]
            metadata["not drawn"] = MetadataValue.md("\n".join(lines))
        return MaterializeResult(metadata=metadata | previews)

    return draw


ASSETS = [_figure_asset(folder, *about) for folder, about in FOLDERS.items()]
