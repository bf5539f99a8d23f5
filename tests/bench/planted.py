"""Planted coefficients of the demo's responses, as the tables of results should report them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

KEYS = ["target_NM", "event", "term"]


def of_population(truth: Mapping[str, Any]) -> pd.Series:
    """Mean over all animals that could be: by target, event and term, in dF/F."""
    models = truth["coefficients"]["models"]
    values = {
        (target, event, term): value
        for target, events in models.items()
        for event, terms in events.items()
        for term, value in terms.items()
    }
    return pd.Series(values).rename_axis(KEYS)


def of_recordings(truth: Mapping[str, Any]) -> pd.DataFrame:
    """What each recording has of it: ``eid``, ``fiber_idx``, `KEYS`, ``planted`` in dF/F."""
    factor = truth["coefficients"]["early_factor"]
    rows = [
        (session["eid"], i, target, event, term, factor * value)
        for session in truth["sessions"]
        for i, (target, roi) in enumerate(zip(session["target_NM"], session["roi"], strict=True))
        for event, terms in session["photometry"][roi]["effects"].items()
        for term, value in terms.items()
    ]
    return pd.DataFrame(rows, columns=["eid", "fiber_idx", *KEYS, "planted"])


def of_animals(truth: Mapping[str, Any], trials: pd.DataFrame) -> pd.Series:
    """Mean over the animals of these trials, each by its trials, of what was planted in them.

    Parameters
    ----------
    truth : mapping
    trials : DataFrame
        Those of the models: ``eid``, ``fiber_idx``, ``event``, ``subject``.
    """
    recorded = ["eid", "fiber_idx", "event"]
    n = trials.groupby([*recorded, "subject"], observed=True).size().rename("n").reset_index()
    own = of_recordings(truth).merge(n, on=recorded)
    own["weighted"] = own["planted"] * own["n"]
    sums = own.groupby([*KEYS, "subject"])[["weighted", "n"]].sum()
    return (sums["weighted"] / sums["n"]).groupby(level=KEYS).mean()
