"""Stages: response magnitudes, trial regressors, mean traces, response matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.analysis.magnitudes import magnitude_table, recording_magnitudes
from iblnm.analysis.regressors import trial_regressors as session_regressors
from iblnm.analysis.response_matrix import FEATURE_EVENTS, handle_missing, to_table
from iblnm.analysis.response_matrix import response_matrix as condition_means
from iblnm.analysis.traces import mean_traces as recording_traces
from iblnm.analysis.traces import stack_traces
from iblnm.analysis.trials import analysed_trials
from iblnm.config import Settings
from iblnm.data.cohort.result import CohortResult, count_units
from iblnm.data.cohort.session_counts import count_sessions
from iblnm.data.recording_table import explode_sessions
from iblnm.data.selection import select_sessions
from iblnm.data.stored_responses import Skipped, iterate_responses, iterate_sessions
from iblnm.schemas.responses import (
    MEAN_TRACES,
    RESPONSE_MAGNITUDES,
    RESPONSE_MATRIX,
    SESSION_SELECTION,
    TRIAL_REGRESSORS,
)
from iblnm.storage.store import SessionStore

# reading ----------------------------------------------------------------------------------


def collect_magnitudes(
    recordings: pd.DataFrame,
    h5_dir: Path,
    settings: Settings,
    *,
    min_coverage: float | None = None,
) -> tuple[pd.DataFrame, Skipped]:
    """Magnitudes of the recordings of a table, one session in memory at a time.

    Parameters
    ----------
    recordings : DataFrame
        One row per recording; see `iblnm.data.recording_table.explode_sessions`.
    h5_dir : Path
        Folder of the session files.
    settings : Settings
    min_coverage : float, optional

    Returns
    -------
    table : DataFrame
        Schema `RESPONSE_MAGNITUDES`.
    skipped : Skipped
        Recordings without stored responses.
    """
    skipped = Skipped()
    coverage = settings.cohort.min_coverage if min_coverage is None else min_coverage
    parts = (
        recording_magnitudes(
            recording,
            responses,
            trials,
            event_order=settings.response_events,
            baseline_window=settings.signal.baseline_window,
            window=settings.signal.early_window,
            min_coverage=coverage,
        )
        for recording, responses, trials in iterate_responses(recordings, h5_dir, skipped=skipped)
    )
    return magnitude_table(parts), skipped


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
        for recording, responses, trials in iterate_responses(recordings, h5_dir, skipped=skipped)
    )
    return stack_traces(parts), skipped


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


def features_of(
    magnitudes: pd.DataFrame,
    settings: Settings,
    *,
    nan_handling: str | None = "drop_features",
    min_trials: int | None = None,
    events: Sequence[str] | None = None,
    max_nan_rate: float | None = None,
    response_col: str = "response_early",
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Response matrix of a table of magnitudes, trials selected.

    Returns
    -------
    matrix : DataFrame
        Missing values handled; see `iblnm.analysis.response_matrix`.
    selected : DataFrame
        The trials that it rests on.
    parameters : dict
        What was chosen, what the selection of trials counted, and what was left out.
    """
    chosen = {
        "min_trials": settings.cohort.min_trials_per_cell if min_trials is None else min_trials,
        "events": list(events or FEATURE_EVENTS),
        "nan_handling": nan_handling,
        "max_nan_rate": settings.cohort.max_nan_rate if max_nan_rate is None else max_nan_rate,
        "response_col": response_col,
        "contrasts": list(settings.analysis_contrasts),
    }
    selected, selection = analysed_trials(magnitudes, settings, response_col)
    selected = selected[selected["event"].isin(chosen["events"])]
    matrix = condition_means(
        selected,
        events=chosen["events"],
        contrasts=chosen["contrasts"],
        min_trials=chosen["min_trials"],
        response_col=response_col,
    )
    matrix, dropped = handle_missing(matrix, nan_handling, chosen["max_nan_rate"])
    return matrix, selected, {**chosen, **selection, "dropped": dropped}


# stages -----------------------------------------------------------------------------------


def response_magnitudes(
    sessions: pd.DataFrame,
    store: SessionStore,
    settings: Settings,
    *,
    errors: pd.DataFrame | None = None,
    performance: pd.DataFrame | None = None,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> CohortResult:
    """Mean early response of every recording, event and trial of the selected sessions.

    Parameters
    ----------
    sessions : DataFrame
        The sessions table.
    store : SessionStore
    settings : Settings
    errors, performance, labels, **criteria
        As for `iblnm.data.selection.select_sessions`.

    Returns
    -------
    CohortResult
        Tables ``responses`` (`RESPONSE_MAGNITUDES`) and ``session_selection``.
    """
    selected, recordings, account, counts = _eligible(
        sessions, settings, errors, performance, labels, criteria
    )
    table, skipped = collect_magnitudes(recordings, store.h5_dir, settings)
    counts["used"] = count_units(table)
    signal, cohort = settings.signal, settings.cohort
    finite = table["response_early"].notna()
    return CohortResult(
        tables={"responses": table, "session_selection": account},
        schemas={"responses": RESPONSE_MAGNITUDES, "session_selection": SESSION_SELECTION},
        counts=counts,
        parameters={
            "window": list(signal.early_window),
            "baseline_window": list(signal.baseline_window),
            "event_order": list(settings.response_events),
            "min_coverage": cohort.min_coverage,
            "selection": account["criterion"].tolist(),
        },
        numbers={
            "rows": float(len(table)),
            "share with a magnitude": float(finite.mean()) if len(table) else 0.0,
        },
        notes=_notes(table, selected, skipped),
        removed=account,
    )


def trial_regressors(
    sessions: pd.DataFrame,
    store: SessionStore,
    settings: Settings,
    *,
    errors: pd.DataFrame | None = None,
    performance: pd.DataFrame | None = None,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> CohortResult:
    """Task and movement variables of the trials of the selected sessions.

    Parameters are those of `response_magnitudes`.

    Returns
    -------
    CohortResult
        Table ``trial_regressors`` (`TRIAL_REGRESSORS`).
    """
    selected, recordings, account, counts = _eligible(
        sessions, settings, errors, performance, labels, criteria
    )
    table, skipped = collect_regressors(selected, store.h5_dir)
    used = recordings[recordings["eid"].isin(table["eid"])]
    counts["used"] = count_units(used, trials=len(table))
    without = int(table["peak_velocity"].isna().sum())
    return CohortResult(
        tables={"trial_regressors": table},
        schemas={"trial_regressors": TRIAL_REGRESSORS},
        counts=counts,
        parameters={
            "peak_velocity": "largest absolute wheel velocity from stimulus to feedback",
            "wheel": settings.wheel.model_dump(),
            "selection": account["criterion"].tolist(),
        },
        numbers={"rows": float(len(table)), "trials without velocity": float(without)},
        notes=_notes(table, selected, skipped),
        removed=account,
    )


def mean_traces(
    sessions: pd.DataFrame,
    store: SessionStore,
    settings: Settings,
    *,
    errors: pd.DataFrame | None = None,
    performance: pd.DataFrame | None = None,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> CohortResult:
    """Mean trace per event, contrast and outcome of the recordings of the selected sessions.

    Parameters are those of `response_magnitudes`.

    Returns
    -------
    CohortResult
        Table ``mean_traces`` (`MEAN_TRACES`).
    """
    selected, recordings, account, counts = _eligible(
        sessions, settings, errors, performance, labels, criteria
    )
    table, skipped = collect_traces(recordings, store.h5_dir, settings)
    key = ["eid", "fiber_idx", "event", "contrast", "feedbackType"]
    # at its highest n_trials is the number of trials of the condition
    trials = (
        table.groupby(key, sort=False)["n_trials"].max().groupby(["eid", "fiber_idx", "event"])
    )
    per_session = trials.sum().groupby("eid").max()
    counts["used"] = count_units(table, trials=int(per_session.sum()))
    return CohortResult(
        tables={"mean_traces": table},
        schemas={"mean_traces": MEAN_TRACES},
        counts=counts,
        parameters={
            "baseline_window": list(settings.signal.baseline_window),
            "event_order": list(settings.response_events),
            "probability_left": settings.cohort.probability_left,
            "min_response_time_s": settings.cohort.min_response_time_s,
            "selection": account["criterion"].tolist(),
        },
        numbers={"conditions": float(len(trials.obj))},
        notes=_notes(table, selected, skipped),
        removed=account,
    )


def response_matrix(magnitudes: pd.DataFrame, settings: Settings) -> CohortResult:
    """Response matrix of the recordings of a table of magnitudes.

    Parameters
    ----------
    magnitudes : DataFrame
        Schema `RESPONSE_MAGNITUDES`, all trials.
    settings : Settings

    Returns
    -------
    CohortResult
        Table ``response_matrix`` (`RESPONSE_MATRIX`), without missing values.
    """
    matrix, selected, parameters = features_of(magnitudes, settings)
    subjects = dict(zip(magnitudes["eid"], magnitudes["subject"], strict=True))
    table = to_table(matrix, subjects)
    kept = selected.set_index(["eid", "fiber_idx"]).index.isin(
        pd.MultiIndex.from_frame(table[["eid", "fiber_idx"]])
    )
    dropped = parameters["dropped"]
    parameters["dropped"] = {
        "features": dropped["features"],
        "recordings": [[str(eid), int(fibre)] for eid, _, fibre in dropped["recordings"]],
    }
    notes = []
    if dropped["features"]:
        notes.append(
            f"{len(dropped['features'])} conditions left out, missing in more than "
            f"{parameters['max_nan_rate']:.0%} of the recordings (fewer than "
            f"{parameters['min_trials']} trials): {', '.join(dropped['features'])}"
        )
    if dropped["recordings"]:
        notes.append(f"{len(dropped['recordings'])} recordings left out for a missing condition")
    if table.empty:
        notes.append(
            "No recording has all conditions with at least "
            f"{parameters['min_trials']} trials; the table is empty."
        )
    return CohortResult(
        tables={"response_matrix": table},
        schemas={"response_matrix": RESPONSE_MATRIX},
        counts={
            "candidate": count_units(magnitudes),
            "eligible": count_units(selected),
            "used": count_units(selected[kept]),
        },
        parameters=parameters,
        numbers={"recordings": float(len(table)), "conditions": float(matrix.shape[1])},
        notes=notes,
    )


# inside -----------------------------------------------------------------------------------


def _eligible(
    sessions: pd.DataFrame,
    settings: Settings,
    errors: pd.DataFrame | None,
    performance: pd.DataFrame | None,
    labels: pd.DataFrame | None,
    criteria: dict[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, dict[str, int]]]:
    """Selected sessions and recordings, the account, counts of candidates and eligible."""
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


def _notes(table: pd.DataFrame, selected: pd.DataFrame, skipped: Skipped) -> list[str]:
    notes = skipped.notes()
    if table.empty:
        notes.append(f"None of {len(selected)} selected sessions has data; the table is empty.")
    return notes
