"""Analysis: the early response of every recording, event and trial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.analysis.responses.baselines import (
    Ratios,
    baseline_costs,
    cost_note,
    noise_ratios,
)
from iblnm.analysis.responses.corrections import CORRECTIONS, count_corrections
from iblnm.analysis.responses.magnitudes import (
    magnitude_table,
    recording_magnitudes,
    with_kernel_magnitudes,
)
from iblnm.analysis.result import AnalysisResult, count_units
from iblnm.analysis.selected import eligible_recordings, notes_of_reading
from iblnm.analysis.stored import Skipped, iterate_responses, with_signal_attributes
from iblnm.analysis.trials import analyzed_trials
from iblnm.config import Settings
from iblnm.errors import MissingColumnError
from iblnm.storage.store import SessionStore


def collect_magnitudes(
    recordings: pd.DataFrame,
    h5_dir: Path,
    settings: Settings,
    *,
    min_coverage: float | None = None,
    ratios: Ratios | None = None,
) -> tuple[pd.DataFrame, Skipped]:
    """Magnitudes of the recordings of a table, one session in memory at a time.

    Parameters
    ----------
    recordings : DataFrame
        One row per recording; see `iblnm.analysis.recordings.explode_sessions`.
    h5_dir : Path
        Folder of the session files.
    settings : Settings
    min_coverage : float, optional
    ratios : list, optional
        Gets the target of each recording with what its baseline costs; see
        `iblnm.analysis.responses.baselines.noise_ratios`.

    Returns
    -------
    table : DataFrame
        Schema `RESPONSE_MAGNITUDES`.
    skipped : Skipped
        Recordings without stored responses.
    """
    skipped = Skipped()
    parameters: dict[str, Any] = {
        "event_order": settings.response_events,
        "baseline_window": settings.signal.baseline_window,
        "window": settings.signal.early_window,
        "min_coverage": settings.cohort.min_coverage if min_coverage is None else min_coverage,
    }

    def parts() -> Iterator[dict[str, Any]]:
        for recording, responses, trials in with_signal_attributes(
            iterate_responses(recordings, h5_dir, skipped=skipped), h5_dir
        ):
            yield recording_magnitudes(recording, responses, trials, **parameters)
            if ratios is not None:
                found = noise_ratios(responses, trials, **parameters)
                ratios.append((recording.get("target_NM"), found))

    return magnitude_table(parts()), skipped


def response_magnitudes(
    sessions: pd.DataFrame,
    errors: pd.DataFrame | None,
    performance_table: pd.DataFrame | None,
    store: SessionStore,
    settings: Settings,
    response_kernels: pd.DataFrame | None = None,
    *,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> AnalysisResult:
    """Mean early response of the selected sessions, baseline subtracted, masked by the next event.

    One row per recording, event and trial; by default from 0.1 to 0.35 s. A trial whose next
    event cuts the window has no magnitude; what that costs is counted per target and event.

    Parameters
    ----------
    sessions : DataFrame
        The sessions table.
    errors, performance_table : DataFrame or None
        As ``errors`` and ``performance`` of `iblnm.pipeline.selection.select_sessions`.
    store : SessionStore
    settings : Settings
    response_kernels : DataFrame, optional
        Schema `iblnm.analysis.kernels.tables.KERNEL_MAGNITUDES`: magnitudes to put beside.
    labels, **criteria
        As for `iblnm.pipeline.selection.select_sessions`.

    Returns
    -------
    AnalysisResult
        Tables ``responses`` (`RESPONSE_MAGNITUDES`) and ``session_selection``.
    """
    selected, recordings, account, counts = eligible_recordings(
        sessions, settings, errors, performance_table, labels, criteria
    )
    ratios: Ratios = []
    table, skipped = collect_magnitudes(recordings, store.h5_dir, settings, ratios=ratios)
    costs = baseline_costs(ratios)
    table = with_kernel_magnitudes(table, response_kernels)
    counts["used"] = count_units(table)
    signal, cohort = settings.signal, settings.cohort
    finite = table["response_early"].notna()
    notes = notes_of_reading(table, selected, skipped)
    if note := cost_note(costs, signal.baseline_window):
        notes.append(note)
    record: dict[str, Any] = {}
    try:
        record = analyzed_trials(table, settings, masked=True)[1]
    except MissingColumnError as error:
        notes.append(f"What a whole window costs is not counted: {error}")
    return AnalysisResult(
        tables={"responses": table, "session_selection": account},
        counts=counts,
        parameters={
            "window": list(signal.early_window),
            "baseline_window": list(signal.baseline_window),
            "baseline_costs": costs,
            "event_order": list(settings.response_events),
            "min_coverage": cohort.min_coverage,
            **record,
            CORRECTIONS: count_corrections(table),
            "selection": account["criterion"].tolist(),
        },
        numbers={
            "rows": float(len(table)),
            "share with a magnitude": float(finite.mean()) if len(table) else 0.0,
        },
        notes=notes,
        removed=account,
    )
