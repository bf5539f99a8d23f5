"""Every file that is read has the size and hash of Alyx's record."""

import hashlib
import multiprocessing
import os
from datetime import date

import pytest
from bench.alyx import AlyxModel, AlyxServer

from iblnm.archive import hashes
from iblnm.archive.connection import connect
from iblnm.archive.datasets import dataset_path, list_session_datasets
from iblnm.archive.sessions import fetch_session
from iblnm.config import Settings
from iblnm.demo.alyx.server import USER
from iblnm.errors import (
    AuthenticationError,
    DownloadIntegrityError,
    InvalidNameError,
    MalformedFileError,
    MissingFileError,
    ServerError,
    UnknownSessionError,
)

NAME = "alf/thing.values.npy"
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def model():
    model = AlyxModel(seed=1)
    model.register_session(subject="M1")
    return model


@pytest.fixture
def eid(model):
    return model.eids()[0]


@pytest.fixture
def server(model):
    with AlyxServer(model) as server:
        yield server


@pytest.fixture
def settings(server, tmp_path):
    return Settings(
        root=tmp_path / "root",
        one_mode="remote",
        alyx_url=server.url,
        alyx_user=USER,
        alyx_password=server.password,
        data_server=f"{server.url}/data",
        remote={"stall_timeout_s": 0.5, "deadline_s": 1.0, "first_backoff_s": 0.02},
    )


def downloads(server):
    return [request for request in server.requests if request.path.startswith("/data/")]


def left_behind(settings):
    """Files of the cache that are neither data nor records of what was verified."""
    return [path for path in settings.cache_dir.rglob("*.tmp") if path.is_file()]


def test_a_file_is_fetched_once(server, model, settings, eid):
    model.add_dataset(eid, NAME, CONTENT)
    one = connect(settings)
    path = dataset_path(one, eid, NAME)
    assert path.read_bytes() == CONTENT
    assert path.relative_to(settings.cache_dir).parts[:3] == ("cortexlab", "Subjects", "M1")
    assert path.name == "thing.values.npy"
    assert dataset_path(one, eid, NAME) == path
    assert dataset_path(connect(settings), eid, NAME) == path
    assert len(downloads(server)) == 1
    assert dataset_path(one, eid, "alf/other.npy") is None


def test_a_spoilt_download_is_repeated_once(server, model, settings, eid):
    model.add_dataset(eid, NAME, CONTENT)
    one = connect(settings)
    server.faults.add("GET /data/", "wrong_hash", times=1)
    assert dataset_path(one, eid, NAME).read_bytes() == CONTENT
    assert len(downloads(server)) == 2


@pytest.mark.parametrize("registered", [{"hash": "0" * 32}, {"size": 3}, {"size": 10**6}])
def test_a_file_that_stays_spoilt_is_not_kept(server, model, settings, eid, registered):
    model.add_dataset(eid, NAME, CONTENT, **registered)
    one = connect(settings)
    with pytest.raises(DownloadIntegrityError, match="also after a fresh download") as caught:
        dataset_path(one, eid, NAME)
    assert len(downloads(server)) == 2
    assert caught.value.eid == eid
    assert not caught.value.path.exists()
    assert left_behind(settings) == []


def test_damage_on_disk_is_mended(server, model, settings, eid):
    model.add_dataset(eid, NAME, CONTENT)
    one = connect(settings)
    path = dataset_path(one, eid, NAME)
    for damaged in (CONTENT[:-1], b"x" + CONTENT[1:], b""):
        path.write_bytes(damaged)
        assert dataset_path(one, eid, NAME).read_bytes() == CONTENT
    assert len(downloads(server)) == 4


def test_a_file_that_alyx_replaced_is_fetched_anew(server, model, settings, eid):
    dataset = model.add_dataset(eid, NAME, CONTENT)
    path = dataset_path(connect(settings), eid, NAME)
    model.replace_dataset(dataset, b"another")
    assert dataset_path(connect(settings), eid, NAME) == path
    assert path.read_bytes() == b"another"


def test_a_verified_file_is_not_read_again_by_the_next_process(model, settings, eid, monkeypatch):
    model.add_dataset(eid, NAME, CONTENT)
    path = dataset_path(connect(settings), eid, NAME)
    read = []
    monkeypatch.setattr(hashes, "_read", lambda p: read.append(p) or "0" * 32)
    monkeypatch.setattr(hashes, "_HASHED", {})  # as a new process begins
    assert dataset_path(connect(settings), eid, NAME) == path
    assert read == []
    os.utime(path, ns=(1, 1))
    assert dataset_path(connect(settings), eid, NAME) == path
    assert read == [path]


def test_hashes_are_kept_by_path(tmp_path, monkeypatch):
    record = tmp_path / ".verified" / "eid.json"
    files = [tmp_path / folder / "same.npy" for folder in ("a", "b")]
    for i, path in enumerate(files):
        path.parent.mkdir()
        path.write_bytes(b"12"[i : i + 1])
        os.utime(path, ns=(5, 5))
    expected = [hashlib.md5(path.read_bytes()).hexdigest() for path in files]
    assert [hashes.file_md5(path, record) for path in files] == expected
    monkeypatch.setattr(hashes, "_HASHED", {})
    monkeypatch.setattr(hashes, "_read", None)
    assert [hashes.file_md5(path, record) for path in files] == expected
    assert [path.name for path in record.parent.iterdir()] == ["eid.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x.npy": 1}', '{"x.npy": [1, 2]}'])
def test_a_spoilt_record_of_hashes_costs_no_more_than_reading(tmp_path, monkeypatch, content):
    monkeypatch.setattr(hashes, "_HASHED", {})
    path, record = tmp_path / "x.npy", tmp_path / "record.json"
    path.write_bytes(b"1")
    record.write_text(content)
    assert hashes.file_md5(path, record) == hashlib.md5(b"1").hexdigest()


def test_a_folder_that_is_not_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(hashes, "_HASHED", {})
    (tmp_path / "x.npy").write_bytes(b"1")
    (tmp_path / "file").write_text("")
    record = tmp_path / "file" / "record.json"  # its folder cannot be made
    assert hashes.file_md5(tmp_path / "x.npy", record) == hashlib.md5(b"1").hexdigest()


def test_a_file_that_the_server_lost(server, model, settings, eid):
    model.add_dataset(eid, NAME, size=5)
    with pytest.raises(MissingFileError, match="its file server has no such file"):
        dataset_path(connect(settings), eid, NAME)
    assert len(downloads(server)) == 1


@pytest.mark.slow
def test_a_download_that_breaks_off_is_tried_again(server, model, settings, eid):
    model.add_dataset(eid, NAME, CONTENT)
    one = connect(settings)
    for kind in ("truncated", "reset", 503, "hang"):
        server.faults.add("GET /data/", kind, times=1)
        path = dataset_path(one, eid, NAME)
        assert path.read_bytes() == CONTENT
        path.unlink()
    server.faults.add("GET /data/", "truncated", times=None)
    with pytest.raises(ServerError, match=r"thing\.values.*broke off"):
        dataset_path(one, eid, NAME)
    assert not path.exists()
    assert left_behind(settings) == []


def test_the_file_server_asks_for_credentials(server, model, settings, eid):
    model.add_dataset(eid, NAME, CONTENT)
    server.faults.add("GET /data/", 401, times=None)
    with pytest.raises(AuthenticationError, match="IBLNM_DATA_PASSWORD"):
        dataset_path(connect(settings), eid, NAME)


def test_credentials_go_to_the_file_server_only(settings):
    sent = []
    known = settings.model_copy(
        update={"data_user": "me", "data_password": Settings(alyx_password="x").alyx_password}
    )
    client = connect(known).alyx
    client._transport.download = lambda call, path, size: sent.append((call.url, call.auth))
    for url in (f"{settings.data_server}/a", f"{settings.data_server}-other/a", "http://b.org/a"):
        client.download(url, None)
    assert [auth is not None for _, auth in sent] == [True, False, False]
    client.download("http://b.org/alf/#2024-01-01#/x%20y.npy", None)
    assert sent[-1][0] == "http://b.org/alf/%232024-01-01%23/x%20y.npy"


def _fetch(settings, eid, barrier, results):
    one = connect(settings)
    barrier.wait()
    try:
        results.put(hashlib.md5(dataset_path(one, eid, NAME).read_bytes()).hexdigest())
    except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
        results.put(repr(error))


@pytest.mark.slow
def test_processes_that_want_one_file_fetch_it_once(server, model, settings, eid):
    content = os.urandom(3_000_000)
    model.add_dataset(eid, NAME, content)
    n_processes = 4
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(n_processes), context.Queue()
    processes = [
        context.Process(target=_fetch, args=(settings, eid, barrier, results))
        for _ in range(n_processes)
    ]
    for process in processes:
        process.start()
    found = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert found == {hashlib.md5(content).hexdigest()}
    assert len(downloads(server)) == 1
    assert left_behind(settings) == []


# revisions


@pytest.mark.parametrize(
    ("day", "revision"),
    [
        (None, "2024-06-01"),  # the default of Alyx, though a later one exists
        (date(2023, 1, 1), ""),
        (date(2024, 3, 1), "2024-03-01a"),
        (date(2024, 5, 31), "2024-03-01a"),
        (date(2030, 1, 1), "2024-09-01"),
    ],
)
def test_revisions_are_pinned(model, settings, eid, day, revision):
    for name in ("", "2024-03-01a", "2024-09-01", "2024-06-01"):
        model.add_dataset(eid, NAME, name.encode(), revision=name or None)
    one = connect(settings.model_copy(update={"revision_before": day}))
    path = dataset_path(one, eid, NAME)
    assert path.read_bytes().decode() == revision
    listed = list_session_datasets(one, eid)
    assert listed.loc[listed["default"], "revision"].tolist() == [revision]
    row = fetch_session(one, eid, settings).iloc[0]
    assert row["dataset_revisions"] == [revision]
    assert row["dataset_hashes"] == [hashlib.md5(revision.encode()).hexdigest()]


def test_what_was_added_later_does_not_exist(model, settings, eid):
    model.add_dataset(eid, NAME, CONTENT, revision="2024-03-01")
    one = connect(settings.model_copy(update={"revision_before": date(2024, 2, 29)}))
    assert dataset_path(one, eid, NAME) is None
    assert list_session_datasets(one, eid).empty


def test_revisions_are_pinned_in_a_local_archive(tree, files):
    signal = files["alf/photometry/photometry.signal.pqt"]
    for day in ("2024-03-01", "2024-06-01"):
        files[f"alf/photometry/#{day}#/photometry.signal.pqt"] = signal.iloc[: len(day)]
    eid = tree.add(files)
    tree.write_tables()
    found = {}
    for day in (None, date(2024, 5, 1), date(2024, 1, 1)):
        one = connect(tree.settings.model_copy(update={"revision_before": day}))
        found[day] = dataset_path(one, eid, "alf/photometry/photometry.signal.pqt").parent.name
    assert found == {
        None: "#2024-06-01#",
        date(2024, 5, 1): "#2024-03-01#",
        date(2024, 1, 1): "photometry",
    }


def test_the_setting(monkeypatch):
    monkeypatch.setenv("IBLNM_REVISION_BEFORE", "2024-05-01")
    assert Settings().revision_before == date(2024, 5, 1)


# records that cannot be used


def test_unknown_session(settings):
    with pytest.raises(UnknownSessionError):
        dataset_path(connect(settings), "96268231-87d4-3791-b39f-6e3059cfa72e", NAME)


@pytest.mark.parametrize(
    ("fields", "error_type"),
    [
        ({"subject": "../../x"}, InvalidNameError),
        ({"lab": ".."}, InvalidNameError),
        ({"start_time": "yesterday"}, MalformedFileError),
        ({"projects": None}, MalformedFileError),
    ],
)
def test_names_that_would_leave_the_cache(model, settings, eid, fields, error_type):
    one = connect(settings)
    model.sessions[eid].fields.update(fields)
    with pytest.raises(error_type):
        dataset_path(one, eid, NAME)


def test_critical_datasets_are_left_out(model, settings, eid):
    model.add_dataset(eid, NAME, CONTENT, qc="CRITICAL")
    assert list_session_datasets(connect(settings), eid).empty


def test_a_dataset_without_recorded_hash(model, settings, eid):
    dataset = model.add_dataset(eid, NAME, CONTENT)
    model.datasets[dataset].hash = model.datasets[dataset].size = None
    path = dataset_path(connect(settings), eid, NAME)
    assert path.read_bytes() == CONTENT
