"""The one selection of trials that all analyses share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iblnm.config import CohortSettings
from iblnm.errors import MalformedFileError

_DEFAULT = CohortSettings()


def select_trials(
    table: pd.DataFrame,
    *,
    probability_left: float | None = _DEFAULT.probability_left,
    min_response_time_s: float | None = _DEFAULT.min_response_time_s,
    exclude_nogo: bool = True,
    response_col: str | None = "response_early",
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Trials of the unbiased block with a choice, a plausible time and a response.

    Parameters
    ----------
    table : DataFrame
        One row per trial, or per recording, event and trial; the columns of the criteria
        that are applied: ``probabilityLeft``, ``response_time`` (s), ``choice`` (0 is no
        choice) and `response_col`.
    probability_left : float, optional
        Block to keep; None keeps all.
    min_response_time_s : float, optional
        Trials with this response time or a shorter one, and those without one, are left out;
        None keeps all.
    exclude_nogo : bool
        Whether trials without a choice are left out.
    response_col : str, optional
        Rows without a finite value in this column are left out; None keeps all.

    Returns
    -------
    selected : DataFrame
        Rows of `table`, index and order kept.
    counts : dict of str to int
        ``candidate`` rows, then what each criterion removed of what the ones before it left
        (``other_block``, ``no_choice``, ``too_fast``, ``no_response``; only those applied),
        and ``eligible`` rows.

    Raises
    ------
    MalformedFileError
        If the table lacks a column that a criterion needs.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {
    ...         "probabilityLeft": [0.5, 0.5, 0.8],
    ...         "choice": [1, 0, 1],
    ...         "response_time": [0.4, 60.0, 0.4],
    ...         "response_early": [0.1, 0.2, 0.3],
    ...     }
    ... )
    >>> select_trials(table)[1]
    {'candidate': 3, 'other_block': 1, 'no_choice': 1, 'too_fast': 0, 'no_response': 0, \
'eligible': 1}
    """
    criteria: list[tuple[str, str]] = []
    if probability_left is not None:
        criteria.append(("other_block", "probabilityLeft"))
    if exclude_nogo:
        criteria.append(("no_choice", "choice"))
    if min_response_time_s is not None:
        criteria.append(("too_fast", "response_time"))
    if response_col is not None:
        criteria.append(("no_response", response_col))
    missing = [column for _, column in criteria if column not in table]
    if missing:
        raise MalformedFileError(
            f"the table of trials has no column {', '.join(missing)}; pass None or False to "
            "leave a criterion out"
        )
    keep = np.ones(len(table), dtype=bool)
    counts = {"candidate": len(table)}
    for name, column in criteria:
        values = table[column].to_numpy(dtype=float, na_value=np.nan)
        if name == "other_block":
            passed = np.isclose(values, probability_left)
        elif name == "no_choice":
            passed = np.isfinite(values) & (values != 0)
        elif name == "too_fast":
            passed = values > min_response_time_s
        else:
            passed = np.isfinite(values)
        counts[name] = int((keep & ~passed).sum())
        keep &= passed
    counts["eligible"] = int(keep.sum())
    return table[keep], counts
