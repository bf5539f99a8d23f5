"""Example of a session from what is stored: which one, and its figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.config import Settings
from iblnm.errors import IblnmError
from iblnm.storage.names import is_eid
from iblnm.vis.example_session import example_session_figure
from iblnm.vis.panels import NoDataError, need_rows, or_no_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from iblnm.storage.store import SessionStore

_RECORDING = ["eid", "fiber_idx"]
SETTING = "IBLNM_FIGURES__EXAMPLE_EID"
_NEEDED = (
    "a session needs trials and a preprocessed signal of a region to be the example; "
    f"{SETTING} chooses one"
)


def choose_example(responses: pd.DataFrame, settings: Settings) -> tuple[str, int]:
    """The recording of the first analyzed target that is there with most usable trials.

    Parameters
    ----------
    responses : DataFrame
        Schema `iblnm.analysis.responses.tables.RESPONSE_MAGNITUDES`.
    settings : Settings
        Order of the targets.

    Returns
    -------
    eid : str
    fiber_idx : int
        Of recordings with equal numbers the first by eid.

    Raises
    ------
    NoDataError
        If no recording has a response.
    """
    table = need_rows(responses, ("target_NM", "response_early"), "responses")
    targets = [name for name in settings.analysed_targets if (table["target_NM"] == name).any()]
    table = table[table["target_NM"] == targets[0]] if targets else table
    n_trials = table.groupby(_RECORDING)["trial"].nunique().sort_index()
    eid, fiber = n_trials.index[int(n_trials.to_numpy().argmax())]
    return str(eid), int(fiber)


def choose_stored(settings: Settings) -> str:
    """The session under the root with responses to most trials, in the analyses or not.

    Raises
    ------
    NoDataError
        If there is none, with what a session needs.
    """
    from iblnm.storage.store import SessionStore

    store = SessionStore(settings)
    eids = store.eids("responses")
    n_trials = {eid: n for eid in eids if (n := _n_trials(store, eid))}
    if not n_trials:
        raise NoDataError(f"none of {len(eids)} stored sessions has responses: {_NEEDED}")
    return max(n_trials, key=lambda eid: n_trials[eid])


def _n_trials(store: SessionStore, eid: str) -> int:
    """Trials with responses; none of a damaged file."""
    try:
        responses = store.load("responses", eid)
    except IblnmError:
        return 0
    return max((found.sizes["trial"] for found in (responses or {}).values()), default=0)


def session_figure(
    session: Any,
    recording: str | None = None,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """`example_session_figure` of a session that holds trials, signal and responses.

    Parameters
    ----------
    session : iblnm.data.PhotometrySession
        After `load_h5`, or `preprocess` and `extract_responses`. Raw bands are shown if
        `load_photometry` was called.
    recording : str, optional
        Name of the recording; the first by default.
    counts
        See `example_session_figure`.
    settings : Settings, optional
        Those of the session by default.

    Returns
    -------
    Figure
        Responses minus their baseline, from the next event of the trial on masked.
    """
    recording = recording or next(iter(session.responses), "")
    responses = {}
    if recording in session.responses:
        response = session.subtract_baseline(session.responses[recording])
        responses[recording] = session.mask_subsequent_events(response)
    row = session.to_dict()
    trials = session.trials
    return example_session_figure(
        session.photometry,
        responses,
        trials if trials is not None else pd.DataFrame(),
        recording=recording,
        name=f"{row.get('subject', '')} {str(row.get('start_time', ''))[:10]}".strip(),
        target=session.recordings.get(recording, {}).get("target_NM"),
        counts=counts,
        settings=settings or session.settings,
    )


@or_no_data("Example session")
def stored_session_figure(
    responses: pd.DataFrame,
    *,
    eid: str | None = None,
    fiber_idx: int = 0,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """The figure of a session under the root of the settings.

    Parameters
    ----------
    responses : DataFrame
        Schema `iblnm.analysis.responses.tables.RESPONSE_MAGNITUDES`, to choose from.
    eid : str, optional
        Session to show; by default that of ``settings.figures.example_eid``, or else see
        `choose_example`; where no session is in the analyses, see `choose_stored`.
    fiber_idx : int
        Fiber of that session.
    counts : mapping, optional
        Numbers for the title; those of the session by default.
    settings : Settings

    Returns
    -------
    Figure
        Raw bands are left out where the files of the signal are not at hand.
    """
    from iblnm.data import PhotometrySession
    from iblnm.io import load_photometry
    from iblnm.storage.store import SessionStore

    eid = eid or settings.figures.example_eid
    if eid is None:
        try:
            eid, fiber_idx = choose_example(responses, settings)
        except NoDataError:
            eid = choose_stored(settings)
    store = SessionStore(settings)
    if not is_eid(eid) or not store.h5_path(eid).exists():
        raise NoDataError(f"session {eid} is not stored in {store.h5_dir.name}/: {_NEEDED}")
    session = PhotometrySession.from_h5(store.h5_path(eid), settings=settings)
    reference = store.load("photometry", eid)
    if reference is not None:
        try:
            session.photometry = {**load_photometry(reference), **session.photometry}
        except (IblnmError, OSError):
            # the signal stays in the cache of ONE, which may be elsewhere
            session.photometry = dict(session.photometry)
    names = {fiber["fiber_idx"]: name for name, fiber in session.recordings.items()}
    return session_figure(session, names.get(fiber_idx), counts=counts, settings=settings)
