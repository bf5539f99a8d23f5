from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import EVENTS, TERMS, planted_effects, simulate_magnitudes


def design(table: pd.DataFrame, center: float) -> np.ndarray:
    c = np.log1p(table["contrast"]) - center
    s = np.where(table["side"] == "contra", 0.5, -0.5)
    r = np.where(table["feedbackType"] == 1, 0.5, -0.5)
    return np.column_stack([np.ones(len(c)), c, s, r, c * s, c * r, s * r, c * s * r])


def test_planted_coefficients_are_in_the_table():
    table, truth = simulate_magnitudes(n_subjects=3, n_trials=2000, subject_sd=0, slope_sd=0)
    for (target, event), group in table.groupby(["target_NM", "event"]):
        x = design(group, truth["contrast_center"])
        found, *_ = np.linalg.lstsq(x, group["response_early"], rcond=None)
        planted = [truth["effects"][target][event].get(term, 0.0) for term in TERMS]
        se = np.sqrt(np.diag(np.linalg.inv(x.T @ x)))
        assert np.abs((found - planted) / se).max() < 4


def test_random_effects_are_those_of_the_truth():
    table, truth = simulate_magnitudes(
        targets=["LC-NE"], n_subjects=200, sessions_per_subject=1, noise_sd=0.0, effects={}
    )
    random = truth["random"]
    assert random.groupby("event")["intercept"].std().to_numpy() == pytest.approx(0.5, rel=0.2)
    assert random.groupby("event")["slope"].std().to_numpy() == pytest.approx(0.1, rel=0.2)
    effects = planted_effects("LC-NE")[EVENTS[0]]
    one = table[(table["subject"] == "LC-NE_007") & (table["event"] == EVENTS[0])]
    own = random[(random["subject"] == "LC-NE_007") & (random["event"] == EVENTS[0])].iloc[0]
    c = np.log1p(one["contrast"]) - truth["contrast_center"]
    expected = effects["Intercept"] + own["intercept"] + (effects["contrast"] + own["slope"]) * c
    np.testing.assert_allclose(one["response_early"], expected, atol=1e-12)


@pytest.mark.slow
def test_tables_hold_together():
    table, truth = simulate_magnitudes(n_unbiased=90, nogo_fraction=0.05, n_shared_subjects=2)
    assert not table.duplicated(["eid", "fiber_idx", "event", "trial"]).any()
    assert table.groupby("target_NM")["subject"].nunique().eq(8).all()
    assert set(table["fiber_idx"]) == {0, 1}
    contra = (table["stim_side"] == "right") == (table["hemisphere"] == "l")
    np.testing.assert_array_equal(table["side"] == "contra", contra)
    np.testing.assert_array_equal(table["relative_contrast"] >= 0, contra | (table.contrast == 0))
    chose = table[table["choice"] != 0]
    same = (chose["choice"] == -1) == (chose["stim_side"] == "right")
    np.testing.assert_array_equal(same, chose["feedbackType"] == 1)
    assert 0.03 < (table["choice"] == 0).mean() < 0.07
    assert (table.loc[table["trial"] < 90, "probabilityLeft"] == 0.5).all()
    assert set(table.loc[table["trial"] >= 90, "probabilityLeft"]) == {0.2, 0.8}
    regressors = truth["trial_regressors"]
    assert len(regressors) == table.drop_duplicates(["eid", "trial"]).shape[0]


def test_timing_and_wheel_effects():
    table, truth = simulate_magnitudes(
        targets=["VTA-DA"],
        n_subjects=2,
        n_trials=3000,
        subject_sd=0,
        slope_sd=0,
        timing_effect=-0.8,
        wheel_effect=0.7,
    )
    stimulus = table[table["event"] == EVENTS[0]]
    x = design(stimulus, truth["contrast_center"])[:, [0, 1, 2, 4]]
    x = np.column_stack([x, np.log10(stimulus["reaction_time"]) + 0.5])
    found, *_ = np.linalg.lstsq(x, stimulus["response_early"], rcond=None)
    assert found[-1] == pytest.approx(-0.8, abs=0.2)
    both = stimulus.merge(truth["trial_regressors"][["eid", "trial", "peak_velocity"]])
    x = pd.get_dummies(both["subject"]).assign(side=both["side"] == "contra")
    x = x.assign(response=both["response_early"]).astype(float)
    found, *_ = np.linalg.lstsq(x, both["peak_velocity"], rcond=None)
    assert found[-1] == pytest.approx(0.7, abs=0.06)


def test_seed_makes_the_table():
    first, _ = simulate_magnitudes(targets=["SNc-DA"], n_subjects=2, seed=4)
    again, _ = simulate_magnitudes(targets=["SNc-DA"], n_subjects=2, seed=4)
    other, _ = simulate_magnitudes(targets=["SNc-DA"], n_subjects=2, seed=5)
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first["response_early"], other["response_early"])
