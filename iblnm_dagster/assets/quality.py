"""What is wrong with which session: human labels, matrix of outcomes, summary, errors."""

import pandas as pd
from dagster import AssetExecutionContext, DataVersion, MaterializeResult, ResourceParam, asset

from iblnm.config import Settings
from iblnm.pipeline.graph import checked_stages, stage_names
from iblnm.pipeline.stage import SESSION
from iblnm.schemas import ERRORS, LABELS, QC_MATRIX, QC_SUMMARY
from iblnm_dagster.assets.catalog import catalog_asset
from iblnm_dagster.columns import column_schema


@asset(
    group_name="quality",
    kinds={"csv"},
    description=f"{LABELS.description}; read from metadata/labels.csv, which humans edit.",
    metadata={"dagster/column_schema": column_schema(LABELS)},
)
def labels(settings: ResourceParam[Settings]) -> MaterializeResult:
    from iblnm.pipeline.labels import labels_version, read_labels

    table = read_labels(settings.labels_fpath)
    counts = table["verdict"].value_counts()
    return MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            **{verdict: int(counts.get(verdict, 0)) for verdict in ("keep", "drop")},
        },
        data_version=DataVersion(labels_version(settings.labels_fpath)),
    )


@catalog_asset(
    file="metadata/qc_matrix.pqt",
    table=QC_MATRIX,
    deps=["labels", *(name for name in checked_stages() if name != SESSION)],
    group="quality",
)
def qc_matrix(
    context: AssetExecutionContext, sessions: pd.DataFrame, settings: ResourceParam[Settings]
):
    from iblnm.pipeline.labels import read_labels
    from iblnm.pipeline.selection import with_performance
    from iblnm.storage.store import SessionStore
    from iblnm_dagster.outcomes import current_matrix

    verdicts = read_labels(settings.labels_fpath)
    sessions = with_performance(sessions, SessionStore(settings).collect("performance"))
    return QC_MATRIX.validate(current_matrix(context.instance, sessions, verdicts, settings))


@catalog_asset(file="metadata/qc_summary.pqt", table=QC_SUMMARY, deps=[], group="quality")
def qc_summary(qc_matrix: pd.DataFrame, sessions: pd.DataFrame):
    from iblnm.data.qc_catalog import summarise

    return QC_SUMMARY.validate(summarise(qc_matrix, sessions))


@catalog_asset(
    file="metadata/errors.pqt",
    table=ERRORS,
    deps=[name for name in stage_names() if name not in checked_stages()],
    group="quality",
)
def errors(context: AssetExecutionContext, qc_matrix: pd.DataFrame):
    from iblnm_dagster.failures import asset_failures
    from iblnm_dagster.outcomes import current_errors

    return ERRORS.validate(current_errors(qc_matrix, asset_failures(context.instance)))


ASSETS = [labels, qc_matrix, qc_summary, errors]
