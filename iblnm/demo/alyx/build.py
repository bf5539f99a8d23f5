"""The model of the demo server, from an archive on disk."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from iblnm.demo.alyx.model import AlyxModel
from iblnm.errors import MissingFileError


def from_archive(cache_dir: Path | str, model: AlyxModel | None = None) -> AlyxModel:
    """Model of an archive that has records of Alyx, such as the simulated one.

    Parameters
    ----------
    cache_dir : Path
        With ``.alyx/``; its files are what the server hands out.
    model : AlyxModel, optional
        Where the records are added; a new one by default.

    Raises
    ------
    MissingFileError
        If there are no records.
    """
    folder = Path(cache_dir) / ".alyx"
    if not (folder / "sessions").is_dir():
        raise MissingFileError("no records of Alyx", path=folder / "sessions")
    model = model or AlyxModel()
    for record in _records(folder / "subjects"):
        model.subjects[record["nickname"]] = record
    for record in _records(folder / "sessions"):
        _add_session(model, record)
    for record in _records(folder / "insertions"):
        model.insertions[record["id"]] = record
        _add_chronic(model, record)
    for record in _records(folder / "trajectories"):
        model.trajectories[record["id"]] = record
    return model


def _records(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _add_session(model: AlyxModel, record: dict[str, Any]) -> None:
    fields = dict(record)
    related = fields.pop("data_dataset_session_related")
    stamp = datetime.fromisoformat(fields.pop("auto_datetime", fields["start_time"]))
    for name in ("url", "probe_insertion"):
        fields.pop(name, None)
    fields["eid"] = fields.pop("id")
    fields["start_time"] = datetime.fromisoformat(fields["start_time"])
    eid = model.register_session(auto_datetime=stamp, **fields)
    for item in related:
        path = f"{item['collection'] or ''}/{item['name']}".lstrip("/")
        model.add_dataset(
            eid,
            path,
            size=item["file_size"],
            hash=item["hash"],
            revision=item["revision"],
            default=item["default_revision"] == "True",
            auto_datetime=stamp,
            id=item["id"],
            qc=item["qc"],
            version=item["version"],
            has_file=bool(item["data_url"]),
        )


def _add_chronic(model: AlyxModel, insertion: dict[str, Any]) -> None:
    key, info = insertion.get("chronic_insertion"), insertion.get("session_info")
    if key:
        known = model.chronic_insertions.setdefault(
            key,
            {
                "id": key,
                "name": insertion["name"],
                "subject": info["subject"],
                "lab": info["lab"],
                "model": insertion["model"],
                "start_time": info["start_time"],
                "serial": insertion["serial"],
                "json": None,
                "probe_insertion": [],
            },
        )
        known["probe_insertion"].append(insertion["id"])
