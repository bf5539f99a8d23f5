"""Files of one task belong together: trials, wheel and camera of one collection."""

import json

import numpy as np
import pytest

from iblnm.archive import fetch_session
from iblnm.config import Settings
from iblnm.data import PhotometrySession
from iblnm.errors import MissingFileError
from iblnm.io import load_trials_table, load_wheel, photometry_reference, video_qc
from iblnm.io.task_files import task_of
from iblnm.pipeline import stages
from iblnm.pipeline.rules import evaluate

TRIALS = "alf/{}_ibl_trials.table.pqt"
TIMES = "alf/{}_ibl_wheel.timestamps.npy"
POSITION = "alf/{}_ibl_wheel.position.npy"
CAMERA = "alf/{}_ibl_leftCamera.times.npy"
BIASED = "_iblrig_tasks_biasedChoiceWorld8.1.0"
PASSIVE = "_iblrig_tasks_passiveChoiceWorld8.1.0"
TRAINING = "_iblrig_tasks_trainingChoiceWorld8.1.0"


def task(trials_maker, place, n=20, *, wheel=True, speed=1.0, camera=None):
    times = np.arange(0, 60, 0.02)
    files = {} if n is None else {TRIALS.format(place): trials_maker(n)}
    if wheel:
        files |= {TIMES.format(place): times, POSITION.format(place): speed * times}
    if camera is not None:
        files[CAMERA.format(place)] = np.arange(0, camera, 1 / 60)
    return files


def look(tree, files, protocol):
    eid = tree.add(files, task_protocol=protocol)
    one = tree.open()
    return one, fetch_session(one, eid, tree.settings).iloc[0]


def judged(row, name):
    outcomes = evaluate("session", Settings(_env_file=None), session_row=row)
    return next(found for found in outcomes if found.rule == name)


def test_the_wheel_of_another_task_is_not_taken(tree, trials_maker):
    files = task(trials_maker, "task_00/", wheel=False) | task(trials_maker, "task_01/", None)
    one, row = look(tree, files, f"{BIASED}/{PASSIVE}")
    trials = stages.trials_table(one, row, tree.settings).value
    result = stages.wheel_velocity(one, row, trials, tree.settings)
    assert result.value is None
    assert "alf/task_00, which has the trials, has no wheel; that of alf/task_01" in result.note
    with pytest.raises(MissingFileError, match="no wheel timestamps in alf/task_00"):
        load_wheel(one, row.eid)


def test_a_wheel_beside_the_tasks_is_no_wheel_of_one(tree, trials_maker):
    files = task(trials_maker, "task_00/", wheel=False) | task(trials_maker, "", None)
    one, row = look(tree, files, BIASED)
    trials = stages.trials_table(one, row, tree.settings).value
    assert stages.wheel_velocity(one, row, trials, tree.settings).value is None


@pytest.mark.parametrize("first", [True, False])
def test_a_chained_day_keeps_its_part_with_choices(tree, trials_maker, first):
    places = ("task_00/", "task_01/") if first else ("task_01/", "task_00/")
    files = task(trials_maker, places[0], 10, speed=2.0, camera=50)
    files |= task(trials_maker, places[1], 20, speed=7.0, camera=90)
    chain = (BIASED, PASSIVE) if first else (PASSIVE, BIASED)
    one, row = look(tree, files, "/".join(chain))
    assert (row.session_type, row.task_part) == ("biased", BIASED)
    assert row.task_collection == f"alf/{places[0]}".rstrip("/")
    assert row.task_rivals == []
    assert judged(row, "invalid_session_type").passed
    assert judged(row, "ambiguous_task").passed
    result = stages.trials_table(one, row, tree.settings)
    assert len(result.value) == 10
    assert {entry["name"] for entry in result.provenance.inputs} == {TRIALS.format(places[0])}
    velocity = stages.wheel_velocity(one, row, result.value, tree.settings).value
    assert np.nanmean(velocity.values) == pytest.approx(2.0, abs=0.01)
    assert video_qc(one, row.eid, row, tree.settings).video_length.iloc[0] == pytest.approx(
        50 - 1 / 60
    )


def test_a_chain_without_extracted_trials_keeps_its_type(tree, trials_maker):
    _, row = look(tree, task(trials_maker, "task_00/", None), f"{PASSIVE}/{BIASED}")
    assert row.session_type == "biased"
    assert judged(row, "invalid_session_type").passed
    assert not judged(row, "ambiguous_task").evaluated


def test_the_description_says_which_task_is_where(tree, trials_maker):
    files = task(trials_maker, "task_00/", 10) | task(trials_maker, "task_01/", 20)
    files["_ibl_experiment.description.yaml"] = {
        "tasks": [
            {PASSIVE: {"collection": "raw_task_data_00"}},
            {BIASED: {"collection": "raw_task_data_01"}},
        ]
    }
    _, row = look(tree, files, f"{BIASED}/{PASSIVE}")
    assert (row.task_collection, row.task_part) == ("alf/task_01", BIASED)


def test_of_a_restarted_task_the_whole_one_is_taken_and_the_other_is_named(tree, trials_maker):
    files = task(trials_maker, "task_00/", 3) | task(trials_maker, "task_01/", 900)
    one, row = look(tree, files, f"{BIASED}/{BIASED}")
    assert row.task_collection == task_of(one, row.eid).collection == "alf/task_01"
    outcome = judged(row, "ambiguous_task")
    assert (outcome.passed, outcome.value, outcome.severity) == (False, 1.0, "WARN")
    assert "could be meant: alf/task_00. alf/task_01 is used" in outcome.message


def test_two_tasks_with_choices_are_told_by_the_rule(tree, trials_maker):
    files = task(trials_maker, "task_00/", 20) | task(trials_maker, "task_01/", 21)
    _, row = look(tree, files, f"{TRAINING}/{BIASED}")
    assert row.session_type in ("training", "biased")
    assert row.session_type in row.task_part
    assert not judged(row, "ambiguous_task").passed


def test_a_second_table_beside_the_tasks_goes_with_its_wheel(tree, trials_maker):
    files = task(trials_maker, "", 20, wheel=False) | task(trials_maker, "task_00/", 20)
    files[TRIALS.format("")] = trials_maker(20, start=3.0)
    one, row = look(tree, files, BIASED)
    assert row.task_collection == "alf/task_00"
    assert row.task_rivals == ["alf"]
    assert load_trials_table(one, row.eid).intervals_0.iloc[0] == 2.0
    assert load_wheel(one, row.eid)[0][0] == 0


def test_a_linked_folder_is_the_same_task(tree, trials_maker):
    files = task(trials_maker, "", 20) | task(trials_maker, "task_00/", 20)
    _, row = look(tree, files, BIASED)
    assert row.task_rivals == []
    assert "the same" in row.task_reason


def test_the_photometry_and_the_session_object_use_the_same_task(tree, files, trials_maker):
    files |= {TRIALS.format("task_01/"): trials_maker(300, every=0.2)}
    files[TRIALS.format("task_00/")] = trials_maker(2)
    eid = tree.add(files, task_protocol=f"{BIASED}/{BIASED}")
    tree.record("sessions", eid, json.dumps({"id": eid, "task_protocol": f"{BIASED}/{BIASED}"}))
    one = tree.open()
    row = fetch_session(one, eid, tree.settings)
    reference = photometry_reference(one, eid, row, tree.settings)
    assert reference.n_trials.iloc[0] == 300
    assert (
        len(PhotometrySession({"eid": eid}, one=one, settings=tree.settings).load_trials()) == 300
    )
