"""Runs of the passive protocol and the times of their epochs, in seconds of the spike clock."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from iblnm.layers.items import PASSIVE_SLOTS

EPOCHS = ("spontaneous", "rfm", "replay")
SOURCES = ("extracted", "replay_estimated", "estimated", "none")
ADMINISTRATION_SOURCES = ("filler", "recordings", "none")
MAX_SPONTANEOUS_S = 300.0
REPLAY_S = 300.0
_TASK_FOLDER = re.compile(r"raw_task_data_(\d+)")
OLD_PASSIVE_FOLDER = "raw_passive_data"


@dataclass(frozen=True)
class Run:
    """One run of a task within a session.

    Parameters
    ----------
    number : int
    raw_collection, alf_collection : str
        Folders of what the rig wrote and of what was extracted from it.
    kind : {'passive', 'filler', 'other', 'unreadable'}
    protocol : str or None
    start : datetime or None
        When the rig started it, by the rig's own clock.
    rig_version : str
        '' if unknown.
    fault : str
        What could not be read.
    """

    number: int
    raw_collection: str
    alf_collection: str
    kind: str
    protocol: str | None = None
    start: datetime | None = None
    rig_version: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Extracted:
    """What was extracted from a passive run; None for what is absent.

    Parameters
    ----------
    intervals : mapping of str to (start, stop), or None
        Columns of the table of intervals [s].
    replay : (float, float) or None
        First start and last stop of the gabors [s].
    faults : tuple of str
        What could not be used.
    """

    intervals: Mapping[str, tuple[float, float]] | None = None
    replay: tuple[float, float] | None = None
    faults: tuple[str, ...] = ()


def task_folders(collections: Sequence[str]) -> list[tuple[int, str, str]]:
    """Number, raw folder and extracted folder of each run, in order of their numbers.

    Examples
    --------
    >>> task_folders(["alf", "raw_task_data_01", "raw_task_data_00"])
    [(0, 'raw_task_data_00', 'alf/task_00'), (1, 'raw_task_data_01', 'alf/task_01')]
    >>> task_folders(["raw_passive_data", "alf"])
    [(0, 'raw_passive_data', 'alf')]
    """
    numbered = [
        (int(found[1]), name, f"alf/task_{found[1]}")
        for name in set(collections)
        if (found := _TASK_FOLDER.fullmatch(name))
    ]
    if not numbered and OLD_PASSIVE_FOLDER in collections:
        return [(0, OLD_PASSIVE_FOLDER, "alf")]
    return sorted(numbered)


def run_of_settings(
    number: int, raw_collection: str, alf_collection: str, settings: Mapping[str, Any]
) -> Run:
    """A run from the settings that the rig wrote.

    Parameters
    ----------
    number : int
    raw_collection, alf_collection : str
    settings : mapping
        Content of ``_iblrig_taskSettings.raw.json``.
    """
    protocol = settings.get("PYBPOD_PROTOCOL")
    protocol = protocol if isinstance(protocol, str) and protocol.strip() else None
    stamp = settings.get("SESSION_DATETIME") or settings.get("SESSION_START_TIME")
    start = _as_time(stamp)
    faults = []
    if protocol is None and raw_collection != OLD_PASSIVE_FOLDER:
        faults.append("no protocol (PYBPOD_PROTOCOL)")
    if start is None:
        faults.append(f"no date (SESSION_DATETIME is {stamp!r})")
    version = settings.get("IBLRIG_VERSION") or settings.get("IBLRIG_VERSION_TAG") or ""
    return Run(
        number,
        raw_collection,
        alf_collection,
        _kind(protocol, raw_collection),
        protocol,
        start,
        str(version),
        "; ".join(faults),
    )


def unreadable_run(number: int, raw_collection: str, alf_collection: str, fault: str) -> Run:
    """A run without usable settings; the old folder is passive by its name."""
    kind = "passive" if raw_collection == OLD_PASSIVE_FOLDER else "unreadable"
    return Run(number, raw_collection, alf_collection, kind, fault=fault)


def _kind(protocol: str | None, raw_collection: str) -> str:
    if raw_collection == OLD_PASSIVE_FOLDER:
        return "passive"
    if protocol is None:
        return "unreadable"
    text = protocol.lower()
    if "passive" in text:
        return "passive"
    return "filler" if "spontaneous" in text else "other"


def passive_slots(runs: Sequence[Run]) -> dict[str, Run]:
    """The passive runs by slot: the first is ``task_pre``, the second ``task_post``."""
    passive = sorted((run for run in runs if run.kind == "passive"), key=lambda run: run.number)
    return dict(zip(PASSIVE_SLOTS, passive, strict=False))


def passive_epochs(
    eid: str,
    runs: Sequence[Run],
    extracted: Mapping[str, Extracted],
    *,
    administration: datetime | None = None,
) -> dict[str, Any]:
    """Times of all epochs of a session.

    Parameters
    ----------
    eid : str
    runs : sequence of Run
    extracted : mapping of str to Extracted
        By the extracted folder of the run.
    administration : datetime, optional
        When the drug was given, by the rig's clock; used only where the session has no filler.

    Returns
    -------
    dict
        ``{slot}_{epoch}_{start,stop}`` and ``LSD_admin`` [s]; ``{slot}_source``,
        ``LSD_admin_source``; for the rules: ``n_passive_runs``,
        ``{slot}_spontaneous_length`` before clipping [s], ``clock_shift`` (predicted minus
        extracted start of the second run [s]), ``recording_stop`` [s], ``tone_bug`` (versions
        of iblrig that played the tone for the noise), ``note``. What is unknown is None.

    Notes
    -----
    The end of the replay and of the whole protocol in the table of intervals is that of the
    recording, whatever happened: neither is used as an epoch's end.
    """
    slots = passive_slots(runs)
    data = {slot: extracted.get(run.alf_collection, Extracted()) for slot, run in slots.items()}
    reference = next((s for s in slots if data[s].intervals is not None), None)
    row: dict[str, Any] = {"eid": eid}
    for slot in PASSIVE_SLOTS:
        row.update(_slot_epochs(slot, slots, data, reference))
    row.update(_administration(runs, slots, data, reference, administration))
    shift = None
    both = [slot for slot in slots if data[slot].intervals is not None]
    if len(both) == 2:
        predicted = _shifted(slots, data, both[0], slots[both[1]])
        if predicted is not None:
            shift = predicted["spontaneous"][0] - data[both[1]].intervals["spontaneousActivity"][0]
    stops = [d.intervals["passiveProtocol"][1] for d in data.values() if _has_protocol(d)]
    faults = [f"{run.raw_collection}: {run.fault}" for run in runs if run.fault]
    faults += [fault for d in data.values() for fault in d.faults]
    versions = {run.rig_version for run in slots.values() if has_tone_bug(run.rig_version)}
    return {
        **row,
        "n_passive_runs": sum(run.kind == "passive" for run in runs),
        "clock_shift": shift,
        "recording_stop": max(stops, default=None),
        "tone_bug": ", ".join(sorted(versions)) or None,
        "note": "; ".join(faults) or None,
    }


def _has_protocol(data: Extracted) -> bool:
    return data.intervals is not None and "passiveProtocol" in data.intervals


def _slot_epochs(
    slot: str, slots: Mapping[str, Run], data: Mapping[str, Extracted], reference: str | None
) -> dict[str, Any]:
    epochs: dict[str, tuple[float, float]] = {}
    source, length = "none", None
    if slot in slots and data[slot].intervals is not None:
        epochs, source = _own_epochs(data[slot])
        start, stop = data[slot].intervals["spontaneousActivity"]
        length = stop - start
    elif slot in slots and reference is not None:
        shifted = _shifted(slots, data, reference, slots[slot])
        if shifted is not None:
            epochs, source = shifted, "estimated"
    if slot in slots and data[slot].replay is not None:
        # own gabors are better than anything shifted
        epochs = {**epochs, "replay": data[slot].replay}
    row: dict[str, Any] = {}
    for epoch in EPOCHS:
        start, stop = epochs.get(epoch, (None, None))
        row[f"{slot}_{epoch}_start"], row[f"{slot}_{epoch}_stop"] = start, stop
    return {**row, f"{slot}_source": source, f"{slot}_spontaneous_length": length}


def _own_epochs(data: Extracted) -> tuple[dict[str, tuple[float, float]], str]:
    intervals = data.intervals
    start, stop = intervals["spontaneousActivity"]
    epochs = {"spontaneous": (start, min(stop, start + MAX_SPONTANEOUS_S))}
    if "RFM" in intervals:
        epochs["rfm"] = intervals["RFM"]
    if data.replay is not None:
        return {**epochs, "replay": data.replay}, "extracted"
    if "taskReplay" in intervals:
        begin = intervals["taskReplay"][0]
        return {**epochs, "replay": (begin, begin + REPLAY_S)}, "replay_estimated"
    return epochs, "extracted"


def _shifted(
    slots: Mapping[str, Run], data: Mapping[str, Extracted], reference: str, run: Run
) -> dict[str, tuple[float, float]] | None:
    """Epochs of the reference run, moved by the time between the starts of both runs."""
    delta = seconds_between(slots[reference].start, run.start)
    if delta is None:
        return None
    epochs, _ = _own_epochs(data[reference])
    return {name: (start + delta, stop + delta) for name, (start, stop) in epochs.items()}


def _administration(
    runs: Sequence[Run],
    slots: Mapping[str, Run],
    data: Mapping[str, Extracted],
    reference: str | None,
    noted: datetime | None,
) -> dict[str, Any]:
    fillers = [run for run in runs if run.kind == "filler"]
    candidates = [("filler", run.start) for run in sorted(fillers, key=lambda r: r.number)[:1]]
    candidates.append(("recordings", noted))
    for source, moment in candidates:
        delta = None if reference is None else seconds_between(slots[reference].start, moment)
        if delta is not None:
            begin = data[reference].intervals["spontaneousActivity"][0]
            return {"LSD_admin": begin + delta, "LSD_admin_source": source}
    return {"LSD_admin": None, "LSD_admin_source": "none"}


def seconds_between(first: datetime | None, second: datetime | None) -> float | None:
    """Seconds from one moment to another; None if one is unknown or they cannot be compared.

    Examples
    --------
    >>> a, b = datetime(2024, 5, 1, 12, 0), datetime(2024, 5, 1, 12, 30)
    >>> seconds_between(a, b)
    1800.0
    >>> from datetime import timezone
    >>> seconds_between(a, b.replace(tzinfo=timezone.utc)) is None
    True
    """
    if first is None or second is None or (first.tzinfo is None) != (second.tzinfo is None):
        return None
    return (second - first).total_seconds()


def has_tone_bug(version: str) -> bool:
    """Whether this version of iblrig played the tone where the noise was due.

    Examples
    --------
    >>> [has_tone_bug(v) for v in ("8.0.0", "8.27.3", "8.27.4", "7.2.1", "")]
    [True, True, False, False, False]
    """
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return found is not None and (8, 0, 0) <= tuple(map(int, found.groups())) <= (8, 27, 3)


def _as_time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None
