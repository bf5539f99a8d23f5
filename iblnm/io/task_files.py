"""Which files of a session belong to its task: decided here, and nowhere else.

A day may chain several tasks, and one task may be restarted. Each has a folder of its own
(``alf/task_00``, ``alf/task_01``, ...) and its own clock, so that trials, wheel and camera are
taken from one of them and are never mixed. What a task's raw files (``raw_task_data_00``, or
``raw_behavior_data``) are extracted to has the same number (``alf/task_00``, or ``alf``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from iblnm.archive.datasets import Dataset, session_datasets, without_revision
from iblnm.archive.records import records_of
from iblnm.errors import DataError

TRIALS = "_ibl_trials.table.pqt"
WHEEL_POSITION = "_ibl_wheel.position.npy"
WHEEL_TIMES = "_ibl_wheel.timestamps.npy"
CAMERA_TIMES = "_ibl_leftCamera.times.npy"
RAW_TRIALS = "_iblrig_taskData.raw.jsonable"
RAW_SETTINGS = "_iblrig_taskSettings.raw.json"
RAW_WHEEL = ("_iblrig_encoderPositions.raw.ssv", "_iblrig_encoderEvents.raw.ssv")
RAW_TASK_FILES = (RAW_TRIALS, RAW_SETTINGS, *RAW_WHEEL)
TRIALS_PATTERNS = (f"alf/{TRIALS}", f"alf/task_*/{TRIALS}")
# the whole of a session, or one of its tasks
_COLLECTION = re.compile(r"alf(/task_(?P<number>\d+))?")
_RAW_COLLECTION = re.compile(r"raw_behavior_data|raw_task_data_(?P<number>\d+)")
_NO_CHOICE = ("passive", "habituation", "histology", "spontaneous")
# a table of less than half the size is that of a task that was broken off
_SAME_SIZE = 0.5


@dataclass(frozen=True)
class TaskFiles:
    """The task of a session.

    Parameters
    ----------
    collection : str or None
        Folder of its trials, wheel and camera, where they are or will be extracted to; None if
        the session lists no trials, extracted or raw.
    protocol : str or None
        Its part of the protocol of the session, where that is known.
    reason : str
        Why this one, in words.
    rivals : tuple of str
        Other collections that could have been meant.
    is_raw : bool
        Whether its trials are there as the rig logged them only.
    """

    collection: str | None
    protocol: str | None
    reason: str
    rivals: tuple[str, ...] = ()
    is_raw: bool = False


def protocols_of(text: str | None) -> list[str]:
    """Protocols of the tasks of a session, in their order.

    Examples
    --------
    >>> protocols_of("_iblrig_tasks_biasedChoiceWorld8.1/_iblrig_tasks_passiveChoiceWorld8.1")
    ['_iblrig_tasks_biasedChoiceWorld8.1', '_iblrig_tasks_passiveChoiceWorld8.1']
    """
    return [part.strip() for part in re.split(r"[/,;]", text or "") if part.strip()]


def has_choices(protocol: str) -> bool:
    """Whether the animal chooses in a task."""
    return not any(word in protocol.lower() for word in _NO_CHOICE)


def choose_task(
    datasets: Sequence[Dataset],
    protocol: str | None = None,
    described: Mapping[str, str] | None = None,
) -> TaskFiles:
    """Choose the task of a session.

    A task with choices stands before one without (passive, habituation), and an extracted one
    before one that is not; of several the first with a whole trials table, that has a wheel, and
    then the larger one, is taken.

    Parameters
    ----------
    datasets : sequence of Dataset
    protocol : str, optional
        Of the session: that of each task, separated by slashes.
    described : mapping, optional
        From collection to protocol, as the experiment description says.

    Returns
    -------
    TaskFiles
    """
    used = {found.name: found for found in datasets if found.default}
    parts = protocols_of(protocol)

    def protocol_at(collection: str) -> str | None:
        return _protocol(collection, parts, described or {})

    found = sorted(_collections(used, TRIALS))
    raw = [name for name in raw_trials_collections(used) if has_choices(protocol_at(name) or "")]
    if raw and not any(has_choices(protocol_at(name) or "") for name in found):
        files = {name: used[f"{raw_collection(name)}/{RAW_TRIALS}"] for name in raw}
        wheels = {
            name: sum(f"{raw_collection(name)}/{file}" in used for file in RAW_WHEEL)
            for name in raw
        }
        task = _best(files, wheels, protocol_at)
        return replace(task, reason=f"not extracted yet: {task.reason}", is_raw=True)
    if not found:
        return TaskFiles(None, None, "the session lists no trials")
    files = {name: used[f"{name}/{TRIALS}"] for name in found}
    wheels = {
        name: sum(f"{name}/{file}" in used for file in (WHEEL_POSITION, WHEEL_TIMES))
        for name in found
    }
    return _best(files, wheels, protocol_at)


def _best(
    files: Mapping[str, Dataset],
    wheels: Mapping[str, int],
    protocol_at: Callable[[str], str | None],
) -> TaskFiles:
    """Of the collections with trials, by the file that has them, the one that is used."""
    found = list(files)
    if len(found) == 1:
        return TaskFiles(found[0], protocol_at(found[0]), "the only one with trials")
    with_choices = [name for name in found if has_choices(protocol_at(name) or "")]
    candidates = with_choices or found
    largest = max(_size(files[name]) for name in candidates)

    def standing(collection: str) -> tuple:
        size = _size(files[collection])
        return size >= _SAME_SIZE * largest, wheels[collection], size

    chosen = max(candidates, key=standing)  # the first of equals
    rivals = tuple(
        name for name in candidates if name != chosen and not _is_same(files[name], files[chosen])
    )
    reason = _reason(chosen, found, candidates, rivals)
    return TaskFiles(chosen, protocol_at(chosen), reason, rivals)


def task_of(one: Any, eid: str) -> TaskFiles:
    """The task of a session of an archive; see `choose_task`.

    Raises
    ------
    UnknownSessionError
        If the archive does not know the session.
    """
    datasets = session_datasets(one, eid)
    ends = (f"/{TRIALS}", f"/{RAW_TRIALS}")
    names = [found.name for found in datasets if found.name.endswith(ends)]
    if len(set(names)) < 2:
        return choose_task(datasets)
    return choose_task(datasets, session_protocol(one, eid), described_tasks(one, eid))


def known_collection(session: Mapping[str, Any] | Any) -> str | None:
    """Collection of the task as a row of the sessions table has it; None where it has none."""
    value = session.get("task_collection")
    return value if isinstance(value, str) and value else None


def wheel_collections(datasets: Iterable[str]) -> list[str]:
    """Collections of a list of datasets that have a wheel."""
    return sorted(_collections(map(without_revision, datasets), WHEEL_POSITION))


def raw_collection(collection: str) -> str:
    """Folder of the raw files of a task.

    Examples
    --------
    >>> raw_collection("alf/task_01"), raw_collection("alf")
    ('raw_task_data_01', 'raw_behavior_data')
    """
    number = _COLLECTION.fullmatch(collection)["number"]
    return "raw_behavior_data" if number is None else f"raw_task_data_{number}"


def raw_trials_collections(datasets: Iterable[str]) -> list[str]:
    """Collections that the rig's logs of trials will be extracted to.

    Examples
    --------
    >>> raw_trials_collections(["raw_task_data_01/_iblrig_taskData.raw.jsonable"])
    ['alf/task_01']
    """
    return _raw_collections(datasets, RAW_TRIALS)


def raw_wheel_collections(datasets: Iterable[str]) -> list[str]:
    """Collections that the rig's wheel encoder will be extracted to."""
    return _raw_collections(datasets, RAW_WHEEL[0])


def task_collections(datasets: Iterable[str]) -> list[str]:
    """Collections of a list of datasets that have trials or a wheel.

    Examples
    --------
    >>> task_collections(["alf/task_00/#2024-01-01#/_ibl_trials.table.pqt", "alf/other.npy"])
    ['alf/task_00']
    """
    names = [without_revision(name) for name in datasets]
    files = (TRIALS, WHEEL_POSITION, WHEEL_TIMES)
    return sorted({folder for file in files for folder in _collections(names, file)})


def session_protocol(one: Any, eid: str) -> str | None:
    """Protocol of a session, of its record or else of the tables of ONE."""
    try:
        record = records_of(one).session(eid) or {}
    except DataError:  # the session itself fails of it
        record = {}
    if record.get("task_protocol") or not hasattr(one, "get_details"):
        return record.get("task_protocol")
    return dict(one.get_details(eid)).get("task_protocol")


def described_tasks(one: Any, eid: str) -> dict[str, str]:
    """Collection to protocol, as the experiment description names the tasks."""
    from iblnm.io.regions import known_description

    tasks = known_description(one, eid).get("tasks")
    found = {}
    for task in tasks if isinstance(tasks, list) else []:
        for protocol, details in task.items() if isinstance(task, dict) else ():
            raw = details.get("collection") if isinstance(details, dict) else None
            number = re.fullmatch(r"raw_task_data_(\d+)", str(raw))
            found[f"alf/task_{number[1]}" if number else "alf"] = str(protocol)
    return found


def _collections(used: Iterable[str], file: str) -> set[str]:
    folders = (name.rpartition("/") for name in used)
    return {
        folder for folder, _, name in folders if name == file and _COLLECTION.fullmatch(folder)
    }


def _raw_collections(datasets: Iterable[str], file: str) -> list[str]:
    folders = (without_revision(name).rpartition("/") for name in datasets)
    found = [_RAW_COLLECTION.fullmatch(folder) for folder, _, name in folders if name == file]
    return sorted(
        "alf" if match["number"] is None else f"alf/task_{match['number']}"
        for match in found
        if match is not None
    )


def _protocol(collection: str, parts: Sequence[str], described: Mapping[str, str]) -> str | None:
    if collection in described:
        return described[collection]
    number = _COLLECTION.fullmatch(collection)["number"]
    if number is None:
        return parts[0] if len(parts) == 1 else None
    return parts[int(number)] if int(number) < len(parts) else None


def _size(file: Dataset) -> float:
    return 0.0 if file.size is None else float(file.size)


def _is_same(one: Dataset, other: Dataset) -> bool:
    return one.hash is not None and (one.hash, one.size) == (other.hash, other.size)


def _reason(
    chosen: str, found: Sequence[str], candidates: Sequence[str], rivals: Sequence[str]
) -> str:
    if len(candidates) == 1:
        return f"the only one of {', '.join(found)} whose task has choices"
    if not rivals:
        return f"the tables of {', '.join(candidates)} are the same"
    return (
        f"of {', '.join(candidates)} the one with a whole trials table and a wheel, or the larger"
    )
