"""What has changed in a local archive: the tables of ONE, the session folders, the records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.archive.cache_tables import TABLES, read_one_table
from iblnm.archive.changes import digest, record_fingerprint
from iblnm.archive.records import LocalRecords
from iblnm.archive.sync_state import Sight
from iblnm.errors import DataError, MissingFileError


@dataclass(frozen=True)
class _Session:
    folder: str
    fields: tuple
    datasets: tuple[tuple[str, int | None, str | None], ...]
    folders: tuple[str, ...]
    static: str


class LocalChanges:
    """The sessions of a local archive.

    A list takes one ``stat`` per folder that holds datasets: adding, replacing or deleting a
    file changes its folder's time. Only a session whose folders, table rows or record changed is
    looked into. (A file rewritten in place is found by the full look, every some hours.)

    Parameters
    ----------
    cache_dir : Path
        Root of the archive.
    project : str
        Sessions of other projects are left out; one without any project is not.
    tables : Path, optional
        Folder of ONE's tables; by default that of the archive.
    """

    def __init__(self, cache_dir: Path, project: str, tables: Path | None = None):
        self._cache_dir = cache_dir
        self._tables = cache_dir if tables is None else tables
        self._project = project
        self._records = LocalRecords(cache_dir / ".alyx")
        self._loaded: list[tuple[int, int]] = []
        self._sessions: dict[str, _Session] = {}
        self._listed: dict[str, str] = {}
        self._noted: dict[str, str] = {}

    def list_all(self) -> tuple[dict[str, str], list[str]]:
        """Start by eid of all sessions of the project, and which look other than those noted last.

        Raises
        ------
        MissingFileError, UnreadableFileError
            If a table of ONE is missing or damaged.
        """
        self._load()
        self._listed = {
            eid: digest([session.static, *map(_mtime, session.folders), _stat(self._record(eid))])
            for eid, session in self._sessions.items()
        }
        starts = {eid: _start(session) for eid, session in self._sessions.items()}
        return starts, [
            eid for eid, found in self._listed.items() if self._noted.get(eid) != found
        ]

    def noted(self) -> None:
        """The list has been taken in; the next tells what differs from it."""
        self._noted = self._listed

    def look(self, eid: str) -> Sight | None:
        """Content of a session: table rows, record, sizes on disk; None if there is none.

        A file counts by its path, the size and hash of the table, and its size on disk; where
        the table has no hash, by its time too.
        """
        self._load()
        session = self._sessions.get(eid)
        if session is None:
            return None
        files, changed = [], []
        for rel_path, size, md5 in session.datasets:
            found = _status(f"{session.folder}/{rel_path}")
            on_disk = None if found is None else [found.st_size]
            if found is not None:
                changed.append(found.st_ctime)
                on_disk += [] if md5 else [found.st_mtime_ns]
            files.append([rel_path, size, md5, on_disk])
        record = _status(self._record(eid))
        if record is not None:
            changed.append(record.st_ctime)
        read, known = self._read_record(eid)
        start_time = (known or {}).get("start_time")
        return Sight(
            digest([session.fields, sorted(files, key=repr), read]),
            str(start_time or _start(session)),
            changed=max(changed, default=None),
        )

    def _record(self, eid: str) -> str:
        return f"{self._cache_dir}/.alyx/sessions/{eid}.json"

    def _read_record(self, eid: str) -> tuple[str | None, Mapping[str, Any] | None]:
        try:
            record = self._records.session(eid)
        except DataError as error:  # the session's run will fail of it, and say so
            return f"unreadable: {error}", None
        if record is None:
            return None, None
        # the datasets are those of the tables, whatever the record says
        return record_fingerprint({**record, "data_dataset_session_related": []}), record

    def _load(self) -> None:
        paths = [self._tables / f"{name}.pqt" for name in TABLES]
        found = [_stat(str(path)) for path in paths]
        if found == self._loaded:
            return
        for path, stat in zip(paths, found, strict=True):
            if stat == (0, 0):
                raise MissingFileError("the archive has no such table of ONE", path=path)
        sessions, datasets = (read_one_table(path)[0].reset_index() for path in paths)
        self._sessions = dict(self._of_project(sessions, datasets))
        self._loaded = found

    def _of_project(
        self, sessions: pd.DataFrame, datasets: pd.DataFrame
    ) -> Iterable[tuple[str, _Session]]:
        listed: dict[str, list[tuple[str, int | None, str | None]]] = {}
        columns = [
            datasets[name] if name in datasets else [None] * len(datasets)
            for name in ("eid", "rel_path", "file_size", "hash")
        ]
        for eid, rel_path, size, md5 in zip(*columns, strict=True):
            entry = (
                str(rel_path),
                None if pd.isna(size) else int(size),
                None if pd.isna(md5) or not md5 else str(md5),
            )
            listed.setdefault(str(eid), []).append(entry)
        for row in sessions.to_dict("records"):
            projects = str(row.get("projects") or "")
            if projects and self._project not in projects.split(","):
                continue
            if pd.isna(row["date"]) or pd.isna(row["number"]):
                continue  # no folder can be its own
            eid, lab = str(row["id"]), str(row.get("lab") or "")
            within = [lab, "Subjects"] if lab else []
            day = f"{row['date']}"[:10]
            parts = [*within, str(row["subject"]), day, f"{int(row['number']):03d}"]
            folder = "/".join([str(self._cache_dir), *parts])
            entries = tuple(sorted(listed.get(eid, []), key=repr))
            inner = {entry[0].rpartition("/")[0] for entry in entries} | {""}
            fields = (*parts, str(row.get("task_protocol") or ""), projects)
            yield (
                eid,
                _Session(
                    folder,
                    fields,
                    entries,
                    tuple(f"{folder}/{name}" for name in sorted(inner)),
                    digest([fields, entries]),
                ),
            )


def _start(session: _Session) -> str:
    """Day and number, which order sessions as their start times would."""
    return " ".join(session.folder.rsplit("/", 2)[-2:])


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 (many thousand times a minute)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _mtime(path: str) -> int:
    status = _status(path)
    return 0 if status is None else status.st_mtime_ns


def _stat(path: str) -> tuple[int, int]:
    status = _status(path)
    return (0, 0) if status is None else (status.st_size, status.st_mtime_ns)
