"""A processed archive with every planted fault, and single sessions that a test may change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from dagster import DagsterInstance

from iblnm.config import Settings


@dataclass(frozen=True)
class Processed:
    """A root with all its sessions run and its tables made. Read only."""

    settings: Settings
    truth: dict
    instance: DagsterInstance

    def table(self, name: str) -> pd.DataFrame:
        """A table of the catalog, by the stem of its file under ``metadata/``."""
        return pd.read_parquet(self.settings.metadata_dir / f"{name}.pqt")


@pytest.fixture(scope="session")
def faulty(tmp_path_factory) -> Iterator[Processed]:
    """The smallest archive with every planted fault (78 sessions), processed."""
    from iblnm.demo import build_archive
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions
    from iblnm_dagster.running.batch import run_batch

    folder = tmp_path_factory.mktemp("faulty")
    truth = build_archive(folder / "alf", n_subjects=10, sessions_per_subject=4, duration_s=1400.0)
    settings = Settings(root=folder / "root", one_cache_dir=folder / "alf")
    with open_instance(settings) as instance:
        eids = add_sessions(instance, [session["eid"] for session in truth["sessions"]])
        report = run_batch(settings, eids, workers=2, progress=False)
        broken = [outcome for outcome in report.outcomes if outcome.status == "broken"]
        assert not broken, broken
        update_catalogue(settings, instance)
        yield Processed(settings, truth, instance)


def update_catalogue(settings: Settings, instance: DagsterInstance):
    """Make the tables over all sessions, with their checks."""
    from iblnm_dagster.build import build_defs
    from iblnm_dagster.tables import update_tables

    return update_tables(build_defs(settings), instance)


@pytest.fixture
def catalog():
    """Function that makes the tables over all sessions."""
    return update_catalogue


@pytest.fixture
def settings(writable_archive, tmp_path) -> Settings:
    """Settings with a small archive that a test may change, and a root of its own."""
    return Settings(root=tmp_path / "root", one_cache_dir=writable_archive)


@pytest.fixture
def instance(settings) -> Iterator[DagsterInstance]:
    """The instance of that root; it knows the archive's sessions."""
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.resources import Archive
    from iblnm_dagster.selection import discover_sessions

    with open_instance(settings) as instance:
        discover_sessions(instance, Archive(settings))
        yield instance


@pytest.fixture
def register():
    """Function that gives a changed file its new size and hash in the tables of ONE."""

    def update(cache: Path, path: Path) -> None:
        from iblutil.io import parquet

        table, metadata = parquet.load(cache / "datasets.pqt")
        session = next(p for p in path.parents if p.name.isdigit() and len(p.name) == 3)
        sessions = parquet.load(cache / "sessions.pqt")[0]
        same = (sessions["subject"] == session.parent.parent.name) & (
            sessions["date"].astype(str) == session.parent.name
        )
        eid = sessions.index[same & (sessions["number"] == int(session.name))][0]
        row = (table.index.get_level_values("eid") == str(eid)) & (
            table["rel_path"] == path.relative_to(session).as_posix()
        )
        assert row.sum() == 1
        table.loc[row, "file_size"] = path.stat().st_size
        table.loc[row, "hash"] = None
        parquet.save(cache / "datasets.pqt", table, metadata)

    return update
