"""The REST endpoints: their rows, details, parameters and fields to filter by."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from iblnm.demo.alyx.model import AlyxModel, Dataset, Session
from iblnm.demo.alyx.query import Field

Row = dict[str, Any]

_LISTED = ("id", "subject", "start_time", "number", "lab", "projects", "task_protocol")


@dataclass(frozen=True)
class Endpoint:
    """One endpoint.

    Parameters
    ----------
    items : callable
        Gives all items of the model by their key.
    row, detail : callable
        Give the JSON of an item in a list and alone: (model, item, address) -> dict.
    fields : dict
        What ``django=`` can ask for.
    params : dict
        Query parameters with the lookup that each stands for.
    by_start_time : bool
        Whether a list is in order of start time, latest first, and of nothing else.
    """

    items: Callable[[AlyxModel], dict[str, Any]]
    row: Callable[[AlyxModel, Any, str], Row]
    detail: Callable[[AlyxModel, Any, str], Row]
    fields: dict[str, Field] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    by_start_time: bool = False


def session_row(session: Session) -> str:
    """A row of the list of sessions, as JSON text."""
    if session.listed is None:
        session.listed = json.dumps({name: session.fields[name] for name in _LISTED})
    return session.listed


def file_name(dataset: Dataset) -> str:
    """Path of a dataset within its session, with the identifier in the name."""
    path = PurePosixPath(dataset.rel_path)
    return str(path.with_name(f"{path.stem}.{dataset.id}{path.suffix}"))


def _session_detail(model: AlyxModel, session: Session, address: str) -> Row:
    insertions = [row for row in model.insertions.values() if row["session"] == session.eid]
    folder = f"{address}/data/{session.path}"
    return {
        **session.fields,
        "url": f"{address}/sessions/{session.eid}",
        "auto_datetime": session.stamp.isoformat(),
        "data_dataset_session_related": [
            {
                "id": dataset.id,
                "name": dataset.name,
                "dataset_type": dataset.dataset_type,
                "data_url": f"{folder}/{file_name(dataset)}" if dataset.has_file else None,
                "url": f"{address}/datasets/{dataset.id}",
                "file_size": dataset.size,
                "hash": dataset.hash,
                "version": dataset.version,
                "collection": dataset.collection or None,
                "revision": dataset.revision,
                "default_revision": str(dataset.default),
                "qc": dataset.qc,
            }
            for dataset in session.datasets
        ],
        "probe_insertion": sorted(insertions, key=lambda row: str(row["name"])),
    }


def _dataset_row(model: AlyxModel, dataset: Dataset, address: str) -> Row:
    session = model.sessions[dataset.eid]
    known = session.fields
    relative = PurePosixPath(session.path)
    return {
        "url": f"{address}/datasets/{dataset.id}",
        "name": dataset.name,
        "created_by": "root",
        "created_datetime": dataset.stamp.isoformat(),
        "dataset_type": dataset.dataset_type,
        "data_format": dataset.name.rpartition(".")[2],
        "collection": dataset.collection,
        "session": f"{address}/sessions/{dataset.eid}",
        "file_size": dataset.size,
        "hash": dataset.hash,
        "version": dataset.version,
        "experiment_number": known["number"],
        "file_records": [
            {
                "id": str(uuid.uuid3(uuid.NAMESPACE_URL, dataset.id)),
                "data_repository": f"demo_{known['lab']}",
                "data_repository_path": f"/data/{known['lab']}/Subjects/",
                "relative_path": f"{'/'.join(relative.parts[2:])}/{dataset.rel_path}",
                "data_url": f"{address}/data/{session.path}/{file_name(dataset)}",
                "exists": True,
            }
        ],
        "subject": known["subject"],
        "date": known["start_time"][:10],
        "number": known["number"],
        "auto_datetime": dataset.stamp.isoformat(),
        "revision": dataset.revision,
        "default_dataset": dataset.default,
        "protected": False,
        "public": False,
        "tags": [],
        "qc": dataset.qc,
        "json": None,
    }


def _file_row(model: AlyxModel, dataset: Dataset, address: str) -> Row:
    key = str(uuid.uuid3(uuid.NAMESPACE_URL, dataset.id))
    session = model.sessions[dataset.eid]
    return {
        "url": f"{address}/files/{key}",
        "dataset": dataset.id,
        "data_repository": f"demo_{session.fields['lab']}",
        "name": dataset.name,
        "json": None,
        "relative_path": f"{session.path}/{dataset.rel_path}",
        "exists": True,
    }


def _with_url(endpoint: str, key: str) -> Callable[[AlyxModel, Row, str], Row]:
    return lambda model, row, address: {**row, "url": f"{address}/{endpoint}/{row[key]}"}


def _plain(model: AlyxModel, row: Row, address: str) -> Row:
    return dict(row)


def _of(name: str, kind: str = "text") -> Field:
    return Field(kind, lambda row: [row.get(name)])


def _info(name: str, kind: str = "text") -> Field:
    return Field(kind, lambda row: _many(row.get("session_info", {}).get(name)))


def _of_session(name: str, kind: str = "text") -> Field:
    return Field(kind, lambda session: _many(session.fields.get(name)))


def _of_datasets(kind: str, value: Callable[[Dataset], Any]) -> Field:
    return Field(kind, lambda session: [value(dataset) for dataset in session.datasets])


def _of_dataset(kind: str, value: Callable[[Dataset], Any]) -> Field:
    return Field(kind, lambda dataset: [value(dataset)])


def _many(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]


_DATASET_VALUES: dict[str, tuple[str, Callable[[Dataset], Any]]] = {
    "id": ("uuid", lambda dataset: dataset.id),
    "pk": ("uuid", lambda dataset: dataset.id),
    "name": ("text", lambda dataset: dataset.name),
    "collection": ("text", lambda dataset: dataset.collection),
    "hash": ("text", lambda dataset: dataset.hash),
    "file_size": ("number", lambda dataset: dataset.size),
    "auto_datetime": ("datetime", lambda dataset: dataset.stamp),
    "created_datetime": ("datetime", lambda dataset: dataset.stamp),
    "dataset_type__name": ("text", lambda dataset: dataset.dataset_type),
    "revision__name": ("text", lambda dataset: dataset.revision),
    "default_dataset": ("bool", lambda dataset: dataset.default),
}
_SESSION_FIELDS = {
    "id": _of_session("id", "uuid"),
    "pk": _of_session("id", "uuid"),
    "subject__nickname": _of_session("subject"),
    "lab__name": _of_session("lab"),
    "projects__name": _of_session("projects"),
    "users__username": _of_session("users"),
    "location__name": _of_session("location"),
    "task_protocol": _of_session("task_protocol"),
    "type": _of_session("type"),
    "qc": _of_session("qc"),
    "number": _of_session("number", "number"),
    "n_trials": _of_session("n_trials", "number"),
    "start_time": Field("datetime", lambda session: [session.start]),
    "auto_datetime": Field("datetime", lambda session: [session.stamp]),
    **{
        f"data_dataset_session_related__{name}": _of_datasets(kind, value)
        for name, (kind, value) in _DATASET_VALUES.items()
    },
}
_INSERTION_FIELDS = {
    "id": _of("id", "uuid"),
    "pk": _of("id", "uuid"),
    "name": _of("name"),
    "serial": _of("serial"),
    "model__name": _of("model"),
    "session": _of("session", "uuid"),
    "session__id": _of("session", "uuid"),
    "session__subject__nickname": _info("subject"),
    "session__projects__name": _info("projects"),
    "session__lab__name": _info("lab"),
    "chronic_insertion": _of("chronic_insertion", "uuid"),
}

ENDPOINTS: dict[str, Endpoint] = {
    "sessions": Endpoint(
        items=lambda model: model.sessions,
        row=lambda model, session, address: json.loads(session_row(session)),
        detail=_session_detail,
        fields=_SESSION_FIELDS,
        params={
            "id": "id",
            "subject": "subject__nickname__iexact",
            "lab": "lab__name__iexact",
            "number": "number",
            "start_time": "start_time",
            "project": "projects__name__icontains",
            "projects": "projects__name__icontains",
            "task_protocol": "task_protocol__icontains",
            "location": "location__name__icontains",
            "users": "users__username",
            "type": "type__iexact",
            "qc": "qc",
            "datasets": "data_dataset_session_related__name",
            "dataset_types": "data_dataset_session_related__dataset_type__name",
            "date_range": "start_time__date__range",
        },
        by_start_time=True,
    ),
    "datasets": Endpoint(
        items=lambda model: model.datasets,
        row=_dataset_row,
        detail=_dataset_row,
        fields={
            **{name: _of_dataset(*value) for name, value in _DATASET_VALUES.items()},
            "session": _of_dataset("uuid", lambda dataset: dataset.eid),
            "session__id": _of_dataset("uuid", lambda dataset: dataset.eid),
        },
        params={
            "id": "id",
            "session": "session",
            "name": "name",
            "collection": "collection",
            "dataset_type": "dataset_type__name",
            "default_dataset": "default_dataset",
            "exists": "",
        },
    ),
    "files": Endpoint(
        items=lambda model: {
            str(uuid.uuid3(uuid.NAMESPACE_URL, key)): dataset
            for key, dataset in model.datasets.items()
        },
        row=_file_row,
        detail=_file_row,
        fields={
            "dataset": _of_dataset("uuid", lambda dataset: dataset.id),
            "dataset__id": _of_dataset("uuid", lambda dataset: dataset.id),
            "data_repository__globus_is_personal": _of_dataset("bool", lambda dataset: False),
        },
        params={"dataset": "dataset"},
    ),
    "subjects": Endpoint(
        items=lambda model: model.subjects,
        row=_with_url("subjects", "nickname"),
        detail=_with_url("subjects", "nickname"),
        fields={
            "id": _of("id", "uuid"),
            "nickname": _of("nickname"),
            "lab__name": _of("lab"),
            "projects__name": Field("text", lambda row: _many(row.get("projects"))),
        },
        params={
            "nickname": "nickname",
            "name": "nickname",
            "lab": "lab__name",
            "project": "projects__name__icontains",
        },
    ),
    "insertions": Endpoint(
        items=lambda model: model.insertions,
        row=_plain,
        detail=_plain,
        fields=_INSERTION_FIELDS,
        params={
            "id": "id",
            "name": "name",
            "model": "model__name",
            "session": "session",
            "subject": "session__subject__nickname",
            "project": "session__projects__name__icontains",
            "lab": "session__lab__name",
            "chronic_insertion": "chronic_insertion",
        },
    ),
    "chronic-insertions": Endpoint(
        items=lambda model: model.chronic_insertions,
        row=_plain,
        detail=_plain,
        fields={
            "id": _of("id", "uuid"),
            "name": _of("name"),
            "serial": _of("serial"),
            "model__name": _of("model"),
            "subject__nickname": _of("subject"),
            "lab__name": _of("lab"),
        },
        params={
            "id": "id",
            "name": "name",
            "model": "model__name",
            "serial": "serial",
            "subject": "subject__nickname",
            "lab": "lab__name",
        },
    ),
    "trajectories": Endpoint(
        items=lambda model: model.trajectories,
        row=_plain,
        detail=_plain,
        fields={
            "id": _of("id", "uuid"),
            "probe_insertion": _of("probe_insertion", "uuid"),
            "chronic_insertion": _of("chronic_insertion", "uuid"),
            "provenance": _of("provenance"),
            "session": _of("session", "uuid"),
        },
        params={
            "id": "id",
            "probe_insertion": "probe_insertion",
            "chronic_insertion": "chronic_insertion",
            "provenance": "provenance__iexact",
            "session": "session",
        },
    ),
    "projects": Endpoint(
        items=lambda model: model.projects,
        row=_plain,
        detail=_plain,
        fields={"name": _of("name")},
        params={"name": "name"},
    ),
    # asked for before a download; there is none for Amazon's storage, as in most labs
    "data-repository": Endpoint(items=lambda model: {}, row=_plain, detail=_plain),
}
