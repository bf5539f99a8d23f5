"""Progress through training and comparison of targets, with planted differences."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.performance.learning import (
    COMPARISON_COLUMNS,
    compare_targets,
    hodges_lehmann,
    learning_curve_means,
    learning_curves,
    number_sessions,
    psychometric_trajectories,
    sessions_to_stage,
    subject_targets,
)
from iblnm.errors import MalformedFileError


def sessions_of(subject, types, first="2024-01-01"):
    days = pd.date_range(first, periods=len(types)).strftime("%Y-%m-%dT10:00:00")
    return pd.DataFrame(
        {
            "eid": [f"{subject}-{i}" for i in range(len(types))],
            "subject": subject,
            "session_type": types,
            "start_time": days,
        }
    )


@pytest.fixture
def cohort():
    """Two mice of one target, one of another; the second mouse has fibers in both."""
    sessions = pd.concat(
        [
            sessions_of("a", ["training"] * 3 + ["biased"] * 2 + ["ephys"]),
            sessions_of("b", ["training"] * 2 + ["biased"]),
            sessions_of("c", ["biased", "ephys"]),
        ],
        ignore_index=True,
    ).sample(frac=1, random_state=0)
    pairs = [("a", "DR-5HT"), ("b", "DR-5HT"), ("b", "LC-NE"), ("c", "LC-NE"), ("c", None)]
    recordings = pd.DataFrame(pairs, columns=["subject", "target_NM"])
    fits = {f"psych_{b}_{k}": np.nan for b in (20, 80) for k in ("bias", "threshold")}
    performance = sessions[["eid"]].assign(
        n_trials=400,
        fraction_correct=[0.5 + 0.05 * int(e[-1]) for e in sessions["eid"]],
        fraction_correct_easy=0.9,
        nogo_fraction=0.01,
        bias_shift=np.nan,
        **fits,
    )
    for block in (50, 20, 80):
        for name in ("lapse_left", "lapse_right", "r_squared", "n_trials", "at_bound"):
            performance[f"psych_{block}_{name}"] = np.nan
    performance["psych_50_bias"] = 3.0
    performance["psych_50_threshold"] = 20.0
    return number_sessions(sessions), performance, subject_targets(recordings)


def test_sessions_are_numbered_in_order_of_time(cohort):
    sessions, _, _ = cohort
    a = sessions[sessions["subject"] == "a"]
    assert a["eid"].tolist() == [f"a-{i}" for i in range(6)]
    assert a["session_index"].tolist() == [1, 2, 3, 4, 5, 6]
    assert a["stage_index"].tolist() == [1, 2, 3, 1, 2, 1]
    with pytest.raises(MalformedFileError, match="start_time"):
        number_sessions(sessions.drop(columns="start_time"))


def test_an_animal_counts_for_each_of_its_targets(cohort):
    _, _, targets = cohort
    assert list(targets.itertuples(index=False, name=None)) == [
        ("a", "DR-5HT"),
        ("b", "DR-5HT"),
        ("b", "LC-NE"),
        ("c", "LC-NE"),
    ]
    recordings = pd.DataFrame({"subject": ["a", "a"], "target_NM": ["DR-5HT", "MR-5HT"]})
    assert subject_targets(recordings, ["MR-5HT"])["target_NM"].tolist() == ["MR-5HT"]


def test_learning_curves_have_every_session_of_the_animal(cohort):
    curves = learning_curves(*cohort)
    assert curves.groupby("target_NM").size().to_dict() == {"DR-5HT": 9, "LC-NE": 5}
    a = curves[curves["subject"] == "a"].set_index("session_index")["fraction_correct"]
    np.testing.assert_allclose(a, 0.5 + 0.05 * np.arange(6))


def test_curve_means_are_over_animals(cohort):
    curves = learning_curves(*cohort)
    means = learning_curve_means(curves).set_index(
        ["target_NM", "session_type", "stage_index", "measure"]
    )
    both = means.loc[("DR-5HT", "biased", 1, "fraction_correct")]
    # a's first biased session is its fourth, b's its third
    assert both["mean"] == pytest.approx((0.65 + 0.60) / 2)
    assert both["n_subjects"] == 2 and both["n_sessions"] == 2
    half = 12.706 * np.std([0.65, 0.60], ddof=1) / np.sqrt(2)
    assert both["ci_high"] - both["mean"] == pytest.approx(half, rel=1e-3)
    alone = means.loc[("DR-5HT", "training", 3, "fraction_correct")]
    assert alone["n_subjects"] == 1 and np.isnan(alone["ci_low"])


def test_sessions_to_each_stage(cohort):
    sessions, _, targets = cohort
    table = sessions_to_stage(sessions, targets).set_index(["subject", "target_NM"])
    assert table.loc[("a", "DR-5HT"), "sessions_to_biased"] == 3
    assert table.loc[("a", "DR-5HT"), "biased_sessions_to_ephys"] == 2
    assert table.loc[("b", "LC-NE"), "sessions_to_biased"] == 2
    assert np.isnan(table.loc[("b", "LC-NE"), "biased_sessions_to_ephys"])


def test_trajectories_have_the_blocks_that_were_fitted(cohort):
    sessions, performance, targets = cohort
    performance.loc[performance["eid"] == "a-4", ["psych_80_bias", "bias_shift"]] = [8.0, 11.0]
    fits = psychometric_trajectories(sessions, performance, targets)
    assert len(fits) == 14 + 1
    row = fits[(fits["eid"] == "a-4") & (fits["block"] == 80)].iloc[0]
    assert row["bias"] == 8 and row["bias_shift"] == 11 and row["stage_index"] == 2


def values(rng, shifts, n=12, per_animal=3):
    rows = [
        {"subject": f"{target}{i}", "target_NM": target, "x": shift + animal + rng.normal()}
        for target, shift in shifts.items()
        for i in range(n)
        for animal in [rng.normal()]
        for _ in range(per_animal)
    ]
    return pd.DataFrame(rows)


@pytest.mark.slow
def test_a_planted_difference_is_found_and_its_size_covered():
    table = values(np.random.default_rng(0), {"DR": 0.0, "LC": 0.0, "VTA": 4.0})
    result = compare_targets({"x": table})
    assert list(result.columns) == list(COMPARISON_COLUMNS)
    overall = result[result["test"] == "kruskal_wallis"].iloc[0]
    assert overall["n_a"] == 36  # animals, not sessions
    assert overall["p"] < 1e-4
    pairs = result[result["test"] == "mann_whitney"].set_index(["group_a", "group_b"])
    assert pairs.loc[("DR", "LC"), "p_corrected"] > 0.05
    for target in ("DR", "LC"):
        pair = pairs.loc[(target, "VTA")]
        assert pair["p_corrected"] < 0.01 and pair["p_corrected"] >= pair["p"]
        assert pair["ci_low"] < -4 < pair["ci_high"] < 0
        assert pair["effect_size"] < -0.8


@pytest.mark.slow
def test_no_difference_gives_the_nominal_rate_of_false_positives():
    rng = np.random.default_rng(1)
    n = 200
    null = {
        f"x{i}": values(rng, {"DR": 0, "LC": 0}, 8, 2).rename(columns={"x": f"x{i}"})
        for i in range(n)
    }
    result = compare_targets(null, correction="bonferroni")
    p = result.loc[result["test"] == "kruskal_wallis", "p"]
    # binomial: 0.05 ± 4 standard errors of 0.0154
    assert (p < 0.05).mean() < 0.112


@pytest.mark.slow
def test_correction_is_over_measures_and_within_measures_over_pairs():
    rng = np.random.default_rng(2)
    a, b = (values(rng, {"DR": 0.0, "LC": 2.0}) for _ in range(2))
    result = compare_targets({"x": a, "y": b.rename(columns={"x": "y"})})
    overall = result[result["test"] == "kruskal_wallis"]
    smallest = overall["p"].idxmin()
    assert overall.loc[smallest, "p_corrected"] == pytest.approx(2 * overall["p"].min())
    pairs = result[result["test"] == "mann_whitney"]
    np.testing.assert_allclose(pairs["p_corrected"], pairs["p"])  # one pair per measure


def test_one_target_is_not_compared():
    table = values(np.random.default_rng(3), {"DR": 0.0})
    result = compare_targets({"x": table})
    assert len(result) == 1 and np.isnan(result["p"].iloc[0])
    assert compare_targets({}).empty


def test_interval_of_the_shift_covers_it_and_needs_enough_values():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(300):
        _, low, high = hodges_lehmann(rng.normal(1.0, 1, 10), rng.normal(0, 1, 12))
        covered += low <= 1.0 <= high
    # 0.95 ± 4 standard errors of 0.0126
    assert 0.90 <= covered / 300 <= 1.0
    shift, low, high = hodges_lehmann(np.array([1.0, 2.0]), np.array([0.0]))
    assert shift == 1.5 and np.isnan(low) and np.isnan(high)
    assert np.isnan(hodges_lehmann(np.array([]), np.array([1.0]))[0])
