"""Comparisons of groups of animals: Kruskal–Wallis over all, Mann–Whitney between pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from math import comb, factorial, prod
from typing import Any

import numpy as np
import pandas as pd

from iblnm.errors import MissingColumnError

MIN_GROUPS = 2
LEVEL = 0.05
_MAX_ORDERED = 7
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
    "note",
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


def least_p(sizes: Sequence[int]) -> float:
    """Smallest p that a rank test of groups can reach, however far apart they are.

    Parameters
    ----------
    sizes : sequence of int
        Values of each group.

    Returns
    -------
    float
        Of two groups that of the exact Mann–Whitney test, of more that of the exact
        Kruskal–Wallis test; 0 where more than seven groups are too many to count, 1 with fewer
        than two.

    Examples
    --------
    >>> least_p([3, 3]), round(least_p([2, 2, 2]), 3)
    (0.1, 0.067)
    """
    sizes = [size for size in sizes if size > 0]
    if len(sizes) < MIN_GROUPS:
        return 1.0
    if len(sizes) == MIN_GROUPS:
        return min(1.0, 2 / comb(sum(sizes), sizes[0]))
    if len(sizes) > _MAX_ORDERED:
        return 1.0 if max(sizes) == 1 else 0.0
    # H is largest where the groups follow each other without overlap, in one order or several
    spread = [_spread_of_ranks(order) for order in permutations(sizes)]
    n_largest = int(np.isclose(spread, max(spread)).sum())
    divisions = factorial(sum(sizes)) // prod(factorial(size) for size in sizes)
    return min(1.0, n_largest / divisions)


def _spread_of_ranks(sizes: Sequence[int]) -> float:
    ends = np.cumsum(sizes)
    starts = ends - np.asarray(sizes)
    mean = (starts + ends + 1) / 2
    return float((np.asarray(sizes) * (mean - (ends[-1] + 1) / 2) ** 2).sum())


def cannot_reject(sizes: Sequence[int], level: float = LEVEL) -> str | None:
    """Why groups of these sizes are not worth a test, None where they are.

    Examples
    --------
    >>> cannot_reject([3, 2])
    'with 3 and 2 animals no p under 0.05 is possible'
    >>> cannot_reject([4, 4]) is None
    True
    """
    if least_p(sizes) < level:
        return None
    if len(sizes) < MIN_GROUPS:
        return "there are fewer than two groups"
    *most, last = [str(size) for size in sizes]
    named = f"{', '.join(most)} and {last}" if most else last
    return f"with {named} animals no p under {level:g} is possible"


def mann_whitney_pairs(
    groups: Mapping[Any, Sequence[float]],
    correction: str = "bonferroni",
    *,
    only_possible: bool = False,
) -> pd.DataFrame:
    """Two-sided Mann–Whitney test between every two groups, corrected over the pairs.

    Parameters
    ----------
    groups : mapping of name to array
        Values of independent units, normally means of subjects. NaN is left out.
    correction : str
        Method of ``statsmodels.stats.multitest.multipletests``: 'bonferroni', 'holm',
        'fdr_bh', ...
    only_possible : bool
        Test only what can be significant: no pair of which the test cannot reject, and none at
        all where the Kruskal–Wallis test of all groups cannot, see `cannot_reject`. Such pairs
        have a ``note`` in place of a p and do not count for the correction.

    Returns
    -------
    DataFrame
        One row per pair: ``group_a``, ``group_b``, ``n_a``, ``n_b``, ``statistic`` (U of
        a), ``effect_size`` (rank-biserial correlation, 2U/(n_a·n_b) − 1: 1 if every value
        of a exceeds every value of b), ``p``, ``p_corrected``, ``correction``, ``note``.
        Pairs with an empty group are not tested and do not count for the correction.

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
    overall = cannot_reject([x.size for x in finite.values()]) if only_possible else None
    rows = []
    for a, b in combinations(finite, 2):
        x, y = finite[a], finite[b]
        row = dict.fromkeys(PAIR_COLUMNS, np.nan)
        row |= {"group_a": a, "group_b": b, "n_a": x.size, "n_b": y.size, "note": None}
        if x.size and y.size:
            statistic, p = mannwhitneyu(x, y, alternative="two-sided")
            row["effect_size"] = 2 * statistic / (x.size * y.size) - 1
            own = cannot_reject([x.size, y.size]) if only_possible else None
            why = f"over all: {overall}" if overall else own
            row |= {"statistic": statistic, "p": np.nan if why else p, "note": why}
        rows.append(row | {"correction": correction})
    table = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    tested = table["p"].notna()
    if tested.any():
        corrected = multipletests(table.loc[tested, "p"], method=correction)[1]
        table.loc[tested, "p_corrected"] = corrected
    return table
