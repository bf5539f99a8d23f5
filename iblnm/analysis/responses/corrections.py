"""How the recordings of each target were corrected, and whether they were corrected alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from iblnm.pipeline.rules.outcome import Outcome

if TYPE_CHECKING:
    from iblnm.config import Settings

CORRECTIONS = "corrections"
MIXED_CORRECTIONS = "mixed_corrections"
UNKNOWN = "unknown"


def count_corrections(magnitudes: pd.DataFrame) -> list[dict[str, Any]]:
    """Recordings of each target by the correction of their signal.

    Parameters
    ----------
    magnitudes : DataFrame
        Schema `iblnm.analysis.responses.tables.RESPONSE_MAGNITUDES`.

    Returns
    -------
    list of dict
        ``target_NM``, ``correction`` ('unknown' where none is stored) and ``recordings``.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"eid": ["a", "b"], "fiber_idx": 0, "target_NM": "LC-NE", "correction": [None, "x"]}
    ... )
    >>> [(row["correction"], row["recordings"]) for row in count_corrections(table)]
    [('unknown', 1), ('x', 1)]
    """
    recordings = magnitudes.drop_duplicates(["eid", "fiber_idx"])
    correction = recordings["correction"].astype(object)
    correction = correction.where(correction.notna(), UNKNOWN)
    counted = recordings.groupby([recordings["target_NM"].astype(object), correction]).size()
    return [
        {"target_NM": str(target), "correction": str(name), "recordings": int(n)}
        for (target, name), n in counted.items()
    ]


def evaluate_corrections(parameters: Mapping[str, Any], settings: Settings) -> Outcome:
    """Whether all recordings of each target were corrected alike.

    Parameters
    ----------
    parameters : mapping
        Of the table of magnitudes, with `CORRECTIONS`.
    settings : Settings
        ``cohort.unit``, for what to do.

    Returns
    -------
    Outcome
        Its value is the number of targets with more than one correction; where none is known it
        is not evaluated.
    """
    rows = [row for row in parameters.get(CORRECTIONS, ()) if row["correction"] != UNKNOWN]
    if not rows:
        return Outcome(
            MIXED_CORRECTIONS,
            True,
            "WARN",
            None,
            0,
            "No correction is stored with the signals.",
            evaluated=False,
        )
    of_target: dict[str, list[str]] = {}
    for row in rows:
        of_target.setdefault(row["target_NM"], []).append(
            f"{row['recordings']} {row['correction']}"
        )
    mixed = {target: names for target, names in of_target.items() if len(names) > 1}
    message = f"{len(mixed)} of {len(of_target)} targets mix corrections of the signal"
    if mixed:
        named = "; ".join(f"{target}: {', '.join(names)}" for target, names in mixed.items())
        message += f" ({named})"
        if settings.cohort.unit == "z":
            message += ", whose z differ in scale; IBLNM_COHORT__UNIT=dff has none"
    return Outcome(
        MIXED_CORRECTIONS,
        not mixed,
        "WARN",
        float(len(mixed)),
        0.0,
        f"{message}.",
        metadata={"recordings": rows},
    )
