"""A command whose processes end with it, however it ends.

``dagster dev`` is a tree of processes. If its root is killed, the others go on. Here a second
process stands between: it notices when the first has ended (Ctrl-C, a closed terminal, SIGKILL),
asks the command to end, and ends what is left of the tree. On Linux it is told of every orphan
of the tree; elsewhere it ends its process group.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

ASKED_S = 4.0
LAST_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36
_TICK_S = 0.1

Begin = Callable[[], Callable[[], None]]


def supervise(command: Sequence[str], begin: Begin | None = None) -> NoReturn:
    """Run a command until it ends or this process is to end, and leave no process of it.

    Does not return: this process ends with the exit code of the command, or 0 if it was told to
    end, and without the second or more that Python needs to take its modules apart.

    Parameters
    ----------
    command : sequence of str
    begin : callable, optional
        Called beside the command, before it starts; it returns what is called when it is to end.
    """
    ours, theirs = os.pipe()
    _adopt_orphans()
    between = os.fork()
    if not between:
        code = 1
        try:
            os.close(theirs)
            os.setsid()
            code = _Between(ours).run(command, begin)
        finally:
            _leave(code)
    os.close(ours)
    told = []

    def tell(*_: object) -> None:
        if not told:
            told.append(True)
            os.close(theirs)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, tell)
    _, status = os.waitpid(between, 0)
    _end_descendants()
    code = os.waitstatus_to_exitcode(status)
    _leave(code if code >= 0 else 1)


def _leave(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _Between:
    def __init__(self, first: int):
        self._first = first
        self._is_told = False

    def run(self, command: Sequence[str], begin: Begin | None) -> int:
        # handlers, unlike an ignored signal, are not passed on to the command
        signal.signal(signal.SIGINT, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._tell)
        _adopt_orphans()
        end = begin() if begin is not None else None
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        while process.poll() is None and not self._is_told:
            with suppress(InterruptedError):
                self._is_told = bool(select.select([self._first], [], [], _TICK_S)[0])
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + ASKED_S
        if end is not None:
            end()
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _end_descendants()
        return 0 if self._is_told else process.wait()

    def _tell(self, *_: object) -> None:
        self._is_told = True


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _end_descendants() -> None:
    if sys.platform != "linux":
        if os.getpgrp() == os.getpid():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)
        return
    deadline = time.monotonic() + LAST_S
    while alive := _descendants():
        if time.monotonic() > deadline:
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(_TICK_S / 2)
        _reap()


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _descendants() -> list[int]:
    """Living processes below this one, those that it has only to wait for left out."""
    found, below = [], [os.getpid()]
    while below:
        for task in Path(f"/proc/{below.pop()}/task").glob("*/children"):
            with suppress(OSError):
                below += (children := [int(pid) for pid in task.read_text().split()])
                found += children
    return found
