"""Logs of errors and what the session files hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from iblnm.errors import DataError, MissingFileError
from iblnm.pipeline.error_log import LOG_COLUMNS, unique_entries
from iblnm.pipeline.rules import umbrella_types
from iblnm.pipeline.rules.values import is_null

Source = pd.DataFrame | Path | str


def concat_logs(logs: Iterable[pd.DataFrame | None]) -> pd.DataFrame:
    """Error logs below each other, with the columns `LOG_COLUMNS` only; None is no log."""
    parts = [log.reindex(columns=LOG_COLUMNS) for log in logs if log is not None and len(log)]
    if not parts:
        return pd.DataFrame(columns=LOG_COLUMNS)
    return pd.concat(parts, ignore_index=True)


def deduplicate_log(log: pd.DataFrame) -> pd.DataFrame:
    """A log with the latest entry of each session, type and message."""
    return unique_entries(log)


def collect_session_errors(
    df: pd.DataFrame | Iterable[str], log_sources: Source | Iterable[Source]
) -> pd.DataFrame:
    """Sessions with the types of the errors that are logged for them.

    Parameters
    ----------
    df : DataFrame or iterable of str
        One row per session, with ``eid``; or the eids alone.
    log_sources : DataFrame or path, or several of them
        Error logs; a folder stands for the errors in its session files, a file that does not
        exist is an empty log, with a warning.

    Returns
    -------
    DataFrame
        Copy of `df` with ``logged_errors``: a sorted list of names for each session, empty
        where there are none. The umbrella of a logged type is listed with it
        (``QCValidationError`` with ``BandInversion``).
    """
    if not isinstance(df, pd.DataFrame):
        df = pd.DataFrame({"eid": [df] if isinstance(df, str) else list(df)})
    if isinstance(log_sources, pd.DataFrame | Path | str):
        log_sources = [log_sources]
    log = concat_logs(_read_log(source) for source in log_sources)
    by_eid = log.groupby("eid")["error_type"].agg(set).to_dict() if len(log) else {}
    return df.assign(
        logged_errors=[sorted(umbrella_types(by_eid.get(eid, ()))) for eid in df["eid"]]
    )


def _read_log(source: Source) -> pd.DataFrame | None:
    if isinstance(source, pd.DataFrame):
        return source
    path = Path(source)
    if path.is_dir():
        return collect_errors(path)
    if path.exists():
        return pd.read_parquet(path)
    warnings.warn(f"{path} does not exist: its errors block nothing", stacklevel=4)
    return None


def collect_qc(h5_dir: Path | str) -> pd.DataFrame:
    """Quality metrics stored in the session files of a folder, with ``eid`` in front.

    Parameters
    ----------
    h5_dir : path
        Files that cannot be read are left out, with a warning.

    Returns
    -------
    DataFrame
        One row per session, region and band; empty if no file has any.

    Raises
    ------
    MissingFileError
        If there is no such folder.
    """
    parts = []
    for eid, table in _stored(h5_dir, "photometry/qc"):
        rest = table.drop(columns="eid", errors="ignore")
        parts.append(pd.concat([pd.Series(eid, index=rest.index, name="eid"), rest], axis=1))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["eid"])


def df2pqt(df: pd.DataFrame, path: Path | str) -> Path:
    """Write a table as parquet, whole or not at all; columns of mixed types become text.

    Returns
    -------
    Path
        The file.
    """
    from iblnm.storage.parquet import write_table

    mixed = [
        name
        for name in df
        if df[name].dtype == object
        and len({type(value) for value in df[name] if not is_null(value)}) > 1
    ]
    texts = {
        name: [None if is_null(value) else str(value) for value in df[name]] for name in mixed
    }
    write_table(df.assign(**texts), path)
    return Path(path)


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
    from iblnm.storage.h5 import read_groups

    if not Path(h5_dir).is_dir():
        raise MissingFileError(f"there is no folder {h5_dir}")
    for path in sorted(Path(h5_dir).glob("*.h5")):
        try:
            for found in read_groups(path, [group]).values():
                yield path.stem, found
        except DataError as error:
            warnings.warn(f"left out: {error}", stacklevel=3)
