"""Insertions and histology: real records with known values, and records that lack things."""

import json
from collections import Counter

import pandas as pd
import pytest

from iblnm.layers.histology import has_both_stacks, histology_state, listed_files, next_task
from iblnm.layers.insertions import (
    eid_and_probe_of,
    histology_rows,
    histology_todo,
    insertion_rows,
    pid_of,
)


@pytest.fixture(scope="module")
def real(layers_data):
    records = json.loads((layers_data / "alyx" / "insertions_list.json").read_text())
    return pd.DataFrame(
        [
            row
            for record in records
            for row in insertion_rows({}, [record], None, image_stacks=True)
        ]
    )


def test_real_insertions_have_their_known_values(real, known):
    right = known["insertions_list"]
    assert len(real) == right["n_insertions"]
    assert real["eid"].nunique() == right["n_sessions"]
    assert real["subject"].nunique() == right["n_subjects"]
    assert real["n_units"].sum() == right["n_units_sum"]
    assert real["n_units"].isna().sum() == right["n_units_missing"]
    assert real["n_units_qc_pass"].sum() == right["n_units_qc_pass_sum"]
    assert real["n_picks"].sum() == right["picks_sum"]
    assert real["alignment_resolved"].sum() == right["resolved"]
    assert real["ephys_qc"].value_counts().to_dict() == right["ephys_qc"]
    probes = real.sort_values("probe").groupby("eid")["probe"].agg("+".join)
    assert probes.value_counts().to_dict() == right["probes_of_sessions"]
    again = real["alignment_resolved_by"].notna() & ~real["alignment_resolved"]
    assert again.sum() == right["unresolved_again"]


def test_real_insertions_have_their_next_task(real, known):
    rows = histology_rows(real.to_dict("records"), True, {})
    tasks = Counter(str(row["next_task"]) for row in rows)
    assert tasks == known["insertions_list"]["next_task_when_stacks_are_there"]
    todo = histology_todo(pd.DataFrame(rows))
    assert todo["next_task"].tolist() == ["ALIGN"] * 105 + ["RESOLVE"] * 85


def test_pid_and_probe_find_each_other(real):
    row = real.iloc[17]
    assert pid_of(real, row.eid, row.probe) == row.pid
    assert eid_and_probe_of(real, row.pid) == (row.eid, row.probe)


def test_a_record_of_the_detail_is_read_too(layers_data):
    record = json.loads((layers_data / "alyx" / "insertion_detail_KS055.json").read_text())
    (row,) = insertion_rows({}, [record], None, image_stacks=None)
    assert (row["probe"], row["n_picks"], row["histology_state"]) == ("probe00", 0, "unknown")
    assert row["eid"] == record["session"]


@pytest.mark.parametrize("json_", [None, {}, {"extended_qc": {}}, {"n_units": "many"}])
def test_what_a_record_lacks_is_missing(json_):
    (row,) = insertion_rows(
        {"eid": "e"}, [{"id": "p", "name": "probe00", "json": json_}], None, image_stacks=False
    )
    assert (row["n_units"], row["ephys_qc"], row["alignment_qc"]) == (None, "NOT_SET", "NOT_SET")
    assert row["histology_state"] == "no-stacks"


def test_counts_as_text_and_stamps_without_the_user():
    qc = {
        "alignment_count": "3",
        "alignment_stored": "2021-01-04T17:41:38_user02",
        "alignment_qc": "PASS",
        "alignment_resolved": "True",
        "alignment_resolved_by": "experimenter",
    }
    record = {"id": "p", "name": "probe00", "json": {"n_units": "247", "extended_qc": qc}}
    (row,) = insertion_rows({}, [record], None, image_stacks=None)
    assert (row["n_units"], row["alignment_count"]) == (247, 3)
    assert row["alignment_date"] == "2021-01-04T17:41:38"
    assert (row["alignment_qc"], row["alignment_similarity"]) == ("PASS", None)
    qc |= {"alignment_qc": 0.7, "alignment_resolved_by": "qc"}
    (row,) = insertion_rows({}, [record], None, image_stacks=None)
    assert (row["alignment_qc"], row["alignment_similarity"]) == ("NOT_SET", 0.7)


@pytest.mark.parametrize(
    ("qc", "picks", "stacks", "state", "task"),
    [
        ({}, [], None, "unknown", None),
        ({}, [], False, "no-stacks", "TRACE STACKS"),
        ({}, [], True, "no-tracing", "TRACE PICKS"),
        ({}, [[0, 0, 0]], False, "traced", "ALIGN"),
        ({"alignment_count": 1}, [[0, 0, 0]], True, "aligned", "RESOLVE"),
        ({"alignment_count": 1, "alignment_resolved": True}, [], None, "resolved", None),
        ({"alignment_resolved_by": "qc"}, [[0, 0, 0]], True, "traced", "ALIGN"),
    ],
)
def test_every_rung(qc, picks, stacks, state, task):
    record = {"json": {"xyz_picks": picks, "extended_qc": qc}}
    assert histology_state(record, stacks) == state
    assert next_task(state) == task


def test_a_probe_with_data_and_no_insertion():
    rows = histology_rows([], None, {"eid": "e", "subject": "s"}, ["probe01"])
    assert (rows[0]["state"], rows[0]["probe"], rows[0]["picks"]) == (
        "no-insertion",
        "probe01",
        None,
    )


def test_a_listing_on_one_line_is_read():
    page = '<html><a href="a_GR.tif">a</a><a href=/x/sample2ARA/a_RD.tif>b</a><a href="../">c</a>'
    assert listed_files(page) == ["a_GR.tif", "a_RD.tif"]
    assert has_both_stacks(listed_files(page))
    assert not has_both_stacks(listed_files('<a href="a_GR.tif">'))
