"""Sessions of the project and the metadata of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.archive.datasets import list_session_datasets, session_datasets
from iblnm.archive.listing import list_remote_sessions
from iblnm.archive.records import is_remote, records_of, require_place
from iblnm.errors import DataError, UnknownSessionError
from iblnm.io import regions
from iblnm.io.fibers import subject_fibers
from iblnm.io.stamps import parse_stamp, seconds_between
from iblnm.io.task_files import (
    TaskFiles,
    choose_task,
    described_tasks,
    has_choices,
    protocols_of,
)
from iblnm.storage.names import validate_eid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iblnm.config import Settings

METHOD_VERSION = 1
_ZYGOSITY = {0: "-/-", 1: "+/-", 2: "+/+", 3: "+"}  # as Alyx numbers and writes them


def list_sessions(one: Any, project: str | None = None) -> pd.DataFrame:
    """Sessions of a project in order of their start.

    Parameters
    ----------
    one : ONE
    project : str, optional
        Exact name; all sessions by default. In local mode a session without any project is
        taken as well, since the tables of a local tree often carry none.

    Returns
    -------
    DataFrame
        Columns eid, subject, start_time (ISO text; the date where the time is unknown),
        date (ISO text), number, lab. Alyx may know neither start nor number of a session: then
        they are missing.
    """
    rows = list(_remote_rows(one, project) if is_remote(one) else _local_rows(one, project))
    columns = ["eid", "subject", "start_time", "date", "number", "lab"]
    table = pd.DataFrame(rows, columns=columns).astype({"number": "Int64"})
    return table.sort_values(["start_time", "number", "eid"], ignore_index=True)


def fetch_session(one: Any, eid: str, settings: Settings) -> pd.DataFrame:
    """Metadata of one session from the archive's tables, its records and its files.

    Parameters
    ----------
    one : ONE
    eid : str
    settings : Settings

    Returns
    -------
    DataFrame
        One row of the sessions table: what is unknown is None, a list is always a list.

    Raises
    ------
    InvalidNameError
        If the eid is no UUID.
    UnknownSessionError
        If the archive does not have the session.
    UnreadableFileError, MalformedFileError
        If a record, the experiment description or the locations cannot be used, or the session
        has no start or number, so that its folder cannot be known.
    """
    eid = validate_eid(eid)
    records = records_of(one)
    record = records.session(eid)
    details = _details(one, eid, record)
    start = _text((record or {}).get("start_time")) or _text(details.get("date"))
    require_place(eid, number=details.get("number"), start_time=start)
    subject = details["subject"]
    lab = _text(details.get("lab"))
    animal = records.subject(subject, lab) or {}
    datasets = list_session_datasets(one, eid, refresh=True)
    # what is not used is no input, and must not be in the provenance
    datasets = datasets[datasets["default"]]
    row = {
        "eid": eid,
        "subject": subject,
        **_times(details, record),
        "number": int(details["number"]),
        "task_protocol": _text(details.get("task_protocol")),
        "projects": _texts(details.get("projects")),
        "users": _texts((record or {}).get("users")),
        "lab": lab,
        "strain": _text(animal.get("strain")),
        "line": _text(animal.get("line")),
        "genotype": _texts([_allele(item) for item in animal.get("genotype") or []]),
        "datasets": datasets["rel_path"].tolist(),
        "dataset_sizes": [None if pd.isna(v) else int(v) for v in datasets["size"]],
        "dataset_hashes": datasets["hash"].tolist(),
        "dataset_revisions": datasets["revision"].tolist(),
        "revision": max(datasets["revision"], default="") or None,
        "url": _text((record or {}).get("url")),
        "qc": _text((record or {}).get("qc")),
        "extended_qc": _json_text((record or {}).get("extended_qc")),
        "session_json": _json_text((record or {}).get("json")),
        "has_record": record is not None,
    }
    task = _task(one, eid, row["task_protocol"])
    row["session_type"] = session_type(task.protocol or row["task_protocol"], settings)
    row |= {
        "task_collection": task.collection,
        "task_part": task.protocol,
        "task_reason": task.reason,
        "task_rivals": list(task.rivals),
    }
    its_lab = lab if animal.get("shares_nickname") else None
    row.update(_position(one, subject, row["start_time"], row["number"], its_lab))
    row.update(_recordings(one, row, record, settings))
    return pd.DataFrame({name: [value] for name, value in row.items()})


def _task(one: Any, eid: str, protocol: str | None) -> TaskFiles:
    datasets = session_datasets(one, eid)
    described = described_tasks(one, eid) if len(protocols_of(protocol)) > 1 else {}
    return choose_task(datasets, protocol, described)


def session_type(task_protocol: str | None, settings: Settings) -> str | None:
    """Session type of a task protocol; None unless exactly one known word is in it.

    Of chained tasks that with choices counts, where only one has any.

    Examples
    --------
    >>> from iblnm.config import Settings
    >>> session_type("_iblrig_tasks_trainingChoiceWorld8.2.0", Settings())
    'training'
    """
    if not task_protocol:
        return None
    if any(word in task_protocol for word in settings.rejected_protocol_words):
        return None
    found = session_types(task_protocol, settings)
    return found[0] if len(found) == 1 else None


def session_types(task_protocol: str, settings: Settings) -> list[str]:
    """Types that a protocol names; of chained tasks only of those with choices, if any has."""
    parts = protocols_of(task_protocol)
    parts = [part for part in parts if has_choices(part)] or parts
    known = settings.session_type_words
    return sorted({known[word] for word in known for part in parts if word in part})


def genotype_neuromodulator(
    strain: str | None, line: str | None, settings: Settings
) -> str | None:
    """Neuromodulator that the genotype expresses: by strain, else by line."""
    by_strain = settings.strain_neuromodulator.get(strain or "")
    return by_strain or settings.line_neuromodulator.get(line or "")


def _recordings(
    one: Any, row: Mapping[str, Any], record: Mapping[str, Any] | None, settings: Settings
) -> dict[str, Any]:
    table = subject_fibers(settings, row["subject"])
    fibers, unnamed, source = regions.session_fibers(one, row["eid"], table, settings)
    records = records_of(one)
    insertions = [] if record is None else records.insertions(row["eid"])
    suffix = [fiber.suffix for fiber in fibers]
    in_table = regions.table_sides(fibers, table, settings)
    on_alyx = regions.alyx_sides(fibers, insertions, records, settings)
    names = [fiber.region for fiber in fibers]
    expressed = genotype_neuromodulator(row["strain"], row["line"], settings)
    targets = settings.target_neuromodulator
    nm = [(expressed or targets[region]) if region in targets else None for region in names]
    of_targets = {value for value in nm if value}
    return {
        "NM": expressed or (of_targets.pop() if len(of_targets) == 1 else None),
        "brain_region": names,
        "recording_name": regions.recording_names(names),
        "hemisphere": [a or b or c for a, b, c in zip(suffix, in_table, on_alyx, strict=True)],
        "target_NM": [
            f"{region}-{value}" if value else None for region, value in zip(names, nm, strict=True)
        ],
        # a column without a region makes this list longer: the rule parallel_lists names it
        "roi": [*(fiber.roi for fiber in fibers), *unnamed],
        "n_recordings": len(fibers),
        "region_source": source,
        "hemisphere_suffix": suffix,
        "hemisphere_locations": [fiber.located for fiber in fibers],
        "hemisphere_fibers": in_table,
        "hemisphere_alyx": on_alyx,
        "n_insertions": None if record is None else len(insertions),
    }


def _details(one: Any, eid: str, record: Mapping[str, Any] | None) -> dict[str, Any]:
    if is_remote(one):
        if record is None:
            raise UnknownSessionError("the archive has no such session", eid=eid)
        return dict(record)
    from one.alf.exceptions import ALFObjectNotFound

    try:
        details = dict(one.get_details(eid))
    except ALFObjectNotFound as error:
        raise UnknownSessionError("the archive has no such session", eid=eid) from error
    # the record is the fuller of the two, but the tree's own names find the files
    known = {key: value for key, value in (record or {}).items() if value not in (None, "", [])}
    return {**details, **known, "subject": details["subject"], "number": details["number"]}


def _times(details: Mapping[str, Any], record: Mapping[str, Any] | None) -> dict[str, Any]:
    start = _text((record or {}).get("start_time")) or _text(details.get("date"))
    end = _text((record or {}).get("end_time"))
    length = seconds_between(start, end)
    return {"start_time": start, "end_time": end, "session_length": length}


def _position(
    one: Any, subject: str, start_time: str, number: int, lab: str | None
) -> dict[str, Any]:
    """Days and sessions since the subject's first session that the archive knows.

    Other sessions may have no number, and without a start they have no place among these. Where
    a nickname is that of several animals, the sessions of `lab` are the subject's.
    """
    rows = records_of(one).subject_sessions(subject)
    if rows is not None:
        own = (_clock(start_time), number)
        listed = [
            (_clock(row["start_time"]), int(row.get("number") or 0))
            for row in rows
            if row.get("start_time") and (lab is None or row.get("lab") == lab)
        ]
    else:
        # the tables know the day and the number, which give the same order
        own = (start_time[:10], number)
        listed = [
            (str(row["date"]), int(row["number"]))
            for row in _search(one)[1]
            if row["subject"] == subject
        ]
    known = sorted({*listed, own})  # texts, of which the first ten letters are the day
    days = pd.Timestamp(own[0][:10]) - pd.Timestamp(known[0][0][:10])
    return {"day_n": int(days.days), "session_n": float(known.index(own) + 1)}


def _clock(start_time: Any) -> str:
    """A start as it reads on the clock of its place, the same with and without zone."""
    stamp = parse_stamp(start_time)
    if stamp is None:
        return str(start_time)
    return stamp.replace(tzinfo=None).isoformat(timespec="microseconds")


def _search(one: Any) -> tuple[list[str], list[Mapping[str, Any]]]:
    eids, details = one.search(details=True)
    return list(map(str, eids)), list(details or [])


def _local_rows(one: Any, project: str | None) -> Iterator[dict[str, Any]]:
    records = records_of(one)
    for eid, details in zip(*_search(one), strict=True):
        projects = _texts(details.get("projects"))
        if project and projects and project not in projects:
            continue
        if pd.isna(details["date"]) or pd.isna(details["number"]):
            continue  # no folder can be its own
        try:
            record = records.session(eid) or {}
        except DataError:  # the session itself will fail of it, the others must be listed
            record = {}
        date = str(details["date"])
        yield {
            "eid": eid,
            "subject": details["subject"],
            "start_time": _text(record.get("start_time")) or date,
            "date": date,
            "number": int(details["number"]),
            "lab": _text(details.get("lab")),
        }


def _remote_rows(one: Any, project: str | None) -> Iterator[dict[str, Any]]:
    for eid, record in list_remote_sessions(one, project).items():
        yield {
            "eid": eid,
            "subject": record["subject"],
            "start_time": record["start_time"],
            "date": str(record["start_time"])[:10] if record["start_time"] else None,
            "number": record["number"],
            "lab": _text(record.get("lab")),
        }


def _text(value: Any) -> str | None:
    text = "" if value is None or value is pd.NA else str(value)
    return None if text in ("", "nan", "None", "NaT") else text


def _texts(value: Any) -> list[str]:
    if value is None or isinstance(value, str | float):
        value = (_text(value) or "").split(",")
    return [text for item in value if (text := _text(item))]


def _allele(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    sign = _ZYGOSITY.get(item.get("zygosity"), "")
    return f"{item.get('allele', '')} {sign}".strip()


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return _text(value)
    return json.dumps(value, sort_keys=True)
