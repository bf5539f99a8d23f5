"""The chain of a session, through Dagster, on a real ONE in local mode."""

from __future__ import annotations

import dagster as dg
import h5py
import numpy as np
import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.pipeline.graph import stage_names
from iblnm.schemas import TABLES
from iblnm.storage.h5 import read_provenance
from iblnm.storage.parquet import read_provenance as table_provenance
from iblnm.storage.store import SessionStore
from iblnm_dagster.assets import CATALOG_ASSETS
from iblnm_dagster.build import build_defs, build_resources
from iblnm_dagster.instance import open_instance
from iblnm_dagster.jobs import CATALOG_JOB
from iblnm_dagster.partitions import add_sessions
from iblnm_dagster.running.worker import PASSED, Worker
from iblnm_dagster.session import build_session_assets

pytestmark = pytest.mark.slow

NAMES = stage_names()


@pytest.fixture(scope="module")
def processed(small_archive, tmp_path_factory):
    """All sessions of the small archive, run by a worker; settings, truth, materializations."""
    cache, truth = small_archive
    settings = Settings(root=tmp_path_factory.mktemp("processed"), one_cache_dir=cache)
    with open_instance(settings) as instance:
        add_sessions(instance, [session["eid"] for session in truth["sessions"]])
        worker = Worker(settings, instance)
        outcomes = [worker.run(session["eid"]) for session in truth["sessions"]]
        assert {outcome.status for outcome in outcomes} == {PASSED}
        build_defs(settings).resolve_job_def(CATALOG_JOB).execute_in_process(instance=instance)
        records = {
            name: instance.fetch_materializations(dg.AssetKey(name), limit=1).records[0]
            for name in NAMES
        }
    return settings, truth, records


@pytest.fixture(scope="module")
def store(processed):
    return SessionStore(processed[0])


def test_in_memory_it_stores_nothing(small_archive, tmp_path):
    cache, truth = small_archive
    eid = truth["sessions"][0]["eid"]
    settings = Settings(root=tmp_path, one_cache_dir=cache)
    resources = build_resources(settings)
    instance = dg.DagsterInstance.ephemeral()
    add_sessions(instance, [eid])
    result = dg.materialize_to_memory(
        build_session_assets(settings),
        partition_key=eid,
        instance=instance,
        resources={name: resources[name] for name in ("settings", "archive", "store")},
    )
    assert result.success
    (responses,) = result.asset_value("responses").values()
    assert responses.sizes["trial"] == truth["sessions"][0]["n_trials"]
    assert result.asset_value("performance")["n_trials"].tolist() == [responses.sizes["trial"]]
    assert not (tmp_path / "data" / "sessions").exists()


def test_the_stored_signal_is_standardized_and_can_be_undone(processed, store):
    for session in processed[1]["sessions"]:
        for recording in store.load("preprocessed", session["eid"]).values():
            signal = recording["signal"].to_numpy()
            signal = signal[np.isfinite(signal)]
            assert signal.mean() == pytest.approx(0, abs=1e-9)
            assert signal.std() == pytest.approx(1, abs=1e-9)
            undone = recording["signal"] * recording.attrs["sd"] + recording.attrs["mean"]
            np.testing.assert_allclose(undone, recording["dff"], atol=1e-12)


def test_planted_truth_comes_through(processed, store):
    for session in processed[1]["sessions"]:
        quality = store.load("photometry_qc", session["eid"])
        taus = quality.loc[quality["band"] == "GCaMP", "bleaching_tau"].to_numpy()
        planted = [fiber["bleaching_tau_s"] for fiber in session["photometry"].values()]
        np.testing.assert_allclose(taus, planted, rtol=0.35)
        trials = store.load("trials", session["eid"])
        assert len(trials) == session["n_trials"]
        performance = store.load("performance", session["eid"]).iloc[0]
        chose = trials["choice"] != 0
        correct = (trials["feedbackType"] == 1)[chose].mean()
        assert performance["fraction_correct"] == pytest.approx(correct)
        for responses in store.load("responses", session["eid"]).values():
            assert responses.shape == (3, session["n_trials"], 60)
        velocity = store.load("wheel_velocity", session["eid"])
        moved = np.abs(velocity.to_numpy())[chose.to_numpy()]
        assert np.nanmedian(np.nanmax(moved, axis=1)) > 1


def test_every_output_says_what_it_was_made_from(processed, store):
    settings, truth, records = processed
    eid = truth["sessions"][0]["eid"]
    origin = read_provenance(store.h5_path(eid), "trials")
    assert set(origin.software) == {"iblnm", "ibl-photometry", "ibllib", "ONE-api"}
    (trials,) = origin.inputs
    assert trials["name"].endswith("_ibl_trials.table.pqt")
    assert trials["size"] > 1000
    assert len(trials["hash"]) == 32
    table = table_provenance(settings.root / "data" / "photometry" / f"{eid}.pqt")
    assert {entry["name"].split("/")[-1] for entry in table.inputs} == {
        "photometry.signal.pqt",
        "photometryROI.locations.pqt",
    }
    shown = records["trials"].event_log_entry.asset_materialization.metadata
    assert shown["provenance"].value["inputs"]
    assert shown["trials"].value > 90


def test_the_session_file_has_all_groups(processed, store):
    session = processed[1]["sessions"][0]
    with h5py.File(store.h5_path(session["eid"])) as file:
        assert {"metadata", "trials", "photometry", "wheel"} <= set(file)
        name = session["recording_names"][0]
        assert set(file["photometry"][name]) == {"preprocessed", "qc", "responses"}
        assert {"times", "signal", "dff"} <= set(file[f"photometry/{name}/preprocessed"])
        assert file[f"photometry/{name}/preprocessed"].attrs["fs"] == 30


@pytest.mark.parametrize(
    ("table", "file", "rows_per_session"),
    [
        ("performance", "data/performance.pqt", 1),
        ("video", "metadata/video.pqt", 1),
        ("trial_timing", "data/trial_timing.pqt", None),
        ("qc_photometry", "data/qc_photometry.pqt", None),
    ],
)
def test_tables_over_all_sessions_are_valid(processed, table, file, rows_per_session):
    settings, truth, _ = processed
    frame = pd.read_parquet(settings.root / file)
    TABLES[table].validate(frame)
    assert set(frame["eid"]) == {session["eid"] for session in truth["sessions"]}
    if rows_per_session:
        assert len(frame) == rows_per_session * len(truth["sessions"])
    elif table == "trial_timing":
        assert len(frame) == sum(session["n_trials"] for session in truth["sessions"])


def test_sessions_are_numbered_and_their_users_are_hashed(processed):
    settings, truth, _ = processed
    frame = pd.read_parquet(settings.root / "metadata" / "sessions.pqt")
    assert frame["start_time"].is_monotonic_increasing
    assert frame.groupby("subject")["session_n"].apply(list).tolist() == [[1.0, 2.0]] * 2
    assert all(len(user) == 12 for users in frame["users"] for user in users)
    assert len(frame) == len(truth["sessions"])


def test_one_asset_can_be_made_again_alone(processed, store):
    settings, truth, _ = processed
    eid = truth["sessions"][0]["eid"]
    before = store.load("responses", eid)
    with open_instance(settings) as instance:
        outcome = Worker(settings, instance, assets=("responses",)).run(eid)
    assert outcome.status == PASSED
    for name, responses in store.load("responses", eid).items():
        np.testing.assert_array_equal(responses, before[name])


def test_catalog_assets_are_unpartitioned():
    assert all(asset.partitions_def is None for asset in CATALOG_ASSETS)
