"""A simulated archive of the data layers: Neuropixels, a passive protocol and a drug.

Every session is complete but for one thing; what that thing does to the files and what it does
to the truth are written side by side, so the truth does not come from the code that is tested.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.demo.cohort import frozen_uuid
from iblnm.demo.layers_spikes import Planted, plant_units, write_sorting

SERVER = "https://alyx.example.org"
LAB, PROJECT = "demolab", "psychedelics"
PASSIVE, FILLER = "_iblrig_tasks_passiveChoiceWorld", "_iblrig_tasks_spontaneous"
DONE, FAILED, MISSING = "extraction complete", "extraction error", "raw data missing"
PRE, POST = 60.0, 1560.0
"""Start of the spontaneous epoch of both runs [s of the spike clock]."""
N_ANIMALS = 6
STACKS = "histology/{lab}/{subject}/downsampledStacks_25/sample2ARA"
_CAMERAS = ("left", "right", "body")
_GENERATOR = 20240501


@dataclass
class Plan:
    """A session to write, and the truth about it."""

    subject: str
    start: datetime
    number: int = 1
    condition: str = ""
    n_units: int = 6
    stacks: bool | None = True
    probes: list[str] = field(default_factory=lambda: ["probe00"])
    files: dict[str, Any] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    insertions: list[dict[str, Any]] = field(default_factory=list)
    extended_qc: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    epochs: dict[str, Any] = field(default_factory=dict)
    histology: dict[str, str] = field(default_factory=dict)
    broken_rules: set[str] = field(default_factory=set)
    planted: dict[str, Planted] = field(default_factory=dict)
    name: str = "complete"

    @property
    def folder(self) -> str:
        day = self.start.date().isoformat()
        return f"{LAB}/Subjects/{self.subject}/{day}/{self.number:03d}"

    @property
    def eid(self) -> str:
        return frozen_uuid(_GENERATOR, self.folder, "session")


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
                _complete(
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
        _complete(plan)
        change(plan)
        plans.append(plan)
    return sorted(plans, key=lambda plan: plan.start)


def _complete(plan: Plan) -> Plan:
    """Give a plan everything that a session can have."""
    for number, protocol, minutes in ((0, PASSIVE, 0.0), (1, FILLER, 15.0), (2, PASSIVE, 25.0)):
        plan.files[f"raw_task_data_{number:02d}/_iblrig_taskSettings.raw.json"] = _settings(
            protocol, plan.start + timedelta(minutes=minutes)
        )
    for slot, task, start in (("task_pre", "task_00", PRE), ("task_post", "task_02", POST)):
        _passive_files(plan, slot, f"alf/{task}", start)
        plan.status |= {
            f"{slot}_{what}": DONE for what in ("intervalsTable", "passiveStims", "passiveGabor")
        }
        plan.epochs |= _epochs(slot, start, "extracted")
    plan.epochs |= {"LSD_admin": PRE + 900.0, "LSD_admin_source": "filler"}
    for slot in ("probe00", "probe01"):
        plan.status |= dict.fromkeys(
            (f"{slot}_{what}" for what in ("raw_ap", "sync", "spikes", "bombcell")), MISSING
        )
        plan.status |= {f"{slot}_sorter": ""}
        plan.status |= dict.fromkeys(
            f"{slot}_{w}" for w in ("traced", "alignment_uploaded", "alignment_resolved")
        )
    for i, probe in enumerate(plan.probes):
        _probe(plan, probe, i)
    for camera in _CAMERAS:
        plan.files[f"raw_video_data/_iblrig_{camera}Camera.raw.mp4"] = b"video"
        plan.files[f"alf/_ibl_{camera}Camera.lightningPose.pqt"] = b"pose"
        part = f"{camera}_camera"
        plan.status |= {f"{part}_raw_video": DONE, f"{part}_pose": DONE}
        for what in ("dropped_frames", "timestamps", "pin_state"):
            plan.extended_qc[f"_video{camera.capitalize()}_{what}"] = ["PASS", 0, 1]
            plan.status[f"{part}_{what}"] = "PASS"
    plan.status["image_stacks"] = plan.stacks
    if plan.stacks is None:
        plan.broken_rules.add("histology_unknown")
    return plan


def _probe(plan: Plan, probe: str, i: int) -> None:
    raw = f"raw_ephys_data/{probe}/_spikeglx_ephysData_g{i}_t0.imec{i}"
    plan.files[f"{raw}.ap.cbin"], plan.files[f"{raw}.sync.npy"] = b"raw", b"sync"
    folder = f"alf/{probe}/iblsorter/#2025-06-01#"
    planted = plant_units(
        plan.eid,
        probe,
        n_units=plan.n_units,
        windows={"pre": PRE, "post": POST},
        rate_ratio=2.0 if plan.condition == "LSD" else 1.0,
    )
    plan.planted[probe] = planted
    plan.files[folder] = planted
    plan.files[f"spike_sorters/iblsorter/{probe}/bombcell/templates._bc_qMetrics.parquet"] = (
        pd.DataFrame(
            {
                "phy_clusterID": np.arange(plan.n_units, dtype=float),
                "nSpikes": np.array(planted.n_spikes, dtype=float),
                "bc_unitType": ["GOOD", "MUA"] * (plan.n_units // 2),
            }
        )
    )
    slot = probe[:7]
    plan.status |= dict.fromkeys(
        (f"{slot}_{what}" for what in ("raw_ap", "sync", "spikes", "bombcell")), DONE
    )
    plan.status[f"{slot}_sorter"] = "iblsorter#2025-06-01# (iblsorter_1.9.0)"
    qc = {"alignment_count": 2, "alignment_resolved": True, "alignment_resolved_by": "qc"}
    plan.insertions.append(_insertion(plan, probe, [[0, 0, 0], [0, 0, -1000]], qc))
    plan.status |= dict.fromkeys(
        (f"{slot}_{w}" for w in ("traced", "alignment_uploaded", "alignment_resolved")), True
    )
    plan.histology[probe] = "resolved"


def _insertion(plan: Plan, probe: str, picks: list, qc: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": frozen_uuid(_GENERATOR, plan.folder, probe),
        "session": plan.eid,
        "name": probe,
        "model": "3B2",
        "serial": "19051016842",
        "session_info": {"subject": plan.subject, "lab": LAB, "number": plan.number},
        "json": {"qc": "PASS", "n_units": plan.n_units, "xyz_picks": picks, "extended_qc": qc},
    }


def _settings(protocol: str, start: datetime, version: str = "8.28.0") -> dict[str, Any]:
    return {
        "PYBPOD_PROTOCOL": protocol,
        "SESSION_DATETIME": start.isoformat(),
        "IBLRIG_VERSION": version,
    }


def _passive_files(plan: Plan, slot: str, folder: str, start: float) -> None:
    stop = 3000.0
    intervals = pd.DataFrame(
        {
            "passiveProtocol": [start - 5, stop],
            "spontaneousActivity": [start, start + 300.5],
            "RFM": [start + 310, start + 430],
            "taskReplay": [start + 440, stop],
        },
        index=["start", "stop"],
    )
    gabors = pd.DataFrame({"start": start + 442 + np.arange(20.0)})
    gabors["stop"] = gabors["start"] + 0.3
    plan.files[f"{folder}/_ibl_passivePeriods.intervalsTable.csv"] = intervals
    plan.files[f"{folder}/_ibl_passiveGabor.table.csv"] = gabors
    plan.files[f"{folder}/_ibl_passiveStims.table.csv"] = gabors


def _epochs(slot: str, start: float, source: str) -> dict[str, Any]:
    return {
        f"{slot}_spontaneous_start": start,
        f"{slot}_spontaneous_stop": start + 300.0,
        f"{slot}_rfm_start": start + 310,
        f"{slot}_rfm_stop": start + 430,
        f"{slot}_replay_start": start + 442,
        f"{slot}_replay_stop": start + 461.3,
        f"{slot}_source": source,
    }


def _no_epochs(slot: str) -> dict[str, Any]:
    names = [
        f"{slot}_{e}_{edge}"
        for e in ("spontaneous", "rfm", "replay")
        for edge in ("start", "stop")
    ]
    return {**dict.fromkeys(names), f"{slot}_source": "none"}


def _drop(plan: Plan, start: str, states: dict[str, Any]) -> None:
    for name in [name for name in plan.files if name.startswith(start)]:
        del plan.files[name]
    plan.status |= states


def _one_probe01(plan: Plan) -> None:
    plan.probes = ["probe01"]


def _two_probes(plan: Plan) -> None:
    plan.probes = ["probe00", "probe01"]


def _shanks(plan: Plan) -> None:
    plan.probes = ["probe00a", "probe00b"]


def _missing_shank(plan: Plan) -> None:
    _drop(plan, "spike_sorters/iblsorter/probe00b", {"probe00_bombcell": FAILED})
    plan.broken_rules.add("extraction_error")


def _without_stacks(plan: Plan) -> None:
    plan.stacks = False


def _unknown_stacks(plan: Plan) -> None:
    plan.stacks = None


def _rung(picks: bool, qc: dict[str, Any] | None, state: str) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        plan.insertions = [_insertion(plan, "probe00", [[0, 0, 0]] if picks else [], qc)]
        plan.status |= {
            "probe00_traced": picks,
            "probe00_alignment_uploaded": state in ("aligned", "resolved"),
            "probe00_alignment_resolved": state == "resolved",
        }
        plan.histology = {"probe00": state}
        if (qc or {}).get("alignment_resolved_by") and state != "resolved":
            plan.broken_rules.add("histology_inconsistent")

    return change


def _no_insertion(plan: Plan) -> None:
    plan.insertions = []
    plan.status |= dict.fromkeys(
        f"probe00_{w}" for w in ("traced", "alignment_uploaded", "alignment_resolved")
    )
    plan.histology = {"probe00": "no-insertion"}


def _pykilosort(plan: Plan) -> None:
    """Another sorter, without revision; bombcell of before 0.94 with labels beside it."""
    plan.files["alf/probe00/pykilosort"] = plan.files.pop("alf/probe00/iblsorter/#2025-06-01#")
    old = "spike_sorters/iblsorter/probe00/bombcell/templates._bc_qMetrics.parquet"
    table = plan.files.pop(old)
    folder = "spike_sorters/pykilosort/probe00/bombcell"
    labels = table[["bc_unitType"]].assign(cluster_id=np.arange(len(table)))
    plan.files[f"{folder}/cluster_bc_unitType.tsv"] = labels
    plan.files[f"{folder}/templates._bc_qMetrics.parquet"] = table.drop(columns="bc_unitType")
    plan.status["probe00_sorter"] = "pykilosort (iblsorter_1.9.0)"


def _old_session(plan: Plan) -> None:
    """Passive data in the folders of iblrig 6, spikes in the bare folder."""
    plan.files["alf/probe00"] = plan.files.pop("alf/probe00/iblsorter/#2025-06-01#")
    _drop(plan, "spike_sorters", {"probe00_bombcell": FAILED})
    plan.status["probe00_sorter"] = "ks2 (iblsorter_1.9.0)"
    _drop(plan, "raw_task_data", {})
    for name in [name for name in plan.files if name.startswith("alf/task_")]:
        table = plan.files.pop(name)
        if "task_00" in name:
            plan.files[f"alf/{name.rsplit('/', 1)[-1]}"] = table
    plan.files["raw_passive_data/_iblrig_taskSettings.raw.json"] = _settings(PASSIVE, plan.start)
    plan.status |= {
        f"task_post_{what}": MISSING for what in ("intervalsTable", "passiveStims", "passiveGabor")
    }
    plan.epochs |= {**_no_epochs("task_post"), "LSD_admin": None, "LSD_admin_source": "none"}
    plan.broken_rules |= {"extraction_error", "passive_run_count"}


def _post_not_extracted(plan: Plan) -> None:
    _drop(
        plan,
        "alf/task_02",
        {f"task_post_{w}": FAILED for w in ("intervalsTable", "passiveStims", "passiveGabor")},
    )
    plan.epochs |= _epochs("task_post", PRE + 1500.0, "estimated")
    plan.broken_rules |= {"extraction_error", "epochs_estimated"}


def _no_gabors(plan: Plan) -> None:
    _drop(plan, "alf/task_00/_ibl_passiveGabor.table.csv", {"task_pre_passiveGabor": FAILED})
    plan.epochs |= {
        "task_pre_replay_start": PRE + 440,
        "task_pre_replay_stop": PRE + 740,
        "task_pre_source": "replay_estimated",
    }
    plan.broken_rules |= {"extraction_error", "epochs_estimated"}


def _three_runs(plan: Plan) -> None:
    plan.files["raw_task_data_03/_iblrig_taskSettings.raw.json"] = _settings(
        PASSIVE, plan.start + timedelta(hours=1)
    )
    plan.broken_rules.add("passive_run_count")


def _tone_bug(plan: Plan) -> None:
    for name in [n for n in plan.files if n.endswith("taskSettings.raw.json")]:
        plan.files[name]["IBLRIG_VERSION"] = "8.12.5"
    plan.broken_rules.add("replay_tone_bug")


def _unreadable_settings(plan: Plan) -> None:
    plan.files["raw_task_data_02/_iblrig_taskSettings.raw.json"] = b"{"
    plan.status |= {
        f"task_post_{w}": MISSING for w in ("intervalsTable", "passiveStims", "passiveGabor")
    }
    plan.epochs |= _no_epochs("task_post")
    plan.broken_rules |= {"unreadable_task_settings", "passive_run_count"}


def _bad_intervals(plan: Plan) -> None:
    table = plan.files["alf/task_02/_ibl_passivePeriods.intervalsTable.csv"]
    table.loc["stop", "spontaneousActivity"] = np.nan
    # the table is registered; what is in it is another matter
    plan.epochs |= _epochs("task_post", PRE + 1500.0, "estimated")
    plan.broken_rules.add("epochs_estimated")


def _cameras(plan: Plan) -> None:
    plan.files["alf/_ibl_leftCamera.dlc.pqt"] = b"dlc"
    _drop(plan, "alf/_ibl_leftCamera.lightningPose", {"left_camera_pose": FAILED})
    _drop(plan, "alf/_ibl_bodyCamera.lightningPose", {"body_camera_pose": MISSING})
    _drop(plan, "raw_video_data/_iblrig_bodyCamera", {"body_camera_raw_video": MISSING})
    plan.extended_qc |= {"_videoRight_timestamps": "NOT SET", "_videoBody_pin_state": None}
    plan.status |= {"right_camera_timestamps": "NOT_SET", "body_camera_pin_state": ""}
    plan.broken_rules.add("extraction_error")


def _unsorted(plan: Plan) -> None:
    plan.planted = {}
    _drop(plan, "alf/probe00", {"probe00_spikes": FAILED, "probe00_sorter": ""})
    _drop(plan, "spike_sorters", {"probe00_bombcell": FAILED})
    plan.broken_rules.add("extraction_error")


def _without_file(plan: Plan) -> None:
    """Registered, but there is no file; and a record without a collection."""
    plan.absent |= {
        "raw_ephys_data/probe00/_spikeglx_ephysData_g0_t0.imec0.ap.cbin",
        "raw_ephys_data/probe00/_spikeglx_ephysData_g0_t0.imec0.sync.npy",
    }
    plan.files["session.txt"] = b"note"
    plan.status |= {"probe00_raw_ap": MISSING, "probe00_sync": MISSING}


def _mismatch(plan: Plan) -> None:
    planted = plan.planted["probe00"]
    planted.clusters[-1] = plan.n_units + 5
    plan.broken_rules.add("spikes_clusters_mismatch")


def _odd_probes(plan: Plan) -> None:
    plan.insertions += [
        _insertion(plan, "probe02", [], None),
        _insertion(plan, "probe01", [], {}),
    ]
    plan.insertions[-1]["json"] = None
    plan.status |= dict.fromkeys(
        (f"probe01_{w}" for w in ("traced", "alignment_uploaded", "alignment_resolved")), False
    )
    plan.histology |= {"probe01": "no-tracing", "probe02": "no-tracing"}
    plan.broken_rules |= {"unknown_probe_layout", "probe_not_on_disk"}


def _nothing(plan: Plan) -> None:
    """A session of which only the run of the protocol is known."""
    plan.planted, plan.histology, plan.insertions = {}, {}, []
    plan.extended_qc = {}
    for name in list(plan.files):
        if not name.startswith("raw_task_data"):
            del plan.files[name]
    slots = ("task_pre", "task_post")
    plan.status |= {
        f"{slot}_{w}": FAILED
        for slot in slots
        for w in ("intervalsTable", "passiveStims", "passiveGabor")
    }
    plan.status |= {f"probe00_{w}": MISSING for w in ("raw_ap", "sync", "spikes", "bombcell")}
    plan.status |= {"probe00_sorter": ""}
    plan.status |= dict.fromkeys(
        f"probe00_{w}" for w in ("traced", "alignment_uploaded", "alignment_resolved")
    )
    for camera in _CAMERAS:
        plan.status |= {f"{camera}_camera_{w}": MISSING for w in ("raw_video", "pose")}
        plan.status |= {
            f"{camera}_camera_{w}": "" for w in ("dropped_frames", "timestamps", "pin_state")
        }
    plan.epochs = {**_no_epochs("task_pre"), **_no_epochs("task_post")}
    plan.epochs |= {"LSD_admin": None, "LSD_admin_source": "none"}
    plan.broken_rules.add("extraction_error")


def _same(plan: Plan) -> None:
    """Nothing else is changed."""


_QC = {"alignment_count": 1}
BEFORE: dict[str, Callable[[Plan], None]] = {
    "probe01_only": _one_probe01,
    "two_probes": _two_probes,
    "shanks": _shanks,
    "no_stacks": _without_stacks,
    "unknown_stacks": _unknown_stacks,
}
CHANGES: dict[str, Callable[[Plan], None]] = {
    "probe01_only": _same,
    "two_probes": _same,
    "shanks": _missing_shank,
    "no_insertion": _no_insertion,
    "no_stacks": _rung(False, None, "no-stacks"),
    "unknown_stacks": _rung(False, {}, "unknown"),
    "no_tracing": _rung(False, {}, "no-tracing"),
    "traced": _rung(True, {}, "traced"),
    "aligned": _rung(True, {"alignment_count": "3"}, "aligned"),
    "resolved_again_open": _rung(True, {**_QC, "alignment_resolved_by": "qc"}, "aligned"),
    "pykilosort": _pykilosort,
    "old_session": _old_session,
    "post_not_extracted": _post_not_extracted,
    "no_gabors": _no_gabors,
    "three_runs": _three_runs,
    "tone_bug": _tone_bug,
    "unreadable_settings": _unreadable_settings,
    "bad_intervals": _bad_intervals,
    "cameras": _cameras,
    "unsorted": _unsorted,
    "without_file": _without_file,
    "mismatch": _mismatch,
    "odd_probes": _odd_probes,
    "nothing": _nothing,
}


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
        "id": frozen_uuid(_GENERATOR, plan.folder, rel),
        "name": path.name,
        "dataset_type": ".".join(path.name.split(".")[:2]),
        "data_url": f"{SERVER}/data/{plan.folder}/{rel}",
        "url": f"{SERVER}/datasets/{frozen_uuid(_GENERATOR, plan.folder, rel)}",
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
