"""Task performance of each session."""

import pandas as pd
from dagster import AssetExecutionContext, ResourceParam

from iblnm.config import Settings
from iblnm.schemas import PERFORMANCE
from iblnm_dagster.assets._session_asset import session_asset


@session_asset(
    group="behaviour",
    io_manager_key="session_parquet",
    metadata={"folder": "data/performance"},
    table=PERFORMANCE,
    guards=("trials",),
    kinds=("parquet",),
)
def performance(
    context: AssetExecutionContext,
    trials: pd.DataFrame,
    session: pd.DataFrame,
    settings: ResourceParam[Settings],
):
    """Fractions correct and psychometric fits."""
    from iblnm.data.stages import task_performance

    return task_performance(trials, session.iloc[0], settings)


ASSETS = [performance]
