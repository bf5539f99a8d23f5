"""Analyses of the cohort side by side: each in a run of its own, once its inputs are made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from iblnm.config import Settings
from iblnm_dagster.progress import notes_of
from iblnm_dagster.running.processes import leave_terminal, start_worker

# decoding and mixed models of a thousand recordings need less
_MIB_PER_WORKER = 1500
_MAX_DEATHS = 3


@dataclass(frozen=True)
class Ended:
    """How the run of an asset ended.

    Parameters
    ----------
    name : str
    state : {'made', 'failed', 'skipped'}
        Skipped: what it starts from failed.
    seconds : float
    notes : str
        What was said of figures without data.
    problem : str
        Why it failed.
    """

    name: str
    state: str
    seconds: float = 0.0
    notes: str = ""
    problem: str = ""


@dataclass
class _Slot:
    process: BaseProcess
    connection: Connection
    name: str | None = None
    started: float = field(default_factory=time.perf_counter)


def default_workers() -> int:
    """One process per core, as far as the machine has memory for them."""
    cores = os.cpu_count() or 1
    try:
        # what is free counts without the cache of files, which gives way
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows; a system that does not tell
        return cores
    return max(1, min(cores, memory // (_MIB_PER_WORKER * 2**20)))


def run_side_by_side(
    settings: Settings,
    names: Sequence[str],
    upstream: Mapping[str, Collection[str]],
    *,
    workers: int,
    on_start: Callable[[str], None],
    on_end: Callable[[Ended], None],
) -> bool:
    """Make assets in warm processes; each waits for those that it starts from.

    Ctrl-C ends the processes: files are written whole, and what was not made is as it was.

    Parameters
    ----------
    settings : Settings
    names : sequence of str
        Assets, each after those that it starts from.
    upstream : mapping of str to collection of str
        Of those, what each starts from.
    workers : int
        Processes.
    on_start, on_end : callable
        Called in this process as assets begin and end.

    Returns
    -------
    bool
        Whether all were made.
    """
    slots = [_Slot(*start_worker(_work, settings)) for _ in range(min(workers, len(names)))]
    states: dict[str, str] = {}
    waiting = list(names)

    def end(ended: Ended) -> None:
        states[ended.name] = ended.state
        on_end(ended)

    def begin(slot: _Slot) -> None:
        for name in list(waiting):
            before = [states.get(other) for other in upstream[name]]
            if any(state in ("failed", "skipped") for state in before):
                waiting.remove(name)
                end(Ended(name, "skipped"))
            elif all(state == "made" for state in before):
                waiting.remove(name)
                slot.name, slot.started = name, time.perf_counter()
                slot.connection.send(name)
                on_start(name)
                return

    try:
        idle: list[_Slot] = []
        deaths = 0
        while slots:
            for slot in list(idle):
                begin(slot)
                if slot.name is not None:
                    idle.remove(slot)
            if not waiting and all(slot.name is None for slot in slots):
                break
            by_connection = {s.connection: s for s in slots if s not in idle}
            for connection in wait(list(by_connection)):
                slot = by_connection[connection]
                try:
                    message = connection.recv()
                except (EOFError, ConnectionResetError):
                    slot.process.join()
                    slots.remove(slot)
                    if slot.name is not None:
                        problem = f"its process died (exit code {slot.process.exitcode})"
                        end(Ended(slot.name, "failed", problem=problem))
                    deaths += 1
                    if waiting and deaths < _MAX_DEATHS:
                        slots.append(_Slot(*start_worker(_work, settings)))
                    continue
                if message is not None:
                    seconds = time.perf_counter() - slot.started
                    end(Ended(slot.name or "", seconds=seconds, **message))
                slot.name = None
                idle.append(slot)
        for name in waiting:
            end(Ended(name, "skipped", problem="never begun: too many processes died"))
        for slot in slots:
            slot.connection.send(None)
            slot.process.join()
    finally:
        for slot in slots:
            slot.process.kill()
    return all(states.get(name) == "made" for name in names)


def _work(connection: Connection, settings: Settings) -> None:
    leave_terminal()
    import logging

    from dagster import AssetKey

    from iblnm_dagster.build import build_defs
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.jobs import COHORT_JOB
    from iblnm_dagster.owners import worker_tag
    from iblnm_dagster.running.worker import failure_message
    from iblnm_dagster.selection import WORKER_TAG

    logging.getLogger("dagster._core.execution.plan.active").setLevel(logging.CRITICAL)
    with open_instance(settings) as instance:
        job = build_defs(settings, checks=False).resolve_job_def(COHORT_JOB)
        connection.send(None)
        while (name := connection.recv()) is not None:
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[AssetKey(name)],
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                tags={WORKER_TAG: worker_tag()},
            )
            failures = [
                event.step_failure_data for event in result.all_events if event.is_step_failure
            ]
            connection.send(
                {
                    "state": "made" if result.success else "failed",
                    "notes": "\n".join(filter(None, map(notes_of, result.all_events))),
                    "problem": "; ".join(failure_message(data) for data in failures),
                }
            )
