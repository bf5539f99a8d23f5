"""Files of a simulated session, as the extractors of ibllib and the rigs write them."""

from __future__ import annotations

import json
from copy import copy
from fnmatch import fnmatchcase
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.demo import photometry, raw_task
from iblnm.demo.cohort import frozen_uuid
from iblnm.io.task_files import TRIALS, WHEEL_POSITION

if TYPE_CHECKING:
    from iblnm.demo.draft import Draft

_CHANNELS = """Condition,No additional signal,Output 1 HIGH,Output 0 HIGH,Stimulation ON
No LED ON,0,8,16,32
L415,1,9,17,33
L470,2,10,18,34
L560,4,12,20,36
"""
_N_RAW_LINES = 5
_RAW_PHOTOMETRY = "raw_photometry_data/_neurophotometrics_fpData"


def write_session(draft: Draft, folder: Path) -> pd.DataFrame:
    """Write the files of a session.

    Parameters
    ----------
    draft : Draft
    folder : Path
        Root of the archive.

    Returns
    -------
    DataFrame
        Index ``id``; columns rel_path, file_size, hash, as they were recorded.
    """
    root = folder / draft.plan.relative_path
    writers = _with_raw_files(draft, _writers(draft))
    writers = {name: writer for name, writer in writers.items() if not _is_omitted(draft, name)}
    rows = []
    for name in sorted(writers):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        writers[name](path)
        content = path.read_bytes()
        rows.append(
            {
                "id": frozen_uuid(draft.seed, draft.plan.relative_path, name),
                "rel_path": name,
                "file_size": len(content),
                "hash": md5(content, usedforsecurity=False).hexdigest(),
            }
        )
        if name == draft.truncated:
            path.write_bytes(content[: len(content) * 2 // 3])
    return pd.DataFrame(rows).set_index("id")


def _writers(draft: Draft) -> dict[str, Any]:
    plan = draft.plan
    alf = f"alf/{plan.task_collection}".rstrip("/")
    raw_folder = _raw_task(draft)
    valid = "include" if _is_include(draft) else "valid"
    other_task = {} if draft.other_task is None else _other_task(draft)
    return other_task | {
        "_ibl_experiment.description.yaml": _text(_description(draft, raw_folder)),
        f"{alf}/_ibl_trials.table.pqt": lambda path: draft.trials.to_parquet(path),
        f"{alf}/_ibl_wheel.timestamps.npy": _array(draft.wheel_times),
        f"{alf}/_ibl_wheel.position.npy": _array(draft.wheel_position),
        "alf/_ibl_leftCamera.times.npy": _array(draft.camera_times),
        raw_task.SIGNAL: lambda path: write_frames(
            photometry.signal_table(draft.frames, valid_column=valid), path
        ),
        "alf/photometry/photometryROI.locations.pqt": lambda path: _locations(draft).to_parquet(
            path
        ),
        f"{_RAW_PHOTOMETRY}.raw.pqt": lambda path: write_frames(
            photometry.raw_table(draft.frames, is_old=plan.is_old_layout), path
        ),
        f"{_RAW_PHOTOMETRY}.channels.csv": _text(_CHANNELS),
        f"{raw_folder}/_iblrig_taskData.raw.jsonable": _text(_task_data(draft)),
        f"{raw_folder}/_iblrig_encoderPositions.raw.ssv": _text(_encoder(draft)),
        "raw_video_data/_iblrig_leftCamera.raw.mp4": lambda path: path.write_bytes(
            b"\x00\x00\x00\x18ftypmp42" + bytes(12)
        ),
    }


def _is_omitted(draft: Draft, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in draft.omitted)


def _with_raw_files(draft: Draft, writers: dict[str, Any]) -> dict[str, Any]:
    """Writers with the raw files in full where what is extracted of them is omitted.

    Elsewhere they are outlines: nothing reads them, and they would be most of the archive.
    """
    omitted = {name.rpartition("/")[2] for name in writers if _is_omitted(draft, name)}
    if {TRIALS, WHEEL_POSITION} & omitted:
        folder = _raw_task(draft)
        writers |= {
            f"{folder}/{name}": _text(text) for name, text in raw_task.task_files(draft).items()
        }
    if _is_omitted(draft, raw_task.SIGNAL):
        inputs, frames = raw_task.digital_inputs(draft), copy(draft.frames)
        frames.raw_times = raw_task.camera_times(draft, frames.times)
        table = photometry.raw_table(frames, is_old=draft.plan.is_old_layout)
        writers |= {
            f"{_RAW_PHOTOMETRY}.raw.pqt": lambda path: write_frames(table, path),
            f"{_RAW_PHOTOMETRY}.digitalInputs.pqt": lambda path: inputs.to_parquet(path),
        }
    return writers


def _raw_task(draft: Draft) -> str:
    return "raw_task_data_00" if draft.plan.task_collection else "raw_behavior_data"


def _other_task(draft: Draft) -> dict[str, Any]:
    """Trials of a second task, nine tenths of the first."""
    alf = f"alf/{draft.other_task}".rstrip("/")
    trials = draft.trials.iloc[: len(draft.trials) * 9 // 10]
    return {f"{alf}/_ibl_trials.table.pqt": lambda path: trials.to_parquet(path)}


def write_frames(table: pd.DataFrame, path: Path) -> None:
    """Write a table of frames; one row group, small."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [name for name in ("name", "color") if name in table]
    numbers = [name for name in table if table[name].dtype == np.float64]
    pq.write_table(
        pa.Table.from_pandas(table),
        path,
        compression="zstd",
        use_dictionary=texts or False,
        column_encoding=dict.fromkeys(numbers, "BYTE_STREAM_SPLIT"),
        row_group_size=len(table),
    )


def _is_include(draft: Draft) -> bool:
    return draft.plan.is_old_layout and not draft.plan.has_isosbestic


def _array(values: np.ndarray) -> Any:
    return lambda path: np.save(path, values, allow_pickle=False)


def _text(text: str) -> Any:
    return lambda path: path.write_text(text, encoding="utf-8", newline="\n")


def _locations(draft: Draft) -> pd.DataFrame:
    names = draft.location_names or draft.names
    if draft.plan.region_source == "fiber table":
        names = ["" for _ in names]
    rois = pd.Index([fiber.roi for fiber in draft.fibers], name="ROI")
    fibers = [f"fiber_{name}" if name else "" for name in names]
    return pd.DataFrame({"fiber": fibers, "brain_region": names}, index=rois)


def _description(draft: Draft, raw_folder: str) -> str:
    """Experiment description; what is said about fibers depends on the session's age."""
    import yaml

    device: dict[str, Any] = {
        "collection": "raw_photometry_data",
        "datetime": draft.plan.start.isoformat(),
        "sync_mode": "bpod",
    }
    if draft.plan.region_source == "experiment description":
        device["fibers"] = {
            fiber.roi: {"location": name}
            for fiber, name in zip(draft.fibers, draft.names, strict=True)
        }
    protocol = draft.task_protocol.split("8.")[0]
    content = {
        "devices": {
            "cameras": {"left": {"collection": "raw_video_data", "sync_label": "audio"}},
            "microphone": {"microphone": {"collection": raw_folder, "sync_label": "audio"}},
            "neurophotometrics": device,
        },
        "procedures": ["Behavior training/tasks", "Fiber photometry"],
        "projects": ["ibl_fibrephotometry"],
        "sync": {
            "bpod": {
                "acquisition_software": "pybpod",
                "collection": raw_folder,
                "extension": ".jsonable",
            }
        },
        "tasks": [{protocol: {"collection": raw_folder, "sync_label": "bpod"}}],
        "version": "1.0.0",
    }
    return yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))


def _task_data(draft: Draft) -> str:
    """First trials of the task's log, in outline."""
    lines = [
        {
            "trial_num": i + 1,
            "position": position,
            "stim_probability_left": float(p_left),
        }
        for i, (position, p_left) in enumerate(
            zip(
                draft.simulated.plan["POSITIONS"][:_N_RAW_LINES],
                draft.simulated.trials["probabilityLeft"],
                strict=False,
            )
        )
    ]
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)


def _encoder(draft: Draft) -> str:
    """First encoder positions: Bpod's time in microseconds, position in degrees."""
    pairs = zip(
        draft.simulated.wheel_times[:_N_RAW_LINES],
        np.rad2deg(draft.simulated.wheel_position[:_N_RAW_LINES]),
        strict=True,
    )
    return "".join(
        f"P {round((time + 10) * 1e6)} {position:.4f} nan\n" for time, position in pairs
    )
