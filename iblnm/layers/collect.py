"""Tables over all sessions of the data layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from iblnm.layers import tables
from iblnm.layers.condition_effects import all_effects, population_values, single_unit_values
from iblnm.layers.items import STATUS_COLUMNS
from iblnm.layers.passive import EPOCHS
from iblnm.layers.population import METRICS
from iblnm.schemas.core import Table

if TYPE_CHECKING:
    from iblnm.config import Settings
    from iblnm.storage.store import SessionStore


def collect(store: SessionStore, asset: str, table: Table) -> pd.DataFrame:
    """Rows of all sessions; further columns of an open table are united."""
    rows = store.collect_arrow(asset)
    return table.empty() if rows is None else table.validate(rows.to_pandas())


def sessions_table(
    store: SessionStore, labels: pd.DataFrame, withdrawn: Mapping[str, str] | None
) -> pd.DataFrame:
    """Sessions of the data layers: metadata, status of the 38 items, epochs.

    Parameters
    ----------
    store : SessionStore
    labels : DataFrame
    withdrawn : mapping, optional
        See `iblnm.pipeline.catalog.sessions_table`.
    """
    from iblnm.pipeline import catalog

    sessions = catalog.sessions_table(store, labels, withdrawn)
    status = store.collect("dataset_status")
    epochs = store.collect("passive_epochs")
    sessions = sessions[sessions["eid"].isin(status["eid"])]
    named = [column.name for column in tables.EPOCH_COLUMNS]
    joined = sessions.merge(status[["eid", *STATUS_COLUMNS]], on="eid", how="left").merge(
        epochs[["eid", *named, "condition", "control_recording"]], on="eid", how="left"
    )
    probes = store.collect("histology_status").groupby("eid").size()
    joined["n_probes"] = joined["eid"].map(probes).fillna(0)
    joined["n_tasks"] = [_n_tasks(datasets) for datasets in joined["datasets"]]
    return tables.sessions_schema().validate(joined)


def _n_tasks(datasets: list[str] | None) -> int:
    folders = {str(path).split("/")[0] for path in datasets or []}
    numbered = {name for name in folders if name.startswith("raw_task_data_")}
    old = folders & {"raw_behavior_data", "raw_passive_data"}
    return len(numbered) or len(old)


def insertion_table(store: SessionStore) -> pd.DataFrame:
    """All insertions, with the share of good units of bombcell."""
    insertions = collect(store, "insertions", tables.INSERTIONS)
    bombcell = collect(store, "bombcell", tables.BOMBCELL)
    labeled = bombcell.dropna(subset=["bc_unitType"])
    known = set(zip(labeled["eid"], labeled["probe"], strict=True))
    good = (bombcell["bc_unitType"] == "GOOD").groupby([bombcell["eid"], bombcell["probe"]]).mean()
    shares = {key: float(value) for key, value in good.items() if key in known}
    keys = zip(insertions["eid"], insertions["probe"], strict=True)
    insertions["bombcell_good"] = [shares.get(key) for key in keys]
    ordered = insertions.sort_values(["start_time", "eid", "probe"], na_position="last")
    return tables.INSERTIONS.validate(ordered)


def histology_table(store: SessionStore) -> pd.DataFrame:
    """State of all probes, what is to be done first."""
    table = collect(store, "histology_status", tables.HISTOLOGY_STATUS)
    order = {task: i for i, task in enumerate(tables.TASKS)}
    table["_order"] = table["next_task"].map(order)
    table = table.sort_values(["_order", "subject", "start_time", "probe"], na_position="last")
    return tables.HISTOLOGY_STATUS.validate(table.drop(columns="_order"))


def effects_table(sessions: pd.DataFrame, store: SessionStore, settings: Settings) -> pd.DataFrame:
    """Effects of conditions on the metrics of units and populations, animals as units."""
    limits = settings.layers
    conditions = sessions[["eid", "subject", "condition", "control_recording"]].copy()
    is_control = conditions["control_recording"].fillna(False).astype(bool)
    conditions.loc[is_control, "condition"] = limits.control
    conditions = conditions[["eid", "subject", "condition"]].astype(object)
    units = collect(store, "single_unit", tables.SINGLE_UNIT).merge(conditions, on="eid")
    metrics = sorted(
        name.removesuffix("_pre")
        for name in units
        if name.startswith(EPOCHS) and name.endswith("_pre")
    )
    populations = collect(store, "population", tables.POPULATION).merge(conditions, on="eid")
    known = [name for name in METRICS if name in populations]
    values = [
        single_unit_values(units, metrics, min_units=limits.min_units_effect),
        population_values(populations, known),
    ]
    values = [table for table in values if len(table)]
    if not values:
        return tables.CONDITION_EFFECTS.empty()
    effects = all_effects(
        pd.concat(values, ignore_index=True),
        control=limits.control,
        n_permutations=limits.n_animal_permutations,
        seed=limits.seed,
    )
    return tables.CONDITION_EFFECTS.validate(effects)
