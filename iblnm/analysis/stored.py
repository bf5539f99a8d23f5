"""Reading the stored responses of many recordings, one session in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.errors import DataError
from iblnm.storage.names import validate_name
from iblnm.task.completion import complete_trials

if TYPE_CHECKING:
    import xarray as xr

NO_SCALE = "its signal has no stored standard deviation, so dF/F is not known"


@dataclass
class Skipped:
    """What could not be read: reasons by session, and by session and fiber."""

    sessions: dict[str, str] = field(default_factory=dict)
    recordings: dict[tuple[str, int], str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """In words, one line per reason."""
        reasons: dict[str, list[str]] = {}
        for eid, reason in self.sessions.items():
            reasons.setdefault(reason, []).append(eid)
        for (eid, fiber), reason in self.recordings.items():
            reasons.setdefault(reason, []).append(f"{eid} fiber {fiber}")
        return [
            f"{len(names)} left out, {reason}: {', '.join(names[:3])}"
            + (", ..." if len(names) > 3 else "")
            for reason, names in reasons.items()
        ]


def read_session(h5_dir: Path, eid: str, *groups: str) -> dict[str, Any]:
    """Groups of a session file; a group, or a file, that is not there is left out.

    Raises
    ------
    UnreadableFileError
        If the file is damaged.
    """
    from iblnm.storage.h5 import read_groups

    path = h5_dir / f"{validate_name(eid)}.h5"
    if not path.exists():
        return {}
    data = read_groups(path, groups)
    if "trials" in data:
        data["trials"] = complete_trials(data["trials"])
    return data


def iterate_sessions(
    recordings: pd.DataFrame,
    h5_dir: Path,
    *groups: str,
    skipped: Skipped,
    optional: tuple[str, ...] = (),
) -> Iterator[tuple[pd.DataFrame, dict[str, Any]]]:
    """Sessions of a table of recordings, with groups of their files.

    Parameters
    ----------
    recordings : DataFrame
        ``eid`` and what the caller needs.
    h5_dir : Path
    *groups : str
        All of them are needed; a session that lacks one goes to `skipped`, and so does one
        whose file cannot be read.
    skipped : Skipped
        Filled while the iteration runs.
    optional : tuple of str
        Groups to read where they are stored.

    Yields
    ------
    recordings : DataFrame
        Those of the session.
    data : dict
        By group.
    """
    for eid, own in recordings.groupby("eid", sort=False):
        try:
            data = read_session(h5_dir, str(eid), *groups, *optional)
        except DataError as error:
            skipped.sessions[str(eid)] = f"unreadable ({error.message})"
            continue
        missing = [name for name in groups if name not in data]
        if missing:
            skipped.sessions[str(eid)] = f"no {', '.join(missing)} stored"
            continue
        yield own, data


def iterate_responses(
    recordings: pd.DataFrame, h5_dir: Path, *, skipped: Skipped
) -> Iterator[tuple[dict[str, Any], xr.DataArray, pd.DataFrame]]:
    """Recordings with their stored responses and trials.

    Parameters
    ----------
    recordings : DataFrame
        One row per recording: ``eid``, ``fiber_idx``, ``recording_name``.
    h5_dir : Path
    skipped : Skipped
        Filled while the iteration runs.

    Yields
    ------
    recording : dict
        The row.
    responses : DataArray (event, trial, time)
    trials : DataFrame
    """
    needed = ("trials", "photometry/responses")
    for own, data in iterate_sessions(recordings, h5_dir, *needed, skipped=skipped):
        for recording in own.to_dict("records"):
            responses = data["photometry/responses"].get(recording["recording_name"])
            if responses is None:
                key = (str(recording["eid"]), int(recording["fiber_idx"]))
                skipped.recordings[key] = f"no responses of {recording['recording_name']} stored"
                continue
            yield recording, responses, data["trials"]


def with_signal_attributes(
    found: Iterator[tuple[dict[str, Any], xr.DataArray, pd.DataFrame]], h5_dir: Path
) -> Iterator[tuple[dict[str, Any], xr.DataArray, pd.DataFrame]]:
    """What `iterate_responses` yields, with how each signal was corrected and scaled.

    Yields
    ------
    recording : dict
        The row, with ``correction`` and ``signal_sd`` [dF/F per z]; None where the session file
        has none.
    responses : DataArray
    trials : DataFrame
    """
    from iblnm.storage.h5 import read_signal_attributes

    eid, attributes = None, {}
    for recording, responses, trials in found:
        if recording["eid"] != eid:
            eid = recording["eid"]
            attributes = read_signal_attributes(h5_dir / f"{validate_name(str(eid))}.h5")
        own = attributes.get(recording["recording_name"], {})
        known = {"correction": own.get("correction"), "signal_sd": own.get("sd")}
        yield {**recording, **known}, responses, trials


class ResponseTraces(Mapping):
    """Traces by (eid, brain_region, event), read when they are asked for.

    A second fiber of a session in one region has its recording name (``VTA_1``) as region. A
    value is a dict: ``traces`` (ndarray, trials x time), ``tpts`` (s), ``meta`` (dict, the
    row of the recording), ``trials`` (DataFrame, one row per trace).

    Parameters
    ----------
    recordings : DataFrame
    h5_dir : Path
    prepare : callable
        Takes responses and trials, returns the array to give.
    size : int
        Sessions whose traces are kept in memory.

    Attributes
    ----------
    skipped : Skipped
        Sessions and recordings without stored responses, as far as they were asked for.
    """

    def __init__(
        self,
        recordings: pd.DataFrame,
        h5_dir: Path,
        prepare: Callable[[xr.DataArray, pd.DataFrame], xr.DataArray],
        size: int,
    ):
        from iblnm.data._session_cache import SessionCache

        self._of_session = {str(eid): own for eid, own in recordings.groupby("eid", sort=False)}
        self._h5_dir = h5_dir
        self._prepare = prepare
        self._cache = SessionCache(self._read, size)
        self._known: list[tuple[str, str, str]] | None = None
        self.skipped = Skipped()

    def array(self, eid: str, fiber_idx: int) -> xr.DataArray:
        """Traces of one recording, all events: (event, trial, time)."""
        for meta, traces, _ in self._recordings_of(eid).values():
            if int(meta["fiber_idx"]) == fiber_idx:
                return traces
        raise KeyError((eid, fiber_idx))

    def _read(self, eid: str) -> dict[str, tuple[dict[str, Any], xr.DataArray, pd.DataFrame]]:
        found = iterate_responses(self._of_session[eid], self._h5_dir, skipped=self.skipped)
        return {
            recording["recording_name"]: (recording, self._prepare(responses, trials), trials)
            for recording, responses, trials in found
        }

    def _recordings_of(self, eid: str) -> dict[str, Any]:
        return self._cache.get(eid) if eid in self._of_session else {}

    def __getitem__(self, key: tuple[str, str, str]) -> dict[str, Any]:
        eid, region, event = key
        recordings = self._recordings_of(str(eid))
        if region not in recordings or event not in recordings[region][1]["event"]:
            raise KeyError(key)
        meta, traces, trials = recordings[region]
        own = traces.sel(event=event)
        return {
            "traces": own.to_numpy(),
            "tpts": own["time"].to_numpy(),
            "meta": dict(meta),
            "trials": trials.iloc[own["trial"].to_numpy()].reset_index(drop=True),
        }

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        if self._known is not None:
            yield from self._known
            return
        known = []
        for eid in self._of_session:
            for region, (_, traces, _) in self._recordings_of(eid).items():
                for event in traces["event"].to_numpy():
                    known.append((eid, region, str(event)))
                    yield known[-1]
        if not known and self._of_session:
            raise DataError(f"no responses are stored in {self._h5_dir}: {self.skipped.notes()}")
        self._known = known

    def __len__(self) -> int:
        return sum(1 for _ in self)
