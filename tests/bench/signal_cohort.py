"""Cohorts simulated as signals and taken through the whole chain, with the planted truth.

What is planted are responses of the animal, in the continuous signal: two bands with bleaching,
noise and a shared artifact. Magnitudes come from the package, not from the model that is fitted.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from iblnm.analysis.responses.magnitudes import magnitude_table, recording_magnitudes
from iblnm.config import SignalSettings
from iblnm.constants import TASK_CONTRASTS, TRIAL_EVENTS
from iblnm.signal.perievent import extract_responses
from iblnm.signal.preprocess import preprocess_recording
from iblnm.task import add_trial_columns

RISE_S, DECAY_S = 0.06, 0.40
WINDOW = (0.1, 0.35)
CENTER = float(np.log1p(np.asarray(TASK_CONTRASTS)).mean())
_TAIL_S = 4.0
_MARGIN_S = 60.0

Effects = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Noise:
    """Noise of a recording, in dF/F."""

    shot: float = 0.004
    slow: float = 0.003
    slow_tau_s: float = 3.0
    artifact: float = 0.005
    trial_gain_sd: float = 0.0


@dataclass
class Recording:
    """One simulated recording after the chain."""

    meta: dict[str, object]
    signal: xr.Dataset
    trials: pd.DataFrame
    responses: xr.DataArray
    planted: dict[str, np.ndarray] = field(default_factory=dict)

    def magnitudes(self, **parameters) -> dict:
        return recording_magnitudes(self.meta, self.responses, self.trials, **parameters)


def kernel(t: np.ndarray) -> np.ndarray:
    """A response whose mean over the early window, at 30 Hz, is 1."""
    grid = np.arange(3, 11) / 30

    def shape(at):
        at = np.maximum(at, 0.0)
        return np.exp(-at / DECAY_S) - np.exp(-at / RISE_S)

    return np.where(t > 0, shape(t), 0.0) / shape(grid).mean()


def simulate_task(
    rng: np.random.Generator, n_trials: int, *, reaction_sd: float = 0.5, every_s: float = 5.0
) -> pd.DataFrame:
    """Trials whose reaction times depend on contrast, with errors at all contrasts."""
    contrast = rng.permutation(np.resize(TASK_CONTRASTS, n_trials))
    is_left = rng.random(n_trials) < 0.5
    correct = rng.random(n_trials) < 0.6 + 0.3 * (1 - np.exp(-contrast / 15))
    stim = _MARGIN_S + every_s * np.arange(n_trials) + rng.uniform(0, 1.5, n_trials)
    reaction = (0.22 + 0.2 * np.exp(-contrast / 12)) * np.exp(rng.normal(0, reaction_sd, n_trials))
    movement = stim + np.minimum(reaction, 1.5)
    feedback = movement + 0.15 + rng.gamma(2.0, 0.08, n_trials)
    trials = pd.DataFrame(
        {
            "intervals_0": stim - 0.5,
            "intervals_1": feedback + 1.5,
            "stimOn_times": stim,
            "firstMovement_times": movement,
            "feedback_times": feedback,
            "contrastLeft": np.where(is_left, contrast / 100, np.nan),
            "contrastRight": np.where(is_left, np.nan, contrast / 100),
            "choice": np.where(is_left == correct, 1.0, -1.0),
            "feedbackType": np.where(correct, 1.0, -1.0),
            "probabilityLeft": 0.5,
        }
    )
    return add_trial_columns(trials)


def planted_responses(
    trials: pd.DataFrame, hemisphere: str, effects: Effects
) -> dict[str, np.ndarray]:
    """Early response of every event and trial, in dF/F: terms as of the mixed models."""
    contra = (trials["stim_side"] == "right").to_numpy() == (hemisphere == "l")
    terms = {
        "Intercept": np.ones(len(trials)),
        "contrast": np.log1p(trials["contrast"].to_numpy(float)) - CENTER,
        "side": contra - 0.5,
        "reward": np.where(trials["feedbackType"] == 1, 0.5, -0.5),
    }
    return {
        event: sum(
            value * np.prod([terms[name] for name in term.split(":")], axis=0)
            for term, value in effects.get(event, {}).items()
        )
        + np.zeros(len(trials))
        for event in TRIAL_EVENTS
    }


def simulate_recording(
    rng: np.random.Generator,
    effects: Effects,
    *,
    n_trials: int = 200,
    noise: Noise | None = None,
    trials: pd.DataFrame | None = None,
    **meta: object,
) -> Recording:
    """One recording: bands, correction, resampling, peri-event responses."""
    noise, settings = noise or Noise(), SignalSettings()
    trials = simulate_task(rng, n_trials) if trials is None else trials
    hemisphere = str(meta.get("hemisphere", "l"))
    planted = planted_responses(trials, hemisphere, effects)
    end = float(trials["intervals_1"].iloc[-1]) + _MARGIN_S
    n = int(end * settings.fs)
    times = np.arange(n) / settings.fs
    neural = _sum_of_kernels(times, trials, planted, rng, noise.trial_gain_sd)
    neural += noise.slow * _slow_noise(rng, n, settings.fs, noise.slow_tau_s)
    artifact = noise.artifact * _slow_noise(rng, n, settings.fs, 0.5)
    bands = []
    for own, at in ((neural + artifact, 0.0), (0.8 * artifact, 0.5 / settings.fs)):
        bleaching = 0.7 + 0.3 * np.exp(-times / (0.5 * end))
        values = 0.02 * bleaching * (1 + own) + rng.normal(0, 0.02 * noise.shot, n)
        bands.append(pd.Series(values, index=times + at, name="G0"))
    signal = preprocess_recording(*bands, settings)
    responses = extract_responses(signal["time"].to_numpy(), signal["signal"].to_numpy(), trials)
    named = {
        "eid": str(uuid.UUID(int=int(rng.integers(2**62)), version=4)),
        "subject": "mouse",
        "session_type": "biased",
        "NM": "DA",
        "target_NM": "VTA-DA",
        "brain_region": "VTA",
        "hemisphere": hemisphere,
        "fiber_idx": 0,
        **meta,
    }
    return Recording(named, signal, trials, responses, planted)


def simulate_cohort(
    seed: int,
    effects: Effects,
    *,
    n_subjects: int = 6,
    n_sessions: int = 1,
    n_trials: int = 200,
    noise: Noise | None = None,
    subject_sd: float = 0.0,
) -> list[Recording]:
    """Recordings of several animals, whose effects differ by `subject_sd` times their size."""
    rng = np.random.default_rng(seed)
    recordings = []
    for i in range(n_subjects):
        own = {
            event: {k: v * (1 + subject_sd * rng.normal()) for k, v in terms.items()}
            for event, terms in effects.items()
        }
        for j in range(n_sessions):
            recordings.append(
                simulate_recording(
                    rng,
                    own,
                    n_trials=n_trials,
                    noise=noise,
                    subject=f"mouse_{i}",
                    hemisphere="lr"[(i + j) % 2],
                )
            )
    return recordings


def magnitudes_of(recordings: Sequence[Recording], **parameters) -> pd.DataFrame:
    """Table of magnitudes of recordings; parameters as of `early_responses`."""
    return magnitude_table(recording.magnitudes(**parameters) for recording in recordings)


def _sum_of_kernels(times, trials, planted, rng, gain_sd) -> np.ndarray:
    total, fs = np.zeros(len(times)), 1 / (times[1] - times[0])
    offsets = np.arange(int(_TAIL_S * fs))
    for event, size in planted.items():
        at = trials[event].to_numpy(float)
        size = size * np.exp(rng.normal(-(gain_sd**2) / 2, gain_sd, len(size)))
        first = np.searchsorted(times, at)
        index = first[:, None] + offsets
        inside = index < len(times)
        index = np.minimum(index, len(times) - 1)
        values = kernel(times[index] - at[:, None]) * size[:, None]
        np.add.at(total, index[inside], values[inside])
    return total


def _slow_noise(rng, n, fs, tau_s) -> np.ndarray:
    from scipy.signal import lfilter

    decay = np.exp(-1 / (fs * tau_s))
    noise = rng.standard_normal(n)
    noise[0] /= np.sqrt(1 - decay**2)
    return lfilter([np.sqrt(1 - decay**2)], [1.0, -decay], noise)
