"""Performance of a session, and stages of training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.config import Thresholds
from iblnm.errors import MalformedFileError
from iblnm.schemas import PERFORMANCE
from iblnm.task import (
    add_trial_columns,
    compute_fraction_correct,
    compute_nogo_fraction,
    count_sessions_to_stage,
    get_subjects_by_stage,
    session_performance,
)

CURVES = {
    0.5: (0.0, 20.0, 0.05, 0.05),
    0.2: (-10.0, 20.0, 0.05, 0.05),
    0.8: (10.0, 20.0, 0.05, 0.05),
}


@pytest.fixture
def biased(make_trials):
    p_left = np.repeat([0.5, *[0.2, 0.8] * 20], [90, *[60] * 40])
    return make_trials(p_left, curves=CURVES, seed=1, nogo=0.05)


def test_fractions():
    trials = pd.DataFrame(
        {"feedbackType": [1, 1, -1, -1, -1], "choice": [1, -1, 1, 0, 0]}, dtype=float
    )
    assert compute_fraction_correct(trials) == pytest.approx(2 / 3)
    assert compute_fraction_correct(trials, exclude_nogo=False) == pytest.approx(2 / 5)
    assert compute_nogo_fraction(trials) == pytest.approx(2 / 5)


def test_trials_without_outcome_or_choice_are_no_errors():
    trials = pd.DataFrame({"feedbackType": [1, np.nan, 1, -1], "choice": [1, 1, np.nan, -1]})
    assert compute_fraction_correct(trials) == 0.5
    assert compute_nogo_fraction(trials) == 0.0


def test_fractions_of_nothing():
    trials = pd.DataFrame({"feedbackType": [-1.0], "choice": [0.0]})
    assert np.isnan(compute_fraction_correct(trials))
    assert np.isnan(compute_fraction_correct(trials.iloc[:0], exclude_nogo=False))
    assert np.isnan(compute_nogo_fraction(trials.iloc[:0]))


def test_biased_session(biased):
    row = session_performance(biased, session_type="biased", eid="x")
    moved = biased[biased["choice"] != 0]
    easy = moved[moved[["contrastLeft", "contrastRight"]].max(axis=1) >= 0.5]
    assert row["eid"] == "x"
    assert row["n_trials"] == len(biased) == 2490
    assert row["fraction_correct"] == pytest.approx((moved["feedbackType"] == 1).mean())
    assert row["fraction_correct_easy"] == pytest.approx((easy["feedbackType"] == 1).mean())
    assert row["fraction_correct_easy"] == pytest.approx(0.95, abs=0.03)
    assert row["nogo_fraction"] == pytest.approx(0.05, abs=0.02)
    assert row["contrasts"] == [0.0, 6.25, 12.5, 25.0, 100.0]
    assert row["psych_20_bias"] == pytest.approx(-10, abs=4)
    assert row["psych_80_bias"] == pytest.approx(10, abs=4)
    assert row["bias_shift"] == row["psych_80_bias"] - row["psych_20_bias"]
    fitted = sum(row[f"psych_{block}_n_trials"] for block in ("50", "20", "80"))
    assert fitted == len(moved)
    assert row["psych_80_at_bound"] is False


@pytest.mark.slow
def test_row_has_the_columns_of_the_schema(biased):
    for trials, kind in ((biased, "ephys"), (biased.iloc[:90], "training")):
        row = session_performance(trials, session_type=kind, eid="x")
        # who extracted the trials is known to the stage, not to the fit
        assert [*row, "source"] == PERFORMANCE.names
        table = pd.DataFrame([row]).assign(source="extracted")
        assert len(PERFORMANCE.validate(table)) == 1


def test_derived_columns_change_nothing(biased):
    plain = session_performance(biased, session_type="biased")
    assert session_performance(add_trial_columns(biased), session_type="biased") == plain


def test_training_session_has_one_fit(make_trials):
    row = session_performance(
        make_trials(np.full(400, 0.5), curves=CURVES), session_type="training"
    )
    assert row["psych_50_n_trials"] == 400
    assert np.isfinite(row["psych_50_bias"])
    for block in ("20", "80"):
        assert np.isnan(row[f"psych_{block}_bias"])
        assert np.isnan(row[f"psych_{block}_n_trials"])
        assert row[f"psych_{block}_at_bound"] is None
    assert np.isnan(row["bias_shift"])


def test_broken_blocks_are_not_fitted(biased):
    p_left = np.random.default_rng(0).choice([0.2, 0.8], len(biased))
    p_left[:200] = 0.5
    row = session_performance(biased.assign(probabilityLeft=p_left), session_type="biased")
    assert row["psych_50_n_trials"] > 150
    assert np.isnan(row["psych_20_bias"]) and np.isnan(row["psych_80_bias"])
    assert np.isnan(row["bias_shift"])


def test_threshold_of_block_length(biased):
    strict = Thresholds(min_block_length=61)
    row = session_performance(biased, session_type="biased", thresholds=strict)
    assert np.isnan(row["psych_20_bias"])


def test_one_missing_block_kind(make_trials):
    row = session_performance(make_trials(np.repeat([0.5, 0.2], [90, 60])), session_type="biased")
    assert row["psych_80_n_trials"] == 0
    assert row["psych_80_at_bound"] is None
    assert np.isfinite(row["psych_20_bias"])
    assert np.isnan(row["bias_shift"])


def test_session_without_trials(make_trials):
    row = session_performance(make_trials(np.full(3, 0.5)).iloc[:0], session_type="biased")
    assert row["n_trials"] == 0
    assert row["contrasts"] == []
    assert np.isnan(row["fraction_correct"]) and np.isnan(row["psych_50_bias"])


def test_session_without_choices(make_trials):
    row = session_performance(make_trials(np.full(100, 0.5), nogo=1.0), session_type="training")
    assert row["nogo_fraction"] == 1
    assert row["psych_50_n_trials"] == 0
    assert np.isnan(row["fraction_correct"])


def test_missing_column(biased):
    with pytest.raises(MalformedFileError, match="feedbackType"):
        session_performance(biased.drop(columns="feedbackType"), session_type="biased")


@pytest.fixture
def sessions():
    stages = {
        "late": ["training"] * 3 + ["biased"] * 2 + ["training", "biased", "ephys", "biased"],
        "early": ["training"] * 2,
        "jump": ["training", "ephys"],
    }
    rows = [
        {"subject": subject, "session_type": stage, "start_time": f"2024-03-{day:02}T10:00:00"}
        for subject, kinds in stages.items()
        for day, stage in enumerate(kinds, start=1)
    ]
    rows.append({"subject": "passive", "session_type": "habituation", "start_time": "2024-01-01"})
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_sessions_to_stage(sessions):
    result = count_sessions_to_stage(sessions)
    assert result["subject"].tolist() == ["early", "jump", "late", "passive"]
    counts = result.set_index("subject")
    assert counts.loc["late", ["n_training", "n_biased", "n_ephys"]].tolist() == [4, 4, 1]
    np.testing.assert_array_equal(counts["sessions_to_biased"], [np.nan, np.nan, 3, np.nan])
    np.testing.assert_array_equal(counts["biased_sessions_to_ephys"], [np.nan, 0, 3, np.nan])


def test_sessions_to_stage_by_session_number(sessions):
    numbered = sessions.assign(
        session_n=sessions.groupby("subject")["start_time"].rank(method="dense")
    ).drop(columns="start_time")
    pd.testing.assert_frame_equal(
        count_sessions_to_stage(numbered), count_sessions_to_stage(sessions)
    )


def test_sessions_to_stage_needs_an_order(sessions):
    with pytest.raises(MalformedFileError, match="start_time"):
        count_sessions_to_stage(sessions.drop(columns="start_time"))


def test_sessions_to_stage_of_nothing(sessions):
    assert count_sessions_to_stage(sessions.iloc[:0]).empty


def test_subjects_by_stage(sessions):
    assert get_subjects_by_stage(sessions) == {
        "training": ["early", "jump", "late"],
        "biased": ["late"],
        "ephys": ["jump", "late"],
    }


@pytest.mark.real
def test_real_performance(real_trials):
    subject, trials = real_trials
    row = session_performance(trials, session_type="training", eid=subject)
    known = {
        "CQ002": (328, 0.535, 0.0030),
        "fip_40": (568, 0.560, 0.139),
        "ZM_335": (271, 0.407, 0.011),
    }
    n_trials, correct, nogo = known[subject]
    assert row["n_trials"] == n_trials
    assert row["fraction_correct"] == pytest.approx(correct, abs=5e-4)
    assert row["nogo_fraction"] == pytest.approx(nogo, abs=5e-4)
    assert len(PERFORMANCE.validate(pd.DataFrame([row]))) == 1
