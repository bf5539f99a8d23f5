"""What is wrong with which session: human labels, matrix of outcomes, summary, errors."""

import pandas as pd
from dagster import AssetExecutionContext, DataVersion, MaterializeResult, ResourceParam, asset

from iblnm.config import Settings
from iblnm.pipeline.graph import checked_stages, stage_names
from iblnm.pipeline.stage import SESSION
from iblnm.schemas import ERRORS, LABELS, QC_MATRIX, QC_SUMMARY
from iblnm_dagster.assets.catalog import catalog_asset
from iblnm_dagster.columns import column_schema
from iblnm_dagster.migration import outcomes_of
from iblnm_dagster.partitions import known_sessions

MATRIX_FILE = "metadata/qc_matrix.pqt"


@asset(
    group_name="quality",
    kinds={"csv"},
    description=f"{LABELS.description}; read from metadata/labels.csv, which humans edit.",
    metadata={"dagster/column_schema": column_schema(LABELS)},
)
def labels(settings: ResourceParam[Settings]) -> MaterializeResult:
    from iblnm.pipeline.label_rows import labels_paths
    from iblnm.pipeline.labels import labels_in_force, labels_version

    table = labels_in_force(settings)
    counts = table["verdict"].value_counts()
    return MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            **{verdict: int(counts.get(verdict, 0)) for verdict in ("keep", "drop")},
        },
        data_version=DataVersion(labels_version(*labels_paths(settings))),
    )


@catalog_asset(
    file=MATRIX_FILE,
    table=QC_MATRIX,
    deps=["labels", *(name for name in checked_stages() if name != SESSION)],
    group="quality",
)
def qc_matrix(
    context: AssetExecutionContext, sessions: pd.DataFrame, settings: ResourceParam[Settings]
):
    from iblnm.pipeline.labels import labels_in_force
    from iblnm.pipeline.selection import with_stored_performance
    from iblnm.pipeline.standing import current_matrix
    from iblnm.storage.store import SessionStore

    verdicts = labels_in_force(settings)
    outcomes = outcomes_of(context.instance, settings)
    eids = known_sessions(context.instance)
    sessions = with_stored_performance(sessions, SessionStore(settings))
    return QC_MATRIX.validate(current_matrix(outcomes, eids, sessions, verdicts, settings))


@catalog_asset(file="metadata/qc_summary.pqt", table=QC_SUMMARY, deps=[], group="quality")
def qc_summary(qc_matrix: pd.DataFrame, sessions: pd.DataFrame):
    from iblnm.pipeline.qc_summary import summarize

    return QC_SUMMARY.validate(summarize(qc_matrix, sessions))


@catalog_asset(
    file="metadata/errors.pqt",
    table=ERRORS,
    deps=[name for name in stage_names() if name not in checked_stages()],
    group="quality",
)
def errors(
    context: AssetExecutionContext, qc_matrix: pd.DataFrame, settings: ResourceParam[Settings]
):
    from iblnm.pipeline.stage_logs import write_stage_logs
    from iblnm.pipeline.standing import current_errors

    outcomes = outcomes_of(context.instance, settings)
    table = ERRORS.validate(current_errors(qc_matrix, outcomes))
    write_stage_logs(table, settings)
    return table


ASSETS = [labels, qc_matrix, qc_summary, errors]
