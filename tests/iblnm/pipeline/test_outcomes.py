"""Rows of outcomes: what is written last holds, whole or not at all, from several processes."""

from __future__ import annotations

import multiprocessing
import sqlite3

import pytest

from iblnm.errors import MalformedFileError, UnreadableFileError
from iblnm.pipeline.outcomes import Attempt, OutcomeStore, failed_attempt
from iblnm.pipeline.rules.outcome import Outcome

A, B = (f"00000000-0000-4000-8000-00000000000{i}" for i in range(2))


def outcome(rule, passed, value=1.0, evaluated=True):
    return Outcome(rule, passed, "WARN", value, 2.0, f"{value} of 2", evaluated=evaluated)


@pytest.fixture
def outcomes(tmp_path):
    return OutcomeStore(tmp_path / "metadata" / "outcomes.sqlite")


def test_the_latest_outcome_of_a_session_and_rule_holds(outcomes):
    assert outcomes.evaluations().empty
    assert outcomes.attempts().empty
    assert not outcomes.place.exists()
    outcomes.record_evaluations(A, [outcome("x", False, 3.0), outcome("y", True)])
    outcomes.record_evaluations(B, [outcome("x", True, None, evaluated=False)])
    outcomes.record_evaluations(A, [outcome("x", True, 1.5)])
    table = outcomes.evaluations().set_index(["eid", "check"])
    assert table["result"].to_dict() == {
        (A, "x"): "pass",
        (A, "y"): "pass",
        (B, "x"): "not evaluated",
    }
    assert table.loc[(A, "x"), "value"] == 1.5
    assert table.loc[(A, "x"), "limit"] == 2.0


def test_an_error_is_told_by_the_first_of_ours_with_where_it_was_raised(outcomes):
    with pytest.raises(ZeroDivisionError), outcomes.failures_recorded(A, "trials"):
        1 / 0  # noqa: B018
    try:
        raise OSError("disk") from MalformedFileError("no column x")
    except OSError as error:
        outcomes.record_attempt(failed_attempt(A, "wheel_velocity", error))
    table = outcomes.attempts("failed").set_index("asset")
    assert table.loc["trials", "error_type"] == "ZeroDivisionError"
    assert "1 / 0" in table.loc["trials", "traceback"]
    assert table.loc["wheel_velocity", "error_type"] == "MalformedFileError"
    assert table.loc["wheel_velocity", "message"] == f"session {A}: no column x"
    where = table.loc["wheel_velocity", "traceback"]
    assert where.strip().endswith("MalformedFileError: no column x")
    assert "disk" not in where
    outcomes.record_attempt(Attempt(A, "trials", "stored"))
    assert outcomes.attempts("failed")["asset"].tolist() == ["wheel_velocity"]


def test_rows_of_an_earlier_version_lack_what_was_not_kept(tmp_path):
    path = tmp_path / "outcomes.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(
            'CREATE TABLE evaluations (eid TEXT, "check" TEXT, result TEXT NOT NULL, value REAL, '
            '"limit" REAL, message TEXT, evaluated_at TEXT NOT NULL, PRIMARY KEY (eid, "check"))'
        )
        connection.execute(
            f"INSERT INTO evaluations VALUES ('{A}', 'x', 'fail', 2.0, 1.0, 'words', 'then')"
        )
        connection.execute(
            "CREATE TABLE attempts (eid TEXT, asset TEXT, state TEXT NOT NULL, error_type TEXT, "
            "message TEXT, traceback TEXT, attempted_at TEXT NOT NULL, PRIMARY KEY (eid, asset))"
        )
        connection.execute(
            f"INSERT INTO attempts VALUES ('{A}', 'trials', 'stored', NULL, NULL, NULL, 'then')"
        )
        connection.execute("PRAGMA user_version = 1")
    outcomes = OutcomeStore(path)
    outcomes.record_evaluations(B, [outcome("x", False, 3.0)])
    table = outcomes.evaluations().set_index("eid")
    assert table.loc[A, ["result", "value", "message"]].tolist() == ["fail", 2.0, "words"]
    assert table["severity"].tolist() == [None, outcome("x", False, 3.0).severity]
    (origin,) = outcomes.origins(A).to_dict("records")
    assert origin["state"] == "stored" and origin["made_with"] is origin["digest"] is None


def test_a_transaction_that_breaks_leaves_nothing(outcomes):
    outcomes.record_attempt(Attempt(A, "trials", "stored"))

    def broken():
        yield (B, "x", "pass", None, None, None, "now", "WARN")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcomes.insert_evaluations(broken())
    assert outcomes.evaluations().empty
    assert len(outcomes.attempts()) == 1


def write_many(path, eid):
    for i in range(50):
        OutcomeStore(path).record_evaluations(eid, [outcome(f"rule_{i}", True, float(i))])


@pytest.mark.slow
def test_several_processes_write_at_once(outcomes):
    workers = [
        multiprocessing.get_context("spawn").Process(target=write_many, args=(outcomes.place, eid))
        for eid in (A, B)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert outcomes.evaluations().groupby("eid").size().to_dict() == {A: 50, B: 50}


def test_a_damaged_file_says_what_to_do(outcomes):
    outcomes.place.parent.mkdir(parents=True)
    outcomes.place.write_bytes(b"not a database" * 500)
    with pytest.raises(UnreadableFileError, match=r"outcomes\.sqlite.*checks-only"):
        outcomes.evaluations()
    outcomes.place.unlink()
    sqlite3.connect(outcomes.place).close()
    assert outcomes.evaluations().empty
