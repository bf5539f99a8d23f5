"""Schemas: what they accept, mend and refuse."""

from __future__ import annotations

import pandas as pd
import pytest

from iblnm.errors import MalformedFileError
from iblnm.schemas import PERFORMANCE, SESSIONS, TABLES, VIDEO

EID = "161871f1-8c04-4cda-9882-77f623e0edf8"


def _video(**values):
    return pd.DataFrame([{"eid": EID, "subject": "M1", **values}])


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_table_is_valid_without_rows_and_describes_every_column(table):
    assert list(table.validate(table.empty()).columns) == table.names
    assert len(set(table.names)) == len(table.names)
    assert all(len(column.description) > 4 for column in table.columns)
    assert set(table.key) <= set(table.names)


def test_missing_text_is_null_however_it_is_written():
    frame = pd.concat([_video(qc_focus=text) for text in ("", "nan", "None", "PASS")])
    frame["eid"] = [f"{EID[:-1]}{i}" for i in range(4)]
    values = VIDEO.validate(frame)["qc_focus"]
    assert values.isna().tolist() == [True, True, True, False]
    assert values.iloc[3] == "PASS"


def test_columns_that_are_absent_become_null_and_unknown_ones_go():
    table = VIDEO.validate(_video(unknown=1))
    assert "unknown" not in table
    assert table["video_length"].isna().all()
    assert table["timestamps_loadable"].dtype == "boolean"


def test_lists_stay_lists():
    row = {"eid": EID, "subject": "M1", "brain_region": ("VTA", "SNc"), "genotype": None}
    table = SESSIONS.validate(pd.DataFrame([row]))
    assert table["brain_region"].iloc[0] == ["VTA", "SNc"]
    assert table["genotype"].iloc[0] is None


def test_a_value_out_of_range_is_refused_by_name():
    frame = pd.DataFrame([{"eid": EID, "n_trials": 10, "fraction_correct": 1.5}])
    with pytest.raises(MalformedFileError, match=r"performance: fraction_correct: .*1\.5"):
        PERFORMANCE.validate(frame)


def test_text_in_a_column_of_numbers_is_refused_by_name():
    with pytest.raises(MalformedFileError, match=r"column video_length: .*of type float"):
        VIDEO.conform(_video(video_length="long"))


def test_two_rows_of_one_key_are_refused():
    with pytest.raises(MalformedFileError, match="eid"):
        VIDEO.validate(pd.concat([_video(), _video()]))


def test_a_file_of_another_version_is_read_where_what_it_lacks_may_be_null():
    older = VIDEO.conform(_video()).drop(columns="video_qc_score").assign(dropped_by_now=1)
    found = VIDEO.restore(older)
    assert found.columns.tolist() == VIDEO.names
    assert found["video_qc_score"].isna().all()
    assert found["eid"].tolist() == [EID]
    with pytest.raises(MalformedFileError, match="eid is not there"):
        VIDEO.restore(older.drop(columns="eid"))
