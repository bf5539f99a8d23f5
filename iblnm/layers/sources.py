"""What Alyx, or the tree of a mirror, says of a session: two requests, shared by its stages."""

from __future__ import annotations

import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from iblnm.archive.datasets import list_session_datasets, registered_path, session_path
from iblnm.archive.records import is_remote, parse_json, records_of
from iblnm.errors import AuthenticationError, NotFoundError, RemoteError, TransientError
from iblnm.layers.histology import has_both_stacks, listed_files
from iblnm.layers.passive import Run
from iblnm.layers.passive_files import read_runs
from iblnm.layers.registry import Entry, Registry, entries_of_paths, entries_of_record
from iblnm.layers.spike_sorting import SortedProbe, sorted_probe

_SESSIONS_KEPT = 8
STACKS = "histology/{lab}/{subject}/downsampledStacks_25/sample2ARA"
_KNOWN: weakref.WeakKeyDictionary[Any, _Known] = weakref.WeakKeyDictionary()


@dataclass
class _Known:
    """Answers of one archive."""

    sessions: OrderedDict[str, Sources]
    stacks: dict[str, Stacks]


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
        value = (self.record or {}).get("extended_qc")
        return (parse_json(value) if isinstance(value, str) else value) or {}

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
        return _KNOWN.setdefault(one, _Known(OrderedDict(), {}))
    except TypeError:  # a stand-in that cannot be referred to weakly
        return _Known(OrderedDict(), {})


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
        Refused, unreachable or unreadable is not known, never "no".
    """
    known = _known(one).stacks
    key = f"{lab}/{subject}"
    if key not in known:
        known[key] = _ask_stacks(one, data_server, lab, subject)
    return known[key]


def _ask_stacks(one: Any, data_server: str, lab: str | None, subject: str) -> Stacks:
    if not lab:
        return Stacks(None, "the lab is not known")
    folder = STACKS.format(lab=lab, subject=subject)
    if not is_remote(one):
        local = Path(one.cache_dir) / folder
        if not local.is_dir():
            return Stacks(None, f"{folder} is not in this tree")
        names = [path.name for path in local.iterdir()]
        return Stacks(has_both_stacks(names), f"{len(names)} files in {folder}")
    url = f"{data_server}/{folder}/"
    with tempfile.TemporaryDirectory() as temporary:
        page = Path(temporary) / "listing.html"
        try:
            one.alyx.download(url, page)
            text = page.read_text(encoding="utf-8", errors="replace")
        except NotFoundError:
            return Stacks(False, f"the data server has no {folder}")
        except AuthenticationError as error:
            return Stacks(None, f"refused: {error}")
        except RemoteError as error:
            if error.status == 404:
                return Stacks(False, f"the data server has no {folder}")
            return Stacks(None, f"refused: {error}")
        except TransientError as error:
            return Stacks(None, f"unreachable: {error}")
    names = listed_files(text)
    if not names and "<" not in text:
        return Stacks(None, "the answer is no listing")
    return Stacks(has_both_stacks(names), f"{len(names)} files in {folder}")
