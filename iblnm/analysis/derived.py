"""What tables of trials of other programs lack and their columns say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iblnm.task.contrasts import add_relative_contrast

_OF_FIBER = ("eid", "brain_region", "hemisphere", "target_NM")


def with_derived(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials with contrast, side and fiber, as far as other columns have them.

    Parameters
    ----------
    trials : DataFrame
        Columns that are there stay.

    Returns
    -------
    DataFrame
        ``contrast`` [%] from ``signed_contrast``; ``side`` from ``hemisphere`` and
        ``stim_side``; ``fiber_idx`` from the order in which the recordings of a session
        (``brain_region``, ``hemisphere``, ``target_NM``) appear. The table itself if it lacks
        none of them.

    Examples
    --------
    >>> trials = pd.DataFrame(
    ...     {
    ...         "eid": "a",
    ...         "brain_region": ["VTA", "SNc"],
    ...         "hemisphere": ["l", "r"],
    ...         "stim_side": "left",
    ...         "signed_contrast": -25.0,
    ...     }
    ... )
    >>> with_derived(trials)[["contrast", "side", "fiber_idx"]]
       contrast    side  fiber_idx
    0      25.0    ipsi          0
    1      25.0  contra          1
    """
    added = {}
    if "contrast" not in trials and "signed_contrast" in trials:
        added["contrast"] = trials["signed_contrast"].astype(float).abs()
    if "side" not in trials and {"hemisphere", "stim_side"} <= set(trials):
        signed = trials.get("signed_contrast", np.nan)
        relative = add_relative_contrast(trials.assign(signed_contrast=signed))
        added["side"] = relative["side"]
    if "fiber_idx" not in trials and {"eid", "brain_region"} <= set(trials):
        keys = [name for name in _OF_FIBER if name in trials]
        fibers = trials[keys].drop_duplicates()
        fibers = fibers.assign(fiber_idx=fibers.groupby("eid", sort=False).cumcount())
        found = trials[keys].merge(fibers, on=keys, how="left")["fiber_idx"]
        added["fiber_idx"] = found.to_numpy(dtype=np.int64)
    return trials.assign(**added) if added else trials
