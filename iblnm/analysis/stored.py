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


class ResponseTraces(Mapping):
    """Traces of recordings by (eid, fiber_idx), read when they are asked for.

    Parameters
    ----------
    recordings : DataFrame
    h5_dir : Path
    prepare : callable
        Takes responses and trials, returns the array to give.
    size : int
        Sessions whose traces are kept in memory.
    """

    def __init__(
        self,
        recordings: pd.DataFrame,
        h5_dir: Path,
        prepare: Callable[[xr.DataArray, pd.DataFrame], xr.DataArray],
        size: int,
    ):
        from iblnm.data._session_cache import SessionCache

        self._recordings = recordings
        self._h5_dir = h5_dir
        self._prepare = prepare
        self._rows = {
            (str(eid), int(fiber)): i
            for i, (eid, fiber) in enumerate(
                zip(recordings["eid"], recordings["fiber_idx"], strict=True)
            )
        }
        self._cache = SessionCache(self._read, size)

    def _read(self, eid: str) -> dict[int, xr.DataArray]:
        own = self._recordings[self._recordings["eid"] == eid]
        found = iterate_responses(own, self._h5_dir, skipped=Skipped())
        return {
            int(recording["fiber_idx"]): self._prepare(responses, trials)
            for recording, responses, trials in found
        }

    def __getitem__(self, key: tuple[str, int]) -> xr.DataArray:
        eid, fiber = str(key[0]), int(key[1])
        if (eid, fiber) not in self._rows:
            raise KeyError(key)
        traces = self._cache.get(eid)
        if fiber not in traces:
            raise KeyError(f"no responses of fiber {fiber} of session {eid} are stored")
        return traces[fiber]

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
