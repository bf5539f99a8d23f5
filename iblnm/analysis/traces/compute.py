"""Analysis: mean traces of every recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.analysis.result import AnalysisResult, count_units
from iblnm.analysis.selected import eligible_recordings, notes_of_reading
from iblnm.analysis.stored import NO_SCALE, Skipped, iterate_responses, with_signal_attributes
from iblnm.analysis.traces.means import mean_traces as recording_traces
from iblnm.analysis.traces.means import stack_traces
from iblnm.config import Settings
from iblnm.storage.store import SessionStore


def collect_traces(
    recordings: pd.DataFrame, h5_dir: Path, settings: Settings
) -> tuple[pd.DataFrame, Skipped]:
    """Mean traces of the recordings of a table; schema `MEAN_TRACES`."""
    skipped = Skipped()
    parts = (
        recording_traces(
            recording,
            responses,
            trials,
            probability_left=settings.cohort.probability_left,
            min_response_time_s=settings.cohort.min_response_time_s,
            event_order=settings.response_events,
            baseline_window=settings.signal.baseline_window,
        )
        for recording, responses, trials in _in_unit(
            with_signal_attributes(iterate_responses(recordings, h5_dir, skipped=skipped), h5_dir),
            settings.cohort.unit,
            skipped,
        )
    )
    return stack_traces(parts), skipped


def _in_unit(
    found: Iterator[tuple[dict[str, Any], Any, pd.DataFrame]], unit: str, skipped: Skipped
) -> Iterator[tuple[dict[str, Any], Any, pd.DataFrame]]:
    for recording, responses, trials in found:
        if unit == "z":
            yield recording, responses, trials
        elif recording["signal_sd"] is None:
            key = (str(recording["eid"]), int(recording["fiber_idx"]))
            skipped.recordings[key] = NO_SCALE
        else:
            yield recording, responses * recording["signal_sd"], trials


def mean_traces(
    sessions: pd.DataFrame,
    errors: pd.DataFrame | None,
    performance_table: pd.DataFrame | None,
    store: SessionStore,
    settings: Settings,
    *,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> AnalysisResult:
    """Mean trace per event, contrast and outcome of the recordings of the selected sessions.

    Parameters are those of `iblnm.analysis.responses.compute.response_magnitudes`.

    Returns
    -------
    AnalysisResult
        Table ``mean_traces`` (`MEAN_TRACES`).
    """
    selected, recordings, account, counts = eligible_recordings(
        sessions, settings, errors, performance_table, labels, criteria
    )
    table, skipped = collect_traces(recordings, store.h5_dir, settings)
    key = ["eid", "fiber_idx", "event", "contrast", "feedbackType"]
    # at its highest n_trials is the number of trials of the condition
    trials = (
        table.groupby(key, sort=False)["n_trials"].max().groupby(["eid", "fiber_idx", "event"])
    )
    per_session = trials.sum().groupby("eid").max()
    counts["used"] = count_units(table, trials=int(per_session.sum()))
    return AnalysisResult(
        tables={"mean_traces": table},
        counts=counts,
        parameters={
            "baseline_window": list(settings.signal.baseline_window),
            "event_order": list(settings.response_events),
            "probability_left": settings.cohort.probability_left,
            "min_response_time_s": settings.cohort.min_response_time_s,
            "unit": settings.cohort.unit,
            "selection": account["criterion"].tolist(),
        },
        numbers={"conditions": float(len(trials.obj))},
        notes=notes_of_reading(table, selected, skipped),
        removed=account,
    )
