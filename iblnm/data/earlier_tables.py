"""Tables of earlier runs: the columns that they lack and that can be derived."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

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
        ``eid``, ``brain_region``, ``target_NM`` and ``fiber_idx``; rows of a recording that is
        not among them get no fiber, and are left out.
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
    keys = [name for name in ("eid", "brain_region", "target_NM") if name in table]
    fibers = recordings[[*keys, "fiber_idx"]].drop_duplicates(keys, keep=False)
    return table.merge(fibers.astype({"eid": object}), on=keys, how="inner")
