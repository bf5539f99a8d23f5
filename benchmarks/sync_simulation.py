"""Everything that can go wrong between an archive and the graph, at once.

A server with sessions that are registered, changed, touched and deleted all the time shows
faults at random; one process ticks the session sensor through Dagster's own daemon code, one
does the work of the runs, and both are killed at random moments. Afterwards the runs of the
instance are compared with the history of the sessions.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from iblnm.config import Settings, get_settings

READ_TAG = "simulation/read"
FAULTS = (429, 500, 502, 503, 404, "reset", "truncated", "html", "hang")
FAULT_RATE = 0.03
CRASH_RATE = 0.1
CRASH_POINTS = (
    "TICK_CREATED",
    "TICK_HELD",
    "RUN_IDS_RESERVED",
    "RUN_CREATED",
    "RUN_LAUNCHED",
    "RUN_IDS_ADDED_TO_EVALUATIONS",
)
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
_LONGEST_DELAY_S = 3.0
_OTHER_PROJECT = "ibl_fibrephotometry_pilot"


@dataclass
class Traffic:
    """Changes of a model at random, and the history of every session's content.

    Parameters
    ----------
    model : AlyxModel
    n_sessions : int
        Registered before the first tick and during the simulation together.
    seed : int
    """

    model: object
    n_sessions: int
    seed: int
    versions: dict[str, list[str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    changes: Counter = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._starts: list[datetime] = []
        self._before: dict[str, str] = {}

    @property
    def left(self) -> int:
        """Sessions still to be registered."""
        return self.n_sessions - len(self.versions)

    def register(self, *, delay_s: float = 0.0) -> None:
        """A session of any age, which often starts exactly when another does."""
        draw = self._random
        if self._starts and draw.random() < 0.4:
            start = draw.choice(self._starts)
        else:
            start = datetime(2023, 1, 1) + timedelta(minutes=draw.randrange(600 * 24 * 60))
        self._starts.append(start)
        stamp = self.model.now() - timedelta(seconds=delay_s)
        n = len(self.versions)
        with self.model.lock:
            eid = self.model.register_session(
                subject=f"SIM-{n % 97:03d}",
                number=1 + n // 97,
                start_time=start,
                auto_datetime=stamp,
            )
            self._add_dataset(eid, stamp)
            if n % 20 == 0:
                self.model.register_session(start_time=start, projects=[_OTHER_PROJECT])
        self._seen(eid)

    def change(self) -> None:
        """One change of any kind."""
        draw = self._random
        kinds = {
            "register": 8 if self.left else 0,
            "late commit": 2 if self.left else 0,
            "no-op save": 4,
            "dataset": 3,
            "late dataset": 1,
            "field": 2,
            "back again": 1,
            "delete": 1,
        }
        kind = draw.choices(list(kinds), list(kinds.values()))[0]
        self.changes[kind] += 1
        delay_s = draw.random() * _LONGEST_DELAY_S
        if kind in ("register", "late commit"):
            self.register(delay_s=delay_s if kind == "late commit" else 0.0)
            return
        eid = draw.choice([eid for eid in self.versions if eid not in self.deleted])
        now = self.model.now()
        if kind == "no-op save":
            self.model.touch_session(eid)
        elif kind == "dataset":
            self._add_dataset(eid, now)
        elif kind == "late dataset":
            self._add_dataset(eid, now - timedelta(seconds=delay_s))
        elif kind == "field":
            with self.model.lock:
                self._before[eid] = self.model.sessions[eid].fields["qc"]
                self.model.update_session(eid, qc=draw.choice(["PASS", "FAIL", "WARNING"]))
        elif kind == "back again":
            self.model.update_session(eid, qc=self._before.get(eid, "NOT_SET"))
        else:
            self.model.delete_session(eid)
            self.deleted.add(eid)
            return
        self._seen(eid)

    def _add_dataset(self, eid: str, stamp: datetime) -> None:
        self.model.add_dataset(
            eid,
            f"alf/_sim_{self._random.randrange(10**9)}.table.pqt",
            size=1,
            hash=f"{self._random.getrandbits(128):032x}",
            auto_datetime=stamp,
        )

    def _seen(self, eid: str) -> None:
        versions = self.versions.setdefault(eid, [])
        content = self.content(eid)
        if versions[-1:] != [content]:
            versions.append(content)

    def content(self, eid: str) -> str:
        """Fingerprint of a session as it is now."""
        from iblnm.demo.alyx.endpoints import ENDPOINTS
        from iblnm.io.changes import record_fingerprint

        with self.model.lock:
            detail = ENDPOINTS["sessions"].detail(self.model, self.model.sessions[eid], "")
        return record_fingerprint(detail)


@dataclass
class Result:
    """What came of a simulation.

    Parameters
    ----------
    missing : list of str
        Sessions whose last content no run has read.
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
    from iblnm.demo.alyx import AlyxModel, AlyxServer
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
        }
        server.faults.at_random(FAULT_RATE, FAULTS, seed=seed, match="/sessions|/datasets")
        settings = Settings(root=folder)
        with open_instance(settings) as instance:
            processes = {name: _Process(name, environment) for name in ("tick", "work")}
            kill_at = set(draw.sample(range(n_changes), n_kills))
            for i in range(n_changes):
                # requests are the clock: a busy machine must not spare the processes anything
                seen = len(server.requests) + draw.randrange(2 * REQUESTS_PER_CHANGE)
                deadline = time.monotonic() + LONGEST_PAUSE_S
                while len(server.requests) < seen and time.monotonic() < deadline:
                    for process in processes.values():
                        process.revive()
                    time.sleep(0.005)
                traffic.change()
                if i in kill_at:
                    draw.choice(list(processes.values())).kill()
            while traffic.left:
                traffic.register()
            server.faults.clear()
            ended = time.time()
            environment["SIMULATION_CALM"] = "1"
            processes["tick"].kill()
            _wait_until_quiet(settings, instance, ended, processes)
            for process in processes.values():
                process.stop()
            faults = sum(request.fault is not None for request in server.requests)
            kills = sum(process.deaths for process in processes.values())
            return _judge(settings, instance, traffic, kills, faults, len(server.requests))


def _wait_until_quiet(settings, instance, ended: float, processes: dict) -> None:
    from dagster import RunsFilter

    from iblnm.storage.sync_state import open_state
    from iblnm_dagster.selection import UNFINISHED

    state = open_state(settings)
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        for process in processes.values():
            process.revive()
        counts = state.counts()
        if (
            state.fact("listed_at", 0.0) > ended + 10.0
            and not counts["waiting"]
            and not counts["unseen"]
            and not instance.get_runs(RunsFilter(statuses=UNFINISHED), limit=1)
        ):
            return
        time.sleep(0.25)
    raise TimeoutError(f"not at rest: {counts}, listed {state.fact('listed_at', 0.0) - ended}")


def _judge(settings, instance, traffic: Traffic, kills: int, faults: int, requests: int) -> Result:
    from dagster import DagsterRunStatus, RunsFilter

    from iblnm.storage.sync_state import open_state
    from iblnm_dagster.catch_up import CATCH_UP_JOB
    from iblnm_dagster.jobs import SESSION_JOB
    from iblnm_dagster.partitions import known_sessions

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
            eid
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
    """A process of this script that is started again when it dies."""

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
                [sys.executable, __file__, self._name, str(self.deaths)],
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


# the two processes --------------------------------------------------------------------------


def tick_for_ever(seed: int) -> None:
    """The sensor daemon; now and then it kills itself between two steps of a tick."""
    from dagster._core.remote_origin import InProcessCodeLocationOrigin
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceLoadTarget
    from dagster._daemon import sensor as daemon

    from iblnm_dagster.instance import open_instance

    class Here(WorkspaceLoadTarget):
        def create_origins(self):
            target = LoadableTargetOrigin(
                executable_path=sys.executable, module_name="iblnm_dagster.definitions"
            )
            return [InProcessCodeLocationOrigin(target, location_name="iblnm")]

    # a tick as soon as the one before is over
    daemon.is_under_min_interval = lambda *_: False
    draw = random.Random(f"crashes {seed}")
    is_calm = "SIMULATION_CALM" in os.environ
    logger = logging.getLogger("simulation")
    with (
        open_instance(get_settings()) as instance,
        WorkspaceProcessContext(instance, Here()) as workspace,
    ):
        while True:
            crash = {}
            if not is_calm and draw.random() < CRASH_RATE:
                crash = {"new_sessions": {draw.choice(CRASH_POINTS): signal.SIGKILL}}
            errors = daemon.execute_sensor_iteration(workspace, logger, None, None, None, crash)
            for error in filter(None, errors):
                print(error.to_string()[-600:], flush=True)
            time.sleep(0.1)


def work_for_ever(seed: int) -> None:
    """What executes the runs: a run of a session is one look at its record."""
    from dagster import DagsterRunStatus, RunsFilter

    import iblnm_dagster.batch
    from iblnm_dagster.catch_up import CATCH_UP_JOB, work_off
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.jobs import SESSION_JOB
    from iblnm_dagster.selection import WORKER_TAG, worker_tag

    settings = get_settings()
    with open_instance(settings) as instance:
        work = _Work(settings, instance)
        iblnm_dagster.batch.run_batch = work.run_batch
        active = [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED]
        while True:
            runs = instance.get_runs(RunsFilter(statuses=active), ascending=True)
            for run in runs:
                if run.job_name == SESSION_JOB and WORKER_TAG not in run.tags:
                    work.finish(run, run.tags["dagster/partition"])
                elif run.job_name == CATCH_UP_JOB and run.status == DagsterRunStatus.QUEUED:
                    instance.add_run_tags(run.run_id, {WORKER_TAG: worker_tag()})
                    work.report(run, "PIPELINE_START")
                    work_off(settings, instance, workers=1, limit_s=60.0)
                    work.report(run, "PIPELINE_SUCCESS")
                elif run.status == DagsterRunStatus.QUEUED:
                    work.report(run, "PIPELINE_START")
                    work.report(run, "PIPELINE_SUCCESS")
            time.sleep(0.05)


class _Work:
    def __init__(self, settings: Settings, instance):
        from iblnm.data.sync import open_source

        self._instance = instance
        self._source = open_source(settings, max_total_s=5.0)

    def report(self, run, kind: str) -> None:
        from dagster import DagsterEvent

        self._instance.report_dagster_event(DagsterEvent(kind, run.job_name), run.run_id)

    def finish(self, run, eid: str) -> str:
        from iblnm.errors import TransientError

        if run.status.value != "STARTED":
            self.report(run, "PIPELINE_START")
        while True:
            try:
                sight = self._source.look(eid)
            except TransientError:
                continue
            break
        if sight is None:
            self.report(run, "PIPELINE_FAILURE")
            return "failed"
        self._instance.add_run_tags(run.run_id, {READ_TAG: sight.fingerprint})
        self.report(run, "PIPELINE_SUCCESS")
        return "passed"

    def run_batch(self, settings, eids, *, on_outcome, limit_s, **_):
        from dagster import DagsterRun, RunsFilter

        from iblnm_dagster.batch import BatchReport
        from iblnm_dagster.jobs import SESSION_JOB
        from iblnm_dagster.selection import UNFINISHED, WORKER_TAG, worker_tag
        from iblnm_dagster.worker import SKIPPED, SessionOutcome

        report = BatchReport()
        for eid in eids:
            tags = {"dagster/partition": eid}
            going_on = RunsFilter(statuses=UNFINISHED, tags=tags)
            if self._instance.get_runs(going_on, limit=1):
                outcome = SessionOutcome(eid, SKIPPED)
            else:
                tags[WORKER_TAG] = worker_tag()
                run = self._instance.add_run(DagsterRun(job_name=SESSION_JOB, tags=tags))
                outcome = SessionOutcome(eid, self.finish(run, eid))
            report.outcomes.append(outcome)
            on_outcome(outcome)
        return report


if __name__ == "__main__":
    logging.disable(logging.INFO)
    {"tick": tick_for_ever, "work": work_for_ever}[sys.argv[1]](json.loads(sys.argv[2]))
