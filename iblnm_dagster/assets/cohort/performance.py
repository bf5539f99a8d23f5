"""How the animals learn and work, and how good the recordings are."""

import pandas as pd
from dagster import ResourceParam

from iblnm.config import Settings
from iblnm.schemas.behaviour import LEARNING_CURVES
from iblnm.schemas.quality import QC_VALUES
from iblnm_dagster.assets.cohort._cohort_asset import cohort_asset


@cohort_asset(file="task_performance/learning_curves.pqt", table=LEARNING_CURVES)
def task_performance(
    sessions: pd.DataFrame,
    performance_table: pd.DataFrame,
    errors: pd.DataFrame,
    settings: ResourceParam[Settings],
):
    """Learning curves, sessions to each stage, psychometric trajectories per target."""
    from iblnm.data.cohort.performance import task_performance

    return task_performance(sessions, performance_table, settings, errors=errors)


@cohort_asset(file="qc_overview/qc_values.pqt", table=QC_VALUES)
def qc_overview(
    sessions: pd.DataFrame,
    qc_photometry: pd.DataFrame,
    video: pd.DataFrame,
    settings: ResourceParam[Settings],
):
    """Quality metrics of all recordings: values, principal components, trend in time; videos."""
    from iblnm.data.cohort.quality import qc_overview

    return qc_overview(sessions, qc_photometry, settings, video=video)


ASSETS = [task_performance, qc_overview]
