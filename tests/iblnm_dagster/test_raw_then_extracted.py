"""A session run on the day of its recording, and again when the official extraction arrives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.raw_session import RawArchive
from click.testing import CliRunner

from iblnm.config import Settings, get_settings
from iblnm.pipeline.outcomes import open_outcomes
from iblnm.storage.h5 import read_provenance
from iblnm.storage.store import SessionStore
from iblnm_dagster.cli import cli
from iblnm_dagster.instance import open_instance
from iblnm_dagster.resources import Archive
from iblnm_dagster.running.worker import PASSED, Worker
from iblnm_dagster.selection import changed_sessions, discover_sessions

pytestmark = pytest.mark.slow

EXTRACTED_HERE = ("trials", "wheel_velocity", "preprocessed", "responses")


@pytest.fixture
def day(tmp_path, monkeypatch):
    """Archive and settings; nothing is extracted yet."""
    archive = RawArchive(tmp_path / "alf")
    monkeypatch.setenv("IBLNM_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("IBLNM_ONE_CACHE_DIR", str(archive.folder))
    get_settings.cache_clear()
    yield archive, Settings(root=tmp_path / "root", one_cache_dir=archive.folder)
    get_settings.cache_clear()


def sources(settings: Settings, eid: str) -> dict[str, set[str]]:
    """Who extracted what each asset was made of, as it is stored."""
    store = SessionStore(settings)
    found = {}
    for name in EXTRACTED_HERE:
        value = store.load(name, eid)
        values = value.values() if isinstance(value, dict) else [value]
        found[name] = {data.attrs["source"] for data in values}
    for name in ("photometry", "photometry_qc", "performance"):
        found[name] = set(store.load(name, eid)["source"])
    return found


def test_the_next_batch_takes_the_official_extraction_and_leaves_nothing_of_ours(day):
    archive, settings = day
    run = CliRunner().invoke
    first = run(cli, ["batch", "--workers", "1"])
    assert first.exit_code == 0, first.output
    assert set(map(frozenset, sources(settings, archive.eid).values())) == {frozenset({"raw"})}
    matrix = pd.read_parquet(settings.metadata_dir / "qc_matrix.pqt").set_index("check")
    assert matrix.loc["missing_extracted_data", "outcome"] == "warn"
    assert matrix.loc["imprecise_synchronization", "outcome"] == "pass"
    for name in ("qc_photometry", "performance", "trial_timing"):
        folder = settings.data_dir
        assert set(pd.read_parquet(folder / f"{name}.pqt")["source"]) == {"raw"}
    assert "0 to run" in run(cli, ["batch", "--workers", "1"]).output

    archive.extract()
    get_settings.cache_clear()
    second = run(cli, ["batch", "--workers", "1"])
    assert second.exit_code == 0, second.output
    assert "0 new sessions; 1 to run" in second.output
    found = sources(settings, archive.eid)
    assert set(map(frozenset, found.values())) == {frozenset({"extracted"})}
    store = SessionStore(settings)
    trials = store.load("trials", archive.eid)
    np.testing.assert_array_equal(trials["stimOn_times"], archive.draft.trials["stimOn_times"])
    path = store.h5_path(archive.eid)
    for group in ("trials", "wheel", "photometry/qc", "photometry/preprocessed"):
        names = [item["name"] for item in read_provenance(path, group).inputs]
        assert names
        assert not [name for name in names if "raw" in name], group
    reference = store.load("photometry", archive.eid)
    assert reference["sync_residual_s"].isna().all()
    assert reference["clock"].eq("session").all()
    matrix = pd.read_parquet(settings.metadata_dir / "qc_matrix.pqt").set_index("check")
    assert matrix.loc["missing_extracted_data", "outcome"] == "pass"
    assert matrix.loc["imprecise_synchronization", "outcome"] == "not evaluated"
    for name in ("qc_photometry", "performance", "trial_timing"):
        assert set(pd.read_parquet(settings.data_dir / f"{name}.pqt")["source"]) == {"extracted"}


def test_what_the_extraction_does_not_have_is_taken_back(day):
    archive, settings = day
    with open_instance(settings) as instance:
        discover_sessions(instance, Archive(settings))
        worker = Worker(settings, instance)
        assert worker.run(archive.eid).status == PASSED
        store = SessionStore(settings)
        assert store.load("wheel_velocity", archive.eid) is not None
        assert store.load("responses", archive.eid)
        # the extraction arrives without the signal, and the raw files were put away
        archive.extract()
        keep = archive.listed["rel_path"].str.startswith(("alf/_ibl_trials", "alf/task", "_ibl"))
        keep &= ~archive.listed["rel_path"].str.contains("wheel")
        archive.listed = archive.listed[keep]
        archive.register_anew()
        discover_sessions(instance, Archive(settings))
        assert changed_sessions(instance, settings) == [archive.eid]
        assert Worker(settings, instance).run(archive.eid).status == PASSED
    assert store.load("trials", archive.eid).attrs["source"] == "extracted"
    for name in ("wheel_velocity", "photometry", "photometry_qc", "preprocessed", "responses"):
        assert store.load(name, archive.eid) is None, name
    attempts = open_outcomes(settings).attempts("no data")
    assert {"wheel_velocity", "photometry"} <= set(attempts["asset"])
