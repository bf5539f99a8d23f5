"""What a whole window costs: trials that are left of each target and event, and the check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.pipeline.rules.outcome import Outcome

if TYPE_CHECKING:
    from iblnm.config import Settings

REMAINING = "remaining_trials"
FEW_WHOLE_WINDOWS = "few_whole_windows"


def remaining_trials(
    trials: pd.DataFrame, response_col: str = "response_early"
) -> list[dict[str, Any]]:
    """Trials of each target and event, and how many of them have a response.

    Parameters
    ----------
    trials : DataFrame
        ``target_NM``, ``event`` and the response, of trials that all other criteria select.
    response_col : str

    Returns
    -------
    list of dict
        ``target_NM``, ``event``, ``trials``, ``with_response`` and ``share``, by target;
        trials of several fibers count once each.

    Examples
    --------
    >>> trials = pd.DataFrame(
    ...     {"target_NM": "LC-NE", "event": "stimOn_times", "response_early": [1.0, np.nan]}
    ... )
    >>> remaining_trials(trials)[0]["share"]
    0.5
    """
    known = np.isfinite(trials[response_col].to_numpy(dtype=float, na_value=np.nan))
    keys = [trials["target_NM"].to_numpy(object), trials["event"].to_numpy(object)]
    counted = pd.Series(known).groupby(keys).agg(["size", "sum"])
    return [
        {
            "target_NM": str(target),
            "event": str(event),
            "trials": int(row["size"]),
            "with_response": int(row["sum"]),
            "share": float(row["sum"] / row["size"]),
        }
        for (target, event), row in counted.iterrows()
    ]


def evaluate_whole_windows(parameters: Mapping[str, Any], settings: Settings) -> Outcome:
    """Whether enough trials of every target and event have a magnitude.

    Parameters
    ----------
    parameters : mapping
        Of the table of magnitudes, with `REMAINING`.
    settings : Settings
        ``cohort.min_whole_share``.

    Returns
    -------
    Outcome
        Its value is the smallest share; without any trial it is not evaluated.
    """
    limit = settings.cohort.min_whole_share
    rows = list(parameters.get(REMAINING, ()))
    if not rows:
        return Outcome(
            FEW_WHOLE_WINDOWS,
            True,
            "WARN",
            None,
            limit,
            "No trial was selected.",
            evaluated=False,
        )
    rows = sorted(rows, key=lambda row: row["share"])
    few = [row for row in rows if row["share"] < limit]
    least = rows[0]
    message = (
        f"{len(few)} of {len(rows)} combinations of target and event keep fewer than {limit:.0%} "
        f"of their trials with a whole window; fewest {least['target_NM']} at {least['event']}: "
        f"{least['with_response']} of {least['trials']} ({least['share']:.0%})."
    )
    return Outcome(
        FEW_WHOLE_WINDOWS,
        not few,
        "WARN",
        least["share"],
        limit,
        message,
        metadata={"trials": rows},
    )
