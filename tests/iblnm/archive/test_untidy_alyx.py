"""What an Alyx may hold: sessions without number or start, one nickname in two labs, one error."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from iblnm.archive.connection import connect
from iblnm.archive.datasets import dataset_path
from iblnm.archive.mirror import choose_sessions, mirror_sessions
from iblnm.archive.remote import open_remote
from iblnm.archive.sessions import fetch_session, list_sessions
from iblnm.archive.sync_state import SyncState
from iblnm.archive.watch import RemoteChanges, observe
from iblnm.config import RemoteSettings, Settings
from iblnm.errors import DataError, MalformedFileError, ServerError

pytestmark = pytest.mark.slow

PROJECT = "ibl_fibrephotometry"
QUICK = RemoteSettings(max_attempts=1, first_backoff_s=0.0, deadline_s=5.0)


@pytest.fixture
def settings(alyx_server, tmp_path):
    return Settings(
        root=tmp_path / "remote",
        one_mode="remote",
        one_cache_dir=tmp_path / "downloads",
        alyx_url=alyx_server.url,
        alyx_user="demo",
        alyx_password=SecretStr(alyx_server.password),
        data_server=f"{alyx_server.url}/data",
        remote=QUICK,
    )


@pytest.fixture
def one(settings):
    return open_remote(settings)


@pytest.fixture
def model(alyx_server):
    return alyx_server.model


def _open_local(folder):
    settings = Settings(root=folder.parent / "local", one_mode="local", one_cache_dir=folder)
    return connect(settings), settings


@pytest.mark.parametrize("projects", [[PROJECT], ["another"]])
@pytest.mark.parametrize("field", ["number", "start_time"])
def test_a_session_without_a_place_is_its_own_fault_only(
    one, model, settings, tmp_path, field, projects
):
    eid = next(iter(model.sessions))
    own = model.sessions[eid].fields
    before = fetch_session(one, eid, settings).iloc[0]
    odd = model.register_session(subject=own["subject"], lab=own["lab"], projects=projects)
    model.update_session(odd, **{field: None})
    after = fetch_session(one, eid, settings).iloc[0]
    assert after["session_n"] == before["session_n"]
    assert after["day_n"] == before["day_n"]
    listed = list_sessions(one, PROJECT).set_index("eid")
    assert (odd in listed.index) == (projects == [PROJECT])
    assert listed["number"].dtype == "Int64"
    with pytest.raises(MalformedFileError, match=f"no {field} of the session"):
        fetch_session(one, odd, settings)
    chosen = [*choose_sessions(one, PROJECT), odd]
    report = mirror_sessions(one, [eid, *chosen[-1:]], tmp_path / "mirror", datasets=True)
    assert set(report.failures) == {odd}
    assert eid in report.eids
    local, its_settings = _open_local(tmp_path / "mirror")
    assert fetch_session(local, eid, its_settings).iloc[0]["session_n"] == before["session_n"]


def test_a_session_without_a_start_is_noticed_and_hides_none(one, model, settings, tmp_path):
    odd = model.register_session(subject="DM-900")
    model.update_session(odd, start_time=None)
    source = RemoteChanges(one, PROJECT)
    state = SyncState(tmp_path / "state.sqlite")
    found = observe(source, state, settings.sync)
    assert found.error is None
    assert set(found.new) == set(model.eids(PROJECT))
    assert observe(source, state, settings.sync, full=True).error is None
    assert odd in [content.eid for content in state.waiting()]


def test_a_nickname_of_two_labs_is_the_animal_of_the_sessions_lab(
    one, model, alyx_server, settings, tmp_path
):
    eid = next(iter(model.sessions))
    own = model.sessions[eid].fields
    nickname, lab = own["subject"], own["lab"]
    before = fetch_session(one, eid, settings).iloc[0]
    namesake = {**model.subjects[nickname], "lab": "elsewhere", "line": "another", "id": "x"}
    model.subjects["the other"] = namesake
    early = model.sessions[eid].start.replace(year=2001)
    theirs = model.register_session(subject=nickname, lab="elsewhere", start_time=early)
    alyx_server.faults.add(f"GET /subjects/{nickname}", 500, times=None)
    assert model.subjects[nickname]["lab"] == lab
    after = fetch_session(one, eid, settings).iloc[0]
    assert (after["line"], after["strain"]) == (before["line"], before["strain"])
    assert (after["day_n"], after["session_n"]) == (before["day_n"], before["session_n"])
    assert fetch_session(one, theirs, settings).iloc[0]["line"] == "another"
    report = mirror_sessions(one, [eid, theirs], tmp_path / "mirror", datasets=True)
    assert report.failures == {}
    local, its_settings = _open_local(tmp_path / "mirror")
    assert fetch_session(local, eid, its_settings).iloc[0]["line"] == before["line"]
    assert fetch_session(local, theirs, its_settings).iloc[0]["line"] == "another"


def test_an_error_that_lasts_for_one_session_costs_that_session(
    one, model, alyx_server, settings, tmp_path
):
    eids = choose_sessions(one, PROJECT)
    alyx_server.faults.add(f"GET /sessions/{eids[1]}", 500, times=None)
    report = mirror_sessions(one, eids, tmp_path / "mirror")
    assert set(report.failures) == {eids[1]}
    assert "HTTP 500" in report.failures[eids[1]]
    assert set(report.eids) == set(eids) - {eids[1]}
    state = SyncState(tmp_path / "state.sqlite")
    found = observe(RemoteChanges(one, PROJECT), state, settings.sync)
    assert {content.eid for content in state.waiting()} == set(eids) - {eids[1]}
    assert "HTTP 500" in str(found.error)


def test_a_server_that_fails_for_all_ends_the_mirror(one, alyx_server, tmp_path):
    eids = choose_sessions(one, PROJECT)
    alyx_server.faults.add("GET /sessions/", 500, times=None, after=1)
    with pytest.raises(ServerError):
        mirror_sessions(one, eids[:3], tmp_path / "mirror")


def test_a_record_that_is_nested_too_deep_costs_its_session(one, model, settings, tmp_path):
    eids = choose_sessions(one, PROJECT)
    deep = []
    for _ in range(900):
        deep = [deep]
    model.update_session(eids[0], json={"a": deep})
    with pytest.raises(MalformedFileError, match="nested more than 100 deep"):
        fetch_session(one, eids[0], settings)
    report = mirror_sessions(one, eids, tmp_path / "mirror")
    assert set(report.failures) == {eids[0]}
    state = SyncState(tmp_path / "state.sqlite")
    assert observe(RemoteChanges(one, PROJECT), state, settings.sync).error is None
    assert {item.eid for item in state.waiting()} == set(eids)


@pytest.mark.parametrize(
    "place",
    [
        "../../../../outside.npy",
        "/tmp/outside.npy",
        "a\\b.npy",
        "..%2f..%2f..%2f..%2foutside.npy",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/outside.npy",
    ],
)
def test_nothing_is_written_outside_for_a_dataset_outside_its_session(
    one, model, settings, tmp_path, place
):
    eids = choose_sessions(one, PROJECT)
    model.add_dataset(eids[0], f"alf/{place.rpartition('/')[2]}", b"x")
    model.sessions[eids[0]].datasets[-1].rel_path = place
    before = set(tmp_path.parent.rglob("outside*"))
    try:
        listed = fetch_session(one, eids[0], settings)["datasets"].iloc[0]
        found = dataset_path(one, eids[0], place)
        if "%" in place:  # a name like any other, which nothing decodes
            assert found is None or (
                settings.cache_dir in found.parents and ".." not in found.parts
            )
        else:
            assert place not in listed and found is None
    except DataError:  # whichever of the two: a path that is none, or no dataset at all
        pass
    report = mirror_sessions(one, eids, tmp_path / "mirror", datasets=True)
    assert set(report.failures) <= {eids[0]}
    assert set(tmp_path.parent.rglob("outside*")) == before
    assert not Path("/tmp/outside.npy").exists()


@pytest.mark.parametrize(
    "record", [[1, 2], "text", 7, {"a": "x" * 20_000_000}], ids=["list", "text", "number", "large"]
)
def test_a_record_of_another_kind_or_of_20_megabytes_costs_its_session_at_most(
    one, model, settings, tmp_path, record
):
    eids = choose_sessions(one, PROJECT)
    model.update_session(eids[0], json=record)
    with suppress(DataError):
        assert len(fetch_session(one, eids[0], settings)) == 1
    assert len(fetch_session(one, eids[1], settings)) == 1
    state = SyncState(tmp_path / "state.sqlite")
    assert observe(RemoteChanges(one, PROJECT), state, settings.sync).error is None
    assert {item.eid for item in state.waiting()} == set(eids)
    report = mirror_sessions(one, eids, tmp_path / "mirror")
    assert set(report.failures) <= {eids[0]}
