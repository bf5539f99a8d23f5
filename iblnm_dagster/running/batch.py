"""Many sessions in warm worker processes: same runs, same events, same page, less overhead."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from iblnm.config import Settings
from iblnm_dagster.running.deaths import MAX_DEATHS, MAX_IN_A_ROW, end_runs_of, set_aside
from iblnm_dagster.running.processes import leave_terminal, start_worker
from iblnm_dagster.running.worker import BROKEN, FAILED, SKIPPED, SessionOutcome, Worker

if TYPE_CHECKING:
    from tqdm import tqdm

_MAX_FAILED_STARTS = 3


@dataclass
class BatchReport:
    """How a batch ended.

    Parameters
    ----------
    outcomes : list of SessionOutcome
    seconds : float
        Wall time, start of the workers included.
    working_seconds : float
        Wall time from the first session's start.
    interrupted : bool
    unreachable : bool
        Ended early, as the server could not be reached for several sessions in a row.
    not_begun : int
        Sessions left out for either reason.
    held : dict
        Sessions that were left to another process, and which.
    set_aside : list of str
        Sessions whose worker died twice.
    peak_worker_mib : float
        Largest resident memory of a worker.
    """

    outcomes: list[SessionOutcome] = field(default_factory=list)
    seconds: float = 0.0
    working_seconds: float = 0.0
    interrupted: bool = False
    unreachable: bool = False
    not_begun: int = 0
    held: dict[str, str] = field(default_factory=dict)
    set_aside: list[str] = field(default_factory=list)
    peak_worker_mib: float = 0.0

    @property
    def counts(self) -> Counter[str]:
        """Sessions per status."""
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def sessions_per_hour(self) -> float:
        """Rate of the workers once started."""
        ran = sum(outcome.status != SKIPPED for outcome in self.outcomes)
        return 3600 * ran / self.working_seconds if self.working_seconds else 0.0


@dataclass
class _Slot:
    process: BaseProcess
    connection: Connection
    eid: str | None = None


def run_batch(
    settings: Settings,
    eids: Sequence[str],
    *,
    workers: int = 2,
    assets: tuple[str, ...] | None = None,
    check: str | None = None,
    checks: bool = True,
    checks_only: bool = False,
    stale: bool = False,
    renewed: Collection[str] = (),
    progress: bool = True,
    limit_s: float | None = None,
    on_outcome: Callable[[SessionOutcome], None] | None = None,
    on_tick: Callable[[], None] | None = None,
) -> BatchReport:
    """Run sessions in worker processes and wait for all of them.

    Ctrl-C, or SIGTERM, lets every worker finish its session and starts no more. A worker that dies
    (killed, out of memory) puts the session in its hands last in line; if its second dies too,
    that session is set aside, and all others go on. It ends early if the server cannot be
    reached for `RemoteSettings.max_unreachable_sessions` in a row.

    Parameters
    ----------
    settings : Settings
    eids : sequence of str
        Sessions, all known to the instance.
    workers : int
        Processes.
    assets, check, checks, checks_only, stale, renewed
        As for `Worker`.
    progress : bool
        Whether to show a progress bar, and what broke or failed as it happens.
    limit_s : float, optional
        No session is begun after that.
    on_outcome : callable, optional
        Called in this process with the outcome of each session.
    on_tick : callable, optional
        Called in this process about twice a second.
    """
    report = BatchReport()
    if not eids:
        return report
    from tqdm import tqdm

    started = time.perf_counter()
    waiting = deque(eids)
    options = {
        "assets": assets,
        "check": check,
        "checks": checks,
        "checks_only": checks_only,
        "stale": stale,
        "renewed": renewed,
    }
    slots = [_start(settings, options) for _ in range(min(workers, len(eids)))]
    deaths = _Deaths(settings)
    unreachable = 0
    interrupts = _Interrupts()
    bar = tqdm(total=len(eids), unit="session", disable=not progress, smoothing=0.1)
    first: float | None = None
    with interrupts, bar:
        while slots:
            if on_tick is not None:
                on_tick()
            if interrupts.seen and waiting:
                report.interrupted = True
                report.not_begun += len(waiting)
                waiting.clear()
                bar.write("Finishing the sessions in hand; no more are started.")
            if limit_s is not None and time.perf_counter() - started > limit_s:
                waiting.clear()
            for slot in _ready(slots):
                message = _receive(slot)
                if message is None:
                    slots.remove(slot)
                    if slot.eid is not None and not deaths.is_last(slot):
                        bar.write(f"{slot.eid}: its worker died; it is tried again at the end")
                        waiting.append(slot.eid)
                    elif slot.eid is not None:
                        report.set_aside.append(slot.eid)
                        outcome = _died(slot)
                        report.outcomes.append(outcome)
                        if on_outcome is not None:
                            on_outcome(outcome)
                        _tell(bar, outcome)
                    if waiting and deaths.may_go_on(slot):
                        slots.append(_start(settings, options))
                    continue
                outcome, memory = message
                report.peak_worker_mib = max(report.peak_worker_mib, memory)
                if outcome is not None:
                    deaths.in_a_row = 0
                    report.outcomes.append(outcome)
                    if on_outcome is not None:
                        on_outcome(outcome)
                    _tell(bar, outcome)
                    if outcome.status != SKIPPED:
                        unreachable = unreachable + 1 if outcome.unreachable else 0
                    if unreachable >= settings.remote.max_unreachable_sessions:
                        report.unreachable = True
                        report.not_begun += len(waiting)
                        waiting.clear()
                elif first is None:
                    first = time.perf_counter()
                slot.eid = waiting.popleft() if waiting else None
                slot.connection.send(slot.eid)
                if slot.eid is None:
                    slot.process.join()
                    slots.remove(slot)
        for eid in waiting:
            problem = "never started: too many workers died"
            report.outcomes.append(SessionOutcome(eid, BROKEN, problems=[problem]))
            _tell(bar, report.outcomes[-1])
    report.seconds = time.perf_counter() - started
    report.working_seconds = time.perf_counter() - first if first else 0.0
    return report


def _tell(bar: tqdm, outcome: SessionOutcome) -> None:
    bar.update()
    if outcome.status in (BROKEN, FAILED) and not bar.disable:
        for problem in outcome.problems:
            bar.write(f"{outcome.status}: {outcome.eid}: {problem}", file=sys.stderr)


def _start(settings: Settings, options: dict) -> _Slot:
    return _Slot(*start_worker(_work, settings, options))


def _work(connection: Connection, settings: Settings, options: dict) -> None:
    leave_terminal()
    from iblnm_dagster.instance import open_instance

    with open_instance(settings) as instance:
        worker = Worker(settings, instance, **options)
        outcome = None
        while True:
            connection.send((outcome, _memory_mib()))
            eid = connection.recv()
            if eid is None:
                return
            outcome = worker.run(eid)


def _memory_mib() -> float:
    """Largest resident memory of this process so far; NaN where it cannot be known."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts what the parent held when it forked
        peak = next(line for line in status.read_text().splitlines() if "VmHWM" in line)
        return int(peak.split()[1]) / 1024
    if sys.platform == "win32":
        return float("nan")
    import resource

    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit / 2**20


def _ready(slots: list[_Slot]) -> list[_Slot]:
    by_object = {slot.connection: slot for slot in slots}
    return [by_object[item] for item in wait(list(by_object), timeout=0.5)]


def _receive(slot: _Slot) -> tuple[SessionOutcome | None, float] | None:
    try:
        return slot.connection.recv()
    except (EOFError, ConnectionResetError):
        slot.process.join()
        return None


def _died(slot: _Slot) -> SessionOutcome:
    problem = f"its worker died (exit code {slot.process.exitcode}), as one before: set aside"
    return SessionOutcome(slot.eid or "", BROKEN, problems=[problem])


class _Deaths:
    """Counts the workers that died, by the session that they had in hand."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._of: Counter[str] = Counter()
        self._failed_starts = 0
        self.in_a_row = 0

    def is_last(self, slot: _Slot) -> bool:
        """Whether the session of a worker that died is set aside; its run is ended."""
        from iblnm_dagster.instance import open_instance

        eid, how = slot.eid or "", f"exit code {slot.process.exitcode}"
        self._of[eid] += 1
        with open_instance(self._settings) as instance:
            again = self._of[eid] < MAX_DEATHS
            runs = end_runs_of(instance, eid, slot.process.pid, how, again=again)
            if again:
                return False
            set_aside(instance, self._settings, eid, runs[0] if runs else None, how)
        return True

    def may_go_on(self, slot: _Slot) -> bool:
        """Whether another worker is started in place of one that died."""
        self.in_a_row += 1
        self._failed_starts += slot.eid is None
        return self._failed_starts < _MAX_FAILED_STARTS and self.in_a_row < MAX_IN_A_ROW


class _Interrupts:
    """Counts Ctrl-C, and what a cluster sends at the end of its time, instead of raising."""

    def __init__(self) -> None:
        self.seen = 0

    def __enter__(self) -> _Interrupts:
        self._previous = [
            (number, signal.signal(number, self._count))
            for number in (signal.SIGINT, signal.SIGTERM)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for number, previous in self._previous:
            signal.signal(number, previous)

    def _count(self, *_: object) -> None:
        self.seen += 1
        if self.seen > 1:
            raise KeyboardInterrupt
