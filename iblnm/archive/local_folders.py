"""Session folders of a local archive that its tables do not list yet."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.archive.cache_tables import TABLES, read_one_table, session_places, write_one_table
from iblnm.errors import InvalidNameError, MissingFileError
from iblnm.storage.atomic import locked
from iblnm.storage.names import validate_eid

# as a hand may write them: what is wrong with such a folder is told
_DATE = re.compile(r"\d{4}[-_.]\d{1,2}[-_.]\d{1,2}")
_NUMBER = re.compile(r"\d{1,3}")
_DEPTHS = ("*/Subjects/*/*/*", "*/*/*")
_LOCK_TIMEOUT_S = 5.0
_NUMBER_LENGTH = 3
# where eids come from that no Alyx has given: the same folder always gets the same, and ONE
# accepts versions 3 and 4 alone
_NAMESPACE = uuid.uuid3(uuid.NAMESPACE_URL, "iblnm/local session folder")


@dataclass
class AddedFolders:
    """What `add_folders` did.

    Parameters
    ----------
    added : dict
        Folder, relative to the archive, to eid.
    left_out : dict
        Folder to why it was not added.
    """

    added: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def unlisted_folders(cache_dir: Path, tables: Path | None) -> list[str]:
    """Session folders with datasets that ``sessions.pqt`` does not list.

    Parameters
    ----------
    cache_dir : Path
        Root of the archive: ``[lab/Subjects/]subject/date/number`` below it.
    tables : Path or None
        Folder of the tables of ONE; without, all are unlisted.

    Returns
    -------
    list of str
        Relative to the archive, with slashes, sorted.

    Raises
    ------
    UnreadableFileError
        If the table cannot be read.
    """
    sessions = None if tables is None else read_one_table(tables / "sessions.pqt")[0]
    listed = set() if sessions is None else set(session_places(sessions))
    return sorted(place for place in _folders(cache_dir) if place not in listed)


def add_folders(
    cache_dir: Path, places: Iterable[str], *, tables: Path, settle_s: float, project: str
) -> AddedFolders:
    """Add rows of session folders to the tables of ONE; the rows that are there stay.

    ``one.alf.cache.make_parquet_db`` makes the tables anew, with other eids for all sessions
    each time. Here a folder has the eid of its record of Alyx (``.alyx/sessions``), and without
    one an eid made from its place, which is always the same.

    Parameters
    ----------
    cache_dir : Path
    places : iterable of str
        See `unlisted_folders`.
    tables : Path
        Folder of the tables.
    settle_s : float
        A folder with a file changed since then is left out: it may be being copied [s].
    project : str
        Of the sessions without a record.

    Returns
    -------
    AddedFolders

    Raises
    ------
    MissingFileError, UnreadableFileError
        If a table is missing or cannot be read.
    NotWritableError
        If the archive cannot be written to.
    TransientError
        If another process is writing the tables.
    """
    report = AddedFolders()
    place_of_lock = cache_dir / ".alyx" / "mirror" if tables == cache_dir else tables / "tables"
    with locked(place_of_lock, timeout_s=_LOCK_TIMEOUT_S):
        former = {name: read_one_table(tables / f"{name}.pqt") for name in TABLES}
        for name, (table, _) in former.items():
            if table is None:
                path = tables / f"{name}.pqt"
                raise MissingFileError("the archive has no such table of ONE", path=path)
        known = {str(eid) for eid in former["sessions"][0].index}
        records = _records(cache_dir)
        rows: dict[str, list[dict[str, Any]]] = {"sessions": [], "datasets": []}
        homes = {(cache_dir / place).resolve() for place in session_places(former["sessions"][0])}
        for place in places:
            fault = _fault_of_place(cache_dir / place, homes)
            if fault:
                report.left_out[place] = fault
                continue
            session = _session_row(place, records.get(place), project)
            files = _dataset_rows(cache_dir / place, session["id"])
            age_s = time.time() - max((item.pop("changed") for item in files), default=0.0)
            if not files:
                report.left_out[place] = "it has no datasets"
            elif age_s < settle_s:
                report.left_out[place] = (
                    f"a file changed {age_s:.0f} s ago, it may be being copied"
                )
            elif session["id"] in known:
                report.left_out[place] = f"its eid {session['id']} is that of another folder"
            else:
                known.add(session["id"])
                homes.add((cache_dir / place).resolve())
                rows["sessions"].append(session)
                rows["datasets"] += files
                report.added[place] = session["id"]
        if report.added:
            # the datasets first, so that no listed session is without its files
            for name in ("datasets", "sessions"):
                old, metadata = former[name]
                path, new = tables / f"{name}.pqt", _append(old, rows[name])
                write_one_table(path, new, old, metadata, f"folders of {cache_dir}")
    return report


def _folders(cache_dir: Path) -> Iterator[str]:
    for pattern in _DEPTHS:
        for path in cache_dir.glob(pattern):
            day, number = path.parts[-2:]
            if not (_DATE.fullmatch(day) and _NUMBER.fullmatch(number)):
                continue
            place = path.relative_to(cache_dir).as_posix()
            if not place.startswith(".") and path.is_dir() and any(_datasets(path)):
                yield place


def _fault_of_place(folder: Path, homes: set[Path]) -> str | None:
    """Why a folder can be no session of its own; None if it can."""
    day, number = folder.parts[-2:]
    try:
        is_day = date.fromisoformat(day).isoformat() == day
    except ValueError:
        is_day = False
    if not is_day:
        return f"{day} is no day; one as 2024-03-05 is expected"
    if len(number) != _NUMBER_LENGTH:
        return f"{number} is no number of a session; one as 001 is expected"
    home = folder.resolve()
    return f"it is a link to {home}, which is a session already" if home in homes else None


def _datasets(folder: Path) -> Iterator[Path]:
    """Files of a folder that are datasets, also those behind links, each folder once."""
    from one.alf.path import ALFPath

    seen: set[Path] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        home = Path(place).resolve()
        if home in seen:
            folders.clear()
            continue
        seen.add(home)
        folders.sort()
        for name in sorted(names):
            path = ALFPath(place, name)
            if path.is_dataset and path.is_file():
                yield path


def _records(cache_dir: Path) -> dict[str, dict[str, Any]]:
    """Records of Alyx by the folder of their session."""
    found = {}
    for path in (cache_dir / ".alyx" / "sessions").glob("*.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            day = str(record["start_time"])[:10]
            inner = f"{record['subject']}/{day}/{int(record['number']):03d}"
            eid = validate_eid(record.get("id") or path.stem)
        except (
            ValueError,
            KeyError,
            TypeError,
            InvalidNameError,
        ):  # a damaged record is told of by its session
            continue
        for place in (f"{record.get('lab')}/Subjects/{inner}", inner):
            found[place] = {**record, "id": eid}
    return found


def _session_row(place: str, record: dict[str, Any] | None, project: str) -> dict[str, Any]:
    *lab, subject, day, number = place.split("/")
    record = record or {}
    projects = record.get("projects") or ([project] if not record else [])
    return {
        "id": record.get("id") or str(uuid.uuid3(_NAMESPACE, place)),
        "lab": lab[0] if lab else "",
        "subject": subject,
        "date": pd.Timestamp(day).date(),
        "number": int(number),
        "task_protocol": str(record.get("task_protocol") or ""),
        "projects": ",".join(map(str, projects)),
    }


def _dataset_rows(folder: Path, eid: str) -> list[dict[str, Any]]:
    rows = []
    for path in _datasets(folder):
        status = path.stat()
        rel_path = path.relative_to(folder).as_posix()
        rows.append(
            {
                "eid": eid,
                "id": str(uuid.uuid3(uuid.UUID(eid), rel_path)),
                "rel_path": rel_path,
                "file_size": status.st_size,
                "hash": None,
                "exists": True,
                "qc": "NOT_SET",
                "default_revision": False,
                "changed": max(status.st_ctime, status.st_mtime),
            }
        )
    return rows


def _append(old: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.DataFrame:
    new = pd.DataFrame(rows).set_index(list(old.index.names))
    if not len(old):
        return _typed(new)
    new = new.reindex(columns=old.columns)
    for name in old.select_dtypes("bool"):
        new[name] = new[name].eq(True)  # tables of other versions have flags that are not known
    new = new.astype(old.dtypes.to_dict())
    return pd.concat([old, new]).sort_index()


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    from one.alf.cache import DATASETS_COLUMNS, SESSIONS_COLUMNS

    types = {**SESSIONS_COLUMNS, **DATASETS_COLUMNS, "default_revision": bool}
    return table.astype({name: types[name] for name in table}).sort_index()
