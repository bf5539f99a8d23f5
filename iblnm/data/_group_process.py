"""One function over many sessions; a session that fails does not stop the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from iblnm.errors import IblnmError
from iblnm.pipeline.error_log import LOG_COLUMNS, make_log_entry, unique_entries

_PENDING_PER_WORKER = 2


class ProcessLog(list):
    """What `PhotometrySessionGroup.process` gives: one element per session, in their order.

    An element is what the function returned, None where it failed.

    Attributes
    ----------
    eids : list of str
        Sessions, in the order of the elements.
    failures : list of dict
        One log entry (eid, error_type, error_message, traceback) per session that failed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.eids: list[str] = []
        self.failures: list[dict[str, Any]] = []

    @property
    def results(self) -> dict[str, Any]:
        """What the function returned, by eid, of the sessions that did not fail."""
        failed = {entry["eid"] for entry in self.failures}
        return {
            eid: value for eid, value in zip(self.eids, self, strict=True) if eid not in failed
        }

    def __repr__(self) -> str:
        kinds = Counter(entry["error_type"] for entry in self.failures)
        failed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        return (
            f"<{type(self).__name__}: {len(self) - len(self.failures)} sessions succeeded, "
            f"{len(self.failures)} failed{f' ({failed}; see .to_frame())' if failed else ''}>"
        )

    def to_frame(self) -> pd.DataFrame:
        """The failures, with the columns eid, error_type, error_message, traceback."""
        return pd.DataFrame(self.failures, columns=LOG_COLUMNS)

    def add(self, eid: str, outcome: Any, error: BaseException | None) -> None:
        """Take the outcome of one session."""
        self.eids.append(eid)
        self.append(None if error is not None else outcome)
        if error is not None:
            self.failures.append(make_log_entry(eid, error))


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
    eids: Iterable[str],
    session_of: Callable[[str], Any],
    fn: Callable,
    kwargs: dict[str, Any],
    h5_dir: Path,
) -> ProcessLog:
    """Call the function for each session in this process."""
    log = ProcessLog()
    for eid in eids:
        outcome = None
        with isolated() as run:
            outcome = _call(session_of(eid), fn, kwargs, h5_dir)
        log.add(eid, outcome, run.error)
    return log


def _call(session: Any, fn: Callable, kwargs: dict[str, Any], h5_dir: Path) -> Any:
    """What the function returns; what the session logged, and a failure, go to its file."""
    n_known = len(session.errors)
    try:
        outcome = fn(session, **kwargs)
    except Exception as error:
        session.log_error(error)
        raise
    finally:
        if len(session.errors) > n_known:
            store_errors(session, h5_dir)
    # a session kept as a result would stay in memory
    return None if outcome is session else outcome


def store_errors(session: Any, h5_dir: Path) -> None:
    """Add the errors of a session to those in its file; each once."""
    from iblnm.storage.h5 import read_groups, write_groups
    from iblnm.storage.names import validate_name

    path = h5_dir / f"{validate_name(session.eid)}.h5"
    stored = read_groups(path, ["metadata", "errors"]) if path.exists() else {}
    data: dict[str, Any] = {} if "metadata" in stored else {"metadata": session.to_series()}
    known = stored["errors"].to_dict("records") if "errors" in stored else []
    table = pd.DataFrame([*known, *session.errors], columns=LOG_COLUMNS, dtype=object)
    data["errors"] = unique_entries(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_groups(path, data)


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
            if isinstance(error, BrokenProcessPool):
                raise error
            outcome = None if error is not None else future.result()
            finished[pending.pop(future)] = (outcome, error)

    # a forked process would share open files and locks of HDF5 with this one
    with (
        _broken_pool_told(),
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
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


@contextmanager
def _broken_pool_told() -> Iterator[None]:
    """Say what a script lacks whose processes die as they start.

    Raises
    ------
    IblnmError
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise IblnmError(
            "a worker process died. With workers > 1 each process imports the script again: put "
            "what the script does below `if __name__ == '__main__':`, or leave workers out; "
            "else the process was killed or out of memory"
        ) from error


def _run_one(
    row: Any, fn: Callable, kwargs: dict, settings: Any, h5_dir: Path, groups: tuple[str, ...]
) -> Any:
    from iblnm.data._session_cache import LazyConnection, open_session

    session = open_session(row, LazyConnection(settings), settings, h5_dir, groups)
    return _call(session, fn, kwargs, h5_dir)
