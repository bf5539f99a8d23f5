"""What a whole window costs, per target and event, and the check about it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis import registry
from iblnm.analysis.remaining import evaluate_whole_windows, remaining_trials
from iblnm.analysis.trials import analyzed_trials
from iblnm.config import Settings


@pytest.fixture
def table():
    """Per target 10 trials in the block of 0.5: 6 and 3 with a response, 10 in another block."""
    parts = []
    for target, n in (("LC-NE", 6), ("VTA-DA", 3)):
        response = np.where(np.arange(20) % 10 < n, 1.0, np.nan)
        parts.append(
            pd.DataFrame(
                {
                    "eid": target,
                    "target_NM": target,
                    "event": "stimOn_times",
                    "probabilityLeft": np.repeat([0.5, 0.8], 10),
                    "choice": 1.0,
                    "response_time": 1.0,
                    "response_early": response,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def test_the_account_is_of_the_trials_that_the_other_criteria_select(table):
    _, record = analyzed_trials(table, Settings(_env_file=None))
    assert record["remaining_trials"] == [
        {
            "target_NM": "LC-NE",
            "event": "stimOn_times",
            "trials": 10,
            "with_response": 6,
            "share": 0.6,
        },
        {
            "target_NM": "VTA-DA",
            "event": "stimOn_times",
            "trials": 10,
            "with_response": 3,
            "share": 0.3,
        },
    ]
    assert record["trial_rows"]["no_response"] == 11


def test_the_check_warns_below_a_third_and_names_the_worst(table):
    parameters = {"remaining_trials": remaining_trials(table)}
    outcome = evaluate_whole_windows(parameters, Settings(_env_file=None))
    assert (outcome.passed, outcome.severity) == (False, "WARN")
    assert outcome.value == pytest.approx(0.3)
    assert outcome.limit == pytest.approx(1 / 3)
    assert "VTA-DA at stimOn_times: 6 of 20 (30%)" in outcome.message
    lenient = Settings(_env_file=None, cohort={"min_whole_share": 0.3})
    assert evaluate_whole_windows(parameters, lenient).passed


def test_without_trials_it_is_not_evaluated():
    outcome = evaluate_whole_windows({}, Settings(_env_file=None))
    assert (outcome.passed, outcome.evaluated, outcome.value) == (True, False, None)


def test_the_analysis_declares_it():
    names = [check.name for check in registry.analysis("response_magnitudes").checks]
    assert "few_whole_windows" in names
