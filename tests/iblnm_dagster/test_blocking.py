"""What a blocking rule stops and what goes on; what is refused; what is absent, not failed."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from dagster import AssetKey

from iblnm.archive import connect
from iblnm.demo import DEFECTS
from iblnm.pipeline.graph import all_stages, stage_names
from iblnm.pipeline.groups import running_rules
from iblnm.pipeline.outcomes import open_outcomes
from iblnm.storage.h5 import list_groups
from iblnm.storage.store import SessionStore
from iblnm.validation import RULES
from iblnm_dagster.partitions import known_sessions
from iblnm_dagster.running.worker import BLOCKED, FAILED, PASSED, Worker
from iblnm_dagster.selection import failed_sessions, missing_sessions

pytestmark = pytest.mark.slow

BLOCKING = sorted(rule.name for rule in running_rules() if rule.severity == "BLOCK")
PLANTED = sorted({check for defect in DEFECTS for check in defect.checks if check in BLOCKING})
EVERYTHING = {"trials", "performance", "responses", "wheel_velocity"}
NOT_MADE_WITHOUT = {  # neither raw nor extracted
    "photometry": {"photometry", "photometry_qc", "preprocessed", "responses"},
    "trials": EVERYTHING,
    "wheel": {"wheel_velocity"},
}


def made(instance, eid: str) -> set[str]:
    """Assets of a session that were materialized at least once."""
    return {
        name
        for name in stage_names()
        if eid in instance.get_materialized_partitions(AssetKey(name))
    }


def stored(settings, eid: str) -> set[str]:
    """Assets of a session that are on disk."""
    store = SessionStore(settings)
    tables = {
        stage.name
        for stage in all_stages()
        if stage.folder and list((settings.root / stage.folder).glob(f"{eid}.*"))
    }
    path = store.h5_path(eid)
    groups = set(list_groups(path)) if path.exists() else set()
    return tables | {
        stage.name for stage in all_stages() if not stage.folder and stage.h5_group in groups
    }


# every rule, on the archive with planted faults ---------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_blocking_rule_stops_what_it_says_and_nothing_else(faulty, name):
    planted = [
        session
        for session in faulty.truth["sessions"]
        if {f for f in session["expected_failures"] if f in BLOCKING} == {name}
    ]
    assert planted
    for session in planted:
        expected = set(stage_names()) - set(RULES[name].blocks)
        assert made(faulty.instance, session["eid"]) == expected, session["defect"]
        assert stored(faulty.settings, session["eid"]) == expected, session["defect"]
    assert RULES[name].blocks


@pytest.mark.slow
@pytest.mark.parametrize("modality", list(NOT_MADE_WITHOUT))
def test_a_missing_modality_leaves_partitions_missing_not_failed(faulty, modality):
    (session,) = [s for s in faulty.truth["sessions"] if s["defect"] == f"missing_raw_{modality}"]
    eid = session["eid"]
    expected = set(stage_names()) - NOT_MADE_WITHOUT[modality]
    assert made(faulty.instance, eid) == stored(faulty.settings, eid) == expected
    run = faulty.instance.get_runs(dg.RunsFilter(tags={"dagster/partition": eid}))[0]
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert eid not in set(open_outcomes(faulty.settings).attempts("failed")["eid"])
    assert eid not in failed_sessions(faulty.instance, faulty.settings)
    assert eid not in missing_sessions(faulty.instance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modality", "asset"),
    [("trials", "trials"), ("wheel", "wheel_velocity"), ("photometry", "preprocessed")],
)
def test_a_modality_that_is_not_extracted_is_read_from_the_raw_files(faulty, modality, asset):
    (session,) = [
        s for s in faulty.truth["sessions"] if s["defect"] == f"missing_extracted_{modality}"
    ]
    eid, store = session["eid"], SessionStore(faulty.settings)
    assert made(faulty.instance, eid) == set(stage_names())
    value = store.load(asset, eid)
    values = value.values() if asset == "preprocessed" else [value]
    assert {data.attrs["source"] for data in values} == {"raw"}
    others = {"trials", "wheel_velocity"} - {asset, "wheel_velocity" if asset == "trials" else ""}
    assert {store.load(name, eid).attrs["source"] for name in others} <= {"extracted"}


@pytest.mark.slow
def test_runs_of_sessions_without_a_block_or_failure_succeed(faulty):
    stopped = {
        session["eid"]
        for session in faulty.truth["sessions"]
        if set(session["expected_failures"]) & set(BLOCKING) or session["expected_asset_failures"]
    }
    assert set(failed_sessions(faulty.instance, faulty.settings)) == stopped
    for session in faulty.truth["sessions"]:
        (run,) = faulty.instance.get_runs(
            dg.RunsFilter(tags={"dagster/partition": session["eid"]})
        )
        expected = "FAILURE" if session["eid"] in stopped else "SUCCESS"
        assert run.status.value == expected, session["defect"]


# damaged by the test, and made again --------------------------------------------------------


def change_file(settings, register, eid: str, pattern: str, change) -> None:
    """Change a table or array of a session, and its record, as a new extraction would."""
    path: Path = next(connect(settings).eid2path(eid).rglob(pattern))
    if path.suffix == ".npy":
        np.save(path, change(np.load(path)))
    else:
        change(pd.read_parquet(path)).to_parquet(path)
    register(settings.cache_dir, path)


def flip_choices(trials: pd.DataFrame) -> pd.DataFrame:
    return trials.assign(choice=-trials["choice"])


def repeat_an_led(frames: pd.DataFrame) -> pd.DataFrame:
    column = "LedState" if "LedState" in frames else "Flags"
    states = frames[column].to_numpy().copy()
    states[5000] = states[4999]
    return frames.assign(**{column: states})


def begin_after_the_first_trial(signal: pd.DataFrame) -> pd.DataFrame:
    return signal[signal["times"] > signal["times"].iloc[0] + 60].reset_index(drop=True)


# file, change, rule's asset, and the runs of single assets that must be refused
CASES = {
    "choice_sign": (
        "_ibl_trials.table.pqt",
        flip_choices,
        "trials",
        [("performance", "wheel_velocity", "responses")],
    ),
    "band_inversion": (
        "_neurophotometrics_fpData.raw.pqt",
        repeat_an_led,
        "photometry_qc",
        [("preprocessed",), ("responses",)],
    ),
    "trials_not_in_photometry_time": (
        "photometry.signal.pqt",
        begin_after_the_first_trial,
        "photometry",
        [("photometry_qc",), ("preprocessed",), ("responses",)],
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_an_asset_made_alone_does_not_use_what_a_rule_blocks(settings, instance, register, name):
    """The branch was stored before its input went bad; another session is not concerned."""
    pattern, change, judged, selections = CASES[name]
    eid, other = known_sessions(instance)[:2]
    worker = Worker(settings, instance)
    assert worker.run(eid).status == worker.run(other).status == PASSED
    change_file(settings, register, eid, pattern, change)
    outcome = Worker(settings, instance).run(eid)
    assert outcome.status == BLOCKED
    assert len(outcome.problems) == 1
    assert name in outcome.problems[0]
    before = {path: path.read_bytes() for path in settings.data_dir.rglob(f"{eid}.*")}
    for assets in selections:
        worker = Worker(settings, instance, assets=assets)
        outcome = worker.run(eid)
        assert outcome.status == BLOCKED, assets
        assert {problem.split(":")[0] for problem in outcome.problems} == set(assets)
        for problem in outcome.problems:
            assert f": stopped by the check {name} of {judged}: " in problem
    assert {path: path.read_bytes() for path in before} == before
    assert worker.run(other).status == PASSED
    assert failed_sessions(instance, settings) == [eid]


def test_the_other_branches_are_computed_anew(settings, instance, register):
    eid = known_sessions(instance)[0]
    change_file(settings, register, eid, "_ibl_trials.table.pqt", flip_choices)
    assert Worker(settings, instance).run(eid).status == BLOCKED
    expected = {"session", "trials", "photometry", "photometry_qc", "preprocessed", "video_qc"}
    # the report tells what was stopped, and by which check
    expected |= {"session_report"}
    assert made(instance, eid) == stored(settings, eid) == expected


def test_a_check_runs_alone_from_what_is_stored(settings, instance, register):
    eid = known_sessions(instance)[0]
    change_file(settings, register, eid, "_ibl_trials.table.pqt", flip_choices)
    Worker(settings, instance).run(eid)
    path = SessionStore(settings).h5_path(eid)
    before = path.read_bytes()
    materialized = instance.get_materialized_partitions(AssetKey("trials"))
    # gone from the archive: a check needs only what is stored
    next(connect(settings).eid2path(eid).rglob("_ibl_trials.table.pqt")).unlink()
    alone = Worker(settings, instance, check="choice_sign").run(eid)
    assert alone.status == BLOCKED
    assert "choice_sign" in alone.problems[0]
    assert Worker(settings, instance, check="insufficient_trials").run(eid).status == PASSED
    assert Worker(settings, instance, check="missing_isosbestic").run(eid).status == PASSED
    assert path.read_bytes() == before
    assert instance.get_materialized_partitions(AssetKey("trials")) == materialized
    history = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(AssetKey("trials"), "choice_sign"), limit=10
    )
    assert [record.evaluation.passed for record in history if record.partition == eid] == [
        False
    ] * 2


def test_two_branches_blocked_at_once_are_both_reported(settings, instance, register):
    eid = known_sessions(instance)[0]
    for name in ("choice_sign", "band_inversion"):
        change_file(settings, register, eid, *CASES[name][:2])
    outcome = Worker(settings, instance).run(eid)
    assert outcome.status == BLOCKED
    assert {problem.split(":")[0] for problem in outcome.problems} == {
        "trials_checks",
        "photometry_qc_checks",
    }
    expected = {"session", "trials", "photometry", "photometry_qc", "video_qc", "session_report"}
    assert made(instance, eid) == expected


def test_a_failure_outranks_a_block(settings, instance, register):
    eid = known_sessions(instance)[0]
    change_file(settings, register, eid, "_ibl_trials.table.pqt", flip_choices)
    change_file(settings, register, eid, "photometry.signal.pqt", lambda t: t.drop(columns="name"))
    outcome = Worker(settings, instance).run(eid)
    assert outcome.status == FAILED
    assert set(open_outcomes(settings).attempts("failed")["asset"]) == {"photometry"}
    assert made(instance, eid) == {"session", "trials", "video_qc", "session_report"}


def test_without_checks_nothing_is_stopped_within_a_run_but_bad_data_are_not_used(
    settings, instance, register
):
    eid = known_sessions(instance)[0]
    change_file(settings, register, eid, "_ibl_trials.table.pqt", flip_choices)
    outcome = Worker(settings, instance, checks=False).run(eid)
    assert outcome.status == BLOCKED
    assert {problem.split(":")[0] for problem in outcome.problems} == {
        "performance",
        "wheel_velocity",
        "responses",
    }
