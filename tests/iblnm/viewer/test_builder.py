"""The process that makes documents does not outlive the server."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_SERVER = """
import os, time
from iblnm.viewer.builder import start_pool
if __name__ == "__main__":
    pool = start_pool()
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def _is_running(pid):
    """Whether there is such a process; one that only waits to be reaped has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_server_however_that_ends(tmp_path, how):
    script = tmp_path / "server.py"
    script.write_text(_SERVER)
    server = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    pid = int(server.stdout.readline())
    assert _is_running(pid)
    server.send_signal(how)
    server.wait(timeout=30)
    deadline = time.monotonic() + 20
    while _is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(pid)
