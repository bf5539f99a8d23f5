"""Runs that start warm: each is a fork of one process that has imported everything.

Dagster's default launcher starts a new Python for each run, which imports everything again. This
one keeps a `iblnm_dagster.running.fork_server` and asks it for a fork. A run is still one
process, with its own memory, and Dagster's own events. What cannot fork (Windows, macOS, whose
system libraries do not survive it, a job of another code location, a server that does not start)
goes to the default launcher, and the run's log says why.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dagster import DagsterRun, DefaultRunLauncher, Field
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import (
    CheckRunHealthResult,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from iblnm_dagster.running.preload import ENDING_S, OUR_MODULE
from iblnm_dagster.running.sources import environment_digest

SERVER_TAG = f"{HIDDEN_TAG_PREFIX}fork_server"
ADDRESS_VARIABLE = "FORK_SERVER_OF_IBLNM"
START_TIMEOUT_S = 120.0
ASK_TIMEOUT_S = 10.0
_STARTS = 3


class CannotForkError(RuntimeError):
    """A run cannot be a fork, for the reason given."""


class ServerGoneError(ConnectionError):
    """No fork server listens at an address."""


class ForkServerProcess:
    """A fork server that ends with this process.

    Parameters
    ----------
    module : str
        Module of the code location.
    """

    def __init__(self, module: str = OUR_MODULE):
        self._alive: int | None
        self._folder = tempfile.mkdtemp(prefix="iblnm-")
        self.address = f"{self._folder}/fork_server"
        owner, self._alive = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(self.address)
            # who connects before it is ready waits; who connects when it is gone is refused
            listener.listen(128)
            command = [sys.executable, "-m", "iblnm_dagster.running.fork_server"]
            arguments = {"module": module, "listener": listener.fileno(), "owner": owner}
            self.process = subprocess.Popen(
                [*command, *(str(part) for item in arguments.items() for part in _option(*item))],
                pass_fds=(listener.fileno(), owner),
                stdin=subprocess.DEVNULL,
                env=_server_environment(),
                start_new_session=True,
            )
        os.close(owner)

    def retire(self) -> None:
        """Have it end once its runs have."""
        with suppress(OSError, ValueError):
            ask(self.address, {"do": "retire"})
        threading.Thread(target=self._clean_up, daemon=True).start()

    def close(self) -> None:
        """Have it and its runs end now."""
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None
        # it ends its runs at that; while it still imports, it ends at once
        self.process.terminate()
        try:
            self.process.wait(ENDING_S + 1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._clean_up()

    def _clean_up(self) -> None:
        self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def start_beside() -> Callable[[], None]:
    """Start a fork server for the launchers of processes that this one will start.

    So that it is warm when the first run is asked for.

    Returns
    -------
    callable
        Ends it and its runs.
    """
    if not can_fork():
        return lambda: None
    server = ForkServerProcess()
    os.environ[ADDRESS_VARIABLE] = server.address
    return server.close


def can_fork() -> bool:
    """Whether runs can be forks on this system."""
    return hasattr(os, "fork") and sys.platform != "darwin"


def ask(
    address: str, request: Mapping[str, Any], *, timeout_s: float = ASK_TIMEOUT_S
) -> dict[str, Any]:
    """Send a request to a fork server and wait for its answer.

    Raises
    ------
    ServerGoneError
        Nothing listens there.
    TimeoutError, OSError
        It did not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answer:
                line = answer.readline()
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError) as error:
            raise ServerGoneError(address) from error
        except BrokenPipeError as error:
            raise ServerGoneError(address) from error
    if not line.endswith(b"\n"):
        raise ServerGoneError(address)
    return json.loads(line)


class ForkRunLauncher(RunLauncher, ConfigurableClass):
    """Launches each run as a fork of a warm process.

    Parameters
    ----------
    module : str
        Module of the code location whose runs are forked.
    """

    def __init__(self, module: str = OUR_MODULE, inst_data: ConfigurableClassData | None = None):
        self._inst_data = inst_data
        self._module = module
        self._default = DefaultRunLauncher()
        self._lock = threading.Lock()
        self._server: ForkServerProcess | None = None
        self._address = os.environ.get(ADDRESS_VARIABLE)
        self._retired: list[ForkServerProcess] = []
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What the instance's configuration says of this launcher."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Configuration in ``dagster.yaml``."""
        return {"module": Field(str, is_required=False, default_value=OUR_MODULE)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ForkRunLauncher:
        """Make the launcher that the configuration describes."""
        return cls(inst_data=inst_data, **config_value)

    def register_instance(self, instance: Any) -> None:
        """Remember the instance, in the default launcher too."""
        super().register_instance(instance)
        self._default.register_instance(instance)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run, as a fork if it can be one."""
        run = context.dagster_run
        try:
            self._raise_if_not_ours(run)
            self._fork(run)
        except (CannotForkError, OSError, ValueError) as error:
            message = f"Not started as a fork, but by Dagster's default launcher: {error}"
            self._instance.report_engine_event(message, run, cls=self.__class__)
            self._forget(run)
            self._default.launch_run(context)

    def terminate(self, run_id: str) -> bool:
        """End the process of a run, and no other; False if it had ended before."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        address = _address_here(run)
        if address is None:
            return self._default.terminate(run_id)
        self._instance.report_run_canceling(run)
        try:
            is_known = ask(address, {"do": "terminate", "run_id": run_id})["is_known"]
        except ServerGoneError:
            is_known = False
        except TimeoutError:  # still importing: the fork will see that the run is to be canceled
            is_known = True
        if not is_known:
            latest = self._instance.get_run_by_id(run_id)
            if latest is not None and not latest.is_finished:
                self._instance.report_run_canceled(latest, "Its process had ended before.")
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Runs whose process died are found by run monitoring."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run lives."""
        address = _address_here(run)
        if address is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "not a fork of this machine")
        try:
            found = ask(address, {"do": "health", "run_id": run.run_id})
        except ServerGoneError:
            return CheckRunHealthResult(
                WorkerStatus.NOT_FOUND, "the process that it was a fork of has ended, and it too"
            )
        except (OSError, ValueError) as error:
            return CheckRunHealthResult(
                WorkerStatus.RUNNING, f"no answer yet: {error}", transient=True
            )
        if found["status"] == "running":
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if found["status"] == "unknown":
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is not there")
        code = found["exit_code"]
        status = WorkerStatus.FAILED if code else WorkerStatus.SUCCESS
        if code:
            self._name_session(run, f"exit code {code}")
        return CheckRunHealthResult(status, f"its process ended with exit code {code}")

    def _name_session(self, run: DagsterRun, how: str) -> None:
        from iblnm.config import get_settings
        from iblnm_dagster.jobs import SESSION_JOB
        from iblnm_dagster.running.deaths import set_aside

        latest = self._instance.get_run_by_id(run.run_id)
        eid = run.tags.get("dagster/partition") if run.job_name == SESSION_JOB else None
        if eid and latest is not None and not latest.is_finished:
            set_aside(self._instance, get_settings(), eid, run, how)

    def join(self, timeout: int = 30) -> None:
        """Wait for runs that the default launcher has started."""
        self._default.join(timeout)

    def dispose(self) -> None:
        """End the fork server that this launcher has started, and its runs."""
        with self._lock:
            for server in (*self._retired, *filter(None, [self._server])):
                server.close()
            self._retired, self._server = [], None
        self._default.dispose()

    def _raise_if_not_ours(self, run: DagsterRun) -> None:
        if not can_fork():
            raise CannotForkError(f"processes cannot be forked on {sys.platform}")
        origin = run.job_code_origin
        if origin is None:
            raise CannotForkError("it is not known where its job was loaded from")
        pointer = origin.get_repo_pointer()
        if not isinstance(pointer, ModuleCodePointer) or pointer.module != self._module:
            raise CannotForkError(f"its job was not loaded from {self._module}")
        if origin.repository_origin.container_image is not None:
            raise CannotForkError("its job belongs to a container")
        if not _is_this_python(origin.executable_path):
            raise CannotForkError(f"its job belongs to another Python, {origin.executable_path}")
        folder = pointer.working_directory
        if folder is not None and Path(folder).resolve() != Path.cwd():
            raise CannotForkError(f"its job was loaded from another folder, {folder}")

    def _fork(self, run: DagsterRun) -> None:
        request = {
            "do": "run",
            "run_id": run.run_id,
            "job": run.job_name,
            "instance": serialize_value(self._instance.get_ref()),
            "environment": environment_digest(),
        }
        with self._lock:
            for _ in range(_STARTS):
                is_new = self._address is None
                address = self._address or self._start_server()
                # before it runs: from then on, anybody may ask for its end
                tag = json.dumps({"host": socket.gethostname(), "address": address})
                self._instance.add_run_tags(run.run_id, {SERVER_TAG: tag})
                try:
                    answer = ask(address, request, timeout_s=START_TIMEOUT_S)
                except ServerGoneError as error:
                    if is_new:
                        self._give_up_server()
                        raise CannotForkError(
                            "the process to fork from does not start; its error is in the terminal"
                        ) from error
                    answer = {"stale": ["the process is gone"]}
                except TimeoutError as error:
                    self._give_up_server()
                    raise CannotForkError("the fork server does not answer") from error
                if "pid" in answer:
                    return
                if "error" in answer:
                    raise CannotForkError(answer["error"])
                self._give_up_server()
        raise CannotForkError(f"no fork server stays usable: {'; '.join(answer['stale'])}")

    def _forget(self, run: DagsterRun) -> None:
        latest = self._instance.get_run_by_id(run.run_id)
        # a retried run, too, has the tags of the one before
        if latest is not None and latest.tags.get(SERVER_TAG):
            self._instance.add_run_tags(run.run_id, {SERVER_TAG: ""})

    def _start_server(self) -> str:
        self._server = ForkServerProcess(self._module)
        self._address = self._server.address
        return self._address

    def _give_up_server(self) -> None:
        if self._server is not None:
            self._server.retire()
            self._retired = [s for s in self._retired if s.process.poll() is None]
            self._retired.append(self._server)
        elif self._address is not None:
            with suppress(OSError, ValueError):
                ask(self._address, {"do": "retire"})
        self._server = self._address = None


def _option(name: str, value: object) -> tuple[str, str]:
    return f"--{name}", str(value)


def _server_environment() -> dict[str, str]:
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    # pyarrow's allocator would start a thread of its own at import
    quiet = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
    return {**single, **os.environ, **quiet}


def _is_this_python(path: str) -> bool:
    return Path(path).absolute() == Path(sys.executable).absolute()


def _address_here(run: DagsterRun) -> str | None:
    tag = run.tags.get(SERVER_TAG)
    if not tag:
        return None
    found = json.loads(tag)
    return found["address"] if found["host"] == socket.gethostname() else None
