"""Human verdicts on sessions and fibers, from ``metadata/labels.csv`` of root and project.

A verdict on a whole session (empty ``fiber_idx``) stands in the matrix of outcomes: ``keep``
turns its warnings into passes, never a failure. ``drop``, of a session or of a fiber, leaves
the recordings out of cohort analyses. ``mask`` with a window of time makes samples missing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from iblnm.pipeline.label_rows import MASK, labels_paths, rows_in_force
from iblnm.schemas import LABELS

if TYPE_CHECKING:
    from iblnm.config import Settings


def labels_in_force(settings: Settings) -> pd.DataFrame:
    """The labels that hold for the outputs of these settings, see `labels_paths`."""
    return read_labels(*labels_paths(settings))


def read_labels(*paths: Path | str) -> pd.DataFrame:
    """Read and check tables of labels.

    Parameters
    ----------
    *paths : Path
        CSV with the columns of the schema `LABELS`, see `iblnm.pipeline.label_rows.read_rows`. A
        verdict of one file stands before those of the files after it.

    Returns
    -------
    DataFrame
        Schema `LABELS`.

    Raises
    ------
    UnreadableFileError, MalformedFileError
        Naming the first line at fault, what it holds and what is expected.
    """
    rows = rows_in_force(paths)
    if not rows:
        return LABELS.empty()
    return LABELS.validate(pd.DataFrame(rows, columns=LABELS.names))


def labels_version(*paths: Path | str) -> str:
    """Hash of the files, to tell when they have changed; ``none`` if there is no file."""
    contents = [Path(path).read_bytes() for path in paths if Path(path).exists()]
    return hashlib.sha256(b"".join(contents)).hexdigest()[:16] if contents else "none"


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
