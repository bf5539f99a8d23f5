"""Models of the demo server: from an archive on disk, or many light sessions."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from iblnm.demo.alyx.model import PROJECT, AlyxModel
from iblnm.errors import MissingFileError

_REGISTERED = (
    "alf/task_00/_ibl_trials.table.pqt",
    "alf/photometry/photometry.signal.pqt",
    "alf/photometry/photometryROI.locations.pqt",
)
_DAYS = 600
_BYTES = 1_000_000
# a name that only an exact filter tells from the project's
_NEIGHBOUR = f"{PROJECT}_pilot"


def from_archive(
    cache_dir: Path | str, *, seed: int = 0, clock: Callable[[], datetime] = datetime.now
) -> AlyxModel:
    """Model of an archive that has records of Alyx, such as the simulated one.

    Parameters
    ----------
    cache_dir : Path
        With ``.alyx/``; its files are what the server hands out.
    seed, clock
        See `AlyxModel`.

    Raises
    ------
    MissingFileError
        If there are no records.
    """
    folder = Path(cache_dir) / ".alyx"
    if not (folder / "sessions").is_dir():
        raise MissingFileError("no records of Alyx", path=folder / "sessions")
    model = AlyxModel(seed=seed, clock=clock)
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


def synthetic(
    n_sessions: int,
    *,
    seed: int = 0,
    now: datetime = datetime(2025, 6, 1),
    tied: float = 0.4,
) -> AlyxModel:
    """Model of many sessions without files; its clock stands still at `now`.

    Parameters
    ----------
    n_sessions : int
    seed : int
    now : datetime
        All stamps lie before it.
    tied : float
        Fraction of sessions that share their start time with another.
    """
    model = AlyxModel(seed=seed)
    model.set_time(now)
    generator = random.Random(f"{seed}-sessions")
    n_times = max(1, int(n_sessions * (1 - tied)))
    minutes = generator.sample(range(_DAYS * 24 * 60), n_times)
    starts = [now - timedelta(minutes=1 + minute) for minute in minutes]
    for i in range(n_sessions):
        start = starts[i] if i < n_times else generator.choice(starts)
        stamp = start + generator.random() * (now - start)
        # two sessions of one animal never have the same day and number
        eid = model.register_session(
            subject=f"SYN-{i % 97:03d}",
            number=1 + i // 97 % 900,
            start_time=start,
            auto_datetime=stamp,
            projects=[_NEIGHBOUR if i % 20 == 19 else PROJECT],
        )
        for rel_path in _REGISTERED:
            model.add_dataset(
                eid,
                rel_path,
                size=generator.randrange(1, _BYTES),
                hash=f"{generator.getrandbits(128):032x}",
                auto_datetime=stamp,
            )
    return model


def _records(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _add_session(model: AlyxModel, record: dict[str, Any]) -> None:
    fields = dict(record)
    related = fields.pop("data_dataset_session_related")
    stamp = datetime.fromisoformat(fields.pop("auto_datetime"))
    for name in ("url", "probe_insertion"):
        fields.pop(name, None)
    fields["eid"] = fields.pop("id")
    fields["start_time"] = datetime.fromisoformat(fields["start_time"])
    eid = model.register_session(auto_datetime=stamp, **fields)
    for item in related:
        path = f"{item['collection']}/{item['name']}".lstrip("/")
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
        )


def _add_chronic(model: AlyxModel, insertion: dict[str, Any]) -> None:
    key, info = insertion.get("chronic_insertion"), insertion["session_info"]
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
