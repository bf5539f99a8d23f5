"""Choices, reaction times and wheel of a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from iblnm.viewer.contents import Contents, NotThereError
from iblnm.viewer.panel import Axis, Panel
from iblnm.viewer.wire import Packer

_BLOCKS = {"50": 0.5, "20": 0.2, "80": 0.8}
_Z_95 = 1.959964
_WHEEL_S = 2.0
_WHEEL_STEP = 2


def psychometric_panel(
    contents: Contents, packer: Packer, axis: Axis, recording: Mapping[str, Any]
) -> dict[str, Any]:
    """Share of rightward choices at every contrast, with the stored fits."""
    del packer, axis, recording
    trials = contents.need("trials")
    performance = contents.stored.get("performance")
    row = {} if performance is None or performance.empty else performance.iloc[0].to_dict()
    blocks = [entry for name in _BLOCKS if (entry := _block(trials, row, name))]
    if not blocks:
        raise NotThereError("No trial has a contrast and a choice.")
    note = contents.why_missing("performance") if not row else ""
    return {"blocks": blocks, "note": f"No fit: {note}" if note else ""}


def reaction_panel(
    contents: Contents, packer: Packer, axis: Axis, recording: Mapping[str, Any]
) -> dict[str, Any]:
    """Reaction time of every trial over the session, by outcome."""
    del axis, recording
    trials = contents.need("trials")
    reaction = trials["reaction_time"].to_numpy(dtype=float, na_value=np.nan)
    feedback = trials["feedbackType"].to_numpy(dtype=float, na_value=np.nan)
    if not np.isfinite(reaction).any():
        raise NotThereError("No trial has both a stimulus onset and a first movement.")
    groups = []
    for label, value in (("correct", 1), ("error", -1)):
        chosen = np.flatnonzero((feedback == value) & np.isfinite(reaction))
        values = reaction[chosen]
        groups.append(
            {
                "label": label,
                "x": packer.array(chosen + 1, "f4"),
                "y": packer.array(values, "f4"),
                "median": float(np.median(values)) if values.size else None,
                "n": int(values.size),
            }
        )
    negative = int((reaction < 0).sum())
    missing = int((~np.isfinite(reaction)).sum())
    notes = [f"{missing} of {len(reaction)} trials without reaction time"] if missing else []
    notes += [f"{negative} negative, at the lower edge"] if negative else []
    return {
        "x_label": "trial",
        "y_label": "reaction time (s)",
        "n": len(trials),
        "groups": groups,
        "note": "; ".join(notes),
    }


def wheel_panel(
    contents: Contents, packer: Packer, axis: Axis, recording: Mapping[str, Any]
) -> dict[str, Any]:
    """Mean wheel velocity from the stimulus on, by choice, while trials last."""
    from iblnm.vis.panels import mean_and_sem

    del axis, recording
    velocity, trials = contents.need("wheel_velocity"), contents.need("trials")
    time = velocity["time"].to_numpy()
    shown = slice(0, int(np.searchsorted(time, _WHEEL_S + 1e-9)), _WHEEL_STEP)
    values = velocity.transpose("trial", "time").to_numpy()[:, shown]
    choice = trials["choice"].to_numpy(dtype=float, na_value=np.nan)
    choice = choice[velocity["trial"].to_numpy()]
    groups = []
    for label, code in (("left choice", 1), ("right choice", -1), ("no choice", 0)):
        chosen = values[(choice == code) & np.isfinite(values).any(axis=1)]
        if len(chosen):
            mean, sem = mean_and_sem(chosen)
            groups.append(
                {
                    "label": label,
                    "n": len(chosen),
                    "mean": packer.array(mean, "i2"),
                    "sem": packer.array(sem, "i2"),
                }
            )
    if not groups:
        raise NotThereError("No trial has wheel samples between stimulus and feedback.")
    return {
        "x_label": "time from stimulus onset (s)",
        "y_label": "wheel velocity (rad/s)",
        "time": packer.array(time[shown], "f4"),
        "groups": groups,
        "note": "trials end at their feedback: later points rest on fewer trials",
    }


def _block(trials: pd.DataFrame, row: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    contrast = trials["signed_contrast"].to_numpy(dtype=float, na_value=np.nan)
    choice = trials["choice"].to_numpy(dtype=float, na_value=np.nan)
    block = trials["probabilityLeft"].to_numpy(dtype=float, na_value=np.nan)
    used = np.isclose(block, _BLOCKS[name]) & np.isfinite(contrast) & np.isin(choice, (-1, 1))
    if not used.any():
        return None
    levels, level_of = np.unique(contrast[used], return_inverse=True)
    n = np.bincount(level_of)
    right = np.bincount(level_of, weights=choice[used] == -1)
    low, high = _wilson(right, n)
    return {
        "label": f"P(left) = {_BLOCKS[name]:g}",
        "block": name,
        "x": levels,
        "p": right / n,
        "low": low,
        "high": high,
        "n": n,
        "fit": _fit(row, name, levels),
    }


def _fit(row: Mapping[str, Any], name: str, levels: np.ndarray) -> dict[str, Any] | None:
    from iblnm.task._erf_fit import probability_right

    keys = ("bias", "threshold", "lapse_left", "lapse_right")
    parameters = [row.get(f"psych_{name}_{key}") for key in keys]
    if any(value is None or pd.isna(value) for value in parameters):
        return None
    x = np.linspace(levels.min(), levels.max(), 101)
    at_bound = row.get(f"psych_{name}_at_bound")
    return {
        "x": x,
        "p": probability_right(np.array(parameters, dtype=float), x),
        **dict(zip(keys, map(float, parameters), strict=True)),
        "at_bound": bool(at_bound) if pd.notna(at_bound) else None,
    }


def _wilson(hits: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95 % interval of a share."""
    share, z2 = hits / n, _Z_95**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z_95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return center - half, center + half


PSYCHOMETRIC = Panel("psychometric", "Choices", "psychometric", "session", psychometric_panel)
REACTION = Panel("reaction", "Reaction times", "scatter", "session", reaction_panel)
WHEEL = Panel("wheel", "Wheel velocity", "means", "session", wheel_panel)
