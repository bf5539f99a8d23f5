"""Where the time of a session in the batch goes. Run: python benchmarks/profile_batch.py

Sessions run in a warm worker with all checks, under the profiler of the standard library, by CPU
time. Printed is the share of the whole of some functions, with all that they call.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time

from _common import row, temporary_root

from iblnm.config import Settings

PARTS = {
    "stages: the science": ("iblnm/pipeline/stage.py", "run"),
    "stages: writing tables, validated": ("iblnm/storage/parquet.py", "write_table"),
    "stages: writing session files": ("iblnm/storage/h5.py", "write_groups"),
    "stages: reading what was stored": ("iblnm/storage/store.py", "load"),
    "rules: evaluating, with reading": ("iblnm/pipeline/checking.py", "evaluate_stored"),
    "outcomes of the root": ("iblnm/pipeline/outcomes.py", "_insert"),
    "Dagster: storing events": ("instance/methods/event_methods.py", "handle_new_event"),
    "Dagster: creating the run, with planned events": ("runs/run_domain.py", "create_run"),
    "Dagster: versions of inputs": ("data_version_cache.py", "_fetch_asset_records"),
}


def profile(settings: Settings, eids: list[str]) -> pstats.Stats:
    """Profile of the sessions but the first, which imports."""
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions
    from iblnm_dagster.running.worker import Worker

    with open_instance(settings) as instance:
        add_sessions(instance, eids)
        worker = Worker(settings, instance, checks=True)
        worker.run(eids[0])
        profiler = cProfile.Profile(time.process_time)
        profiler.enable()
        for eid in eids[1:]:
            worker.run(eid)
        profiler.disable()
    return pstats.Stats(profiler)


def share(stats: pstats.Stats, file: str, function: str) -> float:
    """Share of the whole of a function, with all that it calls [%]."""
    cumulative = sum(
        figures[3]
        for (path, _, name), figures in stats.stats.items()
        if path.endswith(file) and name == function
    )
    return 100 * cumulative / stats.total_tt


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=6)
    parser.add_argument("--top", type=int, default=0, help="also this many functions")
    arguments = parser.parse_args()
    from iblnm.demo import build_archive

    with temporary_root() as root:
        truth = build_archive(
            root / "alf",
            n_subjects=2,
            sessions_per_subject=arguments.sessions // 2,
            duration_s=3600.0,
            defects=False,
        )
        settings = Settings(root=root / "root", one_cache_dir=root / "alf")
        stats = profile(settings, [session["eid"] for session in truth["sessions"]])
        for name, place in PARTS.items():
            row(name, share(stats, *place), "%")
        if arguments.top:
            stats.sort_stats("cumulative").print_stats(arguments.top)


if __name__ == "__main__":
    main()
