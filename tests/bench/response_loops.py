"""Responses and features trial by trial: the oracle of the tests and of the benchmark."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

EVENTS = ("stimOn_times", "firstMovement_times", "feedback_times")
TIME = np.arange(-30, 30) / 30
CONTRASTS = (0.0, 6.25, 12.5, 25.0, 100.0)


def simulate(seed: int, n_trials: int = 300) -> tuple[xr.DataArray, pd.DataFrame]:
    """Responses and trials of one recording: noise, missing events and samples."""
    from iblnm.task import add_trial_columns

    rng = np.random.default_rng(seed)
    contrast = rng.choice(CONTRASTS, n_trials) / 100
    on_left = rng.random(n_trials) < 0.5
    correct = rng.random(n_trials) < 0.75
    choice = np.where(on_left == correct, 1.0, -1.0)
    nogo = rng.random(n_trials) < 0.04
    stim = 5.0 + 4.0 * np.arange(n_trials)
    movement = stim + rng.gamma(2.0, 0.12, n_trials)
    movement[rng.random(n_trials) < 0.03] = np.nan
    feedback = np.fmax(movement, stim) + rng.gamma(2.0, 0.1, n_trials)
    trials = pd.DataFrame(
        {
            "stimOn_times": stim,
            "firstMovement_times": movement,
            "feedback_times": feedback,
            "contrastLeft": np.where(on_left, contrast, np.nan),
            "contrastRight": np.where(on_left, np.nan, contrast),
            "choice": np.where(nogo, 0.0, choice),
            "feedbackType": np.where(correct & ~nogo, 1.0, -1.0),
            "probabilityLeft": np.where(np.arange(n_trials) < n_trials // 2, 0.5, 0.8),
        }
    )
    values = rng.normal(size=(len(EVENTS), n_trials, len(TIME)))
    values[:, rng.random(n_trials) < 0.02] = np.nan
    values[rng.random(values.shape) < 0.01] = np.nan
    values[1, np.isnan(movement)] = np.nan
    responses = xr.DataArray(
        values,
        dims=("event", "trial", "time"),
        coords={"event": list(EVENTS), "trial": np.arange(n_trials), "time": TIME},
        attrs={"fs": 30.0, "units": "z", "response_window": [-1.0, 1.0]},
    )
    return responses, add_trial_columns(trials)


def loop_magnitudes(
    responses: xr.DataArray,
    trials: pd.DataFrame,
    hemisphere: str | None = "l",
    *,
    baseline: tuple[float, float] = (-0.1, 0.0),
    window: tuple[float, float] = (0.1, 0.35),
    min_samples: int = 1,
) -> pd.DataFrame:
    """Early response of one recording, one trial after the other."""
    time = responses["time"].to_numpy()
    small = 1e-6
    rows = []
    for event in responses["event"].to_numpy():
        later = EVENTS[EVENTS.index(event) + 1 :]
        traces = responses.sel(event=event).to_numpy()
        for position, trial in enumerate(responses["trial"].to_numpy()):
            row = trials.iloc[trial]
            following = [row[name] for name in later if not np.isnan(row[name])]
            end = max(following[0] - row[event], 0.0) if following else np.inf
            before, values = [], []
            for t, value in zip(time, traces[position], strict=True):
                if np.isnan(value):
                    continue
                if baseline[0] - small <= t < baseline[1] - small:
                    before.append(value)
                if window[0] - small <= t < window[1] - small and not t >= end:
                    values.append(value)
            known = before and len(values) >= min_samples
            laterality = None
            if hemisphere is not None:
                opposite = {"l": "right", "r": "left"}[hemisphere]
                laterality = "contra" if row["stim_side"] == opposite else "ipsi"
            rows.append(
                {
                    "event": event,
                    "trial": trial,
                    "contrast": row["contrast"],
                    "side": laterality,
                    "choice": row["choice"],
                    "feedbackType": row["feedbackType"],
                    "probabilityLeft": row["probabilityLeft"],
                    "response_time": row["response_time"],
                    "response_early": np.mean(values) - np.mean(before) if known else np.nan,
                    "n_samples": len(values),
                }
            )
    return pd.DataFrame(rows)


def loop_features(magnitudes: pd.DataFrame, min_trials: int = 5) -> pd.DataFrame:
    """Mean response per recording and condition, one trial after the other."""
    cells: dict[tuple, dict[str, list[float]]] = {}
    for row in magnitudes.itertuples():
        cell = cells.setdefault((row.eid, row.target_NM, row.fiber_idx), {})
        if row.event == "firstMovement_times" or pd.isna(row.side):
            continue
        outcome = "correct" if row.feedbackType == 1 else "incorrect"
        event = row.event.removesuffix("_times")
        label = f"{event}_c{row.contrast:g}_{row.side}_{outcome}"
        cell.setdefault(label, []).append(row.response_early)
    return pd.DataFrame(
        {
            key: {
                label: np.mean(values) if len(values) >= min_trials else np.nan
                for label, values in cell.items()
            }
            for key, cell in cells.items()
        }
    ).T
