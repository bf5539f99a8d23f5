"""New sessions by themselves: ticks, through Dagster's daemon too; backlogs; tables; nights."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from click.testing import CliRunner
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.tags import PARTITION_NAME_TAG, RUN_KEY_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

import iblnm_dagster.cli
from iblnm.archive.sync_state import open_state
from iblnm.config import Settings, get_settings
from iblnm.errors import RemoteTimeout
from iblnm_dagster.build import build_defs
from iblnm_dagster.instance import open_instance
from iblnm_dagster.jobs import CATALOG_JOB, COHORT_JOB, SESSION_JOB
from iblnm_dagster.partitions import known_sessions
from iblnm_dagster.running.batch import BatchReport
from iblnm_dagster.running.catch_up import CATCH_UP_JOB, work_off
from iblnm_dagster.running.nightly import NIGHTLY_JOB
from iblnm_dagster.running.worker import PASSED, SessionOutcome, Worker
from iblnm_dagster.schedules import cohort_request
from iblnm_dagster.selection import WORKER_RUN_TAG, WORKER_TAG
from iblnm_dagster.sensors import BACKLOG_TAG, SessionWatch, tables_request

pytestmark = pytest.mark.slow

DEAD_PID = 2**22 + 1


@pytest.fixture
def root(settings) -> Iterator[dg.DagsterInstance]:
    """The instance of an empty root that has not seen its archive yet."""
    with open_instance(settings) as instance:
        yield instance


@pytest.fixture
def watch(settings) -> SessionWatch:
    """The session sensor of that root."""
    return SessionWatch(settings)


def _tick(watch: SessionWatch, instance: dg.DagsterInstance) -> dg.SensorResult:
    """A tick, and what the daemon does with its partitions."""
    result = watch.tick(instance)
    for request in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
    return result


def _launch(
    instance: dg.DagsterInstance, request: dg.RunRequest, status="STARTING"
) -> dg.DagsterRun:
    """What the daemon does with a run request."""
    tags = {RUN_KEY_TAG: request.run_key, PARTITION_NAME_TAG: request.partition_key or ""}
    return instance.add_run(
        dg.DagsterRun(job_name=request.job_name, status=dg.DagsterRunStatus[status], tags=tags)
    )


def _report(instance: dg.DagsterInstance, run: dg.DagsterRun, *kinds: str) -> None:
    for kind in kinds:
        instance.report_dagster_event(
            dg.DagsterEvent(f"PIPELINE_{kind}", run.job_name), run.run_id
        )


def _run(
    instance: dg.DagsterInstance, job_name: str, end: str = "SUCCESS", asset: str = "", **tags
) -> dg.DagsterRun:
    selection = frozenset({dg.AssetKey(asset)}) if asset else None
    run = instance.add_run(dg.DagsterRun(job_name=job_name, tags=tags, asset_selection=selection))
    _report(instance, run, "START", end)
    return run


def _replace_a_file(settings: Settings) -> None:
    path = min(settings.cache_dir.rglob("_ibl_trials.table.pqt"))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content + b"more")


# ticks --------------------------------------------------------------------------------------


def test_new_sessions_become_partitions_and_runs_in_order_of_their_start(
    watch, root, small_archive
):
    started = {s["eid"]: s["start_time"] for s in small_archive[1]["sessions"]}
    result = _tick(watch, root)
    assert known_sessions(root) == sorted(started, key=started.get)
    assert [request.partition_key for request in result.run_requests] == known_sessions(root)
    for request in result.run_requests:
        eid, fingerprint = request.run_key.split(":")
        assert (request.job_name, eid) == (SESSION_JOB, request.partition_key)
        assert len(fingerprint.partition("@")[0]) == 16


def test_requests_are_repeated_until_there_is_a_run_and_not_after(watch, root):
    first = _tick(watch, root)
    # this tick died: Dagster has launched one of its runs, and created another
    _launch(root, first.run_requests[0])
    created = _launch(root, first.run_requests[1], "NOT_STARTED")
    again = _tick(watch, root)
    assert [r.run_key for r in again.run_requests] == [r.run_key for r in first.run_requests[1:]]
    root.delete_run(created.run_id)
    for request in again.run_requests:
        _launch(root, request)
    last = _tick(watch, root)
    assert not last.run_requests
    assert last.skip_reason.skip_message == "4 sessions, nothing new"


def test_a_run_that_was_canceled_by_its_user_is_not_asked_for_again(watch, root):
    for request in _tick(watch, root).run_requests:
        _launch(root, request, "CANCELED")
    assert not _tick(watch, root).run_requests


def test_a_session_run_by_other_means_needs_no_run(watch, root):
    requests = _tick(watch, root).run_requests
    eids = [request.partition_key for request in requests]
    _run(root, SESSION_JOB, **{PARTITION_NAME_TAG: eids[0]})
    _run(root, SESSION_JOB, "FAILURE", **{PARTITION_NAME_TAG: eids[1]})
    _run(root, "another_job", **{PARTITION_NAME_TAG: eids[2]})
    going_on = root.add_run(
        dg.DagsterRun(job_name=SESSION_JOB, tags={PARTITION_NAME_TAG: eids[3]})
    )
    _report(root, going_on, "START")
    assert [r.partition_key for r in _tick(watch, root).run_requests] == [eids[2]]
    _report(root, going_on, "CANCELED")
    assert [r.partition_key for r in _tick(watch, root).run_requests] == eids[2:]


def test_a_run_that_began_before_the_change_does_not_count(watch, root, settings):
    for request in _tick(watch, root).run_requests:
        _launch(root, request, "SUCCESS")
    before = [
        root.add_run(dg.DagsterRun(job_name=SESSION_JOB, tags={PARTITION_NAME_TAG: eid}))
        for eid in known_sessions(root)
    ]
    for run in before:
        _report(root, run, "START")
    time.sleep(0.01)
    _replace_a_file(settings)
    assert "1 changed while they are run" in _tick(watch, root).skip_reason.skip_message
    for run in before:
        _report(root, run, "SUCCESS")
    assert len(_tick(watch, root).run_requests) == 1


def test_the_demo_archive_is_not_built_by_a_tick(tmp_path, root):
    watch = SessionWatch(Settings(root=tmp_path / "empty"))
    assert "make demo" in watch.tick(root).skip_message
    assert not (tmp_path / "empty" / ".demo").exists()


def test_a_batch_leaves_nothing_for_the_sensor(settings, root, watch, monkeypatch):
    ran = []

    def run_batch(settings, eids, *, on_outcome, **_):
        ran.append(list(eids))
        # a tick while the batch is at work must not ask for the same sessions
        assert not _tick(watch, root).run_requests
        for eid in eids[1:]:
            on_outcome(SessionOutcome(eid, PASSED))
        return BatchReport()

    monkeypatch.setattr("iblnm_dagster.running.batch.run_batch", run_batch)
    monkeypatch.setattr(iblnm_dagster.cli, "get_settings", lambda: settings)
    batch = functools.partial(CliRunner().invoke, iblnm_dagster.cli.cli, catch_exceptions=False)
    assert "4 new sessions; 4 to run" in batch(["batch", "--no-catalogue"]).output
    # its worker died with the first session in hand
    (request,) = _tick(watch, root).run_requests
    assert request.partition_key == known_sessions(root)[0]
    for eid in known_sessions(root):
        _run(root, SESSION_JOB, **{PARTITION_NAME_TAG: eid})
    assert not _tick(watch, root).run_requests
    # a changed session is run by the next batch, as it would be by the sensor
    _replace_a_file(settings)
    batch(["batch", "--no-catalogue"])
    assert [len(eids) for eids in ran] == [4, 1]


def test_faults_of_the_archive_show_on_the_page_but_hold_up_no_run(watch, root):
    class Silent:
        def list_all(self):
            raise RemoteTimeout("GET /sessions: no answer in 15 s")

    requests = _tick(watch, root).run_requests
    watch.__dict__["source"] = Silent()
    assert len(_tick(watch, root).run_requests) == len(requests)
    for request in requests:
        _launch(root, request)
    with pytest.raises(RemoteTimeout, match="no answer in 15 s"):
        _tick(watch, root)


def test_sensors_through_their_definitions(settings, root, watch):
    _tick(watch, root)
    defs = build_defs(settings)
    new_sessions = defs.get_repository_def().get_sensor_def("new_sessions")
    with (
        dg.build_sensor_context(instance=root, definitions=defs) as context,
        dg.partition_loading_context(dynamic_partitions_store=root),
    ):
        data = new_sessions.evaluate_tick(context)
    assert [request.job_name for request in data.run_requests] == [SESSION_JOB] * 4
    assert data.run_requests[0].tags["dagster/sensor_name"] == "new_sessions"
    for name in ("new_sessions", "tables_follow_sessions"):
        sensor = defs.get_repository_def().get_sensor_def(name)
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    nightly = defs.get_repository_def().get_schedule_def("nightly_cohort")
    assert nightly.default_status == dg.DefaultScheduleStatus.RUNNING


# backlogs -----------------------------------------------------------------------------------


@pytest.fixture
def few(settings) -> Settings:
    """Settings with which the small archive is a backlog."""
    sync = settings.sync.model_copy(update={"max_run_requests": 3})
    return settings.model_copy(update={"sync": sync})


def test_a_backlog_is_one_run_that_works_it_off(few, root):
    watch = SessionWatch(few)
    result = _tick(watch, root)
    (request,) = result.run_requests
    assert (request.job_name, request.tags[BACKLOG_TAG]) == (CATCH_UP_JOB, "4 sessions")
    assert result.cursor == "4 sessions wait: one run of catch_up works them off"
    assert _tick(watch, root).run_requests[0].run_key == request.run_key
    run = _launch(root, request)
    waits = _tick(watch, root)
    assert not waits.run_requests
    assert "works the backlog off: 4 sessions wait" in waits.skip_reason.skip_message
    root.delete_run(run.run_id)
    result = (
        build_defs(few)
        .resolve_job_def(CATCH_UP_JOB)
        .execute_in_process(instance=root, tags={RUN_KEY_TAG: request.run_key})
    )
    assert result.success
    assert root.get_materialized_partitions(dg.AssetKey("responses")) == set(known_sessions(root))
    assert not _tick(watch, root).run_requests
    assert root.get_runs_count(dg.RunsFilter(job_name=SESSION_JOB)) == 4


def test_sessions_run_before_anything_was_known_of_them_are_no_backlog(few, root, small_archive):
    for session in small_archive[1]["sessions"]:
        _run(root, SESSION_JOB, **{PARTITION_NAME_TAG: session["eid"]})
    assert _tick(SessionWatch(few), root).cursor == "4 sessions, nothing new"


def test_a_killed_run_that_caught_up_is_followed_by_another(few, root):
    watch = SessionWatch(few)
    first = _launch(root, _tick(watch, root).run_requests[0])
    root.add_run_tags(first.run_id, {WORKER_TAG: f"{os.uname().nodename}:{DEAD_PID}"})
    _report(root, first, "START")
    open_state(few).claim(known_sessions(root), f"{os.uname().nodename}:{DEAD_PID}")
    _tick(watch, root)
    assert root.get_run_by_id(first.run_id).status == dg.DagsterRunStatus.CANCELED
    (request,) = _tick(watch, root).run_requests
    assert request.run_key == f"{CATCH_UP_JOB}:after:{first.run_id}"


def test_after_a_run_that_failed_to_catch_up_there_is_a_pause(few, root):
    watch = SessionWatch(few)
    first = _launch(root, _tick(watch, root).run_requests[0])
    _report(root, first, "START", "FAILURE")
    assert "failed, the next is asked for" in _tick(watch, root).skip_reason.skip_message
    sync = few.sync.model_copy(update={"catch_up_pause_s": 0.0})
    watch.settings = few.model_copy(update={"sync": sync})
    (request,) = _tick(watch, root).run_requests
    assert request.run_key == f"{CATCH_UP_JOB}:after:{first.run_id}"


def test_the_retry_of_a_killed_run_is_not_taken_for_dead(few, root):
    watch = SessionWatch(few)
    first = _launch(root, _tick(watch, root).run_requests[0])
    dead = {WORKER_TAG: f"{os.uname().nodename}:{DEAD_PID}", WORKER_RUN_TAG: first.run_id}
    root.add_run_tags(first.run_id, dead)
    _report(root, first, "START", "FAILURE")
    retry = root.add_run(dg.DagsterRun(job_name=CATCH_UP_JOB, tags=dead))
    _report(root, retry, "START")
    assert "works the backlog off" in _tick(watch, root).cursor
    assert root.get_run_by_id(retry.run_id).status == dg.DagsterRunStatus.STARTED


def test_a_run_created_and_not_launched_is_asked_for_again(few, root):
    watch = SessionWatch(few)
    (request,) = _tick(watch, root).run_requests
    _launch(root, request, "NOT_STARTED")
    assert _tick(watch, root).run_requests[0].run_key == request.run_key


def test_two_catch_ups_do_not_work_on_the_same(few, root):
    from iblnm.storage.atomic import locked

    _tick(SessionWatch(few), root)
    with locked(few.metadata_dir / CATCH_UP_JOB):
        assert work_off(few, root, workers=1, limit_s=60.0) is None
    report = work_off(few, root, workers=1, limit_s=0.0)
    assert report.outcomes == []
    assert len(open_state(few).waiting()) == 4


def test_what_a_living_process_has_claimed_is_left_to_it(watch, root, settings):
    _tick(watch, root)
    state = open_state(settings)
    state.claim(known_sessions(root)[:3], f"{os.uname().nodename}:{os.getpid()}")
    assert [r.partition_key for r in _tick(watch, root).run_requests] == known_sessions(root)[3:]
    state.claim(known_sessions(root)[:3], f"{os.uname().nodename}:{DEAD_PID}")
    assert len(_tick(watch, root).run_requests) == 4


# tables and nights --------------------------------------------------------------------------


def test_tables_follow_sessions_once_all_are_done(settings, root):
    assert tables_request(root, settings).skip_message == "the tables are up to date"
    _run(root, CATALOG_JOB)
    _run(root, SESSION_JOB, "FAILURE")
    going_on = root.add_run(dg.DagsterRun(job_name=SESSION_JOB))
    assert "sessions are being run" in tables_request(root, settings).skip_message
    sync = settings.sync.model_copy(update={"tables_staleness_s": 0.0})
    stale = settings.model_copy(update={"sync": sync})
    assert isinstance(tables_request(root, stale), dg.RunRequest)
    _report(root, going_on, "START", "SUCCESS")
    request = tables_request(root, settings)
    assert request.run_key == tables_request(root, settings).run_key
    tables = root.add_run(dg.DagsterRun(job_name=CATALOG_JOB))
    assert tables_request(root, settings).skip_message == "the tables are being made"
    _report(root, tables, "START", "FAILURE")
    assert tables_request(root, settings).skip_message == "the tables are up to date"
    _run(root, COHORT_JOB)
    _run(root, CATCH_UP_JOB)
    assert tables_request(root, settings).skip_message == "the tables are up to date"


@pytest.mark.parametrize("change", ["labels", "withdrawn"])
def test_tables_follow_labels_and_withdrawn_sessions(settings, root, change):
    _run(root, CATALOG_JOB)
    time.sleep(0.01)
    if change == "labels":
        settings.labels_fpath.parent.mkdir(parents=True, exist_ok=True)
        settings.labels_fpath.write_text("eid,fiber_idx,verdict,who,when,why\n")
    else:
        open_state(settings).set_facts(withdrawn_changed=time.time())
    assert isinstance(tables_request(root, settings), dg.RunRequest)


def test_a_withdrawn_session_stays_in_the_table_with_a_mark(settings, root, watch, catalog):
    from iblutil.io import parquet

    _tick(watch, root)
    metadata_alone = Worker(settings, root, assets=("session",), checks=False)
    for eid in known_sessions(root):
        assert metadata_alone.run(eid).status == PASSED
    open_state(settings).settle(open_state(settings).waiting())
    table, metadata = parquet.load(settings.cache_dir / "sessions.pqt")
    gone = str(table.index[0])
    parquet.save(settings.cache_dir / "sessions.pqt", table.iloc[1:], metadata)
    assert not _tick(watch, root).run_requests
    assert catalog(settings, root).success
    sessions = pd.read_parquet(settings.metadata_dir / "sessions.pqt").set_index("eid")
    assert list(sessions.index[sessions["withdrawn"].notna()]) == [gone]
    assert len(sessions) == 4
    assert gone in known_sessions(root)


def test_cohort_analyses_run_at_night_if_the_tables_changed(root):
    def ask(**known):
        return cohort_request(root, **{"has_assets": True, **known})

    assert "no cohort analyses" in ask(has_assets=False).skip_message
    assert "no tables" in ask().skip_message
    _run(root, CATALOG_JOB)
    assert isinstance(ask(), dg.RunRequest)
    _run(root, COHORT_JOB, "FAILURE")
    assert isinstance(ask(), dg.RunRequest)
    _run(root, COHORT_JOB)
    assert "have not changed" in ask().skip_message
    _run(root, CATALOG_JOB)
    assert isinstance(ask(), dg.RunRequest)
    _run(root, COHORT_JOB, asset="response_lmm")  # one of them alone
    assert isinstance(ask(), dg.RunRequest)
    _run(root, NIGHTLY_JOB)
    assert "have not changed" in ask().skip_message
    _run(root, CATALOG_JOB, asset="sessions")  # a part of the tables counts as much
    assert isinstance(ask(), dg.RunRequest)


# through the daemon -------------------------------------------------------------------------


class _Here(WorkspaceLoadTarget):
    def create_origins(self):
        target = LoadableTargetOrigin(
            executable_path=sys.executable,
            python_file=str(Path(iblnm_dagster.__file__).with_name("definitions.py")),
        )
        return [InProcessCodeLocationOrigin(target, location_name="iblnm")]


@pytest.fixture
def daemon(settings, root, monkeypatch):
    """Function that runs one iteration of Dagster's sensor daemon."""
    monkeypatch.setenv("IBLNM_ROOT", str(settings.root))
    monkeypatch.setenv("IBLNM_ONE_CACHE_DIR", str(settings.cache_dir))
    monkeypatch.setattr("dagster._daemon.sensor.is_under_min_interval", lambda *_: False)
    get_settings.cache_clear()
    logger = logging.getLogger("daemon")
    with WorkspaceProcessContext(root, _Here()) as workspace:

        def iterate(crash: str | None = None) -> None:
            flags = {"new_sessions": {crash: KeyboardInterrupt()}} if crash else {}
            errors = execute_sensor_iteration(workspace, logger, None, None, None, flags)
            assert [error for error in errors if error] == []

        yield iterate
    get_settings.cache_clear()


def _asked(instance: dg.DagsterInstance) -> list[str]:
    return [
        run.tags[PARTITION_NAME_TAG]
        for run in instance.get_runs(dg.RunsFilter(job_name=SESSION_JOB), ascending=True)
    ]


def test_the_daemon_launches_every_session_once(daemon, root):
    for _ in range(3):
        daemon()
    assert _asked(root) == known_sessions(root)
    assert len(_asked(root)) == 4


def test_runs_deleted_from_the_history_are_not_launched_again(daemon, root):
    daemon()
    daemon()
    for run in root.get_runs():
        root.delete_run(run.run_id)
    daemon()
    assert _asked(root) == []
