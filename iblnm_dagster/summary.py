"""One table that says where the sessions stand: per stage stored, passed, warned, blocked."""

from __future__ import annotations

from dataclasses import dataclass

from dagster import AssetKey, DagsterInstance

from iblnm.config import Settings
from iblnm.storage.store import SessionStore
from iblnm_dagster.failures import SESSION_ASSET_NAMES, asset_failures
from iblnm_dagster.outcomes import latest_statuses, session_rules
from iblnm_dagster.partitions import known_sessions


@dataclass(frozen=True)
class StageCounts:
    """Sessions at one stage.

    Parameters
    ----------
    stage : str
    stored, passed, warned, blocked, failed, absent : int
        Stored sessions are split into passed (every rule), warned (a rule that blocks nothing
        fails) and blocked (a rule stops what comes after). Failed: the stage raised a typed
        failure or an error. Absent: no such data, or stopped further up.
    """

    stage: str
    stored: int
    passed: int
    warned: int
    blocked: int
    failed: int
    absent: int


def stage_counts(instance: DagsterInstance) -> list[StageCounts]:
    """Counts of every per-session asset, in the order of the graph."""
    known = set(known_sessions(instance))
    statuses = latest_statuses(instance, session_rules())
    failures = asset_failures(instance)
    counts = []
    for name in SESSION_ASSET_NAMES:
        failed = {failure.eid for failure in failures if failure.asset == name}
        stored = (instance.get_materialized_partitions(AssetKey(name)) & known) - failed
        blocked, warned = _failing(name, statuses)
        counts.append(
            StageCounts(
                name,
                stored=len(stored),
                passed=len(stored - blocked - warned),
                warned=len((stored & warned) - blocked),
                blocked=len(stored & blocked),
                failed=len(failed),
                absent=len(known - stored - failed),
            )
        )
    return counts


def _failing(asset: str, statuses: dict[str, dict[str, bool]]) -> tuple[set[str], set[str]]:
    blocked: set[str] = set()
    warned: set[str] = set()
    for rule in session_rules():
        if rule.asset == asset:
            failing = {eid for eid, passed in statuses[rule.name].items() if not passed}
            if rule.severity == "BLOCK":
                blocked |= failing
            else:
                warned |= failing
    return blocked, warned


def format_summary(
    instance: DagsterInstance, settings: Settings, sessions_per_hour: float = 0.0
) -> str:
    """The summary as text."""
    sessions = SessionStore(settings).collect("session")
    recordings = int(sessions["n_recordings"].sum())
    subjects = sessions["subject"].nunique()
    names = ("stored", "passed", "warned", "blocked", "failed", "absent")
    lines = [
        f"{len(known_sessions(instance))} sessions, {recordings} recordings, {subjects} subjects",
        "",
        f"{'stage':<16}" + "".join(f"{name:>9}" for name in names),
    ]
    for counts in stage_counts(instance):
        numbers = (getattr(counts, name) for name in names)
        lines.append(f"{counts.stage:<16}" + "".join(f"{number:>9}" for number in numbers))
    lines.append("")
    if sessions_per_hour:
        lines.append(f"speed            {sessions_per_hour:.0f} sessions per hour")
    lines += [
        f"session files    {settings.sessions_h5_dir}",
        f"tables           {settings.metadata_dir}, {settings.data_dir}",
        f"what is wrong    {settings.metadata_dir / 'errors.pqt'}",
        f"dashboard        {settings.figures_dir / 'qc' / 'dashboard.html'}",
        f"archive          {settings.cache_dir}",
    ]
    return "\n".join(lines)
