"""Trials and wheel from the raw rig files of a real session equal its extracted tables."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iblnm.errors import RawTaskError
from iblnm.io.raw_task import extract_task
from iblnm.io.task_files import RAW_SETTINGS, RAW_TASK_FILES, RAW_TRIALS, RAW_WHEEL

SESSION = "mainenlab/Subjects/ZM_335/2018-12-13/001"


def shipped(name: str) -> Path:
    """Raw files of a session that ibllib's own tests bring."""
    ibllib = pytest.importorskip("ibllib")
    data = Path(ibllib.__file__).parent / "tests/extractors/data"
    folder = data / f"session_{name}" / "raw_behavior_data"
    if not (folder / RAW_TRIALS).is_file():
        pytest.skip(f"this ibllib is installed without the raw files of its tests ({folder})")
    return folder


def files_of(folder: Path) -> dict[str, Path]:
    return {name: folder / name for name in RAW_TASK_FILES}


@pytest.fixture(scope="module")
def zm_335(tmp_path_factory) -> dict[str, Path]:
    """Its raw files; the settings that lie beside them are those of a made-up ephys subject."""
    folder = tmp_path_factory.mktemp("ZM_335") / "raw"
    shutil.copytree(shipped("ephys"), folder)
    path = folder / RAW_SETTINGS
    settings = json.loads(path.read_text())
    settings["PYBPOD_PROTOCOL"] = "_iblrig_tasks_trainingChoiceWorld"
    path.write_text(json.dumps(settings))
    return files_of(folder)


@pytest.mark.slow
def test_trials_and_wheel_of_the_raw_files_are_those_of_the_extraction(real_data, zm_335):
    alf = real_data / "alf" / SESSION / "alf"
    task = extract_task(zm_335)
    expected = pd.read_parquet(alf / "_ibl_trials.table.pqt")
    assert len(task.trials) == 271
    pd.testing.assert_frame_equal(task.trials, expected, check_exact=True)
    np.testing.assert_array_equal(
        task.wheel_times, np.load(alf / "_ibl_wheel.timestamps.npy", allow_pickle=False)
    )
    np.testing.assert_array_equal(
        task.wheel_position, np.load(alf / "_ibl_wheel.position.npy", allow_pickle=False)
    )
    assert task.wheel_fault == ""
    assert len(task.events) >= 271  # a pulse at the start of each trial


@pytest.mark.parametrize("name", ["training_lt5", "training_ge5", "biased_ge5"])
@pytest.mark.slow
def test_every_generation_of_rigs_gives_what_ibllib_gives(name):
    folder = shipped(name)
    from ibllib.io.extractors.bpod_trials import get_bpod_extractor

    expected, _ = get_bpod_extractor(folder.parent).extract(save=False)
    task = extract_task(files_of(folder))
    pd.testing.assert_frame_equal(task.trials, expected["table"], check_exact=True)
    np.testing.assert_array_equal(task.wheel_times, expected["wheel_timestamps"])
    np.testing.assert_array_equal(task.wheel_position, expected["wheel_position"])


def test_a_wheel_that_cannot_be_extracted_costs_the_movement_times_alone():
    task = extract_task(files_of(shipped("biased_lt5")))
    assert len(task.trials) == 4
    assert task.wheel_times is None
    assert "the wheel cannot be extracted" in task.wheel_fault
    assert task.trials["firstMovement_times"].isna().all()
    assert "firstMovement_times" in task.note
    assert task.trials["feedback_times"].notna().all()


@pytest.mark.slow
def test_without_the_encoder_the_trials_are_the_same_but_for_the_movement():
    files = files_of(shipped("training_ge5"))
    whole = extract_task(files)
    trials = extract_task({k: v for k, v in files.items() if k not in RAW_WHEEL}).trials
    rest = [name for name in trials if name != "firstMovement_times"]
    pd.testing.assert_frame_equal(trials[rest], whole.trials[rest], check_exact=True)
    assert trials["firstMovement_times"].isna().all()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "no readable log of trials: JSONDecodeError"),
        (lambda text: "", "0 trials"),
        (lambda text: text.replace('"trial_correct"', '"other"'), "Choice of 12 trials"),
    ],
)
def test_a_damaged_log_names_itself(tmp_path, damage, words):
    files = files_of(shipped("training_ge5"))
    path = tmp_path / RAW_TRIALS
    path.write_text(damage(files[RAW_TRIALS].read_text()))
    with pytest.raises(RawTaskError, match=words) as caught:
        extract_task({**files, RAW_TRIALS: path})
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ("_iblrig_tasks_habituationChoiceWorld", "no trials with choices"),
        ("some_lab_task", "ibllib knows no task of protocol some_lab_task"),
        (None, "name no protocol"),
    ],
)
def test_a_task_that_ibllib_cannot_extract_is_named(tmp_path, protocol, words):
    files = files_of(shipped("training_ge5"))
    path = tmp_path / RAW_SETTINGS
    settings = json.loads(files[RAW_SETTINGS].read_text())
    path.write_text(json.dumps({**settings, "PYBPOD_PROTOCOL": protocol}))
    with pytest.raises(RawTaskError, match=words):
        extract_task({**files, RAW_SETTINGS: path})


def test_nothing_is_written_beside_the_raw_files():
    folder = shipped("training_ge5")
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
    extract_task({name: path for name, path in files_of(folder).items() if name != RAW_WHEEL[1]})
    assert {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")} == before
