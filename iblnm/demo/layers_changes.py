"""What makes a session of the simulated data layers differ from a complete one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np

from iblnm.demo.layers_plan import (
    CAMERAS,
    FAILED,
    MISSING,
    PASSIVE,
    PRE,
    Plan,
    epochs_of,
    insertion,
    no_epochs,
    settings,
)


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
        plan.insertions = [insertion(plan, "probe00", [[0, 0, 0]] if picks else [], qc)]
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
    plan.files["raw_passive_data/_iblrig_taskSettings.raw.json"] = settings(PASSIVE, plan.start)
    plan.status |= {
        f"task_post_{what}": MISSING for what in ("intervalsTable", "passiveStims", "passiveGabor")
    }
    plan.epochs |= {**no_epochs("task_post"), "LSD_admin": None, "LSD_admin_source": "none"}
    plan.broken_rules |= {"extraction_error", "passive_run_count"}


def _post_not_extracted(plan: Plan) -> None:
    _drop(
        plan,
        "alf/task_02",
        {f"task_post_{w}": FAILED for w in ("intervalsTable", "passiveStims", "passiveGabor")},
    )
    plan.epochs |= epochs_of("task_post", PRE + 1500.0, "estimated")
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
    plan.files["raw_task_data_03/_iblrig_taskSettings.raw.json"] = settings(
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
    plan.epochs |= no_epochs("task_post")
    plan.broken_rules |= {"unreadable_task_settings", "passive_run_count"}


def _bad_intervals(plan: Plan) -> None:
    table = plan.files["alf/task_02/_ibl_passivePeriods.intervalsTable.csv"]
    table.loc["stop", "spontaneousActivity"] = np.nan
    # the table is registered; what is in it is another matter
    plan.epochs |= epochs_of("task_post", PRE + 1500.0, "estimated")
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
        insertion(plan, "probe02", [], None),
        insertion(plan, "probe01", [], {}),
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
    for camera in CAMERAS:
        plan.status |= {f"{camera}_camera_{w}": MISSING for w in ("raw_video", "pose")}
        plan.status |= {
            f"{camera}_camera_{w}": "" for w in ("dropped_frames", "timestamps", "pin_state")
        }
    plan.epochs = {**no_epochs("task_pre"), **no_epochs("task_post")}
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
