"""The two processes of the simulation: one ticks the sensor, one does the work of the runs."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import time

from iblnm.config import Settings, get_settings

READ_TAG = "simulation/read"
CRASH_RATE = 0.1
_ANSWERS = 5
CRASH_POINTS = (
    "TICK_CREATED",
    "TICK_HELD",
    "RUN_IDS_RESERVED",
    "RUN_CREATED",
    "RUN_LAUNCHED",
    "RUN_IDS_ADDED_TO_EVALUATIONS",
)


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

    import iblnm_dagster.running.batch
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.jobs import SESSION_JOB
    from iblnm_dagster.owners import worker_tag
    from iblnm_dagster.running.catch_up import CATCH_UP_JOB, work_off
    from iblnm_dagster.selection import WORKER_TAG

    settings = get_settings()
    with open_instance(settings) as instance:
        work = _Work(settings, instance)
        iblnm_dagster.running.batch.run_batch = work.run_batch
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
        from iblnm.archive.watch import open_source

        self._instance = instance
        self._source = open_source(settings, max_total_s=5.0)

    def report(self, run, kind: str) -> None:
        from dagster import DagsterEvent

        self._instance.report_dagster_event(DagsterEvent(kind, run.job_name), run.run_id)

    def finish(self, run, eid: str) -> str:
        from iblnm.errors import TransientError

        if run.status.value != "STARTED":
            self.report(run, "PIPELINE_START")
        # not found may be a fault as well, which fails a real run for its user to repeat
        sight, answers = None, 0
        while sight is None and answers < _ANSWERS:
            try:
                sight = self._source.look(eid)
            except TransientError:
                continue
            answers += 1
        if sight is None:
            self.report(run, "PIPELINE_FAILURE")
            return "failed"
        self._instance.add_run_tags(run.run_id, {READ_TAG: sight.fingerprint})
        self.report(run, "PIPELINE_SUCCESS")
        return "passed"

    def run_batch(self, settings, eids, *, on_outcome, limit_s, **_):
        from dagster import DagsterRun, RunsFilter

        from iblnm_dagster.jobs import SESSION_JOB
        from iblnm_dagster.owners import worker_tag
        from iblnm_dagster.running.batch import BatchReport
        from iblnm_dagster.running.worker import SKIPPED, SessionOutcome
        from iblnm_dagster.selection import UNFINISHED, WORKER_TAG

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
