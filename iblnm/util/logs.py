"""Logs of errors and what the session files hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from iblnm.errors import DataError
from iblnm.pipeline.error_log import LOG_COLUMNS
from iblnm.pipeline.rules import umbrella_types


def concat_logs(logs: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Error logs below each other, with the columns `LOG_COLUMNS` only."""
    parts = [log.reindex(columns=LOG_COLUMNS) for log in logs if len(log)]
    if not parts:
        return pd.DataFrame(columns=LOG_COLUMNS)
    return pd.concat(parts, ignore_index=True)


def deduplicate_log(log: pd.DataFrame) -> pd.DataFrame:
    """A log with the latest entry of each session, type and message."""
    return log.drop_duplicates(LOG_COLUMNS[:3], keep="last", ignore_index=True)


def collect_session_errors(
    df: pd.DataFrame, log_sources: Iterable[pd.DataFrame | Path | str]
) -> pd.DataFrame:
    """Sessions with the types of the errors that are logged for them.

    Parameters
    ----------
    df : DataFrame
        One row per session, with ``eid``.
    log_sources : iterable of DataFrame or path
        Error logs; a file that does not exist is an empty log.

    Returns
    -------
    DataFrame
        Copy of `df` with ``logged_errors``: a sorted list of names for each session, empty
        where there are none. The umbrella of a logged type is listed with it
        (``QCValidationError`` with ``BandInversion``).
    """
    tables = []
    for source in log_sources:
        if isinstance(source, pd.DataFrame):
            tables.append(source)
        elif Path(source).exists():
            tables.append(pd.read_parquet(source))
    log = concat_logs(tables)
    by_eid = log.groupby("eid")["error_type"].agg(set).to_dict() if len(log) else {}
    return df.assign(
        logged_errors=[sorted(umbrella_types(by_eid.get(eid, ()))) for eid in df["eid"]]
    )


def collect_errors(h5_dir: Path | str) -> pd.DataFrame:
    """Errors stored in the session files of a folder, with the columns `LOG_COLUMNS`."""
    return concat_logs([table for _, table in _stored(h5_dir, "errors")])


def collect_catalog(h5_dir: Path | str) -> pd.DataFrame:
    """Metadata stored in the session files of a folder.

    Parameters
    ----------
    h5_dir : path
        Files that cannot be read are left out, with a warning.

    Returns
    -------
    DataFrame
        One row per session in order of start time, columns of the sessions table.
    """
    from iblnm.schemas import SESSIONS

    rows = [row for _, row in _stored(h5_dir, "metadata")]
    if not rows:
        return SESSIONS.empty()
    catalog = pd.concat([row.astype(object) for row in rows], ignore_index=True)
    catalog = SESSIONS.conform(catalog)
    return catalog.sort_values(["start_time", "eid"], ignore_index=True)


def _stored(h5_dir: Path | str, group: str) -> Iterable[tuple[str, pd.DataFrame]]:
    from iblnm.storage.h5 import list_groups, read_group

    for path in sorted(Path(h5_dir).glob("*.h5")):
        try:
            if group in list_groups(path):
                yield path.stem, read_group(path, group)
        except DataError as error:
            warnings.warn(f"left out: {error}", stacklevel=3)
