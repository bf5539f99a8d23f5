"""Recordings that are like real ones, and the coefficients planted in them."""

import json

import numpy as np
import pandas as pd
import pytest
from bench import planted

from iblnm.constants import FEEDBACK_EVENT, MOVEMENT_EVENT, STIMULUS_EVENT, TASK_CONTRASTS
from iblnm.demo import build_archive, simulate_session
from iblnm.demo.effects import (
    MEAN_GAIN,
    OWN_TERMS,
    amplitudes,
    animal_coefficients,
    early_factor,
    population_coefficients,
    session_coefficients,
)
from iblnm.demo.photometry import Fiber
from iblnm.demo.profiles import RESPONSE_PROFILES
from iblnm.demo.realism import Nature, artifact_sd, bleaching_course, draw_nature
from iblnm.task import add_trial_columns

SMALL = {"n_subjects": 2, "sessions_per_subject": 2, "duration_s": 300.0, "defects": False}


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real") / "alf"
    build_archive(folder, **SMALL)
    return json.loads((folder / "truth.json").read_text())


def test_every_coefficient_of_the_models_is_in_the_truth(truth):
    population = planted.of_population(truth)
    feedback = population.xs("feedback_times", level="event")
    factors = ("contrast", "side", "reward")
    terms = {"Intercept", *factors, "contrast:side", "contrast:reward", "side:reward"}
    assert set(feedback.index.get_level_values("term")) == {*terms, "contrast:side:reward"}
    stimulus = population.xs("stimOn_times", level="event")
    assert set(stimulus.index.get_level_values("term")) == {
        *terms - {"reward", "contrast:reward", "side:reward"}
    }
    own = planted.of_recordings(truth)
    assert own["eid"].nunique() == len(truth["sessions"]) == 4
    assert own["planted"].notna().all()
    mean = population_coefficients("VTA-DA")["feedback_times"]["reward"]
    found = population["VTA-DA", "feedback_times", "reward"]
    assert found == pytest.approx(early_factor() * mean)


def test_the_same_animal_has_the_same_coefficients_in_the_truth(truth):
    animal = truth["animals"][0]
    expected = animal_coefficients(animal["target_NM"], 0, 0, 0)
    for event, terms in animal["coefficients"].items():
        for name, value in terms.items():
            wanted = early_factor() * expected[event][name]
            assert value == pytest.approx(wanted, abs=1e-8), (event, name)


@pytest.mark.slow
def test_animals_and_sessions_differ_about_the_mean_of_the_target():
    target = "VTA-DA"
    mean = population_coefficients(target)[FEEDBACK_EVENT]
    rng = np.random.default_rng(0)
    animals = [animal_coefficients(target, 0, i, 0) for i in range(4000)]
    for name in ("Intercept", "contrast", "reward", "contrast:reward"):
        values = np.array([animal[FEEDBACK_EVENT][name] for animal in animals])
        assert values.mean() == pytest.approx(mean[name], abs=5 * values.std() / np.sqrt(4000))
        # the gain's own spread, and 1.2 of the mean where the term has one of its own
        gain = np.exp(0.5**2) - 1
        own = 1.2**2 * (1 + gain) if name in OWN_TERMS else 0.0
        assert values.std() == pytest.approx(abs(mean[name]) * np.sqrt(gain + own), rel=0.15)
    sessions = [session_coefficients(target, animals[0], rng) for _ in range(4000)]
    reward = np.array([session[FEEDBACK_EVENT]["reward"] for session in sessions])
    expected = animals[0][FEEDBACK_EVENT]["reward"]
    assert reward.mean() == pytest.approx(expected, abs=5 * reward.std() / np.sqrt(4000))
    assert pytest.approx(np.exp(0.3125 / 2)) == MEAN_GAIN


def test_planted_amplitudes_are_linear_in_the_factors_of_the_models():
    trials = simulate_session(1, duration_s=900, n_trials=250, fibers=()).trials
    coefficients = population_coefficients("SNc-DA")
    size = amplitudes(coefficients, trials, "l")[FEEDBACK_EVENT]
    coded = add_trial_columns(trials)
    contrast = np.log1p(coded["contrast"].to_numpy(float))
    contrast -= np.log1p(np.array(TASK_CONTRASTS)).mean()
    reward = coded["feedbackType"].to_numpy() / 2
    side = np.where(coded["stim_side"] == "right", 0.5, -0.5)
    columns = {"Intercept": np.ones(len(trials)), "contrast": contrast, "side": side}
    columns |= {"reward": reward, "contrast:reward": contrast * reward}
    fitted, *_ = np.linalg.lstsq(np.column_stack(list(columns.values())), size, rcond=None)
    wanted = [coefficients[FEEDBACK_EVENT][name] for name in columns]
    np.testing.assert_allclose(fitted, wanted, atol=1e-12)


@pytest.mark.slow
def test_a_timing_effect_leaves_the_effect_of_contrast_as_planted():
    trials = simulate_session(2, duration_s=9000, n_trials=2000, fibers=()).trials
    nothing = amplitudes(population_coefficients("DR-5HT"), trials, "l")[STIMULUS_EVENT]
    timed = amplitudes(population_coefficients("DR-5HT"), trials, "l", 0.02)[STIMULUS_EVENT]
    added = timed - nothing
    reaction = (trials[MOVEMENT_EVENT] - trials[STIMULUS_EVENT]).to_numpy()
    contrast = trials["contrastLeft"].fillna(trials["contrastRight"]).to_numpy()
    known = reaction > 0
    assert np.abs(added[~known]).max() == 0
    for value in np.unique(contrast):
        own = known & (contrast == value)
        slope = np.polyfit(np.log10(reaction[own]), added[own], 1)[0]
        assert slope == pytest.approx(0.02)
        assert added[own].mean() == pytest.approx(0, abs=6e-4)


def test_the_reference_explains_the_share_that_was_drawn():
    nature = Nature(reference_r2=0.3, reference_noise_dff=0.002, reference_gain=0.6)
    size = artifact_sd(0.012, nature)
    rng = np.random.default_rng(0)
    artifact = size * rng.standard_normal(200_000)
    signal = artifact + 0.012 * rng.standard_normal(200_000)
    reference = 0.6 * artifact + 0.002 * rng.standard_normal(200_000)
    assert np.corrcoef(signal, reference)[0, 1] ** 2 == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("ratio", [0.93, 1.05, 1.3])
def test_bleaching_has_the_stated_ratio_and_may_rise(ratio):
    course = bleaching_course(np.linspace(0, 1400, 1000), ratio, 600.0, 40.0)
    assert course[0] == 1
    assert course[0] / course[-1] == pytest.approx(ratio)


def test_responses_of_a_realistic_recording_have_the_planted_mean():
    """Least squares on what was planted, in frames without the noise of the camera."""
    fiber = Fiber("VTA-DA", "l", "G0")
    coefficients = population_coefficients("VTA-DA")
    nature = Nature(coefficients, noise_dff=0.001, slow_dff=0.002, transients_per_minute=3)
    session = simulate_session(
        4,
        duration_s=1800,
        n_trials=400,
        session_type="training",
        fibers=(fiber,),
        natures=[nature],
    )
    band = session.bands["GCaMP"]["VTA"].dropna()
    since = band.index.to_numpy()
    change = band / pd.Series(band.to_numpy(), band.index).rolling(3001, center=True).median() - 1
    trials = session.trials[session.trials["choice"] != 0]
    rewarded = trials["feedbackType"] == 1
    at = trials["feedback_times"].to_numpy()
    inside = (at > since[0] + 60) & (at < since[-1] - 60)
    after = np.interp(at + 0.13, since, change) - np.interp(at - 0.01, since, change)
    found = after[inside & rewarded].mean() - after[inside & ~rewarded].mean()
    planted_reward = coefficients[FEEDBACK_EVENT]["reward"]
    assert found == pytest.approx(planted_reward, rel=0.25)


def test_natures_are_within_what_real_recordings_show():
    rng = np.random.default_rng(3)
    natures = [draw_nature(rng, {}) for _ in range(500)]
    assert {nature.noise_dff for nature in natures} == {0.001, 0.003, 0.01}
    rising = np.mean([nature.reference_bleaching < 1 for nature in natures])
    assert rising == pytest.approx(0.25, abs=0.06)
    for name, low, high in (
        ("trial_gain_sd", 0.6, 1.0),
        ("transients_per_minute", 3, 10),
        ("reference_noise_dff", 0.0007, 0.004),
        ("reference_r2", 0.05, 0.5),
        ("bleaching", 1.05, 1.3),
    ):
        values = [getattr(nature, name) for nature in natures]
        assert low <= min(values) < max(values) <= high, name


def test_all_targets_have_coefficients():
    outcome = [
        abs(population_coefficients(target)[FEEDBACK_EVENT]["reward"])
        for target in RESPONSE_PROFILES
    ]
    # about 1.6 % dF/F, of the targets whose response tells the outcome
    assert 0.01 < np.mean(outcome) < 0.02
