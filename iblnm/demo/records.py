"""Alyx records of the simulated sessions, in the shape of Alyx's REST detail."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iblnm.demo.cohort import frozen_uuid

if TYPE_CHECKING:
    import pandas as pd

    from iblnm.demo.cohort import Subject
    from iblnm.demo.draft import Draft

_SERVER = "https://alyx.example.org"
_PROJECT = "ibl_fibrephotometry"
_USERS = ("ana", "ben", "chloe")


def session_record(draft: Draft, datasets: pd.DataFrame) -> dict[str, Any]:
    """Detail of a session; `datasets` has rel_path, file_size, hash and the index id."""
    plan, trials = draft.plan, draft.trials
    folder = f"{_SERVER}/data/{plan.relative_path}"
    related = [
        {
            "id": identifier,
            "name": row.rel_path.rsplit("/", 1)[-1],
            "dataset_type": ".".join(row.rel_path.rsplit("/", 1)[-1].split(".")[:2]),
            "data_url": f"{folder}/{row.rel_path}",
            "url": f"{_SERVER}/datasets/{identifier}",
            "file_size": int(row.file_size),
            "hash": row.hash,
            "version": "4.1.0",
            "collection": row.rel_path.rpartition("/")[0],
            "revision": None,
            "default_revision": "True",
            "qc": "NOT_SET",
        }
        for identifier, row in zip(datasets.index, datasets.itertuples(), strict=True)
    ]
    return {
        "id": draft.eid,
        "url": f"{_SERVER}/sessions/{draft.eid}",
        "subject": plan.subject.nickname,
        "users": [_USERS[plan.subject.index % len(_USERS)]],
        "location": f"rig_{plan.subject.lab}",
        "procedures": ["Behavior training/tasks", "Fiber photometry"],
        "lab": plan.subject.lab,
        "projects": [_PROJECT],
        "type": "Experiment",
        "task_protocol": draft.task_protocol,
        "number": plan.number,
        "start_time": plan.start.isoformat(),
        "end_time": draft.end.isoformat(),
        "narrative": "",
        "parent_session": None,
        "n_correct_trials": int((trials["feedbackType"] == 1).sum()),
        "n_trials": len(trials),
        "extended_qc": draft.extended_qc,
        "qc": "NOT_SET",
        "wateradmin_session_related": [],
        "data_dataset_session_related": related,
        "auto_datetime": (draft.plan.start + timedelta(hours=6)).isoformat(),
        "json": draft.session_json,
        "probe_insertion": [insertion_record(draft, insertion) for insertion in draft.insertions],
        "field_of_view": [],
        "notes": [],
    }


def insertion_record(draft: Draft, insertion: dict[str, Any]) -> dict[str, Any]:
    """Detail of a fiber insertion."""
    plan = draft.plan
    return {
        **insertion,
        "session": draft.eid,
        "model": "fiber",
        "session_info": {
            "subject": plan.subject.nickname,
            "start_time": plan.start.isoformat(),
            "number": plan.number,
            "lab": plan.subject.lab,
            "id": draft.eid,
            "projects": [_PROJECT],
            "task_protocol": draft.task_protocol,
        },
        "serial": "",
        "auto_datetime": plan.start.isoformat(),
        "datasets": [],
    }


def trajectory_record(draft: Draft, trajectory: dict[str, Any]) -> dict[str, Any]:
    """Detail of a planned trajectory."""
    is_chronic = trajectory["chronic_insertion"] is not None
    return {
        **trajectory,
        "session": None if is_chronic else draft.eid,
        "coordinate_system": None,
        # the time of the surgery: that of a chronic insertion belongs to no session
        "datetime": "2024-01-02T12:00:00",
        "json": None,
    }


def subject_record(subject: Subject, seed: int) -> dict[str, Any]:
    """Detail of a subject."""
    nickname = subject.nickname
    return {
        "nickname": nickname,
        "url": f"{_SERVER}/subjects/{nickname}",
        "id": frozen_uuid(seed, "subject", nickname),
        "responsible_user": _USERS[subject.index % len(_USERS)],
        "birth_date": "2023-09-01",
        "age_weeks": 18,
        "death_date": None,
        "species": "Laboratory mouse",
        "sex": "MF"[subject.index % 2],
        "litter": None,
        "strain": subject.strain,
        "source": None,
        "line": subject.line,
        "projects": [_PROJECT],
        "session_projects": [_PROJECT],
        "lab": subject.lab,
        "genotype": [{"allele": allele, "zygosity": 1} for allele in _alleles(subject.line)],
        "description": "",
        "alive": True,
        "reference_weight": 24.0,
        "last_water_restriction": None,
        "expected_water": 1.0,
        "remaining_water": 0.0,
        "json": None,
        "weighings": [],
        "water_administrations": [],
    }


def write_records(draft: Draft, datasets: pd.DataFrame, folder: Path, written: set[str]) -> None:
    """Write the records of a session; `written` holds the names of those that are there."""
    files = {f"sessions/{draft.eid}": session_record(draft, datasets)}
    nickname = draft.plan.subject.nickname
    files[f"subjects/{nickname}"] = subject_record(draft.plan.subject, draft.seed)
    for insertion in draft.insertions:
        files[f"insertions/{insertion['id']}"] = insertion_record(draft, insertion)
    for trajectory in draft.trajectories:
        files[f"trajectories/{trajectory['id']}"] = trajectory_record(draft, trajectory)
    for name in files.keys() - written:
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(files[name]), encoding="utf-8", newline="\n")
        written.add(name)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON text whose order and form do not depend on how the value was built."""
    return json.dumps(value, sort_keys=True, indent=indent, allow_nan=False) + "\n"


def _alleles(line: str) -> list[str]:
    first, _, second = line.replace(" ", "").replace("cdh", "").partition("x")
    return [first, second]
