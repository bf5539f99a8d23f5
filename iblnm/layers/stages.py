"""The stages of the data layers for one session.

`STAGES` declares them, as `iblnm.pipeline.stages` does those of the photometry; the metadata of
a session are the same stage. A session without the protocol of the settings has no layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.config import Settings
from iblnm.layers import tables
from iblnm.pipeline.rules.values import get
from iblnm.pipeline.stage import Result, Stage
from iblnm.pipeline.stages import STAGES as PHOTOMETRY_STAGES
from iblnm.storage.provenance import Provenance

GROUP = "data_layers"
SPIKES_FOLDER = "data/spikes"


def has_layers(session: pd.Series, settings: Settings) -> bool:
    """Whether a session is one of those that the data layers look at."""
    protocol = get(session, "task_protocol") or ""
    return settings.layers.protocol.lower() in protocol.lower()


def spikes_path(settings: Settings, eid: str) -> Path:
    """File of a session's spikes."""
    from iblnm.storage.names import validate_eid

    return settings.root / SPIKES_FOLDER / f"{validate_eid(eid)}.h5"


def recordings_path(settings: Settings) -> Path:
    """Notes of the experimenters: those of the root, else those beside the archive."""
    own = settings.metadata_dir / "recordings.csv"
    return own if own.is_file() else settings.cache_dir / "recordings.csv"


def _without(session: pd.Series) -> Result:
    protocol = get(session, "task_protocol")
    return Result(None, note=f"the protocol {protocol} is not that of the data layers")


def _status(one: Any, session: pd.Series, settings: Settings) -> tuple[dict, list, Any, Any]:
    from iblnm.layers.dataset_status import dataset_status
    from iblnm.layers.sources import image_stacks, session_sources

    sources = session_sources(one, session.eid)
    stacks = image_stacks(one, settings.data_server, get(session, "lab"), session.subject)
    status, detail = dataset_status(
        session.eid,
        sources.registry,
        sources.insertions,
        sources.runs,
        extended_qc=sources.extended_qc,
        image_stacks=stacks.listed,
        stacks_reason=stacks.reason,
    )
    return status, detail, sources, stacks


def dataset_status_stage(one: Any, session: pd.Series, settings: Settings) -> Result:
    """Which of the 38 items of the session exist, are missing, or failed to be extracted."""
    from iblnm.layers.judging import status_counts
    from iblnm.layers.sources import session_sources

    if not has_layers(session, settings):
        return _without(session)
    session_sources(one, session.eid, refresh=True)
    status, _, sources, _ = _status(one, session, settings)
    row = {**status, **status_counts(sources)}
    table = tables.DATASET_STATUS.conform(pd.DataFrame([row]))
    states = pd.Series(status)
    return Result(
        table,
        Provenance(),
        {state: int((states == state).sum()) for state in tables.ITEM_STATES},
    )


def dataset_items(one: Any, session: pd.Series, settings: Settings) -> Result:
    """Why each item is in its state: file, collection, revision, version, size, reason."""
    if not has_layers(session, settings):
        return _without(session)
    _, detail, _, _ = _status(one, session, settings)
    return Result(tables.DATASET_DETAIL.conform(pd.DataFrame(detail)), Provenance())


def passive_epochs_stage(one: Any, session: pd.Series, settings: Settings) -> Result:
    """Times of the passive epochs and of the administration, in seconds of the spike clock."""
    from iblnm.layers.passive import passive_epochs, passive_slots
    from iblnm.layers.passive_files import (
        administration_moment,
        read_extracted,
        read_recordings,
        recording_of,
    )
    from iblnm.layers.sources import session_sources

    if not has_layers(session, settings):
        return _without(session)
    sources = session_sources(one, session.eid)
    slots = passive_slots(sources.runs)
    extracted = {
        run.alf_collection: read_extracted(run.alf_collection, sources.find_default)
        for run in slots.values()
    }
    noted = recording_of(
        read_recordings(recordings_path(settings)),
        session.subject,
        session.start_time,
        int(session.number),
    )
    first = next(iter(slots.values()), None)
    moment = administration_moment(
        noted["administration_time"], None if first is None else first.start
    )
    row = passive_epochs(session.eid, sources.runs, extracted, administration=moment)
    row |= {"condition": noted["condition"], "control_recording": noted["control"]}
    return Result(
        tables.PASSIVE_EPOCHS.conform(pd.DataFrame([row])),
        Provenance(),
        {"task_pre": row["task_pre_source"], "task_post": row["task_post_source"]},
        row["note"] or "",
    )


def _insertion_rows(one: Any, session: pd.Series, settings: Settings) -> tuple[list, Any, Any]:
    from iblnm.layers.insertions import insertion_rows
    from iblnm.layers.sources import image_stacks, session_sources

    sources = session_sources(one, session.eid)
    stacks = image_stacks(one, settings.data_server, get(session, "lab"), session.subject)
    rows = insertion_rows(
        session.to_dict(), sources.insertions or [], sources.registry, image_stacks=stacks.listed
    )
    return rows, sources, stacks


def insertions_stage(one: Any, session: pd.Series, settings: Settings) -> Result:
    """Probe insertions of the session: verdicts, alignment, sorting."""
    if not has_layers(session, settings):
        return _without(session)
    rows, _, _ = _insertion_rows(one, session, settings)
    if not rows:
        return Result(None, note="Alyx has no insertion of the session")
    table = tables.INSERTIONS.conform(pd.DataFrame(rows))
    return Result(table, Provenance(), {"insertions": len(table)})


def histology_stage(one: Any, session: pd.Series, settings: Settings) -> Result:
    """How far the histology of each probe has come, and what is to be done next."""
    from iblnm.layers.insertions import histology_rows
    from iblnm.layers.probes import members_of_slots, probe_names

    if not has_layers(session, settings):
        return _without(session)
    rows, sources, stacks = _insertion_rows(one, session, settings)
    on_disk = members_of_slots(probe_names(sources.registry))
    expected = [name for names in on_disk.values() for name in names]
    if sources.insertions is None:
        return Result(None, note="no records of Alyx")
    found = histology_rows(rows, stacks.listed, session.to_dict(), expected)
    if not found:
        return Result(None, note="the session has no probe")
    return Result(tables.HISTOLOGY_STATUS.conform(pd.DataFrame(found)), Provenance())


def units_stage(one: Any, session: pd.Series, settings: Settings) -> Result:
    """Units of all probes, with their places and the metrics of the sorting."""
    from iblnm.layers.sources import session_sources
    from iblnm.layers.units import session_units

    if not has_layers(session, settings):
        return _without(session)
    probes = session_sources(one, session.eid).probes()
    if not probes:
        return Result(None, note="no spikes are registered for the session")
    table = tables.UNITS.conform(session_units(probes, session.to_dict()))
    return Result(table, Provenance(), {"units": len(table), "probes": len(probes)})


def spikes_stage(one: Any, session: pd.Series, settings: Settings) -> Result:
    """Spike times by unit, written to data/spikes, and what does not fit of each probe."""
    from iblnm.layers.judging import judge_spikes
    from iblnm.layers.sources import session_sources
    from iblnm.layers.spike_file import write_spikes

    if not has_layers(session, settings):
        return _without(session)
    sources = session_sources(one, session.eid)
    probes = sources.probes()
    if not probes:
        return Result(None, note="no spikes are registered for the session")
    provenance = Provenance(parameters={p.probe: p.sorting.text for p in probes})
    rows = judge_spikes(probes, sources.find_default)
    numbers = {}
    # what does not fit is an outcome; an older file stays as it was
    if all(row["fault"] is None for row in rows):
        written = write_spikes(spikes_path(settings, session.eid), session.eid, probes, provenance)
        numbers = {"units": written.n_units, "spikes": written.n_spikes}
    return Result(tables.SPIKES.conform(pd.DataFrame(rows)), provenance, numbers)


def bombcell_stage(
    one: Any, session: pd.Series, units: pd.DataFrame, settings: Settings
) -> Result:
    """Metrics and labels that bombcell has written for the sorting that is used."""
    from iblnm.layers.bombcell import LABELS_FILE, bombcell_units, read_bombcell
    from iblnm.layers.probes import BOMBCELL_METRICS, bombcell_collection
    from iblnm.layers.sources import session_sources

    sources = session_sources(one, session.eid)
    found = []
    for probe in sources.probes():
        folder = bombcell_collection(probe.sorting.sorter, probe.probe)
        path = sources.find_default(f"{folder}/{BOMBCELL_METRICS}")
        if path is None:
            continue
        labels = sources.find_default(f"{folder}/{LABELS_FILE}")
        table = read_bombcell(path, labels, eid=session.eid, probe=probe.probe)
        found.append(
            bombcell_units(table, units, eid=session.eid, pid=probe.pid, probe=probe.probe)
        )
    if not found:
        return Result(None, note="bombcell has not been run for the session")
    table = tables.BOMBCELL.conform(pd.concat(found, ignore_index=True))
    return Result(table, Provenance(), {"units": len(table)})


def _packed(settings: Settings, eid: str, units: pd.DataFrame) -> tuple[Any, Any, pd.DataFrame]:
    """Times sorted by unit, offsets, and the rows of the units in that order."""
    from iblnm.layers.spike_file import packed_units

    times, offsets, uuids = packed_units(spikes_path(settings, eid))
    return times, offsets, units.set_index("uuid").reindex(uuids).reset_index()


def single_unit_stage(
    session: pd.Series,
    spikes: pd.DataFrame,
    units: pd.DataFrame,
    passive_epochs: pd.DataFrame,
    settings: Settings,
) -> Result:
    """Rate, variability and complexity of every unit before and after."""
    from iblnm.layers.single_unit import epochs_of_row, single_unit_metrics

    times, offsets, rows = _packed(settings, session.eid, units)
    limits = settings.layers
    table = single_unit_metrics(
        times,
        offsets,
        rows["uuid"].tolist(),
        epochs_of_row(passive_epochs.iloc[0]),
        n_permutations=limits.n_permutations,
        seed=limits.seed,
    )
    table.insert(1, "eid", session.eid)
    for name in ("region", "coarse_region"):
        table[name] = rows[name].to_numpy()
    parameters = {"n_permutations": limits.n_permutations, "seed": limits.seed}
    return Result(
        tables.SINGLE_UNIT.conform(table), Provenance(parameters=parameters), {"units": len(table)}
    )


def population_stage(
    session: pd.Series,
    spikes: pd.DataFrame,
    units: pd.DataFrame,
    passive_epochs: pd.DataFrame,
    settings: Settings,
) -> Result:
    """Dimensionality of the session's population and of its regions."""
    from iblnm.layers.population import population_metrics
    from iblnm.layers.single_unit import epochs_of_row

    times, offsets, rows = _packed(settings, session.eid, units)
    epochs = passive_epochs.iloc[0]
    table = population_metrics(
        times,
        offsets,
        [None if pd.isna(name) else name for name in rows["coarse_region"]],
        epochs_of_row(epochs),
        get(epochs, "LSD_admin"),
        recording_stop_s=get(epochs, "recording_stop"),
        seed=settings.layers.seed,
    )
    if table.empty:
        return Result(None, note=f"{len(rows)} units: too few for a population")
    table.insert(0, "eid", session.eid)
    return Result(
        tables.POPULATION.conform(table),
        Provenance(parameters={"seed": settings.layers.seed}),
        {"rows": len(table)},
    )


_SESSION = next(stage for stage in PHOTOMETRY_STAGES if stage.name == "session")
STAGES = (
    _SESSION,
    Stage(
        "dataset_status",
        dataset_status_stage,
        group=GROUP,
        table=tables.DATASET_STATUS,
        folder="metadata/dataset_status",
    ),
    Stage(
        "dataset_items",
        dataset_items,
        group=GROUP,
        table=tables.DATASET_DETAIL,
        folder="metadata/dataset_items",
        after=("dataset_status",),
    ),
    Stage(
        "passive_epochs",
        passive_epochs_stage,
        group=GROUP,
        table=tables.PASSIVE_EPOCHS,
        folder="metadata/passive_epochs",
    ),
    Stage(
        "insertions",
        insertions_stage,
        group=GROUP,
        table=tables.INSERTIONS,
        folder="metadata/insertions",
    ),
    Stage(
        "histology_status",
        histology_stage,
        group=GROUP,
        table=tables.HISTOLOGY_STATUS,
        folder="metadata/histology_status",
    ),
    Stage("units", units_stage, group=GROUP, table=tables.UNITS, folder="data/units"),
    Stage("spikes", spikes_stage, group=GROUP, table=tables.SPIKES, folder="metadata/spikes"),
    Stage(
        "bombcell",
        bombcell_stage,
        group=GROUP,
        table=tables.BOMBCELL,
        folder="data/bombcell",
        after=("spikes",),
    ),
    Stage(
        "single_unit",
        single_unit_stage,
        group=GROUP,
        table=tables.SINGLE_UNIT,
        folder="results/single_unit",
    ),
    Stage(
        "population",
        population_stage,
        group=GROUP,
        table=tables.POPULATION,
        folder="results/population",
    ),
)
