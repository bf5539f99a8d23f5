"""Worker processes that Ctrl-C in the terminal does not reach."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any


def start_worker(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Start a process that runs one thread for numbers, and the connection to it.

    Parameters
    ----------
    target : callable
        Gets its end of the connection, then the arguments; it begins with `leave_terminal`.
    *arguments
        Are pickled.
    """
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    # what the terminal sends to the group is for this process alone, also while a worker starts
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, previous)
    theirs.close()
    return process, ours


def leave_terminal() -> None:
    """Leave the terminal's group: Dagster handles Ctrl-C itself during a run."""
    if hasattr(os, "setsid"):
        os.setsid()
