"""Everything that can go wrong between an archive and the graph, at once.

A server with sessions that are registered, changed, touched and deleted all the time shows
faults at random; one process ticks the session sensor through Dagster's own daemon code, one
does the work of the runs, and both are killed at random moments. Afterwards the runs of the
instance are compared with the history of the sessions.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.sync_processes import READ_TAG
from bench.sync_traffic import Traffic
from iblnm.archive.sync_state import open_state
from iblnm.config import Settings

PROCESSES = Path(__file__).with_name("sync_processes.py")
FAULTS = (429, 500, 502, 503, 404, "reset", "truncated", "html", "hang")
FAULT_RATE = 0.03
ENVIRONMENT = {
    "IBLNM_SYNC__OVERLAP_S": "4",
    "IBLNM_SYNC__LOOK_AGAIN_S": "[1, 5]",
    "IBLNM_SYNC__RECONCILE_S": "8",
    "IBLNM_SYNC__BUDGET_S": "5",
    "IBLNM_SYNC__PATIENCE_S": "2",
    "IBLNM_SYNC__CATCH_UP_PAUSE_S": "0.5",
    "IBLNM_SYNC__CATCH_UP_S": "60",
    "IBLNM_REMOTE__FIRST_BACKOFF_S": "0.02",
    "IBLNM_REMOTE__MAX_BACKOFF_S": "0.2",
}
REQUESTS_PER_CHANGE = 4
LONGEST_PAUSE_S = 60.0
LONGEST_REST_S = 3600.0


@dataclass
class Result:
    """What came of a simulation.

    Parameters
    ----------
    missing : list of str
        Sessions whose last content no run has read, and their latest change.
    too_often : list of str
        Sessions with more runs than they had content versions.
    needless : list of str
        Sessions with more than one run that were only ever saved without a change.
    not_marked : list of str
        Deleted sessions that are known and not marked as withdrawn.
    wrongly_marked : list of str
        Sessions marked as withdrawn that are there.
    foreign : int
        Partitions that are sessions of another project.
    sessions, versions : int
        In the history of the model.
    kills, runs, catch_ups, faults, requests : int
    changes : Counter
    """

    missing: list[str]
    too_often: list[str]
    needless: list[str]
    not_marked: list[str]
    wrongly_marked: list[str]
    foreign: int
    sessions: int
    versions: int
    kills: int
    runs: int
    catch_ups: int
    faults: int
    requests: int
    changes: Counter

    @property
    def wrong(self) -> dict[str, int]:
        """Number of sessions with which something is wrong, by what."""
        names = ("missing", "too_often", "needless", "not_marked", "wrongly_marked")
        found = {name: len(getattr(self, name)) for name in names}
        return {name: n for name, n in {**found, "foreign": self.foreign}.items() if n}


def simulate(
    folder: Path, *, n_sessions: int, n_changes: int, n_kills: int, seed: int = 0
) -> Result:
    """Run a simulation.

    Parameters
    ----------
    folder : Path
        Empty; the root of the settings.
    n_sessions : int
        Three quarters of them are there when the first tick begins.
    n_changes : int
        Changes, each after some requests have come to the server.
    n_kills : int
        Among them.
    seed : int
        Of the traffic, the faults and the kills; their moments depend on the machine too.
    """
    from bench.alyx import AlyxModel, AlyxServer
    from iblnm_dagster.instance import open_instance

    draw = random.Random(seed + 1)
    traffic = Traffic(AlyxModel(seed=seed), n_sessions, seed)
    for _ in range(n_sessions * 3 // 4):
        traffic.register()
    with AlyxServer(traffic.model) as server:
        environment = {
            **os.environ,
            **server.environment(),
            **ENVIRONMENT,
            "IBLNM_ROOT": str(folder),
            "IBLNM_ONE_CACHE_DIR": str(folder / "one"),
            "IBLNM_SYNC__LOOK_ANEW_S": str(look_anew_s(n_sessions)),
        }
        server.faults.at_random(FAULT_RATE, FAULTS, seed=seed, match="/sessions|/datasets")
        settings = Settings(root=folder)
        with open_instance(settings) as instance:
            processes = {name: _Process(name, environment) for name in ("tick", "work")}
            kill_at = set(draw.sample(range(n_changes), n_kills))
            for i in range(n_changes):
                # requests and runs are the clock: a busy machine must not spare the processes
                seen = len(server.requests) + draw.randrange(2 * REQUESTS_PER_CHANGE)
                deadline = time.monotonic() + LONGEST_PAUSE_S
                wanted = 0.7 * n_sessions * i / n_changes
                while time.monotonic() < deadline:
                    for process in processes.values():
                        process.revive()
                    if len(server.requests) >= seen and _n_run(settings) >= wanted:
                        break
                    time.sleep(0.02)
                traffic.change()
                if i in kill_at:
                    draw.choice(list(processes.values())).kill()
            while traffic.left:
                traffic.register()
            server.faults.clear()
            ended = time.time()
            environment["SIMULATION_CALM"] = "1"
            processes["tick"].kill()
            rest_s = max(10.0, 2 * look_anew_s(n_sessions))
            _wait_until_quiet(settings, instance, ended + rest_s, processes)
            for process in processes.values():
                process.stop()
            faults = sum(request.fault is not None for request in server.requests)
            kills = sum(process.deaths for process in processes.values())
            return _judge(settings, instance, traffic, kills, faults, len(server.requests))


def _n_run(settings: Settings) -> int:
    counts = open_state(settings).counts()
    return counts["known"] - counts["unseen"] - counts["waiting"]


def look_anew_s(n_sessions: int) -> float:
    """In what time each session has its turn: what has no stamp is seen by that alone."""
    return max(5.0, n_sessions / 25)


def _wait_until_quiet(settings, instance, listed_after: float, processes: dict) -> None:
    from dagster import RunsFilter

    from iblnm_dagster.selection import UNFINISHED

    state = open_state(settings)
    deadline = time.monotonic() + LONGEST_REST_S
    while time.monotonic() < deadline:
        for process in processes.values():
            process.revive()
        counts = state.counts()
        if (
            state.fact("listed_at", 0.0) > listed_after
            and not counts["waiting"]
            and not counts["unseen"]
            and not instance.get_runs(RunsFilter(statuses=UNFINISHED), limit=1)
        ):
            return
        time.sleep(0.25)
    listed_s = state.fact("listed_at", 0.0) - listed_after
    raise TimeoutError(f"not at rest: {counts}, listed {listed_s}")


def _judge(settings, instance, traffic: Traffic, kills: int, faults: int, requests: int) -> Result:
    from dagster import DagsterRunStatus, RunsFilter

    from iblnm_dagster.jobs import SESSION_JOB
    from iblnm_dagster.partitions import known_sessions
    from iblnm_dagster.running.catch_up import CATCH_UP_JOB

    runs = instance.get_runs(RunsFilter(job_name=SESSION_JOB))
    ended = [run for run in runs if run.status != DagsterRunStatus.CANCELED]
    number = Counter(run.tags["dagster/partition"] for run in ended)
    read: dict[str, set[str]] = {}
    for run in ended:
        read.setdefault(run.tags["dagster/partition"], set()).add(run.tags.get(READ_TAG, ""))
    partitions = known_sessions(instance)
    there = [eid for eid in traffic.versions if eid not in traffic.deleted]
    withdrawn = set(open_state(settings).withdrawn())
    return Result(
        missing=[
            f"{eid} ({traffic.latest.get(eid, 'register')})"
            for eid in there
            if eid not in partitions or traffic.content(eid) not in read.get(eid, set())
        ],
        too_often=[eid for eid, seen in traffic.versions.items() if number[eid] > len(seen)],
        needless=[
            eid for eid, seen in traffic.versions.items() if len(seen) == 1 and number[eid] > 1
        ],
        not_marked=[e for e in traffic.deleted if e in partitions and e not in withdrawn],
        wrongly_marked=sorted(withdrawn & set(there)),
        foreign=len(set(partitions) - set(traffic.versions)),
        sessions=len(traffic.versions),
        versions=sum(map(len, traffic.versions.values())),
        kills=kills,
        runs=len(ended),
        catch_ups=instance.get_runs_count(RunsFilter(job_name=CATCH_UP_JOB)),
        faults=faults,
        requests=requests,
        changes=traffic.changes,
    )


class _Process:
    """A process of `sync_processes` that is started again when it dies."""

    def __init__(self, name: str, environment: dict[str, str]):
        self._name = name
        self._environment = environment
        self.deaths = 0
        self._start()

    def _start(self) -> None:
        log = Path(self._environment["IBLNM_ROOT"]) / f"{self._name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            self._process = subprocess.Popen(
                [sys.executable, str(PROCESSES), self._name, str(self.deaths)],
                env=self._environment,
                stdout=file,
                stderr=file,
            )

    def kill(self) -> None:
        """SIGKILL, wherever it is."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def revive(self) -> None:
        """Start it again if it is dead."""
        if self._process.poll() is not None:
            self.deaths += 1
            self._start()

    def stop(self) -> None:
        """End it for good."""
        self._process.kill()
        self._process.wait()
