"""Tables over all sessions."""

from collections.abc import Callable

from dagster import AssetsDefinition, ResourceParam, asset
from dagster_pandas import PandasColumn, create_dagster_pandas_dataframe_type
from dagster_pandas.constraints import ColumnDTypeInSetConstraint

from iblnm.config import Settings
from iblnm.schemas import (
    PERFORMANCE,
    QC_PHOTOMETRY,
    SESSIONS_TABLE,
    TRIAL_TIMING,
    VIDEO_TABLE,
    Table,
)
from iblnm.storage.store import SessionStore
from iblnm_dagster.columns import column_schema


def dataframe_type(table: Table):
    """Dagster type of a table, from the same schema as its file."""
    return create_dagster_pandas_dataframe_type(
        name=f"{table.name}_table",
        description=table.description,
        columns=[
            PandasColumn(
                column.name, constraints=[ColumnDTypeInSetConstraint({column.pandas_dtype})]
            )
            for column in table.columns
        ],
    )


def catalog_asset(
    *, file: str, table: Table, deps: list[str], group: str = "catalog"
) -> Callable[[Callable], AssetsDefinition]:
    """Make an unpartitioned asset that is one parquet table over all sessions."""

    def decorate(fn: Callable) -> AssetsDefinition:
        return asset(
            name=fn.__name__,
            description=f"{table.description}.",
            deps=deps,
            group_name=group,
            io_manager_key="table",
            dagster_type=dataframe_type(table),
            kinds={"parquet"},
            metadata={
                "file": file,
                "table": table.name,
                "dagster/column_schema": column_schema(table),
            },
        )(fn)

    return decorate


@catalog_asset(file="metadata/sessions.pqt", table=SESSIONS_TABLE, deps=["session", "labels"])
def sessions(store: ResourceParam[SessionStore], settings: ResourceParam[Settings]):
    from iblnm.archive.sync_state import open_state
    from iblnm.pipeline.catalog import sessions_table
    from iblnm.pipeline.labels import labels_in_force

    withdrawn = open_state(settings).withdrawn()
    return sessions_table(store, labels_in_force(settings), withdrawn)


@catalog_asset(file="data/qc_photometry.pqt", table=QC_PHOTOMETRY, deps=["photometry_qc"])
def qc_photometry(store: ResourceParam[SessionStore]):
    from iblnm.pipeline.catalog import qc_photometry_table

    return qc_photometry_table(store)


@catalog_asset(file="data/performance.pqt", table=PERFORMANCE, deps=["performance"])
def performance_table(store: ResourceParam[SessionStore]):
    return PERFORMANCE.validate(store.collect("performance"))


@catalog_asset(file="data/trial_timing.pqt", table=TRIAL_TIMING, deps=["trials"])
def trial_timing(store: ResourceParam[SessionStore]):
    from iblnm.pipeline.catalog import trial_timing_table

    return trial_timing_table(store)


@catalog_asset(file="metadata/video.pqt", table=VIDEO_TABLE, deps=["video_qc"])
def video(store: ResourceParam[SessionStore]):
    from iblnm.pipeline.catalog import video_table

    return video_table(store)


ASSETS = [sessions, qc_photometry, performance_table, trial_timing, video]
