"""Records that only Alyx has: sessions, subjects, insertions, trajectories.

Locally they are JSON files beside the ALF tree, ``.alyx/<endpoint>/<id>.json``, in the
shape of the REST detail; remotely they are asked for. A record that does not exist is None
(or an empty list), never an error.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from iblnm.archive.remote import rest
from iblnm.errors import MalformedFileError, NotFoundError, ServerError, UnreadableFileError
from iblnm.io.nesting import MAX_DEPTH, is_too_deep
from iblnm.storage.names import is_valid_name, validate_eid

SHARED = "of_several_labs"
"""Field of a mirrored subject: the records of all animals that have its nickname."""
_ALYX_MAX_ROWS = 1000
_SEVERAL = 2
# what is used of a record, where another type could not be; all may be null
_SHAPES: dict[str, dict[str, tuple[type, ...]]] = {
    "sessions": {
        "start_time": (str,),
        "end_time": (str,),
        "users": (list, str),
        "projects": (list, str),
        "probe_insertion": (list,),
    },
    "subjects": {"genotype": (list, str)},
    "subject_sessions": {"sessions": (list,)},
}


class Records(Protocol):
    """Source of Alyx records."""

    def session(self, eid: str) -> dict[str, Any] | None:
        """Detail of a session."""
        ...

    def subject(self, nickname: str, lab: str | None = None) -> dict[str, Any] | None:
        """Detail of a subject; where several labs have the nickname, of that lab's."""
        ...

    def subject_sessions(self, nickname: str) -> list[dict[str, Any]] | None:
        """All sessions of a subject, as in the list; None if that is not known."""
        ...

    def insertions(self, eid: str) -> list[dict[str, Any]]:
        """Insertions of a session, by name."""
        ...

    def trajectories(self, insertion: dict[str, Any]) -> list[dict[str, Any]]:
        """Trajectories of an insertion, also those of its chronic insertion."""
        ...


def records_of(one: Any) -> Records:
    """Records of an archive.

    Parameters
    ----------
    one : ONE
        In local mode its ``cache_dir`` is read, else its ``alyx`` is asked.
    """
    if is_remote(one):
        return RemoteRecords(one)
    return LocalRecords(Path(one.cache_dir) / ".alyx")


def is_remote(one: Any) -> bool:
    """Whether a ONE client asks a server; an object without a mode does if it has no cache."""
    mode = getattr(one, "mode", None)
    return mode != "local" if mode else not hasattr(one, "cache_dir")


def parse_json(value: Any) -> dict[str, Any] | None:
    """A JSON field as a dict: parsed if it is text, None if it is null.

    Examples
    --------
    >>> parse_json('{"LEN_BLOCKS": [90, 20]}')
    {'LEN_BLOCKS': [90, 20]}
    """
    if isinstance(value, dict):
        return value
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        parsed = json.loads(value)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UnreadableFileError(f"the session's JSON field is malformed: {error}") from error
    return require_shallow(parsed) if isinstance(parsed, dict) else None


class LocalRecords:
    """Records in JSON files.

    Parameters
    ----------
    folder : Path
        With the subfolders ``sessions``, ``subjects``, ``insertions``, ``trajectories``.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def session(self, eid: str) -> dict[str, Any] | None:
        return self._read("sessions", validate_eid(eid))

    def subject(self, nickname: str, lab: str | None = None) -> dict[str, Any] | None:
        # a nickname that could not be a file name has no record here
        found = self._read("subjects", nickname)
        return of_lab(found[SHARED], lab) if found and SHARED in found else found

    def subject_sessions(self, nickname: str) -> list[dict[str, Any]] | None:
        return (self._read("subject_sessions", nickname) or {}).get("sessions")

    def insertions(self, eid: str) -> list[dict[str, Any]]:
        record = self.session(eid)
        listed = (record or {}).get("probe_insertion")
        if listed:
            found = [self._read("insertions", str(item.get("id"))) or item for item in listed]
        else:
            found = self._matching("insertions", {"session": eid})
        return sorted(found, key=lambda insertion: str(insertion.get("name")))

    def trajectories(self, insertion: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = {"probe_insertion": insertion.get("id")}
        found = self._matching("trajectories", wanted)
        chronic = insertion.get("chronic_insertion")
        if chronic:
            found += self._matching("trajectories", {"chronic_insertion": chronic})
        return found

    def _matching(self, endpoint: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
        """Records in which all fields end with these identifiers (they may be addresses)."""
        folder = self._folder / endpoint
        if not folder.is_dir():
            return []
        found = []
        for path in sorted(filter(Path.is_file, folder.glob("*.json"))):
            # most files are other sessions': parse only those that name the identifier
            text = _read_text(path)
            if all(str(value) in text for value in fields.values()):
                record = _parse(text, path)
                if all(identifier(record.get(k)) == str(v) for k, v in fields.items()):
                    found.append(record)
        return found

    def _read(self, endpoint: str, name: str) -> dict[str, Any] | None:
        path = self._folder / endpoint / f"{name}.json"
        # an identifier within a record is no safer than one from outside
        if not is_valid_name(name) or not path.is_file():
            return None
        record = _parse(_read_text(path), path)
        _require_shape(record, endpoint, path)
        return record


class RemoteRecords:
    """Records asked from Alyx.

    Parameters
    ----------
    one : ONE
        In remote mode.
    """

    def __init__(self, one: Any):
        self._one = one

    def session(self, eid: str) -> dict[str, Any] | None:
        return self._read("sessions", validate_eid(eid))

    def subject(self, nickname: str, lab: str | None = None) -> dict[str, Any] | None:
        try:
            return self._read("subjects", nickname)
        except ServerError:
            return of_lab(same_named(self._one, nickname), lab)

    def subject_sessions(self, nickname: str) -> list[dict[str, Any]] | None:
        rows = rest(self._one, "sessions", "list", subject=nickname, limit=_ALYX_MAX_ROWS)
        # the filter does not tell capitals from small letters
        return [row for row in rows if row["subject"] == nickname]

    def insertions(self, eid: str) -> list[dict[str, Any]]:
        found = rest(self._one, "insertions", "list", session=eid)
        return sorted(found, key=lambda insertion: str(insertion.get("name")))

    def trajectories(self, insertion: dict[str, Any]) -> list[dict[str, Any]]:
        found = rest(self._one, "trajectories", "list", probe_insertion=insertion["id"])
        chronic = insertion.get("chronic_insertion")
        if chronic:
            found += rest(self._one, "trajectories", "list", chronic_insertion=chronic)
        return list(found)

    def _read(self, endpoint: str, name: str) -> dict[str, Any] | None:
        try:
            return require_shallow(rest(self._one, endpoint, "read", name))
        except NotFoundError:
            return None


def require_place(eid: str, **parts: Any) -> None:
    """Refuse a session of which the archive does not know what its folder is named after.

    Raises
    ------
    MalformedFileError
        Naming the parts that are None.
    """
    absent = " and no ".join(name for name, value in parts.items() if value is None)
    if absent:
        raise MalformedFileError(f"the archive knows no {absent} of the session", eid=eid)


def require_shallow(record: dict[str, Any], path: Path | None = None) -> dict[str, Any]:
    """The record, unless it is nested so deep that it cannot be written or compared.

    Raises
    ------
    MalformedFileError
    """
    if is_too_deep(record):
        raise MalformedFileError(f"the JSON is nested more than {MAX_DEPTH} deep", path=path)
    return record


def same_named(one: Any, nickname: str) -> list[dict[str, Any]]:
    """Records of all animals of a nickname, for which Alyx answers 500 when they are several.

    Raises
    ------
    ServerError
        If that was not the reason: there is one, or none.
    """
    rows = rest(one, "subjects", "list", django=f"nickname,{nickname}", limit=_ALYX_MAX_ROWS)
    if len(rows) < _SEVERAL:
        raise ServerError(f"the record of subject {nickname!r} is there, and cannot be read")
    return list(rows)


def of_lab(records: list[dict[str, Any]], lab: str | None) -> dict[str, Any] | None:
    """The animal of a lab among those of one nickname, marked as such; None if it is not one.

    Examples
    --------
    >>> of_lab([{"lab": "a", "line": "x"}, {"lab": "b"}], "a")
    {'lab': 'a', 'line': 'x', 'shares_nickname': True}
    """
    found = [record for record in records if lab and record.get("lab") == lab]
    return {**found[0], "shares_nickname": True} if len(found) == 1 else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"no UTF-8 text: {error}", path=path) from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UnreadableFileError(f"malformed JSON: {error}", path=path) from error
    if not isinstance(record, dict):
        raise UnreadableFileError(
            f"the record is a JSON {type(record).__name__}; an object is expected", path=path
        )
    return require_shallow(record, path=path)


def _require_shape(record: dict[str, Any], endpoint: str, path: Path) -> None:
    for name, types in _SHAPES.get(endpoint, {}).items():
        value = record.get(name)
        if value is not None and not isinstance(value, types):
            raise MalformedFileError(
                f"{name} is a JSON {type(value).__name__}; a {types[0].__name__} is expected",
                path=path,
            )
    start = record.get("start_time")
    if endpoint == "sessions" and start and not _is_iso(start):
        raise MalformedFileError(f"start_time is {start!r}; ISO 8601 is expected", path=path)
    for item in record.get("probe_insertion") or [] if endpoint == "sessions" else []:
        if not isinstance(item, dict):
            raise MalformedFileError(
                f"an item of probe_insertion is a JSON {type(item).__name__}; "
                "an object is expected",
                path=path,
            )


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def identifier(value: Any) -> str | None:
    """Identifier of a related record, which Alyx gives as an id, an address or an object.

    Examples
    --------
    >>> identifier("https://alyx.example.org/sessions/51b9")
    '51b9'
    """
    if isinstance(value, dict):
        value = value.get("id") or value.get("url")
    return None if value is None else re.split(r"[/?]", str(value).rstrip("/"))[-1]
