"""Analysis: task and movement variables of every trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.analysis.regressors.session import trial_regressors as session_regressors
from iblnm.analysis.regressors.tables import TRIAL_REGRESSORS
from iblnm.analysis.result import AnalysisResult, count_units
from iblnm.analysis.selected import eligible_recordings, notes_of_reading
from iblnm.analysis.stored import Skipped, iterate_sessions
from iblnm.config import Settings
from iblnm.storage.store import SessionStore


def collect_regressors(sessions: pd.DataFrame, h5_dir: Path) -> tuple[pd.DataFrame, Skipped]:
    """Task and movement variables of all trials; schema `TRIAL_REGRESSORS`."""
    skipped = Skipped()
    tables = [
        session_regressors(own.iloc[0], data["trials"], data.get("wheel"))
        for own, data in iterate_sessions(
            sessions, h5_dir, "trials", optional=("wheel",), skipped=skipped
        )
    ]
    if not tables:
        return TRIAL_REGRESSORS.empty(), skipped
    return TRIAL_REGRESSORS.conform(pd.concat(tables, ignore_index=True)), skipped


def trial_regressors(
    sessions: pd.DataFrame,
    errors: pd.DataFrame | None,
    performance_table: pd.DataFrame | None,
    store: SessionStore,
    settings: Settings,
    *,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> AnalysisResult:
    """Task and movement variables of the trials of the selected sessions, peak velocity too.

    Parameters are those of `iblnm.analysis.responses.compute.response_magnitudes`.

    Returns
    -------
    AnalysisResult
        Table ``trial_regressors`` (`TRIAL_REGRESSORS`).
    """
    selected, recordings, account, counts = eligible_recordings(
        sessions, settings, errors, performance_table, labels, criteria
    )
    table, skipped = collect_regressors(selected, store.h5_dir)
    used = recordings[recordings["eid"].isin(table["eid"])]
    counts["used"] = count_units(used, trials=len(table))
    without = int(table["peak_velocity"].isna().sum())
    return AnalysisResult(
        tables={"trial_regressors": table},
        counts=counts,
        parameters={
            "peak_velocity": "largest absolute wheel velocity from stimulus to feedback",
            "wheel": settings.wheel.model_dump(),
            "selection": account["criterion"].tolist(),
        },
        numbers={"rows": float(len(table)), "trials without velocity": float(without)},
        notes=notes_of_reading(table, selected, skipped),
        removed=account,
    )
