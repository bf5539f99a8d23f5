"""What real recordings have besides responses: noise, artifacts, bleaching, single trials."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from iblnm.constants import MOVEMENT_EVENT
from iblnm.demo.effects import Coefficients, amplitudes
from iblnm.demo.kinetics import autocorrelated, sum_of_responses

NOISES = (0.001, 0.003, 0.01)
"""White noise of a frame, in dF/F, by recording."""
_ARTIFACT_TAU_S = 0.4
_BURST_SHARE = 0.5
_SPONTANEOUS_PER_MINUTE = 4.0
_GAIN_TAU_S = 120.0
_MAX_ARTIFACT = 0.03
_SLOW_TAU_S = 1.5
_TRANSIENT_SPREAD = 0.5


@dataclass(frozen=True)
class Nature:
    """What is planted in one recording.

    Parameters
    ----------
    coefficients : dict
        ``{event: {term: peak dF/F}}`` as of `iblnm.demo.effects`.
    timing : float
        Peak dF/F of the response to the stimulus per factor of ten of the reaction time.
    trial_gain_sd : float
        Standard deviation of the factor of each response, gamma-distributed of mean 1.
    drift : float
        Change of the responses from first to last trial, relative to their mean.
    transients_per_minute, transient_dff : float
        Transients that no event explains, and the median of their peaks.
    slow_dff : float
        Fluctuations of a second or two.
    noise_dff, reference_noise_dff : float
        White noise of a frame.
    reference_r2 : float
        Share of the signal's variance that the reference explains.
    reference_gain : float
        Mean size of an artifact in the reference, relative to the signal's.
    bleaching : float
        Fluorescence at the beginning relative to the end.
    reference_bleaching : float
        The same of the reference; below 1 it rises.
    """

    coefficients: Coefficients = field(default_factory=dict)
    timing: float = 0.0
    trial_gain_sd: float = 0.8
    drift: float = 0.0
    transients_per_minute: float = 6.0
    transient_dff: float = 0.01
    slow_dff: float = 0.003
    noise_dff: float = 0.003
    reference_noise_dff: float = 0.002
    reference_r2: float = 0.2
    reference_gain: float = 0.65
    bleaching: float = 1.15
    reference_bleaching: float = 1.08

    def to_dict(self) -> dict[str, Any]:
        """The parameters, rounded, with the coefficients under ``effects``."""
        values = asdict(self)
        effects = values.pop("coefficients")
        return {
            "effects": {
                event: {name: round(value, 9) for name, value in own.items()}
                for event, own in effects.items()
            },
            **{name: round(float(value), 9) for name, value in values.items()},
        }


def draw_nature(
    rng: np.random.Generator, coefficients: Coefficients, timing: float = 0.0
) -> Nature:
    """A recording with the coefficients, all else drawn from what real ones show."""
    rises = rng.random() < 0.25
    return Nature(
        coefficients=coefficients,
        timing=timing,
        trial_gain_sd=float(rng.uniform(0.6, 1.0)),
        drift=float(rng.uniform(-0.6, 0.6)),
        transients_per_minute=float(rng.uniform(3, 10)),
        transient_dff=float(rng.uniform(0.01, 0.025)),
        slow_dff=float(rng.uniform(0.006, 0.02)),
        noise_dff=float(rng.choice(NOISES)),
        reference_noise_dff=float(np.exp(rng.uniform(np.log(0.0007), np.log(0.004)))),
        reference_r2=float(rng.uniform(0.05, 0.5)),
        reference_gain=float(rng.uniform(0.5, 0.8)),
        bleaching=float(rng.uniform(1.05, 1.3)),
        reference_bleaching=float(rng.uniform(0.93, 0.96) if rises else rng.uniform(1.06, 1.2)),
    )


def neural_signal(
    rng: np.random.Generator,
    times: np.ndarray,
    trials: pd.DataFrame,
    hemisphere: str,
    nature: Nature,
    frame_rate: float,
) -> np.ndarray:
    """Responses, transients and slow fluctuations at the times of the frames, in dF/F."""
    n = len(trials)
    course = 1 + nature.drift * (np.arange(n) / max(1, n - 1) - 0.5)
    onset, size = [], []
    for event, amplitude in amplitudes(
        nature.coefficients, trials, hemisphere, nature.timing
    ).items():
        gain = _gains(rng, nature.trial_gain_sd, n)
        at = trials[event].to_numpy(float)
        known = np.isfinite(at) & (at < times[-1])
        onset.append(at[known])
        size.append((amplitude * gain * course)[known])
    n_transients = rng.poisson(nature.transients_per_minute * (times[-1] - times[0]) / 60)
    onset.append(rng.uniform(times[0], times[-1] - 1, n_transients))
    size.append(nature.transient_dff * np.exp(rng.normal(0, _TRANSIENT_SPREAD, n_transients)))
    responses = sum_of_responses(times, np.concatenate(onset), np.concatenate(size), frame_rate)
    slow = autocorrelated(rng, len(times), frame_rate, _SLOW_TAU_S)
    return responses + nature.slow_dff * slow


def artifact_course(
    rng: np.random.Generator, times: np.ndarray, trials: pd.DataFrame, frame_rate: float
) -> np.ndarray:
    """Movement artifact of standard deviation 1: bursts at movements on a restless ground.

    A burst is as often a rise as a fall: what it adds to the mean response is noise.
    """
    at = trials[MOVEMENT_EVENT].dropna().to_numpy(float)
    n_others = rng.poisson(_SPONTANEOUS_PER_MINUTE * (times[-1] - times[0]) / 60)
    at = np.concatenate((at, rng.uniform(times[0], times[-1], n_others)))
    size = rng.choice((-1.0, 1.0), len(at)) * np.exp(rng.normal(0, 0.6, len(at)))
    length = rng.uniform(0.3, 1.2, len(at))
    bursts = np.zeros(len(times))
    for begin, height, lasts in zip(at, size, length, strict=True):
        first, last = np.searchsorted(times, (begin, begin + lasts))
        bursts[first:last] += height * np.hanning(last - first + 2)[1:-1]
    ground = autocorrelated(rng, len(times), frame_rate, _ARTIFACT_TAU_S)
    spread = bursts.std()
    bursts = bursts / spread if spread else bursts
    return np.sqrt(_BURST_SHARE) * bursts + np.sqrt(1 - _BURST_SHARE) * ground


def artifact_sd(signal_sd: float, nature: Nature) -> float:
    """Artifact in dF/F with which the reference explains its share of the signal.

    Parameters
    ----------
    signal_sd : float
        Of everything else in the signal, noise included.
    nature : Nature
    """
    r2, gain = nature.reference_r2, nature.reference_gain
    other, noise = signal_sd**2, (nature.reference_noise_dff / gain) ** 2
    # r² = x² / ((other + x)(x + noise)) for the variance x
    roots = np.roots([1 - r2, -r2 * (other + noise), -r2 * other * noise])
    return float(min(np.sqrt(roots.real.max()), _MAX_ARTIFACT))


def reference_gains(
    rng: np.random.Generator, n: int, nature: Nature, frame_rate: float
) -> np.ndarray:
    """Gain of the artifact in the reference, wandering over minutes."""
    wandering = autocorrelated(rng, n, frame_rate, _GAIN_TAU_S)
    return np.clip(nature.reference_gain + 0.08 * wandering, 0.4, 0.9)


def bleaching_course(since: np.ndarray, ratio: float, tau_s: float, fast_s: float) -> np.ndarray:
    """Fluorescence relative to its start: a slow and a small fast exponential."""
    course = 0.95 * np.exp(-since / tau_s) + 0.05 * np.exp(-since / fast_s)
    part = bleaching_part(since[-1], ratio, tau_s, fast_s)
    return 1 - part + part * course


def bleaching_part(length_s: float, ratio: float, tau_s: float, fast_s: float) -> float:
    """Share of the fluorescence that would bleach in the end, negative if it rises."""
    left = 0.95 * np.exp(-length_s / tau_s) + 0.05 * np.exp(-length_s / fast_s)
    return float((1 - 1 / ratio) / (1 - left))


def _gains(rng: np.random.Generator, sd: float, n: int) -> np.ndarray:
    """Factors of mean 1, gamma-distributed: rarely more than four."""
    return rng.gamma(1 / sd**2, sd**2, n)
