"""The services of the page: which ones are started, again when, and how it ends."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time

from dagster._cli import dev

from iblnm_dagster.workarounds import dev_services
from iblnm_dagster.workarounds.dev_services import Kept, replaced


def test_dagster_still_starts_its_services_by_name_and_ends_well():
    source = inspect.getsource(dev.dev_command_impl)
    assert '[sys.executable, "-m", "dagster_webserver"]' in source
    assert '"dagster._daemon"' in source
    assert source.count("open_ipc_subprocess(") == 2
    assert source.count("send_ipc_shutdown_message(") == 2
    assert "sys.exit" not in source


def test_the_page_is_the_guarded_one():
    started = {}
    calls = []

    class Process:
        returncode = None

        def poll(self):
            return None

    def start(parts, **options):
        calls.append((parts, options))
        return Process()

    begin = replaced(start, read_only=True, started=started)
    begin([sys.executable, "-m", "dagster_webserver", "--port", "1"], pass_fds=[3])
    begin([sys.executable, "-m", "dagster._daemon", "run"], pass_fds=[4])
    assert calls == [
        ([sys.executable, "-m", dev_services.WEBSERVER, "--port", "1", "--read-only"],
         {"pass_fds": [3]}),
        ([sys.executable, "-m", "dagster._daemon", "run"], {"pass_fds": [4]}),
    ]  # fmt: skip
    assert set(started) == {"dagster-webserver", "dagster-daemon"}


def _poll_until(kept, condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
        kept.poll()


def test_a_daemon_that_dies_is_started_again_and_given_up_in_the_end(capsys):
    n_started = []

    def start():
        n_started.append(time.monotonic())
        return subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(7)"])

    kept = Kept("the daemon", start, waits=(0.1, 0.3))
    _poll_until(kept, lambda: kept.poll() == 7)
    assert len(n_started) == 3
    assert n_started[1] - n_started[0] >= 0.1
    assert n_started[2] - n_started[1] >= 0.3
    said = capsys.readouterr().err
    assert "the daemon ended with exit code 7; it is started again in 0.1 s" in said


def test_a_daemon_that_was_steady_has_its_waits_again():
    n_started = []

    def start():
        n_started.append(1)
        return subprocess.Popen([sys.executable, "-S", "-c", "pass"])

    kept = Kept("the daemon", start, waits=(0.0,), steady_s=0.0)
    _poll_until(kept, lambda: len(n_started) > 4)
    assert kept.poll() is None
    kept.wait()
