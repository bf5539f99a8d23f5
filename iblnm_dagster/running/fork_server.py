"""The process that runs are forked from: everything imported, jobs resolved, nothing else.

It opens no database, starts no thread and holds no lock, so a fork of it is whole. Each run is
one fork. Requests and answers are one line of JSON each, over a socket that only its user can
open. It ends, and its runs with it, when the process that started it has ended.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from iblnm_dagster.running.preload import ENDING_S, import_all
from iblnm_dagster.running.sources import Sources, environment_digest

STOPPING_S = 20.0
_REQUEST_TIMEOUT_S = 5.0
_MAX_REQUEST = 2**20
_REMEMBERED = 1000
_PR_SET_PDEATHSIG = 1
_TO_END = (signal.SIGINT, signal.SIGTERM)


@dataclass
class _Run:
    run_id: str
    instance: str
    kill_at: float | None = None


class ForkServer:
    """Forks runs on request.

    Parameters
    ----------
    module : str
        Module of the code location; its attribute ``defs`` is what runs.
    listener : socket.socket
        Listening socket.
    owner : int
        File descriptor that reads end-of-file once the process that started this one has ended.
    """

    def __init__(self, module: str, listener: socket.socket, owner: int):
        self._listener = listener
        self._owner = owner
        self._environment = environment_digest()
        self._sources = Sources(module)
        self._repository = import_all(module)
        self._sources.add_imported()
        self._runs: dict[int, _Run] = {}
        self._reporters: set[int] = set()
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._is_retired = self._is_stopped = False
        self._woken, self._wake = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        # what was imported stays: looking at it for garbage would copy the pages that forks share
        gc.collect()
        gc.freeze()

    def serve(self) -> None:
        """Answer requests until the owner has ended, or all runs have once retired."""
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        with selectors.DefaultSelector() as selector:
            for source in (self._listener, self._owner, self._woken):
                selector.register(source, selectors.EVENT_READ)
            while not self._is_stopped and not self._is_done():
                ready = {key.fileobj for key, _ in selector.select(self._patience())}
                if self._owner in ready:
                    self._stop()
                if self._woken in ready:
                    self._woken.recv(4096)
                if self._listener in ready:
                    self._answer()
                self._reap()
                self._kill_the_deaf()
        self._end_runs()

    def _is_done(self) -> bool:
        return self._is_retired and not self._runs and not self._reporters

    def _stop(self, *_: object) -> None:
        self._is_stopped = True

    def _answer(self) -> None:
        with suppress(OSError, ValueError):  # a client that is gone, or speaks in riddles
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(_REQUEST_TIMEOUT_S)
                request = json.loads(_read_line(connection))
                if _has_hung_up(connection):  # it has done without a fork meanwhile
                    return
                answer = self._do(request)
                connection.sendall(json.dumps(answer).encode() + b"\n")

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "run":
                return self._start(request)
            case "terminate":
                return {"is_known": self._terminate(request["run_id"])}
            case "health":
                return self._health(request["run_id"])
            case "retire":
                self._is_retired = True
                return {}
            case other:
                return {"error": f"no such request: {other}"}

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._is_retired:
            return {"stale": ["retired"]}
        if request["environment"] != self._environment:
            return {"stale": ["settings in the environment"]}
        if changed := self._sources.changed():
            return {"stale": changed[:5]}
        if not self._repository.has_job(request["job"]):
            return {"error": f"no job {request['job']}"}
        if started := _python_threads():
            return {"error": f"an import has started threads: {', '.join(started)}"}
        run = _Run(request["run_id"], request["instance"])
        pid = self._fork(lambda: _execute(self._repository, run))
        self._runs[pid] = run
        return {"pid": pid}

    def _terminate(self, run_id: str) -> bool:
        for pid, run in self._runs.items():
            if run.run_id == run_id:
                # its process is ours and not yet waited for, so the id is no other's
                os.kill(pid, signal.SIGTERM)
                run.kill_at = run.kill_at or time.monotonic() + STOPPING_S
                return True
        return False

    def _health(self, run_id: str) -> dict[str, Any]:
        if any(run.run_id == run_id for run in self._runs.values()):
            return {"status": "running"}
        if run_id in self._ended:
            return {"status": "ended", "exit_code": self._ended[run_id]}
        return {"status": "unknown"}

    def _fork(self, task: Callable[[], int]) -> int:
        server = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        # a fork that is told to end before it has handlers of its own would take it for the server
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _TO_END)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return pid
        code = 1
        try:
            self._leave_behind()
            _end_with(server)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            code = task()
        except BaseException:  # noqa: BLE001 (a fork must not go on as a second server)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _leave_behind(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for source in (self._listener, self._wake, self._woken):
            source.close()
        os.close(self._owner)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._reporters.discard(pid)
            run = self._runs.pop(pid, None)
            if run is not None:
                self._remember(run, os.waitstatus_to_exitcode(status))

    def _remember(self, run: _Run, exit_code: int) -> None:
        self._ended[run.run_id] = exit_code
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        if exit_code:
            self._reporters.add(self._fork(lambda: _report_death(run, exit_code)))

    def _patience(self) -> float | None:
        due = [run.kill_at for run in self._runs.values() if run.kill_at is not None]
        return max(0.05, min(due) - time.monotonic()) if due else None

    def _kill_the_deaf(self) -> None:
        for pid, run in self._runs.items():
            if run.kill_at is not None and time.monotonic() > run.kill_at:
                os.kill(pid, signal.SIGKILL)

    def _end_runs(self) -> None:
        self._listener.close()
        deadline = time.monotonic() + ENDING_S
        for pid in self._runs:
            os.kill(pid, signal.SIGTERM)
        while self._runs and time.monotonic() < deadline:
            time.sleep(0.05)
            self._reap_silently()
        for pid in self._runs:
            os.kill(pid, signal.SIGKILL)

    def _reap_silently(self) -> None:
        for pid in list(self._runs):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del self._runs[pid]


def _execute(repository: Any, run: _Run) -> int:
    from iblnm_dagster.running.forked_run import execute

    return execute(repository, run.run_id, run.instance)


def _report_death(run: _Run, exit_code: int) -> int:
    from iblnm_dagster.running.forked_run import report_death

    return report_death(run.run_id, run.instance, exit_code)


def _end_with(server: int) -> None:
    """Have this process told to end when the server has ended, where the system offers it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != server:
            os._exit(1)


def _python_threads() -> list[str]:
    main = threading.main_thread()
    return [thread.name for thread in threading.enumerate() if thread is not main]


def _read_line(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        part = connection.recv(65536)
        if not part or len(received) > _MAX_REQUEST:
            raise ValueError("no whole request")
        received += part
    return received


def _has_hung_up(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(_REQUEST_TIMEOUT_S)


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--module", required=True)
    parser.add_argument("--listener", type=int, required=True)
    parser.add_argument("--owner", type=int, required=True)
    arguments = parser.parse_args()
    os.set_inheritable(arguments.listener, False)
    os.set_inheritable(arguments.owner, False)
    listener = socket.socket(fileno=arguments.listener)
    ForkServer(arguments.module, listener, arguments.owner).serve()


if __name__ == "__main__":
    main()
