"""Connection, datasets, records and the fiber table, local and against a stand-in for Alyx."""

import hashlib
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import iblnm.io
from iblnm.archive import connect, dataset_path, list_session_datasets
from iblnm.archive import connection as connection_module
from iblnm.archive.datasets import find_dataset
from iblnm.archive.records import parse_json, records_of
from iblnm.archive.sessions import fetch_session, list_sessions
from iblnm.config import Settings
from iblnm.errors import (
    DownloadIntegrityError,
    IblnmError,
    MalformedFileError,
    MissingFileError,
    UnknownSessionError,
    UnreadableFileError,
)
from iblnm.io import read_fibers
from iblnm.io.fibers import fibers_path, side_of, subject_fibers

TRIALS = "alf/task_00/_ibl_trials.table.pqt"


# connection


@pytest.mark.slow
def test_package_imports_nothing_heavy():
    code = (
        "import sys, iblnm.archive, iblnm.io, iblnm.storage\n"
        "heavy = {'one', 'h5py', 'xarray', 'pyarrow', 'brainbox', 'iblphotometry', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules) - set(PANDAS)))"
    )
    code = f"import sys, pandas; PANDAS = set(sys.modules)\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="nothing"):
        iblnm.io.nothing  # noqa: B018
    assert {"fetch_session", "get_brain_region", "_get_default_connection"} <= set(dir(iblnm.io))
    for name in iblnm.io.__all__:
        assert callable(getattr(iblnm.io, name))


def test_default_connection_follows_the_settings(tree, files, monkeypatch):
    eid = tree.add(files)
    tree.write_tables()
    monkeypatch.setattr(connection_module, "get_settings", lambda: tree.settings)
    one = iblnm.io._get_default_connection()
    assert one.mode == "local"
    assert [str(found) for found in one.search()] == [eid]


def test_demo_archive_is_built_when_no_folder_is_set(tree, files, monkeypatch):
    tree.add(files)
    calls = []

    def ensure_demo(settings):
        calls.append((settings.cache_dir, settings.demo_seed))
        tree.root.rename(settings.cache_dir)

    tree.write_tables()
    demo = types.ModuleType("iblnm.demo")
    demo.ensure_demo = ensure_demo
    monkeypatch.setitem(sys.modules, "iblnm.demo", demo)
    monkeypatch.setattr(iblnm, "demo", demo, raising=False)
    root = tree.root.parent
    one = connect(Settings(root=root, demo_seed=5, _env_file=None))
    assert calls == [(root / ".demo", 5)]
    assert len(one.search()) == 1


def test_folders_that_are_no_cache(tree, files):
    with pytest.raises(MissingFileError, match="this folder does not exist"):
        connect(tree.settings)
    tree.add(files)
    tree.write_tables()
    path = tree.root / "sessions.pqt"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UnreadableFileError, match="ONE tables"):
        connect(tree.settings)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    pd.DataFrame({"a": [1]}).to_parquet(tree.root / "datasets.pqt")
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        connect(tree.settings)


def test_remote_needs_address_and_credentials(tmp_path):
    remote = {"one_mode": "remote", "_env_file": None, "root": tmp_path}
    with pytest.raises(IblnmError, match="IBLNM_ALYX_URL"):
        connect(Settings(**remote))
    remote["alyx_url"] = "http://127.0.0.1:9"
    with pytest.raises(IblnmError, match="IBLNM_ALYX_PASSWORD"):
        connect(Settings(**remote))
    token = tmp_path / "token"
    with pytest.raises(MissingFileError, match="token"):
        connect(Settings(**remote, alyx_token_file=token))
    token.write_text(" \n")
    with pytest.raises(UnreadableFileError, match="empty"):
        connect(Settings(**remote, alyx_token_file=token))


# datasets


def test_list_has_names_revisions_sizes_and_hashes(tree):
    eid = tree.add({"alf/#2024-01-02#/a.b.npy": b"123", "alf/a.b.npy": b"1"})
    listed = list_session_datasets(tree.open(), eid)
    assert listed["rel_path"].tolist() == ["alf/#2024-01-02#/a.b.npy", "alf/a.b.npy"]
    assert listed["name"].tolist() == ["alf/a.b.npy"] * 2
    assert listed["revision"].tolist() == ["2024-01-02", ""]
    assert listed["size"].tolist() == [3, 1]
    assert listed["hash"][0] == hashlib.md5(b"123").hexdigest()
    assert listed["size"].dtype == "Int64"


def test_answers_are_shared_but_can_be_refreshed(tree, files, monkeypatch):
    eid = tree.add(files)
    one = tree.open()
    calls = []
    original = one.list_datasets
    monkeypatch.setattr(one, "list_datasets", lambda *a, **k: calls.append(a) or original(*a, **k))
    for _ in range(3):
        assert find_dataset(one, eid, TRIALS).size > 0
    assert len(calls) == 1
    list_session_datasets(one, eid, refresh=True)
    assert len(calls) == 2


def test_session_without_datasets_and_unknown_session(tree, files):
    tree.add(files)
    empty = tree.add({}, number=2)
    one = tree.open()
    assert list_session_datasets(one, empty).empty
    assert dataset_path(one, empty, "*") is None
    with pytest.raises(UnknownSessionError):
        dataset_path(one, "96268231-87d4-3791-b39f-6e3059cfa72e", "*")


def test_size_and_hash_are_verified_locally(tree, files):
    eid = tree.add(files)
    one = tree.open()
    path = dataset_path(one, eid, TRIALS)
    content = path.read_bytes()
    path.write_bytes(content + b"x")
    with pytest.raises(
        UnreadableFileError, match=rf"{len(content) + 1} bytes on disk, {len(content)}"
    ):
        dataset_path(one, eid, TRIALS)
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(UnreadableFileError, match=r"md5 .* on disk"):
        dataset_path(one, eid, TRIALS)
    assert dataset_path(one, eid, TRIALS, verify_hash=False) == path


def test_hash_is_computed_once_while_the_file_stays(tree, files, monkeypatch):
    eid = tree.add(files)
    one = tree.open()
    path = dataset_path(one, eid, TRIALS)
    monkeypatch.setattr(hashlib, "md5", None)
    assert dataset_path(one, eid, TRIALS) == path


def test_verified_paths_are_cheap(tree, files):
    eid = tree.add(files)
    one = tree.open()
    dataset_path(one, eid, TRIALS)
    start = time.process_time()
    for _ in range(100):
        dataset_path(one, eid, TRIALS)
    assert time.process_time() - start < 0.2


class FakeAlyx:
    def __init__(self, sessions=(), subjects=(), insertions=(), trajectories=()):
        self.sessions = {s["id"]: s for s in sessions}
        self.subjects = {s["nickname"]: s for s in subjects}
        self.insertions, self.trajectories_ = insertions, trajectories
        self.queries = []

    def rest(self, endpoint, action, id=None, **query):
        import requests

        self.queries.append((endpoint, action, query))
        if action == "read":
            found = getattr(self, endpoint).get(id)
            if found is None:
                response = requests.Response()
                response.status_code = 404 if id != "broken" else 500
                raise requests.HTTPError(response=response)
            return found
        if endpoint == "sessions":
            return self._sessions(query)
        if endpoint == "insertions":
            return [i for i in self.insertions if i["session"] == query["session"]]
        (field,) = set(query) - {"no_cache"}
        return [t for t in self.trajectories_ if t.get(field) == query[field]]

    def _sessions(self, query):
        if "subject" in query:
            return [s for s in self.sessions.values() if query["subject"] in s["subject"]]
        parts = query["django"].split(",") if "django" in query else []
        given = dict(zip(parts[::2], parts[1::2], strict=True))
        start, end = given.get("start_time__gte", ""), given.get("start_time__lt", "~")
        rows = [
            s
            for s in self.sessions.values()
            if start <= s["start_time"] < end and given.get("projects__name", "p") in s["projects"]
        ]
        # one page is reliable; asking for more than fits would lose rows
        return rows if len(rows) <= query["limit"] else [*rows[: query["limit"]], None]


class FakeOne:
    """Remote client whose downloads can be spoilt."""

    mode = "remote"

    def __init__(self, folder, alyx, datasets=None, downloads=()):
        self.folder, self.alyx = folder, alyx
        self.cache_dir = folder
        self.datasets = pd.DataFrame() if datasets is None else datasets
        self.downloads = list(downloads)

    def list_datasets(self, eid, details=True):
        return self.datasets

    def eid2path(self, eid):
        return self.folder

    def load_dataset(self, eid, dataset, download_only, check_hash):
        path = self.folder / dataset
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.downloads.pop(0))
        return path


EID = "96268231-87d4-3791-b39f-6e3059cfa72e"


@pytest.fixture
def remote(tmp_path):
    def make(downloads, content=b"good"):
        datasets = pd.DataFrame(
            {
                "rel_path": ["alf/x.y.npy", "alf/#new#/x.y.npy"],
                "file_size": [len(content), 3],
                "hash": [hashlib.md5(content).hexdigest(), None],
                "default_revision": [True, False],
            }
        )
        return FakeOne(tmp_path, FakeAlyx(), datasets, downloads)

    return make


def test_download_is_verified(remote):
    one = remote([b"good"])
    assert dataset_path(one, EID, "alf/x.y.npy").read_bytes() == b"good"
    assert dataset_path(one, EID, "alf/x.y.npy").read_bytes() == b"good"  # not asked again


@pytest.mark.parametrize("bad", [b"evil", b"trunc"])
def test_spoilt_download_is_repeated_once(remote, bad):
    one = remote([bad, b"good"])
    assert dataset_path(one, EID, "alf/x.y.npy").read_bytes() == b"good"
    one = remote([bad, bad, b"good"])
    one.folder.joinpath("alf/x.y.npy").unlink()
    with pytest.raises(DownloadIntegrityError, match="also after a fresh download"):
        dataset_path(one, EID, "alf/x.y.npy")


# records


def test_parse_json():
    assert parse_json({"a": 1}) == parse_json('{"a": 1}') == {"a": 1}
    for nothing in (None, "", " ", np.nan, pd.NA, "[1]"):
        assert parse_json(nothing) is None
    for bad in ("{", "[" * 100_000):
        with pytest.raises(UnreadableFileError, match="JSON"):
            parse_json(bad)


def test_local_records(tree, files):
    eid = tree.add(files)
    one = tree.open()
    records = records_of(one)
    assert records.session(eid) is None
    assert records.subject("M1") is records.subject("../M1") is None
    assert records.insertions(eid) == []
    (tree.root / ".alyx" / "subjects").mkdir(parents=True)
    (tree.root / ".alyx" / "subjects" / "M1.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableFileError, match=r"M1\.json"):
        records.subject("M1")


def remote_sessions(n):
    start = pd.Timestamp("2024-01-01")
    return [
        {
            "id": f"{i:08x}-87d4-3791-b39f-6e3059cfa72e",
            "subject": "M1" if i % 2 else "M12",
            "start_time": (start + pd.Timedelta(hours=3 * i)).isoformat(),
            "number": 1,
            "lab": "lab",
            "projects": ["p"],
            "task_protocol": "ephysChoiceWorld",
        }
        for i in range(n)
    ]


def test_remote_list_is_complete_beyond_one_page(tmp_path):
    alyx = FakeAlyx(remote_sessions(2500))
    listed = list_sessions(FakeOne(tmp_path, alyx), "p")
    assert len(listed) == 2500
    assert listed["eid"].is_unique
    assert listed["start_time"].is_monotonic_increasing
    assert list_sessions(FakeOne(tmp_path, alyx), "other").empty


def test_remote_session(tmp_path):
    import requests

    sessions = remote_sessions(20)
    own = sessions[5]
    eid = own["id"]
    insertion = {"id": "i1", "session": eid, "name": "VTA", "chronic_insertion": "c1"}
    alyx = FakeAlyx(
        sessions,
        [{"nickname": "M1", "strain": None, "line": "Ai148xDbh", "genotype": []}],
        [insertion],
        [{"chronic_insertion": "c1", "x": 900.0}],
    )
    one = FakeOne(tmp_path, alyx)
    settings = Settings(root=tmp_path, one_cache_dir=tmp_path, _env_file=None)
    row = fetch_session(one, eid, settings).iloc[0]
    assert (row["NM"], row["session_type"]) == ("NE", "ephys")
    assert (row["day_n"], row["session_n"]) == (0, 3)
    assert row["n_insertions"] == 1
    assert records_of(one).trajectories(insertion) == [{"chronic_insertion": "c1", "x": 900.0}]
    assert records_of(one).subject("M9") is None
    with pytest.raises(requests.HTTPError):
        records_of(one).subject("broken")
    with pytest.raises(UnknownSessionError):
        fetch_session(one, EID, settings)


# fibers


@pytest.fixture
def fiber_table():
    names = ("Y-ap_um", "Z-dv_um", "depth", "theta", "phi")
    numbers = {name: [1.0, 2.0] for name in names}
    head = {"subject": ["M1", "M2"], "targeted_region": ["VTA", None], "neuromodulator": "DA"}
    return pd.DataFrame({**head, "X-ml_um": [500.0, None], **numbers})


def test_fiber_table(tmp_path, fiber_table):
    path = tmp_path / "fibers.csv"
    fiber_table.to_csv(path, index=False)
    table = read_fibers(path)
    assert table["targeted_region"].tolist() == ["VTA", None]
    assert table["X-ml_um"].dtype == np.float64
    table["subject"] = "changed"
    assert read_fibers(path)["subject"].tolist() == ["M1", "M2"]


def test_fiber_table_of_the_root_comes_first(tmp_path, fiber_table, monkeypatch):
    settings = Settings(root=tmp_path / "root", one_cache_dir=tmp_path / "one", _env_file=None)
    assert fibers_path(settings) == Path(iblnm.__file__).parents[1] / "metadata" / "fibers.csv"
    monkeypatch.setattr("iblnm.io.fibers._CHECKOUT", tmp_path / "checkout")
    assert fibers_path(settings) is None
    assert subject_fibers(settings, "M1").empty
    checkout = tmp_path / "checkout" / "metadata"
    for folder in (checkout, tmp_path / "one", tmp_path / "root" / "metadata"):
        folder.mkdir(parents=True)
        fiber_table.to_csv(folder / "fibers.csv", index=False)
        assert fibers_path(settings) == folder / "fibers.csv"
    assert subject_fibers(settings, "M1")["side"].tolist() == ["r"]
    assert subject_fibers(settings, "M2")["side"].tolist() == [None]
    assert side_of(0.0, True) is None


def test_bad_fiber_tables(tmp_path, fiber_table):
    path = tmp_path / "fibers.csv"
    with pytest.raises(MissingFileError):
        read_fibers(path)
    for content in (b"", b"\xff\xfe\x00", b'a,b\n1,2,3\n"'):
        path.write_bytes(content)
        with pytest.raises((UnreadableFileError, MalformedFileError), match=r"fibers\.csv"):
            read_fibers(path)
    fiber_table.drop(columns=["theta"]).to_csv(path, index=False)
    with pytest.raises(MalformedFileError, match="columns theta are missing"):
        read_fibers(path)
    fiber_table.assign(depth="deep").to_csv(path, index=False)
    with pytest.raises(MalformedFileError, match="column depth is 'deep'"):
        read_fibers(path)
