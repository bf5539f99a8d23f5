"""Counts of tables with one row per session."""

from __future__ import annotations

from typing import Any

import pandas as pd

from iblnm.data.cohort.result import count_units
from iblnm.pipeline.rules.values import get_list


def count_sessions(
    sessions: pd.DataFrame, eids: Any = None, performance: pd.DataFrame | None = None
) -> dict[str, int]:
    """Sessions, recordings, subjects and trials of a sessions table.

    Parameters
    ----------
    sessions : DataFrame
        ``eid``, ``subject`` and the list ``target_NM`` with one entry per fibre.
    eids : collection of str, optional
        Only these.
    performance : DataFrame, optional
        ``eid`` and ``n_trials``; without it trials are not counted, 0.

    Examples
    --------
    >>> sessions = pd.DataFrame({"eid": ["a"], "subject": ["m"], "target_NM": [["x", "y"]]})
    >>> count_sessions(sessions)
    {'sessions': 1, 'recordings': 2, 'subjects': 1, 'trials': 0}
    """
    own = sessions if eids is None else sessions[sessions["eid"].isin(eids)]
    trials = 0
    if performance is not None:
        trials = int(performance.loc[performance["eid"].isin(own["eid"]), "n_trials"].sum())
    fibres = sum(len(get_list(row, "target_NM")) for row in own.to_dict("records"))
    return {**count_units(own, trials=trials), "recordings": fibres}
