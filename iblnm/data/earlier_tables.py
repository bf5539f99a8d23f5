"""Tables of earlier runs: the columns that they lack and that can be derived."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from iblnm.pipeline.rules.values import join
from iblnm.task.contrasts import add_relative_contrast

_TIMES = ("reaction_time", "movement_time", "response_time")


def complete_table(
    table: pd.DataFrame, recordings: pd.DataFrame, timing_path: Path | None = None
) -> pd.DataFrame:
    """Add fiber, side of the stimulus and times to a table of recordings and trials.

    Parameters
    ----------
    table : DataFrame
        As it was stored, with its keys as columns or as index. Columns that are there stay.
    recordings : DataFrame
        ``eid``, ``brain_region``, ``hemisphere``, ``target_NM`` and ``fiber_idx``. Rows of a
        recording that is not among them are left out; those of recordings that these columns
        do not tell apart too, with a warning.
    timing_path : Path, optional
        Table of the times of trials, where it exists.

    Returns
    -------
    DataFrame
    """
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    if "fiber_idx" not in table and {"target_NM", "brain_region"} & set(table):
        table = _with_fiber(table, recordings)
    known = {"hemisphere", "stim_side"} <= set(table)
    if known and not {"side", "relative_contrast"} <= set(table):
        signed = table.get("signed_contrast", np.nan)
        relative = add_relative_contrast(table.assign(signed_contrast=signed))
        table = table.assign(
            **{name: relative[name] for name in ("relative_contrast", "side") if name not in table}
        )
    absent = [name for name in _TIMES if name not in table]
    if absent and "trial" in table and timing_path is not None and timing_path.exists():
        timing = pd.read_parquet(timing_path)[["eid", "trial", *absent]]
        table = table.merge(timing, on=["eid", "trial"], how="left")
    return table


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
