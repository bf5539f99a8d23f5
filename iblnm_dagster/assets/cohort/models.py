"""Models of the responses and of movement, with the animal as the unit."""

import pandas as pd
from dagster import ResourceParam

from iblnm.config import Settings
from iblnm.schemas.encoding import GLM_COEFFICIENTS
from iblnm.schemas.models import LMM_COEFFICIENTS, MOVEMENT_ENCODING
from iblnm_dagster.assets.cohort._cohort_asset import cohort_asset


@cohort_asset(file="responses/lmm_coefficients.pqt", table=LMM_COEFFICIENTS)
def response_lmm(response_magnitudes: pd.DataFrame, settings: ResourceParam[Settings]):
    """Mixed model of the early response per target and event.

    Coefficients, marginal means, slopes on contrast, interactions, quality of each fit.
    """
    from iblnm.data.cohort.models import response_lmm

    return response_lmm(response_magnitudes, settings)


@cohort_asset(file="movement_encoding/movement_encoding.pqt", table=MOVEMENT_ENCODING)
def movement_encoding(
    response_magnitudes: pd.DataFrame,
    trial_regressors: pd.DataFrame,
    settings: ResourceParam[Settings],
):
    """What contrast and timing add to the prediction of a left-out animal's responses.

    Also slopes on timing per contrast, and models of the wheel with and without the response.
    """
    from iblnm.data.cohort.models import movement_encoding

    return movement_encoding(response_magnitudes, trial_regressors, settings)


@cohort_asset(file="task_encoding/glm_coefficients.pqt", table=GLM_COEFFICIENTS)
def task_encoding(
    response_magnitudes: pd.DataFrame,
    performance_table: pd.DataFrame,
    settings: ResourceParam[Settings],
):
    """Linear model of every recording; components of the coefficients; CCA with behaviour."""
    from iblnm.data.cohort.encoding import task_encoding

    return task_encoding(response_magnitudes, performance_table, settings)


ASSETS = [response_lmm, movement_encoding, task_encoding]
