"""The graph on an archive behind a server: same results, typed failures, no secrets anywhere."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from bench.alyx import AlyxServer, from_archive

from iblnm.config import Settings
from iblnm.demo.alyx.server import USER
from iblnm.pipeline.outcomes import open_outcomes
from iblnm_dagster import session as session_assets
from iblnm_dagster.instance import open_instance
from iblnm_dagster.resources import Archive
from iblnm_dagster.running.worker import BROKEN, FAILED, PASSED, Worker
from iblnm_dagster.selection import discover_sessions

pytestmark = pytest.mark.slow

PASSWORD = "correct-horse-battery-staple"
PATIENCE = {
    "stall_timeout_s": 1.0,
    "deadline_s": 5.0,
    "first_backoff_s": 0.01,
    "first_retry_s": 0.01,
    "max_attempts": 2,
}
# they name where the files are, which differs
PLACES = {"signal_path", "locations_path", "raw_path", "url"}


@pytest.fixture
def server(small_archive):
    cache, _ = small_archive
    with AlyxServer(from_archive(cache), cache, password=PASSWORD) as server:
        yield server


@pytest.fixture(autouse=True)
def _own_home(monkeypatch, tmp_path):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def remote(server, tmp_path, small_archive):
    """Settings that connect to the server; the fiber table is the user's own file."""
    root = tmp_path / "remote"
    (root / "metadata").mkdir(parents=True)
    (root / "metadata" / "fibers.csv").write_bytes((small_archive[0] / "fibers.csv").read_bytes())
    return Settings(
        root=root,
        one_mode="remote",
        alyx_url=server.url,
        alyx_user=USER,
        alyx_password=PASSWORD,
        remote=PATIENCE,
    )


def run(settings, eids, server=None, faults=()):
    """Outcome of each session, and what failed; faults begin once the sessions are known."""
    with open_instance(settings) as instance:
        discover_sessions(instance, Archive(settings))
        worker = Worker(settings, instance)
        for match, kind, times in faults:
            server.faults.add(match, kind, times=times)
        outcomes = {eid: worker.run(eid) for eid in eids}
        return outcomes, list(open_outcomes(settings).attempts("failed").itertuples())


def h5_content(path):
    content = {}

    def keep(name, item):
        for key, value in item.attrs.items():
            if key not in ("DIMENSION_LIST", "REFERENCE_LIST") and key not in PLACES:
                content[f"{name}@{key}"] = np.asarray(value)
        if isinstance(item, h5py.Dataset):
            content[name] = np.asarray(item[()])

    with h5py.File(path) as file:
        file.visititems(keep)
    return content


def test_same_results_as_in_local_mode(server, remote, small_archive, tmp_path):
    cache, truth = small_archive
    eids = [truth["sessions"][0]["eid"]]
    local = Settings(root=tmp_path / "local", one_cache_dir=cache)
    for settings in (local, remote):
        outcomes, failures = run(settings, eids)
        assert {outcome.status for outcome in outcomes.values()} == {PASSED}, outcomes
        assert failures == []
    stored = sorted(
        path.relative_to(local.root)
        for path in local.root.rglob("*")
        if path.suffix in (".h5", ".pqt") and path.name.partition(".")[0] in eids
    )
    assert len(stored) == len(["h5", "session", "photometry", "performance", "video"])
    for path in stored:
        if path.suffix == ".h5":
            ours, theirs = h5_content(remote.root / path), h5_content(local.root / path)
            assert ours.keys() == theirs.keys()
            assert len(ours) > 50
            for name, value in ours.items():
                np.testing.assert_array_equal(value, theirs[name], err_msg=name)
            continue
        ours, theirs = (pd.read_parquet(root / path) for root in (remote.root, local.root))
        shared = ours.columns.difference(PLACES)
        pd.testing.assert_frame_equal(ours[shared], theirs[shared])
        assert ours.columns.equals(theirs.columns)
        metadata = [pq.read_schema(root / path).metadata for root in (remote.root, local.root)]
        assert metadata[0][b"iblnm"] == metadata[1][b"iblnm"]
    assert list(Path(os.environ["HOME"]).rglob("*")) == []
    # what was fetched is not fetched again, and one login is enough for a process
    server.requests.clear()
    outcomes, _ = run(remote, eids)
    assert {outcome.status for outcome in outcomes.values()} == {PASSED}
    paths = [request.path for request in server.requests]
    assert not [path for path in paths if path.startswith("/data/")]
    assert paths.count("/auth-token") == 2  # the listing above, and the worker


def test_provenance_names_revision_size_and_hash(server, remote, small_archive):
    eid = small_archive[1]["sessions"][0]["eid"]
    name = "alf/photometry/photometry.signal.pqt"
    session = server.model.sessions[eid]
    dataset = next(item for item in session.datasets if item.rel_path == name)
    content = (server.files_dir / session.path / name).read_bytes()
    server.model.add_dataset(eid, name, content, revision="2024-05-05")
    run(remote, [eid])
    path = remote.data_dir / "photometry" / f"{eid}.pqt"
    assert pd.read_parquet(path)["signal_revision"].unique().tolist() == ["2024-05-05"]
    origin = pq.read_schema(path).metadata[b"iblnm"].decode()
    assert f'"hash": "{dataset.hash}"' in origin
    assert '"revision": "2024-05-05"' in origin
    assert f'"size": {len(content)}' in origin
    names = [entry["name"] for entry in json.loads(origin)["inputs"]]
    assert sum(entry.endswith("photometry.signal.pqt") for entry in names) == 1


def test_failures_are_typed(server, remote, small_archive):
    eids = [session["eid"] for session in small_archive[1]["sessions"]]
    faults = [
        (f"GET /sessions/{eids[0]}", 401, None),
        (f"GET /sessions/{eids[1]}", 403, None),
        (f"GET /sessions/{eids[2]}", 500, None),
        (f"{server.model.sessions[eids[3]].path}.*wheel.position", "wrong_hash", None),
    ]
    outcomes, failures = run(remote, eids, server, faults)
    assert [outcomes[eid].status for eid in eids] == [BROKEN, BROKEN, BROKEN, FAILED]
    found = {failure.eid: failure for failure in failures}
    assert [found[eid].error_type for eid in eids] == [
        "AuthenticationError",
        "RemoteError",
        "ServerError",
        "DownloadIntegrityError",
    ]
    assert [found[eid].asset for eid in eids] == ["session"] * 3 + ["wheel_velocity"]
    assert "check IBLNM_ALYX_USER and IBLNM_ALYX_PASSWORD" in found[eids[0]].message
    assert found[eids[1]].message.startswith("GET /sessions/")
    assert "also after a fresh download" in found[eids[3]].message
    assert all(failure.error_type in failure.traceback for failure in failures)
    asked = [request.path for request in server.requests if request.fault]
    rounds = 1 + session_assets.MAX_RETRIES
    assert asked.count(f"/sessions/{eids[2]}") == rounds * PATIENCE["max_attempts"]
    assert asked.count(f"/sessions/{eids[1]}") == 1


def test_a_fault_that_passes_is_not_seen(server, remote, small_archive):
    eid = small_archive[1]["sessions"][0]["eid"]
    faults = [
        (match, kind, 1)
        for match in ("GET /sessions/", "GET /subjects/", "GET /data/")
        for kind in (503, "reset", "truncated")
    ]
    outcomes, failures = run(remote, [eid], server, faults)
    assert outcomes[eid].status == PASSED
    assert failures == []


def everything_written(folder):
    """Text of all files below a folder, compressed ones unpacked."""
    for path in filter(Path.is_file, folder.rglob("*")):
        yield path, path.read_bytes().decode("latin-1")
        if path.suffix == ".pqt":
            table = pq.read_table(path)
            yield path, f"{table.schema.metadata} {table.to_pylist()}"
        if path.suffix == ".h5":
            yield path, str(h5_content(path))


def test_no_secret_is_written_or_said(server, remote, small_archive, catalog, capfd, caplog):
    eids = [session["eid"] for session in small_archive[1]["sessions"]]
    caplog.set_level(logging.DEBUG)
    tokens = set()
    said = []
    with open_instance(remote) as instance:
        discover_sessions(instance, Archive(remote))
        worker = Worker(remote, instance)
        for name in ("one", "ibllib", "urllib3", "requests"):
            caplog.set_level(logging.DEBUG, logger=name)
        for eid, kind in zip(eids, (None, 401, 403, 500), strict=True):
            server.faults.clear()
            if kind is not None:
                server.faults.add("GET /(sessions|data)/", kind, times=None)
            outcome = worker.run(eid)
            assert (outcome.status == PASSED) == (kind is None)
            said += outcome.problems
            tokens |= server._tokens
        server.faults.clear()
        server.password = "changed"
        server.revoke_tokens()
        said += worker.run(eids[1]).problems
        server.password = PASSWORD
        tags = [dict(run.tags) for run in instance.get_runs()]
        catalog(remote, instance)
    environment = {**os.environ, **server.environment(), "IBLNM_ROOT": str(remote.root)}
    (remote.root / "eids.txt").write_text(eids[2])
    batch = ["batch", "--workers", "1", "--no-catalogue", "--eids", "eids.txt"]
    for password, arguments in ((PASSWORD, batch), ("wrong-" + PASSWORD, ["sync"])):
        done = subprocess.run(
            [sys.executable, "-m", "iblnm_dagster.cli", *arguments],
            env={**environment, "IBLNM_ALYX_PASSWORD": password},
            cwd=remote.root,
            capture_output=True,
            text=True,
        )
        assert (done.returncode == 0) == (password == PASSWORD), done
        said += [done.stdout, done.stderr]
    assert "check IBLNM_ALYX_USER and IBLNM_ALYX_PASSWORD" in said[-1]
    tokens |= server._tokens
    heard = capfd.readouterr()
    texts = [("problems", " ".join(said)), ("tags", str(tags)), ("log", caplog.text)]
    texts += [("stdout", heard.out), ("stderr", heard.err)]
    texts += list(everything_written(remote.root))
    assert len(tokens) >= 3
    assert any(path.suffix == ".db" for path, _ in texts if isinstance(path, Path))
    assert "urllib3" in caplog.text
    for where, text in texts:
        assert PASSWORD not in text, where
        assert not [token for token in tokens if token in text], where
