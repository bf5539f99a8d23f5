"""What a complete session of the simulated data layers has, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from iblnm.demo.cohort import frozen_uuid
from iblnm.demo.layers_spikes import Planted, plant_units

LAB = "demolab"
PASSIVE, FILLER = "_iblrig_tasks_passiveChoiceWorld", "_iblrig_tasks_spontaneous"
DONE, FAILED, MISSING = "extraction complete", "extraction error", "raw data missing"
PRE, POST = 60.0, 1560.0
"""Start of the spontaneous epoch of both runs [s of the spike clock]."""
CAMERAS = ("left", "right", "body")
GENERATOR = 20240501


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
        return frozen_uuid(GENERATOR, self.folder, "session")


def complete(plan: Plan) -> Plan:
    """Give a plan everything that a session can have."""
    for number, protocol, minutes in ((0, PASSIVE, 0.0), (1, FILLER, 15.0), (2, PASSIVE, 25.0)):
        plan.files[f"raw_task_data_{number:02d}/_iblrig_taskSettings.raw.json"] = settings(
            protocol, plan.start + timedelta(minutes=minutes)
        )
    for slot, task, start in (("task_pre", "task_00", PRE), ("task_post", "task_02", POST)):
        _passive_files(plan, slot, f"alf/{task}", start)
        plan.status |= {
            f"{slot}_{what}": DONE for what in ("intervalsTable", "passiveStims", "passiveGabor")
        }
        plan.epochs |= epochs_of(slot, start, "extracted")
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
    for camera in CAMERAS:
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
    plan.insertions.append(insertion(plan, probe, [[0, 0, 0], [0, 0, -1000]], qc))
    plan.status |= dict.fromkeys(
        (f"{slot}_{w}" for w in ("traced", "alignment_uploaded", "alignment_resolved")), True
    )
    plan.histology[probe] = "resolved"


def insertion(plan: Plan, probe: str, picks: list, qc: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": frozen_uuid(GENERATOR, plan.folder, probe),
        "session": plan.eid,
        "name": probe,
        "model": "3B2",
        "serial": "19051016842",
        "session_info": {"subject": plan.subject, "lab": LAB, "number": plan.number},
        "json": {"qc": "PASS", "n_units": plan.n_units, "xyz_picks": picks, "extended_qc": qc},
    }


def settings(protocol: str, start: datetime, version: str = "8.28.0") -> dict[str, Any]:
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


def epochs_of(slot: str, start: float, source: str) -> dict[str, Any]:
    return {
        f"{slot}_spontaneous_start": start,
        f"{slot}_spontaneous_stop": start + 300.0,
        f"{slot}_rfm_start": start + 310,
        f"{slot}_rfm_stop": start + 430,
        f"{slot}_replay_start": start + 442,
        f"{slot}_replay_stop": start + 461.3,
        f"{slot}_source": source,
    }


def no_epochs(slot: str) -> dict[str, Any]:
    names = [
        f"{slot}_{e}_{edge}"
        for e in ("spontaneous", "rfm", "replay")
        for edge in ("start", "stop")
    ]
    return {**dict.fromkeys(names), f"{slot}_source": "none"}
