"""Regression per recording against statsmodels, planted coefficients, and gaps."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from iblnm.analysis.encoding.glm import (
    TERMS,
    design_matrix,
    features_of,
    fit_recording_glms,
    fit_response_glm,
)
from iblnm.errors import MalformedFileError

EVENT = "feedback_times"
CONTRASTS = np.array([0.0, 6.25, 12.5, 25.0, 100.0])
PLANTED = np.array([0.4, -0.1, 0.3, 1.2, 0.05, -0.25, 0.2])


def trials_of(eid, n, rng, *, noise=1.0, beta=PLANTED, target="VTA-DA", fiber_idx=0):
    table = pd.DataFrame(
        {
            "eid": eid,
            "target_NM": target,
            "fiber_idx": fiber_idx,
            "event": EVENT,
            "trial": np.arange(n),
            "contrast": rng.choice(CONTRASTS, n),
            "side": rng.choice(["contra", "ipsi"], n),
            "feedbackType": rng.choice([1.0, -1.0], n, p=[0.75, 0.25]),
        }
    )
    table["response_early"] = design_matrix(table) @ beta + noise * rng.standard_normal(n)
    return table


def test_noiseless_coefficients_are_recovered_exactly():
    events = trials_of("a", 60, np.random.default_rng(0), noise=0.0)
    coefficients, errors = fit_response_glm(events, EVENT)
    assert coefficients.index.names == ["eid", "target_NM", "fiber_idx"]
    assert list(coefficients.columns) == list(TERMS)
    np.testing.assert_allclose(coefficients.loc[("a", "VTA-DA", 0)], PLANTED, atol=1e-10)
    assert (errors.to_numpy() < 1e-6).all()


def test_agrees_with_statsmodels_recording_by_recording():
    rng = np.random.default_rng(1)
    events = pd.concat(
        [trials_of(f"s{i}", int(rng.integers(25, 300)), rng, fiber_idx=i % 2) for i in range(12)]
    ).sample(frac=1, random_state=0)
    table = fit_recording_glms(events, EVENT).set_index(["eid", "term"])
    for eid, part in events.groupby("eid"):
        fit = sm.OLS(part["response_early"].to_numpy(), design_matrix(part)).fit()
        rows = table.loc[eid].loc[list(TERMS)]
        np.testing.assert_allclose(rows["estimate"], fit.params, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(rows["se"], fit.bse, rtol=1e-8)
        np.testing.assert_allclose(rows["p"], fit.pvalues, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(rows[["ci_low", "ci_high"]], fit.conf_int(), rtol=1e-7)
        assert rows["r2"].iloc[0] == pytest.approx(fit.rsquared, abs=1e-10)
        assert rows["n_trials"].iloc[0] == len(part)


@pytest.mark.slow
def test_intervals_cover_the_planted_values_at_the_nominal_rate():
    rng = np.random.default_rng(2)
    n_recordings = 400
    events = pd.concat([trials_of(f"s{i:03}", 80, rng) for i in range(n_recordings)])
    table = fit_recording_glms(events, EVENT)
    planted = np.tile(PLANTED, n_recordings)
    covered = (table["ci_low"] <= planted) & (planted <= table["ci_high"])
    # 2800 intervals, correlated within a recording: 0.95 ± 4 × 0.009
    assert 0.915 < covered.mean() < 0.985


def test_contrast_is_centered_on_the_analyzed_contrasts_whatever_the_trials_hold():
    table = pd.DataFrame({"contrast": CONTRASTS, "side": "contra", "feedbackType": 1.0})
    log = design_matrix(table)[:, 1]
    np.testing.assert_allclose(log, np.log1p(CONTRASTS) - np.log1p(CONTRASTS).mean())
    np.testing.assert_allclose(design_matrix(table.iloc[:2])[:, 1], log[:2])
    np.testing.assert_allclose(design_matrix(table, "rank")[:, 1], [-2, -1, 0, 1, 2])


def test_recordings_that_cannot_be_fitted_are_missing_and_say_why():
    rng = np.random.default_rng(3)
    good, few = trials_of("good", 60, rng), trials_of("few", 19, rng)
    never_wrong = trials_of("never_wrong", 60, rng).assign(feedbackType=1.0)
    no_side = trials_of("no_side", 60, rng).assign(side=None)
    events = pd.concat([good, few, never_wrong, no_side])
    table = fit_recording_glms(events, EVENT)
    notes = table.groupby("eid")["note"].first()
    assert pd.isna(notes["good"])
    assert notes["few"] == notes["no_side"] == "fewer than 20 trials"
    assert notes["never_wrong"] == "conditions do not separate the terms"
    gaps = table[table["eid"] != "good"]
    assert gaps[["estimate", "se", "p", "ci_low", "r2", "residual_sd"]].isna().all(axis=None)
    coefficients, errors = fit_response_glm(events, EVENT)
    assert coefficients.index.get_level_values("eid").tolist() == ["good"]
    assert errors.index.equals(coefficients.index)


def test_trials_without_a_response_do_not_count():
    events = trials_of("a", 24, np.random.default_rng(4))
    events.loc[:4, "response_early"] = np.nan
    assert len(fit_response_glm(events, EVENT)[0]) == 0
    assert len(fit_response_glm(events, EVENT, min_trials=19)[0]) == 1


def test_two_fibers_of_a_session_are_two_recordings():
    rng = np.random.default_rng(5)
    events = pd.concat(
        [trials_of("a", 50, rng, noise=0, beta=PLANTED * (i + 1), fiber_idx=i) for i in range(2)]
    )
    coefficients, _ = fit_response_glm(events, EVENT)
    np.testing.assert_allclose(coefficients.iloc[1], 2 * coefficients.iloc[0], atol=1e-9)


def test_other_events_and_missing_columns():
    events = trials_of("a", 50, np.random.default_rng(6))
    coefficients, errors = fit_response_glm(events, "stimOn_times")
    assert coefficients.empty and list(errors.columns) == list(TERMS)
    with pytest.raises(MalformedFileError, match="response_early"):
        fit_response_glm(events.drop(columns="response_early"), EVENT)


def test_features_in_units_of_their_errors():
    events = trials_of("a", 80, np.random.default_rng(7))
    coefficients, errors = fit_response_glm(events, EVENT)
    features = features_of(coefficients, errors, exclude=["intercept"])
    assert list(features.columns) == list(TERMS[1:])
    table = fit_recording_glms(events, EVENT).set_index("term")
    np.testing.assert_allclose(features.iloc[0], table.loc[list(TERMS[1:]), "t"])
