"""Comparisons of groups of animals: Kruskal–Wallis over all, Mann–Whitney between pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from iblnm.errors import MissingColumnError

MIN_GROUPS = 2
PAIR_COLUMNS = (
    "group_a",
    "group_b",
    "n_a",
    "n_b",
    "statistic",
    "effect_size",
    "p",
    "p_corrected",
    "correction",
)


def kruskal_wallis(
    df: pd.DataFrame, group_col: str, value_col: str, *, unit_col: str | None = None
) -> dict[str, Any]:
    """Do the groups have one distribution? Kruskal–Wallis test.

    Parameters
    ----------
    df : DataFrame
        Rows without group or value are left out.
    group_col, value_col : str
    unit_col : str, optional
        The unit of replication, normally the subject: values are averaged over the rows of
        one unit and group before the test. By default every row is a unit.

    Returns
    -------
    dict
        ``statistic`` (H), ``df``, ``p``, ``effect_size`` (epsilon squared, H/(n − 1), 0 to
        1), ``n`` (units), ``n_groups``, ``groups`` (name to array of values). Statistic, p
        and effect are NaN with fewer than two groups or if all values are equal.

    Raises
    ------
    DataError
        If a column is missing.

    Notes
    -----
    ``scipy.stats.kruskal``; epsilon squared as in Tomczak & Tomczak (2014), Trends Sport
    Sci. 1(21), 19–25.

    Examples
    --------
    >>> df = pd.DataFrame({"g": list("aaabbb"), "x": [1.0, 2, 3, 4, 5, 6]})
    >>> test = kruskal_wallis(df, "g", "x")
    >>> round(test["statistic"], 3), round(test["p"], 4), round(test["effect_size"], 3)
    (3.857, 0.0495, 0.771)
    """
    from scipy.stats import kruskal

    values = unit_means(df, group_col, value_col, unit_col)
    groups = {
        name: part.to_numpy(dtype=float) for name, part in values.groupby(level=0, sort=True)
    }
    n = len(values)
    statistic = p = effect = np.nan
    if len(groups) >= MIN_GROUPS and np.ptp(values.to_numpy()) > 0:
        statistic, p = (float(x) for x in kruskal(*groups.values()))
        effect = statistic / (n - 1)
    return {
        "statistic": statistic,
        "df": max(len(groups) - 1, 0),
        "p": p,
        "effect_size": effect,
        "n": n,
        "n_groups": len(groups),
        "groups": groups,
    }


def unit_means(
    df: pd.DataFrame, group_col: str, value_col: str, unit_col: str | None = None
) -> pd.Series:
    """Values by group, averaged over the rows of one unit; see `kruskal_wallis`.

    Returns
    -------
    Series
        Index: group, and unit if there is one.

    Raises
    ------
    DataError
        If a column is missing.
    """
    names = [group_col, value_col, *([unit_col] if unit_col else [])]
    missing = [name for name in names if name not in df]
    if missing:
        raise MissingColumnError(f"no column {', '.join(missing)} to compare groups by")
    known = df[names].dropna()
    if unit_col:
        keys = [known[group_col].astype(object), known[unit_col].astype(object)]
        return known[value_col].astype(float).groupby(keys).mean()
    return known[value_col].astype(float).set_axis(pd.Index(known[group_col].astype(object)))


def mann_whitney_pairs(
    groups: Mapping[Any, Sequence[float]], correction: str = "bonferroni"
) -> pd.DataFrame:
    """Two-sided Mann–Whitney test between every two groups, corrected over the pairs.

    Parameters
    ----------
    groups : mapping of name to array
        Values of independent units, normally means of subjects. NaN is left out.
    correction : str
        Method of ``statsmodels.stats.multitest.multipletests``: 'bonferroni', 'holm',
        'fdr_bh', ...

    Returns
    -------
    DataFrame
        One row per pair: ``group_a``, ``group_b``, ``n_a``, ``n_b``, ``statistic`` (U of
        a), ``effect_size`` (rank-biserial correlation, 2U/(n_a·n_b) − 1: 1 if every value
        of a exceeds every value of b), ``p``, ``p_corrected``, ``correction``. Pairs with
        an empty group are not tested and do not count for the correction.

    Notes
    -----
    ``scipy.stats.mannwhitneyu``: exact where the smaller group has at most 8 values and
    nothing ties.

    Examples
    --------
    >>> table = mann_whitney_pairs({"a": [1.0, 2, 3], "b": [4.0, 5, 6]})
    >>> table[["statistic", "effect_size", "p"]].to_numpy().tolist()
    [[0.0, -1.0, 0.1]]
    """
    from scipy.stats import mannwhitneyu
    from statsmodels.stats.multitest import multipletests

    finite = {}
    for name, values in groups.items():
        array = np.asarray(values, dtype=float)
        finite[name] = array[np.isfinite(array)]
    rows = []
    for a, b in combinations(finite, 2):
        x, y = finite[a], finite[b]
        row = dict.fromkeys(PAIR_COLUMNS, np.nan)
        row |= {"group_a": a, "group_b": b, "n_a": x.size, "n_b": y.size}
        if x.size and y.size:
            statistic, p = mannwhitneyu(x, y, alternative="two-sided")
            row |= {"statistic": statistic, "p": p}
            row["effect_size"] = 2 * statistic / (x.size * y.size) - 1
        rows.append(row | {"correction": correction})
    table = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    tested = table["p"].notna()
    if tested.any():
        corrected = multipletests(table.loc[tested, "p"], method=correction)[1]
        table.loc[tested, "p_corrected"] = corrected
    return table
