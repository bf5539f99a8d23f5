"""One function over many sessions; a session that fails does not stop the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from iblnm.pipeline.error_log import LOG_COLUMNS, make_log_entry

_PENDING_PER_WORKER = 2


class ProcessLog(list):
    """The failures of `PhotometrySessionGroup.process`: a list of log entries.

    Attributes
    ----------
    results : dict
        By eid, what the function returned for the sessions that did not fail.
    """

    def __init__(self, entries: Iterable[dict[str, Any]] = ()):
        super().__init__(entries)
        self.results: dict[str, Any] = {}

    def __repr__(self) -> str:
        kinds = Counter(entry["error_type"] for entry in self)
        failed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        return (
            f"<{type(self).__name__}: {len(self.results)} sessions succeeded (values by eid in "
            f".results), {len(self)} failed{f' ({failed}; see .to_frame())' if failed else ''}>"
        )

    def to_frame(self) -> pd.DataFrame:
        """The entries as a table with the columns eid, error_type, error_message, traceback."""
        return pd.DataFrame(list(self), columns=LOG_COLUMNS)

    def add(self, eid: str, outcome: Any, error: BaseException | None) -> None:
        """Take the outcome of one session."""
        if error is not None:
            self.append(make_log_entry(eid, error))
        else:
            self.results[eid] = outcome


class isolated:
    """Context in which an error of a session's own code ends that session only.

    Whatever the function of the caller raises becomes an entry with its traceback; an
    interrupt or the end of the program passes.
    """

    error: Exception | None = None

    def __enter__(self) -> isolated:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            self.error = error
            return True
        return False


def run_here(
    eids: Iterable[str], session_of: Callable[[str], Any], fn: Callable, kwargs: dict[str, Any]
) -> ProcessLog:
    """Call the function for each session in this process."""
    log = ProcessLog()
    for eid in eids:
        outcome = None
        with isolated() as run:
            session = session_of(eid)
            outcome = fn(session, **kwargs)
            # a session kept as a result would stay in memory
            outcome = None if outcome is session else outcome
        log.add(eid, outcome, run.error)
        session = None
    return log


def run_in_workers(
    rows: Iterator[tuple[str, Any]],
    fn: Callable,
    kwargs: dict[str, Any],
    *,
    workers: int,
    settings: Any,
    h5_dir: Path,
    groups: tuple[str, ...],
) -> ProcessLog:
    """Call the function for each session in processes of their own.

    The rows of sessions travel, never a client or data; few are under way at once.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    finished: dict[str, tuple[Any, BaseException | None]] = {}
    order: list[str] = []
    pending: dict[Future, str] = {}

    def collect(done: Iterable[Future]) -> None:
        for future in done:
            error = future.exception()
            outcome = None if error is not None else future.result()
            finished[pending.pop(future)] = (outcome, error)

    # a forked process would share open files and locks of HDF5 with this one
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for eid, row in rows:
            order.append(eid)
            future = pool.submit(_run_one, row, fn, kwargs, settings, h5_dir, groups)
            pending[future] = eid
            if len(pending) >= workers * _PENDING_PER_WORKER:
                collect(wait(pending, return_when=FIRST_COMPLETED).done)
        collect(wait(pending).done)
    log = ProcessLog()
    for eid in order:
        log.add(eid, *finished[eid])
    return log


def _run_one(
    row: Any, fn: Callable, kwargs: dict, settings: Any, h5_dir: Path, groups: tuple[str, ...]
) -> Any:
    from iblnm.data._session_cache import LazyConnection, open_session

    session = open_session(row, LazyConnection(settings), settings, h5_dir, groups)
    outcome = fn(session, **kwargs)
    return None if outcome is session else outcome
