"""Trials and wheel of a task that was not extracted yet, by ibllib's extractors.

The rig's files stay as they are: the extractors see a folder of their own, which links to the
verified ones and is gone afterwards. What they give is on the clock of the rig (Bpod).
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.archive.datasets import dataset_path
from iblnm.errors import (
    DownloadIntegrityError,
    MissingFileError,
    RawTaskError,
    UnreadableFileError,
)
from iblnm.io.task_files import (
    RAW_SETTINGS,
    RAW_TASK_FILES,
    RAW_TRIALS,
    RAW_WHEEL,
    raw_collection,
)

METHOD_VERSION = 1
_FOLDER = "raw_behavior_data"
# what the extractors raise of files that are not as they expect: they check by assertions
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)
# until then ephysChoiceWorld took its trials from a plan that ibllib has, and logged none of it
_PLANNED_UNTIL = "8.0.0"
# states that raise the rig's output, as in FibrePhotometryBaseSync of ibl-photometry
_PULSES = ("trial_start", "reward", "exit_state")
# columns of the table in the order of ibllib
_ORDER = (
    "goCue_times",
    "response_times",
    "choice",
    "stimOn_times",
    "contrastLeft",
    "contrastRight",
    "feedback_times",
    "feedbackType",
    "rewardVolume",
    "probabilityLeft",
    "firstMovement_times",
)
_SAME_TIME_S = 1e-3


@dataclass(frozen=True)
class RawTask:
    """What was extracted from the raw files of a task; times in s on the clock of the rig.

    Parameters
    ----------
    trials : DataFrame
        Columns of ``_ibl_trials.table.pqt``.
    path : Path
        The rig's log of trials.
    wheel_times, wheel_position : ndarray (n,) or None
        s, rad; None where the encoder's files are missing or cannot be used.
    wheel_fault : str
        Why there is no wheel; empty where there is one.
    note : str
        Columns that could not be extracted, and why.
    events : ndarray
        Times at which the rig gives a pulse to the photometry: start of each trial, of the
        reward and of the exit state, sorted.
    """

    trials: pd.DataFrame
    path: Path
    wheel_times: np.ndarray | None
    wheel_position: np.ndarray | None
    wheel_fault: str
    note: str
    events: np.ndarray


def load_raw_task(one: Any, eid: str, collection: str) -> RawTask:
    """Extract trials and wheel of a task from its raw files.

    Parameters
    ----------
    one : ONE
    eid : str
    collection : str
        Where they will be extracted to, as ``alf/task_00``.

    Returns
    -------
    RawTask
        The last one is kept, for the next stage of the session; it must not be changed.

    Raises
    ------
    MissingFileError
        If the session lists no log of trials.
    RawTaskError
        If the task is not known to ibllib, the log cannot be extracted, or a file is not on
        disk or not as the archive recorded it. Files of the encoder cost the wheel alone.
    """
    folder = raw_collection(collection)
    paths, faults = {}, []
    for name in RAW_TASK_FILES:
        try:
            path = dataset_path(one, eid, f"{folder}/{name}")
        except (MissingFileError, UnreadableFileError, DownloadIntegrityError) as error:
            if name not in RAW_WHEEL:
                raise RawTaskError(error.message, eid=eid, path=error.path) from error
            faults.append(f"{name}: {error.message}")
            continue
        if path is not None:
            paths[name] = path
    if RAW_TRIALS not in paths:
        raise MissingFileError(
            f"the session lists neither a trials table in {collection} nor a log of trials in "
            f"{folder}",
            eid=eid,
        )
    try:
        task = extract_task(paths)
    except RawTaskError as error:
        raise RawTaskError(error.message, eid=eid, path=error.path) from error
    if not faults:
        return task
    fault = "; ".join(faults)
    note = task.note.replace(task.wheel_fault, fault)
    return replace(task, wheel_fault=fault, note=note)


def extract_task(paths: Mapping[str, Path]) -> RawTask:
    """Extract trials and wheel from raw files; see `load_raw_task`.

    Parameters
    ----------
    paths : mapping
        From the name of the dataset to the file; the log of trials is needed, settings and
        encoder are not.
    """
    stamps = {name: path.stat() for name, path in paths.items()}
    return _extract(
        tuple(
            (name, str(path), stamps[name].st_mtime_ns, stamps[name].st_size)
            for name, path in sorted(paths.items())
        )
    )


def trials_clock(one: Any, eid: str) -> str:
    """Clock that times of the rig are on: ``session``, or ``bpod`` where that is another.

    The session's clock is the rig's own, unless the experiment description names another
    device (a DAQ) that all others are synchronized to.
    """
    from iblnm.io.regions import known_description

    main = known_description(one, eid).get("sync")
    return "session" if not isinstance(main, dict) or not main or "bpod" in main else "bpod"


def same_clock(extracted: np.ndarray, raw: np.ndarray) -> bool:
    """Whether extracted starts of trials [s] are on the clock of the rig's own."""
    n = min(len(extracted), len(raw))
    if not n or abs(len(extracted) - len(raw)) > 1:
        return False
    return bool(np.nanmax(np.abs(extracted[:n] - raw[:n]), initial=0.0) <= _SAME_TIME_S)


@lru_cache(maxsize=1)
def _extract(files: tuple[tuple[str, str, int, int], ...]) -> RawTask:
    paths = {name: Path(path) for name, path, *_ in files}
    import ibllib  # sets the level of its messages

    logger = logging.getLogger(ibllib.__name__)
    level = logger.level
    # they name files of a folder that is gone; what is missing the result tells
    logger.setLevel(logging.CRITICAL)
    try:
        with _own_folder(paths) as root:
            return _extract_folder(root, paths)
    finally:
        logger.setLevel(level)


@contextmanager
def _own_folder(paths: Mapping[str, Path]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="iblnm_task_") as name:
        folder = Path(name, _FOLDER)
        folder.mkdir()
        for file, path in paths.items():
            try:
                (folder / file).symlink_to(path.resolve())
            except OSError:  # not allowed on this system
                shutil.copyfile(path, folder / file)
        yield Path(name)


def _extract_folder(root: Path, paths: Mapping[str, Path]) -> RawTask:
    import ibllib.exceptions
    import ibllib.io.raw_data_loaders as loaders
    from ibllib.io.extractors.training_wheel import Wheel

    log = paths[RAW_TRIALS]
    try:
        trials = loaders.load_data(root)
    except _FAULTS as error:
        raise RawTaskError(f"no readable log of trials: {_words(error)}", path=log) from error
    if not trials:
        raise RawTaskError("0 trials; at least 1 is expected", path=log)
    try:
        settings = loaders.load_settings(root) or {}
    except _FAULTS as error:
        path = paths[RAW_SETTINGS]
        raise RawTaskError(f"no readable settings: {_words(error)}", path=path) from error

    def extract(kind: Any) -> dict[str, Any]:
        """Values of an extractor by their names."""
        values, _ = kind(root).extract(bpod_trials=trials, settings=dict(settings), save=False)
        names = kind.var_names
        if not isinstance(names, tuple):
            return {names: values}
        return dict(zip(names, values, strict=True))

    columns, notes = _columns(extract, settings, len(trials), log)
    wheel, fault = {}, ""
    missing = [name for name in RAW_WHEEL if name not in paths]
    if missing:
        fault = f"the session does not list {', '.join(missing)}"
    else:
        try:
            wheel = extract(Wheel)
        except (*_FAULTS, ibllib.exceptions.SyncBpodWheelException) as error:
            fault = f"the wheel cannot be extracted: {_words(error)}"
    if fault:
        notes.append(f"firstMovement_times: {fault}")
    nothing = np.full(len(trials), np.nan)
    columns["firstMovement_times"] = wheel.get("firstMovement_times", nothing)
    return RawTask(
        trials=_table(columns, len(trials), log),
        path=log,
        wheel_times=wheel.get("wheel_timestamps"),
        wheel_position=wheel.get("wheel_position"),
        wheel_fault=fault,
        note="; ".join(notes),
        events=_pulses(trials, log),
    )


def _columns(
    extract: Callable[[Any], dict[str, Any]], settings: Mapping[str, Any], n: int, log: Path
) -> tuple[dict[str, Any], list[str]]:
    """The columns of the table that do not need the wheel, and what is missing of them."""
    from ibllib.io.extractors import training_trials as of_trials

    needed = (
        of_trials.Intervals,
        of_trials.ResponseTimes,
        of_trials.Choice,
        of_trials.FeedbackTimes,
        of_trials.FeedbackType,
        *_stimulus_extractors(settings, log),
    )
    columns: dict[str, Any] = {}
    for kind in needed:
        try:
            columns |= extract(kind)
        except _FAULTS as error:
            raise RawTaskError(
                f"{kind.__name__} of {n} trials cannot be extracted: {_words(error)}", path=log
            ) from error
    notes = []
    for name, kinds in {
        "goCue_times": (of_trials.GoCueTimes,),
        "rewardVolume": (of_trials.RewardVolume,),
        # the first needs states that the rigs before version 5 do not log
        "stimOn_times": (of_trials.StimOnOffFreezeTimes, of_trials.StimOnTimes_deprecated),
    }.items():
        columns[name], fault = _first_known(extract, kinds, name, n)
        if fault:
            notes.append(f"{name}: {fault}")
    return columns, notes


def _first_known(
    extract: Callable[[Any], dict[str, Any]], kinds: tuple[Any, ...], name: str, n: int
) -> tuple[np.ndarray, str]:
    """Values of the first extractor that finds any, else missing ones with what went wrong."""
    fault = ""
    for kind in kinds:
        try:
            found = extract(kind)
        except _FAULTS as error:
            fault = fault or _words(error)
            continue
        values = np.asarray(found.get(name, found.get(None)), dtype=np.float64)
        if len(values) == n and np.isfinite(values).any():
            return values, ""
    return np.full(n, np.nan), fault


def _stimulus_extractors(settings: Mapping[str, Any], log: Path) -> tuple[Any, ...]:
    """Extractors of contrasts and probability, which differ between the tasks."""
    from ibllib.io.extractors import base, biased_trials, training_trials
    from packaging.version import InvalidVersion, parse

    protocol = settings.get("PYBPOD_PROTOCOL")
    if not protocol:
        raise RawTaskError("the rig's settings name no protocol (PYBPOD_PROTOCOL)", path=log)
    try:
        task = base.protocol2extractor(protocol)
    except ValueError as error:
        raise RawTaskError(f"ibllib knows no task of protocol {protocol}", path=log) from error
    if task == "TrainingTrials":
        return training_trials.ContrastLR, training_trials.ProbabilityLeft
    if task == "BiasedTrials":
        return biased_trials.ContrastLR, training_trials.ProbabilityLeft
    if task != "EphysTrials":
        raise RawTaskError(
            f"protocol {protocol} ({task} of ibllib) has no trials with choices", path=log
        )
    try:
        is_planned = parse(settings.get("IBLRIG_VERSION") or "100") < parse(_PLANNED_UNTIL)
    except InvalidVersion:
        is_planned = False
    if is_planned:
        return (biased_trials.ProbaContrasts,)
    return biased_trials.ContrastLR, training_trials.ProbabilityLeft


def _table(columns: Mapping[str, Any], n: int, log: Path) -> pd.DataFrame:
    intervals = np.asarray(columns["intervals"], dtype=np.float64).reshape(-1, 2)
    table = {"intervals_0": intervals[:, 0], "intervals_1": intervals[:, 1]}
    table |= {name: np.asarray(columns[name]) for name in _ORDER}
    wrong = {name: len(values) for name, values in table.items() if len(values) != n}
    if wrong:
        found = ", ".join(f"{m} of {name}" for name, m in wrong.items())
        raise RawTaskError(f"{n} trials, but {found} were extracted", path=log)
    return pd.DataFrame(table)


def _pulses(trials: list[dict[str, Any]], log: Path) -> np.ndarray:
    try:
        states = [trial["behavior_data"]["States timestamps"] for trial in trials]
        times = [state[name][0][0] for state in states for name in _PULSES if name in state]
        events = np.asarray(times, dtype=np.float64)
    except _FAULTS as error:
        raise RawTaskError(f"states of the trials: {_words(error)}", path=log) from error
    return np.unique(events[np.isfinite(events)])


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
