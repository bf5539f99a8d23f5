"""Command line of the demo server."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    result = argparse.ArgumentParser(
        prog="python -m iblnm.demo.alyx",
        description="Serve an archive as an Alyx database would, on 127.0.0.1, until Ctrl-C. "
        "The settings that connect to it are printed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    result.add_argument(
        "--archive", type=Path, default=None, help="folder; without it, the demo archive"
    )
    result.add_argument("--port", type=int, default=0, help="0 takes a free one")
    return result


def main(arguments: Sequence[str] | None = None, *, until: threading.Event | None = None) -> int:
    """Serve until the event is set, or Ctrl-C."""
    given = parser().parse_args(arguments)
    from iblnm.demo.alyx.build import from_archive
    from iblnm.demo.alyx.server import AlyxServer

    folder = given.archive
    if folder is None:
        from iblnm.config import get_settings
        from iblnm.demo.archive import ensure_archive

        settings = get_settings()
        folder = ensure_archive(settings.demo_dir, seed=settings.demo_seed)
    with AlyxServer(from_archive(folder), folder, port=given.port) as server:
        for name, value in server.environment().items():
            print(f"{name}={value}", flush=True)
        try:
            (until or threading.Event()).wait()
        except KeyboardInterrupt:
            print("stopped")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
