"""Video quality of each session."""

import pandas as pd
from dagster import AssetExecutionContext, ResourceParam

from iblnm.config import Settings
from iblnm.schemas import VIDEO
from iblnm_dagster.assets._session_asset import session_asset
from iblnm_dagster.resources import Archive


@session_asset(
    group="video",
    io_manager_key="session_parquet",
    metadata={"folder": "metadata/video"},
    table=VIDEO,
    network=True,
    kinds=("alyx", "parquet"),
)
def video_qc(
    context: AssetExecutionContext,
    session: pd.DataFrame,
    archive: ResourceParam[Archive],
    settings: ResourceParam[Settings],
):
    """Length and quality verdicts of the left camera."""
    from iblnm.data.stages import video_quality

    return video_quality(archive.one, session.iloc[0], settings)


ASSETS = [video_qc]
