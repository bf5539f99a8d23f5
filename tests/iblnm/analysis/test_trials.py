from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.trials import select_trials
from iblnm.errors import MalformedFileError


@pytest.fixture
def table():
    # one row that passes, then one that fails each criterion, then one that fails two
    return pd.DataFrame(
        {
            "probabilityLeft": [0.5, 0.8, 0.5, 0.5, 0.5, 0.5, 0.2],
            "choice": [1.0, 1.0, 0.0, -1.0, -1.0, 1.0, 0.0],
            "response_time": [0.3, 0.3, 0.3, 0.05, np.nan, 0.3, 0.3],
            "response_early": [1.0, 1.0, 1.0, 1.0, 1.0, np.nan, 1.0],
        },
        index=[3, 5, 7, 9, 11, 13, 15],
    )


def test_each_criterion_removes_its_trials_once(table):
    selected, counts = select_trials(table)
    assert selected.index.tolist() == [3]
    assert counts == {
        "candidate": 7,
        "other_block": 2,
        "no_choice": 1,
        "too_fast": 2,
        "no_response": 1,
        "eligible": 1,
    }


@pytest.mark.parametrize(
    ("change", "index"),
    [
        ({"probability_left": None}, [3, 5]),
        ({"probability_left": 0.8}, [5]),
        ({"exclude_nogo": False}, [3, 7]),
        ({"min_response_time_s": None}, [3, 9, 11]),
        ({"min_response_time_s": 0.04}, [3, 9]),
        ({"response_col": None}, [3, 13]),
    ],
)
def test_a_criterion_can_be_changed_or_left_out(table, change, index):
    assert select_trials(table, **change)[0].index.tolist() == index


def test_nothing_is_changed_in_the_table(table):
    before = table.copy()
    selected, _ = select_trials(table)
    selected.insert(0, "more", 7)
    pd.testing.assert_frame_equal(table, before)


def test_nullable_columns_and_empty_tables(table):
    nullable = table.astype("Float64").replace({np.nan: pd.NA})
    assert select_trials(nullable)[0].index.tolist() == [3]
    selected, counts = select_trials(table.iloc[:0])
    assert selected.empty
    assert counts["candidate"] == counts["eligible"] == 0


def test_a_missing_column_is_named(table):
    with pytest.raises(MalformedFileError, match="no column response_early;"):
        select_trials(table.drop(columns="response_early"))
    select_trials(table.drop(columns="response_early"), response_col=None)
    with pytest.raises(MalformedFileError, match="no column late; its responses are"):
        select_trials(table, response_col="late")


def test_times_that_no_trial_has_are_an_error_and_not_no_trials():
    table = pd.DataFrame(
        {
            "probabilityLeft": 0.5,
            "choice": [1, -1],
            "response_time": [np.nan, np.nan],
            "response_early": [0.1, np.nan],
        }
    )
    with pytest.raises(KeyError, match="no trial of 2 has a value of response_time"):
        select_trials(table)
    assert len(select_trials(table, min_response_time_s=None)[0]) == 1
    assert select_trials(table.head(0))[1]["eligible"] == 0
