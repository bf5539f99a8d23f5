"""The tables that a group and the cohort stages start from."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.label_rows import labels_paths
from iblnm.pipeline.labels import labels_in_force
from iblnm.pipeline.matrix import matrix_errors
from iblnm.schemas import ERRORS, PERFORMANCE, QC_MATRIX, SESSIONS, SESSIONS_TABLE, Table
from iblnm.storage.parquet import read_table

# an empty list of any other kind would say that a session has no fiber, or no data
_EMPTY_LISTS = ("projects", "users", "genotype")


def read_catalog(catalog: pd.DataFrame | Path | str) -> pd.DataFrame:
    """The sessions table, from a path or as it is.

    Columns of a file that the schema knows take their types. Those of the schema of sessions
    that the table lacks are added: projects, users and genotype as empty lists, others null.

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
    absent = [name for name in SESSIONS.names if name not in table]
    if not absent:
        return table
    added = pd.DataFrame(index=table.index, columns=absent, dtype=object)
    added = added.where(added.notna(), None)
    for name in _EMPTY_LISTS:
        if name in added:
            added[name] = pd.Series([[] for _ in added.index], index=added.index, dtype=object)
    return table.join(added)


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
