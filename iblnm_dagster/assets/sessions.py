"""Metadata of each session."""

from dagster import AssetExecutionContext, ResourceParam

from iblnm.config import Settings
from iblnm.schemas import SESSIONS
from iblnm_dagster.assets._session_asset import session_asset
from iblnm_dagster.resources import Archive


@session_asset(
    group="sessions",
    io_manager_key="session_parquet",
    metadata={"folder": "metadata/sessions", "h5_group": "metadata"},
    table=SESSIONS,
    network=True,
    kinds=("alyx", "parquet"),
)
def session(
    context: AssetExecutionContext,
    archive: ResourceParam[Archive],
    settings: ResourceParam[Settings],
):
    """Metadata, recording targets and dataset list of the session, as registered on Alyx."""
    from iblnm.data.stages import session_metadata

    return session_metadata(archive.one, context.partition_key, settings)


ASSETS = [session]
