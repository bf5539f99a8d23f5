"""Trials of each session."""

import pandas as pd
from dagster import AssetExecutionContext, ResourceParam

from iblnm.config import Settings
from iblnm_dagster.assets._session_asset import session_asset
from iblnm_dagster.resources import Archive


@session_asset(
    group="behaviour",
    io_manager_key="session_h5",
    metadata={"folder": "data/sessions", "h5_group": "trials"},
    network=True,
    kinds=("hdf5",),
)
def trials(
    context: AssetExecutionContext,
    session: pd.DataFrame,
    archive: ResourceParam[Archive],
    settings: ResourceParam[Settings],
):
    """Trials with stimulus sides, contrasts and times; blocks repaired where possible."""
    from iblnm.data.stages import trials_table

    return trials_table(archive.one, session.iloc[0], settings)


ASSETS = [trials]
