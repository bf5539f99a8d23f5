"""Work-around: `dagster dev` takes no middleware for its page, and ends well when it has failed.

It starts the page and the daemon by the names of their modules, and when one of them dies it
ends, with exit code 0. Here the page is the guarded one, a daemon that dies is started again, and
what cannot be kept going ends with an error that names it.
``tests/iblnm_dagster/workarounds/test_dev_services.py`` says when Dagster no longer needs this.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from subprocess import Popen
from typing import Any

from dagster._cli import dev

READ_ONLY = "--read-only"
WEBSERVER = "iblnm_dagster.running.webserver"
_WAITS_S = (1.0, 4.0, 15.0, 60.0, 120.0)
_STEADY_S = 600.0

Start = Callable[..., Any]


class Kept:
    """A process that is started again when it dies, as `dagster dev` sees one.

    Parameters
    ----------
    name : str
        For what is said.
    start : callable
        Starts it.
    waits : sequence of float
        Seconds before it is started again, for every death after the other; then it is given up.
    steady_s : float
        A process that lived for longer has the waits before it again.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], Popen[Any]],
        *,
        waits: Sequence[float] = _WAITS_S,
        steady_s: float = _STEADY_S,
    ):
        self._name, self._start = name, start
        self._waits, self._steady_s = tuple(waits), steady_s
        self._n_deaths = 0
        self._again_at: float | None = None
        self._begin()

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def poll(self) -> int | None:
        """None as long as the process lives or is to live again; else its exit code."""
        code = self._process.poll()
        if code is None:
            return None
        if self._again_at is None:
            if time.monotonic() - self._begun_at > self._steady_s:
                self._n_deaths = 0
            if self._n_deaths >= len(self._waits):
                return code
            wait_s = self._waits[self._n_deaths]
            self._n_deaths += 1
            self._again_at = time.monotonic() + wait_s
            _say(f"{self._name} ended with exit code {code}; it is started again in {wait_s:g} s")
        if time.monotonic() >= self._again_at:
            self._again_at = None
            self._begin()
        return None

    def wait(self, timeout: float | None = None) -> int:
        return self._process.wait(timeout)

    def kill(self) -> None:
        self._process.kill()

    def _begin(self) -> None:
        self._begun_at = time.monotonic()
        self._process = self._start()


def replaced(start: Start, *, read_only: bool, started: dict[str, Any]) -> Start:
    """What `dagster dev` starts its services with.

    Parameters
    ----------
    start : callable
        Dagster's own.
    read_only : bool
        Whether the page refuses all that changes something.
    started : dict
        Filled with the services by name.
    """

    def start_service(parts: Sequence[str], **options: Any) -> Any:
        parts = list(parts)
        if "dagster_webserver" in parts:
            parts[parts.index("dagster_webserver")] = WEBSERVER
            parts += [READ_ONLY] * read_only
            started["dagster-webserver"] = process = start(parts, **options)
            return process
        if "dagster._daemon" in parts:
            started["dagster-daemon"] = kept = Kept(
                "dagster-daemon", lambda: start(parts, **options)
            )
            return kept
        return start(parts, **options)

    return start_service


def main(arguments: Sequence[str]) -> int:
    """Run ``dagster dev``; its exit code, or 1 if one of its services died.

    Parameters
    ----------
    arguments : sequence of str
        Of ``dagster dev``, and ``--read-only``.
    """
    started: dict[str, Any] = {}
    dead: list[str] | None = None
    code: Any = 0
    tell = dev.send_ipc_shutdown_message  # type: ignore[attr-defined]

    def note_and_tell(pipe: int) -> None:
        nonlocal dead
        if dead is None:  # afterwards they end because they were told to
            codes = {name: service.poll() for name, service in started.items()}
            dead = [
                f"{name} ended with exit code {code}"
                for name, code in codes.items()
                if code is not None
            ]
        tell(pipe)

    dev.send_ipc_shutdown_message = note_and_tell  # type: ignore[attr-defined]
    dev.open_ipc_subprocess = replaced(  # type: ignore[attr-defined]
        dev.open_ipc_subprocess,  # type: ignore[attr-defined]
        read_only=READ_ONLY in arguments,
        started=started,
    )
    own = [argument for argument in arguments if argument != READ_ONLY]
    try:
        dev.dev_command(own, prog_name="dagster dev")
    except SystemExit as end:
        code = end.code
    for sentence in dead or ():
        _say(f"{sentence}: `iblnm dev` cannot go on without it")
    return 1 if dead else code if isinstance(code, int) else 0


def _say(sentence: str) -> None:
    sys.stderr.write(f"iblnm: {sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
