"""Which windows are masked for the recordings of a session, and where that has changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.config import Settings
from iblnm.data.label_rows import MASK, read_rows

Windows = list[tuple[float, float]]
ATTRIBUTE = "masked_windows"


def masked_windows(labels_fpath: Path, eid: str, fibers: Mapping[str, Any]) -> dict[str, Windows]:
    """Windows of artifacts by recording.

    Parameters
    ----------
    labels_fpath : Path
        Table of labels; see `iblnm.data.label_rows`.
    eid : str
    fibers : mapping of str to int
        Fiber of each recording. A mask without fiber is one of all of them.

    Returns
    -------
    dict of str to list of (float, float)
        Sorted; every recording has an entry.
    """
    rows = [row for row in read_rows(labels_fpath) if row["eid"] == eid and row["verdict"] == MASK]
    windows = {}
    for name, fiber in fibers.items():
        fiber = None if pd.isna(fiber) else int(fiber)
        chosen = {(row["t0"], row["t1"]) for row in rows if row["fiber_idx"] in (None, fiber)}
        windows[name] = sorted(chosen)
    return windows


def sessions_with_other_masks(settings: Settings) -> list[str]:
    """Sessions whose preprocessed signal was made with other masks than those labeled now."""
    import h5py

    labeled = {row["eid"] for row in read_rows(settings.labels_fpath) if row["verdict"] == MASK}
    changed = []
    for path in sorted(settings.sessions_h5_dir.glob("*.h5")):
        made: dict[str, Windows] = {}
        fibers: dict[str, Any] = {}
        try:
            with h5py.File(path, "r", locking=False) as file:
                for name, group in file.get("photometry", {}).items():
                    if "preprocessed" not in group:
                        continue
                    text = group["preprocessed"].attrs.get(ATTRIBUTE, "[]")
                    made[name] = [(start, stop) for start, stop in json.loads(text)]
                    fibers[name] = group.attrs.get("fiber_idx")
        except OSError:
            continue
        if not any(made.values()) and path.stem not in labeled:
            continue
        if made != masked_windows(settings.labels_fpath, path.stem, fibers):
            changed.append(path.stem)
    return changed
