"""Simulated photometry: interleaved frames with known bleaching and responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.demo import realism
from iblnm.demo.kinetics import autocorrelated, sum_of_responses
from iblnm.demo.profiles import RESPONSE_PROFILES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iblnm.demo.realism import Nature

QUANTUM = 2e-7
DARK_LEVEL = 0.003922
LED_STATES = {"GCaMP": 2, "Isosbestic": 1, "": 0}
WAVELENGTHS = {"GCaMP": 470.0, "Isosbestic": 415.0, "": 0.0}
COLORS = {"GCaMP": "Blue", "Isosbestic": "Violet", "": None}
_FIRST_STATE = 7
_FRAME_CLOCK_S = 32e-6
_FRAME_CLOCK_OFFSET_S = 3000.0
_MARGIN_S = 20.0
_VALID_MARGIN_S = 8.0


@dataclass(frozen=True)
class Fiber:
    """One simulated fiber.

    Parameters
    ----------
    target : str
        Target-NM label, a key of `RESPONSE_PROFILES`.
    hemisphere : {'l', 'r'}
    roi : str
        Column of the signal.
    """

    target: str
    hemisphere: str
    roi: str

    @property
    def region(self) -> str:
        return self.target.split("-")[0]


@dataclass
class Frames:
    """Interleaved frames of one recording; arrays of equal length.

    Parameters
    ----------
    times : ndarray
        Session clock [s].
    band : ndarray of str
        Band per frame, '' for none.
    columns : dict of str to ndarray
        Fluorescence by signal column.
    valid : ndarray of bool
    state : ndarray of int
        LED state of the raw frame.
    raw_times : ndarray
        Camera clock [s].
    truth : dict
        By signal column: bleaching, noise, artifact.
    names : dict of str to str
        Names in the file of bands that have another there.
    """

    times: np.ndarray
    band: np.ndarray
    columns: dict[str, np.ndarray]
    valid: np.ndarray
    state: np.ndarray
    raw_times: np.ndarray
    truth: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def response_amplitude(
    target: str, event: str, contrast: np.ndarray, is_contra: np.ndarray, is_correct: np.ndarray
) -> np.ndarray:
    """True peak dF/F of the response to an event.

    Parameters
    ----------
    target : str
    event : {'stimOn_times', 'firstMovement_times', 'feedback_times'}
    contrast : array, fraction
    is_contra, is_correct : array of bool
        Stimulus opposite to the fiber's hemisphere; rewarded trial.
    """
    profile = RESPONSE_PROFILES[target]
    root = np.sqrt(contrast)
    if event == "stimOn_times":
        offset, slope, ipsi = profile.stim
        return (offset + slope * root) * np.where(is_contra, 1.0, ipsi)
    if event == "firstMovement_times":
        return np.full_like(root, profile.move)
    offset, slope = profile.reward
    return np.where(is_correct, offset + slope * root, profile.error)


def amplitude_table(target: str, contrasts: tuple[float, ...]) -> list[dict[str, Any]]:
    """`response_amplitude` for every event, contrast, side and outcome."""
    return [
        {
            "event": event,
            "contrast": 100 * contrast,
            "laterality": "contra" if contra else "ipsi",
            "outcome": "correct" if correct else "incorrect",
            "peak_dff": float(
                response_amplitude(
                    target, event, np.array(contrast), np.array(contra), np.array(correct)
                )
            ),
        }
        for event in ("stimOn_times", "firstMovement_times", "feedback_times")
        for contrast in contrasts
        for contra in (True, False)
        for correct in (True, False)
    ]


def simulate_frames(
    rng: np.random.Generator,
    trials: pd.DataFrame,
    fibers: list[Fiber],
    *,
    rate_hz: float = 30.0,
    has_isosbestic: bool = True,
    quantum: float = QUANTUM,
    anticorrelated: bool = False,
    start_s: float | None = None,
    natures: Sequence[Nature] | None = None,
) -> Frames:
    """Simulate the frames of a recording.

    Parameters
    ----------
    rng : Generator
    trials : DataFrame
        ALF trials table; the recording begins before and ends after it.
    fibers : list of Fiber
    rate_hz : float
        Frames per second and band; the camera takes twice as many.
    has_isosbestic : bool
        Else frames without LED are between those of GCaMP.
    quantum : float
        Step of the digitizer.
    anticorrelated : bool
        The artifact has the opposite sign in the isosbestic band.
    start_s : float, optional
        First frame, instead of the usual margin before the first trial.
    natures : sequence of Nature, optional
        By fiber: what makes a recording like a real one. Without, responses are strong and the
        same in every trial, animal and session.

    Returns
    -------
    Frames

    Notes
    -----
    F = F₀ · bleaching(t) · (1 + response + slow noise + artifact) + shot noise, rounded to
    the digitizer's step; the isosbestic band has its own bleaching, 0.8 of the artifact and
    no response. Bleaching is a sum of two exponentials of which the slow one dominates.
    With `natures` see `iblnm.demo.realism`.
    """
    first, last = float(trials["intervals_0"].iloc[0]), float(trials["intervals_1"].iloc[-1])
    begin = first - _MARGIN_S if start_s is None else start_s
    n = int((last + _MARGIN_S - begin) * 2 * rate_hz)
    ticks = np.round((np.arange(n) / (2 * rate_hz) + rng.normal(0, 2e-5, n)) / _FRAME_CLOCK_S)
    since = ticks * _FRAME_CLOCK_S
    times = np.round(begin + since, 6)
    band = np.where(np.arange(n) % 2 == 1, "GCaMP", "Isosbestic" if has_isosbestic else "")
    band = band.astype(object)
    state = np.where(band == "GCaMP", LED_STATES["GCaMP"], LED_STATES["Isosbestic"])
    if not has_isosbestic:
        state = np.where(band == "GCaMP", LED_STATES["GCaMP"], LED_STATES[""])
    band[0] = ""
    state[0] = _FIRST_STATE if has_isosbestic else LED_STATES[""]
    frames = Frames(
        times=times,
        band=band,
        columns={},
        valid=(times >= first - _VALID_MARGIN_S) & (times <= last + _VALID_MARGIN_S),
        state=state,
        raw_times=since + _FRAME_CLOCK_OFFSET_S,
    )
    if natures is not None:
        artifact = realism.artifact_course(rng, times, trials, 2 * rate_hz)
    else:
        artifact = 0.012 * autocorrelated(rng, n, 2 * rate_hz, tau_s=0.5)
    for i, fiber in enumerate(fibers):
        if natures is not None:
            values, truth = _realistic_fluorescence(
                rng, frames, trials, fiber, natures[i], artifact, 2 * rate_hz, anticorrelated
            )
        else:
            response = _responses(times, trials, fiber, 2 * rate_hz)
            slow = autocorrelated(rng, n, 2 * rate_hz, tau_s=3.0) * 0.003
            values, truth = _fluorescence(
                rng, since, response + slow, artifact, band, anticorrelated
            )
        values[band == ""] = DARK_LEVEL
        frames.columns[fiber.roi] = np.round(values / quantum) * quantum
        frames.truth[fiber.roi] = {**truth, "quantum": quantum}
    return frames


def signal_table(frames: Frames, *, valid_column: str = "valid") -> pd.DataFrame:
    """Frames as ``photometry.signal.pqt``; with ``include`` in the older layout."""
    is_old = valid_column == "include"
    lookup = {name: np.nan for name in WAVELENGTHS if not name and not is_old}
    wavelength = pd.Series(frames.band).map({**WAVELENGTHS, **lookup}).to_numpy(np.float64)
    empty = None if is_old else ""
    named = pd.Series(frames.band).replace(frames.names).to_numpy()
    name = np.where(frames.band == "", empty, named)
    color = pd.Series(frames.band).map({**COLORS, "": empty}).to_numpy(object)
    table = {**frames.columns, "times": frames.times}
    if not is_old:
        table[valid_column] = frames.valid
    table.update(wavelength=wavelength, name=name, color=color)
    if is_old:
        table[valid_column] = frames.valid
    return pd.DataFrame(table)


def raw_table(frames: Frames, *, is_old: bool = False) -> pd.DataFrame:
    """Frames as ``_neurophotometrics_fpData.raw.pqt``; of an older version if `is_old`."""
    n = len(frames.times)
    if is_old:
        head = {"Timestamp": frames.raw_times, "LedState": frames.state.astype(np.int64)}
    else:
        head = {
            "SystemTimestamp": frames.raw_times,
            "LedState": frames.state.astype(np.int16),
            "ComputerTimestamp": np.round(frames.raw_times * 1000 + 5e7, 3),
        }
    return pd.DataFrame({"FrameCounter": np.arange(n), **head, **frames.columns})


def _responses(
    times: np.ndarray, trials: pd.DataFrame, fiber: Fiber, frame_rate: float
) -> np.ndarray:
    """Sum of all responses, each of the difference of two exponentials with peak 1."""
    left = trials["contrastLeft"].to_numpy()
    is_left = ~np.isnan(left)
    contrast = np.where(is_left, left, trials["contrastRight"].to_numpy())
    is_contra = is_left == (fiber.hemisphere == "r")
    is_correct = trials["feedbackType"].to_numpy() == 1
    onset, amplitude = [], []
    for event in ("stimOn_times", "firstMovement_times", "feedback_times"):
        at = trials[event].to_numpy()
        size = response_amplitude(fiber.target, event, contrast, is_contra, is_correct)
        known = np.isfinite(at) & (at < times[-1])
        onset.append(at[known])
        amplitude.append(size[known])
    return sum_of_responses(times, np.concatenate(onset), np.concatenate(amplitude), frame_rate)


def _fluorescence(
    rng: np.random.Generator,
    since: np.ndarray,
    neural: np.ndarray,
    artifact: np.ndarray,
    band: np.ndarray,
    anticorrelated: bool,
) -> tuple[np.ndarray, dict[str, float]]:
    length = since[-1]
    tau, tau_iso = length * rng.uniform(0.35, 0.55, 2)
    fast = length * 0.03
    level, level_iso = rng.uniform(0.018, 0.03), rng.uniform(0.012, 0.016)
    slow_part, slow_part_iso = rng.uniform(0.2, 0.35), rng.uniform(0.1, 0.2)
    shared = 0.8 * (-1.0 if anticorrelated else 1.0)
    noise = 0.003

    def bleaching(part: float, tau_s: float) -> np.ndarray:
        return 1 - part - 0.015 + part * np.exp(-since / tau_s) + 0.015 * np.exp(-since / fast)

    gcamp = level * bleaching(slow_part, tau) * (1 + neural + artifact)
    iso = level_iso * bleaching(slow_part_iso, tau_iso) * (1 + shared * artifact)
    is_gcamp = band == "GCaMP"
    mean = np.where(is_gcamp, gcamp, iso)
    scale = np.where(is_gcamp, level, level_iso) * noise
    values = mean + rng.normal(0, 1, len(since)) * scale
    truth = {
        "bleaching_tau_s": tau,
        "bleaching_fast_tau_s": fast,
        "bleaching_fraction": slow_part,
        "level": level,
        "isosbestic_bleaching_tau_s": tau_iso,
        "isosbestic_level": level_iso,
        "isosbestic_artifact_gain": shared,
        "shot_noise_dff": noise,
    }
    return values, {name: round(float(value), 9) for name, value in truth.items()}


def _realistic_fluorescence(
    rng: np.random.Generator,
    frames: Frames,
    trials: pd.DataFrame,
    fiber: Fiber,
    nature: Nature,
    artifact: np.ndarray,
    frame_rate: float,
    anticorrelated: bool,
) -> tuple[np.ndarray, dict[str, Any]]:
    times = frames.times
    since = times - times[0]
    length, n = since[-1], len(since)
    tau, tau_iso = length * rng.uniform(0.35, 0.55, 2)
    fast = length * 0.03
    level, level_iso = rng.uniform(0.018, 0.03), rng.uniform(0.012, 0.016)
    neural = realism.neural_signal(rng, times, trials, fiber.hemisphere, nature, frame_rate)
    size = realism.artifact_sd(float(np.hypot(neural.std(), nature.noise_dff)), nature)
    shared = realism.reference_gains(rng, n, nature, frame_rate)
    shared *= -1.0 if anticorrelated else 1.0
    white = rng.standard_normal(n)
    bleaching = realism.bleaching_course(since, nature.bleaching, tau, fast)
    gcamp = level * bleaching * (1 + neural + size * artifact + nature.noise_dff * white)
    bleaching = realism.bleaching_course(since, nature.reference_bleaching, tau_iso, fast)
    iso = 1 + shared * size * artifact + nature.reference_noise_dff * white
    values = np.where(frames.band == "GCaMP", gcamp, level_iso * bleaching * iso)
    truth = {
        "bleaching_tau_s": tau,
        "bleaching_fast_tau_s": fast,
        "bleaching_fraction": realism.bleaching_part(length, nature.bleaching, tau, fast),
        "level": level,
        "isosbestic_bleaching_tau_s": tau_iso,
        "isosbestic_level": level_iso,
        "isosbestic_artifact_gain": float(shared.mean()),
        "artifact_dff": size,
        "shot_noise_dff": nature.noise_dff,
    }
    rounded = {name: round(float(value), 9) for name, value in truth.items()}
    return values, {**rounded, **nature.to_dict()}
