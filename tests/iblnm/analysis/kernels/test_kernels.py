"""Kernels of one regression on all events: planted responses, and the algebra by definition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.signal_cohort import (
    CENTER,
    Noise,
    kernel,
    magnitudes_of,
    simulate_cohort,
    simulate_task,
)

from iblnm.analysis.kernels.design import (
    block_indicators,
    event_conditions,
    folds_of,
    lagged_design,
    lags,
)
from iblnm.analysis.kernels.regression import fit_kernels
from iblnm.analysis.kernels.solver import fit_ridge

FS = 30.0
EFFECTS = {
    "stimOn_times": {"Intercept": 0.02, "contrast": 0.006, "side": 0.01},
    "firstMovement_times": {"Intercept": 0.006},
    "feedback_times": {"Intercept": 0.02, "reward": 0.02},
}


@pytest.fixture(scope="module")
def recordings():
    quiet = Noise(shot=0.003, slow=0.002, artifact=0.003)
    return simulate_cohort(5, EFFECTS, n_subjects=6, n_trials=240, noise=quiet)


def effects_of(recording, magnitude, names) -> dict[str, float]:
    """Coefficients of one recording in dF/F, by least squares."""
    trials = recording.trials
    contra = (trials["stim_side"] == "right").to_numpy() == (recording.meta["hemisphere"] == "l")
    terms = {
        "Intercept": np.ones(len(trials)),
        "contrast": np.log1p(trials["contrast"].to_numpy(float)) - CENTER,
        "side": contra - 0.5,
        "reward": np.where(trials["feedbackType"] == 1, 0.5, -0.5),
    }
    design = np.column_stack([terms[name] for name in names])
    known = np.isfinite(magnitude)
    beta = np.linalg.lstsq(design[known], magnitude[known], rcond=None)[0]
    return dict(zip(names, beta * recording.signal.attrs["sd"], strict=True))


@pytest.mark.slow
def test_what_is_planted_is_found_where_the_baseline_carries_the_stimulus(recordings):
    names = ["Intercept", "contrast", "side", "reward"]
    masked = magnitudes_of(recordings)
    found, biased = [], []
    for recording in recordings:
        times, z = recording.signal["time"].to_numpy(), recording.signal["signal"].to_numpy()
        (fit,) = fit_kernels(times, z[None], recording.trials)
        found.append(effects_of(recording, fit.magnitude[2], names))
        own = masked[(masked["eid"] == recording.meta["eid"])]
        early = own.loc[own["event"] == "feedback_times", "response_early"].to_numpy(float)
        biased.append(effects_of(recording, early, names))
        stimulus = effects_of(recording, fit.magnitude[0], names[:3])
        assert stimulus["contrast"] == pytest.approx(0.006, abs=0.0012)
    found, biased = pd.DataFrame(found).mean(), pd.DataFrame(biased).mean()
    planted = {"Intercept": 0.02, "contrast": 0.0, "side": 0.0, "reward": 0.02}
    for name, value in planted.items():
        assert found[name] == pytest.approx(value, abs=0.0008), name
    assert biased["contrast"] < -0.0015
    assert biased["side"] < -0.0015
    assert biased["Intercept"] < 0.015


def test_the_kernel_is_the_planted_response(recordings):
    recording = recordings[0]
    times, z = recording.signal["time"].to_numpy(), recording.signal["signal"].to_numpy()
    (fit,) = fit_kernels(times, z[None], recording.trials)
    (movement,) = [i for i, c in enumerate(fit.conditions) if c.event == "firstMovement_times"]
    found = fit.kernels[movement] * recording.signal.attrs["sd"]
    found = found - found[(fit.time >= -0.1) & (fit.time < 0)].mean()
    near = (fit.time > 0.05) & (fit.time < 1.0)
    assert np.abs(found - 0.006 * kernel(fit.time))[near].max() < 0.0025
    assert np.corrcoef(found[near], kernel(fit.time)[near])[0, 1] > 0.9


def test_a_signal_of_kernels_is_reproduced_between_samples():
    """Without noise and penalty little is left, wherever between samples the events are."""
    rng = np.random.default_rng(1)
    trials = simulate_task(rng, 60)
    times = np.arange(0, trials["feedback_times"].iloc[-1] + 10, 1 / FS)
    conditions, lag = event_conditions(trials), lags((-0.2, 0.6), FS)
    design = lagged_design(0.0, len(times), FS, conditions, lag)
    beta = rng.normal(size=design.shape[1])
    at = conditions[0].times[0]
    alone = lagged_design(0.0, len(times), FS, conditions[:1], lag)[:, : len(lag)]
    own = np.interp(times - at, lag / FS, beta[: len(lag)], left=np.nan, right=np.nan)
    inside = np.isfinite(own) & (np.abs(times - at) < 0.15)
    np.testing.assert_allclose((alone @ beta[: len(lag)])[inside], own[inside], atol=1e-9)
    (fit,) = fit_kernels(
        times,
        (design @ beta)[None],
        trials,
        kernel_window=(-0.2, 0.6),
        penalties=(1e-9,),
        baseline_window=None,
    )
    assert fit.r2 > 0.99
    counted = sum(len(c.times) for c in conditions)
    assert counted == 5 * 60  # stimulus, movement, feedback and its two modulators


def test_the_ridge_is_that_of_the_definition():
    rng = np.random.default_rng(2)
    from scipy.sparse import random as sparse_random

    design = sparse_random(400, 12, 0.3, format="csr", random_state=3)
    signals = design @ rng.normal(size=(12, 2)) + rng.normal(size=(400, 2))
    folds, penalties = np.arange(400) // 20 % 4, (0.5, 5.0, 50.0)
    fit = fit_ridge(design, signals, folds, penalties, n_free=2)
    dense = design.toarray()

    def solve(rows, penalty):
        ridge = np.diag([penalty] * 10 + [1e-6] * 2)
        return np.linalg.solve(dense[rows].T @ dense[rows] + ridge, dense[rows].T @ signals[rows])

    errors = np.zeros((3, 2))
    for i, penalty in enumerate(penalties):
        for fold in range(4):
            beta = solve(folds != fold, penalty)
            errors[i] += ((signals - dense @ beta)[folds == fold] ** 2).sum(axis=0)
    best = errors.argmin(axis=0)
    np.testing.assert_array_equal(fit.penalty, np.array(penalties)[best])
    for k in range(2):
        expected = solve(np.ones(400, bool), penalties[best[k]])[:, k]
        np.testing.assert_allclose(fit.beta[:, k], expected, rtol=1e-8)
    total = ((signals - signals.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(fit.r2, 1 - errors.min(axis=0) / total, rtol=1e-8)


@pytest.mark.slow
def test_missing_samples_are_left_out_and_their_trials_have_no_magnitude(recordings):
    recording = recordings[1]
    times, z = recording.signal["time"].to_numpy(), recording.signal["signal"].to_numpy().copy()
    at = float(recording.trials["stimOn_times"].iloc[100])
    gap = (times > at - 1) & (times < at + 1)
    (whole,) = fit_kernels(times, z[None], recording.trials)
    wild = np.where(gap, 1e6, z)
    missing = np.where(gap, np.nan, z)
    found, other, none = fit_kernels(
        times, np.stack([missing, wild, np.full_like(z, np.nan)]), recording.trials
    )
    assert np.isnan(found.magnitude[0, 100])
    assert found.n_samples[0, 100] == 0
    known = np.isfinite(found.magnitude[0])
    assert known.sum() >= 238
    np.testing.assert_allclose(found.magnitude[0][known], whole.magnitude[0][known], atol=0.3)
    assert np.abs(other.magnitude[0]).max() > 100
    assert none is None


def test_blocks_have_levels_and_folds_are_stretches():
    trials = pd.DataFrame(
        {"stimOn_times": [1.0, 3.0, 5.0, 7.0], "probabilityLeft": [0.5, 0.5, 0.8, 0.2]}
    )
    times = np.arange(0, 9, 0.5)
    blocks = block_indicators(times, trials).toarray()
    assert blocks.sum(axis=0).tolist() == [10, 4, 4]
    assert blocks[times < 5, 0].all()
    folds = folds_of(30 * 600, 30.0, 3)
    assert np.flatnonzero(np.diff(folds)).tolist() == [3599, 7199, 10799, 14399]
    assert np.bincount(folds_of(90, 30.0, 3)).tolist() == [30, 30, 30]
