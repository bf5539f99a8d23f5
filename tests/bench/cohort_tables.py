"""Simulated cohort tables with planted effects: trial magnitudes without signals or files."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from iblnm.demo.behavior import FULL_CONTRASTS

EVENTS = ("stimOn_times", "feedback_times")
TERMS = (
    "Intercept",
    "contrast",
    "side",
    "reward",
    "contrast:side",
    "contrast:reward",
    "side:reward",
    "contrast:side:reward",
)
ANALYZED = ("VTA-DA", "SNc-DA", "DR-5HT", "LC-NE", "NBM-ACh")

# z units; contrast as ln(c + 1), centered; contra +.5 and ipsi -.5; reward +.5 and error -.5
_STIMULUS = ("Intercept", "contrast", "side", "contrast:side")
_PLANTED = {
    "VTA-DA": ((0.8, 0.30, 0.10, 0.05), (0.6, -0.10, 0.05, 1.20, 0.00, -0.25, 0.10, 0.00)),
    "SNc-DA": ((0.4, 0.15, 0.50, 0.15), (0.3, -0.05, 0.20, 0.60, 0.05, -0.10, 0.00, 0.00)),
    "DR-5HT": ((0.2, 0.05, 0.00, 0.00), (0.7, 0.10, 0.00, 0.20, 0.00, 0.10, 0.00, 0.00)),
    "MR-5HT": ((0.1, 0.00, 0.10, 0.00), (0.5, 0.05, 0.00, -0.40, 0.00, 0.00, 0.00, 0.00)),
    "LC-NE": ((0.6, 0.10, 0.00, 0.00), (0.5, 0.00, 0.00, -0.80, 0.00, 0.10, 0.00, 0.00)),
    "NBM-ACh": ((0.5, 0.20, 0.35, 0.10), (0.4, 0.00, 0.15, 0.00, 0.05, 0.00, 0.20, 0.05)),
    "SI-ACh": ((0.9, 0.10, 0.20, 0.00), (0.2, 0.10, 0.00, 0.50, 0.00, 0.15, 0.00, 0.00)),
    "PPT-ACh": ((0.3, 0.00, 0.60, 0.20), (-0.2, 0.00, 0.30, 0.10, 0.10, 0.00, 0.00, 0.00)),
}
_LAPSE = 0.06
_THRESHOLD = 20.0
_LOG10_REACTION = -0.5
_LOG10_REACTION_PER_CONTRAST = -0.05
_LOG10_REACTION_SD = 0.15
_LOG10_MOVEMENT = -0.7
_SUBJECT_TIMING_SD = 0.08
_MEAN_VELOCITY = 6.0
_VELOCITY_SD = 1.0
_SUBJECT_VELOCITY_SD = 0.5
_BLOCK = 50
_NO_GO_S = 60.0
_N_EARLY_SAMPLES = 8


def planted_effects(target: str) -> dict[str, dict[str, float]]:
    """Default coefficients of a target by event and term; terms not named are 0.

    Parameters
    ----------
    target : str
        One of the eight target-NM labels of the settings.

    Returns
    -------
    dict
        ``{event: {term: coefficient}}`` in z units; terms as in `TERMS`.
    """
    stimulus, feedback = _PLANTED[target]
    return {
        EVENTS[0]: dict(zip(_STIMULUS, stimulus, strict=True)),
        EVENTS[1]: dict(zip(TERMS, feedback, strict=True)),
    }


def simulate_magnitudes(
    *,
    targets: Sequence[str] = ANALYZED,
    n_subjects: int = 6,
    sessions_per_subject: int = 2,
    n_trials: int = 300,
    effects: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
    subject_sd: float = 0.5,
    slope_sd: float = 0.1,
    noise_sd: float = 1.0,
    timing_effect: float = 0.0,
    wheel_effect: float = 0.0,
    contrasts: Sequence[float] = tuple(100 * c for c in FULL_CONTRASTS),
    n_unbiased: int | None = None,
    nogo_fraction: float = 0.0,
    n_shared_subjects: int = 0,
    session_type: str = "biased",
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Simulate the response magnitudes of a cohort.

    Parameters
    ----------
    targets : sequence of str
        Target-NM labels.
    n_subjects : int
        Mice per target.
    sessions_per_subject : int
    n_trials : int
        Per session.
    effects : mapping, optional
        ``{target: {event: {term: coefficient}}}`` in z units, terms as in `TERMS`, absent
        terms 0. Targets not named take `planted_effects`.
    subject_sd, slope_sd : float
        Standard deviation between the mice of a target of the intercept [z] and of the slope
        of contrast [z per unit of ln(c + 1)], drawn anew for each event.
    noise_sd : float
        Standard deviation of the trials [z].
    timing_effect : float
        Added to the response to the stimulus per unit of log₁₀(reaction time / s). As
        reaction times fall with contrast, a model without timing then sees it as contrast.
    wheel_effect : float
        Added to the peak velocity [rad/s] per unit of the response to the stimulus of the
        session's first fiber.
    contrasts : sequence of float
        Percent; equally frequent.
    n_unbiased : int, optional
        Trials before the blocks of 0.2 and 0.8 begin; by default all have 0.5.
    nogo_fraction : float
        Share of trials without a choice.
    n_shared_subjects : int
        Mice of each target that have a second fiber, in the next target.
    session_type : str
    seed : int

    Returns
    -------
    magnitudes : DataFrame
        Columns of the table of response magnitudes: one row per recording, event and trial.
    truth : dict
        ``effects`` and the parameters; ``contrast_center``, subtracted from ln(c + 1);
        ``random`` (DataFrame: target_NM, subject, event, intercept, slope) and
        ``trial_regressors`` (DataFrame: eid, trial, task columns, times [s],
        ``peak_velocity`` [rad/s]).

    Notes
    -----
    response = Σ βₖ·termₖ + u₀ + u₁·contrast + timing_effect·(log₁₀ RT + 0.5) + ε. Contrast
    is ln(c + 1) minus its mean over `contrasts`; sides and contrasts are balanced in each
    session, choices follow a psychometric curve, so errors are rare at high contrast.
    """
    rng = np.random.default_rng(seed)
    planted = {target: planted_effects(target) for target in targets if target in _PLANTED}
    planted |= {target: dict(event) for target, event in (effects or {}).items()}
    sessions = _sessions(rng, targets, n_subjects, sessions_per_subject, session_type)
    recordings = _recordings(rng, sessions, targets, n_shared_subjects)
    trials = _trials(rng, sessions, n_trials, np.asarray(contrasts), n_unbiased, nogo_fraction)
    center = float(np.log1p(np.asarray(contrasts)).mean())

    session = recordings["session"].to_numpy()
    contra = trials["is_right"][session] == (recordings["hemisphere"] == "l").to_numpy()[:, None]
    design = {
        "contrast": np.log1p(trials["contrast"])[session] - center,
        "side": contra - 0.5,
        "reward": np.where(trials["correct"], 0.5, -0.5)[session],
    }
    responses, random = {}, []
    for event in EVENTS:
        drawn = _random_effects(rng, recordings, event, subject_sd, slope_sd)
        random.append(drawn)
        mean = _fixed_part(recordings["target_NM"], design, planted, event)
        who = drawn.groupby(["target_NM", "subject"], sort=False).ngroup()
        who = pd.Series(who.to_numpy(), pd.MultiIndex.from_frame(drawn[["target_NM", "subject"]]))
        index = who.loc[pd.MultiIndex.from_frame(recordings[["target_NM", "subject"]])]
        u = drawn[["intercept", "slope"]].to_numpy()[index.to_numpy()]
        mean = mean + u[:, :1] + u[:, 1:] * design["contrast"]
        if event == EVENTS[0]:
            timing = trials["log10_reaction"][session] - _LOG10_REACTION
            mean = mean + timing_effect * timing
        responses[event] = mean + rng.normal(0, noise_sd, mean.shape)

    first = recordings.index[recordings["fiber_idx"] == 0].to_numpy()
    velocity = _velocity(rng, sessions, responses[EVENTS[0]][first], contra[first], wheel_effect)
    task = _task_columns(trials)
    magnitudes = _long_table(recordings, task, contra, responses, n_trials)
    truth = {
        "effects": {target: planted[target] for target in targets},
        "random": pd.concat(random, ignore_index=True),
        "contrast_center": center,
        "trial_regressors": _regressors(sessions, task, velocity, n_trials),
        "subject_sd": subject_sd,
        "slope_sd": slope_sd,
        "noise_sd": noise_sd,
        "timing_effect": timing_effect,
        "wheel_effect": wheel_effect,
        "seed": seed,
    }
    return magnitudes, truth


def _sessions(rng, targets, n_subjects, sessions_per_subject, session_type) -> pd.DataFrame:
    n = len(targets) * n_subjects * sessions_per_subject
    target = np.repeat(np.arange(len(targets)), n_subjects * sessions_per_subject)
    mouse = np.tile(np.repeat(np.arange(n_subjects), sessions_per_subject), len(targets))
    names = np.array([f"{target}_{i:03d}" for target in targets for i in range(n_subjects)])
    return pd.DataFrame(
        {
            "eid": [str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(n)],
            "subject": names[target * n_subjects + mouse].astype(object),
            "mouse": mouse,
            "target": target,
            "session_type": session_type,
            "NM": [targets[i].split("-")[1] for i in target],
        }
    )


def _recordings(rng, sessions, targets, n_shared) -> pd.DataFrame:
    side = rng.permuted(np.resize(["l", "r"], len(targets) * (sessions["mouse"].max() + 1)))
    which = (sessions["target"] * (sessions["mouse"].max() + 1) + sessions["mouse"]).to_numpy()
    first = sessions.assign(session=sessions.index, fiber_idx=0, hemisphere=side[which])
    second = first[(first["mouse"] < n_shared) & (len(targets) > 1)]
    second = second.assign(
        fiber_idx=1,
        target=(second["target"] + 1) % len(targets),
        hemisphere=second["hemisphere"].map({"l": "r", "r": "l"}),
    )
    table = pd.concat([first, second]).sort_values(["session", "fiber_idx"], ignore_index=True)
    label = np.array(targets, dtype=object)[table["target"]]
    return table.assign(
        target_NM=label,
        brain_region=[text.split("-")[0] for text in label],
        NM=[text.split("-")[1] for text in label],
    )


def _trials(rng, sessions, n_trials, contrasts, n_unbiased, nogo_fraction) -> dict:
    from scipy.special import erf

    shape = (len(sessions), n_trials)
    cells = np.resize(np.arange(2 * len(contrasts)), n_trials)
    cells = rng.permuted(np.broadcast_to(cells, shape), axis=1)
    contrast, is_right = contrasts[cells // 2], cells % 2 == 1
    p_left = np.full(shape, 0.5)
    if n_unbiased is not None:
        number = np.maximum(np.arange(n_trials) - n_unbiased, 0) // _BLOCK
        swap = rng.integers(2, size=(len(sessions), 1))
        block = np.where((number + swap) % 2 == 0, 0.2, 0.8)
        biased = np.arange(n_trials) >= n_unbiased
        p_left[:, biased] = block[:, biased]
        is_right[:, biased] = rng.random((shape[0], biased.sum())) >= p_left[:, biased]
    p_correct = _LAPSE + (1 - 2 * _LAPSE) * (1 + erf(contrast / _THRESHOLD)) / 2
    correct = rng.random(shape) < p_correct
    nogo = rng.random(shape) < nogo_fraction
    correct &= ~nogo
    choice = np.where(nogo, 0.0, np.where(is_right == correct, -1.0, 1.0))

    mice, mouse = np.unique(sessions["subject"], return_inverse=True)
    offset = rng.normal(0, _SUBJECT_TIMING_SD, (2, len(mice)))[:, mouse, None]
    coded = np.log1p(contrast) - np.log1p(contrasts).mean()
    reaction = _LOG10_REACTION + offset[0] + _LOG10_REACTION_PER_CONTRAST * coded
    reaction = reaction + rng.normal(0, _LOG10_REACTION_SD, shape)
    movement = _LOG10_MOVEMENT + offset[1] + rng.normal(0, _LOG10_REACTION_SD, shape)
    return {
        "contrast": contrast,
        "is_right": is_right,
        "p_left": p_left,
        "correct": correct,
        "nogo": nogo,
        "choice": choice,
        "log10_reaction": reaction,
        "log10_movement": movement,
    }


def _random_effects(rng, recordings, event, subject_sd, slope_sd) -> pd.DataFrame:
    pairs = recordings[["target_NM", "subject"]].drop_duplicates(ignore_index=True)
    return pairs.assign(
        event=event,
        intercept=rng.normal(0, subject_sd, len(pairs)),
        slope=rng.normal(0, slope_sd, len(pairs)),
    )


def _fixed_part(target, design, planted, event) -> np.ndarray:
    mean = np.zeros(design["contrast"].shape)
    for term in TERMS:
        coefficient = np.array([planted[name].get(event, {}).get(term, 0.0) for name in target])
        product = np.ones_like(mean)
        for factor in () if term == "Intercept" else term.split(":"):
            product = product * design[factor]
        mean += coefficient[:, None] * product
    return mean


def _velocity(rng, sessions, response, contra, wheel_effect) -> np.ndarray:
    mice, mouse = np.unique(sessions["subject"], return_inverse=True)
    offset = rng.normal(0, _SUBJECT_VELOCITY_SD, len(mice))[mouse, None]
    mean = _MEAN_VELOCITY + 0.3 * (contra - 0.5) + offset + wheel_effect * response
    return mean + rng.normal(0, _VELOCITY_SD, mean.shape)


def _task_columns(trials: dict) -> dict[str, np.ndarray]:
    is_right, contrast = trials["is_right"], trials["contrast"]
    reaction, movement = 10 ** trials["log10_reaction"], 10 ** trials["log10_movement"]
    reaction = np.where(trials["nogo"], np.nan, reaction)
    movement = np.where(trials["nogo"], np.nan, movement)
    response = np.where(trials["nogo"], _NO_GO_S, reaction + movement)
    return {
        "stim_side": np.where(is_right, "right", "left").astype(object),
        "contrast": contrast + 0.0,
        "signed_contrast": np.where(is_right, contrast, -contrast) + 0.0,
        "choice": trials["choice"],
        "feedbackType": np.where(trials["correct"], 1.0, -1.0),
        "probabilityLeft": trials["p_left"],
        "reaction_time": reaction,
        "movement_time": movement,
        "response_time": response,
    }


def _long_table(recordings, task, contra, responses, n_trials) -> pd.DataFrame:
    session = recordings["session"].to_numpy()
    identity = ["eid", "subject", "session_type", "NM", "target_NM"]
    identity += ["brain_region", "hemisphere", "fiber_idx"]
    ids = {name: np.repeat(recordings[name].to_numpy(), n_trials) for name in identity}
    columns = {name: values[session].ravel() for name, values in task.items()}
    left_hemisphere = (recordings["hemisphere"] == "l").to_numpy()[:, None]
    relative = task["signed_contrast"][session] * np.where(left_hemisphere, 1.0, -1.0) + 0.0
    trial = np.tile(np.arange(n_trials), len(recordings))
    tables = []
    for event, response in responses.items():
        tables.append(
            pd.DataFrame(
                {
                    **ids,
                    "event": event,
                    "trial": trial,
                    **{name: columns[name] for name in ("stim_side", "contrast")},
                    "signed_contrast": columns["signed_contrast"],
                    "relative_contrast": relative.ravel(),
                    "side": np.where(contra, "contra", "ipsi").astype(object).ravel(),
                    **{name: columns[name] for name in list(task)[3:]},
                    "response_early": response.ravel(),
                    "n_samples": _N_EARLY_SAMPLES,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _regressors(sessions, task, velocity, n_trials) -> pd.DataFrame:
    columns = {name: values.ravel() for name, values in task.items()}
    return pd.DataFrame(
        {
            "eid": np.repeat(sessions["eid"].to_numpy(), n_trials),
            "trial": np.tile(np.arange(n_trials), len(sessions)),
            **columns,
            "peak_velocity": velocity.ravel(),
        }
    )
