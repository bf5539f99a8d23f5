"""The 38 items that a session of the second document may have: one declaration for all of them.

From `ITEMS` follow the columns of `dataset_status`, the rows of `dataset_detail`, the schema,
the rules and the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

COMPLETE = "extraction complete"
EXTRACTION_ERROR = "extraction error"
RAW_MISSING = "raw data missing"
STATES = (COMPLETE, EXTRACTION_ERROR, RAW_MISSING)

SLOTS = ("probe00", "probe01")
CAMERAS = ("left", "right", "body")
PASSIVE_SLOTS = ("task_pre", "task_post")
PASSIVE_TABLES = {
    "intervalsTable": "_ibl_passivePeriods.intervalsTable.csv",
    "passiveStims": "_ibl_passiveStims.table.csv",
    "passiveGabor": "_ibl_passiveGabor.table.csv",
}
CAMERA_QC = ("dropped_frames", "timestamps", "pin_state")


@dataclass(frozen=True)
class Item:
    """One column of `dataset_status`.

    Parameters
    ----------
    column : str
        Name of the column.
    group : {'task', 'ephys', 'video', 'histology'}
    kind : {'state', 'text', 'flag'}
        One of `STATES`, a text ('' if there is none), or a nullable boolean.
    part : str
        Slot of the passive protocol, probe slot or camera; '' for the whole session.
    what : str
        The item within its part, for example ``spikes``.
    is_raw : bool
        Whether the item is raw data, which cannot be in the state `EXTRACTION_ERROR`.
    description : str
    """

    column: str
    group: str
    kind: str
    part: str
    what: str
    is_raw: bool
    description: str


def _items() -> tuple[Item, ...]:
    found = [
        Item(f"{slot}_{what}", "task", "state", slot, what, False, f"{name} of the {slot} run")
        for slot in PASSIVE_SLOTS
        for what, name in PASSIVE_TABLES.items()
    ]
    for slot in SLOTS:
        found += [
            Item(f"{slot}_{what}", "ephys", kind, slot, what, what == "raw_ap", f"{text}, {slot}")
            for what, kind, text in (
                ("raw_ap", "state", "Raw signal of the action potential band"),
                ("sync", "state", "Map from the probe's clock to the session's"),
                ("sorter", "text", "Sorter, revision and version of the spikes that are used"),
                ("spikes", "state", "Spike times, clusters and their uuids"),
                ("bombcell", "state", "Quality metrics of bombcell for the same sorter"),
            )
        ]
    for camera in CAMERAS:
        part = f"{camera}_camera"
        found.append(
            Item(f"{part}_raw_video", "video", "state", part, "raw_video", True, "Raw video")
        )
        found.append(
            Item(f"{part}_pose", "video", "state", part, "pose", False, "Lightning Pose tracking")
        )
        found += [
            Item(f"{part}_{x}", "video", "text", part, x, False, f"Verdict of Alyx on {x}")
            for x in CAMERA_QC
        ]
    found.append(
        Item(
            "image_stacks",
            "histology",
            "flag",
            "",
            "image_stacks",
            False,
            "Whether the data server lists both channels of the animal's image stack",
        )
    )
    for slot in SLOTS:
        found += [
            Item(f"{slot}_{what}", "histology", "flag", slot, what, False, f"{text}, {slot}")
            for what, text in (
                ("traced", "Whether the track has been traced"),
                ("alignment_uploaded", "Whether an alignment has been uploaded"),
                ("alignment_resolved", "Whether the alignment is resolved"),
            )
        ]
    return tuple(found)


def unused_probe(cells: Mapping[str, Any]) -> set[str]:
    """Items of the probe slot that a session does not use, if it uses the other.

    Most sessions have one probe, which says nothing of what is missing.

    Parameters
    ----------
    cells : mapping
        The 38 values of the session.
    """
    empty = [
        names
        for names in ({i.column for i in ITEMS if i.part == slot} for slot in SLOTS)
        if all(_is_empty(cells[name]) for name in names)
    ]
    return empty[0] if len(empty) == 1 else set()


def _is_empty(value: Any) -> bool:
    return pd.isna(value) or value in ("", RAW_MISSING)


ITEMS = _items()
STATUS_COLUMNS = tuple(item.column for item in ITEMS)
BY_COLUMN = {item.column: item for item in ITEMS}
