"""Correction of p-values within families of tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def correct_p(
    table: pd.DataFrame, p_col: str, family: Sequence[str] = (), method: str = "holm"
) -> pd.DataFrame:
    """Add ``p_corrected`` and ``correction`` to a table of tests.

    Parameters
    ----------
    table : DataFrame
    p_col : str
        Missing values are no tests: they stay missing and do not count.
    family : sequence of str
        Columns within whose values the correction is made; none: all rows are one family.
    method : str
        Of `statsmodels.stats.multitest.multipletests`, for example 'holm' or 'fdr_bh'.

    Returns
    -------
    DataFrame
        Copy; ``correction`` names method and family, for example ``holm within event``.

    Examples
    --------
    >>> table = pd.DataFrame({"dv": ["a", "a", "b"], "p": [0.01, 0.5, 0.01]})
    >>> correct_p(table, "p", ["dv"])["p_corrected"].tolist()
    [0.02, 0.5, 0.01]
    """
    from statsmodels.stats.multitest import multipletests

    p = table[p_col].to_numpy(dtype=float, na_value=np.nan)
    corrected = np.full(len(table), np.nan)
    keys = table.groupby(list(family), sort=False).ngroup() if family else np.zeros(len(table))
    keys = np.asarray(keys)
    for key in np.unique(keys):
        here = np.flatnonzero((keys == key) & np.isfinite(p))
        if len(here):
            corrected[here] = multipletests(p[here], method=method)[1]
    name = f"{method} within {', '.join(family)}" if family else f"{method} over all rows"
    return table.assign(p_corrected=corrected, correction=name)
