"""Tables of the page *Datasets* for many sessions, without their files."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from iblnm.layers.dataset_status import dataset_status
from iblnm.layers.insertions import histology_rows, insertion_rows
from iblnm.layers.passive import run_of_settings
from iblnm.layers.registry import Registry, entries_of_record

_SESSIONS_PER_ANIMAL = 4
_SORTERS = ("iblsorter", "iblsorter", "pykilosort")
_REVISIONS = ("", "2024-05-06", "2025-06-01")
_VERDICTS = ("PASS", "PASS", "PASS", "WARNING", "FAIL", "NOT SET")


def simulate_sessions(
    n_sessions: int, *, seed: int = 0, share_missing: float = 0.08
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Sessions with their 38 items, the detail of each, and the histology of the probes.

    Every fourth session has one probe, and of every file a share is missing, independently:
    the states and reasons are those that `dataset_status` finds.

    Parameters
    ----------
    n_sessions : int
    seed : int
    share_missing : float

    Returns
    -------
    sessions, detail, histology : DataFrame
        As `iblnm.layers.page.build_page` takes them.
    """
    rng = np.random.default_rng(seed)
    rows, details, histology = [], [], []
    for i in range(n_sessions):
        session = _session(i, rng)
        probes = ["probe01"] if i % 4 == 3 else ["probe00", "probe01"]
        registry = Registry(_entries(probes, rng, share_missing))
        insertions = [_insertion(name, rng) for name in probes]
        stacks = [True, True, False, None][i // _SESSIONS_PER_ANIMAL % 4]
        cameras = (f"_video{c}_{x}" for c in ("Left", "Right", "Body") for x in _QC)
        status, detail = dataset_status(
            session["eid"],
            registry,
            insertions,
            _runs(session["start_time"]),
            extended_qc={name: str(rng.choice(_VERDICTS)) for name in cameras},
            image_stacks=stacks,
            stacks_reason="" if stacks is not None else "the data server answered 401",
        )
        rows.append({**session, **status})
        details += detail
        own = insertion_rows(session, insertions, registry, image_stacks=stacks)
        histology += histology_rows(own, stacks, session, probes)
    return pd.DataFrame(rows), pd.DataFrame(details), pd.DataFrame(histology)


_QC = ("dropped_frames", "timestamps", "pin_state")


def _session(i: int, rng: np.random.Generator) -> dict[str, Any]:
    animal, own = divmod(i, _SESSIONS_PER_ANIMAL)
    start = datetime(2023, 1, 10, 9, 30) + timedelta(days=animal, hours=24 * 7 * own)
    return {
        "eid": str(uuid.UUID(bytes=rng.bytes(16), version=4)),
        "subject": f"ZFM-{animal:05d}",
        "lab": "demolab",
        "start_time": start.isoformat(),
        "number": 1,
        "condition": ("control", "LSD")[own % 2],
    }


def _runs(start: str) -> list:
    return [
        run_of_settings(
            number,
            f"raw_task_data_{number:02d}",
            f"alf/task_{number:02d}",
            {"PYBPOD_PROTOCOL": protocol, "SESSION_DATETIME": start, "IBLRIG_VERSION": "8.28.0"},
        )
        for number, protocol in enumerate(("passiveChoiceWorld", "spontaneous", "passiveChoice"))
    ]


def _entries(probes: list[str], rng: np.random.Generator, share_missing: float) -> list:
    found: list[tuple[str, str, str]] = []
    for number in (0, 2):
        names = (
            "_ibl_passivePeriods.intervalsTable",
            "_ibl_passiveStims.table",
            "_ibl_passiveGabor.table",
        )
        found += [(f"alf/task_{number:02d}", "", f"{name}.csv") for name in names]
    for i, probe in enumerate(probes):
        raw = f"_spikeglx_ephysData_g0_t0.imec{i}"
        sorter, revision = str(rng.choice(_SORTERS)), str(rng.choice(_REVISIONS))
        spikes = ("spikes.times.npy", "spikes.clusters.npy", "clusters.uuids.csv")
        found += [(f"raw_ephys_data/{probe}", "", f"{raw}.{end}") for end in ("ap.cbin",)]
        found += [(f"raw_ephys_data/{probe}", "", f"{raw}.sync.npy")]
        found += [(f"alf/{probe}/{sorter}", revision, name) for name in spikes]
        bombcell = f"spike_sorters/{sorter}/{probe}/bombcell"
        found += [(bombcell, "", "templates._bc_qMetrics.parquet")]
    for camera in ("left", "right", "body"):
        found += [("raw_video_data", "", f"_iblrig_{camera}Camera.raw.mp4")]
        found += [("alf", "", f"_ibl_{camera}Camera.lightningPose.pqt")]
    kept = [item for item in found if rng.random() >= share_missing]
    related = [
        {
            "collection": collection,
            "name": name,
            "revision": revision,
            "default_revision": "True",
            "version": "iblsorter_1.9.0" if name.startswith("spikes.") else "3.1.0",
            "file_size": int(rng.integers(10**4, 10**9)),
            "data_url": "https://example.org/file",
        }
        for collection, revision, name in kept
    ]
    return entries_of_record({"data_dataset_session_related": related})


def _insertion(name: str, rng: np.random.Generator) -> dict[str, Any]:
    rung = int(rng.integers(4))
    qc = {
        "alignment_count": 2 * (rung > 1),
        "alignment_resolved": rung > 2,
        "alignment_resolved_by": "qc" if rung > 2 else None,
    }
    picks = [[0, 0, 0], [0, 0, -1000]] if rung else []
    json = {"qc": "PASS", "xyz_picks": picks, "extended_qc": qc}
    return {"id": str(uuid.UUID(bytes=rng.bytes(16), version=4)), "name": name, "json": json}
