"""Cost of the checks and of the matrix of outcomes. Run: python benchmarks/bench_checks.py

The 5,000 sessions are rows in the tables of a SQLite instance, copied from the evaluations of
one real run under other session names, three evaluations of each check, with failures among them.
"""

from __future__ import annotations

import argparse
import random
import time
import uuid
from pathlib import Path

import pandas as pd
from _common import cpu_seconds, row, temporary_root
from bench_framework import warm_worker

from iblnm.config import Settings


def rules_alone(settings: Settings, eids: list[str]) -> tuple[float, float]:
    """CPU seconds per session of evaluating all rules: on values in memory, and from the files."""
    from iblnm.pipeline.checking import evaluate_stored
    from iblnm.pipeline.graph import checked_stages
    from iblnm.storage.store import SessionStore
    from iblnm.validation import evaluate

    store = SessionStore(settings)
    names = {
        "session": {"session_row": "session"},
        "trials": {"trials": "trials", "session_row": "session"},
        "photometry": {"reference": "photometry", "session_row": "session"},
        "photometry_qc": {"qc": "photometry_qc"},
        "preprocessed": {"preprocessed": "preprocessed"},
        "performance": {"performance": "performance"},
        "video_qc": {"video": "video_qc"},
    }
    values = [
        (asset, {name: store.load(source, eid) for name, source in names[asset].items()})
        for eid in eids
        for asset in checked_stages()
    ]

    def in_memory() -> None:
        for asset, inputs in values:
            evaluate(asset, settings, **inputs)

    def from_files() -> None:
        for eid in eids:
            for asset in checked_stages():
                evaluate_stored(store, asset, eid, settings)

    return cpu_seconds(in_memory) / len(eids), cpu_seconds(from_files) / len(eids)


def simulate_sessions(source: Settings, target: Settings, n_sessions: int, repeats: int) -> None:
    """Fill an instance with evaluations of sessions that were never run."""
    import sqlalchemy as db
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions

    rng = random.Random(0)
    table = AssetCheckExecutionsTable
    with open_instance(source) as instance:
        query = db.select(table.c.asset_key, table.c.check_name, table.c.evaluation_event).where(
            table.c.execution_status != "PLANNED", table.c.partition.is_not(None)
        )
        with instance.event_log_storage.index_connection() as connection:
            templates = {(key, name): event for key, name, event in connection.execute(query)}
    eids = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(n_sessions)]
    with open_instance(target) as instance:
        add_sessions(instance, eids)
        for repeat in range(repeats):
            rows = []
            for i, eid in enumerate(eids):
                for (key, name), event in templates.items():
                    failed = rng.random() < 0.03
                    rows.append(
                        {
                            "asset_key": key,
                            "check_name": name,
                            "partition": eid,
                            "run_id": f"{repeat}-{i}",
                            "execution_status": "FAILED" if failed else "SUCCEEDED",
                            "evaluation_event": event,
                            "evaluation_event_timestamp": pd.Timestamp(2024, 5, 1 + repeat),
                        }
                    )
            with instance.event_log_storage.index_connection() as connection:
                connection.execute(db.insert(table), rows)


def simulate_failures(target: Settings, eids: list[str]) -> None:
    """Record a failed run of each session, as the worker does for a damaged signal."""
    import dagster as dg
    from dagster._core.definitions.dependency import NodeHandle
    from dagster._core.events import (
        AssetMaterializationPlannedData,
        DagsterEvent,
        DagsterEventType,
        StepFailureData,
    )
    from dagster._core.events.log import EventLogEntry
    from dagster._core.execution.plan.handle import StepHandle
    from dagster._utils.error import SerializableErrorInfo

    from iblnm_dagster.instance import open_instance

    error = SerializableErrorInfo("555567 bytes on disk, 833351 recorded", [], "OSError")
    with open_instance(target) as instance:
        storage = instance.event_log_storage
        for i, eid in enumerate(eids):
            run_id = f"failed-{i}"
            for kind, step, data in (
                (
                    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
                    None,
                    AssetMaterializationPlannedData(dg.AssetKey("photometry"), partition=eid),
                ),
                (DagsterEventType.STEP_FAILURE, "photometry", StepFailureData(error, None)),
                (DagsterEventType.PIPELINE_FAILURE, None, None),
            ):
                handle = StepHandle(NodeHandle(step, None)) if step else None
                event = DagsterEvent(
                    kind.value, "process_session", handle, event_specific_data=data
                )
                storage.store_event(
                    EventLogEntry(
                        error_info=None,
                        level=10,
                        user_message="",
                        run_id=run_id,
                        timestamp=time.time(),
                        step_key=step,
                        job_name="process_session",
                        dagster_event=event,
                    )
                )


def sessions_like(eids: list[str], template: pd.DataFrame) -> pd.DataFrame:
    """A table of sessions: 50 a mouse, one a day."""
    frame = template.iloc[[i % len(template) for i in range(len(eids))]].reset_index(drop=True)
    start = pd.Timestamp(2024, 1, 1, 10)
    return frame.assign(
        eid=eids,
        subject=[f"mouse-{i // 50}" for i in range(len(eids))],
        start_time=[(start + pd.Timedelta(days=i % 50)).isoformat() for i in range(len(eids))],
    )


def matrix_cost(settings: Settings, template: pd.DataFrame, labels: pd.DataFrame) -> None:
    """Wall seconds of the tables of outcomes."""
    from iblnm.pipeline.qc_summary import summarize
    from iblnm.pipeline.standing import current_errors, current_matrix
    from iblnm.schemas import ERRORS, QC_MATRIX, QC_SUMMARY
    from iblnm.storage.parquet import write_table
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.migration import outcomes_of
    from iblnm_dagster.partitions import known_sessions

    def timed(name: str, limit: str, function):
        start = time.perf_counter()
        value = function()
        row(name, time.perf_counter() - start, "s", limit)
        return value

    with open_instance(settings) as instance:
        eids = known_sessions(instance)
        sessions = sessions_like(eids, template)
        n = f"{len(eids)} sessions"
        outcomes = timed(
            f"outcomes taken from the event log, {n}", "", lambda: outcomes_of(instance, settings)
        )
        matrix = timed(
            "qc_matrix, from the outcomes to the table",
            "<= 2",
            lambda: QC_MATRIX.validate(current_matrix(outcomes, eids, sessions, labels, settings)),
        )
        timed(
            "  written",
            "",
            lambda: write_table(matrix, settings.root / "qc_matrix.pqt", QC_MATRIX),
        )
        timed("qc_summary", "", lambda: QC_SUMMARY.validate(summarize(matrix, sessions)))
        timed(
            "errors",
            "",
            lambda: ERRORS.validate(current_errors(matrix, outcomes)),
        )
        n_failures = len(outcomes.attempts("failed"))
        row(
            "  evaluations, failures",
            len(outcomes.evaluations()),
            "rows",
            f"{n_failures} failures",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=8, help="sessions of the warm worker")
    parser.add_argument("--minutes", type=float, default=60.0, help="length of a session")
    parser.add_argument("--simulated", type=int, default=5000, help="sessions of the matrix")
    parser.add_argument("--failed", type=int, default=2000, help="of them failed")
    parser.add_argument("--evaluations", type=int, default=3, help="per check and session")
    arguments = parser.parse_args()
    from iblnm.demo import build_archive
    from iblnm.pipeline.catalog import sessions_table
    from iblnm.schemas import LABELS
    from iblnm.storage.store import SessionStore

    with temporary_root() as folder:
        truth = build_archive(
            folder / "alf",
            n_subjects=2,
            sessions_per_subject=arguments.sessions // 2,
            duration_s=60 * arguments.minutes,
            defects=False,
        )
        eids = [session["eid"] for session in truth["sessions"]]

        def fresh(name: str) -> Settings:
            return Settings(root=folder / name, one_cache_dir=folder / "alf")

        without = warm_worker(fresh("without"), eids, checks=False)
        checked = fresh("checked")
        with_checks = warm_worker(checked, eids, checks=True)
        row("warm worker without checks", without, "CPU-s", "per session")
        row("warm worker with all checks", with_checks, "CPU-s", "per session")
        row("  cost of the checks", with_checks - without, "CPU-s", "<= 0.6")
        in_memory, from_files = rules_alone(checked, eids)
        row("  the rules alone", in_memory, "CPU-s", "<= 0.05")
        row("  the rules and reading what they judge", from_files, "CPU-s")

        labels = LABELS.empty()
        template = sessions_table(SessionStore(checked), labels)
        many = fresh("many")
        simulate_sessions(checked, many, arguments.simulated, arguments.evaluations)
        from iblnm_dagster.instance import open_instance
        from iblnm_dagster.partitions import known_sessions

        with open_instance(many) as instance:
            failed = known_sessions(instance)[: arguments.failed]
        simulate_failures(many, failed)
        index = Path(many.root, ".dagster", "history", "runs", "index.db")
        row("index of the instance", index.stat().st_size / 2**20, "MiB")
        matrix_cost(many, template, labels)


if __name__ == "__main__":
    main()
