"""Figures over all sessions: the page of outcomes, and how much data there is."""

import pandas as pd
from dagster import AssetExecutionContext, MaterializeResult, MetadataValue, ResourceParam, asset

from iblnm.analysis.declaration import CATALOG_FILES
from iblnm.config import Settings
from iblnm_dagster.assets.quality import MATRIX_FILE
from iblnm_dagster.migration import outcomes_of
from iblnm_dagster.page_links import page_url, runs_of_problems

_SESSIONS = CATALOG_FILES["sessions"]


@asset(
    group_name="quality",
    kinds={"html"},
    description=(
        "Every check of every session, and what could not be made, figures/qc/dashboard.html: "
        "open it with a browser; it needs no network."
    ),
)
def qc_dashboard(
    context: AssetExecutionContext,
    qc_matrix: pd.DataFrame,
    sessions: pd.DataFrame,
    errors: pd.DataFrame,
    settings: ResourceParam[Settings],
) -> MaterializeResult:
    from iblnm.analysis.staleness import figure_origin
    from iblnm.pipeline.rules import RULES
    from iblnm.pipeline.staleness import find_stale
    from iblnm.viewer.report import reported_sessions
    from iblnm.vis import build_dashboard, outcome_matrix_figure, save_dashboard, thumbnail

    page = build_dashboard(
        qc_matrix,
        sessions,
        RULES,
        dagster_url=page_url(settings),
        errors=errors,
        reports=reported_sessions(settings.root),
        runs=runs_of_problems(context.instance, qc_matrix),
        stale=find_stale(outcomes_of(context.instance, settings), settings, sessions=sessions),
        settings=settings,
        origin=figure_origin(settings, (MATRIX_FILE, CATALOG_FILES["errors"], _SESSIONS)),
    )
    path = save_dashboard(page, settings.figures_dir / "qc" / "dashboard.html")
    return MaterializeResult(
        metadata={
            "path": MetadataValue.path(str(path)),
            "sessions": len(sessions),
            "preview": _image(thumbnail(outcome_matrix_figure(qc_matrix)), "outcomes"),
        }
    )


@asset(
    group_name="quality",
    kinds={"matplotlib"},
    description=(
        "Sessions at each stage (all, raw present, complete, passing, video ready) and complete "
        "recordings per target and per mouse, under figures/dataset_overview/."
    ),
)
def dataset_overview(
    qc_matrix: pd.DataFrame, sessions: pd.DataFrame, settings: ResourceParam[Settings]
) -> MaterializeResult:
    from iblnm.analysis.staleness import figure_origin
    from iblnm.vis import overview_figures, save_figure, thumbnail

    folder = settings.figures_dir / "dataset_overview"
    figures = overview_figures(sessions, qc_matrix, settings)
    origin = figure_origin(settings, (MATRIX_FILE, _SESSIONS))
    for name, figure in figures.items():
        save_figure(figure, folder / name, origin=origin)
    return MaterializeResult(
        metadata={
            "path": MetadataValue.path(str(folder)),
            "figures": len(figures),
            "preview": _image(thumbnail(figures["recordings_per_target"]), "recordings"),
        }
    )


def _image(address: str, name: str) -> MetadataValue:
    return MetadataValue.md(f"![{name}]({address})")


ASSETS = [qc_dashboard, dataset_overview]
