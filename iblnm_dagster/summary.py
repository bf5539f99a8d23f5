"""One table that says where the sessions stand: per stage stored, passed, warned, blocked."""

from __future__ import annotations

from dataclasses import dataclass

from dagster import AssetKey, DagsterInstance

from iblnm.config import Settings
from iblnm.pipeline.graph import stage_names
from iblnm.storage.store import SessionStore
from iblnm_dagster.failures import asset_failures
from iblnm_dagster.outcomes import current_matrix, latest_statuses, session_rules
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
    for name in stage_names():
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


_LEGEND = (
    "of a stage's own checks: stored = passed + warned (WARN or ERROR fails) + blocked (BLOCK",
    "fails); failed: could not be made; absent: no such data, or stopped further up",
)


def format_summary(
    instance: DagsterInstance, settings: Settings, sessions_per_hour: float = 0.0
) -> str:
    """The summary as text."""
    store = SessionStore(settings)
    sessions = store.collect("session")
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
    lines += ["", *_LEGEND, ""]
    if len(sessions):
        lines += [*_outcomes_in_words(instance, store, settings), ""]
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


def _outcomes_in_words(
    instance: DagsterInstance, store: SessionStore, settings: Settings
) -> list[str]:
    """The dashboard's totals, and what was evaluated under other limits."""
    from iblnm.data import qc_catalog
    from iblnm.data.catalog import sessions_table
    from iblnm.pipeline.labels import read_labels
    from iblnm.pipeline.selection import with_performance

    labels = read_labels(settings.labels_fpath)
    sessions = with_performance(sessions_table(store, labels), store.collect("performance"))
    matrix = current_matrix(instance, sessions, labels, settings)
    failed = {failure.eid for failure in asset_failures(instance)}
    standings = qc_catalog.session_standings(matrix, failed).value_counts()
    lines = []
    for name, words in qc_catalog.STANDINGS.items():
        of_asset = f" ({len(failed)} of an asset)" if name == "failure" and failed else ""
        lines.append(f"{standings.get(name, 0):>6} sessions {words}{of_asset}")
    passing, evaluated = qc_catalog.pass_share(matrix)
    lines.append(
        f"{passing:>6} of {evaluated} evaluated sessions pass every BLOCK and ERROR check "
        "(warnings and failed assets aside)"
    )
    stale = qc_catalog.other_limits(matrix, settings)
    if len(stale):
        total = int((matrix["outcome"] != "not run").sum())
        names = ", ".join(sorted(stale["check"].unique()))
        lines += [
            "",
            f"{len(stale)} checks of {total} were evaluated with another limit than the settings "
            f"({names}): iblnm batch --checks-only",
        ]
    return lines
