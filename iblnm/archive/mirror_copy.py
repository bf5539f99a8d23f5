"""One run of a mirror: asks for records and files, and writes each whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from iblnm.archive.journal import Journal
from iblnm.archive.records import SHARED, identifier, require_shallow, same_named
from iblnm.archive.remote import rest
from iblnm.errors import DataError, NotFoundError, ServerError, UnknownSessionError
from iblnm.io.digital_inputs import DIGITAL_INPUTS
from iblnm.io.photometry import RAW_FRAMES, SIGNAL
from iblnm.io.regions import DESCRIPTION, LOCATIONS
from iblnm.io.task_files import (
    CAMERA_TIMES,
    RAW_TASK_FILES,
    TRIALS,
    WHEEL_POSITION,
    WHEEL_TIMES,
    raw_collection,
    raw_trials_collections,
    task_collections,
)
from iblnm.storage.atomic import write_whole
from iblnm.storage.names import validate_name

# what the pipeline opens; the other categories are only looked for in the list of datasets
NEEDED: tuple[tuple[str, ...], ...] = (
    (DESCRIPTION,),
    (LOCATIONS,),
    (SIGNAL,),
    RAW_FRAMES,
    *(
        (f"alf/{name}", f"alf/task_*/{name}")
        for name in (TRIALS, WHEEL_POSITION, WHEEL_TIMES, CAMERA_TIMES)
    ),
)
_ALYX_MAX_ROWS = 1000
_FAILURES_IN_A_ROW = 3
_ONE_FILE = ("sessions", "subject_sessions")


@dataclass
class MirrorReport:
    """What a mirror has done.

    Parameters
    ----------
    eids : list of str
        Sessions whose records are complete.
    failures : dict
        Eid to message: unknown to Alyx, or a file that was damaged twice.
    n_records, n_files, n_bytes : int
        Records asked from Alyx; files downloaded and their size [bytes].
    n_intact : int
        Files that were there already, with the size and hash that Alyx records.
    resumed : int
        Steps taken over from an interrupted run.
    """

    eids: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    n_records: int = 0
    n_files: int = 0
    n_bytes: int = 0
    n_intact: int = 0
    resumed: int = 0

    def summary(self, folder: Path) -> str:
        """A few lines for a person."""
        complete = len(set(self.eids) - set(self.failures))
        lines = [
            f"complete in {folder}: {_count(complete, 'session')}; "
            f"{_count(self.n_records, 'answer')} of Alyx"
        ]
        if self.resumed:
            steps = f"{_count(self.resumed, 'step')} had been done before"
            lines.append(f"went on after an interruption: {steps}")
        if self.n_files or self.n_intact:
            megabytes = self.n_bytes / 1e6
            lines.append(
                f"fetched: {_count(self.n_files, 'file')} ({megabytes:.1f} MB); there before: "
                f"{self.n_intact}"
            )
        if self.failures:
            lines.append(f"not complete: {_count(len(self.failures), 'session')}, named above")
        return "\n".join(lines)


class Copy:
    """One run: what it has asked for, and what is on disk of earlier ones."""

    def __init__(self, one: Any, folder: Path, journal: Journal):
        self._one = one
        self._folder = folder
        self._records = folder / ".alyx"
        self._journal = journal
        self._known = {
            "insertions": _related(self._records / "insertions", ("session",)),
            "trajectories": _related(
                self._records / "trajectories", ("probe_insertion", "chronic_insertion")
            ),
        }
        self.report = MirrorReport(resumed=journal.resumed)
        self._failing: list[ServerError] = []

    def session(self, eid: str, datasets: bool) -> None:
        """Copy a session; what is wrong with this one alone is noted.

        Raises
        ------
        ServerError
            If the server failed for the third session in a row.
        """
        from iblnm.archive.remote_one import describe_record

        try:
            self._step("sessions", eid, lambda: self._read("sessions", eid))
            detail = self.detail(eid)
            described = describe_record(detail, self._folder)
            subject = validate_name(detail["subject"])
            self._step("subjects", subject, lambda: self._read_subject(subject))
            self._step("subject_sessions", subject, lambda: self._list_sessions(subject))
            self._step("insertions of", eid, lambda: self._list("insertions", "session", eid))
            for insertion in detail.get("probe_insertion") or []:
                self._trajectories("probe_insertion", insertion.get("id"))
                self._trajectories("chronic_insertion", insertion.get("chronic_insertion"))
            self.report.eids.append(eid)
            problems = self._files(eid, described) if datasets else []
            if problems:
                self.report.failures[eid] = "\n".join(problems)
        except NotFoundError as error:
            unknown = UnknownSessionError(f"Alyx has no such record ({error})", eid=eid)
            self.report.failures[eid] = str(unknown)
        except DataError as error:
            self.report.failures[eid] = str(error)
        except ServerError as error:
            self._failing.append(error)
            self.report.failures[eid] = str(error)
            if len(self._failing) >= _FAILURES_IN_A_ROW:
                raise
        else:
            self._failing.clear()

    def require_server(self) -> None:
        """Raise what the server failed with, if it did not recover."""
        if self._failing:
            raise self._failing[0]

    def detail(self, eid: str) -> dict[str, Any]:
        """Record of a session, from disk."""
        return json.loads(self._path("sessions", eid).read_text(encoding="utf-8"))

    def _path(self, endpoint: str, name: str) -> Path:
        return self._records / endpoint / f"{validate_name(name)}.json"

    def _step(self, kind: str, key: str, work: Callable[[], None]) -> None:
        name = f"{kind} {key}"
        is_lost = kind in _ONE_FILE and not self._path(kind, key).is_file()
        if name not in self._journal or is_lost:
            work()
            self.report.n_records += 1
            self._journal.add(name)

    def _trajectories(self, relation: str, value: Any) -> None:
        key = identifier(value)
        if key:
            kind = f"trajectories of {relation}"
            self._step(kind, key, lambda: self._list("trajectories", relation, key))

    def _read(self, endpoint: str, key: str) -> None:
        self._write(endpoint, key, require_shallow(rest(self._one, endpoint, "read", key)))

    def _read_subject(self, subject: str) -> None:
        try:
            self._read("subjects", subject)
        except ServerError:
            records = same_named(self._one, subject)
            self._write("subjects", subject, {"nickname": subject, SHARED: records})
        except NotFoundError:  # as in remote mode: a session without what is known of its animal
            self._path("subjects", subject).unlink(missing_ok=True)

    def _list(self, endpoint: str, relation: str, key: str) -> None:
        """Write all records of a relation, and delete those that Alyx no longer has."""
        answer = rest(self._one, endpoint, "list", **{relation: key}, limit=_ALYX_MAX_ROWS)
        for record in answer:
            self._write(endpoint, str(record["id"]), record)
        listed = {str(record["id"]) for record in answer}
        for gone in self._known[endpoint].pop((relation, key), set()) - listed:
            (self._records / endpoint / f"{gone}.json").unlink(missing_ok=True)

    def _list_sessions(self, subject: str) -> None:
        """Write the list of a subject's sessions: the number of a session counts in all."""
        answer = rest(self._one, "sessions", "list", subject=subject, limit=_ALYX_MAX_ROWS)
        rows = [row for row in answer if row["subject"] == subject]
        rows.sort(key=lambda row: (row["start_time"] or "", row["number"] or 0, row["id"]))
        self._write("subject_sessions", subject, {"subject": subject, "sessions": rows})

    def _write(self, endpoint: str, name: str, record: dict[str, Any]) -> None:
        path = self._path(endpoint, name)
        content = (json.dumps(record, sort_keys=True) + "\n").encode()
        # untouched if nothing changed: who watches the folder sees only what is new
        if not path.is_file() or path.read_bytes() != content:
            with write_whole(path) as temporary:
                temporary.write_bytes(content)

    def _files(self, eid: str, described: tuple[Path, Any]) -> list[str]:
        """Fetch what is missing or not intact; what is wrong with the rest."""
        from iblnm.archive.datasets import dataset_path, session_datasets

        recorded = _Recorded(self._one, described, self._folder)
        listed = sorted({found.name for found in session_datasets(recorded, eid)})
        problems = []
        for patterns in _of_all_tasks(listed):
            before = recorded.n_downloads
            try:
                path = dataset_path(recorded, eid, patterns)
            except DataError as error:
                problems.append(str(error))
                continue
            if path is not None and recorded.n_downloads > before:
                self.report.n_files += 1
                self.report.n_bytes += path.stat().st_size
            else:
                self.report.n_intact += path is not None
        return problems


def _of_all_tasks(listed: Sequence[str]) -> Iterator[Sequence[str]]:
    """What is needed, where the files of each task of a session are needed by their own names."""
    for patterns in NEEDED:
        if any("task_*" in pattern for pattern in patterns):
            yield from (
                [name] for name in listed if any(fnmatchcase(name, each) for each in patterns)
            )
        else:
            yield patterns
    yield from _not_extracted(listed)


def _not_extracted(listed: Sequence[str]) -> Iterator[Sequence[str]]:
    """The raw files that trials, wheel and clock are taken from where they are not extracted."""
    extracted = [name for name in task_collections(listed) if f"{name}/{TRIALS}" in listed]
    for collection in raw_trials_collections(listed):
        has_wheel = f"{collection}/{WHEEL_POSITION}" in listed
        if (collection in extracted and not has_wheel) or not extracted:
            names = (f"{raw_collection(collection)}/{file}" for file in RAW_TASK_FILES)
            yield from ([name] for name in names if name in listed)
    if SIGNAL not in listed:
        yield DIGITAL_INPUTS


class _Recorded:
    """A client that takes the list of datasets from a session's record, and counts."""

    mode = "remote"

    def __init__(self, one: Any, described: tuple[Path, Any], folder: Path):
        self.cache_dir = folder
        self.revision_before = one.revision_before
        self.lock_timeout_s = one.lock_timeout_s
        self.n_downloads = 0
        self._one = one
        self._described = described

    def describe(self, eid: str) -> tuple[Path, Any]:
        return self._described

    def download(self, url: str, path: Path, *, size: int | None = None) -> str:
        self.n_downloads += 1
        return self._one.download(url, path, size=size)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _related(folder: Path, relations: Iterable[str]) -> dict[tuple[str, str], set[str]]:
    """Records on disk by what they belong to: (relation, its identifier) to identifiers."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in folder.glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        for relation in relations:
            key = identifier(record.get(relation))
            if key:
                found.setdefault((relation, key), set()).add(path.stem)
    return found
