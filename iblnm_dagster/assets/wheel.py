"""Wheel velocity of each session."""

import pandas as pd
from dagster import AssetExecutionContext, ResourceParam

from iblnm.config import Settings
from iblnm_dagster.assets._session_asset import session_asset
from iblnm_dagster.resources import Archive


@session_asset(
    group="behaviour",
    io_manager_key="session_h5",
    metadata={"folder": "data/sessions", "h5_group": "wheel"},
    network=True,
    guards=("trials",),
    kinds=("hdf5",),
)
def wheel_velocity(
    context: AssetExecutionContext,
    session: pd.DataFrame,
    trials: pd.DataFrame,
    archive: ResourceParam[Archive],
    settings: ResourceParam[Settings],
):
    """Wheel velocity of every trial, from the stimulus to the feedback."""
    from iblnm.data import stages

    return stages.wheel_velocity(archive.one, session.iloc[0], trials, settings)


ASSETS = [wheel_velocity]
