"""Responses of all recordings: per trial, as mean traces, as vectors of conditions."""

import pandas as pd
from dagster import ResourceParam

from iblnm.config import Settings
from iblnm.schemas import MEAN_TRACES, RESPONSE_MAGNITUDES, RESPONSE_MATRIX, TRIAL_REGRESSORS
from iblnm.storage.store import SessionStore
from iblnm_dagster.assets.cohort._cohort_asset import cohort_asset


@cohort_asset(
    file="responses/responses.pqt", table=RESPONSE_MAGNITUDES, deps=["trials", "responses"]
)
def response_magnitudes(
    sessions: pd.DataFrame,
    errors: pd.DataFrame,
    performance_table: pd.DataFrame,
    store: ResourceParam[SessionStore],
    settings: ResourceParam[Settings],
):
    """Mean early response (0.1 to 0.35 s, baseline subtracted, masked by the next event).

    One row per recording, event and trial of the selected sessions.
    """
    from iblnm.data.cohort.responses import response_magnitudes

    return response_magnitudes(
        sessions, store, settings, errors=errors, performance=performance_table
    )


@cohort_asset(
    file="responses/trial_regressors.pqt",
    table=TRIAL_REGRESSORS,
    deps=["trials", "wheel_velocity"],
)
def trial_regressors(
    sessions: pd.DataFrame,
    errors: pd.DataFrame,
    performance_table: pd.DataFrame,
    store: ResourceParam[SessionStore],
    settings: ResourceParam[Settings],
):
    """Task and movement variables of every trial, peak velocity of the wheel too."""
    from iblnm.data.cohort.responses import trial_regressors

    return trial_regressors(
        sessions, store, settings, errors=errors, performance=performance_table
    )


@cohort_asset(file="responses/mean_traces.pqt", table=MEAN_TRACES, deps=["trials", "responses"])
def mean_traces(
    sessions: pd.DataFrame,
    errors: pd.DataFrame,
    performance_table: pd.DataFrame,
    store: ResourceParam[SessionStore],
    settings: ResourceParam[Settings],
):
    """Mean response trace of every recording by event, contrast and outcome."""
    from iblnm.data.cohort.responses import mean_traces

    return mean_traces(sessions, store, settings, errors=errors, performance=performance_table)


@cohort_asset(file="responses/response_matrix.pqt", table=RESPONSE_MATRIX)
def response_matrix(response_magnitudes: pd.DataFrame, settings: ResourceParam[Settings]):
    """Mean response of every recording to event, contrast, side and outcome, as one vector."""
    from iblnm.data.cohort.responses import response_matrix

    return response_matrix(response_magnitudes, settings)


ASSETS = [response_magnitudes, trial_regressors, mean_traces, response_matrix]
