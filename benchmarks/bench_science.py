"""Cost of the science of one session, without the framework.

Run: python benchmarks/bench_science.py

A simulated session of 60 minutes, two fibers, two bands and about 800 trials, and the real
recordings when IBLNM_REAL_DATA is set. Every stage is called as the assets call it, after
one call that pays for imports.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from _common import row, temporary_root

from iblnm.config import Settings


def stage_costs(settings: Settings, eid: str) -> dict[str, float]:
    """CPU seconds of each stage of one session."""
    from iblnm.archive.connection import connect
    from iblnm.data import stages
    from iblnm.io.signal_file import forget_signal_file

    one = connect(settings)
    costs: dict[str, float] = {}

    def timed(name, function, *arguments):
        start = time.process_time()
        value = function(*arguments).value
        costs[name] = time.process_time() - start
        return value

    for _ in range(3):
        forget_signal_file()
        row_of = timed("session", stages.session_metadata, one, eid, settings).iloc[0]
        trials = timed("trials", stages.trials_table, one, row_of, settings)
        reference = timed("photometry", stages.photometry_reference, one, row_of, settings)
        if reference is not None:
            timed("photometry_qc", stages.photometry_quality, reference, settings)
            signal = timed("preprocessed", stages.preprocessed_signal, reference, settings)
            timed("responses", stages.peri_event_responses, signal, trials, settings)
        timed("performance", stages.task_performance, trials, row_of, settings)
        timed("wheel_velocity", stages.wheel_velocity, one, row_of, trials, settings)
        timed("video_qc", stages.video_quality, one, row_of, settings)
    return costs


def report(name: str, costs: dict[str, float], limit: str = "") -> None:
    """Print the stages and their sum."""
    for stage, cost in costs.items():
        row(f"  {stage}", cost, "CPU-s")
    row(f"{name}: all stages", sum(costs.values()), "CPU-s", limit)


def main() -> None:
    from iblnm.demo import build_archive

    with temporary_root() as folder:
        truth = build_archive(
            folder / "alf",
            n_subjects=8,
            sessions_per_subject=3,
            duration_s=3600.0,
            defects=False,
        )
        sessions = [s for s in truth["sessions"] if len(s["recording_names"]) == 2]
        session = max(sessions, key=lambda s: (s["has_isosbestic"], s["n_trials"]))
        settings = Settings(root=folder / "root", one_cache_dir=folder / "alf")
        costs = stage_costs(settings, session["eid"])
        report(f"simulated, {session['n_trials']} trials, two fibers", costs, "<= 0.25")
    real = os.environ.get("IBLNM_REAL_DATA")
    if real:
        settings = Settings(root=Path(real), one_cache_dir=Path(real) / "alf")
        report("CQ002", stage_costs(settings, "96268231-87d4-3791-b39f-6e3059cfa72e"), "<= 0.25")


if __name__ == "__main__":
    main()
