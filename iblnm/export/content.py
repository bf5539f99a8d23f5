"""What is known of one session, read from its stored files and from the archive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.archive.records import records_of
from iblnm.config import Settings
from iblnm.errors import UnknownSessionError
from iblnm.io.fibers import subject_fibers
from iblnm.io.photometry_clock import CAMERA
from iblnm.io.regions import split_region
from iblnm.io.task_files import known_collection
from iblnm.pipeline import steps
from iblnm.pipeline.outcomes import open_outcomes
from iblnm.storage.names import validate_eid
from iblnm.storage.store import SessionStore

if TYPE_CHECKING:
    import xarray as xr

    from iblnm.io.wheel import WheelTrace
    from iblnm.storage.provenance import Provenance


@dataclass(frozen=True)
class SessionContent:
    """One session with all that was stored of it.

    Parameters
    ----------
    session : Series
        Row of the sessions table.
    subject : dict
        Record of the subject on Alyx; empty where there is none.
    fibers : list of dict
        One per recording: ``recording_name``, ``fiber_idx``, ``brain_region``, ``hemisphere``,
        ``target_NM``, and ``implant``, its row of the fiber table or None.
    reference : DataFrame or None
        Reference to the raw signal.
    bands : dict of str to DataFrame
        Raw signal by band: index times [s], a column per recording.
    preprocessed : dict of str to Dataset
    preprocessed_origin : Provenance or None
    responses : dict of str to DataArray
    quality : DataFrame or None
    checks : DataFrame
        Latest evaluation of each rule.
    trials : DataFrame or None
    wheel : WheelTrace or None
    left_out : tuple of str
        What the session does not have, with the reason.
    """

    session: pd.Series
    subject: dict[str, Any]
    fibers: list[dict[str, Any]]
    reference: pd.DataFrame | None
    bands: dict[str, pd.DataFrame]
    preprocessed: dict[str, xr.Dataset]
    preprocessed_origin: Provenance | None
    responses: dict[str, xr.DataArray]
    quality: pd.DataFrame | None
    checks: pd.DataFrame
    trials: pd.DataFrame | None
    wheel: WheelTrace | None
    left_out: tuple[str, ...] = field(default=())

    @property
    def eid(self) -> str:
        """Session identifier."""
        return str(self.session["eid"])


def read_content(
    one: Any, eid: str, settings: Settings, *, with_responses: bool = False
) -> SessionContent:
    """Read all that was stored of a session, the raw signal and the wheel.

    Parameters
    ----------
    one : ONE
    eid : str
    settings : Settings
    with_responses : bool
        Whether to read the peri-event responses too.

    Returns
    -------
    SessionContent

    Raises
    ------
    UnknownSessionError
        If nothing is stored of the session.
    MissingFileError, UnreadableFileError, MalformedFileError
        If a file that was used cannot be read any more, or has changed.
    """
    eid = validate_eid(eid)
    store = SessionStore(settings)
    table = store.load("session", eid)
    if table is None:
        raise UnknownSessionError("nothing is stored of it: run iblnm batch first", eid=eid)
    session = table.iloc[0]
    trials, reference = store.load("trials", eid), store.load("photometry", eid)
    left_out = [] if trials is not None else ["trials: none are stored"]
    clock = "session" if trials is None else trials.attrs.get("clock", "session")
    note = _why_no_signal(reference, clock)
    if note:
        reference = None
        left_out.append(f"photometry: {note}")
    is_used = reference is not None
    bands = steps.read_bands(reference, settings, restrict=False) if is_used else {}
    bands = {name: frame for name, frame in bands.items() if frame.notna().to_numpy().any()}
    if is_used and len(bands) == 1:
        left_out.append("isosbestic band: none was recorded")
    preprocessed = (store.load("preprocessed", eid) if is_used else None) or {}
    if is_used and not preprocessed:
        left_out.append("preprocessed signal: none is stored")
    wheel = _wheel(one, store, session, settings)
    if wheel is None:
        left_out.append("wheel: none is stored")
    responses = (store.load("responses", eid) if with_responses and is_used else None) or {}
    if with_responses and not responses:
        left_out.append("responses: none are stored")
    return SessionContent(
        session=session,
        subject=records_of(one).subject(str(session["subject"])) or {},
        fibers=_fibers(session, reference, settings),
        reference=reference,
        bands=bands,
        preprocessed=preprocessed,
        preprocessed_origin=_origin(store, eid) if preprocessed else None,
        responses=responses,
        quality=store.load("photometry_qc", eid) if is_used else None,
        checks=open_outcomes(settings).evaluations(eid),
        trials=trials,
        wheel=wheel,
        left_out=tuple(left_out),
    )


def _why_no_signal(reference: pd.DataFrame | None, clock: str) -> str:
    if reference is None:
        return "none is stored"
    own = reference.iloc[0]["clock"]
    if own == CAMERA:
        return "it is on the camera's own clock until it is extracted"
    if own != clock:
        return f"it is on the clock of the {own}, the trials on that of the {clock}"
    return "" if reference["recording_name"].notna().any() else "no column maps to a region"


def _origin(store: SessionStore, eid: str) -> Provenance | None:
    from iblnm.storage.h5 import read_provenance

    return read_provenance(store.h5_path(eid), "photometry/preprocessed")


def _wheel(
    one: Any, store: SessionStore, session: pd.Series, settings: Settings
) -> WheelTrace | None:
    """The trace of the wheel, where the velocity of the trials was made of it."""
    eid = str(session["eid"])
    if store.load("wheel_velocity", eid) is None:
        return None
    return steps.read_wheel(one, eid, settings, known_collection(session))


def _fibers(
    session: pd.Series, reference: pd.DataFrame | None, settings: Settings
) -> list[dict[str, Any]]:
    if reference is None:
        return []
    table = subject_fibers(settings, str(session["subject"]))
    targets = list(session["target_NM"])
    found = []
    mapped = reference.dropna(subset=["recording_name"]).sort_values("fiber_idx")
    for row in mapped.itertuples():
        i = int(row.fiber_idx)
        region = None if pd.isna(row.brain_region) else row.brain_region
        side = None if pd.isna(row.hemisphere) else row.hemisphere
        found.append(
            {
                "recording_name": row.recording_name,
                "fiber_idx": i,
                "brain_region": region,
                "hemisphere": side,
                "target_NM": targets[i] if i < len(targets) else None,
                "implant": _implant(table, region, side, settings),
            }
        )
    return found


def _implant(
    table: pd.DataFrame, region: str | None, side: str | None, settings: Settings
) -> dict[str, Any] | None:
    """The one row of the fiber table that can be meant; None where there is none, or several."""
    rows = [
        row
        for row in table.to_dict("records")
        if isinstance(row["targeted_region"], str)
        and split_region(row["targeted_region"], settings.region_fixes)[0] == region
        and (side is None or row["side"] in (None, side))
    ]
    return rows[0] if len(rows) == 1 else None
