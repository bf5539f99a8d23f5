"""Analyses under the names of the labs' scripts: arguments, kinds, columns, values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kruskal, mannwhitneyu

from iblnm import analysis
from iblnm.analysis.anova.repeated import repeated_measures_anova
from iblnm.analysis.movement.cross_validation import cross_validate_movement, fit_timing_slopes


@pytest.fixture(scope="module")
def trials():
    """Trials of six animals; the response rises by 0.5 for each factor of ten in time."""
    rng = np.random.default_rng(3)
    n = 6 * 150
    table = pd.DataFrame(
        {
            "subject": np.repeat([f"m{i}" for i in range(6)], n // 6),
            "eid": np.repeat([f"e{i}" for i in range(6)], n // 6),
            "target_NM": "VTA-DA",
            "fiber_idx": 0,
            "contrast": rng.choice([0.0, 6.25, 12.5, 25.0, 100.0], n),
            "side": rng.choice(["contra", "ipsi"], n),
            "feedbackType": rng.choice([1.0, -1.0], n, p=[0.8, 0.2]),
            "reaction_time": 10 ** rng.normal(-0.5, 0.4, n),
        }
    )
    table["log_rt"] = np.log10(table["reaction_time"])
    noise = rng.normal(0, 0.3, n)
    table["response_early"] = 0.5 * table["log_rt"] + 0.01 * table["contrast"] + noise
    table["peak_velocity"] = 3.0 + 2.0 * table["response_early"] + rng.normal(0, 0.5, n)
    return table


def test_groups_are_compared_as_a_tuple_and_pairs_as_a_list():
    df = pd.DataFrame({"g": list("aaabbbccc"), "x": [1.0, 2, 3, 4, 5, 6, 9, 8, 7]})
    h, p, groups = analysis.kruskal_wallis_groups(df, "g", "x")
    assert (h, p) == pytest.approx(tuple(kruskal([1, 2, 3], [4, 5, 6], [7, 8, 9])))
    assert groups["c"].tolist() == [9.0, 8.0, 7.0]
    pairs = analysis.pairwise_mannwhitney(groups)
    assert [(a, b) for a, b, _, _ in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    u, p = mannwhitneyu([1, 2, 3], [4, 5, 6])
    assert pairs[0][2:] == pytest.approx((u, 3 * p))
    h, p, groups = analysis.kruskal_wallis_groups(df[df["g"] == "a"], "g", "x")
    assert np.isnan([h, p]).all()
    assert list(groups) == ["a"]
    assert analysis.pairwise_mannwhitney(groups) == []


def test_an_anova_has_the_columns_of_the_table_that_is_known():
    rng = np.random.default_rng(0)
    rows = [
        (s, c, side, s + c * 0.1 + rng.normal())
        for s in range(8)
        for c in (0, 1, 2)
        for side in "ci"
    ]
    df = pd.DataFrame(rows, columns=["subject", "contrast", "side", "y"])
    table = analysis.anova_rm(df, "y", "subject", ["contrast", "side"])
    known = ["Source", "F", "Num DF", "Den DF", "Pr(>F)", "method"]
    assert table.columns[:6].tolist() == known
    assert set(table["method"]) == {"rm"}
    ours = repeated_measures_anova(df, "y", "subject", ["contrast", "side"])
    np.testing.assert_array_equal(table["Pr(>F)"], ours["p"])
    row = table.set_index("Source").loc["contrast"]
    assert (row["Num DF"], row["Den DF"]) == (2, 14)


def test_a_time_that_is_a_logarithm_is_used_as_it_is(trials):
    found = analysis.loso_cv_movement_lmm(trials, "response_early", "log_rt")
    ours = cross_validate_movement(trials, "response_early", "reaction_time")
    assert len(found) == 6
    pd.testing.assert_frame_equal(
        found.drop(columns="timing_col"), ours.drop(columns="timing_col")
    )
    assert found["delta_r2_timing"].mean() > 0.1


def test_the_slope_of_one_contrast_is_a_dict_or_nothing(trials):
    own = trials[trials["contrast"] == 25.0]
    found = analysis.fit_movement_lmm_per_contrast(own, "response_early", "log_rt")
    assert found["timing_coef"] == pytest.approx(0.5, abs=0.1)
    known = {"timing_se", "timing_p", "r2_marginal", "n_trials", "n_subjects", "timing_col"}
    assert known <= set(found)
    assert (found["n_trials"], found["n_subjects"]) == (len(own), 6)
    slopes = fit_timing_slopes(own, "response_early", "reaction_time")
    assert found["timing_p"] == pytest.approx(slopes["timing_p"].iloc[0])
    few = own.head(3)
    assert analysis.fit_movement_lmm_per_contrast(few, "response_early", "log_rt") is None
    with pytest.raises(ValueError, match="5 contrasts"):
        analysis.fit_movement_lmm_per_contrast(trials, "response_early", "log_rt")


def test_a_model_that_the_data_cannot_carry_is_none_and_told(trials):
    own = trials.assign(event="feedback_times")
    assert analysis.fit_response_lmm(own, "response_early").n_subjects == 6
    with pytest.warns(UserWarning, match="1 subjects with usable trials"):
        alone = analysis.fit_response_lmm(own[own["subject"] == "m0"], "response_early")
    assert alone is None
    with pytest.raises(KeyError, match="nothing"):
        analysis.fit_response_lmm(own, "nothing")


def test_wheel_models_read_the_side_and_choice_of_the_trials(trials):
    own = trials[trials["contrast"] == 25.0]
    left = own["side"] == "contra"
    raw = own.drop(columns=["side", "feedbackType"]).assign(
        hemisphere="r",
        stim_side=np.where(left, "left", "right"),
        choice=np.where(left, 1.0, -1.0) * own["feedbackType"],
    )
    options = {"target_nm": "VTA-DA", "contrast": 25.0}
    found = analysis.fit_wheel_lmm(raw, "peak_velocity", **options)
    expected = analysis.fit_wheel_lmm(own, "peak_velocity", **options)
    assert found == expected
    assert found["nm_coefficient"] == pytest.approx(2.0, abs=0.15)
    assert found["nm_pvalue"] == found["lrt_pvalue"] < 1e-6
    assert found["full_r2_marginal"] - found["base_r2_marginal"] == found["delta_r2"]
    assert (found["target_nm"], found["dv"], found["contrast"]) == ("VTA-DA", "peak_velocity", 25)
    assert analysis.fit_wheel_lmm(raw.head(5), "peak_velocity") is None


def test_decoding_gives_a_table_of_predictions():
    rng = np.random.default_rng(1)
    names = [(f"e{i}", "A" if i % 2 else "B") for i in range(24)]
    index = pd.MultiIndex.from_tuples(names, names=["eid", "target_NM"])
    labels = index.get_level_values("target_NM").to_numpy()
    subjects = np.array([f"m{i // 2 % 6}" for i in range(24)])
    data = rng.normal(0, 0.2, (24, 3))
    data[:, 0] += labels == "A"
    X = pd.DataFrame(data, index=index, columns=["x", "y", "z"])
    found = analysis.decode_target_nm(X, labels, subjects, C=10.0)
    table = found["predictions"]
    assert table.columns.tolist() == ["eid", "target_NM", "true", "predicted"]
    assert table["true"].tolist() == labels.tolist()
    share = (table["true"] == table["predicted"]).mean()
    assert found["accuracy"] == pytest.approx(share)
    assert share > 0.9
    assert (found["n_valid"], found["best_C"]) == (24, 10.0)
    added = analysis.feature_unique_contribution(X, labels, subjects, C=10.0)
    known = ["feature", "full_accuracy", "reduced_accuracy", "delta"]
    assert added.columns[:4].tolist() == known
    assert added.set_index("feature")["delta"].idxmax() == "x"
    np.testing.assert_allclose(
        added["delta"], added["full_accuracy"] - added["reduced_accuracy"], atol=1e-12
    )
    with pytest.raises(ValueError, match="target"):
        analysis.decode_target_nm(X, ["A"] * 24, subjects)


def test_recordings_still_to_be_made_are_projected():
    table = analysis.compute_recording_projection(
        {"VTA-DA": 30, "LC-NE": 0, "DR-5HT": 60},
        {"VTA-DA": 40, "LC-NE": 4, "DR-5HT": 60},
        target_n=60,
        deadline="2025-03-31",
        capacity_per_day=2,
        today="2025-03-01",
    )
    row = table.loc["VTA-DA"]
    assert (row["yield_rate"], row["shortfall"]) == (0.75, 30)
    assert (row["effective_sessions_needed"], row["recording_days_needed"]) == (40, 20)
    assert np.isinf(table.loc["LC-NE", "effective_sessions_needed"])
    assert table.loc["DR-5HT", "recording_days_needed"] == 0
    assert table["days_available"].tolist() == [30, 30, 30]
