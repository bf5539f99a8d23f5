"""Runs as forks of a warm process: a small code location, and that of iblnm."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import WorkerStatus

from iblnm_dagster.launcher import SERVER_TAG, ForkRunLauncher
from iblnm_dagster.running.fork_server import STOPPING_S

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(os, "fork") or sys.platform == "darwin",
        reason="processes cannot be forked here",
    ),
]
LOCATION = """
import os, pathlib, time
import dagster as dg

VALUE = 1
HERE = pathlib.Path(__file__).parent
(HERE / f"imported_by_{os.getpid()}").touch()

@dg.op
def note(context):
    (HERE / f"run_{context.run_id}").write_text(f"{VALUE} {os.getpid()} {os.getppid()}")

@dg.op
def sleep():
    time.sleep(600)

@dg.op
def count(context):
    context.log.info("one")

@dg.op
def fail():
    raise ValueError("on purpose")

@dg.job(executor_def=dg.in_process_executor)
def noting():
    note()

@dg.job(executor_def=dg.in_process_executor)
def sleeping():
    sleep()

@dg.job(executor_def=dg.in_process_executor)
def counting():
    count()

@dg.job(executor_def=dg.in_process_executor)
def failing():
    fail()

defs = dg.Definitions(jobs=[noting, sleeping, counting, failing])
"""
CONFIG = """
storage:
  custom:
    module: iblnm_dagster.workarounds.sqlite_storage
    class: SqliteStorage
    config: {{base_dir: {base_dir}}}
run_launcher:
  module: iblnm_dagster.launcher
  class: ForkRunLauncher
  config: {{module: toy_location}}
run_monitoring: {{enabled: true, max_resume_run_attempts: 0}}
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
telemetry: {{enabled: false}}
"""
DONE = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
TIMEOUT_S = 60


class Toy:
    """A code location in a folder of its own, with an instance that forks its runs."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance):
        self.folder = folder
        self.instance = instance

    @property
    def launcher(self) -> ForkRunLauncher:
        return self.instance.run_launcher

    def create(self, job: str, *, module: str = "toy_location", executable: str | None = None):
        sys.modules.pop("toy_location", None)
        here = ReconstructableRepository(
            ModuleCodePointer("toy_location", "defs", str(self.folder)),
            executable_path=executable,
        )
        definition = here.get_definition().get_job(job)
        there = here._replace(pointer=ModuleCodePointer(module, "defs", str(self.folder)))
        origin = there.get_reconstructable_job(job).get_python_origin()
        return self.instance.create_run_for_job(definition, job_code_origin=origin)

    def launch(self, job: str, **options) -> str:
        run = self.create(job, **options)
        self.instance.launch_run(run.run_id, workspace=None)
        return run.run_id

    def status(self, run_id: str) -> DagsterRunStatus:
        return self.instance.get_run_by_id(run_id).status

    def wait(self, run_id: str, *statuses: DagsterRunStatus) -> DagsterRunStatus:
        return wait_for(lambda: (s := self.status(run_id)) in (statuses or DONE) and s)

    def noted(self, run_id: str) -> list[int]:
        return [int(part) for part in (self.folder / f"run_{run_id}").read_text().split()]

    def pid(self, run_id: str) -> int:
        events = self.instance.all_logs(run_id)
        texts = [e.dagster_event.message for e in events if e.is_dagster_event]
        text = next(text for text in texts if text and "Started a fork" in text)
        return int(text.rpartition(": ")[2].rstrip(")."))

    def messages(self, run_id: str) -> str:
        return "\n".join(entry.message for entry in self.instance.all_logs(run_id))


def wait_for(found, timeout_s: float = TIMEOUT_S):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    pytest.fail("it did not come about in time")


def is_alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the second if it ends while this reads
        return False


class Default(dg.DefaultRunLauncher):
    def __init__(self):
        super().__init__()
        self.launched = []

    def launch_run(self, context):
        self.launched.append(context.dagster_run.run_id)


@contextmanager
def _opened(folder: Path) -> Iterator[Toy]:
    (folder / "toy_location.py").write_text(LOCATION)
    (folder / "dagster.yaml").write_text(CONFIG.format(base_dir=folder / "history"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        path = os.environ.get("PYTHONPATH", "")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), path]))
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            yield Toy(folder, instance)
        sys.modules.pop("toy_location", None)


@pytest.fixture(scope="module")
def _shared(tmp_path_factory) -> Iterator[Toy]:
    with _opened(tmp_path_factory.mktemp("toy")) as toy:
        yield toy


@pytest.fixture
def toy(_shared, monkeypatch) -> Iterator[Toy]:
    """A location and a server that tests share; one may end the server, none may edit."""
    monkeypatch.setattr(_shared.launcher, "_default", Default())
    yield _shared


@pytest.fixture
def own_toy(tmp_path) -> Iterator[Toy]:
    with _opened(tmp_path) as toy:
        toy.launcher._default = Default()
        yield toy


def test_runs_are_forks_of_one_process_that_has_imported_once(toy):
    runs = [toy.launch("noting") for _ in range(3)]
    assert [toy.wait(run) for run in runs] == [DagsterRunStatus.SUCCESS] * 3
    noted = [toy.noted(run) for run in runs]
    assert {value for value, _, _ in noted} == {1}
    assert len({pid for _, pid, _ in noted}) == 3
    (server,) = {parent for _, _, parent in noted}
    assert server == toy.launcher._server.process.pid
    imports = {int(p.name.rpartition("_")[2]) for p in toy.folder.glob("imported_by_*")}
    assert imports == {server, os.getpid()}


def test_the_server_has_one_thread_and_no_database_open(toy):
    run = toy.launch("noting")
    toy.wait(run)
    server = toy.launcher._server.process.pid
    assert len(list(Path(f"/proc/{server}/task").iterdir())) == 1
    files = [str(link.readlink()) for link in Path(f"/proc/{server}/fd").iterdir()]
    assert not [file for file in files if str(toy.folder) in file]
    assert (
        "FLOCK" not in Path("/proc/locks").read_text()
        or f" {server} " not in Path("/proc/locks").read_text()
    )


def test_a_failing_run_fails_and_says_why(toy):
    run = toy.launch("failing")
    assert toy.wait(run) == DagsterRunStatus.FAILURE
    assert "on purpose" in str(toy.instance.all_logs(run))


def test_terminating_ends_that_process_and_no_other(toy):
    first, second = toy.launch("sleeping"), toy.launch("sleeping")
    for run in (first, second):
        toy.wait(run, DagsterRunStatus.STARTED)
    pids = [toy.pid(run) for run in (first, second)]
    assert toy.launcher.terminate(first)
    assert toy.wait(first) == DagsterRunStatus.CANCELED
    wait_for(lambda: not is_alive(pids[0]))
    assert is_alive(pids[1])
    assert toy.status(second) == DagsterRunStatus.STARTED
    assert (
        toy.launcher.check_run_worker_health(toy.instance.get_run_by_id(second)).status
        == WorkerStatus.RUNNING
    )
    # as the page does it: from another process
    with dg.DagsterInstance.from_ref(toy.instance.get_ref()) as page:
        assert page.run_launcher.terminate(second)
        assert not page.run_launcher.terminate(first)
    assert toy.wait(second) == DagsterRunStatus.CANCELED


def test_runs_terminated_before_they_have_begun_are_canceled(toy):
    for pause_s in (0.0, 0.0, 0.02, 0.1):
        run = toy.launch("sleeping")
        (pid,) = _children(toy.launcher._server.process.pid)
        time.sleep(pause_s)
        assert toy.launcher.terminate(run)
        assert toy.wait(run) == DagsterRunStatus.CANCELED
        # asked once; whom that does not reach is killed much later
        wait_for(lambda pid=pid: not is_alive(pid), STOPPING_S / 2)


def test_a_killed_run_is_marked_failed_and_seen_by_the_health_check(toy):
    run = toy.launch("sleeping")
    toy.wait(run, DagsterRunStatus.STARTED)
    os.kill(toy.pid(run), signal.SIGKILL)
    assert toy.wait(run) == DagsterRunStatus.FAILURE
    assert "signal 9" in toy.messages(run)
    health = toy.launcher.check_run_worker_health(toy.instance.get_run_by_id(run))
    assert health.status == WorkerStatus.FAILED


def test_runs_end_with_a_killed_server_and_the_next_one_gets_another(toy):
    run = toy.launch("sleeping")
    toy.wait(run, DagsterRunStatus.STARTED)
    server, pid = toy.launcher._server.process.pid, toy.pid(run)
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), 10)
    health = toy.launcher.check_run_worker_health(toy.instance.get_run_by_id(run))
    assert health.status == WorkerStatus.NOT_FOUND
    after = toy.launch("noting")
    assert toy.wait(after) == DagsterRunStatus.SUCCESS
    assert toy.noted(after)[2] != server


def test_a_changed_module_is_used_by_the_next_run_and_others_end_undisturbed(own_toy):
    before, going_on = own_toy.launch("noting"), own_toy.launch("sleeping")
    own_toy.wait(before)
    own_toy.wait(going_on, DagsterRunStatus.STARTED)
    old = own_toy.launcher._server.process
    path = own_toy.folder / "toy_location.py"
    path.write_text(path.read_text().replace("VALUE = 1", "VALUE = 22"))
    after = own_toy.launch("noting")
    assert own_toy.wait(after) == DagsterRunStatus.SUCCESS
    assert (own_toy.noted(before)[0], own_toy.noted(after)[0]) == (1, 22)
    assert own_toy.status(going_on) == DagsterRunStatus.STARTED
    assert own_toy.launcher.terminate(going_on)
    assert own_toy.wait(going_on) == DagsterRunStatus.CANCELED
    wait_for(lambda: old.poll() is not None)


@pytest.mark.slow
def test_a_changed_setting_in_the_environment_restarts_the_server(own_toy, monkeypatch):
    own_toy.wait(own_toy.launch("noting"))
    old = own_toy.launcher._server.process.pid
    monkeypatch.setenv("IBLNM_PROJECT", "another")
    run = own_toy.launch("noting")
    own_toy.wait(run)
    second = own_toy.launcher._server.process.pid
    assert own_toy.noted(run)[2] == second != old
    (own_toy.folder / ".env").write_text("IBLNM_PROJECT=a_third\n")
    run = own_toy.launch("noting")
    own_toy.wait(run)
    assert own_toy.noted(run)[2] == own_toy.launcher._server.process.pid
    assert own_toy.noted(run)[2] not in (old, second)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"module": "somebody.elses"}, "was not loaded from toy_location"),
        ({"executable": "/usr/bin/another_python"}, "another Python"),
    ],
)
def test_what_is_not_ours_goes_to_the_default_launcher_and_says_so(toy, options, reason):
    run = toy.launch("noting", **options)
    assert toy.launcher._default.launched[-1] == run
    assert reason in toy.messages(run)
    assert not toy.instance.get_run_by_id(run).tags.get(SERVER_TAG)


def test_without_fork_the_default_launcher_is_used(toy, monkeypatch):
    monkeypatch.delattr(os, "fork")
    run = toy.launch("noting")
    assert toy.launcher._default.launched[-1] == run
    assert "cannot be forked" in toy.messages(run)


def test_a_location_that_does_not_load_goes_to_the_default_launcher(own_toy):
    run = own_toy.create("noting")
    (own_toy.folder / "toy_location.py").write_text("syntax error")
    own_toy.instance.launch_run(run.run_id, workspace=None)
    assert own_toy.launcher._default.launched[-1] == run.run_id
    assert "the process to fork from does not start" in own_toy.messages(run.run_id)


def test_a_process_with_threads_is_not_forked(own_toy):
    path = own_toy.folder / "toy_location.py"
    thread = "import threading\nthreading.Thread(target=time.sleep, args=(600,)"
    path.write_text(f"{LOCATION}{thread}, name='careless', daemon=True).start()\n")
    run = own_toy.launch("noting")
    assert own_toy.launcher._default.launched == [run]
    assert "an import has started threads: careless" in own_toy.messages(run)
    assert not own_toy.instance.get_run_by_id(run).tags.get(SERVER_TAG)


def _launch_while_others_write(toy: Toy, count: int) -> None:
    """Launch runs from this process while its threads write the same event log, as a daemon."""
    noise = toy.create("noting")
    is_over = threading.Event()

    def write():
        while not is_over.is_set():
            toy.instance.report_engine_event("of another thread", noise)
            time.sleep(0.01)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        runs = []
        while len(runs) < count:
            going_on = [run for run in runs if toy.status(run) not in DONE]
            runs += [toy.launch("counting") for _ in range(min(4 - len(going_on), 4))]
            time.sleep(0.02)
        assert {toy.wait(run) for run in runs} == {DagsterRunStatus.SUCCESS}
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_forks_do_not_wait_for_locks_of_threads(toy):
    _launch_while_others_write(toy, 6)


@pytest.mark.slow
def test_many_forks_do_not_wait_for_locks_of_threads(toy):
    _launch_while_others_write(toy, 16)  # 200 of them have been tried


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_runs_killed_at_random_moments_are_marked_and_later_ones_succeed(toy, kills):
    toy.wait(toy.launch("counting"))
    rng = random.Random(0)
    statuses = []
    # the first at once, so that one at least has not ended by itself
    for moment_s in (0.0, *(rng.uniform(0, 0.4) for _ in range(kills - 1))):
        server = toy.launcher._server.process.pid
        wait_for(lambda server=server: not _children(server))
        run = toy.launch("counting")
        pids = _children(server)
        time.sleep(moment_s)
        for pid in pids:
            with suppress(ProcessLookupError):  # it had ended by itself
                os.kill(pid, signal.SIGKILL)
        statuses.append(toy.wait(run))
    assert statuses[0] == DagsterRunStatus.FAILURE
    assert set(statuses) <= {DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS}
    assert toy.wait(toy.launch("counting")) == DagsterRunStatus.SUCCESS


def _children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
