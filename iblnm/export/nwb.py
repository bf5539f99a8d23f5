"""One session as an NWB file, as DANDI takes it.

The clock stays that of IBL's session, so times may be negative: photometry often starts before
the task. What is where in the file: ``docs/nwb.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pandas as pd

from iblnm.config import Settings
from iblnm.errors import IblnmError
from iblnm.export.content import SessionContent, read_content
from iblnm.storage.atomic import write_whole
from iblnm.storage.names import validate_eid, validate_name
from iblnm.storage.provenance import software_versions

if TYPE_CHECKING:
    from pynwb import NWBFile
    from pynwb.file import Subject

INSTALL = "NWB needs further packages: pip install 'iblnm[nwb]'"
_PACKAGES = ("pynwb", "ndx_fiber_photometry")
UNKNOWN_AGE = "P0D/"
"""Age of a subject whose birth is not known: a range of ISO durations without an end."""
# Alyx has the local time of the rig and no zone
_ZONES = {
    "angelakilab": "America/New_York",
    "churchlandlab": "America/New_York",
    "churchlandlab_ucla": "America/Los_Angeles",
    "cortexlab": "Europe/London",
    "danlab": "America/Los_Angeles",
    "hoferlab": "Europe/London",
    "mainenlab": "Europe/Lisbon",
    "mrsicflogellab": "Europe/London",
    "steinmetzlab": "America/Los_Angeles",
    "wittenlab": "America/New_York",
    "zadorlab": "America/New_York",
}


class MissingExtraError(IblnmError):
    """Packages of the extra `nwb` are not installed."""


@dataclass(frozen=True)
class Export:
    """A file that was written.

    Parameters
    ----------
    path : Path
    n_bytes : int
    left_out : tuple of str
        What the session does not have, and what is not known of it, with the reason.
    """

    path: Path
    n_bytes: int
    left_out: tuple[str, ...]


def require_nwb() -> None:
    """See that the extra is installed.

    Raises
    ------
    MissingExtraError
        Saying how to install it.
    """
    if any(find_spec(name) is None for name in _PACKAGES):
        raise MissingExtraError(INSTALL)


def nwb_path(folder: Path | str, subject: str, eid: str) -> Path:
    """Place of a session's file, as DANDI names it.

    Raises
    ------
    InvalidNameError
        If eid or subject cannot be part of a path.

    Examples
    --------
    >>> nwb_path("out", "fip_40", "ab7da640-14f6-3bd3-8ae2-4ba9a67bade1").parent.as_posix()
    'out/sub-fip-40'
    """
    name = validate_name(str(subject).replace("_", "-"))
    file = f"sub-{name}_ses-{validate_eid(eid)}_behavior+ophys.nwb"
    return Path(folder) / f"sub-{name}" / file


def export_session(
    one: Any,
    eid: str,
    settings: Settings,
    folder: Path | str,
    *,
    with_responses: bool = False,
    with_names: bool = False,
) -> Export:
    """Write the NWB file of a processed session; an earlier one is replaced.

    Parameters
    ----------
    one : ONE
    eid : str
    settings : Settings
    folder : Path
        Of the dandiset.
    with_responses : bool
        Whether to add the peri-event responses.
    with_names : bool
        Whether to name the experimenters.

    Returns
    -------
    Export

    Raises
    ------
    MissingExtraError
        If pynwb or ndx-fiber-photometry are not installed.
    UnknownSessionError
        If nothing is stored of the session.
    MissingFileError, UnreadableFileError, MalformedFileError
        If a file that was used cannot be read any more, or has changed.
    NotWritableError
        If the folder cannot be written to.
    """
    require_nwb()
    content = read_content(one, eid, settings, with_responses=with_responses)
    path = nwb_path(folder, content.session["subject"], content.eid)
    nwbfile = build_file(content, settings, with_names=with_names)
    with write_whole(path) as temporary:
        _write(nwbfile, temporary)
    return Export(path, path.stat().st_size, (*content.left_out, *_not_known(content)))


def build_file(
    content: SessionContent, settings: Settings, *, with_names: bool = False
) -> NWBFile:
    """The session in memory, as pynwb has it; parameters as in `export_session`."""
    from iblnm.export.fibers import add_fibers
    from iblnm.export.series import add_preprocessed, add_raw_bands, add_responses, add_wheel
    from iblnm.export.tables import add_quality, events_tables, trials_table

    nwbfile = _header(content, with_names)
    if content.bands:
        table = add_fibers(nwbfile, content, settings)
        add_raw_bands(nwbfile, content, table)
        add_preprocessed(nwbfile, content, table)
        add_responses(nwbfile, content)
    if content.trials is not None:
        nwbfile.trials = trials_table(content.trials)
        for events in events_tables(content.trials):
            nwbfile.add_events_table(events)
    if content.wheel is not None:
        add_wheel(nwbfile, content.wheel)
    add_quality(nwbfile, content.quality, content.checks)
    return nwbfile


def _write(nwbfile: NWBFile, path: Path) -> None:
    import h5py
    from pynwb import NWBHDF5IO

    # given a path, pynwb warns of every name that does not end in .nwb
    with h5py.File(path, "w") as file, NWBHDF5IO(file=file, mode="w") as io:
        io.write(nwbfile)


def _header(content: SessionContent, with_names: bool) -> NWBFile:
    from pynwb import NWBFile

    session = content.session
    start = _start(session)
    protocol = _text(session["task_protocol"])
    kind = _text(session["session_type"]) or "unknown"
    users = [str(name) for name in session["users"]]
    notes = (*content.left_out, *_not_known(content))
    software = {name: version for name, version in software_versions().items() if version}
    return NWBFile(
        session_description=f"IBL task with fiber photometry; type of the session: {kind}.",
        identifier=content.eid,
        session_id=content.eid,
        session_start_time=start,
        timestamps_reference_time=start,
        experiment_description="Fiber photometry of neuromodulatory neurons in the decision task "
        "of the International Brain Laboratory.",
        lab=_text(session["lab"]),
        protocol=protocol,
        keywords=["fiber photometry", "neuromodulation", "decision making", "mouse"],
        experimenter=users if with_names and users else None,
        notes=f"Left out or not known: {'; '.join(notes)}." if notes else None,
        was_generated_by=[[name, version] for name, version in software.items()],
        subject=_subject(content, start),
    )


def _subject(content: SessionContent, start: datetime) -> Subject:
    from pynwb.file import Subject

    record, session = content.subject, content.session
    sex = record.get("sex")
    genotype = "; ".join(map(str, session["genotype"])) or _text(session["line"])
    return Subject(
        subject_id=str(session["subject"]),
        species="Mus musculus",
        description="; ".join(
            f"{name}: {value}"
            for name, value in (("line", _text(session["line"])), ("lab", _text(session["lab"])))
            if value
        )
        or "nothing further is known",
        sex=sex if sex in ("M", "F") else "U",
        age=_age(record, start),
        strain=_text(session["strain"]),
        genotype=genotype,
    )


def _age(record: dict[str, Any], start: datetime) -> str:
    """Age at the session as an ISO duration of days."""
    born = pd.to_datetime(record.get("birth_date"), errors="coerce")
    if pd.isna(born):
        return UNKNOWN_AGE
    days = (pd.Timestamp(start.date()) - born.tz_localize(None).normalize()).days
    return f"P{days}D" if days >= 0 else UNKNOWN_AGE


def _not_known(content: SessionContent) -> tuple[str, ...]:
    notes = []
    if _age(content.subject, _start(content.session)) == UNKNOWN_AGE:
        notes.append("age: no date of birth that is before the session")
    if content.subject.get("sex") not in ("M", "F"):
        notes.append("sex: no record")
    if content.session["lab"] not in _ZONES:
        notes.append("time zone of the lab: UTC is written")
    if "T" not in str(content.session["start_time"]):
        notes.append("time of day of the start: midnight is written")
    return tuple(notes)


def _start(session: pd.Series) -> datetime:
    start = datetime.fromisoformat(str(session["start_time"]))
    if start.tzinfo is not None:
        return start
    return start.replace(tzinfo=ZoneInfo(_ZONES.get(session["lab"], "UTC")))


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)
