"""Fields and columns of session rows: schema, datasets, types, targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Settings, get_settings
from iblnm.pipeline.error_log import exception_logger, make_log_entry
from iblnm.pipeline.rules import RULES
from iblnm.pipeline.rules.values import bare_region, get, get_list, join, listed_categories


def enforce_schema(df: pd.DataFrame, schema: Any) -> pd.DataFrame:
    """Bring a table to the columns of a schema.

    Parameters
    ----------
    df : DataFrame
    schema : dict or iblnm.schemas.Table
        From column name to (type, default), as ``iblnm.config.SESSION_SCHEMA``; or to one of
        'str', 'int', 'float', 'bool' and 'list'.

    Returns
    -------
    DataFrame
        With a schema of defaults: absent columns have theirs, behind the others, and null and
        arrays of list columns are lists; nothing else changes. With a schema of types:
        columns in its order and of its types, absent ones null, others behind them.

    Raises
    ------
    MalformedFileError
        If a value cannot take its type.
    """
    from iblnm.schemas import Column, Table

    if isinstance(schema, Mapping) and any(isinstance(kind, tuple) for kind in schema.values()):
        return _with_defaults(df, schema)
    if isinstance(schema, Mapping):
        columns = tuple(Column(name, dtype, "") for name, dtype in schema.items())
        schema = Table("table", "", columns)
    conformed = schema.conform(df)
    extra = [name for name in df.columns if name not in schema.names]
    return conformed.join(df[extra].reset_index(drop=True))


def _with_defaults(df: pd.DataFrame, schema: Mapping[str, tuple[type, Any]]) -> pd.DataFrame:
    df = df.copy()
    for name, (kind, default) in schema.items():
        if kind is list:
            values = df[name] if name in df else [default] * len(df)
            lists = [get_list({"v": value}, "v") for value in values]
            df[name] = pd.Series(lists, index=df.index, dtype=object)
        elif name not in df:
            df[name] = pd.Series([default] * len(df), index=df.index)
    return df


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
    from iblnm.archive.sessions import session_type

    settings = get_settings()
    RULES["invalid_session_type"].check(
        settings, session_row={"task_protocol": get(session, "task_protocol")}
    )
    return _with(session, session_type=session_type(session["task_protocol"], settings))


def get_targetNM(session: pd.Series, exlog: list | None = None) -> pd.Series:
    """The session with ``target_NM``: each region with the neuromodulator of the mouse.

    Parameters
    ----------
    session : Series
    exlog : list, optional
        Collects the error instead of raising it; the labels are set all the same, so that the
        lists of the session stay parallel.

    Raises
    ------
    InvalidTargetNM
        If a label is none of the project.
    """
    labels = _labels(get_list(session, "brain_region"), get(session, "NM"))
    labeled = _with(session, target_NM=labels)
    wrong = [label for label in labels if label not in get_settings().valid_targets]
    if wrong:
        error = RULES["invalid_target_nm"].exception(
            f"{len(wrong)} targets are none of {join(get_settings().valid_targets)}: "
            f"{join(wrong)}."
        )
        if exlog is None:
            raise error
        exlog.append(make_log_entry(get(session, "eid"), error))
    return labeled


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
        session_length=RULES["invalid_session_length"]
        .check(get_settings(), session_row=session)
        .value,
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
