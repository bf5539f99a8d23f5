"""Recordings of the selected sessions, where an analysis starts from the session files."""

from __future__ import annotations

from typing import Any

import pandas as pd

from iblnm.analysis.recordings import explode_sessions
from iblnm.analysis.result import count_sessions
from iblnm.analysis.stored import Skipped
from iblnm.config import Settings
from iblnm.pipeline.selection import select_sessions


def eligible_recordings(
    sessions: pd.DataFrame,
    settings: Settings,
    errors: pd.DataFrame | None,
    performance: pd.DataFrame | None,
    labels: pd.DataFrame | None,
    criteria: dict[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, dict[str, int]]]:
    """Sessions and recordings to analyze, and what was left out.

    Parameters
    ----------
    sessions : DataFrame
        The sessions table.
    settings : Settings
    errors, performance, labels, criteria
        As for `iblnm.pipeline.selection.select_sessions`.

    Returns
    -------
    selected, recordings : DataFrame
        One row per session, and per recording of a wanted target.
    account : DataFrame
        What each criterion removed.
    counts : dict
        Of ``candidate`` and ``eligible``.
    """
    selected, account = select_sessions(
        sessions,
        errors=errors,
        performance=performance,
        labels=labels,
        settings=settings,
        **criteria,
    )
    targets = criteria.get("targets")
    targets = settings.analysed_targets if targets is None else targets
    recordings = explode_sessions(selected, None if targets is False else targets)
    eligible = count_sessions(selected, performance=performance)
    counts = {
        "candidate": count_sessions(sessions, performance=performance),
        "eligible": {**eligible, "recordings": len(recordings)},
    }
    return selected, recordings, account, counts


def notes_of_reading(table: pd.DataFrame, selected: pd.DataFrame, skipped: Skipped) -> list[str]:
    """What could not be read, and that a table is empty, in words."""
    notes = skipped.notes()
    if table.empty:
        notes.append(f"None of {len(selected)} selected sessions has data; the table is empty.")
    return notes
