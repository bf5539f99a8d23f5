"""The real recordings, run through the graph once."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from iblnm.config import Settings


@dataclass(frozen=True)
class RealRun:
    """A root with the six real sessions run and the tables made. Read only.

    Parameters
    ----------
    settings : Settings
    outcomes : dict
        By eid, in the order of the runs; a `SessionOutcome` each.
    before : dict
        Modification time and hash of every file of the original tree before the run.
    """

    settings: Settings
    outcomes: dict
    before: dict[Path, tuple[int, str]]


def fingerprint(folder: Path) -> dict[Path, tuple[int, str]]:
    """Modification time and hash of every file."""
    return {
        path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def real_run(real_data, tmp_path_factory) -> RealRun:
    """A copy of the real recordings, each run as a session, and the tables over them."""
    from iblnm_dagster.build import build_defs
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.resources import Archive
    from iblnm_dagster.running.worker import Worker
    from iblnm_dagster.selection import discover_sessions
    from iblnm_dagster.tables import update_tables

    before = fingerprint(real_data / "alf")
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(real_data / "alf", folder / "alf")
    settings = Settings(root=folder / "root", one_cache_dir=folder / "alf")
    with open_instance(settings) as instance:
        worker = Worker(settings, instance)
        eids = discover_sessions(instance, Archive(settings))
        outcomes = {eid: worker.run(eid) for eid in eids}
        update_tables(build_defs(settings), instance)
    return RealRun(settings, outcomes, before)


@pytest.fixture
def real_fingerprint():
    """Function that gives modification time and hash of every file of a folder."""
    return fingerprint
