"""One part of a session's metadata at a time, for notebooks that enrich a table row by row.

`fetch_session` gives all of it at once and is what the pipeline uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from iblnm.config import get_settings
from iblnm.pipeline.error_log import exception_logger

_SESSION_FIELDS = (
    "subject",
    "start_time",
    "end_time",
    "session_length",
    "number",
    "task_protocol",
    "session_type",
    "projects",
    "users",
    "lab",
    "url",
    "qc",
    "extended_qc",
    "session_json",
)
_SUBJECT_FIELDS = ("strain", "line", "genotype", "NM")
_REGION_FIELDS = (
    "brain_region",
    "recording_name",
    "hemisphere",
    "target_NM",
    "roi",
    "n_recordings",
    "region_source",
    "hemisphere_suffix",
    "hemisphere_locations",
    "hemisphere_fibers",
    "hemisphere_alyx",
)
_DATASET_FIELDS = (
    "datasets",
    "dataset_sizes",
    "dataset_hashes",
    "dataset_revisions",
    "task_collection",
    "task_part",
    "task_reason",
    "task_rivals",
)


@exception_logger
def get_session_dict(session: pd.Series, one: Any = None) -> pd.Series:
    """The session with what its own record says: times, users, lab, quality verdicts.

    Parameters
    ----------
    session : Series
        With ``eid``.
    one : ONE, optional
        The archive; the default connection otherwise.

    Returns
    -------
    Series
        A copy with these fields set.
    """
    return _with(session, one, _SESSION_FIELDS)


@exception_logger
def get_subject_info(session: pd.Series, one: Any = None) -> pd.Series:
    """The session with strain, line, genotype and neuromodulator of its subject."""
    return _with(session, one, _SUBJECT_FIELDS)


@exception_logger
def get_brain_region(session: pd.Series, one: Any = None) -> pd.Series:
    """The session with its recording targets: regions, sides, target-NM, signal columns."""
    return _with(session, one, _REGION_FIELDS)


@exception_logger
def get_datasets(session: pd.Series, one: Any = None) -> pd.Series:
    """The session with the list of its datasets."""
    return _with(session, one, _DATASET_FIELDS)


@exception_logger
def get_extended_qc(session: pd.Series, one: Any = None) -> pd.Series:
    """The session with Alyx's verdicts as text: ``qc_session`` and one ``qc_{key}`` for each.

    Parameters
    ----------
    session : Series
        With ``eid``.
    one : ONE, optional
        The archive; the default connection otherwise.

    Returns
    -------
    Series
        A copy with these fields set. Of a verdict with numbers only the verdict is taken, and
        a number stays a number in text.
    """
    from iblnm.archive.connection import _get_default_connection
    from iblnm.archive.records import parse_json, records_of

    archive = _get_default_connection() if one is None else one
    record = records_of(archive).session(session["eid"]) or {}
    verdicts = parse_json(record.get("extended_qc")) or {}
    values: dict[str, Any] = {"qc_session": record.get("qc")}
    for key, value in verdicts.items():
        verdict = value[0] if isinstance(value, list) and value else value
        values[f"qc_{key.lstrip('_')}"] = None if verdict is None else str(verdict)
    return _with_values(session, values)


def get_fiber_coordinates(
    subject: str, all_trajectories: Iterable[dict[str, Any]] | None = None, one: Any = None
) -> list[dict[str, Any]]:
    """Where the tips of a subject's fibers are, by their trajectories on Alyx.

    Parameters
    ----------
    subject : str
    all_trajectories : iterable of dict, optional
        Trajectories as Alyx gives them, with ``probe_name`` and the subject in ``session``;
        those of the archive by default.
    one : ONE, optional
        The archive; the default connection otherwise.

    Returns
    -------
    list of dict
        ``subject``, ``fiber`` (name of the insertion) and ``coords``: ML, AP and DV of the tip
        relative to bregma, µm. Each fiber once, by its latest trajectory.
    """
    from iblnm.io.fibers import fiber_tip

    if all_trajectories is None:
        found = _trajectories_of(subject, one)
    else:
        found = [own for own in all_trajectories if own["session"]["subject"] == subject]
    tips = {}
    for own in found:
        entry = (own["x"], own["y"], own["z"])
        tips[own["probe_name"]] = fiber_tip(entry, own["depth"], own["theta"], own["phi"])
    return [
        {"subject": subject, "fiber": name, "coords": tip.tolist()} for name, tip in tips.items()
    ]


def _trajectories_of(subject: str, one: Any) -> list[dict[str, Any]]:
    from iblnm.archive.connection import _get_default_connection
    from iblnm.archive.records import records_of

    archive = _get_default_connection() if one is None else one
    records = records_of(archive)
    return [
        {"probe_name": insertion["name"], **own}
        for eid in archive.search(subject=subject) or []
        for insertion in records.insertions(str(eid))
        for own in records.trajectories(insertion)
    ]


def _with(session: pd.Series, one: Any, fields: Iterable[str]) -> pd.Series:
    fetched = _fetch(session, one)
    return _with_values(session, {name: fetched[name] for name in fields})


def _with_values(session: pd.Series, values: Mapping[str, Any]) -> pd.Series:
    return pd.Series({**session.to_dict(), **values}, name=session.name, dtype=object)


def _fetch(session: pd.Series, one: Any) -> pd.Series:
    from iblnm.archive.connection import _get_default_connection
    from iblnm.archive.sessions import fetch_session

    archive = _get_default_connection() if one is None else one
    return fetch_session(archive, session["eid"], get_settings()).iloc[0]
