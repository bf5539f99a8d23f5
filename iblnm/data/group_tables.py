"""The tables that a group and the cohort stages start from."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.label_rows import labels_paths
from iblnm.pipeline.labels import labels_in_force
from iblnm.pipeline.matrix import matrix_errors
from iblnm.schemas import ERRORS, PERFORMANCE, QC_MATRIX, SESSIONS_TABLE, Table
from iblnm.storage.parquet import read_table

_OF_THE_DOCUMENT = [
    "subject",
    "start_time",
    "session_type",
    "NM",
    "brain_region",
    "hemisphere",
    "target_NM",
    "lab",
    "day_n",
    "session_n",
    "session_length",
    "strain",
    "line",
    "genotype",
    "datasets",
]


def read_catalog(catalog: pd.DataFrame | Path | str) -> pd.DataFrame:
    """The sessions table, from a path or as it is.

    Columns of a file that the schema knows take their types. Those of the user's document
    that the table lacks are added, null.

    Raises
    ------
    MissingFileError, UnreadableFileError
        If there is no such file, or it is no table.
    MalformedFileError
        If a column holds values of another type.
    """
    if isinstance(catalog, pd.DataFrame):
        table = catalog
    else:
        table = read_table(catalog)
        known = SESSIONS_TABLE.conform(table)
        table = table.assign(**{name: known[name] for name in table if name in known})
    absent = [name for name in _OF_THE_DOCUMENT if name not in table]
    return table.assign(**dict.fromkeys(absent)) if absent else table


def selection_tables(
    settings: Settings,
    errors: pd.DataFrame | None = None,
    performance: pd.DataFrame | None = None,
    labels: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame | None]:
    """What the selection of sessions needs, from the files of the settings where not given.

    Returns
    -------
    dict
        ``errors`` (from ``metadata/errors.pqt``, else from the failed checks of
        ``metadata/qc_matrix.pqt``), ``performance`` and ``labels``; None without a file.
    """
    path = settings.metadata_dir / "errors.pqt"
    if errors is None:
        errors = _read(path, ERRORS)
        if errors is not None and len(errors) and errors["asset"].isna().all():
            warnings.warn(
                f"{path} was not written by the pipeline: which of its errors are failures of "
                "an asset is not known, and only named errors block a session",
                stacklevel=3,
            )
    if errors is None:
        matrix = _read(settings.metadata_dir / "qc_matrix.pqt", QC_MATRIX)
        errors = None if matrix is None else matrix_errors(matrix)
    if performance is None:
        performance = _read(settings.data_dir / "performance.pqt", PERFORMANCE)
    if labels is None and any(path.exists() for path in labels_paths(settings)):
        labels = labels_in_force(settings)
    return {"errors": errors, "performance": performance, "labels": labels}


def _read(path: Path, schema: Table) -> pd.DataFrame | None:
    return schema.conform(read_table(path)) if path.exists() else None
