"""Times of the archive, with and without zone: length, day and order from one reader."""

import json

import pandas as pd
import pytest

from iblnm.archive import fetch_session
from iblnm.io.stamps import days_apart, local_times, seconds_between
from iblnm.pipeline.rules import evaluate


@pytest.mark.parametrize(
    ("start", "end", "length", "passes"),
    [
        ("2024-10-27T02:40:00+02:00", "2024-10-27T02:25:00+01:00", 2700, True),
        ("2024-03-31T01:40:00+01:00", "2024-03-31T03:25:00+02:00", 2700, True),
        ("2024-03-05T10:00:00", "2024-03-05T10:45:00Z", 2700, True),
        ("2024-03-05T20:00:00-05:00", "2024-03-06T02:00:00+00:00", 3600, True),
        ("2024-03-05 10:00:00.5", "2024-03-05 10:45:00.5", 2700, True),
        ("2024-03-05T10:00:00+00:00", "2024-03-05T09:00:00+00:00", -3600, False),
        ("2024-03-05T23:30:00+01:00", "2024-03-06T00:30:00+01:00", 3600, False),
    ],
)
def test_length_and_check_agree(tree, start, end, length, passes):
    eid = tree.add({"alf/note.text.txt": b"x"}, date=start[:10])
    tree.record("sessions", eid, json.dumps({"id": eid, "start_time": start, "end_time": end}))
    row = fetch_session(tree.open(), eid, tree.settings).iloc[0]
    assert row.session_length == length
    outcomes = evaluate("session", tree.settings, session_row=row)
    (outcome,) = [found for found in outcomes if found.rule == "invalid_session_length"]
    assert (outcome.passed, outcome.value) == (passes, length)


def test_a_day_is_no_time(tree):
    assert seconds_between("2024-03-05", "2024-03-05T10:00:00") is None
    eid = tree.add({"alf/note.text.txt": b"x"})
    tree.record("sessions", eid, json.dumps({"id": eid, "end_time": "2024-03-01T10:00:00"}))
    assert pd.isna(fetch_session(tree.open(), eid, tree.settings).session_length.iloc[0])


def test_what_is_no_stamp_is_missing():
    assert days_apart("2024-13-40", "2024-03-05") is None
    read = local_times(pd.Series(["2024-13-40", None, "0001-01-01", "2024-03-05T10:00:00Z"]))
    assert read.isna().tolist()[:2] == [True, True]
    assert read.iloc[3] == pd.Timestamp("2024-03-05T10:00:00")


def test_a_session_is_counted_once_whatever_zone_its_stamps_name(tree):
    eids = [tree.add({"alf/note.text.txt": b"x"}, number=n) for n in (1, 2)]
    stamps = ["2024-03-01T09:00:00", "2024-03-01T14:00:00"]
    for eid, stamp, n in zip(eids, stamps, (1, 2), strict=True):
        tree.record("sessions", eid, json.dumps({"id": eid, "start_time": stamp, "number": n}))
    rows = [{"start_time": f"{stamp}+00:00", "number": n + 1} for n, stamp in enumerate(stamps)]
    tree.record("subject_sessions", "M1", json.dumps({"sessions": rows}))
    one = tree.open()
    assert [fetch_session(one, eid, tree.settings).session_n.iloc[0] for eid in eids] == [1, 2]
