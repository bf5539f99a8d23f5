"""Human verdicts on sessions and fibers, from ``metadata/labels.csv``.

A verdict on a whole session (empty ``fiber_idx``) stands in the matrix of outcomes: ``keep``
turns its warnings into passes, never a failure. ``drop``, of a session or of a fiber, leaves
the recordings out of cohort analyses. ``mask`` with a window of time makes samples missing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from iblnm.data.label_rows import MASK, read_rows
from iblnm.schemas import LABELS


def read_labels(path: Path | str) -> pd.DataFrame:
    """Read and check a table of labels.

    Parameters
    ----------
    path : Path
        CSV with the columns of the schema `LABELS`, see `iblnm.data.label_rows.read_rows`.

    Returns
    -------
    DataFrame
        Schema `LABELS`.

    Raises
    ------
    MalformedFileError
        Naming the first line at fault, what it holds and what is expected.
    """
    rows = read_rows(path)
    if not rows:
        return LABELS.empty()
    return LABELS.validate(pd.DataFrame(rows, columns=LABELS.names))


def labels_version(path: Path | str) -> str:
    """Hash of the file, to tell when it has changed; ``none`` if it does not exist."""
    path = Path(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else "none"


def dropped_recordings(labels: pd.DataFrame) -> set[tuple[str, int | None]]:
    """Recordings that a human dropped.

    Returns
    -------
    set of (str, int or None)
        Session and fiber; None stands for all fibers of the session.
    """
    dropped = labels[labels["verdict"] == "drop"]
    return {
        (str(row.eid), None if pd.isna(row.fiber_idx) else int(row.fiber_idx))
        for row in dropped.itertuples()
    }


def session_verdicts(labels: pd.DataFrame) -> dict[str, str]:
    """Verdicts on whole sessions, by eid."""
    whole = labels[labels["fiber_idx"].isna() & (labels["verdict"] != MASK)]
    return dict(zip(whole["eid"].astype(str), whole["verdict"].astype(str), strict=True))


def label_sessions(sessions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Sessions with the verdicts on them.

    Parameters
    ----------
    sessions : DataFrame
        With ``eid`` and ``n_recordings``.
    labels : DataFrame
        Schema `LABELS`; labels of sessions that are not in the table are left out.

    Returns
    -------
    DataFrame
        Copy with ``label``, the verdict on the whole session, and ``excluded``, the list of
        its fibers (``fiber_idx``) that are dropped: all of them if the session is.
    """
    verdicts = session_verdicts(labels)
    fibers: dict[str, list[int]] = {}
    for eid, fiber in dropped_recordings(labels):
        if fiber is not None:
            fibers.setdefault(eid, []).append(fiber)
    excluded = []
    for eid, count in zip(sessions["eid"], sessions["n_recordings"], strict=True):
        n_recordings = 0 if pd.isna(count) else int(count)
        is_dropped = verdicts.get(eid) == "drop"
        excluded.append(list(range(n_recordings)) if is_dropped else sorted(fibers.get(eid, [])))
    return sessions.assign(
        label=pd.array([verdicts.get(eid) for eid in sessions["eid"]], dtype="string"),
        excluded=pd.Series(excluded, index=sessions.index, dtype=object),
    )
