"""Numbers that the rules of the data layers hold against their limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iblnm.errors import DataError
from iblnm.layers.bombcell import MASK_FILE, read_mask
from iblnm.layers.duplicates import compare_masks, duplicates_of_probe
from iblnm.layers.histology import extended_qc, is_resolved, n_picks
from iblnm.layers.probes import (
    SPIKE_CLUSTERS,
    SPIKE_TIMES,
    bombcell_collection,
    choose_sorting,
    probe_names,
    slot_of,
)
from iblnm.layers.spike_sorting import SortedProbe, read_uuids, spikes_faults

if TYPE_CHECKING:
    from iblnm.layers.sources import Sources


def status_counts(sources: Sources) -> dict[str, Any]:
    """What the rules on `dataset_status` need beside the 38 items."""
    insertions = sources.insertions or []
    names = [str(item.get("name")) for item in insertions]
    folders = probe_names(sources.registry)
    unknown = [name for name in names if slot_of(name) is None]
    twice = [name for name, n in Counter(names).items() if n > 1]
    absent = [name for name in names if name not in folders] if folders else []
    # shanks are recorded in the folder of their probe
    absent = [name for name in absent if slot_of(name) not in folders or slot_of(name) == name]
    odd = [
        str(item.get("name"))
        for item in insertions
        if (extended_qc(item).get("alignment_resolved_by") and not is_resolved(item))
        or (is_resolved(item) and n_picks(item) == 0)
    ]
    mixed = [name for name in folders if _mixes_revisions(sources, name)]
    unreadable = [run for run in sources.runs if run.kind == "unreadable"]
    lists = {
        "unknown probes": unknown + twice,
        "without a folder": absent,
        "inconsistent histology": odd,
        "revisions differ": mixed,
        "unreadable settings": [f"{run.raw_collection} ({run.fault})" for run in unreadable],
    }
    note = "; ".join(f"{what}: {', '.join(found)}" for what, found in lists.items() if found)
    return {
        "n_passive_runs": sum(run.kind == "passive" for run in sources.runs),
        "n_unreadable_settings": len(unreadable),
        "n_inconsistent_revisions": len(mixed),
        "n_unknown_probes": len(unknown) + len(twice),
        "n_probes_not_on_disk": len(absent),
        "n_inconsistent_histology": len(odd),
        "note": note or None,
    }


def _mixes_revisions(sources: Sources, probe: str) -> bool:
    """Whether times and clusters that are used by default are of different revisions."""
    sorting = choose_sorting(sources.registry, probe)
    if sorting is None:
        return False
    clusters = sources.registry.find(sorting.collection, SPIKE_CLUSTERS)
    marked = [e for e in sources.registry.all(sorting.collection, SPIKE_TIMES) if e.is_default]
    differs = clusters is not None and clusters.revision != sorting.revision
    return differs or len(marked) > 1


def judge_spikes(
    probes: Sequence[SortedProbe], find: Callable[[str], Path | None]
) -> list[dict[str, Any]]:
    """One row per probe: counts, and what does not fit."""
    seen: dict[str, str] = {}
    rows = []
    for probe in probes:
        row: dict[str, Any] = {
            "eid": probe.eid,
            "probe": probe.probe,
            "pid": probe.pid,
            "sorting": probe.sorting.text,
            "fault": None,
        }
        try:
            row |= _judged(probe, find, seen)
        except DataError as error:
            row["fault"] = error.message
        rows.append(row)
    return rows


def _judged(
    probe: SortedProbe, find: Callable[[str], Path | None], seen: dict[str, str]
) -> dict[str, Any]:
    times, clusters = probe.array(SPIKE_TIMES), probe.array(SPIKE_CLUSTERS)
    uuids = read_uuids(probe)
    faults = spikes_faults(times, clusters, uuids)
    messages = list(faults.messages)
    shared = next((uuid for uuid in uuids if uuid in seen), None)
    if shared is not None:
        messages.append(f"unit {shared} is also in {seen[shared]}")
    seen.update(dict.fromkeys(uuids, probe.probe))
    row: dict[str, Any] = {"n_units": faults.n_clusters, "n_spikes": faults.n_spikes}
    if messages:
        return {**row, "fault": "; ".join(messages)}
    own = duplicates_of_probe(probe, times, clusters)
    row["n_duplicates"] = None if own is None else int(own.sum())
    return row | (_compared(probe, own, times, find) if own is not None else {})


def _compared(
    probe: SortedProbe, own: Any, times: Any, find: Callable[[str], Path | None]
) -> dict[str, Any]:
    folder = bombcell_collection(probe.sorting.sorter, probe.probe)
    try:
        path = find(f"{folder}/{MASK_FILE}")
        if path is None:
            return {}
        mask = read_mask(path, len(own), eid=probe.eid, probe=probe.probe)
        found = compare_masks(own, mask, times)
    except DataError as error:
        return {"mask_fault": error.message}
    return {"mask_n": int(found["other"]), "mask_drift": found["drift"]}
