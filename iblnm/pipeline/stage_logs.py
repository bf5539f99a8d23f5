"""The errors of a group of stages as a table of their own, as scripts attach them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from iblnm.config import Settings
from iblnm.constants import ERROR_COLUMNS
from iblnm.pipeline.graph import all_stages
from iblnm.pipeline.stage import Stage
from iblnm.storage.parquet import write_table

_LOG_OF_GROUP = {
    "sessions": "query_database",
    "photometry": "photometry",
    "behavior": "task",
    "video": "video",
}
_LOG_OF_STAGE = {"wheel_velocity": "wheel"}
# the check over all sessions belongs to the query that lists them
_LOG_OF_CATALOG = {"sessions": "query_database"}
LOGS = tuple(dict.fromkeys((*_LOG_OF_GROUP.values(), *_LOG_OF_STAGE.values())))


def _log_of(stage: Stage) -> str | None:
    return _LOG_OF_STAGE.get(stage.name, _LOG_OF_GROUP.get(stage.group))


def stage_logs(errors: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The errors by the log that they belong to.

    Parameters
    ----------
    errors : DataFrame
        Schema `iblnm.schemas.ERRORS`.

    Returns
    -------
    dict of str to DataFrame
        For each of `LOGS` the rows of its assets, columns `ERROR_COLUMNS`.
    """
    by_asset = {stage.name: _log_of(stage) for stage in all_stages()} | _LOG_OF_CATALOG
    belongs = errors["asset"].map(by_asset)
    columns = list(ERROR_COLUMNS)
    return {log: errors.loc[belongs == log, columns].reset_index(drop=True) for log in LOGS}


def write_stage_logs(errors: pd.DataFrame, settings: Settings) -> list[Path]:
    """Write ``metadata/{log}_log.pqt`` for each of `LOGS`, each file whole."""
    paths = []
    for log, table in stage_logs(errors).items():
        paths.append(settings.metadata_dir / f"{log}_log.pqt")
        write_table(table, paths[-1])
    return paths
