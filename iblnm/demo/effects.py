"""Planted coefficients of targets, animals and sessions, in the terms of the mixed models.

The amplitude of a response is linear in the models' own factors, so that every coefficient that a
table reports has a planted value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from iblnm.constants import FEEDBACK_EVENT, MOVEMENT_EVENT, STIMULUS_EVENT, TASK_CONTRASTS
from iblnm.demo.behavior import expected_reaction_time
from iblnm.demo.kinetics import response_shape
from iblnm.demo.profiles import RESPONSE_PROFILES

Coefficients = dict[str, dict[str, float]]

SCALE = 0.35
"""Of the peaks of `RESPONSE_PROFILES`: an outcome effect of about 1.6 % dF/F over the targets."""
ANIMAL_GAIN_SD, ANIMAL_PROFILE_SD = 0.5, 1.2
SESSION_GAIN_SD, SESSION_PROFILE_SD = 0.25, 0.5
MEAN_GAIN = float(np.exp((ANIMAL_GAIN_SD**2 + SESSION_GAIN_SD**2) / 2))
"""Expected product of the gains of an animal and of a session."""
TIMING_EFFECTS = {"VTA-DA": -0.02, "NBM-ACh": 0.02}
"""Peak dF/F of the response to the stimulus per factor of ten of the reaction time."""
OWN_TERMS = ("Intercept", "contrast", "side", "reward")
"""Terms in which animals and sessions differ besides by their gain: those that a mixed model
lets differ. Interactions follow the gain."""
CENTER = float(np.log1p(np.asarray(TASK_CONTRASTS)).mean())
EARLY_SAMPLES_S = np.arange(3, 11) / 30
"""Samples of the early window of a signal at 30 Hz."""


def population_coefficients(target: str) -> Coefficients:
    """Mean coefficients of a target over animals, in peak dF/F.

    Parameters
    ----------
    target : str
        A key of `RESPONSE_PROFILES`.

    Returns
    -------
    dict
        ``{event: {term: value}}``. Contrast is ln(percent + 1) minus its mean over the task's
        contrasts, side +½ contralateral and −½ ipsilateral, reward +½ and −½. A slope on
        √contrast of the profile is replaced by the closest line on that scale.
    """
    profile = RESPONSE_PROFILES[target]
    level, slope = _line(*profile.stim[:2])
    ipsi = profile.stim[2]
    mean, difference = (1 + ipsi) / 2, 1 - ipsi
    reward_level, reward_slope = _line(*profile.reward)
    terms = {
        STIMULUS_EVENT: {
            "Intercept": level * mean,
            "contrast": slope * mean,
            "side": level * difference,
            "contrast:side": slope * difference,
        },
        MOVEMENT_EVENT: {"Intercept": profile.move},
        FEEDBACK_EVENT: {
            "Intercept": (reward_level + profile.error) / 2,
            "contrast": reward_slope / 2,
            "side": 0.0,
            "reward": reward_level - profile.error,
            "contrast:side": 0.0,
            "contrast:reward": reward_slope,
            "side:reward": 0.0,
            "contrast:side:reward": 0.0,
        },
    }
    scale = SCALE * MEAN_GAIN
    return {
        event: {name: scale * value for name, value in own.items()} for event, own in terms.items()
    }


def differing(
    coefficients: Coefficients, rng: np.random.Generator, gain_sd: float, profile_sd: float
) -> Coefficients:
    """One gain, log-normal about a median of 1, and a relative deviation of each own term.

    Returns
    -------
    dict
        Relative to `coefficients`: factor of each term, 1 if nothing differed.
    """
    gain = float(np.exp(rng.normal(0, gain_sd)))
    return {
        event: {
            name: gain * (1 + profile_sd * float(rng.standard_normal()))
            if name in OWN_TERMS
            else gain
            for name in own
        }
        for event, own in coefficients.items()
    }


def animal_coefficients(target: str, seed: int, index: int, fiber: int) -> Coefficients:
    """Coefficients of a fiber of an animal: its mean over sessions, in peak dF/F.

    Parameters
    ----------
    target : str
    seed, index, fiber : int
        Of the archive, of the animal in it, of the fiber in the animal.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 3, index, fiber]))
    mean = population_coefficients(target)
    factor = differing(mean, rng, ANIMAL_GAIN_SD, ANIMAL_PROFILE_SD)
    # the gains' own mean is in the population's coefficients already
    own = float(np.exp(-(ANIMAL_GAIN_SD**2) / 2))
    return _scaled(mean, factor, own)


def session_coefficients(
    target: str, animal: Coefficients, rng: np.random.Generator
) -> Coefficients:
    """Coefficients of a recording: those of its animal, changed by the session.

    The deviation of a term has the size of the target's mean, whatever the animal's.
    """
    mean = population_coefficients(target)
    gain = float(np.exp(rng.normal(-(SESSION_GAIN_SD**2) / 2, SESSION_GAIN_SD)))
    result: Coefficients = {}
    for event, own in animal.items():
        result[event] = {}
        for name, value in own.items():
            shift = SESSION_PROFILE_SD * mean[event][name] if name in OWN_TERMS else 0.0
            result[event][name] = gain * (value + shift * float(rng.standard_normal()))
    return result


def amplitudes(
    coefficients: Coefficients, trials: pd.DataFrame, hemisphere: str, timing: float = 0.0
) -> dict[str, np.ndarray]:
    """Planted peak of the response to every event and trial, in dF/F.

    Parameters
    ----------
    coefficients : dict
    trials : DataFrame
        ALF trials table.
    hemisphere : {'l', 'r'}
        Of the fiber.
    timing : float
        Added to the response to the stimulus per factor of ten by which the reaction time
        exceeds what the contrast lets expect, so that the effect of contrast stays as planted.

    Returns
    -------
    dict of str to ndarray, shape (n_trials,)
    """
    left = trials["contrastLeft"].to_numpy(float)
    is_left = ~np.isnan(left)
    contrast = np.where(is_left, left, trials["contrastRight"].to_numpy(float))
    factors = {
        "contrast": np.log1p(100 * contrast) - CENTER,
        "side": np.where(is_left == (hemisphere == "r"), 0.5, -0.5),
        "reward": np.where(trials["feedbackType"].to_numpy() == 1, 0.5, -0.5),
    }
    result = {}
    for event, own in coefficients.items():
        size = np.zeros(len(trials))
        for term, value in own.items():
            names = [] if term == "Intercept" else term.split(":")
            size += value * np.prod([np.ones(len(trials)), *(factors[n] for n in names)], axis=0)
        result[event] = size
    reaction = (trials[MOVEMENT_EVENT] - trials[STIMULUS_EVENT]).to_numpy(float)
    known = reaction > 0
    relative = np.log10(
        np.where(known, reaction, 1.0) / np.where(known, expected_reaction_time(contrast), 1.0)
    )
    result[STIMULUS_EVENT] = result[STIMULUS_EVENT] + timing * relative
    return result


def early_factor() -> float:
    """Mean over the early window of a response of peak 1.

    Examples
    --------
    >>> round(early_factor(), 4)
    0.8841
    """
    return float(response_shape(EARLY_SAMPLES_S).mean())


def reported_coefficients(targets: list[str]) -> dict[str, Any]:
    """What the tables of coefficients should say, in dF/F of the early response.

    Parameters
    ----------
    targets : list of str

    Returns
    -------
    dict
        ``unit``, ``models`` as ``{target: {event: {term: value}}}``; ``timing`` as
        ``{target: {timing: slope}}`` per factor of ten, of the response to the stimulus; and
        ``wheel``, what a response tells about the movement besides contrast and side.
    """
    factor = early_factor()
    return {
        "unit": "dF/F, mean of 0.1 to 0.35 s after the event; contrast as ln(percent + 1) minus "
        "its mean over the task's contrasts, side +0.5 contralateral and -0.5 ipsilateral, "
        "reward +0.5 and error -0.5",
        "early_factor": round(factor, 9),
        "models": {
            target: _rounded(population_coefficients(target), factor) for target in targets
        },
        "timing": {
            target: {
                "reaction_time": round(factor * TIMING_EFFECTS.get(target, 0.0), 9),
                "movement_time": 0.0,
            }
            for target in targets
        },
        "wheel": 0.0,
    }


def reported_of_animal(
    fibers: tuple[tuple[str, str], ...], index: int, seed: int
) -> list[Coefficients]:
    """Coefficients of each fiber of an animal as `reported_coefficients` has them."""
    return [
        _rounded(animal_coefficients(target, seed, index, i), early_factor())
        for i, (target, _) in enumerate(fibers)
    ]


def _line(offset: float, slope: float) -> tuple[float, float]:
    """Least-squares line on the models' scale of contrast through offset + slope · √contrast."""
    percent = np.asarray(TASK_CONTRASTS)
    fitted = np.polyfit(np.log1p(percent) - CENTER, offset + slope * np.sqrt(percent / 100), 1)
    return float(fitted[1]), float(fitted[0])


def _scaled(mean: Coefficients, factor: Coefficients, scale: float) -> Coefficients:
    return {
        event: {name: scale * value * factor[event][name] for name, value in own.items()}
        for event, own in mean.items()
    }


def _rounded(coefficients: Coefficients, scale: float = 1.0) -> Coefficients:
    return {
        event: {name: round(scale * value, 9) + 0.0 for name, value in own.items()}
        for event, own in coefficients.items()
    }
