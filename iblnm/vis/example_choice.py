"""Example of a session from what is stored: which one, and its figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.config import Settings
from iblnm.errors import IblnmError
from iblnm.vis.example_session import example_session_figure
from iblnm.vis.panels import NoDataError, need_rows, or_no_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RECORDING = ["eid", "fiber_idx"]


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
        Session to show; see `choose_example` by default.
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

    if eid is None:
        eid, fiber_idx = choose_example(responses, settings)
    store = SessionStore(settings)
    if not store.h5_path(eid).exists():
        raise NoDataError(f"session {eid} has no file {store.h5_path(eid).name}")
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
