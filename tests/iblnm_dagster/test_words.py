"""Sessions are called by subject and date, and chosen by them; other keys are no sessions."""

from __future__ import annotations

import pytest
from dagster import RunsFilter

from iblnm.errors import DataError, IblnmError
from iblnm.pipeline.outcomes import open_outcomes
from iblnm.pipeline.wording import session_words
from iblnm_dagster.build import build_defs
from iblnm_dagster.partitions import SESSION_PARTITIONS, known_sessions
from iblnm_dagster.resources import Archive
from iblnm_dagster.running.page import _take_the_root
from iblnm_dagster.selection import chosen_sessions

pytestmark = pytest.mark.slow


def test_a_session_in_words():
    row = {"subject": "DX-1", "start_time": "2024-03-05T10:00:00", "target_NM": ["NBM-ACh"] * 2}
    assert session_words(row) == "DX-1 2024-03-05 (NBM-ACh)"
    assert session_words({**row, "target_NM": [], "brain_region": ["DLS"]}).endswith("(DLS)")
    assert session_words({"subject": None}) == ""


def test_runs_and_failed_checks_say_which_session(faulty):
    of_defect = {session["defect"]: session for session in faulty.truth["sessions"]}
    session = of_defect["insufficient_trials"]
    words = f"{session['subject']} {session['start_time'][:10]}"
    run, *_ = faulty.instance.get_runs(RunsFilter(tags={"dagster/partition": session["eid"]}))
    assert run.tags["iblnm/session"].startswith(words)
    events = [entry.dagster_event for entry in faulty.instance.all_logs(run.run_id)]
    evaluations = [
        event.asset_check_evaluation_data
        for event in events
        if event is not None and event.event_type_value == "ASSET_CHECK_EVALUATION"
    ]
    failed = {found.check_name: found for found in evaluations if not found.passed}
    assert failed["insufficient_trials"].description.startswith(words)
    assert all(words not in (found.description or "") for found in evaluations if found.passed)


def test_sessions_are_chosen_by_animal_and_day(faulty):
    sessions = faulty.truth["sessions"]
    animal = sessions[0]["subject"]
    own = {
        session["eid"]: session["start_time"][:10]
        for session in sessions
        if session["subject"] == animal
    }
    archive = Archive(faulty.settings)
    found = chosen_sessions(faulty.instance, archive, subject=animal)
    assert set(found) == set(own)
    day = min(own.values())
    found = chosen_sessions(faulty.instance, archive, subject=animal, since=day, until=day)
    assert set(found) == {eid for eid, of in own.items() if of == day}
    with pytest.raises(DataError, match=r"5\.3\.2024 is no day"):
        chosen_sessions(faulty.instance, archive, since="5.3.2024")
    with pytest.raises(DataError, match="no session of nobody"):
        chosen_sessions(faulty.instance, archive, subject="nobody")


def test_a_partition_that_is_no_session_is_left_out(instance):
    eid = "4ecb5d24-f5cc-402c-be28-9d0f7cb14b3a"
    instance.add_dynamic_partitions(SESSION_PARTITIONS.name, ["my mouse", eid])
    assert known_sessions(instance)[-1] == eid
    assert "my mouse" not in known_sessions(instance)


def test_two_pages_on_one_root_are_refused(small_settings):
    _take_the_root(small_settings)
    with pytest.raises(IblnmError, match="running already"):
        _take_the_root(small_settings)


def test_the_job_runs_the_sessions_of_an_animal_alone(settings, instance, small_archive):
    animal = small_archive[1]["sessions"][0]["subject"]
    own = {s["eid"] for s in small_archive[1]["sessions"] if s["subject"] == animal}
    job = build_defs(settings).resolve_job_def("process_chosen")
    config = {"ops": {"run_chosen": {"config": {"subject": animal}}}}
    assert job.execute_in_process(instance=instance, run_config=config).success
    attempts = open_outcomes(settings).attempts()
    assert set(attempts["eid"]) == own
    assert len(own) < len(small_archive[1]["sessions"])
