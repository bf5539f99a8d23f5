"""Tables of sessions, error logs and codings: small helpers for scripts and notebooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Settings, get_settings
from iblnm.errors import DataError
from iblnm.validation import (
    LOG_COLUMNS,
    RULES,
    ParallelLists,
    TrueDuplicateSession,
    error_types,
    exception_logger,
    make_log_entry,
    usable_sessions,
)
from iblnm.validation.exceptions import umbrella_types
from iblnm.validation.values import bare_region, get, get_list, join, listed_categories

__all__ = [
    "LOG_COLUMNS",
    "add_dataset_flags",
    "aggregate_qc_per_session",
    "collect_catalog",
    "collect_errors",
    "collect_session_errors",
    "concat_logs",
    "contrast_inverse",
    "contrast_transform",
    "deduplicate_log",
    "derive_target_nm",
    "enforce_schema",
    "error_types",
    "fill_brain_region_from_fibers",
    "fill_parallel_lists_from_group",
    "get_contrast_coding",
    "get_session_length",
    "get_session_type",
    "get_targetNM",
    "has_dataset",
    "make_log_entry",
    "resolve_duplicate_group",
    "validate_parallel_lists",
]

# logs ---------------------------------------------------------------------------------------


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


# tables of sessions -------------------------------------------------------------------------


def enforce_schema(df: pd.DataFrame, schema: Any) -> pd.DataFrame:
    """Bring a table to the columns, order and types of a schema.

    Parameters
    ----------
    df : DataFrame
        Columns that the schema does not know are kept, behind the others.
    schema : iblnm.schemas.Table or dict
        Or a mapping of column name to 'str', 'int', 'float', 'bool' or 'list', as
        ``iblnm.config.SESSION_SCHEMA``.

    Returns
    -------
    DataFrame
        Absent columns are null.

    Raises
    ------
    MalformedFileError
        If a value cannot take its type.
    """
    from iblnm.schemas import Column, Table

    if isinstance(schema, Mapping):
        columns = tuple(Column(name, dtype, "") for name, dtype in schema.items())
        schema = Table("table", "", columns)
    conformed = schema.conform(df)
    extra = [name for name in df.columns if name not in schema.names]
    return conformed.join(df[extra].reset_index(drop=True))


def has_dataset(session: Any, dataset: str, settings: Settings | None = None) -> bool:
    """Whether a session lists a dataset.

    Parameters
    ----------
    session : Series, mapping or list of str
        A row with ``datasets``, or the relative paths themselves.
    dataset : str
        A category of the settings, for example 'extracted_task', or a path, which may hold
        wildcards.
    settings : Settings, optional

    Examples
    --------
    >>> has_dataset(["alf/task_00/_ibl_trials.table.pqt"], "extracted_task", Settings())
    True
    """
    settings = settings or get_settings()
    if isinstance(session, list | tuple | np.ndarray):
        session = {"datasets": list(session)}
    if dataset not in settings.dataset_categories:
        settings = settings.model_copy(update={"dataset_categories": {dataset: (dataset,)}})
    return dataset in listed_categories(session, settings)


def add_dataset_flags(df: pd.DataFrame, settings: Settings | None = None) -> pd.DataFrame:
    """Sessions with one column ``has_{category}`` per category of datasets."""
    settings = settings or get_settings()
    listed = [listed_categories({"datasets": paths}, settings) for paths in df["datasets"]]
    flags = {
        f"has_{category}": [category in found for found in listed]
        for category in settings.dataset_categories
    }
    return df.assign(**flags)


@exception_logger
def get_session_type(session: pd.Series) -> pd.Series:
    """The session with ``session_type``, read from its task protocol.

    Raises
    ------
    InvalidSessionType
        Unless the protocol names exactly one accepted type.
    """
    from iblnm.io.sessions import session_type

    RULES["invalid_session_type"].check(
        session_row={"task_protocol": get(session, "task_protocol")}
    )
    return _with(session, session_type=session_type(session["task_protocol"], get_settings()))


@exception_logger
def get_targetNM(session: pd.Series) -> pd.Series:
    """The session with ``target_NM``: each region with the neuromodulator of the mouse.

    Raises
    ------
    InvalidTargetNM
        If a label is none of the project.
    """
    labels = _labels(get_list(session, "brain_region"), get(session, "NM"))
    wrong = [label for label in labels if label not in get_settings().valid_targets]
    if wrong:
        raise RULES["invalid_target_nm"].exception(
            f"{len(wrong)} targets are none of {join(get_settings().valid_targets)}: "
            f"{join(wrong)}."
        )
    return _with(session, target_NM=labels)


@exception_logger
def get_session_length(session: pd.Series) -> pd.Series:
    """The session with ``session_length`` [s], from its start and end.

    Raises
    ------
    InvalidSessionLength
        If one is missing, or the end is not after the start on the same day.
    """
    return _with(
        session,
        session_length=RULES["invalid_session_length"].check(session_row=session).value,
    )


def _with(session: pd.Series, **values: Any) -> pd.Series:
    """A copy with more fields; a field may hold a list."""
    fields = {**dict(session.items()), **values}
    return pd.Series(fields, name=getattr(session, "name", None), dtype=object)


def _labels(regions: Sequence[str | None], nm: str | None) -> list[str | None]:
    return [f"{bare_region(region)}-{nm}" if region and nm else None for region in regions]


def derive_target_nm(df: pd.DataFrame, brain_region_col: str = "brain_region") -> pd.DataFrame:
    """Table with ``target_NM``, from the regions and ``NM``.

    Parameters
    ----------
    df : DataFrame
        One row per session (regions are lists) or per recording (a region is text).
    brain_region_col : str

    Returns
    -------
    DataFrame
        Copy; a label is null where region or neuromodulator is.
    """
    labels = []
    for regions, nm in zip(df[brain_region_col], df["NM"], strict=True):
        nm = get({"NM": nm}, "NM")
        if isinstance(regions, str):
            labels.append(_labels([regions], nm)[0])
        else:
            labels.append(_labels(get_list({"regions": regions}, "regions"), nm))
    return df.assign(target_NM=pd.Series(labels, index=df.index, dtype=object))


def resolve_duplicate_group(
    group: pd.DataFrame,
    disqualifying_errors: Collection[str] | None = None,
    exlog: list | None = None,
) -> pd.DataFrame:
    """The one session to use of a subject's sessions on one day.

    Parameters
    ----------
    group : DataFrame
        Sessions; their errors are read from ``logged_errors``.
    disqualifying_errors : collection of str, optional
        Names of errors that make a session useless; those of blocking rules by default.
    exlog : list, optional
        Collects the error instead of raising it.

    Returns
    -------
    DataFrame
        One row: the first usable session, or the first session if none is usable.

    Raises
    ------
    TrueDuplicateSession
        If several are usable; carries the first as ``fallback_row``.
    """
    order = [name for name in ("start_time", "number") if name in group]
    group = group.sort_values(order, kind="stable") if order else group
    usable = group[usable_sessions(group, get_settings(), disqualifying_errors)]
    if usable.empty:
        return group.iloc[:1]
    if len(usable) > 1:
        first = usable.iloc[0]
        error = TrueDuplicateSession(
            f"{len(usable)} usable sessions of {get(first, 'subject')} on "
            f"{str(get(first, 'start_time'))[:10]}: {join(usable['eid'])}; the first is used.",
            fallback_row=first,
        )
        if exlog is None:
            raise error
        exlog.append(make_log_entry(first["eid"], error))
    return usable.iloc[:1]


def fill_parallel_lists_from_group(
    df: pd.DataFrame, columns: Sequence[str], group_col: str = "subject"
) -> pd.DataFrame:
    """Fill sessions without recording targets from the subject's other sessions.

    Parameters
    ----------
    df : DataFrame
    columns : sequence of str
        List columns that belong together; they are filled together or not at all.
    group_col : str

    Returns
    -------
    DataFrame
        Copy. A row is filled if all its lists are empty, and all complete rows of its group
        (lists not empty, of equal length) agree.
    """
    df = df.copy()
    lists = {name: [get_list({"v": v}, "v") for v in df[name]] for name in columns}
    rows = [tuple(tuple(lists[name][i]) for name in columns) for i in range(len(df))]
    for _, positions in df.reset_index(drop=True).groupby(group_col).groups.items():
        sources = {
            rows[i] for i in positions if rows[i][0] and len({len(v) for v in rows[i]}) == 1
        }
        if len(sources) == 1:
            source = next(iter(sources))
            for i in positions:
                if not any(rows[i]):
                    for name, values in zip(columns, source, strict=True):
                        lists[name][i] = list(values)
    for name in columns:
        df[name] = pd.Series(lists[name], index=df.index, dtype=object)
    return df


def validate_parallel_lists(df: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table, if in every row these list columns have equal lengths.

    Raises
    ------
    ParallelLists
        Naming the first sessions concerned.
    """
    lengths = [
        {name: len(get_list(row, name)) for name in columns}
        for row in df[list(columns)].to_dict("records")
    ]
    wrong = [i for i, row in enumerate(lengths) if len(set(row.values())) > 1]
    if wrong:
        names = df["eid"] if "eid" in df else df.index.to_series()
        examples = join(f"{names.iloc[i]} {lengths[i]}" for i in wrong[:3])
        raise ParallelLists(
            f"{len(wrong)} of {len(df)} rows have lists of different length: {examples}."
        )
    return df


def fill_brain_region_from_fibers(
    df: pd.DataFrame, fibers_fpath: Path | str | None = None
) -> pd.DataFrame:
    """Fill regions and sides of sessions without any from the fibre table.

    Parameters
    ----------
    df : DataFrame
        With ``subject``, ``brain_region`` and ``hemisphere``.
    fibers_fpath : path, optional
        The table in force by default.

    Returns
    -------
    DataFrame
        Copy; both columns of a row come from the table or stay as they are.
    """
    from iblnm.io.fibers import fibers_path, read_fibers, side_of
    from iblnm.io.regions import split_region

    settings = get_settings()
    path = fibers_path(settings) if fibers_fpath is None else Path(fibers_fpath)
    df = df.copy()
    if path is None:
        return df
    fibers = read_fibers(path).dropna(subset=["targeted_region"])
    by_subject = dict(tuple(fibers.groupby("subject")))
    regions, sides = list(df["brain_region"]), list(df["hemisphere"])
    for i, subject in enumerate(df["subject"]):
        own = by_subject.get(subject)
        if own is None or any(get_list({"v": regions[i]}, "v")):
            continue
        named = [split_region(name, settings.region_fixes) for name in own["targeted_region"]]
        regions[i] = [name for name, _ in named]
        sides[i] = [
            suffix or side_of(x, settings.right_is_positive_ml)
            for (_, suffix), x in zip(named, own["X-ml_um"], strict=True)
        ]
    df["brain_region"] = pd.Series(regions, index=df.index, dtype=object)
    df["hemisphere"] = pd.Series(sides, index=df.index, dtype=object)
    return df


def aggregate_qc_per_session(
    df: pd.DataFrame, require_all: bool = True, settings: Settings | None = None
) -> pd.DataFrame:
    """Whether the signals of each session pass the basic quality control.

    Parameters
    ----------
    df : DataFrame
        One row per session, region and band.
    require_all : bool
        Whether all signals of a session have to pass, or one is enough.
    settings : Settings, optional

    Returns
    -------
    DataFrame
        Columns ``eid`` and ``passes_basic_qc``. A signal passes with enough distinct values,
        no band inversion and no early sample; a metric that is null fails nothing.
    """
    limits = (settings or get_settings()).thresholds
    passes = ~(pd.to_numeric(df["n_unique_samples"]) < limits.min_unique_fraction)
    for name in ("n_band_inversions", "n_early_samples"):
        if name in df:
            passes &= ~(pd.to_numeric(df[name]) > 0)
    grouped = passes.astype(bool).groupby(df["eid"], sort=False)
    result = grouped.all() if require_all else grouped.any()
    return result.rename("passes_basic_qc").rename_axis("eid").reset_index()


# contrasts ----------------------------------------------------------------------------------


def contrast_transform(contrast: Any) -> Any:
    """ln(c + 1) of a contrast in percent.

    Examples
    --------
    >>> round(float(contrast_transform(100.0)), 4)
    4.6151
    """
    return np.log1p(contrast)


def contrast_inverse(coded: Any) -> Any:
    """Contrast in percent of ln(c + 1)."""
    return np.expm1(coded)


def get_contrast_coding(coding: str = "log") -> tuple[Callable, Callable]:
    """Functions to and from a coding of the contrast.

    Parameters
    ----------
    coding : {'log', 'linear', 'rank'}
        ln(c + 1); the percentage itself; or the position among the analysed contrasts of the
        settings, NaN for others, whatever contrasts a data set holds.

    Returns
    -------
    transform, inverse : callable

    Raises
    ------
    ValueError
        For another coding.
    """
    if coding == "log":
        return contrast_transform, contrast_inverse
    if coding == "linear":
        return _identity, _identity
    if coding == "rank":
        return _to_rank, _from_rank
    raise ValueError(f"coding {coding!r} is unknown; known are 'log', 'linear' and 'rank'")


def _identity(value: Any) -> Any:
    return value


def _to_rank(contrast: Any) -> np.ndarray:
    levels = np.sort(get_settings().analysis_contrasts)
    contrast = np.asarray(contrast, dtype=float)
    rank = np.clip(np.searchsorted(levels, contrast), 0, len(levels) - 1)
    return np.where(np.isclose(levels[rank], contrast), rank.astype(float), np.nan)


def _from_rank(rank: Any) -> np.ndarray:
    levels = np.sort(get_settings().analysis_contrasts)
    return np.interp(rank, np.arange(len(levels)), levels)
