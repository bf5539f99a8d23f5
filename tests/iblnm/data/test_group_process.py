"""Functions over the sessions of a group: results, failures, several processes."""

from __future__ import annotations

import operator
import shutil

import pandas as pd
import pytest

from iblnm.data import PhotometrySession
from iblnm.errors import DataError
from iblnm.util import collect_errors
from iblnm.validation import LOG_COLUMNS


def log_and_fail(ps):
    ps.log_error(DataError("remark"))
    raise ValueError("no use")


@pytest.fixture
def own_files(group, cohort, tmp_path):
    """The group with a copy of the session files, which failures are written to."""
    group.h5_dir = shutil.copytree(cohort.settings.sessions_h5_dir, tmp_path / "h5")
    return group


def test_a_failing_session_does_not_stop_the_others(own_files):
    group = own_files
    bad = group.sessions["eid"].iloc[2]

    def work(ps, factor):
        if ps.eid == bad:
            raise ZeroDivisionError("no trials left")
        return factor * len(ps.trials)

    log = group.process(work, factor=2)
    assert list(log) == [240 if eid != bad else None for eid in group.sessions["eid"]]
    (entry,) = log.failures
    assert list(entry) == LOG_COLUMNS
    assert (entry["eid"], entry["error_type"]) == (bad, "ZeroDivisionError")
    assert "in work" in entry["traceback"]
    assert log.to_frame().columns.tolist() == LOG_COLUMNS
    assert log.results == {eid: 240 for eid in group.sessions["eid"] if eid != bad}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_what_a_session_logs_and_its_failure_are_stored_in_its_file_once(own_files, workers):
    group = own_files
    for _ in range(2):
        group.process(log_and_fail, workers=workers)
        group._cache.clear()
    for eid in group.sessions["eid"]:
        stored = PhotometrySession.from_h5(group.h5_dir / f"{eid}.h5")
        assert [entry["error_message"] for entry in stored.errors] == ["remark", "no use"]
        assert len(stored.trials) == 120
    collected = collect_errors(group.h5_dir)
    assert collected["error_type"].value_counts().to_dict() == {
        "DataError": len(group.sessions),
        "ValueError": len(group.sessions),
    }


def test_the_log_tells_how_many_succeeded_and_what_failed(own_files):
    group = own_files
    eids = group.sessions["eid"].tolist()
    log = group.process(lambda ps: 1 / (ps.eid != eids[0]))
    assert repr(log) == (
        "<ProcessLog: 5 sessions succeeded, 1 failed (1 ZeroDivisionError; see .to_frame())>"
    )
    assert repr(group.process(str)) == "<ProcessLog: 6 sessions succeeded, 0 failed>"


def test_a_method_may_be_named_and_what_is_none_is_refused_at_once(group):
    log = group.process("get_trial_timings")
    assert list(log.results) == group.sessions["eid"].tolist()
    assert {len(table) for table in log.results.values()} == {120}
    for wrong in ("preproces", None, 3):
        with pytest.raises(TypeError, match=f"name of a method .* not {wrong!r}"):
            group.process(wrong)


def test_each_session_is_processed_once(group):
    seen = []
    log = group.process(lambda ps: seen.append(ps.eid))
    assert (list(log), log.failures) == ([None] * 6, [])
    assert seen == group.sessions["eid"].tolist()


def test_an_interrupt_is_no_failure_of_a_session(group):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        group.process(stop)


def test_a_damaged_file_is_a_failure_of_its_session(group, cohort, tmp_path):
    shutil.copytree(cohort.settings.sessions_h5_dir, tmp_path / "h5")
    group.h5_dir = tmp_path / "h5"
    eid = group.sessions["eid"].iloc[0]
    (tmp_path / "h5" / f"{eid}.h5").write_bytes(b"not HDF5")
    log = group.process(operator.attrgetter("eid"))
    failed = [(entry["eid"], entry["error_type"]) for entry in log.failures]
    assert failed == [(eid, "UnreadableFileError")]
    assert (tmp_path / "h5" / f"{eid}.h5").read_bytes() == b"not HDF5"
    assert len(log.results) == 5


@pytest.mark.slow
def test_several_processes_give_the_same(group, cohort, tmp_path):
    eids = group.sessions["eid"].tolist()
    group.h5_dir = tmp_path
    for eid in eids[1:]:
        shutil.copy(cohort.h5_path(eid), tmp_path)
    fn = PhotometrySession.get_trial_timings
    alone, together = group.process(fn), group.process(fn, workers=2)
    for log in (alone, together):
        (entry,) = log.failures
        assert (entry["eid"], entry["error_type"]) == (eids[0], "ValueError")
        assert list(log.results) == eids[1:]
        assert "no trials" in entry["error_message"]
    for eid in eids[1:]:
        pd.testing.assert_frame_equal(alone.results[eid], together.results[eid])


def test_failures_of_a_function_are_counted_in_a_warning(group):
    with pytest.warns(UserWarning, match=r"0 sessions succeeded, 6 failed .6 ZeroDivisionError"):
        assert group.process(lambda ps: 1 / 0) == [None] * 6
