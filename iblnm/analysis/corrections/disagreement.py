"""Whether the early response depends on the correction: documented chain against ratio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.pipeline.rules.outcome import Outcome
from iblnm.signal.chains import RATIO

if TYPE_CHECKING:
    from iblnm.config import Settings

CHAIN_DISAGREEMENT = "chain_disagreement"
DISAGREEMENTS = "chain_disagreements"


def disagreements(magnitudes: pd.DataFrame) -> list[dict[str, Any]]:
    """By how much the ratio's early response differs, for each target and event.

    Parameters
    ----------
    magnitudes : DataFrame
        Schema `iblnm.analysis.corrections.tables.CHAIN_MAGNITUDES`.

    Returns
    -------
    list of dict
        ``target_NM``, ``event``, ``recordings`` with a difference, ``difference`` (the median of
        its absolute value over them) and ``largest``.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {
    ...         "target_NM": "LC-NE",
    ...         "event": "stimOn_times",
    ...         "chain": ["documented", "dexp_ratio", "dexp_ratio"],
    ...         "difference": [0.0, -0.5, 0.1],
    ...     }
    ... )
    >>> disagreements(table)[0]["difference"]
    0.3
    """
    own = magnitudes[magnitudes["chain"] == RATIO].dropna(subset=["difference", "target_NM"])
    sizes = own["difference"].astype(float).abs()
    grouped = sizes.groupby([own["target_NM"].astype(object), own["event"].astype(object)])
    return [
        {
            "target_NM": str(target),
            "event": str(event),
            "recordings": len(values),
            "difference": round(float(values.median()), 6),
            "largest": round(float(values.max()), 6),
        }
        for (target, event), values in grouped
    ]


def evaluate_disagreement(parameters: Mapping[str, Any], settings: Settings) -> Outcome:
    """Whether documented chain and ratio give the same early response.

    Parameters
    ----------
    parameters : mapping
        Of the benchmark, with `DISAGREEMENTS`.
    settings : Settings
        ``chains.max_disagreement``.

    Returns
    -------
    Outcome
        Its value is the largest median of a target and event; without a response that stands out
        from 0 under the documented chain, in a recording with a reference, it is not evaluated.
    """
    limit = settings.chains.max_disagreement
    rows = sorted(parameters.get(DISAGREEMENTS, ()), key=lambda row: -row["difference"])
    if not rows:
        return Outcome(
            CHAIN_DISAGREEMENT,
            True,
            "WARN",
            None,
            limit,
            "No compared recording has a reference and an early response that differs from 0.",
            evaluated=False,
        )
    beyond = [row for row in rows if row["difference"] > limit]
    worst = rows[0]
    message = (
        f"The early response differs by more than {limit:.0%} between the documented chain and "
        f"the ratio of the bands in {len(beyond)} of {len(rows)} combinations of target and "
        f"event; most in {worst['target_NM']} at {worst['event']}: {worst['difference']:.0%} "
        f"({worst['recordings']} recordings). The documented chain removes what is slower than "
        "about 100 s, as effects of blocks, with the bleaching; the ratio keeps it."
    )
    return Outcome(
        CHAIN_DISAGREEMENT,
        not beyond,
        "WARN",
        worst["difference"],
        limit,
        message,
        metadata={"differences": rows},
    )
