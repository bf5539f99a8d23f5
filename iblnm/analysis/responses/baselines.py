"""What a short baseline costs: the trials that its noise must be averaged out with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.analysis.trials import early_responses
from iblnm.signal.perievent import in_window, mean_of_finite

if TYPE_CHECKING:
    import xarray as xr

LONGER_S = (0.5, 1.0)
"""Lengths of the baselines that the one of the settings is held against [s]."""
CONDITIONS = ("signed_contrast", "feedbackType")
_MIN_TRIALS_PER_RECORDING = 20

Ratios = list[tuple[str | None, dict[tuple[str, float], float]]]
"""Of each recording its target and its `noise_ratios`."""


def noise_ratios(
    responses: xr.DataArray,
    trials: pd.DataFrame,
    *,
    baseline_window: tuple[float, float],
    longer_s: Sequence[float] = LONGER_S,
    **parameters: Any,
) -> dict[tuple[str, float], float]:
    """Variance of single trials, relative to what a longer baseline would leave.

    A magnitude is the mean of its window minus the mean of its baseline, and has the noise of
    both. As the standard error falls with the root of the number of trials, a variance twice as
    large takes twice the trials.

    Parameters
    ----------
    responses : DataArray (event, trial, time)
        Peri-event signal of one recording; ``trial`` holds row positions of `trials`.
    trials : DataFrame
        With `CONDITIONS`, and the times of the events, s.
    baseline_window : tuple of float
        Start and end (excluded) from the event, s. The longer ones end where it ends.
    longer_s : sequence of float
        Their lengths, s. One that begins before the stored response is left out.
    **parameters
        As for `iblnm.analysis.trials.early_responses`.

    Returns
    -------
    dict of (str, float) to float
        By event and length: variance within conditions with `baseline_window`, over that with
        the longer one, of the trials that have both; conditions are signed contrast and
        outcome. Events with fewer than 20 such trials are left out.
    """
    short = early_responses(responses, trials, baseline_window=baseline_window, **parameters)[0]
    stop = baseline_window[1]
    time = responses["time"].to_numpy()
    values = responses.transpose("event", "trial", "time").to_numpy()
    before = mean_of_finite(values[..., in_window(time, baseline_window)])[0]
    first = float(time.min()) - float(np.median(np.diff(time))) / 2
    codes = _condition_codes(trials.iloc[responses["trial"].to_numpy()])
    ratios = {}
    for length in longer_s:
        start = stop - length
        if start < first or start >= baseline_window[0]:
            continue
        long = short + before - mean_of_finite(values[..., in_window(time, (start, stop))])[0]
        for event, a, b in zip(responses["event"].to_numpy(), short, long, strict=True):
            both = np.isfinite(a) & np.isfinite(b) & (codes >= 0)
            noise = _within(b[both], codes[both])
            if both.sum() >= _MIN_TRIALS_PER_RECORDING and noise > 0:
                ratios[str(event), float(length)] = _within(a[both], codes[both]) / noise
    return ratios


def baseline_costs(
    ratios: Ratios,
) -> list[dict[str, Any]]:
    """The middle recording of each target and event.

    Parameters
    ----------
    ratios : list of (target, dict)
        Of each recording; see `noise_ratios`. A recording without target is left out.

    Returns
    -------
    list of dict
        ``target_NM``, ``event``, ``against_s`` (length of the longer baseline),
        ``trials_factor`` (median over recordings) and ``recordings``.

    Examples
    --------
    >>> found = {("feedback_times", 0.5): 2.0}
    >>> baseline_costs([("LC-NE", found)])[0]["trials_factor"]
    2.0
    """
    rows = [
        {"target_NM": target, "event": event, "against_s": length, "ratio": ratio}
        for target, found in ratios
        if target is not None
        for (event, length), ratio in found.items()
    ]
    if not rows:
        return []
    keys = ["target_NM", "event", "against_s"]
    table = pd.DataFrame(rows).groupby(keys)["ratio"].agg(["median", "size"])
    return [
        dict(zip(keys, key, strict=True))
        | {"trials_factor": float(row["median"]), "recordings": int(row["size"])}
        for key, row in table.iterrows()
    ]


def cost_note(costs: Sequence[dict[str, Any]], baseline_window: tuple[float, float]) -> str | None:
    """A sentence of what the baseline of the settings costs; None if that is not known.

    Parameters
    ----------
    costs : sequence of dict
        See `baseline_costs`.
    baseline_window : tuple of float
        Of the settings, s.
    """
    if not costs:
        return None
    parts = []
    for length in sorted({row["against_s"] for row in costs}):
        factors = [row["trials_factor"] for row in costs if row["against_s"] == length]
        parts.append(f"{min(factors):.1f} to {max(factors):.1f} times those of {length:g} s")
    length = baseline_window[1] - baseline_window[0]
    return (
        f"Trials that a baseline of {length:g} s (IBLNM_SIGNAL__BASELINE_WINDOW) takes for one "
        f"precision: {', '.join(parts)}, over targets and events; a longer baseline has less "
        "noise, and reaches further into what came before."
    )


def _condition_codes(trials: pd.DataFrame) -> np.ndarray:
    known = trials[list(CONDITIONS)].notna().all(axis=1).to_numpy()
    codes = trials.groupby(list(CONDITIONS), dropna=False).ngroup().to_numpy()
    return np.where(known, codes, -1)


def _within(values: np.ndarray, codes: np.ndarray) -> float:
    """Variance about the means of the groups, with the degrees of freedom that are left."""
    if values.size == 0:
        return 0.0
    counts = np.bincount(codes)
    sums = np.bincount(codes, values)
    means = np.divide(sums, counts, out=np.zeros(counts.size), where=counts > 0)
    left = values.size - np.count_nonzero(counts)
    return float(np.sum((values - means[codes]) ** 2) / left) if left > 0 else 0.0
