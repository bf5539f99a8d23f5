"""Analysis: one vector of mean responses per recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from iblnm.analysis.result import AnalysisResult, count_stages, count_units
from iblnm.analysis.trials import analyzed_trials
from iblnm.analysis.vectors.matrix import (
    FEATURE_EVENTS,
    handle_missing,
    in_conditions,
    to_table,
)
from iblnm.analysis.vectors.matrix import response_matrix as condition_means
from iblnm.config import Settings


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
        Missing values handled; see `iblnm.analysis.vectors.matrix`.
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
    selected, selection = analyzed_trials(magnitudes, settings, response_col)
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


def response_matrix(response_magnitudes: pd.DataFrame, settings: Settings) -> AnalysisResult:
    """Mean response of every recording to event, contrast, side and outcome, as one vector.

    Parameters
    ----------
    response_magnitudes : DataFrame
        Schema `RESPONSE_MAGNITUDES`, all trials.
    settings : Settings

    Returns
    -------
    AnalysisResult
        Table ``response_matrix`` (`RESPONSE_MATRIX`), without missing values.
    """
    matrix, selected, parameters = features_of(response_magnitudes, settings)
    eids, names = response_magnitudes["eid"], response_magnitudes["subject"]
    subjects = dict(zip(eids, names, strict=True))
    table = to_table(matrix, subjects)
    kept = selected.set_index(["eid", "fiber_idx"]).index.isin(
        pd.MultiIndex.from_frame(table[["eid", "fiber_idx"]])
    )
    kept &= in_conditions(
        selected, parameters["events"], parameters["contrasts"], list(matrix.columns)
    )
    dropped = parameters["dropped"]
    parameters["dropped"] = {
        "features": dropped["features"],
        "recordings": [[str(eid), int(fiber)] for eid, _, fiber in dropped["recordings"]],
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
    return AnalysisResult(
        tables={"response_matrix": table},
        counts=count_stages(response_magnitudes, selected, selected[kept]),
        parameters=parameters,
        numbers={"recordings": float(len(table)), "conditions": float(matrix.shape[1])},
        notes=notes,
    )


def vector_counts(
    recordings: pd.DataFrame, responses: pd.DataFrame, *, settings: Settings
) -> dict[str, int]:
    """Numbers behind the response vectors of some recordings.

    Parameters
    ----------
    recordings : DataFrame
        ``eid``, ``fiber_idx``; where there is a column ``predicted``, rows in which it is
        missing are left out.
    responses : DataFrame
        Schema `iblnm.analysis.responses.tables.RESPONSE_MAGNITUDES`, all trials.
    settings : Settings
        Selection of trials.
    """
    if "predicted" in recordings:
        recordings = recordings[recordings["predicted"].notna()]
    own = responses[responses["event"].isin(FEATURE_EVENTS)]
    own = own.merge(recordings[["eid", "fiber_idx"]], on=["eid", "fiber_idx"])
    trials = analyzed_trials(own, settings)[0]
    used = in_conditions(trials, FEATURE_EVENTS, settings.analysis_contrasts)
    return count_units(trials[used])
