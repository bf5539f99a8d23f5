"""Which windows are masked for the recordings of a session, and where that has changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.label_rows import MASK, Row, labels_paths, rows_in_force

Windows = list[tuple[float, float]]
ATTRIBUTE = "masked_windows"


def masked_windows(rows: Iterable[Row], eid: str, fibers: Mapping[str, Any]) -> dict[str, Windows]:
    """Windows of artifacts by recording.

    Parameters
    ----------
    rows : iterable of dict
        Labels in force; see `iblnm.pipeline.label_rows.rows_in_force`.
    eid : str
    fibers : mapping of str to int
        Fiber of each recording. A mask without fiber is one of all of them.

    Returns
    -------
    dict of str to list of (float, float)
        Sorted; every recording has an entry.
    """
    own = [row for row in rows if row["eid"] == eid and row["verdict"] == MASK]
    windows = {}
    for name, fiber in fibers.items():
        fiber = None if pd.isna(fiber) else int(fiber)
        chosen = {(row["t0"], row["t1"]) for row in own if row["fiber_idx"] in (None, fiber)}
        windows[name] = sorted(chosen)
    return windows


def sessions_with_other_masks(settings: Settings) -> list[str]:
    """Sessions whose preprocessed signal was made with other masks than those labeled now."""
    import h5py

    rows = rows_in_force(labels_paths(settings))
    labeled = {row["eid"] for row in rows if row["verdict"] == MASK}
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
        if made != masked_windows(rows, path.stem, fibers):
            changed.append(path.stem)
    return changed
