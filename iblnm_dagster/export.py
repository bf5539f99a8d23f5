"""The asset `nwb`: a session as a file for DANDI, outside the job of every session."""

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Failure,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    asset,
)

from iblnm.config import Settings
from iblnm.errors import DataError
from iblnm.export.nwb import MissingExtraError, export_session
from iblnm_dagster.partitions import SESSION_PARTITIONS
from iblnm_dagster.resources import Archive

EXPORT_GROUP = "export"
_FOLDER = "data/nwb"
_MADE_FROM = (
    "session",
    "trials",
    "photometry",
    "photometry_qc",
    "preprocessed",
    "wheel_velocity",
)


@asset(
    name="nwb",
    description="NWB file of the session for DANDI, without names of people; of what is stored. "
    "Made only when it is asked for; needs the extra nwb.",
    deps=_MADE_FROM,
    partitions_def=SESSION_PARTITIONS,
    group_name=EXPORT_GROUP,
    metadata={"folder": _FOLDER},
    kinds={"hdf5"},
)
def nwb(
    context: AssetExecutionContext,
    archive: ResourceParam[Archive],
    settings: ResourceParam[Settings],
) -> MaterializeResult:
    """Write the file below ``data/nwb``."""
    try:
        written = export_session(
            archive.one, context.partition_key, settings, settings.root / _FOLDER
        )
    except (DataError, MissingExtraError) as error:
        raise Failure(description=str(error), allow_retries=False) from error
    return MaterializeResult(
        metadata={
            "file": MetadataValue.path(str(written.path)),
            "bytes": written.n_bytes,
            "left out": "; ".join(written.left_out) or "nothing",
        }
    )


EXPORT_ASSETS: tuple[AssetsDefinition, ...] = (nwb,)
