"""What Alyx, or the tree of a mirror, says of a session: two requests, shared by its stages."""

from __future__ import annotations

import math
import tempfile
import time
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from iblnm.archive.datasets import list_session_datasets, registered_path, session_path
from iblnm.archive.records import is_remote, parse_json, records_of
from iblnm.errors import (
    MalformedFileError,
    RemoteError,
    RemoteTimeout,
    ServerUnreachableError,
    TransientError,
)
from iblnm.layers.histology import has_both_stacks, is_listing, listed_files
from iblnm.layers.passive import Run
from iblnm.layers.passive_files import read_runs
from iblnm.layers.registry import Entry, Registry, entries_of_paths, entries_of_record
from iblnm.layers.spike_sorting import SortedProbe, sorted_probe
from iblnm.storage.names import is_valid_name

_SESSIONS_KEPT = 8
_NOT_FOUND = 404
# so long what may pass is not asked again, and a silent server not for another animal either
_PAUSE_S = 600.0
STACKS = "histology/{lab}/{subject}/downsampledStacks_25/sample2ARA"
_KNOWN: weakref.WeakKeyDictionary[Any, _Known] = weakref.WeakKeyDictionary()


@dataclass
class _Known:
    """Answers of one archive."""

    sessions: OrderedDict[str, Sources] = field(default_factory=OrderedDict)
    stacks: dict[str, tuple[Stacks, float]] = field(default_factory=dict)
    has_histology: bool | None = None
    silent_until: float = 0.0


@dataclass(frozen=True)
class Stacks:
    """Whether the image stacks of an animal are listed; None if that is not known."""

    listed: bool | None
    reason: str


class Sources:
    """Records and files of one session.

    Parameters
    ----------
    one : ONE
    eid : str
    """

    def __init__(self, one: Any, eid: str):
        self._one = one
        self.eid = eid

    @cached_property
    def record(self) -> Mapping[str, Any] | None:
        """Record of the session; None off line without one."""
        return records_of(self._one).session(self.eid)

    @cached_property
    def insertions(self) -> list[Mapping[str, Any]] | None:
        """Insertions of the session; None where no record says which there are."""
        if self.record is None:
            return None
        return list(records_of(self._one).insertions(self.eid))

    @property
    def extended_qc(self) -> Mapping[str, Any]:
        return parse_json((self.record or {}).get("extended_qc")) or {}

    @property
    def folder(self) -> Path:
        """Local folder of the session."""
        return session_path(self._one, self.eid)

    @cached_property
    def registry(self) -> Registry:
        """The session's files: on line those with an address, off line those on disk."""
        on_disk = None if is_remote(self._one) else self._is_on_disk
        entries = entries_of_record(self.record, on_disk)
        if not entries:
            table = list_session_datasets(self._one, self.eid)
            entries = entries_of_paths(table["rel_path"], table["size"], table["default"], on_disk)
        return Registry([*entries, *self._bombcell_on_disk(entries)])

    def _is_on_disk(self, collection: str, revision: str, name: str) -> bool:
        middle = [f"#{revision}#"] if revision else []
        return self.folder.joinpath(collection, *middle, name).is_file()

    def _bombcell_on_disk(self, entries: list[Entry]) -> list[Entry]:
        """Output of bombcell that is not registered, as it is written beside the sorting."""
        known = {(entry.collection, entry.name) for entry in entries}
        found = []
        for path in sorted(self.folder.glob("spike_sorters/*/*/bombcell/*")):
            collection = path.parent.relative_to(self.folder).as_posix()
            if path.is_file() and (collection, path.name) not in known:
                found.append(Entry(collection, path.name, size=path.stat().st_size))
        return found

    def find(self, rel_path: str) -> Path | None:
        """Local path of a file, fetched if need be; None if it is not registered.

        Raises
        ------
        DataError, RemoteError, TransientError
            See `iblnm.archive.datasets.dataset_path`.
        """
        local = self.folder / rel_path
        if rel_path.startswith("spike_sorters/") and local.is_file():
            return local
        return registered_path(self._one, self.eid, rel_path)

    def find_default(self, rel_path: str) -> Path | None:
        """The same of the revision to use, by the path without revision."""
        collection, _, name = rel_path.rpartition("/")
        entry = self.registry.find(collection, name)
        if entry is None:
            return None
        middle = f"#{entry.revision}#/" if entry.revision else ""
        return self.find(f"{collection}/{middle}{name}")

    @cached_property
    def runs(self) -> list[Run]:
        """Runs of tasks, by the settings that the rig wrote."""
        return read_runs(self.registry.collections, self.find_default)

    def probes(self) -> list[SortedProbe]:
        """Sorted probes of the session, by name."""
        from iblnm.layers.probes import probe_names

        pids = {str(item.get("name")): str(item.get("id")) for item in self.insertions or ()}
        names = sorted({*pids, *probe_names(self.registry)})
        found = [
            sorted_probe(self.registry, self.eid, name, pids.get(name), self.find)
            for name in names
        ]
        return [probe for probe in found if probe is not None]


def session_sources(one: Any, eid: str, *, refresh: bool = False) -> Sources:
    """The sources of a session; its stages share one answer."""
    known = _known(one)
    if refresh or eid not in known.sessions:
        if refresh:
            list_session_datasets(one, eid, refresh=True)
        known.sessions[eid] = Sources(one, eid)
        while len(known.sessions) > _SESSIONS_KEPT:
            known.sessions.popitem(last=False)
    known.sessions.move_to_end(eid)
    return known.sessions[eid]


def _known(one: Any) -> _Known:
    try:
        return _KNOWN.setdefault(one, _Known())
    except TypeError:  # a stand-in that cannot be referred to weakly
        return _Known()


def image_stacks(one: Any, data_server: str, lab: str | None, subject: str) -> Stacks:
    """Whether both channels of an animal's image stack are listed; asked once per animal.

    Parameters
    ----------
    one : ONE
        Off line the same folder below its cache is looked at.
    data_server : str
        Address of the file server.
    lab, subject : str

    Returns
    -------
    Stacks
        Refused, unreachable or unreadable is not known, never "no". "No" is a listing without
        them, or a server that lists other histology and has no such folder.
    """
    known = _known(one)
    key = f"{lab}/{subject}"
    if key in known.stacks and time.monotonic() < known.stacks[key][1]:
        return known.stacks[key][0]
    if not lab:
        return Stacks(None, "the lab is not known")
    if not (is_valid_name(lab) and is_valid_name(subject)):
        return Stacks(None, f"{key} names no folder")
    folder = STACKS.format(lab=lab, subject=subject)
    until = math.inf
    if not is_remote(one):
        found = _look_for_stacks(Path(one.cache_dir), folder)
    else:
        try:
            found = _ask_stacks(one, known, data_server, folder)
        except TransientError as error:
            found, until = Stacks(None, f"unreachable: {error}"), time.monotonic() + _PAUSE_S
    known.stacks[key] = found, until
    return found


def _look_for_stacks(root: Path, folder: str) -> Stacks:
    if not (root / folder).is_dir():
        return Stacks(None, f"{folder} is not in this tree")
    names = [path.name for path in (root / folder).iterdir()]
    return Stacks(has_both_stacks(names), f"{len(names)} files in {folder}")


def _ask_stacks(one: Any, known: _Known, data_server: str, folder: str) -> Stacks:
    if time.monotonic() < known.silent_until:
        raise TransientError("the data server did not answer a short time ago")
    try:
        text = _page_of(one, f"{data_server}/{folder}/")
        if text is None and not _has_histology(one, known, data_server):
            return Stacks(None, f"{data_server} has no folder histology")
    except (RemoteTimeout, ServerUnreachableError):
        known.silent_until = time.monotonic() + _PAUSE_S
        raise
    except RemoteError as error:
        return Stacks(None, f"refused: {error}")
    except MalformedFileError as error:
        return Stacks(None, f"no listing: {error.message}")
    if text is None:
        return Stacks(False, f"the data server has no {folder}")
    if not is_listing(text):
        return Stacks(None, "the answer is no listing")
    names = listed_files(text)
    return Stacks(has_both_stacks(names), f"{len(names)} files in {folder}")


def _page_of(one: Any, url: str) -> str | None:
    """Text of a page of the data server; None if there is no such page."""
    with tempfile.TemporaryDirectory() as temporary:
        page = Path(temporary) / "listing.html"
        try:
            one.alyx.download(url, page)
        except RemoteError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return page.read_text(encoding="utf-8", errors="replace")


def _has_histology(one: Any, known: _Known, data_server: str) -> bool:
    """Whether the server has histology at all: a wrong address has no page of any animal."""
    if known.has_histology is None:
        try:
            known.has_histology = _page_of(one, f"{data_server}/histology/") is not None
        except RemoteError:  # it is there, and is not shown
            known.has_histology = True
    return known.has_histology
