"""Only what is out of date is made again, counted by the events of Dagster."""

import json
from collections import Counter

import pandas as pd
import pytest
from bench.settings_reads import watched
from click.testing import CliRunner
from dagster import AssetKey, DagsterEventType, EventRecordsFilter

from iblnm.archive import connect
from iblnm.config import Settings
from iblnm.pipeline import versions
from iblnm.pipeline.graph import all_stages, find_stage, stage_names
from iblnm.pipeline.outcomes import open_outcomes
from iblnm.pipeline.staleness import find_stale
from iblnm.storage.h5 import read_provenance
from iblnm.storage.store import SessionStore
from iblnm_dagster.running.worker import Worker

PLACES = {"root", "one_cache_dir", "one_mode", "viewer_url", "target_colors"}


@pytest.fixture
def ran(settings, instance):
    """Settings, instance and eid of a session that has run."""
    from iblnm_dagster.partitions import known_sessions

    eid = known_sessions(instance)[0]
    assert Worker(settings, instance).run(eid).status == "passed"
    return settings, instance, eid


def made(instance, eid):
    """How often each asset of a session was materialized."""
    counts = Counter()
    for name in stage_names():
        wanted = EventRecordsFilter(
            DagsterEventType.ASSET_MATERIALIZATION,
            asset_key=AssetKey(name),
            asset_partitions=[eid],
        )
        counts[name] = len(instance.get_event_records(wanted))
    return counts


def rerun(settings, instance, eid, **options):
    """Names of the assets that a stale run makes."""
    before = made(instance, eid)
    outcome = Worker(settings, instance, stale=True, **options).run(eid)
    assert outcome.status == "passed", outcome
    counts = made(instance, eid)
    counts.subtract(before)
    assert max(counts.values(), default=0) <= 1
    assert find_stale(open_outcomes(settings), settings) == []
    return {name for name, number in counts.items() if number}


def with_signal(settings, **values):
    signal = settings.signal.model_copy(update=values)
    return settings.model_copy(update={"signal": signal})


@pytest.mark.slow
def test_a_setting_makes_again_what_reads_it_and_what_rests_on_that(ran):
    settings, instance, eid = ran
    assert find_stale(open_outcomes(settings), settings) == []
    assert rerun(with_signal(settings, early_window=(0.1, 0.3)), instance, eid) == set()
    other = with_signal(settings, lowpass_hz=0.02)
    why = {item.asset: item.why for item in find_stale(open_outcomes(other), other, [eid])}
    assert why == dict.fromkeys(("photometry_qc", "preprocessed"), "signal.lowpass_hz 0.01 → 0.02")
    expected = {"photometry_qc", "preprocessed", "responses", "session_report"}
    assert rerun(other, instance, eid) == expected
    stored = read_provenance(
        settings.sessions_h5_dir / f"{eid}.h5", find_stage("preprocessed").h5_group
    )
    assert stored.made_with["signal.lowpass_hz"] == 0.02
    assert stored.code_version == versions.code_version(find_stage("preprocessed"), other)


@pytest.mark.slow
def test_a_new_version_of_a_method_stops_where_the_result_is_the_same(ran, monkeypatch):
    settings, instance, eid = ran
    known = versions.method_version
    monkeypatch.setattr(
        versions, "method_version", lambda name: known(name) + (name == "signal.resample")
    )
    assert rerun(settings, instance, eid) == {"preprocessed"}
    monkeypatch.setattr(
        versions, "method_version", lambda name: known(name) + (name == "task.psychometric")
    )
    # back to the first version of the other method, which is another one again
    assert rerun(settings, instance, eid) == {"preprocessed", "performance"}


@pytest.mark.slow
def test_new_trials_make_again_what_rests_on_them_in_their_session_alone(ran, register):
    settings, instance, eid = ran
    from iblnm_dagster.partitions import known_sessions

    other = known_sessions(instance)[1]
    assert Worker(settings, instance).run(other).status == "passed"
    one = connect(settings)
    path = one.eid2path(eid) / "alf" / "_ibl_trials.table.pqt"
    trials = pd.read_parquet(path)
    trials.loc[5, "rewardVolume"] += 0.5
    trials.loc[5, "feedback_times"] += 0.01
    trials.to_parquet(path)
    register(settings.one_cache_dir, path)
    before = made(instance, other)
    # the reference to the signal has the times of the task too; it comes out the same
    expected = {"session", "photometry", "trials", "responses", "performance", "wheel_velocity"}
    assert rerun(settings, instance, eid, renewed=[eid]) - {"session_report"} == expected
    assert made(instance, other) == before


@pytest.mark.slow
def test_a_stage_without_data_takes_what_rests_on_it_along(ran):
    settings, instance, eid = ran
    none = settings.model_copy(
        update={"dataset_categories": {**settings.dataset_categories, "extracted_task": ("x",)}}
    )
    none = none.model_copy(
        update={"dataset_categories": {**none.dataset_categories, "raw_task": ("x",)}}
    )
    Worker(none, instance, stale=True).run(eid)
    # the signal is used without trials too
    states = open_outcomes(none).attempts().set_index("asset")["state"]
    assert states["trials"] == "no data" and states["preprocessed"] == "stored"
    assert not {"responses", "performance", "wheel_velocity"} & set(states.index)
    assert SessionStore(none).load("responses", eid) is None
    # with the files known again all of it comes back
    expected = {"trials", "responses", "performance", "wheel_velocity"}
    assert rerun(settings, instance, eid) >= expected
    assert SessionStore(settings).load("responses", eid) is not None


@pytest.mark.slow
def test_the_command_says_what_is_out_of_date_and_runs_it(ran, monkeypatch):
    from iblnm_dagster.cli import cli

    settings, instance, eid = ran
    before = made(instance, eid)
    for name, value in {
        "IBLNM_ROOT": str(settings.root),
        "IBLNM_ONE_CACHE_DIR": str(settings.one_cache_dir),
        "IBLNM_WHEEL__FS": "50",
    }.items():
        monkeypatch.setenv(name, value)
    from iblnm import config

    config.get_settings.cache_clear()
    try:
        said = CliRunner().invoke(cli, ["batch", "--stale", "--dry-run"]).output
        (line,) = [line for line in said.splitlines() if line.startswith("wheel_velocity")]
        assert line.split() == ["wheel_velocity", "1", "wheel.fs", *line.split()[3:]]
        assert made(instance, eid) == before
        result = CliRunner().invoke(cli, ["batch", "--stale", "--workers", "1"])
        assert result.exit_code == 0, result.output
    finally:
        config.get_settings.cache_clear()
    after = made(instance, eid)
    assert after["wheel_velocity"] == before["wheel_velocity"] + 1
    assert after["preprocessed"] == before["preprocessed"]


def test_stages_read_no_setting_that_they_do_not_declare(small_archive, tmp_path):
    settings = Settings(root=tmp_path, one_cache_dir=small_archive[0])
    one, values = connect(settings), {}
    eid = small_archive[1]["sessions"][0]["eid"]
    for stage in all_stages():
        if stage.is_page:
            continue
        read = set()
        result = stage.run(values, one=one, eid=eid, settings=watched(settings, read.add))
        values[stage.name] = result.value
        declared = stage.settings_read
        undeclared = {
            name
            for name in read - PLACES
            if not any(name == own or name.startswith(f"{own}.") for own in declared)
        }
        assert not undeclared, f"{stage.name} reads {undeclared}"


def test_every_version_of_a_method_belongs_to_a_stage():
    from pathlib import Path

    import iblnm

    folder = Path(iblnm.__file__).parent
    saying = {
        path.relative_to(folder).with_suffix("").as_posix().replace("/", ".")
        for path in folder.rglob("*.py")
        if "\nMETHOD_VERSION = " in path.read_text()
    }
    used = {name for stage in all_stages() for name in stage.methods}
    assert used <= saying
    assert all(versions.method_version(name) >= 1 for name in used)


def test_what_is_said_of_a_difference():
    before = {"signal.fs": 30.0, "wheel": {"fs": 100.0, "max_trial_s": 60.0}, "method task.x": 1}
    now = json.loads(json.dumps({**before, "signal.fs": 25.0}))
    assert versions.changes(before, now) == ["signal.fs 30.0 → 25.0"]
    assert versions.changes(before, {**before, "method task.x": 2}) == ["method task.x 1 → 2"]
    assert versions.changes(None, before) == ["made before versions were kept"]


@pytest.mark.slow
def test_assets_without_anything_to_be_made_from_are_left_out_not_failed(settings, instance):
    from iblnm_dagster.partitions import known_sessions

    eid = known_sessions(instance)[0]
    assert Worker(settings, instance, assets=("session",)).run(eid).status == "passed"
    outcome = Worker(settings, instance, assets=("photometry_qc", "performance")).run(eid)
    assert outcome.status == "skipped"
    assert "photometry_qc" in outcome.problems[0]
    # of those that can be made, and of what these make possible, nothing is left out
    wanted = ("trials", "performance", "photometry_qc")
    assert Worker(settings, instance, assets=wanted).run(eid).status == "passed"
    states = open_outcomes(settings).attempts().set_index("asset")["state"]
    assert states.to_dict() == dict.fromkeys(("session", "trials", "performance"), "stored")


@pytest.mark.slow
def test_an_asset_of_the_page_whose_input_is_not_there_has_no_data(settings, instance):
    import dagster as dg

    from iblnm_dagster.build import build_defs
    from iblnm_dagster.partitions import known_sessions

    eid = known_sessions(instance)[0]
    assert Worker(settings, instance, assets=("session",)).run(eid).status == "passed"
    job = build_defs(settings).resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_selection={dg.AssetKey("performance")}).execute_in_process(
        partition_key=eid, instance=instance, raise_on_error=False
    )
    assert not result.success
    (row,) = open_outcomes(settings).attempts().query("asset == 'performance'").to_dict("records")
    assert row["state"] == "no data"
    assert row["message"] == "the session has no trials to make it from"
