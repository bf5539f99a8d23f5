"""Command line of the simulated archive."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from iblnm.demo.defect import N_SUBJECTS, SESSIONS_PER_SUBJECT, SMALLEST
from iblnm.errors import ArchiveMismatchError


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    result = argparse.ArgumentParser(
        prog="python -m iblnm.demo",
        description="Build a simulated archive of fiber-photometry sessions: an ALF tree with "
        "ONE tables, Alyx records, a fiber table and the truth behind the data (truth.json). "
        "If a complete archive with the same parameters is there, nothing is done.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    result.add_argument(
        "--out", type=Path, default=None, help="folder; without it, that of the settings"
    )
    result.add_argument("--seed", type=int, default=0, help="same seed, same files")
    result.add_argument(
        "--subjects",
        type=int,
        default=N_SUBJECTS,
        help=f"number of mice; with faults at least {SMALLEST}",
    )
    result.add_argument(
        "--sessions", type=int, default=SESSIONS_PER_SUBJECT, help="regular sessions per mouse"
    )
    result.add_argument("--duration", type=float, default=1500.0, help="length of a task [s]")
    result.add_argument(
        "--no-defects", action="store_true", help="plant no faults, only regular sessions"
    )
    result.add_argument(
        "--effects",
        choices=("realistic", "clear"),
        default="realistic",
        help="responses such as real recordings have, or strong ones that are the same everywhere",
    )
    result.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the archive; 0 if it is there at the end."""
    given = parser().parse_args(arguments)
    from iblnm.demo.archive import ensure_archive

    out = given.out
    if out is None:
        from iblnm.config import get_settings

        out = get_settings().demo_dir

    def show(done: int, total: int) -> None:
        print(f"\r{done}/{total} sessions", end="\n" if done == total else "", flush=True)

    try:
        folder = ensure_archive(
            out,
            seed=given.seed,
            n_subjects=given.subjects,
            sessions_per_subject=given.sessions,
            duration_s=given.duration,
            defects=not given.no_defects,
            effects=given.effects,
            progress=None if given.quiet or not sys.stdout.isatty() else show,
        )
    except (ArchiveMismatchError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not given.quiet:
        print(f"archive: {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
