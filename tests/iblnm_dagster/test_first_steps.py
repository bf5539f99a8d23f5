"""What a newcomer gets wrong: settings, addresses, tokens; each answered by a sentence."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from pathlib import Path

import pandas as pd
import pytest
from bench.alyx import AlyxServer, from_archive

from iblnm.archive import connect, dataset_path
from iblnm.config import Settings, get_settings
from iblnm_dagster.cli import main
from iblnm_dagster.instance import open_instance
from iblnm_dagster.selection import changed_sessions, failed_sessions, missing_sessions

pytestmark = pytest.mark.slow

TABLES = ("sessions", "datasets")


@pytest.fixture(scope="module")
def server(small_archive):
    """The small archive behind an Alyx server."""
    with AlyxServer(from_archive(small_archive[0]), small_archive[0]) as server:
        yield server


@pytest.fixture
def dead_url():
    """An address where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def iblnm(server, own_home, tmp_path, monkeypatch, capsys):
    """Runs the command with the settings of the server, and others; exit code, what it said."""

    def run(*arguments: str, **variables: str | None) -> tuple[int, str]:
        patience = {"FIRST_BACKOFF_S": "0.01", "MAX_ATTEMPTS": "2"}
        settings = {
            **server.environment(),
            "IBLNM_ROOT": str(tmp_path / "root"),
            **{f"IBLNM_REMOTE__{name}": value for name, value in patience.items()},
            **variables,
        }
        with monkeypatch.context() as patch:
            for name, value in settings.items():
                if value is not None:
                    patch.setenv(name, value)
            patch.setattr(sys, "argv", ["iblnm", *arguments])
            get_settings.cache_clear()
            with pytest.raises(SystemExit) as end:
                main()
            get_settings.cache_clear()
        said = capsys.readouterr()
        # one line tells where the command works
        lines = said.err.splitlines(keepends=True)
        text = "".join(line for line in lines if not line.startswith("archive ")) + said.out
        assert "Traceback" not in text
        return end.value.code or 0, text

    return run


def test_a_wrong_first_address_does_not_lock_the_root(iblnm, dead_url, tmp_path):
    code, said = iblnm("sync", IBLNM_ALYX_URL=dead_url)
    assert (code, said.count("no connection")) == (1, 1)
    code, said = iblnm("sync", IBLNM_PROJECT="other")
    assert "0 sessions in the archive" in said
    code, said = iblnm("sync")
    assert (code, said.endswith("4 new sessions\n")) == (0, True), said
    # now it has sessions, and others must not mix with them
    code, said = iblnm("sync", IBLNM_ALYX_URL=dead_url)
    assert code == 1
    assert f"now configured: {dead_url}" in said
    code, said = iblnm("sync", IBLNM_ALYX_URL=None)
    assert code == 1
    assert "needs IBLNM_ALYX_URL" in said
    assert "None" not in said


def test_a_batch_gives_a_dead_server_up(iblnm, server, small_archive, tmp_path):
    known = [session["eid"] for session in small_archive[1]["sessions"]]
    assert iblnm("sync")[0] == 0
    server.faults.add("GET /sessions/", "reset", times=None)
    quick = {"IBLNM_REMOTE__FIRST_RETRY_S": "0.01", "IBLNM_REMOTE__MAX_UNREACHABLE_SESSIONS": "2"}
    code, said = iblnm("batch", "--workers", "1", "--no-catalogue", **quick)
    server.faults.clear()
    assert code == 1
    failed = [line for line in said.splitlines() if "broken: " in line]
    assert len(failed) == 2, said
    assert all("session: GET /sessions/" in line for line in failed)
    # as it happens, before the summary
    assert said.index("broken: ") < said.index("4 sessions, ")
    assert (
        "the server cannot be reached; run again with --failed, and without it for the 2 not "
        "begun" in said
    )
    settings = Settings(root=tmp_path / "root")
    with open_instance(settings) as instance:
        sessions = [
            set(failed_sessions(instance, settings)),
            set(missing_sessions(instance)),
            set(changed_sessions(instance, settings)),
        ]
    assert [len(eids) for eids in sessions] == [2, 2, 2]
    assert sessions[1] == sessions[2] == set(known) - sessions[0]


@pytest.mark.parametrize(
    ("variables", "sentences"),
    [
        (
            {"IBLNM_ONE_MODE": "Remote", "IBLNM_SYNC__INTERVAL_S": "soon"},
            [
                "IBLNM_ONE_MODE='Remote': input should be 'local' or 'remote'",
                "IBLNM_SYNC__INTERVAL_S='soon': input should be a valid integer",
            ],
        ),
        (
            {"IBLNM_SIGNAL__RESPONSE_WINDOW": "-1 to 1"},
            ["IBLNM_SIGNAL__RESPONSE_WINDOW='-1 to 1': not JSON; expected is for example"],
        ),
        (
            {"IBLNM_ALYX_URL": "alyx.example.org"},
            ["IBLNM_ALYX_URL='alyx.example.org': an address begins with https://"],
        ),
    ],
)
def test_a_bad_value_is_one_line_with_the_name_of_its_variable(iblnm, variables, sentences):
    code, said = iblnm("mirror", **variables)
    assert code == 2
    lines = said.splitlines()
    assert len(lines) == len(sentences), said
    for line, sentence in zip(lines, sentences, strict=True):
        assert line.startswith(f"iblnm: {sentence}")


def test_a_misspelt_variable_is_named(iblnm, tmp_path):
    variables = {
        "IBLNM_PROJCT": "x",
        "IBLNM_REMOTE__DEADLIN_S": "3",
        "IBLNM_NONSENSE": "1",
        "IBLNM_TARGET_COLORS__MY-5HT": "#000000",
    }
    _, said = iblnm("mirror", "--to", str(tmp_path / "alf"), **variables)
    assert [line for line in said.splitlines() if "warning" in line] == [
        "warning: IBLNM_NONSENSE is no setting of iblnm",
        "warning: IBLNM_PROJCT is no setting of iblnm; did you mean IBLNM_PROJECT?",
        "warning: IBLNM_REMOTE__DEADLIN_S is no setting of iblnm; did you mean "
        "IBLNM_REMOTE__DEADLINE_S?",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such token file"),
        (b" \n", "the token file is empty"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"two words", "the token file does not hold a token, which is one word"),
    ],
)
def test_a_token_file_is_named_with_its_variable(iblnm, tmp_path, content, problem):
    file = tmp_path / "alyx.token"
    if content is not None:
        file.write_bytes(content)
    code, said = iblnm("mirror", IBLNM_ALYX_TOKEN_FILE=str(file))
    assert (code, said.count("\n")) == (1, 1), said
    assert problem in said
    assert f"{file} (IBLNM_ALYX_TOKEN_FILE)" in said


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"IBLNM_ALYX_PASSWORD": ""}, "IBLNM_ALYX_PASSWORD or IBLNM_ALYX_TOKEN_FILE, and both"),
        ({"IBLNM_ALYX_PASSWORD": "wrong"}, "check IBLNM_ALYX_USER and IBLNM_ALYX_PASSWORD"),
        ({"IBLNM_ALYX_URL": ""}, "IBLNM_ONE_MODE=remote needs IBLNM_ALYX_URL"),
    ],
)
def test_what_is_missing_is_named(iblnm, variables, sentence):
    code, said = iblnm("mirror", **variables)
    assert (code, said.count("\n")) == (1, 1), said
    assert sentence in said


def test_an_address_with_a_path_that_is_forbidden(iblnm, server):
    server.faults.add("POST /admin/", 403, times=None)
    code, said = iblnm("mirror", IBLNM_ALYX_URL=f"{server.url}/admin/")
    server.faults.clear()
    assert code == 1
    assert "HTTP 403" in said
    assert "check also that IBLNM_ALYX_URL has no path: /admin is one" in said


@pytest.mark.parametrize("mode", ["remote", "local"])
def test_a_project_without_sessions_is_named(iblnm, server, small_archive, tmp_path, mode):
    place = server.url if mode == "remote" else str(small_archive[0])
    archive = {"IBLNM_ONE_MODE": mode, "IBLNM_ONE_CACHE_DIR": None if mode == "remote" else place}
    code, said = iblnm("sync", IBLNM_PROJECT="ibl_fiberphotometry", **archive)
    assert code == 0  # the archive was reached, and is empty of it
    sentence = f"warning: no sessions of project ibl_fiberphotometry on {place}"
    assert said.count(sentence) == 1, said
    assert "warning" not in iblnm("sync", IBLNM_ROOT=str(tmp_path / "other"), **archive)[1]


def test_session_folders_that_the_tables_do_not_list(iblnm, writable_archive, tmp_path):
    archive = {"IBLNM_ONE_MODE": "local", "IBLNM_ONE_CACHE_DIR": str(writable_archive)}
    told = "session folders that are not in sessions.pqt"
    assert told not in iblnm("sync", **archive)[1]
    before = {name: pd.read_parquet(writable_archive / f"{name}.pqt") for name in TABLES}
    row = before["sessions"].iloc[0]
    old = Path(row.lab, "Subjects", row.subject, str(row.date), f"{row.number:03d}")
    new = {"2031-01-01": None, "2031-01-02": "a4ac8d6b-c9ae-4e8c-b3b1-c7a6ff1d6d3a"}
    for day, eid in new.items():
        shutil.copytree(writable_archive / old, writable_archive / old.parents[1] / day / "001")
        record = {"id": eid, "lab": row.lab, "subject": row.subject, "number": 1}
        if eid:
            record |= {"start_time": f"{day}T10:00:00", "task_protocol": "x", "projects": ["p"]}
            path = writable_archive / ".alyx" / "sessions" / f"{eid}.json"
            path.write_text(json.dumps(record))
    _, said = iblnm("sync", **archive)
    first = (old.parents[1] / "2031-01-01" / "001").as_posix()
    assert f"{told}: 2, the first is {first}: renew the tables with" in said
    assert "`iblnm sync --add-folders`" in said
    _, said = iblnm("sync", "--add-folders", **archive)
    assert said.count("it may be being copied") == 2
    assert "added to the tables: 0" in said
    _, said = iblnm("sync", "--add-folders", IBLNM_SYNC__SETTLE_S="0", **archive)
    assert "added to the tables: 2" in said
    assert "1 new sessions" in said  # the other is of project p
    assert told not in iblnm("sync", **archive)[1]
    after = {name: pd.read_parquet(writable_archive / f"{name}.pqt") for name in TABLES}
    for name in TABLES:
        kept = after[name].loc[after[name].index.isin(before[name].index)]
        pd.testing.assert_frame_equal(kept, before[name])
    added = after["sessions"].drop(before["sessions"].index).sort_values("date")
    assert added["date"].astype(str).tolist() == list(new)
    assert added.index[1] == new["2031-01-02"]
    assert added["projects"].tolist() == ["ibl_fibrephotometry", "p"]
    for eid in added.index:
        files = after["datasets"].loc[eid]
        original = before["datasets"].loc[row.name].set_index("rel_path")["file_size"]
        listed = files.set_index("rel_path")["file_size"]
        pd.testing.assert_series_equal(listed.sort_index(), original.sort_index())
    one = connect(Settings(root=tmp_path, one_cache_dir=writable_archive))
    assert dataset_path(one, added.index[0], "alf/photometry/photometry.signal.pqt").is_file()


def test_a_mirror_tells_what_is_complete(iblnm, server, small_archive, tmp_path):
    eids = sorted(session["eid"] for session in small_archive[1]["sessions"])
    place = server.model.sessions[eids[0]].path
    server.faults.add(f"{place}.*wheel.position", "wrong_hash", times=None)
    code, said = iblnm("mirror", "--datasets", "--to", str(tmp_path / "alf"))
    server.faults.clear()
    assert code == 1
    assert f"complete in {tmp_path / 'alf'}: 3 sessions; " in said
    assert "not complete: 1 session, named above" in said


def test_an_interrupted_mirror_says_how_to_go_on(iblnm, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("iblnm.archive.mirror.mirror_sessions", interrupted)
    code, said = iblnm("mirror", "--to", str(tmp_path / "alf"))
    assert code == 130
    assert "interrupted; run it again to go on" in said


def test_the_page_keeps_its_history_in_the_root(iblnm, tmp_path, monkeypatch):
    seen = []

    def probe(command: list[str], _: object) -> None:
        seen.append((command[1:4], os.environ["DAGSTER_HOME"], Path.cwd()))

    monkeypatch.setattr("iblnm_dagster.running.page.supervise", probe)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "/elsewhere")
    monkeypatch.setenv("IBLNM_DAGSTER_URL", "http://127.0.0.1:3000")  # dev sets it: put it back
    code, said = iblnm("dev")
    assert code == 0
    assert said.startswith("page             http://127.0.0.1:3")
    root = tmp_path / "root"
    services = "iblnm_dagster.workarounds.dev_services"
    assert seen == [(["-m", services, "-h"], str(root), root)]
