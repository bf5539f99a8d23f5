"""Psychometric fits: planted curves, psychofit as oracle, degenerate data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import erf

from iblnm.errors import MalformedFileError
from iblnm.task import (
    compute_bias_shift,
    compute_fraction_correct,
    compute_trial_contrasts,
    fit_psychometric,
    fit_psychometric_by_block,
)
from iblnm.task._erf_fit import Search, maximize_likelihood, negative_log_likelihood
from iblnm.task.psychometric import LOWER, PARAMETERS, START, UPPER

LEVELS = np.array([-100, -25, -12.5, -6.25, 0, 6.25, 12.5, 25, 100.0])
LIKELIHOOD_TOLERANCE = 1e-6


def _p_right(parameters, contrast):
    bias, threshold, g1, g2 = parameters
    return g1 + (1 - g1 - g2) * (erf((contrast - bias) / threshold) + 1) / 2


def _from_counts(levels, right, left):
    contrast = np.repeat(levels, np.add(right, left).astype(int))
    choice = np.concatenate(
        [np.repeat([-1.0, 1.0], [int(r), int(n)]) for r, n in zip(right, left, strict=True)]
    )
    return pd.DataFrame({"signed_contrast": contrast, "choice": choice})


def _random_counts(rng, n_trials=None, levels=None):
    """Counts of a random session: sane curves, absurd curves, few trials, few levels."""
    choices = [LEVELS, LEVELS[[0, 1, 7, 8]], np.array([-100, -50, 50, 100.0]), LEVELS[[0, 8]]]
    levels = choices[rng.choice(4, p=[0.6, 0.15, 0.15, 0.1])] if levels is None else levels
    n_trials = n_trials or int(rng.choice([30, 100, 300, 800]))
    n = rng.multinomial(n_trials, np.full(len(levels), 1 / len(levels)))
    levels, n = levels[n > 0], n[n > 0]
    if rng.random() < 0.7:
        lapses = rng.uniform(0, 0.3, 2)
        p = _p_right((rng.normal(0, 25), rng.uniform(3, 70), *lapses), levels)
    else:
        p = rng.random(len(levels)) ** rng.choice([0.1, 1.0, 8.0])
    right = rng.binomial(n, p)
    return levels, right.astype(float), (n - right).astype(float)


def _psychofit(levels, right, left, nfits=10):
    psychofit = pytest.importorskip("psychofit")
    n = right + left
    _, log_likelihood = psychofit.mle_fit_psycho(
        np.vstack([levels, n, right / n]),
        P_model="erf_psycho_2gammas",
        parstart=np.array(START),
        parmin=np.array(LOWER),
        parmax=np.array(UPPER),
        nfits=nfits,
    )
    return -log_likelihood


def _fit_counts(levels, right, left):
    return maximize_likelihood(
        levels,
        right,
        left,
        start=np.array(START),
        lower=np.array(LOWER),
        upper=np.array(UPPER),
    )


@pytest.mark.parametrize(
    "planted",
    [
        (0.0, 20.0, 0.05, 0.05),
        (12.0, 30.0, 0.02, 0.15),
        (-20.0, 15.0, 0.15, 0.01),
        (5.0, 45.0, 0.1, 0.1),
    ],
)
def test_planted_curve_is_recovered(planted):
    """Exact proportions in many trials: what is left is the rounding of the counts."""
    n = np.full(len(LEVELS), 100_000)
    right = np.round(n * _p_right(planted, LEVELS))
    fit = fit_psychometric(_from_counts(LEVELS, right, n - right))
    np.testing.assert_allclose([fit["bias"], fit["threshold"]], planted[:2], atol=0.05)
    np.testing.assert_allclose([fit["lapse_left"], fit["lapse_right"]], planted[2:], atol=2e-4)
    assert fit["r_squared"] > 0.999999
    assert fit["at_bound"] is False
    assert fit["n_trials"] == n.sum()


@pytest.mark.slow
def test_noisy_sessions_are_unbiased(make_trials):
    """Mean of 60 sessions of 800 trials within three standard errors of the truth."""
    planted = (8.0, 25.0, 0.06, 0.12)
    fits = pd.DataFrame(
        fit_psychometric(make_trials(np.full(800, 0.5), seed=seed, curves={0.5: planted}))
        for seed in range(60)
    )
    estimates = fits[list(PARAMETERS)]
    error = (estimates.mean() - planted).abs()
    assert (error <= 3 * estimates.std() / np.sqrt(60) + [0.3, 1.5, 0.01, 0.01]).all()
    assert error["bias"] < 1.5
    assert error["threshold"] < 3


def test_lapse_left_is_errors_on_strong_left_stimuli():
    """Right choices on 20 % of the strongest left stimuli, none missed on the right."""
    levels = np.array([-100.0, -50.0, 50.0, 100.0])
    fit = fit_psychometric(_from_counts(levels, [30, 30, 200, 200], [170, 170, 0, 0]))
    assert fit["lapse_left"] == pytest.approx(0.15, abs=1e-3)
    assert fit["lapse_right"] == pytest.approx(0.0, abs=1e-3)


def test_alf_choice_minus_one_is_right(make_trials):
    trials = make_trials(np.full(400, 0.5))
    mirrored = trials.assign(choice=-trials["choice"])
    assert fit_psychometric(trials)["r_squared"] > 0.9
    assert fit_psychometric(mirrored)["r_squared"] < 0


@pytest.mark.slow
def test_mirror_image():
    """Swapping sides negates the bias and swaps the lapses."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        levels, right, left = _random_counts(rng, 600, LEVELS)
        one, value = _fit_counts(levels, right, left)
        _, mirrored_value = _fit_counts(-levels[::-1], left[::-1], right[::-1])
        assert value == pytest.approx(mirrored_value, abs=1e-7)
        mirror = np.array([-one[0], one[1], one[3], one[2]])
        p = _p_right(mirror, -levels[::-1])
        assert negative_log_likelihood(p, left[::-1], right[::-1]) == pytest.approx(value)


@pytest.mark.slow
def test_never_less_likely_than_psychofit():
    rng = np.random.default_rng(0)
    np.random.seed(0)  # noqa: NPY002 (psychofit draws its starts from the global state)
    for _ in range(60):
        counts = _random_counts(rng)
        parameters, value = _fit_counts(*counts)
        assert value <= _psychofit(*counts) + LIKELIHOOD_TOLERANCE
        assert (parameters >= LOWER).all() and (parameters <= UPPER).all()


@pytest.mark.slow
def test_small_data_sets_end_in_no_worse_maximum_than_a_dense_search():
    rng = np.random.default_rng(123)
    dense = Search(n_bias=81, n_threshold=21, n_starts=40, n_lapse_steps=12)
    bounds = {"start": np.array(START), "lower": np.array(LOWER), "upper": np.array(UPPER)}
    for _ in range(150):
        counts = _random_counts(rng, int(rng.integers(10, 61)))
        _, value = _fit_counts(*counts)
        _, best = maximize_likelihood(*counts, **bounds, search=dense)
        assert value <= best + LIKELIHOOD_TOLERANCE


@pytest.mark.slow
def test_likelihood_is_that_of_psychofit():
    psychofit = pytest.importorskip("psychofit")
    rng = np.random.default_rng(1)
    for _ in range(50):
        levels, right, left = _random_counts(rng)
        parameters, value = _fit_counts(levels, right, left)
        n = right + left
        theirs = psychofit.neg_likelihood(
            parameters,
            np.vstack([levels, n, right / n]),
            "erf_psycho_2gammas",
            np.array(LOWER),
            np.array(UPPER),
        )
        assert value == pytest.approx(theirs, abs=1e-8, rel=1e-12)


@pytest.mark.slow
def test_global_maximum_against_many_random_starts():
    rng = np.random.default_rng(2)
    lower, upper = np.array(LOWER), np.array(UPPER)
    for _ in range(25):
        levels, right, left = _random_counts(rng)
        _, value = _fit_counts(levels, right, left)
        best = min(
            minimize(
                lambda x, k, r, n: negative_log_likelihood(_p_right(x, k), r, n),
                lower + rng.random(4) * (upper - lower),
                args=(levels, right, left),
                method="L-BFGS-B",
                bounds=list(zip(lower, upper, strict=True)),
            ).fun
            for _ in range(15)
        )
        assert value <= best + LIKELIHOOD_TOLERANCE


def test_derivatives():
    """Analytic gradient and Hessian against central differences."""
    from iblnm.task._erf_fit import _derivatives, _evaluate

    right = np.array([3.0, 8, 11, 14, 20, 26, 30, 33, 37])
    left = 40 - right
    at = np.array([[3.0, 22.0, 0.07, 0.11], [-20.0, 40.0, 0.01, 0.19]])

    def gradient(x):
        value, z, high, p = _evaluate(x, LEVELS, right, left)
        return value, *_derivatives(x, z, high, p, right, left)

    _, slope, hessian, _ = gradient(at)
    for i, step in enumerate([1e-4, 1e-4, 1e-6, 1e-6]):
        shift = np.zeros(4)
        shift[i] = step
        above, below = gradient(at + shift), gradient(at - shift)
        np.testing.assert_allclose(
            (above[0] - below[0]) / (2 * step), slope[:, i], rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(
            (above[1] - below[1]) / (2 * step), hessian[:, i], rtol=1e-4, atol=1e-3
        )


def test_deterministic_and_independent_of_order(make_trials):
    trials = make_trials(np.full(500, 0.5), seed=5)
    np.random.seed(1)  # noqa: NPY002 (the global state must not matter)
    first = fit_psychometric(trials)
    np.random.seed(2)  # noqa: NPY002
    assert fit_psychometric(trials.sample(frac=1, random_state=0)) == first


def test_nogo_trials_are_left_out(make_trials):
    trials = make_trials(np.full(500, 0.5), seed=6, nogo=0.3)
    fit = fit_psychometric(trials)
    assert fit["n_trials"] == (trials["choice"] != 0).sum() < 400
    assert fit == fit_psychometric(trials[trials["choice"] != 0])


def test_one_block(make_trials):
    p_left = np.repeat([0.5, 0.2, 0.8], 300)
    trials = make_trials(p_left, seed=7)
    assert fit_psychometric(trials, 0.2) == fit_psychometric(trials.iloc[300:600])
    assert fit_psychometric(trials)["n_trials"] == 900


def test_contrasts_and_derived_columns_agree(make_trials):
    trials = make_trials(np.full(300, 0.5), seed=8)
    derived = trials.assign(**compute_trial_contrasts(trials))
    assert fit_psychometric(trials) == fit_psychometric(derived)
    assert fit_psychometric(trials)["contrasts"] == LEVELS.tolist()


def test_r_squared_is_over_contrast_means_and_not_clamped():
    levels = np.array([-100.0, -50.0, 50.0, 100.0])
    fit = fit_psychometric(_from_counts(levels, [49, 51, 51, 49], [51, 49, 49, 51]))
    means = np.array([0.49, 0.51, 0.51, 0.49])
    model = _p_right([fit[name] for name in PARAMETERS], levels)
    expected = 1 - np.sum((means - model) ** 2) / np.sum((means - means.mean()) ** 2)
    assert fit["r_squared"] == pytest.approx(expected)
    assert expected < 0
    assert np.isnan(fit_psychometric(_from_counts(levels, [5] * 4, [5] * 4))["r_squared"])


def test_r_squared_on_demand(make_trials):
    trials = make_trials(np.full(300, 0.5))
    without = fit_psychometric(trials, compute_r_squared=False)
    assert np.isnan(without["r_squared"])
    assert without["bias"] == fit_psychometric(trials)["bias"]


@pytest.mark.parametrize(
    ("planted", "at_bound"),
    [
        ((0.0, 20.0, 0.05, 0.05), False),
        ((0.0, 20.0, 0.0, 0.0), False),
        ((0.0, 20.0, 0.3, 0.05), True),
        ((0.0, 20.0, 0.05, 0.3), True),
        ((0.0, 4.0, 0.05, 0.05), True),
        ((0.0, 90.0, 0.05, 0.05), True),
        ((70.0, 45.0, 0.05, 0.05), True),
        ((-70.0, 45.0, 0.05, 0.05), True),
    ],
)
def test_at_bound(planted, at_bound):
    n = np.full(len(LEVELS), 2000)
    right = np.round(n * _p_right(planted, LEVELS))
    assert fit_psychometric(_from_counts(LEVELS, right, n - right))["at_bound"] is at_bound


@pytest.mark.parametrize(
    ("levels", "n_trials"),
    [
        ([], 0),
        ([-100.0, 100.0], 8),
        ([-100.0], 100),
        ([0.0], 100),
        ([-100.0, -25.0, 0.0], 300),
        ([0.0, 25.0, 100.0], 300),
    ],
)
def test_nothing_to_fit(levels, n_trials):
    per_level = n_trials // max(len(levels), 1)
    half = np.full(len(levels), per_level // 2)
    trials = pd.DataFrame({"signed_contrast": [], "choice": []}, dtype=float)
    if levels:
        trials = _from_counts(np.array(levels), half, per_level - half)
    fit = fit_psychometric(trials)
    assert fit["n_trials"] == n_trials
    assert fit["contrasts"] == levels
    assert fit["at_bound"] is False
    numbers = [*PARAMETERS, "r_squared", "log_likelihood"]
    assert all(np.isnan(fit[name]) for name in numbers)


def test_keys(make_trials):
    fit = fit_psychometric(make_trials(np.full(100, 0.5)))
    assert set(fit) == {
        *PARAMETERS,
        "r_squared",
        "n_trials",
        "at_bound",
        "log_likelihood",
        "contrasts",
    }
    assert all(type(fit[name]) is float for name in (*PARAMETERS, "r_squared"))


def test_perfect_and_one_sided_choices_do_not_fail():
    n = np.full(len(LEVELS), 50)
    for right in (n, np.zeros_like(n), np.where(LEVELS > 0, n, 0), np.where(LEVELS > 0, 0, n)):
        fit = fit_psychometric(_from_counts(LEVELS, right, n - right))
        assert np.isfinite([fit[name] for name in PARAMETERS]).all()


def test_missing_columns(make_trials):
    trials = make_trials(np.full(100, 0.5))
    with pytest.raises(MalformedFileError, match="choice"):
        fit_psychometric(trials.drop(columns="choice"))
    with pytest.raises(MalformedFileError, match="probabilityLeft"):
        fit_psychometric(trials.drop(columns="probabilityLeft"), 0.5)


def test_trials_that_are_not_loaded_are_told():
    for function in (fit_psychometric, fit_psychometric_by_block, compute_fraction_correct):
        with pytest.raises(ValueError, match="there is no table of trials"):
            function(None)


def test_by_block_and_bias_shift(make_trials):
    p_left = np.tile(np.repeat([0.5, 0.2, 0.8], 1500), 2)
    curves = {
        0.5: (0.0, 20.0, 0.05, 0.05),
        0.2: (-10.0, 20.0, 0.05, 0.05),
        0.8: (10.0, 20.0, 0.05, 0.05),
    }
    fits = fit_psychometric_by_block(make_trials(p_left, curves=curves, seed=9))
    assert list(fits) == ["50", "20", "80"]
    assert all(fit["n_trials"] == 3000 for fit in fits.values())
    for name, bias in (("50", 0), ("20", -10), ("80", 10)):
        assert fits[name]["bias"] == pytest.approx(bias, abs=3)
    shift = compute_bias_shift(fits["20"], fits["80"])
    assert shift == fits["80"]["bias"] - fits["20"]["bias"]
    assert shift == pytest.approx(20, abs=4)


def test_by_block_of_a_training_session(make_trials):
    fits = fit_psychometric_by_block(make_trials(np.full(200, 0.5)))
    assert fits["50"]["n_trials"] == 200
    assert fits["20"]["n_trials"] == fits["80"]["n_trials"] == 0
    assert np.isnan(compute_bias_shift(fits["20"], fits["80"]))


@pytest.mark.real
def test_real_sessions_against_psychofit(real_trials):
    _, trials = real_trials
    trials = trials.assign(**compute_trial_contrasts(trials))
    trials = trials[trials["choice"] != 0]
    counts = pd.crosstab(trials["signed_contrast"], trials["choice"])
    np.random.seed(0)  # noqa: NPY002 (psychofit draws its starts from the global state)
    theirs = _psychofit(
        counts.index.to_numpy(), counts[-1].to_numpy(float), counts[1].to_numpy(float)
    )
    fit = fit_psychometric(trials)
    assert -fit["log_likelihood"] <= theirs + LIKELIHOOD_TOLERANCE
    assert fit["n_trials"] == len(trials)
