"""What `iblnm dev` has started ends with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]
LIMIT_S = 10.0
# a tree with a deaf grandchild in a session of its own, as `dagster dev` may have
COMMAND = """
import os, pathlib, signal, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
child = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True)
handler = getattr(signal.getsignal(signal.SIGINT), "__name__", "ignored")
pathlib.Path("begun").write_text(f"{os.getpid()} {child.pid} {handler}")
try:
    time.sleep(300)
except KeyboardInterrupt:
    pathlib.Path("asked").touch()
"""
SUPERVISE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from supervisor import supervise
begin = lambda: lambda: Path("ended").touch()
supervise([sys.executable, "-c", sys.argv[2]], begin)
"""
FOLDER = Path(__file__).parents[3] / "iblnm_dagster" / "running"


@pytest.fixture
def start(tmp_path):
    """Function that supervises a command, ignoring Ctrl-C as what a shell starts with ``&``."""
    started = []

    def start_(command: str = COMMAND) -> subprocess.Popen:
        def ignore():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        arguments = [sys.executable, "-c", SUPERVISE, str(FOLDER), command]
        started.append(subprocess.Popen(arguments, cwd=tmp_path, preexec_fn=ignore))
        return started[-1]

    yield start_
    for process in started:
        process.kill()
        process.wait()


def _begun(folder: Path) -> tuple[list[int], str]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        words = (folder / "begun").read_text().split() if (folder / "begun").exists() else []
        if len(words) == 3:
            return [int(word) for word in words[:2]], words[2]
        time.sleep(0.05)
    pytest.fail("the command did not begin")


def _are_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_asks_and_then_ends_all(start, tmp_path, number):
    process = start()
    pids, handler = _begun(tmp_path)
    assert handler == "default_int_handler"
    process.send_signal(number)
    assert process.wait(LIMIT_S) == 0
    assert _are_gone(pids)
    assert (tmp_path / "asked").exists()
    assert (tmp_path / "ended").exists()


@pytest.mark.slow
def test_killed_it_leaves_nothing(start, tmp_path):
    process = start()
    pids, _ = _begun(tmp_path)
    between = _children(process.pid)
    process.kill()
    assert _are_gone([*pids, *between])
    assert (tmp_path / "asked").exists()


def test_a_killed_process_between_leaves_nothing(start, tmp_path):
    process = start()
    pids, _ = _begun(tmp_path)
    (between,) = _children(process.pid)
    os.kill(between, signal.SIGKILL)
    assert process.wait(LIMIT_S) == 1
    assert _are_gone(pids)


def test_the_exit_code_is_that_of_the_command(start):
    assert start("raise SystemExit(7)").wait(LIMIT_S) == 7
