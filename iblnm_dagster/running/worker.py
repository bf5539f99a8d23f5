"""A warm worker: resolves the session job once, then runs one session after another."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dagster import AssetCheckKey, AssetKey, DagsterInstance, JobDefinition, RunsFilter
from dagster._core.execution.plan.objects import StepFailureData
from dagster._utils.error import SerializableErrorInfo

from iblnm import errors
from iblnm.config import Settings
from iblnm.errors import RemoteTimeout, ServerUnreachableError
from iblnm.pipeline.graph import checked_stages, find_stage, stage_names, upstream
from iblnm.pipeline.rules import RULES
from iblnm.pipeline.stage import SESSION
from iblnm.pipeline.staleness import find_stale, made_possible
from iblnm_dagster.build import build_defs
from iblnm_dagster.jobs import SESSION_JOB
from iblnm_dagster.migration import outcomes_of
from iblnm_dagster.owners import worker_tag
from iblnm_dagster.selection import UNFINISHED, WORKER_TAG


def _names_of(family: type[Exception]) -> frozenset[str]:
    kinds = (kind for kind in vars(errors).values() if isinstance(kind, type))
    return frozenset(kind.__name__ for kind in kinds if issubclass(kind, family))


PASSED = "passed"
BLOCKED = "blocked"
FAILED = "failed"
BROKEN = "broken"
SKIPPED = "skipped"
_BLOCKING_ERROR = "DagsterAssetCheckFailedError"
_DATA_ERRORS = _names_of(errors.DataError)
_OWN_ERRORS = _names_of(errors.IblnmError)
_UNREACHABLE = (ServerUnreachableError.__name__, RemoteTimeout.__name__)


@dataclass(frozen=True)
class SessionOutcome:
    """How one session's run ended.

    Parameters
    ----------
    eid : str
    status : {'passed', 'blocked', 'failed', 'broken', 'skipped'}
        Blocked: a rule stopped a branch. Failed: a file or record cannot be used. Broken: an
        unexpected error, or the worker died. Skipped: another run of the session is going on,
        or nothing is stored that the chosen assets could be made from.
    seconds, cpu_s : float
        Wall and CPU time of the run.
    problems : list of str
        One line per failed step.
    unreachable : bool
        Whether a step failed because a server could not be reached or did not answer.
    """

    eid: str
    status: str
    seconds: float = 0.0
    cpu_s: float = 0.0
    problems: list[str] = field(default_factory=list)
    unreachable: bool = False


class Worker:
    """Runs sessions in this process.

    Parameters
    ----------
    settings : Settings
    instance : DagsterInstance
    assets : tuple of str, optional
        Run only these assets (and their checks).
    check : str, optional
        Evaluate only this check, from what is stored.
    checks : bool
        Whether the rules are evaluated.
    checks_only : bool
        Evaluate the rules (of all assets, or of `assets`) from what is stored, and compute
        nothing.
    stale : bool
        Run the assets of a session that are out of date, then what these put out of date; see
        `iblnm.pipeline.staleness`.
    renewed : collection of str
        Sessions whose content in the archive has changed: with `stale`, their first stage is
        made anew.
    """

    def __init__(
        self,
        settings: Settings,
        instance: DagsterInstance,
        *,
        assets: tuple[str, ...] | None = None,
        check: str | None = None,
        checks: bool = True,
        checks_only: bool = False,
        stale: bool = False,
        renewed: Collection[str] = (),
    ):
        self._instance = instance
        self._settings = settings
        self._stale = stale
        self._renewed = frozenset(renewed)
        self._defs = build_defs(settings, checks=checks)
        self._jobs: dict[frozenset[str], JobDefinition] = {}
        self._chosen = assets if assets and not check and not checks_only else None
        if not stale and not self._chosen:
            self._job = _resolve(self._defs, assets, check, checks_only)
        for name in ("dagster._core.execution.plan.active", "one", "ibllib"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def run(self, eid: str) -> SessionOutcome:
        """Run the job for one session."""
        going_on = self._instance.get_runs(
            RunsFilter(statuses=UNFINISHED, tags={"dagster/partition": eid}), limit=1
        )
        if going_on:
            return SessionOutcome(eid, SKIPPED, problems=["another run of it is going on"])
        if self._stale:
            return self._run_stale(eid)
        return self._run_chosen(eid) if self._chosen else self._execute(self._job, eid)

    def _run_chosen(self, eid: str) -> SessionOutcome:
        """Those of the chosen assets that have inputs, or whose inputs are made with them."""
        table = outcomes_of(self._instance, self._settings).origins(eid)
        # what failed or was blocked may be there from before, and says why it cannot be used
        there = set(table.loc[table["state"] != "no data", "asset"])
        possible = []
        for name in stage_names():
            if name in self._chosen and there >= set(find_stage(name).inputs):
                possible.append(name)
                there.add(name)
        left_out = [name for name in self._chosen if name not in possible]
        if not possible:
            reason = f"nothing is stored that {', '.join(left_out)} could be made from"
            return SessionOutcome(eid, SKIPPED, problems=[reason])
        return self._execute(self._job_of(frozenset(possible)), eid)

    def _run_stale(self, eid: str) -> SessionOutcome:
        """Rounds: what is out of date; then what that has put out of date, or made possible."""
        outcomes = outcomes_of(self._instance, self._settings)
        ran: dict[str, int] = {}
        ended: list[SessionOutcome] = []
        for _ in stage_names():
            chosen = {item.asset for item in find_stale(outcomes, self._settings, [eid])}
            chosen |= made_possible(outcomes, eid, ran)
            if eid in self._renewed and not ended:
                chosen.add(SESSION)
            chosen = {name for name in chosen if not ran.get(name) or _above_ran_later(name, ran)}
            if not chosen:
                break
            ended.append(self._execute(self._job_of(frozenset(chosen)), eid))
            ran |= dict.fromkeys(chosen, len(ended))
        return _joined(eid, ended)

    def _job_of(self, names: frozenset[str]) -> JobDefinition:
        if names not in self._jobs:
            self._jobs[names] = _resolve(self._defs, tuple(sorted(names)), None, False)
        return self._jobs[names]

    def _execute(self, job: JobDefinition, eid: str) -> SessionOutcome:
        wall, cpu = time.perf_counter(), time.process_time()
        result = job.execute_in_process(
            partition_key=eid,
            instance=self._instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={WORKER_TAG: worker_tag()},
        )
        errors = {
            event.step_key: event.step_failure_data
            for event in result.all_events
            if event.is_step_failure
        }
        kinds = {_kind(data) for data in errors.values()}
        status = next((kind for kind in (BROKEN, FAILED, BLOCKED) if kind in kinds), PASSED)
        return SessionOutcome(
            eid,
            status if errors or result.success else BROKEN,
            time.perf_counter() - wall,
            time.process_time() - cpu,
            [f"{step}: {failure_message(data)}" for step, data in errors.items()],
            any(_decisive(data.error).cls_name in _UNREACHABLE for data in errors.values()),
        )


def _above_ran_later(name: str, ran: Mapping[str, int]) -> bool:
    return any(ran.get(above, 0) > ran[name] for above in upstream(name))


def _joined(eid: str, ended: Sequence[SessionOutcome]) -> SessionOutcome:
    """Outcome of several runs of a session: the worst, and the sum of their times."""
    order = (BROKEN, FAILED, BLOCKED, SKIPPED, PASSED)
    worst = min((item.status for item in ended), key=order.index, default=PASSED)
    return SessionOutcome(
        eid,
        worst,
        sum(item.seconds for item in ended),
        sum(item.cpu_s for item in ended),
        [problem for item in ended for problem in item.problems],
        any(item.unreachable for item in ended),
    )


def _resolve(
    defs, assets: tuple[str, ...] | None, check: str | None, checks_only: bool
) -> JobDefinition:
    if not assets and not check and not checks_only:
        return defs.resolve_job_def(SESSION_JOB)
    everything = defs.resolve_implicit_global_asset_job_def()
    if check:
        key = AssetCheckKey(AssetKey(RULES[check].asset), check)
        return everything.get_subset(asset_check_selection={key})
    keys = {AssetKey(name) for name in assets or checked_stages()}
    graph = defs.resolve_asset_graph()
    checks = {key for key in graph.asset_check_keys if key.asset_key in keys}
    if checks_only:
        return everything.get_subset(asset_check_selection=checks)
    return everything.get_subset(asset_selection=keys, asset_check_selection=checks)


def _kind(data) -> str:
    if data.user_failure_data is not None and "error_type" in data.user_failure_data.metadata:
        return BLOCKED if "blocked" in data.user_failure_data.metadata else FAILED
    error: SerializableErrorInfo | None = data.error
    while error is not None:
        if error.cls_name == _BLOCKING_ERROR:
            return BLOCKED
        # also where the graph itself reads and writes, around the asset's function
        if error.cls_name in _DATA_ERRORS:
            return FAILED
        error = error.cause
    return BROKEN


def failure_message(data: StepFailureData) -> str:
    """What to tell of a failed step: its first error that is one of ours, else the innermost."""
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    return _plain_message(_decisive(data.error))


def _plain_message(error: SerializableErrorInfo) -> str:
    """Message of an error; without the name of its class where that is one of ours."""
    message = error.message.strip()
    if error.cls_name in _OWN_ERRORS:
        return message.partition(f"{error.cls_name}: ")[2] or message
    return message


def _decisive(error: SerializableErrorInfo) -> SerializableErrorInfo:
    """The error to tell of: the first that is one of ours, else the innermost."""
    while error.cls_name not in _OWN_ERRORS and error.cause:
        error = error.cause
    return error
