"""Recordings of sessions together: duplicates, parallel lists, regions, quality."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Settings, get_settings
from iblnm.pipeline.error_log import make_log_entry
from iblnm.pipeline.rules import usable_sessions
from iblnm.pipeline.rules.cohort import TrueDuplicateSession
from iblnm.pipeline.rules.values import get, get_list, join


def resolve_duplicate_group(
    group: pd.DataFrame,
    disqualifying_errors: Collection[str] | None = None,
    exlog: list | None = None,
) -> pd.Series:
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
    Series
        The row of the first usable session, or of the first session if none is usable: what
        ``groupby(...).apply`` makes a table of.

    Raises
    ------
    TrueDuplicateSession
        If several are usable; carries the first as ``fallback_row``.
    """
    order = [name for name in ("start_time", "number") if name in group]
    group = group.sort_values(order, kind="stable") if order else group
    usable = group[usable_sessions(group, get_settings(), disqualifying_errors)]
    if usable.empty:
        return group.iloc[0]
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
    return usable.iloc[0]


def fill_parallel_lists_from_group(
    df: pd.DataFrame, columns: Sequence[str], group_col: str = "subject"
) -> pd.DataFrame:
    """Fill lists that are empty from the subject's other sessions.

    Parameters
    ----------
    df : DataFrame
    columns : sequence of str
        List columns that belong together.
    group_col : str

    Returns
    -------
    DataFrame
        Copy. All complete rows of the group (lists not empty, of equal length) have to agree;
        then the empty lists of a row are filled, if what it has equals them.
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
                if all(own in ((), values) for own, values in zip(rows[i], source, strict=True)):
                    for name, values in zip(columns, source, strict=True):
                        lists[name][i] = list(values)
    for name in columns:
        df[name] = pd.Series(lists[name], index=df.index, dtype=object)
    return df


def validate_parallel_lists(df: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The rows in which these list columns have equal lengths; the others are told.

    Warns
    -----
    UserWarning
        Naming the rows that are left out, by their eid.
    """
    lengths = [
        {name: len(get_list(row, name)) for name in columns}
        for row in df[list(columns)].to_dict("records")
    ]
    wrong = np.array([len(set(row.values())) > 1 for row in lengths], dtype=bool)
    if not wrong.any():
        return df
    names = df["eid"] if "eid" in df else df.index.to_series()
    told = join(f"{names.iloc[i]} {lengths[i]}" for i in np.flatnonzero(wrong))
    warnings.warn(
        f"{wrong.sum()} of {len(df)} rows have lists of different length and are left out: {told}",
        stacklevel=2,
    )
    return df[~wrong]


def fill_empty_lists_from_group(
    df: pd.DataFrame, col: str, group_col: str = "subject"
) -> pd.DataFrame:
    """Fill the empty lists of one column from the subject's other sessions, where these agree.

    See `fill_parallel_lists_from_group`.
    """
    return fill_parallel_lists_from_group(df, [col], group_col)


def fix_brain_regions(df: pd.DataFrame) -> pd.DataFrame:
    """Regions by the names of the project (``DRN`` is ``DR``), without the suffix of the side.

    Parameters
    ----------
    df : DataFrame
        With ``brain_region``: a text, or a list of texts, per row.

    Returns
    -------
    DataFrame
        Copy.
    """
    from iblnm.io.regions import split_region

    fixes = get_settings().region_fixes

    def fix(value: Any) -> Any:
        if isinstance(value, str):
            return split_region(value, fixes)[0]
        return [name and split_region(name, fixes)[0] for name in get_list({"v": value}, "v")]

    regions = pd.Series([fix(value) for value in df["brain_region"]], df.index, dtype=object)
    return df.assign(brain_region=regions)


def fill_brain_region_from_fibers(
    df: pd.DataFrame, fibers_fpath: Path | str | None = None
) -> pd.DataFrame:
    """Fill regions and sides of sessions without any from the fiber table.

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
        no band inversion and no early sample; a metric that is null, or not there, fails
        nothing.
    """
    limits = (settings or get_settings()).thresholds
    passes = pd.Series(True, index=df.index)
    if "n_unique_samples" in df:
        passes &= ~(pd.to_numeric(df["n_unique_samples"]) < limits.min_unique_fraction)
    for name in ("n_band_inversions", "n_early_samples"):
        if name in df:
            passes &= ~(pd.to_numeric(df[name]) > 0)
    grouped = passes.astype(bool).groupby(df["eid"], sort=False)
    result = grouped.all() if require_all else grouped.any()
    return result.rename("passes_basic_qc").rename_axis("eid").reset_index()
