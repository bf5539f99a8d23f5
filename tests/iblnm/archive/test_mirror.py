import json
import os
import signal
import subprocess
import sys
import time
from datetime import date

import pandas as pd
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from iblnm.archive.connection import connect
from iblnm.archive.journal import Journal
from iblnm.archive.mirror import choose_sessions, mirror_sessions
from iblnm.archive.remote import open_remote
from iblnm.archive.sessions import fetch_session, list_sessions
from iblnm.config import RemoteSettings, Settings, get_settings
from iblnm.errors import (
    ArchiveMismatchError,
    ServerError,
    TransientError,
)

pytestmark = pytest.mark.slow

PROJECT = "ibl_fibrephotometry"
QUICK = RemoteSettings(max_attempts=1, first_backoff_s=0.0, deadline_s=5.0)


@pytest.fixture
def settings_of(tmp_path):
    def make(server, *, folder="downloads", remote=QUICK):
        return Settings(
            root=tmp_path / "remote",
            one_mode="remote",
            one_cache_dir=tmp_path / folder,
            alyx_url=server.url,
            alyx_user="demo",
            alyx_password=SecretStr(server.password),
            data_server=f"{server.url}/data",
            remote=remote,
        )

    return make


@pytest.fixture
def one(alyx_server, settings_of):
    return open_remote(settings_of(alyx_server))


def open_local(folder):
    settings = Settings(root=folder.parent / "local", one_mode="local", one_cache_dir=folder)
    return connect(settings), settings


def asked(server, *, since=0):
    """What was answered, once per request: address and query."""
    return [
        (request.path, tuple(sorted(request.params.items())))
        for request in list(server.requests)[since:]
        if request.path != "/auth-token" and request.fault is None
    ]


def tree(folder):
    """All files but the tables, whose date differs, and what only the next run looks at."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix != ".pqt.lock"
        and not {".locks", ".verified"} & set(path.parts)
        and path.parent != folder
    }


def tables(folder):
    return [pd.read_parquet(folder / f"{name}.pqt") for name in ("sessions", "datasets")]


def assert_same_archive(left, right):
    ours, theirs = tree(left), tree(right)
    assert sorted(ours) == sorted(theirs)
    assert ours == theirs
    for own, other in zip(tables(left), tables(right), strict=True):
        pd.testing.assert_frame_equal(own, other)


# what is written ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_local_mode_gives_the_same_sessions_as_remote_mode(
    one, alyx_server, settings_of, tmp_path
):
    eids = choose_sessions(one, PROJECT)
    report = mirror_sessions(one, eids, tmp_path / "mirror", datasets=True)
    assert (report.eids, report.failures) == (eids, {})
    local, settings = open_local(tmp_path / "mirror")
    pd.testing.assert_frame_equal(list_sessions(local, PROJECT), list_sessions(one, PROJECT))
    sides = set()
    for eid in eids:
        remote_row = fetch_session(one, eid, settings_of(alyx_server))
        pd.testing.assert_frame_equal(fetch_session(local, eid, settings), remote_row)
        sides |= set(remote_row.hemisphere_alyx[0])
    assert sides & {"l", "r"}, "insertions and trajectories took part"


def test_one_session_keeps_its_place_among_all_of_its_subject(
    one, alyx_server, settings_of, tmp_path
):
    table = list_sessions(one, PROJECT)
    last = table.groupby("subject").tail(1).eid.iloc[0]
    mirror_sessions(one, [last], tmp_path / "mirror", datasets=True)
    local, settings = open_local(tmp_path / "mirror")
    assert list_sessions(local).eid.tolist() == [last]
    row = fetch_session(local, last, settings)
    assert row.session_n[0] == 2.0
    pd.testing.assert_frame_equal(row, fetch_session(one, last, settings_of(alyx_server)))


def test_records_have_the_shape_of_the_detail(one, alyx_server, tmp_path):
    eids = choose_sessions(one, PROJECT)
    mirror_sessions(one, eids, tmp_path / "mirror")
    records, model = tmp_path / "mirror" / ".alyx", alyx_server.model
    for endpoint in ("sessions", "subjects", "insertions", "trajectories"):
        names = {path.stem for path in (records / endpoint).glob("*.json")}
        assert names == set(getattr(model, endpoint)), endpoint
    written = json.loads((records / "sessions" / f"{eids[0]}.json").read_text())
    assert written == one.alyx.rest("sessions", "read", id=eids[0])
    assert not (records / "mirror.jsonl").exists()


def test_without_datasets_nothing_is_downloaded(one, alyx_server, tmp_path):
    eids = choose_sessions(one, PROJECT)
    report = mirror_sessions(one, eids, tmp_path / "mirror")
    assert (report.n_files, report.n_bytes) == (0, 0)
    assert not [path for path, _ in asked(alyx_server) if path.startswith("/data")]
    _, datasets = tables(tmp_path / "mirror")
    assert len(datasets) == len(alyx_server.model.datasets)
    assert not datasets["exists"].any()
    local, _ = open_local(tmp_path / "mirror")
    assert len(local.list_datasets(eids[0])) == len(alyx_server.model.sessions[eids[0]].datasets)


@pytest.mark.slow
def test_files_are_those_of_the_server_and_only_what_is_needed(
    one, alyx_server, small_archive, tmp_path
):
    eids = choose_sessions(one, PROJECT)
    report = mirror_sessions(one, eids, tmp_path / "mirror", datasets=True)
    files = {path: content for path, content in tree(tmp_path / "mirror").items() if "/" in path}
    files = {path: c for path, c in files.items() if not path.startswith(".alyx")}
    assert report.n_files == len(files) == 8 * len(eids)
    assert report.n_bytes == sum(map(len, files.values()))
    assert all((small_archive[0] / path).read_bytes() == c for path, c in files.items())
    assert not any("raw_video" in path for path in files)


def test_the_whole_pipeline_reads_the_mirror(one, tmp_path):
    from iblnm.io import load_photometry, load_trials_table, load_wheel, photometry_reference

    eid = choose_sessions(one, PROJECT)[0]
    mirror_sessions(one, [eid], tmp_path / "mirror", datasets=True)
    local, settings = open_local(tmp_path / "mirror")
    session = fetch_session(local, eid, settings)
    reference = photometry_reference(local, eid, session, settings)
    assert set(load_photometry(reference)) == {"GCaMP", "Isosbestic"}
    assert len(load_trials_table(local, eid)) > 90
    assert len(load_wheel(local, eid)[0]) > 1000


# going on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "kind", "after"),
    [
        ("GET /sessions/", 500, 2),
        ("GET /subjects/", "reset", 1),
        (r"GET /insertions\?", "truncated", 1),
        (r"GET /trajectories\?", 502, 2),
        (r"GET /data/", 503, 0),
        (r"GET /data/.*wheel\.position", "truncated", 1),
        (r"GET /data/.*times", "html", 3),
    ],
)
@pytest.mark.slow
def test_interrupted_and_run_again_it_goes_on_where_it_was(
    one, alyx_server, tmp_path, match, kind, after
):
    eids = choose_sessions(one, PROJECT)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    mirror_sessions(one, eids, whole, datasets=True)
    alyx_server.requests.clear()
    alyx_server.faults.add(match, kind, times=None, after=after)
    if kind == "html" and "data" in match:
        # a page instead of a file is a file that is not what Alyx records
        assert mirror_sessions(one, eids, broken, datasets=True).failures
    else:
        with pytest.raises(TransientError):
            mirror_sessions(one, eids, broken, datasets=True)
        assert (broken / ".alyx" / "mirror.jsonl").exists()
    alyx_server.faults.clear()
    first = asked(alyx_server)
    assert set(tree(broken)) - {".alyx/mirror.jsonl"} < set(tree(whole)), "nothing half written"
    n_before = len(alyx_server.requests)
    report = mirror_sessions(one, eids, broken, datasets=True)
    second = asked(alyx_server, since=n_before)
    assert_same_archive(broken, whole)
    assert report.failures == {}
    files = [request for request in first + second if request[0].startswith("/data/")]
    assert len(files) == len(set(files)), "a file was fetched twice"
    if kind != "html":
        assert first and second and not set(first) & set(second), "nothing is asked twice"
        assert report.resumed > 0


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_half_written(alyx_server, own_home, tmp_path):
    folder = tmp_path / "mirror"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("IBLNM_")},
        **alyx_server.environment(),
        "IBLNM_ROOT": str(tmp_path / "root"),
        "IBLNM_ONE_CACHE_DIR": str(folder),
    }
    # the third file comes a byte at a time, so that the kill meets it in the middle
    alyx_server.faults.add("/data/", "drip", times=None, after=2, delay_s=0.05)
    command = [sys.executable, "-m", "iblnm_dagster.cli", "mirror", "--datasets"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path) as process:
        limit = time.monotonic() + 30
        while time.monotonic() < limit and not any(r.fault for r in alyx_server.requests):
            time.sleep(0.02)
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
    alyx_server.faults.clear()
    first = asked(alyx_server)
    n_before = len(alyx_server.requests)
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "went on after an interruption" in done.stdout
    second = asked(alyx_server, since=n_before)
    twice = set(first) & set(second)
    assert all(dict(params).get("django") for _, params in twice), "only the choice is made again"
    assert not list(folder.rglob("*.tmp"))
    local, settings = open_local(folder)
    assert set(list_sessions(local).eid) == set(alyx_server.model.sessions)
    for eid in list_sessions(local).eid:
        assert fetch_session(local, eid, settings).has_record[0]


def test_an_old_interruption_is_begun_anew(one, alyx_server, tmp_path):
    eids = choose_sessions(one, PROJECT)
    alyx_server.faults.add("GET /subjects", 500, times=None, after=1)
    with pytest.raises(ServerError):
        mirror_sessions(one, eids, tmp_path / "mirror")
    alyx_server.faults.clear()
    report = mirror_sessions(one, eids, tmp_path / "mirror", resume_within_s=0.0)
    assert report.resumed == 0
    assert len(report.eids) == len(eids)


def test_a_line_cut_off_in_the_journal_is_not_taken_for_a_step(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, "work", max_age_s=60) as journal:
        journal.add("a")
        journal.add("b")
    path.write_text(path.read_text()[:-3])
    with Journal(path, "work", max_age_s=60) as journal:
        assert "a" in journal
        assert "b" not in journal
        journal.add("c")
    with Journal(path, "work", max_age_s=60) as journal:
        assert [step in journal for step in "abc"] == [True, False, True]
        journal.complete()
    assert not path.exists()
    assert Journal(path, "other", max_age_s=60).resumed == 0


# again, later ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_run_takes_over_what_has_changed_and_only_that(one, alyx_server, tmp_path):
    folder, model = tmp_path / "mirror", alyx_server.model
    eids = choose_sessions(one, PROJECT)
    mirror_sessions(one, eids, folder, datasets=True)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    session = model.sessions[eids[0]]
    trials = next(d for d in session.datasets if d.name == "_ibl_trials.table.pqt")
    content = (folder / session.path / trials.rel_path).read_bytes() + b" "
    model.replace_dataset(trials.id, content)
    insertion = next(row for row in model.insertions.values() if row["session"] == eids[0])
    for key, row in list(model.trajectories.items()):
        if insertion["id"] == row["probe_insertion"]:
            del model.trajectories[key]
    n_before = len(alyx_server.requests)
    report = mirror_sessions(one, eids, folder, datasets=True)
    assert (report.n_files, report.n_intact) == (1, 8 * len(eids) - 1)
    assert len([p for p, _ in asked(alyx_server, since=n_before) if p.startswith("/data")]) == 1
    assert (folder / session.path / trials.rel_path).read_bytes() == content
    changed = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and before.get(path) != path.stat().st_mtime_ns
    }
    changed = {path for path in changed if not path.startswith((".verified", ".alyx/.locks"))}
    assert changed == {
        f".alyx/sessions/{eids[0]}.json",
        f"{session.path}/{trials.rel_path}",
        "datasets.pqt",
    }
    listed = {path.stem for path in (folder / ".alyx" / "trajectories").glob("*.json")}
    assert listed == set(model.trajectories), "a trajectory deleted on Alyx is gone here too"


@pytest.mark.slow
def test_more_sessions_join_those_that_are_there(one, tmp_path):
    first, *others = choose_sessions(one, PROJECT)
    mirror_sessions(one, [first], tmp_path / "mirror", datasets=True)
    mirror_sessions(one, others, tmp_path / "mirror", datasets=True)
    mirror_sessions(one, [first, *others], tmp_path / "once", datasets=True)
    for own, other in zip(tables(tmp_path / "mirror"), tables(tmp_path / "once"), strict=True):
        pd.testing.assert_frame_equal(own, other)


def test_tables_made_from_the_tree_give_way_to_the_eids_of_alyx(one, writable_archive, tmp_path):
    from one.alf.cache import make_parquet_db

    eids = choose_sessions(one, PROJECT)
    for name in ("sessions.pqt", "datasets.pqt", "demo.json"):
        (writable_archive / name).unlink()
    make_parquet_db(writable_archive, hash_files=False)
    assert not set(eids) & set(map(str, pd.read_parquet(writable_archive / "sessions.pqt").index))
    report = mirror_sessions(one, eids[:1], writable_archive, datasets=True)
    assert (report.n_files, report.n_intact) == (0, 8)
    sessions, datasets = tables(writable_archive)
    assert len(sessions) == len(eids)
    assert eids[0] in set(sessions.index)
    assert set(datasets.index.get_level_values("eid")) == set(sessions.index)
    local, settings = open_local(writable_archive)
    assert fetch_session(local, eids[0], settings).has_record[0]


# what goes wrong ---------------------------------------------------------------------------------


def test_a_file_damaged_twice_fails_its_session_and_no_other(one, alyx_server, tmp_path):
    eids = choose_sessions(one, PROJECT)
    path = alyx_server.model.sessions[eids[1]].path
    alyx_server.faults.add(f"/data/{path}.*signal", "wrong_hash", times=2)
    report = mirror_sessions(one, eids, tmp_path / "mirror", datasets=True)
    assert list(report.failures) == [eids[1]]
    assert eids[1] in report.failures[eids[1]]
    assert "photometry.signal.pqt" in report.failures[eids[1]]
    assert not (tmp_path / "mirror" / path / "alf/photometry/photometry.signal.pqt").exists()
    assert report.n_files == 8 * len(eids) - 1
    _, datasets = tables(tmp_path / "mirror")
    own = datasets.loc[eids[1]].set_index("rel_path")["exists"]
    assert not own["alf/photometry/photometry.signal.pqt"]
    assert own["alf/photometry/photometryROI.locations.pqt"]


def test_a_session_unknown_to_alyx_is_named(one, tmp_path):
    unknown = "96268231-87d4-4791-b39f-6e3059cfa72e"
    eids = choose_sessions(one, PROJECT)[:1]
    report = mirror_sessions(one, [unknown, *eids], tmp_path / "mirror")
    assert report.eids == eids
    assert list(report.failures) == [unknown]
    assert "no such record" in report.failures[unknown]


def test_a_record_that_would_leave_the_archive_is_refused(one, alyx_server, tmp_path):
    eid, *others = choose_sessions(one, PROJECT)
    alyx_server.model.update_session(eid, lab="..")
    report = mirror_sessions(one, [eid, *others], tmp_path / "mirror", datasets=True)
    assert list(report.failures) == [eid]
    assert report.eids == others
    assert eid not in set(tables(tmp_path / "mirror")[0].index)


def test_a_mirror_is_not_mixed_with_another_archive(one, alyx_server, tmp_path, small_archive):
    from bench.alyx import AlyxModel, AlyxServer

    with pytest.raises(ArchiveMismatchError, match="simulated"):
        mirror_sessions(one, [], small_archive[0])
    mirror_sessions(one, choose_sessions(one, PROJECT)[:1], tmp_path / "mirror")
    with AlyxServer(AlyxModel()) as other:
        settings = Settings(
            one_mode="remote",
            one_cache_dir=tmp_path / "other",
            alyx_url=other.url,
            alyx_user="demo",
            alyx_password=SecretStr(other.password),
        )
        with pytest.raises(ArchiveMismatchError, match=alyx_server.url):
            mirror_sessions(open_remote(settings), [], tmp_path / "mirror")


def test_two_mirrors_of_one_folder_do_not_run_together(one, tmp_path, monkeypatch):
    from iblnm.archive import mirror
    from iblnm.storage.atomic import locked

    monkeypatch.setattr(mirror, "_LOCK_TIMEOUT_S", 0.05)
    with locked(tmp_path / "mirror" / ".alyx" / "mirror"), pytest.raises(TransientError):
        mirror_sessions(one, [], tmp_path / "mirror")


# which sessions ----------------------------------------------------------------------------------


def test_sessions_are_chosen_by_project_and_day(one, alyx_server):
    alyx_server.model.register_session(projects=[f"{PROJECT}_pilot"])
    table = list_sessions(one, PROJECT)
    assert choose_sessions(one, PROJECT) == table.eid.tolist()
    day = date.fromisoformat(table.date.iloc[2])
    assert choose_sessions(one, PROJECT, day) == table.eid[table.date >= str(day)].tolist()
    assert 0 < len(choose_sessions(one, PROJECT, day)) < len(table)
    assert len(choose_sessions(one, None)) == len(table) + 1


# the command -------------------------------------------------------------------------------------


@pytest.fixture
def run(alyx_server, own_home, tmp_path, monkeypatch):
    from iblnm_dagster.cli import cli

    def invoke(*arguments, **environment):
        settings = {"IBLNM_ROOT": str(tmp_path / "root"), **alyx_server.environment()}
        for name, value in {**settings, **environment}.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        try:
            return CliRunner().invoke(cli, ["mirror", *map(str, arguments)])
        finally:
            get_settings.cache_clear()

    return invoke


def test_the_command_copies_the_sessions_of_a_file(run, alyx_server, tmp_path):
    eid = next(iter(alyx_server.model.sessions))
    (tmp_path / "eids.txt").write_text(eid)
    result = run("--eids", tmp_path / "eids.txt", "--datasets", "--to", tmp_path / "mirror")
    assert result.exit_code == 0, result.output
    assert f"complete in {tmp_path / 'mirror'}: 1 session; " in result.output
    assert "fetched: 8 files (" in result.output
    assert alyx_server.password not in result.output
    local, _ = open_local(tmp_path / "mirror")
    assert list_sessions(local).eid.tolist() == [eid]


def test_the_command_fails_where_a_session_failed(run, alyx_server, tmp_path):
    (tmp_path / "eids.txt").write_text("96268231-87d4-4791-b39f-6e3059cfa72e")
    result = run("--eids", tmp_path / "eids.txt", "--to", tmp_path / "mirror")
    assert result.exit_code == 1
    assert "no such record" in result.output


def test_the_command_needs_remote_mode_and_one_choice(run, tmp_path):
    (tmp_path / "eids.txt").touch()
    result = run("--since", "2024-01-01", IBLNM_ONE_MODE="local")
    assert result.exit_code == 2
    assert "IBLNM_ONE_MODE=remote" in result.output
    result = run("--eids", tmp_path / "eids.txt", "--since", "2024-01-01")
    assert result.exit_code == 2
