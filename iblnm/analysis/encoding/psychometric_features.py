"""Psychometric parameters relative to the side of each recording's fiber."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iblnm.analysis.encoding.glm import recording_index
from iblnm.task.contrasts import require_columns

PARAMETERS = ("threshold", "lateral_bias", "lapse_contra", "lapse_ipsi")
UNBIASED_BLOCK = "50"


def psychometric_features(
    recordings: pd.DataFrame,
    performance: pd.DataFrame,
    params: Sequence[str] = PARAMETERS,
    *,
    block: str = UNBIASED_BLOCK,
) -> pd.DataFrame:
    """Parameters of the session's curve, named by the hemisphere of the recording.

    Parameters
    ----------
    recordings : DataFrame
        ``eid``, ``target_NM``, ``fiber_idx`` and ``hemisphere`` ('l', 'r' or null).
    performance : DataFrame
        Schema `iblnm.schemas.PERFORMANCE`.
    params : sequence of str
        Some of `PARAMETERS`.
    block : {'50', '20', '80'}
        100 times the left probability of the block.

    Returns
    -------
    DataFrame
        Index (eid, target_NM, fiber_idx); one column per parameter. ``lateral_bias`` is the
        bias in contrast that is positive on the contralateral side [%]: a positive one
        means fewer contralateral choices. ``lapse_contra`` and ``lapse_ipsi`` are the errors
        on strong stimuli of that side. Without a hemisphere all but ``threshold`` are NaN;
        recordings without a fit are NaN throughout.

    Raises
    ------
    MalformedFileError
        If a column is missing.
    ValueError
        For a parameter that is not known.

    Examples
    --------
    >>> recordings = pd.DataFrame(
    ...     {"eid": "a", "target_NM": "DR-5HT", "fiber_idx": [0, 1], "hemisphere": ["l", "r"]}
    ... )
    >>> fit = {"bias": 5.0, "threshold": 20.0, "lapse_left": 0.01, "lapse_right": 0.1}
    >>> performance = pd.DataFrame([{"eid": "a"} | {f"psych_50_{k}": v for k, v in fit.items()}])
    >>> psychometric_features(recordings, performance).reset_index(drop=True)
       threshold  lateral_bias  lapse_contra  lapse_ipsi
    0       20.0           5.0          0.10        0.01
    1       20.0          -5.0          0.01        0.10
    """
    unknown = [name for name in params if name not in PARAMETERS]
    if unknown:
        raise ValueError(
            f"parameters {', '.join(unknown)} are unknown; known are {', '.join(PARAMETERS)}"
        )
    columns = {
        name: f"psych_{block}_{name}"
        for name in ("bias", "threshold", "lapse_left", "lapse_right")
    }
    require_columns(recordings, ("eid", "target_NM", "fiber_idx", "hemisphere"))
    require_columns(performance, ("eid", *columns.values()))
    sessions = performance.drop_duplicates("eid").set_index("eid")
    fits = sessions.reindex(recordings["eid"])
    bias, threshold, left, right = (
        fits[column].to_numpy(dtype=float, na_value=np.nan) for column in columns.values()
    )
    side = recordings["hemisphere"].to_numpy(dtype=object, na_value=None)
    on_left, on_right = side == "l", side == "r"
    values = {
        "threshold": threshold,
        "lateral_bias": np.where(on_left, bias, np.where(on_right, -bias, np.nan)),
        "lapse_contra": np.where(on_left, right, np.where(on_right, left, np.nan)),
        "lapse_ipsi": np.where(on_left, left, np.where(on_right, right, np.nan)),
    }
    return pd.DataFrame(values, index=recording_index(recordings))[list(params)]
