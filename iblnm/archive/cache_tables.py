"""The tables by which ONE knows a local archive, brought up to date from records of Alyx."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.errors import UnreadableFileError
from iblnm.storage.atomic import write_whole

TABLES = ("sessions", "datasets")
# as ONE finds them in tables without an index
_IDENTIFIER = r".?id(_[01])?$"


def update_cache_tables(
    folder: Path, details: Iterable[dict[str, Any]], origin: str
) -> tuple[int, int]:
    """Put sessions and their datasets into ``sessions.pqt`` and ``datasets.pqt``.

    Rows of other sessions stay. A session of the same folder under another eid gives way:
    tables made from a tree alone have eids of their own. Each table is written whole, the
    datasets first, so that no listed session is without its files; a table that would not
    change is left alone.

    Parameters
    ----------
    folder : Path
        Root of the archive; missing tables are made.
    details : iterable of dict
        Sessions as in the REST detail.
    origin : str
        Where they come from, for the metadata of the tables.

    Returns
    -------
    n_sessions, n_datasets : int
        Rows of the tables afterwards.

    Raises
    ------
    UnreadableFileError
        If a table that is there cannot be read.
    """
    pairs = [_records(detail) for detail in details]
    sessions = _sessions_frame([session for session, _ in pairs])
    datasets = _datasets_frame([found for _, found in pairs], sessions, folder)
    old_sessions, session_meta = read_one_table(folder / "sessions.pqt")
    old_datasets, dataset_meta = read_one_table(folder / "datasets.pqt")
    gone = set(sessions.index)
    if old_sessions is not None:
        own = set(session_places(sessions))
        same_place = [place in own for place in session_places(old_sessions)]
        gone |= set(old_sessions.index[same_place])
        kept = old_sessions[~old_sessions.index.isin(gone)]
        sessions = pd.concat([kept, sessions])[sessions.columns] if len(kept) else sessions
    if old_datasets is not None:
        of = old_datasets.index.get_level_values(0)
        kept = old_datasets[~of.isin(gone)]
        if "default_revision" not in kept:
            # with none marked, the latest revision is the default
            kept = kept.assign(default_revision=False)
        if len(kept):
            datasets = pd.concat([kept, datasets])[datasets.columns]
    sessions, datasets = _typed(sessions, datasets)
    write_one_table(folder / "datasets.pqt", datasets, old_datasets, dataset_meta, origin)
    write_one_table(folder / "sessions.pqt", sessions, old_sessions, session_meta, origin)
    return len(sessions), len(datasets)


def _records(detail: dict[str, Any]) -> tuple[pd.Series, pd.DataFrame]:
    from one.converters import ses2records

    related = detail.get("data_dataset_session_related") or []
    on_server = [item for item in related if item["data_url"]]
    return ses2records({**detail, "data_dataset_session_related": on_server})


def _sessions_frame(sessions: list[pd.Series]) -> pd.DataFrame:
    from one.alf.cache import SESSIONS_COLUMNS

    columns = [name for name in SESSIONS_COLUMNS if name != "id"]
    frame = pd.DataFrame(sessions, columns=columns)
    frame.index = pd.Index([str(session.name) for session in sessions], name="id")
    return frame


def _datasets_frame(
    found: list[pd.DataFrame], sessions: pd.DataFrame, folder: Path
) -> pd.DataFrame:
    from one.alf.cache import DATASETS_COLUMNS

    columns = [*(name for name in DATASETS_COLUMNS if name not in ("eid", "id"))]
    columns.append("default_revision")
    listed = [frame.reindex(columns=columns) for frame in found if len(frame)]
    if not listed:
        index = pd.MultiIndex.from_arrays([[], []], names=["eid", "id"])
        return pd.DataFrame(columns=columns, index=index)
    frame = pd.concat(listed)
    levels = [[str(value) for value in frame.index.get_level_values(i)] for i in (0, 1)]
    frame.index = pd.MultiIndex.from_arrays(levels, names=["eid", "id"])
    places = session_places(sessions)
    roots = {eid: folder / place for eid, place in zip(sessions.index, places, strict=True)}
    frame["exists"] = [
        (roots[eid] / path).is_file()
        for eid, path in zip(levels[0], frame["rel_path"], strict=True)
    ]
    return frame


def session_places(sessions: pd.DataFrame) -> list[str]:
    """Folder of each session of a table of ONE, relative to the archive, with slashes."""
    return [
        "/".join([*([row.lab, "Subjects"] if row.lab else []), row.subject, f"{row.date}"[:10]])
        + f"/{int(row.number):03d}"
        for row in sessions.itertuples()
    ]


def _typed(sessions: pd.DataFrame, datasets: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    from one.alf.cache import DATASETS_COLUMNS, SESSIONS_COLUMNS

    session_types = {name: SESSIONS_COLUMNS[name] for name in sessions}
    dataset_types = {**DATASETS_COLUMNS, "default_revision": bool}
    dataset_types = {name: dataset_types[name] for name in datasets}
    return (
        sessions.astype(session_types).sort_index(),
        datasets.astype(dataset_types).sort_index(),
    )


def read_one_table(path: Path) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """A table of ONE by its identifiers, and its metadata; None if there is none.

    Tables of earlier versions of ONE, with identifiers as pairs of integers or other names of
    columns, are given as those of today.

    Raises
    ------
    UnreadableFileError
        If it cannot be read.
    """
    if not path.is_file():
        return None, {}
    import pyarrow as pa
    from iblutil.io import parquet
    from one.alf.cache import patch_tables

    try:
        frame, metadata = parquet.load(path)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(f"no readable table of ONE: {error}", path=path) from error
    if isinstance(frame.index, pd.RangeIndex):
        frame = frame.set_index(sorted(frame.filter(regex=_IDENTIFIER)))
    frame = patch_tables(frame, metadata.get("min_api_version"), path.stem)
    levels = [name for name in ("eid", "id") if name in frame.index.names]
    if path.stem == "sessions" and levels == ["eid"]:
        frame.index = frame.index.rename("id")
    elif not levels or (path.stem == "datasets" and len(levels) != 2):
        raise UnreadableFileError(
            f"the table has the identifiers {', '.join(map(str, frame.index.names))}; id of "
            "sessions, eid and id of datasets are expected: make it anew with "
            "one.alf.cache.make_parquet_db",
            path=path,
        )
    return frame, metadata


def write_one_table(
    path: Path,
    frame: pd.DataFrame,
    former: pd.DataFrame | None,
    metadata: dict[str, Any],
    origin: str,
) -> None:
    """Write a table of ONE whole, unless it is as it was.

    Parameters
    ----------
    path : Path
    frame : DataFrame
    former : DataFrame or None
        Content of the file.
    metadata : dict
        Of the file; kept.
    origin : str
        Added to the origins in the metadata.
    """
    if former is not None and frame.equals(former.reindex(columns=frame.columns)):
        return
    from iblutil.io import parquet

    known = metadata.get("origin") or []
    origins = sorted({origin, *([known] if isinstance(known, str) else known)})
    created = datetime.now().isoformat(sep=" ", timespec="minutes")
    with write_whole(path) as temporary:
        parquet.save(temporary, frame, {**metadata, "date_created": created, "origin": origins})
