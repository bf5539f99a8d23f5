"""Two batches, the sensor's run and three `iblnm catalogue` at once on one root, by two hosts.

Run: python benchmarks/bench_at_once.py. It ends with an error if a session is
missing, a table torn or a process ended by a lock.
"""

from __future__ import annotations

import argparse
import time

from _common import row, temporary_root
from bench.at_once import require_whole, run_at_once

from iblnm.archive.sync_state import open_state
from iblnm.archive.watch import observe, open_source
from iblnm.config import Settings
from iblnm.demo import build_archive
from iblnm_dagster.instance import open_instance
from iblnm_dagster.resources import Archive
from iblnm_dagster.selection import discover_sessions, known_sessions

_SUBJECTS = 6


def main() -> None:
    """Print how long it took, and in how many runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=10.0, help="length of a session")
    parser.add_argument("--limit", type=float, default=3600.0, help="of all of it [s]")
    arguments = parser.parse_args()
    with temporary_root() as folder:
        build_archive(
            folder / "alf",
            n_subjects=_SUBJECTS,
            sessions_per_subject=arguments.sessions // _SUBJECTS,
            duration_s=60 * arguments.minutes,
            defects=False,
        )
        settings = Settings(root=folder / "root", one_cache_dir=folder / "alf")
        with open_instance(settings) as instance:
            discover_sessions(instance, Archive(settings))
            observe(open_source(settings), open_state(settings), settings.sync)
            eids = known_sessions(instance)
            started = time.perf_counter()
            run_at_once(settings, folder, arguments.limit)
            row(f"{len(eids)} sessions, six processes", time.perf_counter() - started, "s")
            row("  runs of sessions", require_whole(settings, instance, eids), "")


if __name__ == "__main__":
    main()
