"""Tables, analyses and figures over all sessions of the data layers."""

import pandas as pd
from dagster import AssetExecutionContext, MaterializeResult, MetadataValue, ResourceParam, asset

from iblnm.config import Settings
from iblnm.layers import tables
from iblnm.storage.store import SessionStore
from iblnm_dagster.assets.catalog import catalog_asset

GROUP = "data_layers"
_SESSIONS = tables.sessions_schema()


@catalog_asset(
    file="metadata/sessions.pqt",
    table=_SESSIONS,
    deps=["session", "labels", "dataset_status", "passive_epochs", "histology_status"],
)
def sessions(store: ResourceParam[SessionStore], settings: ResourceParam[Settings]):
    from iblnm.archive.sync_state import open_state
    from iblnm.layers.collect import sessions_table
    from iblnm.pipeline.labels import labels_in_force

    withdrawn = open_state(settings).withdrawn()
    return sessions_table(store, labels_in_force(settings), withdrawn)


@catalog_asset(
    file="metadata/dataset_detail.pqt",
    table=tables.DATASET_DETAIL,
    deps=["dataset_items"],
    group=GROUP,
)
def dataset_detail(store: ResourceParam[SessionStore]):
    from iblnm.layers.collect import collect

    return collect(store, "dataset_items", tables.DATASET_DETAIL)


@catalog_asset(
    file="metadata/insertions.pqt",
    table=tables.INSERTIONS,
    deps=["insertions", "bombcell"],
    group=GROUP,
)
def insertion_table(store: ResourceParam[SessionStore]):
    from iblnm.layers.collect import insertion_table

    return insertion_table(store)


@catalog_asset(
    file="metadata/histology_status.pqt",
    table=tables.HISTOLOGY_STATUS,
    deps=["histology_status"],
    group=GROUP,
)
def histology_table(store: ResourceParam[SessionStore]):
    from iblnm.layers.collect import histology_table

    return histology_table(store)


@catalog_asset(file="data/units.pqt", table=tables.UNITS, deps=["units"], group=GROUP)
def unit_table(store: ResourceParam[SessionStore]):
    from iblnm.layers.collect import collect

    return collect(store, "units", tables.UNITS)


@catalog_asset(file="data/bombcell.pqt", table=tables.BOMBCELL, deps=["bombcell"], group=GROUP)
def bombcell_table(store: ResourceParam[SessionStore]):
    from iblnm.layers.collect import collect

    return collect(store, "bombcell", tables.BOMBCELL)


@catalog_asset(
    file="results/single_unit.pqt", table=tables.SINGLE_UNIT, deps=["single_unit"], group=GROUP
)
def single_unit_table(store: ResourceParam[SessionStore]):
    from iblnm.layers.collect import collect

    return collect(store, "single_unit", tables.SINGLE_UNIT)


@catalog_asset(
    file="results/population.pqt", table=tables.POPULATION, deps=["population"], group=GROUP
)
def population_table(store: ResourceParam[SessionStore]):
    from iblnm.layers.collect import collect

    return collect(store, "population", tables.POPULATION)


@asset(
    group_name=GROUP,
    kinds={"hdf5"},
    deps=["spikes"],
    description="Relative links to the spikes of every unit by uuid, data/spikes.h5.",
)
def spike_index(settings: ResourceParam[Settings]) -> MaterializeResult:
    from iblnm.layers.spike_file import write_spike_index

    path = settings.data_dir / "spikes.h5"
    n_units = write_spike_index(path, (settings.data_dir / "spikes").glob("*.h5"))
    return MaterializeResult(metadata={"path": MetadataValue.path(str(path)), "units": n_units})


@catalog_asset(
    file="results/condition_effects.pqt",
    table=tables.CONDITION_EFFECTS,
    deps=["single_unit", "population"],
    group="cohort",
)
def condition_effects(
    context: AssetExecutionContext,
    sessions: pd.DataFrame,
    store: ResourceParam[SessionStore],
    settings: ResourceParam[Settings],
):
    from iblnm.layers.collect import effects_table

    return effects_table(sessions, store, settings)


@asset(
    group_name="cohort",
    kinds={"matplotlib"},
    description=(
        "Sessions by state of their data, insertions by animal and condition, units by region "
        "and condition, pairs recorded at once; under figures/layers/."
    ),
)
def layers_overview(
    sessions: pd.DataFrame,
    insertion_table: pd.DataFrame,
    unit_table: pd.DataFrame,
    settings: ResourceParam[Settings],
) -> MaterializeResult:
    from iblnm.layers.overview import overview_figures
    from iblnm.vis import save_figure

    folder = settings.figures_dir / "layers"
    for name, figure in overview_figures(sessions, insertion_table, unit_table).items():
        save_figure(figure, folder / name)
    return MaterializeResult(metadata={"folder": MetadataValue.path(str(folder))})


@asset(
    group_name="quality",
    kinds={"html"},
    description=(
        "Sessions by the 38 items of their data with the reason of each, and what is to be done "
        "in histology: figures/layers/datasets.html; it needs no network."
    ),
)
def datasets_page(
    sessions: pd.DataFrame,
    dataset_detail: pd.DataFrame,
    histology_table: pd.DataFrame,
    settings: ResourceParam[Settings],
) -> MaterializeResult:
    from iblnm.layers.page import build_page, save_page

    page = build_page(sessions, dataset_detail, histology_table)
    path = save_page(page, settings.figures_dir / "layers" / "datasets.html")
    return MaterializeResult(
        metadata={"path": MetadataValue.path(str(path)), "bytes": len(page.encode())}
    )


CATALOG = [
    sessions,
    dataset_detail,
    insertion_table,
    histology_table,
    unit_table,
    bombcell_table,
    single_unit_table,
    population_table,
    spike_index,
    datasets_page,
]
COHORT = [condition_effects, layers_overview]
