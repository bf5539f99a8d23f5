"""Which data of a session exist: 38 columns, and the reason for each.

Everything comes from the registry; nothing is downloaded but the settings of the task runs,
which say which of them are passive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from iblnm.layers import items
from iblnm.layers.histology import is_resolved, n_alignments, n_picks
from iblnm.layers.items import COMPLETE, EXTRACTION_ERROR, RAW_MISSING, STATES
from iblnm.layers.passive import Run, passive_slots
from iblnm.layers.probes import (
    BOMBCELL_METRICS,
    RAW_AP,
    SPIKE_CLUSTERS,
    SPIKE_TIMES,
    SYNC,
    UUIDS,
    Sorting,
    bombcell_collection,
    choose_sorting,
    members_of_slots,
    probe_names,
    raw_file,
    slot_of,
)
from iblnm.layers.registry import Entry, Registry

_WORST = {state: rank for rank, state in enumerate(STATES)}
Cell = dict[str, Any]


def dataset_status(
    eid: str,
    registry: Registry,
    insertions: Sequence[Mapping[str, Any]] | None,
    runs: Sequence[Run],
    *,
    extended_qc: Mapping[str, Any] | None = None,
    image_stacks: bool | None = None,
    stacks_reason: str = "",
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The status of one session and the detail of every item.

    Parameters
    ----------
    eid : str
    registry : Registry
        The session's files.
    insertions : sequence of mapping, or None
        Records of Alyx, in the shape of ``insertions/list``; None if there are no records.
    runs : sequence of Run
        Runs of tasks, see `iblnm.layers.passive.classify_runs`.
    extended_qc : mapping, optional
        Of the session.
    image_stacks : bool, optional
        Whether the animal's image stacks are listed; None if that is not known.
    stacks_reason : str
        Why it is not known, or what was found.

    Returns
    -------
    status : dict
        ``eid`` and the 38 columns of `iblnm.layers.items.STATUS_COLUMNS`.
    detail : list of dict
        One row per item: eid, item, file, collection, revision, version, size, state, reason.
    """
    cells = {
        **_task_cells(registry, runs),
        **_ephys_cells(registry, insertions),
        **_video_cells(registry, extended_qc or {}),
        "image_stacks": _cell(image_stacks, stacks_reason),
        **_tracing_cells(insertions),
    }
    status = {"eid": eid, **{name: cells[name]["value"] for name in items.STATUS_COLUMNS}}
    return status, [_detail_row(eid, name, cells[name]) for name in items.STATUS_COLUMNS]


def _cell(value: Any, reason: str, entry: Entry | None = None, file: str = "") -> Cell:
    return {"value": value, "reason": reason, "entry": entry, "file": file}


def _detail_row(eid: str, name: str, cell: Cell) -> dict[str, Any]:
    entry, value = cell["entry"], cell["value"]
    collection, _, file = cell["file"].rpartition("/")
    return {
        "eid": eid,
        "item": name,
        "file": entry.name if entry else file or None,
        "collection": entry.collection if entry else collection or None,
        "revision": (entry.revision or None) if entry else None,
        "version": (entry.version or None) if entry else None,
        "size": entry.size if entry else None,
        "state": None if value is None else str(value),
        "reason": cell["reason"],
    }


def _state(
    registry: Registry, collection: str, name: str, found: Entry | None, raw: bool, raw_name: str
) -> Cell:
    place = f"{collection}/{name}"
    if found is not None:
        return _cell(COMPLETE, "registered with a file", found, place)
    without = registry.all(collection, name)
    reason = f"{place} is registered without a file" if without else f"{place} is not registered"
    if raw:
        return _cell(EXTRACTION_ERROR, f"{reason}, {raw_name} is there", None, place)
    return _cell(RAW_MISSING, f"{reason}, nor is {raw_name}", None, place)


def _task_cells(registry: Registry, runs: Sequence[Run]) -> dict[str, Cell]:
    cells = {}
    slots = passive_slots(runs)
    for slot in items.PASSIVE_SLOTS:
        run = slots.get(slot)
        for what, name in items.PASSIVE_TABLES.items():
            if run is None:
                cells[f"{slot}_{what}"] = _cell(RAW_MISSING, "no such passive run", None, name)
                continue
            found = registry.find(run.alf_collection, name)
            cells[f"{slot}_{what}"] = _state(
                registry, run.alf_collection, name, found, True, run.raw_collection
            )
    return cells


def _ephys_cells(
    registry: Registry, insertions: Sequence[Mapping[str, Any]] | None
) -> dict[str, Cell]:
    named = [str(item.get("name")) for item in insertions or () if item.get("name")]
    members = members_of_slots([*named, *probe_names(registry)])
    cells: dict[str, Cell] = {}
    for slot in items.SLOTS:
        probes = members.get(slot, [])
        if not probes:
            for what in ("raw_ap", "sync", "spikes", "bombcell"):
                cells[f"{slot}_{what}"] = _cell(RAW_MISSING, "the session has no such probe")
            cells[f"{slot}_sorter"] = _cell("", "the session has no such probe")
            continue
        columns: dict[str, list[Cell]] = {}
        for probe in probes:
            for what, cell in _probe_cells(registry, probe).items():
                columns.setdefault(what, []).append(cell)
        for what, found in columns.items():
            worst = _worst_text(found) if what == "sorter" else _worst_state(found)
            cells[f"{slot}_{what}"] = _of_shanks(probes, found, worst)
    return cells


def _probe_cells(registry: Registry, probe: str) -> dict[str, Cell]:
    folder = f"raw_ephys_data/{probe}"
    ap = raw_file(registry, probe, RAW_AP)
    raw = ap is not None
    raw_name = f"{folder}/*.ap.cbin"
    if raw:
        raw_cell = _cell(COMPLETE, "registered with a file", ap)
    else:
        raw_cell = _cell(RAW_MISSING, f"{raw_name} is not registered", None, raw_name)
    sync = raw_file(registry, probe, SYNC)
    sorting = choose_sorting(registry, probe)
    return {
        "raw_ap": raw_cell,
        "sync": _state(registry, folder, "*.sync.npy", sync, raw, raw_name),
        "sorter": _cell(
            sorting.text if sorting else "",
            "first sorter with spike times" if sorting else "no spike times are registered",
            sorting.times if sorting else None,
        ),
        "spikes": _spikes_cell(registry, probe, sorting, raw, raw_name),
        "bombcell": _bombcell_cell(registry, probe, sorting, raw, raw_name),
    }


def _spikes_cell(
    registry: Registry, probe: str, sorting: Sorting | None, raw: bool, raw_name: str
) -> Cell:
    if sorting is None:
        return _state(registry, f"alf/{probe}", SPIKE_TIMES, None, raw, raw_name)
    revision = sorting.revision
    if registry.find_revision(sorting.collection, SPIKE_CLUSTERS, revision) is None:
        cell = _state(registry, sorting.collection, SPIKE_CLUSTERS, None, raw, raw_name)
        of = f"revision {revision!r} of " if revision else ""
        return {**cell, "reason": f"{of}{cell['reason']}; the spike times are there"}
    if registry.find(sorting.collection, UUIDS) is None:
        return _state(registry, sorting.collection, UUIDS, None, raw, raw_name)
    return _cell(COMPLETE, f"times, clusters and uuids in {sorting.collection}", sorting.times)


def _bombcell_cell(
    registry: Registry, probe: str, sorting: Sorting | None, raw: bool, raw_name: str
) -> Cell:
    if sorting is None:
        cell = _state(registry, "spike_sorters", BOMBCELL_METRICS, None, raw, raw_name)
        return {**cell, "reason": f"no sorting to judge; {cell['reason']}"}
    collection = bombcell_collection(sorting.sorter, probe)
    found = registry.find(collection, BOMBCELL_METRICS)
    return _state(registry, collection, BOMBCELL_METRICS, found, raw, raw_name)


def _worst_state(cells: Sequence[Cell]) -> Cell:
    return max(cells, key=lambda cell: _WORST[cell["value"]])


def _worst_text(cells: Sequence[Cell]) -> Cell:
    for cell in cells:
        if not cell["value"]:
            return cell
    texts = sorted({cell["value"] for cell in cells})
    return {**cells[0], "value": ", ".join(texts)}


def _of_shanks(probes: Sequence[str], cells: Sequence[Cell], worst: Cell) -> Cell:
    if len(probes) == 1:
        return worst
    each = "; ".join(
        f"{probe}: {cell['value'] or 'none'}" for probe, cell in zip(probes, cells, strict=True)
    )
    return {**worst, "reason": f"{worst['reason']} ({each})"}


def _video_cells(registry: Registry, extended_qc: Mapping[str, Any]) -> dict[str, Cell]:
    cells = {}
    for camera in items.CAMERAS:
        part = f"{camera}_camera"
        video = f"_iblrig_{camera}Camera.raw.mp4"
        raw = registry.find("raw_video_data", video)
        cells[f"{part}_raw_video"] = (
            _cell(COMPLETE, "registered with a file", raw)
            if raw
            else _cell(
                RAW_MISSING,
                f"raw_video_data/{video} is not registered",
                None,
                f"raw_video_data/{video}",
            )
        )
        pose = f"_ibl_{camera}Camera.lightningPose.pqt"
        cell = _state(
            registry, "alf", pose, registry.find("alf", pose), raw is not None, "the raw video"
        )
        if cell["value"] != COMPLETE and registry.find("alf", f"_ibl_{camera}Camera.dlc.pqt"):
            cell = {**cell, "reason": f"{cell['reason']}; tracked by DeepLabCut only"}
        cells[f"{part}_pose"] = cell
        for what in items.CAMERA_QC:
            key = f"_video{camera.capitalize()}_{what}"
            value = _verdict(extended_qc.get(key))
            reason = f"{key} of Alyx" if value else f"{key} is not recorded"
            cells[f"{part}_{what}"] = _cell(value, reason)
    return cells


def _verdict(value: Any) -> str:
    """Text of a verdict; verdicts with numbers are lists that begin with it."""
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    return "" if value is None else str(value).replace(" ", "_")


def _tracing_cells(insertions: Sequence[Mapping[str, Any]] | None) -> dict[str, Cell]:
    """The three states of each slot; of shanks or doubles the worst."""
    tests = {
        "traced": lambda record: n_picks(record) > 0,
        "alignment_uploaded": lambda record: n_alignments(record) > 0,
        "alignment_resolved": is_resolved,
    }
    cells = {}
    for slot in items.SLOTS:
        own = [item for item in insertions or () if slot_of(item.get("name")) == slot]
        for what, test in tests.items():
            if not own:
                why = "no records of Alyx" if insertions is None else "Alyx has no such insertion"
                cells[f"{slot}_{what}"] = _cell(None, why)
                continue
            results = {str(item["name"]): bool(test(item)) for item in own}
            each = ", ".join(f"{name}: {'yes' if yes else 'no'}" for name, yes in results.items())
            cells[f"{slot}_{what}"] = _cell(all(results.values()), each)
    return cells
