"""From sessions, whose fibers are lists, to one row per recording."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from iblnm.errors import DataError
from iblnm.io.regions import recording_names
from iblnm.pipeline.rules.session import ParallelLists
from iblnm.pipeline.rules.values import get_list, is_null, join

PER_FIBER = (
    "brain_region",
    "recording_name",
    "hemisphere",
    "target_NM",
    "roi",
    "hemisphere_suffix",
    "hemisphere_locations",
    "hemisphere_fibers",
    "hemisphere_alyx",
)
_REQUIRED = ("brain_region", "hemisphere", "target_NM")


def explode_sessions(
    sessions: pd.DataFrame, targets: Collection[str] | None = None
) -> pd.DataFrame:
    """One row per recording.

    Parameters
    ----------
    sessions : DataFrame
        One row per session; the columns `PER_FIBER` hold lists, one entry per fiber.
    targets : collection of str, optional
        Recordings of other targets are left out; all are kept by default.

    Returns
    -------
    DataFrame
        The sessions' columns with those of `PER_FIBER` as scalars, and ``fiber_idx`` (int),
        the position in the session's lists, whatever is left out. A fiber in the list
        ``excluded`` of its session is left out. Range index.

    Raises
    ------
    ParallelLists
        If regions, sides and targets of a session differ in number.
    """
    rows = []
    columns = [name for name in PER_FIBER if name in sessions]
    scalars = [name for name in sessions.columns if name not in columns]
    for record in sessions.to_dict("records"):
        lists = {name: get_list(record, name) for name in columns}
        n_fibers = len(lists.get("brain_region", ()))
        wrong = {
            name: len(lists[name])
            for name in _REQUIRED
            if name in lists and lists[name] and len(lists[name]) != n_fibers
        }
        if wrong:
            raise ParallelLists(
                f"session {record['eid']} has {n_fibers} regions, but "
                f"{join(f'{count} of {name}' for name, count in wrong.items())}"
            )
        names_of_fibers = recording_names(map(str, lists.get("brain_region", ())))
        dropped = set(get_list(record, "excluded"))
        for fiber in range(n_fibers):
            if fiber in dropped or not _is_wanted(lists.get("target_NM"), fiber, targets):
                continue
            values: dict[str, Any] = {
                name: entries[fiber] if fiber < len(entries) else None
                for name, entries in lists.items()
            }
            if values.get("recording_name") is None:
                values["recording_name"] = names_of_fibers[fiber]
            rows.append({**{name: record[name] for name in scalars}, **values, "fiber_idx": fiber})
    names = list(dict.fromkeys([*sessions.columns, "recording_name", "fiber_idx"]))
    table = pd.DataFrame(rows, columns=names).astype({"fiber_idx": int})
    kept = {name: sessions[name].dtype for name in scalars}
    return table.astype(kept)


def collect_recordings(recordings: pd.DataFrame) -> pd.DataFrame:
    """Sessions of a table with one row per recording: what `explode_sessions` undoes.

    Parameters
    ----------
    recordings : DataFrame
        ``eid`` and, of each fiber, ``brain_region``, ``hemisphere`` and ``target_NM`` as text.
        With ``fiber_idx`` the fibers have these places in the lists of their session,
        otherwise they are in the order of the rows.

    Returns
    -------
    DataFrame
        One row per session, in the order of its first recording; the columns `PER_FIBER` are
        lists. A row where all of them are null, as exploding empty lists gives, is no
        recording. Of other columns the value of the first recording is taken, and a place
        that no recording has is null.

    Raises
    ------
    DataError
        If two recordings of a session have the same ``fiber_idx``.
    """
    if "fiber_idx" in recordings:
        twice = recordings[recordings.duplicated(["eid", "fiber_idx"])]
        if len(twice):
            raise DataError(
                f"{len(twice)} recordings have the fiber_idx of another of their session; leave "
                "the column out where the rows are in the order of the fibers",
                eid=str(twice["eid"].iloc[0]),
            )
    columns = [name for name in PER_FIBER if name in recordings]
    rows = []
    for _, own in recordings.groupby("eid", sort=False):
        fibers = own[~own[columns].map(is_null).all(axis=1)]
        if fibers.empty:
            rows.append({**own.iloc[0].to_dict(), **{name: [] for name in columns}})
            continue
        own = fibers
        places = own["fiber_idx"].astype(int) if "fiber_idx" in own else range(len(own))
        lists: dict[str, Any] = {name: [None] * (max(places) + 1) for name in columns}
        for place, recording in zip(places, own[columns].to_dict("records"), strict=True):
            for name, value in recording.items():
                lists[name][place] = None if is_null(value) else value
        rows.append({**own.iloc[0].to_dict(), **lists})
    names = [name for name in recordings if name != "fiber_idx"]
    table = pd.DataFrame(rows, columns=names)
    scalars = {name: recordings[name].dtype for name in names if name not in columns}
    return table.astype(scalars)


def is_exploded(table: pd.DataFrame) -> bool:
    """Whether the fibers of a table are text, one row per recording, and no lists."""
    if "brain_region" not in table:
        return False
    return any(isinstance(region, str) for region in table["brain_region"])


def _is_wanted(
    labels: list[str | None] | None, fiber: int, targets: Collection[str] | None
) -> bool:
    if targets is None:
        return True
    return labels is not None and fiber < len(labels) and labels[fiber] in targets
