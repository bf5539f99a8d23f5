"""Tables over all sessions, built from what is stored for each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import pandas as pd

from iblnm.io.stamps import local_times
from iblnm.pipeline.labels import label_sessions
from iblnm.schemas import (
    QC_PHOTOMETRY,
    SESSIONS_TABLE,
    TRIAL_TIMING,
    VIDEO_CHECKS,
    VIDEO_TABLE,
)
from iblnm.storage.store import SessionStore


def sessions_table(
    store: SessionStore, labels: pd.DataFrame, withdrawn: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """All sessions in order of start time, numbered within their subject.

    Parameters
    ----------
    store : SessionStore
    labels : DataFrame
        Human verdicts; schema `iblnm.schemas.LABELS`.
    withdrawn : mapping, optional
        When a session was found gone from the archive, by eid; it stays in the table.

    Returns
    -------
    DataFrame
        Schema `SESSIONS_TABLE`. ``day_n`` counts days from the subject's first session and
        ``session_n`` ranks its sessions densely by start time, both over the sessions of
        this table. Names of users are replaced by the first 12 digits of their SHA-256.
    """
    sessions = store.collect("session")
    start = local_times(sessions["start_time"])
    first = start.groupby(sessions["subject"]).transform("min")
    sessions["day_n"] = (start.dt.normalize() - first.dt.normalize()).dt.days
    sessions["session_n"] = start.groupby(sessions["subject"]).rank(method="dense")
    sessions["users"] = [
        None if users is None else [_pseudonym(user) for user in users]
        for users in sessions["users"]
    ]
    gone = [(withdrawn or {}).get(eid) for eid in sessions["eid"]]
    sessions["withdrawn"] = pd.array(gone, dtype="string")
    order = ["start_time", "eid"]
    labeled = label_sessions(sessions, labels)
    return SESSIONS_TABLE.validate(labeled.sort_values(order, na_position="last"))


def qc_photometry_table(store: SessionStore) -> pd.DataFrame:
    """Quality metrics of all sessions; schema `QC_PHOTOMETRY`."""
    rows = store.collect_rows("photometry_qc", QC_PHOTOMETRY, lambda _, table: table)
    return QC_PHOTOMETRY.validate(rows)


def video_table(store: SessionStore) -> pd.DataFrame:
    """Left cameras of all sessions; schema `VIDEO_TABLE`."""
    video = store.collect("video_qc")
    named = {f"qc_videoLeft_{check}": video[f"qc_{check}"] for check in VIDEO_CHECKS}
    return VIDEO_TABLE.validate(video.assign(**named))


def trial_timing_table(store: SessionStore) -> pd.DataFrame:
    """Conditions and times of all trials of all sessions; schema `TRIAL_TIMING`."""
    from iblnm.pipeline.versions import method_version

    made_by = str(method_version("task.timing"))
    rows = store.collect_rows("trials", TRIAL_TIMING, _timing_of, made_by=made_by)
    return TRIAL_TIMING.validate(rows)


_MADE_HERE = ("reaction_time", "movement_time", "response_time")


def stack_timing(sessions: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Conditions and times of the trials of sessions; schema `TRIAL_TIMING`.

    Parameters
    ----------
    sessions : iterable of (eid, trials)
        Taken one after the other.
    """
    tables = [_timing_of(eid, trials) for eid, trials in sessions]
    if not tables:
        return TRIAL_TIMING.empty()
    return TRIAL_TIMING.validate(pd.concat(tables, ignore_index=True))


def _timing_of(eid: str, trials: pd.DataFrame) -> pd.DataFrame:
    from iblnm.task import trial_timing

    conditions = [
        name for name in TRIAL_TIMING.names if name not in (*_MADE_HERE, "eid", "trial", "source")
    ]
    timing = trial_timing(trials).reset_index(drop=True)
    timing["trial"] = range(len(timing))
    timing[conditions] = trials[conditions].reset_index(drop=True)
    return timing.assign(eid=eid, source=trials.attrs.get("source"))


def _pseudonym(user: str) -> str:
    return hashlib.sha256(user.encode()).hexdigest()[:12]
