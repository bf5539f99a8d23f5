"""The analyses over all sessions and their figures as assets, from their declarations."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetIn,
    AssetsDefinition,
    Failure,
    MaterializeResult,
    MetadataValue,
    Output,
    ResourceParam,
    TableRecord,
    asset,
)

from iblnm.analysis import registry
from iblnm.analysis.declaration import Analysis
from iblnm.config import Settings, get_settings
from iblnm.errors import DataError
from iblnm.pipeline.groups import PHOTOMETRY, running_group
from iblnm.pipeline.versions import code_version
from iblnm.storage.store import SessionStore
from iblnm.threads import one_thread
from iblnm_dagster.checks import analysis_check_results, analysis_check_specs
from iblnm_dagster.columns import column_schema
from iblnm_dagster.io_managers import TABLE
from iblnm_dagster.markup import without_markup

if TYPE_CHECKING:
    from iblnm.analysis.result import AnalysisResult

ANALYSIS_GROUP = "cohort"
FIGURE_GROUP = "cohort_figures"
FIGURES = "_figures"
_RESOURCES = {"store": ResourceParam[SessionStore], "settings": ResourceParam[Settings]}
_ACCOUNT_COLUMNS = ["criterion", "n_sessions_removed", "n_sessions", "n_subjects"]
_PREVIEW_BYTES = 30_000
WITHOUT_DATA = "without data"
NOT_DRAWN = "not drawn"


def cohort_assets(settings: Settings | None = None) -> list[AssetsDefinition]:
    """An asset of each analysis and of each folder of figures, as they are declared now.

    The code versions of the analyses are those under the settings, by default this process's.
    """
    if running_group() != PHOTOMETRY:
        from iblnm_dagster.assets import layers

        return list(layers.COHORT)
    current = settings or get_settings()
    return [
        *(_analysis_asset(declared, current) for declared in registry.ANALYSES),
        *(_figure_asset(folder) for folder in registry.figure_folders()),
    ]


def cohort_names() -> list[str]:
    """Names of the analyses and of their figures, as on the page."""
    if running_group() != PHOTOMETRY:
        return [made.key.to_user_string() for made in cohort_assets()]
    figures = [_figures_name(folder) for folder in registry.figure_folders()]
    return [*(declared.name for declared in registry.ANALYSES), *figures]


def _figures_name(folder: str) -> str:
    return f"{folder}{FIGURES}"


def _analysis_asset(declared: Analysis, current: Settings) -> AssetsDefinition:
    def compute(context, **inputs: Any) -> Iterator[Output]:
        try:
            with one_thread():
                result = declared.compute(**inputs)
        except DataError as error:
            raise Failure(
                description=str(error),
                metadata={"error_type": type(error).__name__},
                allow_retries=False,
            ) from error
        yield Output(result, metadata=materialization_metadata(result))
        if declared.checks:
            yield from analysis_check_results(declared, result.parameters, inputs["settings"])

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    compute.__signature__ = inspect.Signature(
        [inspect.Parameter("context", kind)]
        + [inspect.Parameter(name, kind) for name in declared.inputs]
        + [
            inspect.Parameter(name, kind, annotation=_RESOURCES[name])
            for name in declared.resources
        ]
    )
    compute.__annotations__ = {name: _RESOURCES[name] for name in declared.resources}
    main = declared.tables[declared.main]
    return asset(
        name=declared.name,
        description=declared.text,
        code_version=code_version(declared, current),
        ins=_ins(declared),
        deps=list(declared.reads),
        check_specs=analysis_check_specs(declared),
        group_name=ANALYSIS_GROUP,
        io_manager_key="cohort",
        kinds={"parquet"},
        metadata={
            "file": declared.files[declared.main],
            "table": main.name,
            "dagster/column_schema": column_schema(main),
        },
    )(compute)


def _ins(declared: Analysis) -> dict[str, AssetIn]:
    """Inputs that are a further table of another analysis, under the name of the table."""
    found = {name: registry.input_table(name) for name in declared.inputs}
    return {
        name: AssetIn(key=table[0].name, metadata={TABLE: name})
        for name, table in found.items()
        if table is not None and table[0].name != name
    }


def materialization_metadata(result: AnalysisResult) -> dict[str, Any]:
    """What the page shows of a result: counts, headline numbers, selection, notes, choices."""
    metadata: dict[str, Any] = {
        f"{stage} {unit}": number
        for stage, units in result.counts.items()
        for unit, number in units.items()
    }
    metadata |= result.numbers
    metadata |= {f"rows of {stem}": len(table) for stem, table in result.tables.items()}
    metadata["parameters"] = MetadataValue.json(result.parameters)
    if result.notes:
        metadata["notes"] = MetadataValue.md(
            "\n".join(f"* {without_markup(note)}" for note in result.notes)
        )
    if result.removed is not None and len(result.removed):
        rows = result.removed[_ACCOUNT_COLUMNS].astype(object).to_dict("records")
        metadata["selection"] = MetadataValue.table([TableRecord(row) for row in rows])
    return metadata


def _figure_asset(folder: str) -> AssetsDefinition:
    placed = registry.figure_folders()[folder]
    files = [file for figure in placed.values() for file in figure.files]
    # what only counts for a caption need not be new
    makers = dict.fromkeys(registry.producer(file) for file in files)

    @asset(
        name=_figures_name(folder),
        group_name=FIGURE_GROUP,
        kinds={"matplotlib"},
        deps=list(makers),
        description=f"Drawn under figures/{folder}/: {', '.join(placed)}.",
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
        if saved.without_data:
            lines = [
                f"* {name}: {without_markup(reason)}"
                for name, reason in saved.without_data.items()
            ]
            metadata[WITHOUT_DATA] = MetadataValue.md("\n".join(lines))
        if saved.missing:
            lines = [
                f"* {left.name}: {left.reason}; materialize {registry.producer(left.file)} first"
                for left in saved.missing
            ]
            metadata[NOT_DRAWN] = MetadataValue.md("\n".join(lines))
        return MaterializeResult(metadata=metadata | previews)

    return draw
