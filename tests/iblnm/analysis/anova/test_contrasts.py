"""Effects with outcome over animals, where cells are missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import EVENTS, simulate_magnitudes
from scipy.stats import ttest_1samp

from iblnm.analysis.anova.compute import response_anova
from iblnm.analysis.anova.contrasts import contrasts_over_animals, recording_effects
from iblnm.analysis.anova.tables import TABLES
from iblnm.analysis.trials import ContrastCoding
from iblnm.config import Settings
from iblnm.errors import IncompleteDesignError

FEEDBACK = EVENTS[1]
SETTINGS = Settings(_env_file=None)


def cohort(seed, effects, n_subjects=5, **options):
    table, _ = simulate_magnitudes(
        targets=["LC-NE"],
        n_subjects=n_subjects,
        effects={"LC-NE": {FEEDBACK: effects}},
        seed=seed,
        **options,
    )
    return table


@pytest.fixture(scope="module")
def result():
    return response_anova(cohort(1, {"reward": 0.8, "contrast": 0.1}), SETTINGS)


@pytest.mark.slow
def test_outcome_is_tested_where_no_mouse_has_every_cell(result):
    table = TABLES["response_anova"].validate(result.tables["response_anova"])
    at = table[table["event"] == FEEDBACK].set_index("source")
    assert set(at["method"]) == {"contrasts"}
    assert set(at["df_error"]) == {4.0}
    assert at.loc["feedbackType", "p_corrected"] < 0.05
    assert at.loc["contrast:side:feedbackType", "p"] > 0.01
    assert set(table.loc[table["event"] != FEEDBACK, "method"]) == {"rm"}
    assert (result.tables["anova_missing_cells"]["feedbackType"] == -1).any()
    assert any("in place of the full factorial" in note for note in result.notes)


def test_each_effect_is_the_t_test_of_the_means_of_animals():
    trials = cohort(2, {"reward": 0.5})
    trials = trials[trials["event"] == FEEDBACK]
    coding = ContrastCoding("log", SETTINGS.analysis_contrasts)
    effects = recording_effects(trials, "response_early", coding)
    # a second fiber of a session that shows the same is no further evidence
    twice = pd.concat([effects, effects.assign(fiber_idx=1)], ignore_index=True)
    table = contrasts_over_animals(twice).set_index("source")
    own = effects.groupby("subject")["feedbackType"].mean()
    expected = ttest_1samp(own, 0.0)
    assert table.loc["feedbackType", "F"] == pytest.approx(expected.statistic**2)
    assert table.loc["feedbackType", "p_gg"] == pytest.approx(expected.pvalue)
    assert own.mean() == pytest.approx(0.5, abs=0.15)
    with pytest.raises(IncompleteDesignError, match="1 animals"):
        contrasts_over_animals(effects[effects["subject"] == effects["subject"].iloc[0]])


def test_three_mice_have_no_test():
    result = response_anova(cohort(3, {"reward": 1.0}, n_subjects=3), SETTINGS)
    assert result.tables["response_anova"].empty
    assert any("3 of 3 mice have" in note and "4 are needed" in note for note in result.notes)


@pytest.mark.slow
def test_false_positives_where_mice_differ_in_their_outcome_effect():
    rejected = []
    for seed in range(60):
        trials = cohort(100 + seed, {}, sessions_per_subject=1, n_trials=150)
        trials = trials[trials["event"] == FEEDBACK]
        rng = np.random.default_rng(seed)
        own = dict(zip(sorted(set(trials["subject"])), rng.normal(0, 0.8, 5), strict=True))
        shift = trials["subject"].map(own) * trials["feedbackType"] / 2
        trials = trials.assign(response_early=trials["response_early"] + shift)
        coding = ContrastCoding("log", SETTINGS.analysis_contrasts)
        table = contrasts_over_animals(recording_effects(trials, "response_early", coding))
        rejected += (table["p"] < 0.05).tolist()
    # 420 tests: 0.05 with a binomial standard error of 0.011
    assert 0.02 < np.mean(rejected) < 0.09
