"""The frozen protocol of the benchmark: what is planted in each case.

A band is bleaching × light × (1 + what it sees), plus white noise; the two bands are sampled in
turn, half a sample apart. Traits of a real recording set bleaching, noise, gain, size of the
responses and, through the reference r², size of the artifacts. Whoever changes what is planted
raises ``METHOD_VERSION``: scores of two versions cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from iblnm.analysis.corrections.traits import Traits
from iblnm.signal.chains.baselines import DoubleExponential

METHOD_VERSION = 1
PROTOCOL_SEED = 20250331
DURATION_S = 600.0
"""Of a simulated recording."""
EVENT = "stimOn_times"
_FIRST_EVENT_S, _BETWEEN_S = 30.0, (5.0, 9.0)
_RISE_S, _DECAY_S, _TRIAL_SD = 0.08, 0.6, 0.5
_SPONTANEOUS_PER_S = 4 / 60
_ARTIFACTS_PER_S, _ARTIFACT_DECAY_S = 0.3, 0.5
_AFTER_EVENT_S, _AT_EVENT_SD = (0.0, 0.3), 0.5
_GAIN_RANGE, _GAIN_PERIOD_S = (0.4, 0.9), 240.0
_LEAKAGE = 0.2
_STEP_AT, _STEP_LEFT = 0.5, 0.8
_RISING = 1.1
_NOISY = 5.0
_LARGEST_ARTIFACT = 1.0


@dataclass(frozen=True)
class Planted:
    """A simulated recording with its truth.

    Parameters
    ----------
    signal, reference : Series
        Bands; index times, s.
    trials : DataFrame
        Times of `EVENT`, s.
    response : ndarray (n,)
        dF/F of the signal's samples by the sensor alone.
    artifact : ndarray (n,)
        What movement adds to it.
    """

    signal: pd.Series
    reference: pd.Series
    trials: pd.DataFrame
    response: np.ndarray
    artifact: np.ndarray


@dataclass
class _Draft:
    """Parts of a recording on twice its samples; a case changes them."""

    t: np.ndarray
    events: np.ndarray
    response: np.ndarray
    movement: np.ndarray
    gain: np.ndarray
    leakage: float
    light: np.ndarray
    bleaching: np.ndarray
    reference_bleaching: np.ndarray
    reference_noise: float
    rng: np.random.Generator


@dataclass(frozen=True)
class Case:
    """One thing that a correction must stand.

    Parameters
    ----------
    name : str
    description : str
        One sentence.
    change : callable
        Changes the parts of a recording whose artifacts are shared at a constant gain.
    """

    name: str
    description: str
    change: Callable[[_Draft], None]


def _nothing(draft: _Draft) -> None:
    pass


def _at_events(draft: _Draft) -> None:
    rng, size = draft.rng, float(draft.movement.std())
    at = draft.events + rng.uniform(*_AFTER_EVENT_S, len(draft.events))
    sizes = rng.normal(1.0, _AT_EVENT_SD, len(draft.events))
    movement = _transients(draft.t, at, sizes, 0.0, _ARTIFACT_DECAY_S)
    draft.movement = size * (movement - movement.mean()) / movement.std()


def _changing_gain(draft: _Draft) -> None:
    low, high = _GAIN_RANGE
    phase = draft.rng.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * draft.t / _GAIN_PERIOD_S + phase)
    draft.gain = (low + high) / 2 + (high - low) / 2 * wave


def _leaking(draft: _Draft) -> None:
    draft.leakage = _LEAKAGE


def _leaking_reversed(draft: _Draft) -> None:
    draft.leakage = -_LEAKAGE


def _stepping(draft: _Draft) -> None:
    draft.light = np.where(draft.t < _STEP_AT * draft.t[-1], 1.0, _STEP_LEFT)


def _rising(draft: _Draft) -> None:
    share = 1.0 - np.exp(-3.0 * draft.t / draft.t[-1])
    draft.reference_bleaching = draft.reference_bleaching[0] * (1.0 + (_RISING - 1.0) * share)


def _noisy(draft: _Draft) -> None:
    draft.reference_noise *= _NOISY


CASES: tuple[Case, ...] = (
    Case("motion", "Artifacts at random times, a constant gain apart in the bands.", _nothing),
    Case("motion_at_events", "Artifacts up to 0.3 s after each event.", _at_events),
    Case(
        "changing_gain",
        "Their gain wanders between 0.4 and 0.9 over minutes.",
        _changing_gain,
    ),
    Case("leakage", "The reference has 20 % of the response.", _leaking),
    Case("leakage_reversed", "It has 20 % of the response upside down.", _leaking_reversed),
    Case("step", "In the middle both bands lose 20 % of their light.", _stepping),
    Case("rising_isosbestic", "The reference rises by 10 % while the signal bleaches.", _rising),
    Case("noisy_reference", "The reference has five times its noise.", _noisy),
)


def plant(case: Case, traits: Traits, seed: int, fs: float) -> Planted:
    """A recording of a case; the same of the same seed.

    Parameters
    ----------
    case : Case
    traits : Traits
    seed : int
        Cases of one seed share events, responses, artifacts and noise.
    fs : float
        Rate of each band, Hz.
    """
    rng = np.random.default_rng([PROTOCOL_SEED, seed])
    t = np.arange(round(DURATION_S * fs) * 2) / (2 * fs)
    gaps = rng.uniform(*_BETWEEN_S, round(DURATION_S / _BETWEEN_S[0]))
    events = _FIRST_EVENT_S + np.cumsum(gaps)
    events = events[events < DURATION_S - _FIRST_EVENT_S]
    response = _responses(t, events, traits.response, rng)
    noise = rng.normal(size=len(t))
    draft = _Draft(
        t=t,
        events=events,
        response=response,
        movement=_movement(t, traits, response, rng),
        gain=np.full(len(t), traits.gain),
        leakage=0.0,
        light=np.ones(len(t)),
        bleaching=_bleaching(traits.decay, t),
        reference_bleaching=_bleaching(traits.reference_decay, t),
        reference_noise=traits.reference_noise,
        rng=rng,
    )
    case.change(draft)
    artifact = draft.gain * draft.movement
    seen = 1.0 + draft.response + artifact + traits.noise * noise
    other = 1.0 + draft.leakage * draft.response + draft.movement
    other = other + draft.reference_noise * noise
    signal = (draft.bleaching * draft.light * seen)[::2]
    reference = (draft.reference_bleaching * draft.light * other)[1::2]
    return Planted(
        pd.Series(signal, index=t[::2], name=case.name),
        pd.Series(reference, index=t[1::2], name=case.name),
        pd.DataFrame({EVENT: events}),
        draft.response[::2],
        artifact[::2],
    )


def _responses(
    t: np.ndarray, events: np.ndarray, mean: float, rng: np.random.Generator
) -> np.ndarray:
    """Transients at the events and by themselves; those at events have a mean early response."""
    sizes = rng.lognormal(-(_TRIAL_SD**2) / 2, _TRIAL_SD, len(events))
    n_others = rng.poisson(_SPONTANEOUS_PER_S * DURATION_S)
    at = np.concatenate([events, rng.uniform(0, DURATION_S, n_others)])
    others = rng.lognormal(-(_TRIAL_SD**2) / 2, _TRIAL_SD, n_others)
    early = np.linspace(0.1, 0.35, 26)
    unit = float(np.mean(_kernel(early, _RISE_S, _DECAY_S)))
    return mean / unit * _transients(t, at, np.concatenate([sizes, others]), _RISE_S, _DECAY_S)


def _movement(
    t: np.ndarray, traits: Traits, response: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    n = rng.poisson(_ARTIFACTS_PER_S * DURATION_S)
    movement = _transients(t, rng.uniform(0, DURATION_S, n), rng.normal(size=n), 0.0, 0.5)
    size = np.sqrt(_artifact_variance(traits, float(response.var())))
    return size * (movement - movement.mean()) / movement.std()


def _artifact_variance(traits: Traits, response_variance: float) -> float:
    """Variance of the reference's artifacts that gives the signal its r²."""
    from scipy.optimize import brentq

    gain, r2 = traits.gain, traits.reference_r2

    def excess(variance: float) -> float:
        signal = response_variance + traits.noise**2 + gain**2 * variance
        reference = variance + traits.reference_noise**2
        return (gain * variance) ** 2 / (signal * reference) - r2

    if excess(_LARGEST_ARTIFACT) <= 0:
        return _LARGEST_ARTIFACT
    return float(brentq(excess, 0.0, _LARGEST_ARTIFACT, xtol=1e-12))


def _bleaching(decay: DoubleExponential, t: np.ndarray) -> np.ndarray:
    """A recording's bleaching in its own time, from its start."""
    curve = decay.at(t)
    return curve / curve[-1]


def _transients(
    t: np.ndarray, at: np.ndarray, sizes: np.ndarray, rise_s: float, decay_s: float
) -> np.ndarray:
    """Sum of transients at exact times."""
    total = np.zeros(len(t))
    step = t[1] - t[0]
    n = int(8 * decay_s / step)
    for time, size in zip(at, sizes, strict=True):
        first = int(np.ceil(time / step))
        own = slice(first, min(first + n, len(t)))
        total[own] += size * _kernel(t[own] - time, rise_s, decay_s)
    return total


def _kernel(t: np.ndarray, rise_s: float, decay_s: float) -> np.ndarray:
    rise = 1.0 - np.exp(-t / rise_s) if rise_s > 0 else 1.0
    return rise * np.exp(-t / decay_s)
