"""Response vectors: planted cell means, the loop over trials, missing cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.responses.magnitudes import magnitude_table, recording_magnitudes
from iblnm.analysis.trials import select_trials
from iblnm.analysis.vectors.matrix import (
    condition_labels,
    from_table,
    handle_missing,
    response_matrix,
    to_table,
)
from iblnm.analysis.vectors.tables import RESPONSE_MATRIX
from iblnm.constants import ANY_SAMPLE
from iblnm.errors import MalformedFileError


@pytest.fixture(scope="module")
def magnitudes(loops):
    parts = []
    for i in range(4):
        recording = {
            "eid": f"session-{i // 2}",
            "subject": f"m{i // 2}",
            "target_NM": ["VTA-DA", "SNc-DA"][i % 2],
            "hemisphere": ["l", "r", None, "l"][i],
            "fiber_idx": i % 2,
        }
        simulated = loops.simulate(i, 400)
        parts.append(recording_magnitudes(recording, *simulated, min_coverage=ANY_SAMPLE))
    return select_trials(magnitude_table(parts))[0]


def test_equal_to_the_loop_over_trials(loops, magnitudes):
    matrix = response_matrix(magnitudes, min_trials=5)
    loop = loops.loop_features(magnitudes, min_trials=5)
    assert matrix.columns.tolist() == condition_labels()
    assert matrix.index.tolist() == loop.index.tolist()
    expected = loop.reindex(columns=matrix.columns)
    np.testing.assert_allclose(matrix.to_numpy(), expected.to_numpy(dtype=float), atol=1e-12)
    assert np.isfinite(matrix.iloc[0]).sum() > 20


def test_planted_means_and_small_cells():
    rows = []
    for event, shift in (("stimOn_times", 0.0), ("feedback_times", 10.0)):
        for k in range(5):
            rows.append((event, 25.0, "contra", 1.0, shift + k))
        rows.append((event, 25.0, "ipsi", -1.0, shift))
    table = pd.DataFrame(rows, columns=["event", "contrast", "side", "feedbackType", "r"])
    table = table.assign(eid="a", target_NM="LC-NE", fiber_idx=0)
    matrix = response_matrix(table, contrasts=[25.0], response_col="r")
    assert matrix.loc[("a", "LC-NE", 0)].dropna().to_dict() == {
        "stimOn_c25_contra_correct": 2.0,
        "feedback_c25_contra_correct": 12.0,
    }
    small = response_matrix(table, contrasts=[25.0], response_col="r", min_trials=1)
    assert small.loc[("a", "LC-NE", 0), "feedback_c25_ipsi_incorrect"] == 10.0


def test_a_fiber_without_side_has_a_row_of_nothing(magnitudes):
    matrix = response_matrix(magnitudes)
    assert matrix.xs(("session-1", 0), level=("eid", "fiber_idx")).isna().all(axis=None)
    assert len(matrix) == 4


def test_other_contrasts_and_no_choice_are_in_no_cell(magnitudes):
    odd = magnitudes.assign(contrast=50.0)
    assert response_matrix(odd).isna().all(axis=None)
    assert response_matrix(magnitudes.iloc[:0]).shape == (0, 40)


def test_conditions_over_the_rate_then_incomplete_recordings_are_dropped():
    values = np.arange(30.0).reshape(10, 3)
    values[:4, 0] = np.nan  # 40 %: over the limit
    values[:3, 1] = np.nan  # 30 %: not over it
    index = pd.MultiIndex.from_tuples([(f"e{i}", "VTA-DA", 0) for i in range(10)])
    matrix = pd.DataFrame(values, index=index, columns=["a", "b", "c"])
    kept, dropped = handle_missing(matrix, "drop_features", 0.3)
    assert kept.columns.tolist() == ["b", "c"]
    assert len(kept) == 7
    assert dropped["features"] == ["a"]
    assert dropped["recordings"] == [(f"e{i}", "VTA-DA", 0) for i in range(3)]
    kept, dropped = handle_missing(matrix, "drop_sessions")
    assert kept.shape == (6, 3)
    assert dropped["features"] == []
    assert handle_missing(matrix, None)[0].equals(matrix)
    nothing, dropped = handle_missing(matrix[["a"]], "drop_features", 0.3)
    assert nothing.shape == (0, 0)
    assert len(dropped["recordings"]) == 10
    with pytest.raises(ValueError, match="drop_features"):
        handle_missing(matrix, "fill")


def test_stored_and_read_again(magnitudes):
    matrix, _ = handle_missing(response_matrix(magnitudes), "drop_features", 0.5)
    subjects = dict(zip(magnitudes["eid"], magnitudes["subject"], strict=True))
    table = RESPONSE_MATRIX.validate(to_table(matrix, subjects))
    again, names = from_table(table)
    pd.testing.assert_frame_equal(again, matrix, check_index_type=False, check_names=False)
    assert again.index.names == ["eid", "target_NM", "fiber_idx"]
    assert names.tolist() == [f"m{eid[-1]}" for eid, _, _ in matrix.index]


def test_the_schema_refuses_columns_that_are_no_conditions(magnitudes):
    table = to_table(response_matrix(magnitudes), {})
    with pytest.raises(MalformedFileError, match="columns odd are no conditions"):
        RESPONSE_MATRIX.validate(table.assign(subject="m", odd=1.0))
    with pytest.raises(MalformedFileError, match="subject"):
        RESPONSE_MATRIX.validate(table)
    with pytest.raises(MalformedFileError, match="no column fiber_idx"):
        from_table(table.drop(columns="fiber_idx"))
