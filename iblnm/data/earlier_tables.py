"""Tables of earlier runs: the columns that they lack and that can be derived."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.errors import MissingColumnError
from iblnm.pipeline.rules.values import join
from iblnm.task.contrasts import add_relative_contrast

TIMES = ("reaction_time", "movement_time", "response_time")


def complete_table(table: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """Add fiber, subject and side of the stimulus to a table of recordings and trials.

    Parameters
    ----------
    table : DataFrame
        As it was stored, with its keys as columns or as index. Columns that are there stay.
    recordings : DataFrame
        ``eid``, ``brain_region``, ``hemisphere``, ``target_NM`` and ``fiber_idx``. Rows of a
        recording that is not among them are left out; those of recordings that these columns
        do not tell apart too, with a warning.

    Returns
    -------
    DataFrame
    """
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    if "fiber_idx" not in table and {"target_NM", "brain_region"} & set(table):
        table = _with_fiber(table, recordings)
    if "subject" not in table and "subject" in recordings:
        owner = recordings.drop_duplicates("eid").set_index("eid")["subject"]
        table = table.assign(subject=table["eid"].map(owner))
    known = {"hemisphere", "stim_side"} <= set(table)
    if known and not {"side", "relative_contrast"} <= set(table):
        signed = table.get("signed_contrast", np.nan)
        relative = add_relative_contrast(table.assign(signed_contrast=signed))
        table = table.assign(
            **{name: relative[name] for name in ("relative_contrast", "side") if name not in table}
        )
    return table


def with_times(
    table: pd.DataFrame, timing: pd.DataFrame | None, needed: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Add the times of the trials that a table lacks.

    Parameters
    ----------
    table : DataFrame
        ``eid``, ``trial``; times that are there stay.
    timing : DataFrame, optional
        ``eid``, ``trial`` and some of `TIMES`.
    needed : tuple of str
        Columns that must be there at the end.

    Raises
    ------
    MissingColumnError
        If a needed one is in neither.
    """
    absent = [name for name in TIMES if name not in table]
    if timing is not None and absent and "trial" in table:
        own = timing.reset_index() if timing.index.names != [None] else timing
        own = own[["eid", "trial", *(name for name in absent if name in own)]]
        own = own.drop_duplicates(["eid", "trial"]).astype({"eid": table["eid"].dtype})
        table = table.merge(own, on=["eid", "trial"], how="left")
    missing = [name for name in needed if name not in table]
    if missing:
        where = "is None" if timing is None else f"has no column {join(missing)}"
        raise MissingColumnError(
            f"the trials have no {join(missing)}, and trial_timing {where}; "
            "load_trial_timing() or get_response_magnitudes() set it, or assign it"
        )
    return table


def split_times(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """A table of magnitudes without times, and the times, one row per trial; None without any."""
    times = [name for name in TIMES if name in table]
    if not times:
        return table, None
    timing = table[["eid", "trial", *times]].drop_duplicates(["eid", "trial"], ignore_index=True)
    return table.drop(columns=times), timing


def without_conditions(timing: pd.DataFrame) -> pd.DataFrame:
    """A table of times without the columns that a table of magnitudes has too, but for keys."""
    kept = {"eid", "trial", *TIMES}
    return timing[[c for c in timing if c in kept or c not in RESPONSE_MAGNITUDES.names]]


def _with_fiber(table: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    names = ("eid", "brain_region", "hemisphere", "target_NM")
    keys = [name for name in names if name in table and name in recordings]
    fibers = recordings[[*keys, "fiber_idx"]].astype({"eid": object})
    unclear = fibers[fibers.duplicated(keys, keep=False)]
    if len(unclear):
        warnings.warn(
            f"{len(unclear)} recordings of {unclear['eid'].nunique()} sessions are left out: "
            f"{join(keys)} do not tell their fibers apart, and the table has no fiber_idx",
            stacklevel=5,
        )
    return table.merge(fibers.drop(unclear.index), on=keys, how="inner")
