"""What is registered for a session, looked up by collection and name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_REVISION = re.compile(r"^#(.+)#$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered file.

    Parameters
    ----------
    collection : str
        Folder within the session, without the revision.
    name : str
    revision : str
        '' for none.
    is_default : bool or None
        Whether the record marks it as the revision to use; None where it does not say.
    version : str
        Software that made it, '' if unknown.
    size : int or None
        Recorded size [bytes].
    is_there : bool
        Whether there is a file: the record has an address, or off line it is on disk.
    """

    collection: str
    name: str
    revision: str = ""
    is_default: bool | None = None
    version: str = ""
    size: int | None = None
    is_there: bool = True


class Registry:
    """The files of one session.

    Parameters
    ----------
    entries : iterable of Entry

    Notes
    -----
    Entries without a file are known, but never found: `find` gives files only.
    """

    def __init__(self, entries: Iterable[Entry]):
        self._by_place: dict[tuple[str, str], list[Entry]] = {}
        self._names: dict[str, list[str]] = {}
        for entry in entries:
            place = (entry.collection, entry.name)
            if place not in self._by_place:
                self._by_place[place] = []
                self._names.setdefault(entry.collection, []).append(entry.name)
            self._by_place[place].append(entry)

    @property
    def collections(self) -> list[str]:
        """Folders with at least one registered file, sorted."""
        return sorted(self._names)

    def __len__(self) -> int:
        return sum(map(len, self._by_place.values()))

    def all(self, collection: str, name: str) -> list[Entry]:
        """All entries at a place, also those without a file."""
        return self._by_place.get((collection, name), [])

    def find(self, collection: str, name: str) -> Entry | None:
        """The entry to use at a place: of several revisions the one marked as default.

        Where none is marked (a tree without records) the latest revision is used.
        """
        files = [entry for entry in self.all(collection, name) if entry.is_there]
        if len(files) <= 1:
            return files[0] if files else None
        marked = [entry for entry in files if entry.is_default]
        return max(marked or files, key=lambda entry: entry.revision)

    def find_revision(self, collection: str, name: str, revision: str) -> Entry | None:
        """The entry of one revision, if its file is there."""
        for entry in self.all(collection, name):
            if entry.is_there and entry.revision == revision:
                return entry
        return None

    def match(self, collection: str, pattern: re.Pattern[str]) -> Entry | None:
        """First file of a folder, by name, whose whole name matches."""
        for name in sorted(self._names.get(collection, ())):
            if pattern.fullmatch(name) and (entry := self.find(collection, name)):
                return entry
        return None


def entries_of_record(
    record: Mapping[str, Any] | None, is_on_disk: Callable[[str, str, str], bool] | None = None
) -> list[Entry]:
    """Entries of a session's Alyx record.

    Parameters
    ----------
    record : mapping or None
        REST detail with ``data_dataset_session_related``; None has no entries.
    is_on_disk : callable, optional
        Off line: tells of collection, revision and name whether the file is there. Without it
        a file is there when its record has a ``data_url``.

    Returns
    -------
    list of Entry
        Records that are no objects or have no name are left out; a record without collection
        lies in the session's folder itself.
    """
    related = (record or {}).get("data_dataset_session_related")
    found = []
    for item in related if isinstance(related, list) else ():
        if not isinstance(item, Mapping) or not item.get("name"):
            continue
        collection, inner = _without_revision(str(item.get("collection") or ""))
        name, revision = str(item["name"]), str(item.get("revision") or inner or "").strip("#")
        there = bool(item.get("data_url"))
        if is_on_disk is not None:
            there = is_on_disk(collection, revision, name)
        found.append(
            Entry(
                collection,
                name,
                revision,
                _as_flag(item.get("default_revision", item.get("default_dataset"))),
                str(item.get("version") or ""),
                _as_int(item.get("file_size")),
                there,
            )
        )
    return found


def entries_of_paths(
    paths: Iterable[str],
    sizes: Iterable[Any] | None = None,
    defaults: Iterable[Any] | None = None,
    is_on_disk: Callable[[str, str, str], bool] | None = None,
) -> list[Entry]:
    """Entries of a dataset table: relative paths with their revision folders.

    Examples
    --------
    >>> entries_of_paths(["alf/probe00/#2025-01-01#/spikes.times.npy"])[0].revision
    '2025-01-01'
    """
    paths = list(paths)
    sizes = [None] * len(paths) if sizes is None else sizes
    defaults = [None] * len(paths) if defaults is None else defaults
    found = []
    for path, size, default in zip(paths, sizes, defaults, strict=True):
        folder, _, name = str(path).rpartition("/")
        collection, revision = _without_revision(folder)
        there = True if is_on_disk is None else is_on_disk(collection, revision, name)
        found.append(
            Entry(collection, name, revision, _as_flag(default), "", _as_int(size), there)
        )
    return found


def _without_revision(folder: str) -> tuple[str, str]:
    if "#" not in folder:
        return folder.strip("/"), ""
    parts = [part for part in folder.split("/") if part]
    revisions = [match[1] for part in parts if (match := _REVISION.match(part))]
    kept = [part for part in parts if not _REVISION.match(part)]
    return "/".join(kept), revisions[-1] if revisions else ""


def _as_flag(value: Any) -> bool | None:
    """Alyx writes this boolean as a text."""
    if value is None or value != value:
        return None
    return value if isinstance(value, bool) else str(value).strip().lower() in ("true", "1")


def _as_int(value: Any) -> int | None:
    try:
        return None if value is None or value != value else int(value)
    except (TypeError, ValueError):
        return None
