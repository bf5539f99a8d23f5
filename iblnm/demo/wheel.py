"""Simulated wheel: one smooth movement per trial, of known peak velocity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iblnm.demo.behavior import MIN_JERK_PEAK, MOVEMENT_RAD

COUNT_RAD = 2 * np.pi / 1024
N_COUNTS = round(MOVEMENT_RAD / COUNT_RAD)
_TWITCH_INTERVAL_S = 1.0
_TWITCH_LENGTH_S = 0.05


def simulate_wheel(
    rng: np.random.Generator, trials: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate the events of the rotary encoder.

    Parameters
    ----------
    rng : Generator
    trials : DataFrame
        ALF trials table.

    Returns
    -------
    times : ndarray, shape (n_samples,)
        Irregular, one sample per count of the encoder [s].
    position : ndarray, shape (n_samples,)
        Unwrapped angle [rad].

    Notes
    -----
    Between first movement and feedback the angle follows a minimum-jerk profile over
    `MOVEMENT_RAD`. As in real sessions (ZM_335), a rightward choice (−1) has a positive
    displacement, a leftward one (+1) a negative. Between trials there are twitches of one
    count, so that the encoder is never silent for long.
    """
    moved = trials["firstMovement_times"].notna() & (trials["choice"] != 0)
    start = trials.loc[moved, "firstMovement_times"].to_numpy()
    length = trials.loc[moved, "feedback_times"].to_numpy() - start
    sign = -trials.loc[moved, "choice"].to_numpy()
    # half a count off, so that the first count does not fall on the movement's very start
    crossing = np.interp((np.arange(N_COUNTS) + 0.5) / N_COUNTS, *_profile()[::-1])
    times = start[:, None] + length[:, None] * crossing
    steps = np.repeat(sign[:, None], N_COUNTS, axis=1)
    twitch_times, twitch_steps = _twitches(rng, trials)
    times = np.concatenate((times.ravel(), twitch_times))
    steps = np.concatenate((steps.ravel(), twitch_steps))
    order = np.argsort(times, kind="stable")
    times = np.round(times[order], 6)
    distinct = np.diff(times, prepend=-np.inf) > 0
    position = np.cumsum(steps[order]) * COUNT_RAD
    return times[distinct], position[distinct]


def peak_velocity(trials: pd.DataFrame) -> np.ndarray:
    """True peak speed of each trial's movement [rad/s]; NaN without a movement."""
    length = (trials["feedback_times"] - trials["firstMovement_times"]).to_numpy()
    speed = MIN_JERK_PEAK * N_COUNTS * COUNT_RAD / length
    return np.where(trials["choice"].to_numpy() == 0, np.nan, speed)


def _profile() -> tuple[np.ndarray, np.ndarray]:
    phase = np.linspace(0, 1, 2001)
    return phase, 10 * phase**3 - 15 * phase**4 + 6 * phase**5


def _twitches(rng: np.random.Generator, trials: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    begin, end = float(trials["intervals_0"].iloc[0]) - 4, float(trials["intervals_1"].iloc[-1])
    n = int((end - begin) / _TWITCH_INTERVAL_S)
    at = np.sort(rng.uniform(begin, end, n))
    # twitches only outside the time in which the task is answered
    trial = np.clip(np.searchsorted(trials["intervals_0"], at) - 1, 0, None)
    busy_from = trials["stimOn_times"].to_numpy()[trial] - 0.3
    busy_until = trials["feedback_times"].to_numpy()[trial] + 0.1
    at = at[(at < busy_from) | (at > busy_until)]
    sign = np.where(rng.random(len(at)) < 0.5, 1, -1)
    return np.concatenate((at, at + _TWITCH_LENGTH_S)), np.concatenate((sign, -sign))
