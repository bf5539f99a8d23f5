"""Trials and wheel of a session that was not extracted yet; they equal what was simulated."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from bench.raw_session import Opened

from iblnm.archive import connect
from iblnm.errors import MissingFileError, RawTaskError
from iblnm.io.raw_task import load_raw_task, same_clock
from iblnm.io.task_files import choose_task, task_of
from iblnm.io.trials import load_trials_table
from iblnm.io.wheel import load_wheel_trace
from iblnm.pipeline import stages


@pytest.fixture(scope="module")
def raw_only(tmp_path_factory) -> Opened:
    """Nothing extracted."""
    return Opened(tmp_path_factory.mktemp("raw_only"))


@pytest.mark.slow
def test_trials_from_the_log_are_those_that_were_run(raw_only):
    trials = load_trials_table(raw_only.one, raw_only.eid)
    planned = raw_only.draft.trials
    assert trials.attrs["source"] == "raw"
    assert trials.attrs["clock"] == "session"
    assert len(trials) == len(planned)
    is_answered = planned["choice"] != 0  # ibllib gives no stimulus to trials without a choice
    for name in set(planned) - {"firstMovement_times", "stimOn_times"}:
        np.testing.assert_allclose(trials[name], planned[name].astype(float), atol=1e-6)
    stim = trials["stimOn_times"][is_answered]
    np.testing.assert_allclose(stim, planned["stimOn_times"][is_answered], atol=1e-6)
    # detected in the wheel, where it is first above ibllib's threshold
    late = (trials["firstMovement_times"] - planned["firstMovement_times"]).dropna()
    assert len(late) > 0.95 * is_answered.sum()
    assert late.abs().max() < 0.1


@pytest.mark.slow
def test_the_wheel_from_the_log_is_the_one_that_was_turned(raw_only):
    trace = load_wheel_trace(raw_only.one, raw_only.eid)
    assert trace.source == "raw"
    draft = raw_only.draft
    before = np.searchsorted(draft.wheel_times, trace.times, side="right") - 1
    position = np.where(before >= 0, draft.wheel_position[before], 0.0)
    assert np.abs(trace.position - position).max() < 0.03  # a few counts of the encoder
    assert len(trace.times) >= len(draft.wheel_times)
    assert "not extracted yet" in trace.note


@pytest.mark.slow
def test_stages_mark_what_they_take_from_raw_files(raw_only):
    row = raw_only.row
    assert row.task_collection == ("alf/task_00" if raw_only.draft.plan.task_collection else "alf")
    assert row.task_reason.startswith("not extracted yet")
    made = stages.trials_table(raw_only.one, row, raw_only.settings)
    assert made.value.attrs["source"] == "raw"
    assert made.numbers["source"] == "raw"
    assert "not extracted yet" in made.note
    names = {item["name"].rpartition("/")[2] for item in made.provenance.inputs}
    assert names == {
        "_iblrig_taskData.raw.jsonable",
        "_iblrig_taskSettings.raw.json",
        "_iblrig_encoderPositions.raw.ssv",
        "_iblrig_encoderEvents.raw.ssv",
    }
    velocity = stages.wheel_velocity(raw_only.one, row, made.value, raw_only.settings)
    assert velocity.value.attrs["source"] == "raw"
    assert velocity.numbers["trials with velocity"] > 0.9 * len(made.value)


@pytest.mark.slow
def test_nothing_of_the_archive_changes(tmp_path):
    opened = Opened(tmp_path)
    files = [path for path in opened.archive.session.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    load_raw_task(opened.one, opened.eid, task_of(opened.one, opened.eid).collection)
    now = [path for path in opened.archive.session.rglob("*") if path.is_file()]
    assert {path: path.read_bytes() for path in now} == before


@pytest.mark.slow
def test_extracted_files_stand_before_raw_ones(tmp_path):
    opened = Opened(tmp_path)
    opened.archive.extract()
    one = connect(opened.settings)
    trials = load_trials_table(one, opened.eid)
    assert trials.attrs["source"] == "extracted"
    np.testing.assert_array_equal(trials["stimOn_times"], opened.draft.trials["stimOn_times"])
    trace = load_wheel_trace(one, opened.eid)
    assert trace.source == "extracted"
    np.testing.assert_array_equal(trace.position, opened.draft.wheel_position)


@pytest.mark.slow
def test_a_damaged_log_names_session_and_file_and_leaves_the_rest(tmp_path):
    opened = Opened(tmp_path)
    log = next(opened.archive.session.rglob("_iblrig_taskData.raw.jsonable"))
    text = log.read_text()
    log.write_text("x" * len(text.encode()))
    opened.archive.register_anew()
    one = connect(opened.settings)
    row = stages.session_metadata(one, opened.eid, opened.settings).value.iloc[0]
    with pytest.raises(RawTaskError) as caught:
        stages.trials_table(one, row, opened.settings)
    assert caught.value.eid == opened.eid
    assert caught.value.path.name == "_iblrig_taskData.raw.jsonable"
    assert "no readable log of trials" in str(caught.value)
    reference = stages.photometry_reference(one, row, opened.settings).value
    assert reference["source"].eq("raw").all()
    assert reference["first_sample_s"].notna().all()


@pytest.mark.slow
def test_a_wheel_of_the_rig_is_not_paired_with_trials_of_another_clock(tmp_path):
    opened = Opened(tmp_path, omitted=("alf/*_ibl_wheel.*",))
    assert load_wheel_trace(opened.one, opened.eid).source == "raw"
    path = next(opened.archive.session.rglob("_ibl_trials.table.pqt"))
    table = pd.read_parquet(path)
    times = [name for name in table if name.endswith("_times") or name.startswith("intervals")]
    table[times] += 2.5  # on the clock of a DAQ that was started earlier
    table.to_parquet(path)
    opened.archive.register_anew()
    with pytest.raises(MissingFileError, match="clock of the rig, which the extracted trials"):
        load_wheel_trace(connect(opened.settings), opened.eid)
    opened.open()
    trials = stages.trials_table(opened.one, opened.row, opened.settings).value
    made = stages.wheel_velocity(opened.one, opened.row, trials, opened.settings)
    assert made.value is None
    assert "which the extracted trials are not on" in made.note


def test_clocks_are_told_apart_by_the_starts_of_the_trials():
    starts = np.cumsum(np.full(50, 4.0))
    assert same_clock(starts, starts + 5e-4)
    assert same_clock(starts[:-1], starts)
    assert not same_clock(starts, starts + 2e-3)
    assert not same_clock(starts, starts * (1 + 50e-6))
    assert not same_clock(starts[:-2], starts)
    assert not same_clock(starts[:0], starts)


@pytest.mark.parametrize(
    ("files", "protocol", "collection", "is_raw", "rivals"),
    [
        ({"raw_task_data_00": 9, "raw_task_data_01": 9}, "biased/passive", "alf/task_00", True, 0),
        ({"raw_task_data_00": 9, "raw_task_data_01": 9}, "passive/biased", "alf/task_01", True, 0),
        ({"raw_task_data_00": 2, "raw_task_data_01": 9}, "biased/biased", "alf/task_01", True, 1),
        ({"raw_task_data_00": 9}, "passive", None, False, 0),
        ({"raw_behavior_data": 9}, "biased", "alf", True, 0),
        ({"raw_task_data_00": 9, "alf/task_01": 9}, "biased/biased", "alf/task_01", False, 0),
    ],
)
def test_the_task_is_chosen_among_raw_files_as_among_extracted_ones(
    files, protocol, collection, is_raw, rivals
):
    from iblnm.archive.datasets import Dataset

    words = {"biased": "biasedChoiceWorld", "passive": "passiveChoiceWorld"}
    datasets = []
    for folder, size in files.items():
        file = (
            "_ibl_trials.table.pqt"
            if folder.startswith("alf")
            else "_iblrig_taskData.raw.jsonable"
        )
        name = f"{folder}/{file}"
        datasets.append(Dataset(name, name, "", size, None, True))
    text = "/".join(words[part] for part in protocol.split("/"))
    task = choose_task(datasets, text)
    assert (task.collection, task.is_raw, len(task.rivals)) == (collection, is_raw, rivals)


@pytest.mark.slow
def test_a_session_that_is_extracted_loads_neither_of_the_packages(small_archive, tmp_path):
    code = (
        "import sys\n"
        "from iblnm.archive import connect\n"
        "from iblnm.config import Settings\n"
        "from iblnm.pipeline import stages\n"
        f"settings = Settings(root={str(tmp_path)!r}, one_cache_dir={str(small_archive[0])!r})\n"
        "one = connect(settings)\n"
        f"eid = {small_archive[1]['sessions'][0]['eid']!r}\n"
        "row = stages.session_metadata(one, eid, settings).value.iloc[0]\n"
        "trials = stages.trials_table(one, row, settings).value\n"
        "reference = stages.photometry_reference(one, row, settings).value\n"
        "stages.wheel_velocity(one, row, trials, settings)\n"
        "heavy = {'ibllib', 'iblphotometry', 'ibldsp', 'brainbox'} & set(sys.modules)\n"
        "print(sorted(heavy), len(trials), len(reference))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    packages, n_trials, n_columns = done.stdout.strip().rsplit(" ", 2)
    assert packages == "[]"
    assert int(n_trials) > 50
    assert int(n_columns) >= 1
