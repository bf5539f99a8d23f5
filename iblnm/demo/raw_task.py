"""Raw files of a simulated session as the rig writes them, where nothing is extracted of it.

The log of the state machine, the encoder of the wheel and the pulses that the camera of the
photometry got are those from which ibllib and ibl-photometry extract the simulated trials,
wheel and clock.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.demo.behavior import REWARD_UL
from iblnm.demo.wheel import COUNT_RAD
from iblnm.io.task_files import RAW_SETTINGS, RAW_TRIALS, RAW_WHEEL

if TYPE_CHECKING:
    from iblnm.demo.draft import Draft

SIGNAL = "alf/photometry/photometry.signal.pqt"
DRIFT_PPM = 40.0
"""How much faster the clock of the camera runs than that of the rig."""
SYNC_CHANNEL = 0
_EXIT_BEFORE_END_S = 0.5
_ENCODER_START_S = 10.0
_CLOCK_TICK_S = 32e-6
_PULSE_S = 0.066


def task_files(draft: Draft) -> dict[str, str]:
    """Text of the raw files of the task, by the names of their datasets."""
    positions, events = _encoder(draft)
    return {
        RAW_TRIALS: _log(draft),
        RAW_SETTINGS: json.dumps(_settings(draft), indent=1, sort_keys=True),
        RAW_WHEEL[0]: positions,
        RAW_WHEEL[1]: events,
    }


def camera_times(draft: Draft, times: np.ndarray) -> np.ndarray:
    """Times of the session's clock [s] on the camera's, which drifts."""
    frames = draft.frames
    since = np.asarray(times) - frames.times[0]
    start = frames.raw_times[0]
    return start + since * (1 + DRIFT_PPM * 1e-6)


def clock_truth(draft: Draft) -> dict[str, Any]:
    """The planted clock of the camera, of a session whose photometry is not extracted."""
    if not any(fnmatchcase(SIGNAL, pattern) for pattern in draft.omitted):
        return {}
    slope = 1 + DRIFT_PPM * 1e-6
    offset = draft.frames.times[0] - draft.frames.raw_times[0] / slope
    return {
        "camera_clock": {
            "drift_ppm": (1 / slope - 1) * 1e6,
            "offset_s": float(offset),
            "jitter_s": draft.pulse_jitter_s,
        }
    }


def digital_inputs(draft: Draft) -> pd.DataFrame:
    """The pulses of the task in the table of digital inputs of the photometry's camera."""
    rng = np.random.default_rng([draft.seed, 3, draft.plan.index])
    pulses = _pulse_times(draft.trials)
    times = camera_times(draft, pulses) + rng.normal(0, draft.pulse_jitter_s, len(pulses))
    times = np.round(times / _CLOCK_TICK_S) * _CLOCK_TICK_S
    if draft.plan.is_old_layout:
        both = np.stack([times, times + _PULSE_S], axis=1).ravel()
        return pd.DataFrame(
            {
                "Timestamp": both - 0.03,  # when the computer noticed
                "Value.Seconds": both,
                "Value.Value": np.tile([True, False], len(times)),
            }
        )
    # another device gives regular pulses on the second channel
    other = np.arange(times[0], times[-1], 7.3)
    channel = np.r_[np.full(len(times), SYNC_CHANNEL), np.full(len(other), SYNC_CHANNEL + 1)]
    stamps = np.r_[times, other]
    order = np.argsort(stamps, kind="stable")
    return pd.DataFrame(
        {
            "ChannelName": [f"Input{i}" for i in channel[order]],
            "Channel": channel[order].astype(np.int8),
            "AlwaysTrue": True,
            "SystemTimestamp": stamps[order],
            "ComputerTimestamp": np.round(stamps[order] * 1000 + 5e7, 3),
        }
    )


def _pulse_times(trials: pd.DataFrame) -> np.ndarray:
    rewarded = trials["feedbackType"].to_numpy() == 1
    return np.sort(
        np.r_[
            trials["intervals_0"].to_numpy(),
            trials["feedback_times"].to_numpy()[rewarded],
            trials["intervals_1"].to_numpy() - _EXIT_BEFORE_END_S,
        ]
    )


def _settings(draft: Draft) -> dict[str, Any]:
    start = draft.plan.start.isoformat()
    return {
        "ALYX_USER": "demo",
        "IBLRIG_VERSION": "8.15.0",
        "PYBPOD_PROTOCOL": draft.task_protocol.split("8.")[0],
        "RIG_NAME": "demo_rig",
        "SESSION_NUMBER": 1,
        "SESSION_START_TIME": start,
        "SUBJECT_NAME": draft.plan.subject.nickname,
        "device_sound": {"OUTPUT": "harp"},
    }


def _log(draft: Draft) -> str:
    lines = []
    for i, trial in enumerate(draft.trials.to_dict("records")):
        is_left = np.isfinite(trial["contrastLeft"])
        contrast = trial["contrastLeft"] if is_left else trial["contrastRight"]
        line = {
            "behavior_data": _behavior(trial),
            "contrast": float(contrast),
            "debias_trial": False,
            "pause_duration": 0.0,
            "position": -35.0 if is_left else 35.0,
            "quiescent_period": 0.4,
            "reward_amount": REWARD_UL,
            "stim_phase": 0.0,
            "stim_probability_left": float(trial["probabilityLeft"]),
            "trial_correct": bool(trial["feedbackType"] == 1),
            "trial_num": i + 1,
        }
        lines.append(json.dumps(line, sort_keys=True) + "\n")
    return "".join(lines)


def _behavior(trial: dict[str, float]) -> dict[str, Any]:
    """States and events of one trial, in seconds after its start."""
    start, end = trial["intervals_0"], trial["intervals_1"]

    def span(name: float | None, length: float = 0.1) -> list[list[float]]:
        if name is None:
            return [[float("nan"), float("nan")]]
        since = round(name - start, 7)
        return [[since, round(since + length, 7)]]

    stim, feedback = trial["stimOn_times"], trial["feedback_times"]
    response = trial["response_times"]
    is_correct, is_no_go = trial["feedbackType"] == 1, trial["choice"] == 0
    is_error = not is_correct and not is_no_go
    exit_state = end - _EXIT_BEFORE_END_S
    states = {
        "trial_start": span(start),
        "reset_rotary_encoder": span(start + 0.1, 0.01),
        "quiescent_period": span(start + 0.11, stim - start - 0.13),
        "stim_on": span(stim - 0.02),
        "play_tone": span(trial["goCue_times"] - 0.001),
        "reset2_rotary_encoder": span(stim - 0.01, 0.005),
        "closed_loop": span(stim, response - stim),
        "reward": span(feedback if is_correct else None),
        "correct": span(feedback + 0.1 if is_correct else None),
        "error": span(feedback if is_error else None),
        "no_go": span(feedback if is_no_go else None),
        "freeze_reward": span(response if is_correct else None, 0.0001),
        "freeze_error": span(response if is_error else None, 0.0001),
        "hide_stim": span(exit_state - 0.1),
        "exit_state": span(exit_state, _EXIT_BEFORE_END_S),
    }
    tones = [trial["goCue_times"]] + ([] if is_correct else [feedback])
    events = {
        "BNC1High": [round(stim - start, 7), round(exit_state - 0.08 - start, 7)],
        "BNC1Low": [round(response + 0.01 - start, 7)],
        "BNC2High": [round(tone - start, 7) for tone in tones],
        "BNC2Low": [round(tone + 0.1 - start, 7) for tone in tones],
    }
    return {
        "Bpod start timestamp": 0.0,
        "Trial start timestamp": start,
        "Trial end timestamp": end,
        "States timestamps": states,
        "Events timestamps": events,
    }


def _encoder(draft: Draft) -> tuple[str, str]:
    """Positions in counts since the last reset, and events, at times of the encoder [µs]."""
    trials = draft.trials
    starts, stim = trials["intervals_0"].to_numpy(), trials["stimOn_times"].to_numpy()
    resets = np.sort(np.r_[starts + 0.1, stim - 0.01])
    times = np.r_[resets[0] - 1.0, draft.wheel_times]
    counts = np.r_[0, np.round(draft.wheel_position / COUNT_RAD)].astype(np.int64)
    order = np.argsort(times, kind="stable")
    times, counts = times[order], counts[order]
    # the encoder logs zero at once when it is reset, just before the state machine goes on
    at_reset = counts[np.searchsorted(times, resets) - 1]
    origin = np.searchsorted(resets, times, side="right") - 1
    since = counts - np.where(origin >= 0, at_reset[origin], 0)
    stamps = np.r_[times, resets - 2e-6]
    values = np.r_[since, np.zeros(len(resets), dtype=np.int64)]
    order = np.argsort(stamps, kind="stable")
    micro = np.round((stamps[order] + _ENCODER_START_S) * 1e6).astype(np.int64)
    positions = "".join(
        f"{time} {-value} \n" for time, value in zip(micro, values[order], strict=True)
    )
    n = len(trials)
    # one more of each: the last trial that began has no end
    both = [(time, code) for code, at in ((2, stim - 0.02), (3, stim)) for time in at]
    both += [(trials["intervals_1"].iloc[n - 1] + 1.0 + code, code) for code in (2, 3)]
    events = "".join(
        f"{round((time + _ENCODER_START_S) * 1e6)} {code} \n" for time, code in sorted(both)
    )
    return positions, events
