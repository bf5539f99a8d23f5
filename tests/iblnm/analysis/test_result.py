from __future__ import annotations

import pandas as pd
import pytest

from iblnm.analysis.regressors.tables import PEAK_VELOCITY
from iblnm.analysis.result import (
    AnalysisResult,
    count_units,
    no_units,
    write_result,
)
from iblnm.errors import MalformedFileError


def _table(**changes):
    return pd.DataFrame({"eid": ["a", "a"], "trial": [0, 1], "peak_velocity": 1.0, **changes})


def test_all_tables_are_checked_before_one_is_written(tmp_path):
    result = AnalysisResult(
        tables={"good": _table(), "bad": _table(peak_velocity=-1.0)},
    )
    with pytest.raises(MalformedFileError, match="peak_velocity"):
        write_result(result, tmp_path, dict.fromkeys(("good", "bad"), PEAK_VELOCITY))
    assert list(tmp_path.iterdir()) == []


def test_units_are_counted_once():
    table = pd.DataFrame(
        {
            "eid": ["a", "a", "a", "b", "b"],
            "fiber_idx": [0, 0, 1, 0, 0],
            "subject": ["m", "m", "m", "n", "n"],
            "trial": [0, 1, 1, 0, 0],
            "event": ["s", "s", "s", "s", "f"],
        }
    )
    assert count_units(table) == {"sessions": 2, "recordings": 3, "subjects": 2, "trials": 3}
    assert count_units(table.drop(columns="trial"), trials=7)["trials"] == 7
    assert count_units(table.iloc[:0]) == no_units()
