"""The probe insertions of a session as flat rows, and the state of their histology."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.errors import DataError
from iblnm.layers.histology import (
    as_count,
    extended_qc,
    histology_state,
    insertion_json,
    is_resolved,
    is_true,
    n_alignments,
    n_picks,
    next_task,
)
from iblnm.layers.probes import choose_sorting
from iblnm.layers.registry import Registry

NOT_SET = "NOT_SET"
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2})?")


def insertion_rows(
    session: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    registry: Registry | None,
    *,
    image_stacks: bool | None,
    bombcell_good: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """One flat row per insertion of a session.

    Parameters
    ----------
    session : mapping
        ``eid``, ``subject``, ``lab``, ``start_time``, ``number``, ``session_n``; what it lacks
        is taken from the record's ``session_info``.
    records : sequence of mapping
        Insertions of Alyx.
    registry : Registry or None
        Files of the session, for the sorting that is used.
    image_stacks : bool or None
        Whether the animal's image stacks are listed.
    bombcell_good : mapping of str to float, optional
        Share of good units by probe.

    Returns
    -------
    list of dict
        Ordered by probe. Numbers that are no numbers are None.
    """
    rows = []
    known = [item for item in records if isinstance(item, Mapping) and item.get("id")]
    for record in sorted(known, key=lambda item: str(item.get("name"))):
        rows.append(
            _row(
                session,
                record,
                registry,
                image_stacks,
                (bombcell_good or {}).get(str(record.get("name"))),
            )
        )
    return rows


def _row(
    session: Mapping[str, Any],
    record: Mapping[str, Any],
    registry: Registry | None,
    image_stacks: bool | None,
    good: float | None,
) -> dict[str, Any]:
    info = record.get("session_info")
    info = info if isinstance(info, Mapping) else {}
    known = {name: value for name, value in session.items() if not _is_null(value)}
    probe = _text(record.get("name"))
    json, qc = insertion_json(record), extended_qc(record)
    sorting = choose_sorting(registry, probe) if registry is not None and probe else None
    resolved_by = _text(qc.get("alignment_resolved_by"))
    similarity, alignment_verdict = _alignment_qc(qc, resolved_by)
    return {
        "pid": str(record["id"]),
        "eid": known.get("eid") or _text(record.get("session")),
        "probe": probe,
        "subject": known.get("subject") or _text(info.get("subject")),
        "lab": known.get("lab") or _text(info.get("lab")),
        "start_time": known.get("start_time") or _text(info.get("start_time")),
        "number": as_count(known.get("number", info.get("number"))),
        "session_n": _number(known.get("session_n")),
        "model": _text(record.get("model")),
        "serial": _text(record.get("serial")),
        "ephys_qc": _text(json.get("qc")) or NOT_SET,
        "n_units": as_count(json.get("n_units")),
        "n_units_qc_pass": as_count(json.get("n_units_qc_pass")),
        "firing_rate_median": _number(json.get("firing_rate_median")),
        "firing_rate_max": _number(json.get("firing_rate_max")),
        "drift_rms_um": _number(json.get("drift_rms_um")),
        "n_picks": n_picks(record),
        "tracing_exists": _flag(qc.get("tracing_exists")),
        "tracing_qc": _verdict(qc.get("tracing")),
        "alignment_count": n_alignments(record),
        "alignment_date": _stamp(qc.get("alignment_stored")),
        "alignment_resolved": is_resolved(record),
        "alignment_resolved_by": resolved_by,
        "alignment_similarity": similarity,
        "alignment_qc": alignment_verdict,
        "experimenter_qc": _verdict(qc.get("experimenter")),
        "histology_qc": _verdict(qc.get("histology", qc.get("histology_qc"))),
        "sorter": sorting.sorter if sorting else None,
        "revision": (sorting.revision or None) if sorting else None,
        "version": (sorting.version or None) if sorting else None,
        "bombcell_good": good,
        "histology_state": histology_state(record, image_stacks),
    }


def _alignment_qc(qc: Mapping[str, Any], resolved_by: str | None) -> tuple[float | None, str]:
    """Similarity of the alignments, and the outcome that a person gave.

    One key holds either: a number where the alignments of several people were compared, a
    text where a person resolved it.
    """
    value = qc.get("alignment_qc")
    similarity = _number(value) if isinstance(value, int | float) else None
    person = resolved_by is not None and resolved_by != "qc"
    verdict = _text(value) if isinstance(value, str) else None
    return similarity, verdict if person and verdict else NOT_SET


def histology_rows(
    rows: Sequence[Mapping[str, Any]],
    image_stacks: bool | None,
    session: Mapping[str, Any],
    expected_probes: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """State of the histology of each probe, and what is to be done next.

    Parameters
    ----------
    rows : sequence of mapping
        Of `insertion_rows`.
    image_stacks : bool or None
    session : mapping
        ``eid``, ``subject``, ``start_time``.
    expected_probes : sequence of str
        Probes with recorded data; those without an insertion are in the state no-insertion.

    Returns
    -------
    list of dict
        subject, eid, start_time, pid, probe, image_stacks, picks, alignment_uploaded,
        alignment_resolved, state, next_task.
    """
    found = [
        {
            "subject": row["subject"],
            "eid": row["eid"],
            "start_time": row["start_time"],
            "pid": row["pid"],
            "probe": row["probe"],
            "image_stacks": image_stacks,
            "picks": row["n_picks"] > 0,
            "alignment_uploaded": row["alignment_count"] > 0,
            "alignment_resolved": bool(row["alignment_resolved"]),
            "state": row["histology_state"],
            "next_task": next_task(row["histology_state"]),
        }
        for row in rows
    ]
    named = {row["probe"] for row in rows}
    for probe in sorted(set(expected_probes) - named):
        found.append(
            {
                "subject": session.get("subject"),
                "eid": session.get("eid"),
                "start_time": session.get("start_time"),
                "pid": None,
                "probe": probe,
                "image_stacks": image_stacks,
                "picks": None,
                "alignment_uploaded": None,
                "alignment_resolved": None,
                "state": "no-insertion",
                "next_task": None,
            }
        )
    return found


def histology_todo(table: pd.DataFrame) -> pd.DataFrame:
    """What is to be done, ordered by task, animal and date.

    Parameters
    ----------
    table : DataFrame
        Rows of `histology_rows` of all sessions.
    """
    from iblnm.layers.histology import TASKS

    todo = table.dropna(subset=["next_task"]).copy()
    todo["_order"] = todo["next_task"].map({task: i for i, task in enumerate(TASKS)})
    ordered = todo.sort_values(["_order", "subject", "start_time", "probe"], ignore_index=True)
    columns = ["next_task", "subject", "start_time", "probe", "eid", "pid", "state"]
    return ordered[columns]


def todo_text(metadata_dir: Path, subject: str | None = None, task: str | None = None) -> str:
    """What is to be done, as lines to print.

    Parameters
    ----------
    metadata_dir : Path
        With ``histology_status.pqt``.
    subject, task : str, optional
        Only of this animal, only this task.

    Raises
    ------
    MissingFileError
        If the table has not been made.
    """
    from iblnm.storage.parquet import read_table

    todo = histology_todo(read_table(metadata_dir / "histology_status.pqt"))
    if subject:
        todo = todo[todo["subject"] == subject]
    if task:
        todo = todo[todo["next_task"] == task.upper()]
    lines = []
    for name, own in todo.groupby("next_task", sort=False):
        lines.append(f"{name} ({len(own)})")
        lines += [
            f"  {row.subject}  {str(row.start_time)[:10]}  {row.probe}  {row.eid}"
            for row in own.itertuples()
        ]
    return "\n".join([*lines, f"{len(todo)} probes"])


def pid_of(table: pd.DataFrame, eid: str, probe: str) -> str:
    """Insertion of a session by the probe's name.

    Raises
    ------
    DataError
        If the table has no such probe.
    """
    found = table.loc[(table["eid"] == eid) & (table["probe"] == probe), "pid"]
    if len(found) != 1:
        raise DataError(f"{len(found)} insertions are named {probe}; one is expected", eid=eid)
    return str(found.iloc[0])


def eid_and_probe_of(table: pd.DataFrame, pid: str) -> tuple[str, str]:
    """Session and probe name of an insertion.

    Raises
    ------
    DataError
        If the table has no such insertion.
    """
    found = table[table["pid"] == pid]
    if len(found) != 1:
        raise DataError(f"insertion {pid} is not in the table of {len(table)} insertions")
    return str(found["eid"].iloc[0]), str(found["probe"].iloc[0])


def _text(value: Any) -> str | None:
    return None if _is_null(value) or str(value) == "" else str(value)


def _verdict(value: Any) -> str:
    return _text(value) or NOT_SET


def _flag(value: Any) -> bool | None:
    return None if _is_null(value) else is_true(value)


def _stamp(value: Any) -> str | None:
    """Moment of a stamp that also names the user."""
    found = _STAMP.match(str(value or ""))
    return found[0] if found else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _is_null(value: Any) -> bool:
    return value is None or (pd.api.types.is_scalar(value) and pd.isna(value))
