"""A simulated archive of the data layers: Neuropixels, a passive protocol and a drug.

Every session is complete but for one thing; what that thing does to the files and what it does
to the truth are written side by side, so the truth does not come from the code that is tested.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

from iblnm.demo.cohort import frozen_uuid
from iblnm.demo.layers_changes import BEFORE, CHANGES
from iblnm.demo.layers_plan import GENERATOR, LAB, PASSIVE, Plan, complete
from iblnm.demo.layers_spikes import Planted, write_sorting

SERVER = "https://alyx.example.org"
PROJECT = "psychedelics"
N_ANIMALS = 6
STACKS = "histology/{lab}/{subject}/downsampledStacks_25/sample2ARA"


def build_layers_archive(cache_dir: Path | str, *, n_animals: int = N_ANIMALS) -> dict[str, Any]:
    """Build the archive in an empty folder.

    Parameters
    ----------
    cache_dir : Path
    n_animals : int
        Animals with a control and a drug session each; those with faults come in addition.

    Returns
    -------
    dict
        The truth, as in ``truth.json``: per eid the 38 cells, epochs, rungs of histology, the
        rules that are broken, planted rates and duplicates; the planted effect. The notes of
        the experimenters are in ``recordings.csv``.
    """
    from iblnm.archive.cache_tables import update_cache_tables

    folder = Path(cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    plans = make_plans(n_animals)
    details = []
    for plan in plans:
        details.append(_write_session(folder, plan))
    update_cache_tables(folder, details, "iblnm.demo.layers")
    notes = ["subject,date,number,condition,administration_time,control"]
    for plan in plans:
        noted = plan.start + timedelta(minutes=20)
        if plan.condition:
            control = str(plan.condition == "control")
            row = [plan.subject, plan.start.date().isoformat(), str(plan.number)]
            notes.append(",".join([*row, plan.condition, noted.time().isoformat(), control]))
    (folder / "recordings.csv").write_text("\n".join(notes) + "\n")
    truth = {
        "sessions": {plan.eid: _truth(plan) for plan in plans},
        "effect": {"condition": "LSD", "region": "HPF", "rate_ratio": 2.0},
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1, sort_keys=True))
    return truth


def _truth(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "subject": plan.subject,
        "condition": plan.condition,
        "status": plan.status,
        "epochs": plan.epochs,
        "histology": plan.histology,
        "broken_rules": sorted(plan.broken_rules),
        "units": {
            probe: {
                "uuids": own.uuids,
                "n_spikes": own.n_spikes,
                "n_duplicates": own.n_duplicates,
                "rate_pre": own.rate_pre,
                "rate_post": own.rate_post,
            }
            for probe, own in plan.planted.items()
        },
    }


def make_plans(n_animals: int) -> list[Plan]:
    """All sessions, in order of their start."""
    plans = []
    day = datetime(2024, 5, 1, 10)
    for animal in range(n_animals):
        for i, condition in enumerate(("control", "LSD")):
            plans.append(
                complete(
                    Plan(
                        f"PS_{animal:03d}",
                        day + timedelta(days=7 * i, minutes=animal),
                        condition=condition,
                        n_units=130 if animal == 0 else 24,
                    )
                )
            )
    for i, (name, change) in enumerate(CHANGES.items()):
        plan = Plan(f"PX_{i:03d}", day + timedelta(days=30 + i), name=name)
        before = BEFORE.get(name)
        if before is not None:
            before(plan)
        complete(plan)
        change(plan)
        plans.append(plan)
    return sorted(plans, key=lambda plan: plan.start)


def _write_session(folder: Path, plan: Plan) -> dict[str, Any]:
    """Write files and records; the record of the session."""
    root = folder / plan.folder
    written: list[Path] = []
    for name, content in plan.files.items():
        if isinstance(content, Planted):
            written += write_sorting(root / name, content)
        else:
            written.append(_write_file(root / name, content))
    related = [_dataset(root, path, plan) for path in written]
    for name in plan.absent:
        (root / name).unlink()
    if plan.stacks is not None:
        stacks = folder / STACKS.format(lab=LAB, subject=plan.subject)
        stacks.mkdir(parents=True, exist_ok=True)
        for channel in ("RD", "GR") if plan.stacks else ("GR",):
            (stacks / f"{plan.subject}_{channel}.tif").write_bytes(b"tif")
    record = {
        "id": plan.eid,
        "url": f"{SERVER}/sessions/{plan.eid}",
        "subject": plan.subject,
        "users": ["ana"],
        "lab": LAB,
        "projects": [PROJECT],
        "task_protocol": f"{PASSIVE}8.28.0",
        "number": plan.number,
        "start_time": plan.start.isoformat(),
        "end_time": (plan.start + timedelta(minutes=55)).isoformat(),
        "json": None,
        "qc": "NOT_SET",
        "extended_qc": plan.extended_qc,
        "data_dataset_session_related": related,
        "probe_insertion": [{"id": item["id"], "name": item["name"]} for item in plan.insertions],
    }
    _write_record(folder, "sessions", plan.eid, record)
    _write_record(folder, "subjects", plan.subject, {"nickname": plan.subject, "lab": LAB})
    for item in plan.insertions:
        _write_record(folder, "insertions", item["id"], item)
    return record


def _write_file(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        path.write_text(json.dumps(content))
    elif path.suffix == ".parquet":
        content.to_parquet(path)
    else:
        content.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def _dataset(root: Path, path: Path, plan: Plan) -> dict[str, Any]:
    rel = path.relative_to(root).as_posix()
    parts = rel.split("/")
    revision = next((part.strip("#") for part in parts if part.startswith("#")), None)
    collection = "/".join(part for part in parts[:-1] if not part.startswith("#"))
    return {
        "id": frozen_uuid(GENERATOR, plan.folder, rel),
        "name": path.name,
        "dataset_type": ".".join(path.name.split(".")[:2]),
        "data_url": f"{SERVER}/data/{plan.folder}/{rel}",
        "url": f"{SERVER}/datasets/{frozen_uuid(GENERATOR, plan.folder, rel)}",
        "file_size": path.stat().st_size,
        "hash": md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
        "version": "iblsorter_1.9.0" if "probe" in collection else "",
        "collection": collection,
        "revision": revision,
        "default_revision": "True",
        "qc": "NOT_SET",
    }


def _write_record(folder: Path, endpoint: str, name: str, record: dict[str, Any]) -> None:
    path = folder / ".alyx" / endpoint / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
