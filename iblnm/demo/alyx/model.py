"""What the demo server knows: sessions, datasets, subjects, insertions, trajectories."""

from __future__ import annotations

import hashlib
import random
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

PROJECT = "ibl_fibrephotometry"
_LAB = "cortexlab"
VERSION = "4.1.0"
_PROTOCOL = "_iblrig_tasks_biasedChoiceWorld8.12.5"


@dataclass
class Dataset:
    """One registered dataset.

    Parameters
    ----------
    id, eid : str
    rel_path : str
        Path within the session, with its revision folder.
    size : int
        Registered size [bytes].
    hash : str or None
        Registered md5.
    stamp : datetime
        ``auto_datetime``: the last save of the row.
    revision : str or None
    default : bool
        Whether it is the default revision.
    content : bytes or None
        What a download gives; None reads the file of the archive.
    version : str
        Of the software that made it.
    has_file : bool
        Whether the file server has it; a record without a file has no address.
    """

    id: str
    eid: str
    rel_path: str
    size: int | None
    hash: str | None
    stamp: datetime
    revision: str | None = None
    default: bool = True
    qc: str = "NOT_SET"
    content: bytes | None = None
    version: str = VERSION
    has_file: bool = True

    @property
    def name(self) -> str:
        """File name."""
        return self.rel_path.rpartition("/")[2]

    @property
    def collection(self) -> str:
        """Folder, without that of the revision."""
        parts = self.rel_path.split("/")[:-1]
        return "/".join(part for part in parts if not part.startswith("#"))

    @property
    def dataset_type(self) -> str:
        """First two parts of the name."""
        return ".".join(self.name.split(".")[:2])


@dataclass
class Session:
    """One session: the fields of its REST detail, and what the filters need of them."""

    fields: dict[str, Any]
    stamp: datetime
    datasets: list[Dataset] = field(default_factory=list)
    listed: str | None = None
    """Its row of the list as JSON text, made once."""

    @property
    def eid(self) -> str:
        """Identifier."""
        return self.fields["id"]

    @property
    def start(self) -> datetime | None:
        """Start time, which Alyx does not require."""
        text = self.fields["start_time"]
        return datetime.fromisoformat(text) if text else None

    @property
    def path(self) -> str:
        """Folder of the session in an archive."""
        known = self.fields
        number, start = int(known["number"] or 0), str(known["start_time"])
        return f"{known['lab']}/Subjects/{known['subject']}/{start[:10]}/{number:03d}"


class AlyxModel:
    """The database behind the server; every method may be called from any thread.

    Parameters
    ----------
    seed : int
        Of the identifiers, and of the order among equal start times.
    clock : callable, optional
        Gives the server's time, naive as on Alyx.
    """

    def __init__(self, *, seed: int = 0, clock: Callable[[], datetime] = datetime.now):
        self.lock = threading.RLock()
        self.random = random.Random(seed)
        self.sessions: dict[str, Session] = {}
        self.datasets: dict[str, Dataset] = {}
        self.subjects: dict[str, dict[str, Any]] = {}
        self.insertions: dict[str, dict[str, Any]] = {}
        self.chronic_insertions: dict[str, dict[str, Any]] = {}
        self.trajectories: dict[str, dict[str, Any]] = {}
        self.projects: dict[str, dict[str, Any]] = {}
        self._clock = clock

    def now(self) -> datetime:
        """Time of the server, naive."""
        return self._clock()

    def new_id(self) -> str:
        """A new identifier, from the seed."""
        with self.lock:
            return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def register_session(
        self,
        *,
        eid: str | None = None,
        subject: str = "DM-001",
        start_time: datetime | None = None,
        number: int = 1,
        lab: str = _LAB,
        projects: Iterable[str] = (PROJECT,),
        task_protocol: str = _PROTOCOL,
        auto_datetime: datetime | None = None,
        **fields: Any,
    ) -> str:
        """Register a session.

        Parameters
        ----------
        auto_datetime : datetime, optional
            Stamp of the row; now by default.
        **fields
            Further fields of the REST detail.

        Returns
        -------
        str
            Its eid.
        """
        with self.lock:
            eid = eid or self.new_id()
            start = start_time or self.now()
            names = list(projects)
            known = {
                "id": eid,
                "subject": subject,
                "users": ["ana"],
                "location": f"rig_{lab}",
                "procedures": ["Behavior training/tasks", "Fiber photometry"],
                "lab": lab,
                "projects": names,
                "type": "Experiment",
                "task_protocol": task_protocol,
                "number": number,
                "start_time": start.isoformat(),
                "end_time": (start + timedelta(hours=1)).isoformat(),
                "narrative": "",
                "parent_session": None,
                "n_correct_trials": None,
                "n_trials": None,
                "extended_qc": None,
                "qc": "NOT_SET",
                "json": None,
                "wateradmin_session_related": [],
                "field_of_view": [],
                "notes": [],
                **fields,
            }
            self.sessions[eid] = Session(known, auto_datetime or self.now())
            for name in names:
                self.projects.setdefault(name, {"name": name, "description": "", "users": []})
            self.subjects.setdefault(subject, _subject(subject, lab, names))
            return eid

    def add_dataset(
        self,
        eid: str,
        rel_path: str,
        content: bytes | None = None,
        *,
        size: int | None = None,
        hash: str | None = None,
        revision: str | None = None,
        default: bool = True,
        auto_datetime: datetime | None = None,
        id: str | None = None,
        qc: str = "NOT_SET",
        version: str = VERSION,
        has_file: bool = True,
    ) -> str:
        """Register a dataset; as on Alyx the stamp of the session does not move.

        Parameters
        ----------
        rel_path : str
            Path within the session without revision folder.
        content : bytes, optional
            What a download gives; size and hash are taken from it unless they are given.
        revision : str, optional
            Adds the folder ``#revision#``; a new default replaces the former.

        Returns
        -------
        str
            Its id.
        """
        with self.lock:
            if content is not None:
                size = len(content) if size is None else size
                hash = hash or hashlib.md5(content, usedforsecurity=False).hexdigest()
            folder, _, name = rel_path.rpartition("/")
            session = self.sessions[eid]
            if default:
                for other in session.datasets:
                    if (other.collection, other.name) == (folder, name):
                        other.default = False
            parts = [folder, f"#{revision}#" if revision else "", name]
            dataset = Dataset(
                id=id or self.new_id(),
                eid=eid,
                rel_path="/".join(part for part in parts if part),
                size=size,
                hash=hash,
                stamp=auto_datetime or self.now(),
                revision=revision,
                default=default,
                qc=qc,
                content=content,
                version=version,
                has_file=has_file,
            )
            session.datasets.append(dataset)
            self.datasets[dataset.id] = dataset
            return dataset.id


def _subject(nickname: str, lab: str, projects: list[str]) -> dict[str, Any]:
    return {
        "nickname": nickname,
        "id": str(uuid.uuid3(uuid.NAMESPACE_DNS, nickname)),
        "lab": lab,
        "projects": projects,
        "strain": "C57BL/6J",
        "line": "Ai148xDat",
        "genotype": [],
        "sex": "M",
        "species": "Laboratory mouse",
        "birth_date": "2023-09-01",
        "death_date": None,
        "alive": True,
        "json": None,
    }
