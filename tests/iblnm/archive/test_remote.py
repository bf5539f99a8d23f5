"""The door to Alyx: what is tried again, what is not, and what the messages say."""

import itertools
import json
import multiprocessing
import re
import threading
import time
from pathlib import Path

import pytest
from bench.alyx import AlyxServer, synthetic

from iblnm.archive.changes import RemoteChanges
from iblnm.archive.connection import connect
from iblnm.archive.records import records_of
from iblnm.archive.remote import rest
from iblnm.archive.sessions import list_sessions
from iblnm.archive.transient import is_transient
from iblnm.config import Settings
from iblnm.demo.alyx.server import USER
from iblnm.errors import (
    AuthenticationError,
    IblnmError,
    MissingFileError,
    NotFoundError,
    RemoteError,
    RemoteTimeout,
    ServerError,
    ServerUnreachableError,
    TransientError,
    UnreadableFileError,
)

QUICK = {
    "connect_timeout_s": 0.5,
    "stall_timeout_s": 0.5,
    "deadline_s": 1.0,
    "first_backoff_s": 0.02,
    "max_attempts": 3,
}


@pytest.fixture
def server():
    with AlyxServer(synthetic(60, seed=1)) as server:
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of the test's own, in which nothing may be written."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def settings(server, tmp_path):
    return Settings(
        root=tmp_path / "root",
        one_mode="remote",
        alyx_url=server.url,
        alyx_user=USER,
        alyx_password=server.password,
        remote=QUICK,
    )


def asked(server, path):
    return [request for request in server.requests if request.path.startswith(path)]


def test_records_and_pages(server, settings):
    one = connect(settings)
    page = rest(one, "sessions", "list", limit=10)
    assert len(page) == 10
    assert page.count == 60
    eid = page[0]["id"]
    assert rest(one, "sessions", "read", eid)["id"] == eid
    assert rest(one, "subjects", "read", page[0]["subject"])["nickname"] == page[0]["subject"]
    assert rest(one, "sessions", "list", django=["id", eid])[0]["id"] == eid
    with pytest.raises(ValueError, match="delete"):
        rest(one, "sessions", "delete", eid)
    # neither the description of all endpoints nor a second login is needed
    assert not asked(server, "/api/schema")
    assert len(asked(server, "/auth-token")) == 1


@pytest.mark.parametrize("ahead_s", [0.0, 86400.0, -3600.0])
def test_answers_tell_of_the_servers_clock(server, settings, ahead_s):
    server.clock_ahead_s = ahead_s
    one = connect(settings)
    assert one.alyx.clock_ahead_s == pytest.approx(ahead_s, abs=10.0)
    assert RemoteChanges(one, settings.project).clock_ahead_s == one.alyx.clock_ahead_s


def test_absent_records_are_none(settings):
    records = records_of(connect(settings))
    assert records.session("96268231-87d4-3791-b39f-6e3059cfa72e") is None
    assert records.subject("nobody") is None
    assert records.insertions("96268231-87d4-3791-b39f-6e3059cfa72e") == []


def test_all_sessions_are_listed(server, settings):
    listed = list_sessions(connect(settings), settings.project)
    assert sorted(listed["eid"]) == sorted(server.model.eids(settings.project))


@pytest.mark.parametrize(
    "kind", [429, 500, 502, 503, "reset", "truncated", "html", "hang", "drip"]
)
@pytest.mark.slow
def test_a_fault_that_passes_is_tried_again(server, settings, kind):
    one = connect(settings)
    server.faults.add("GET /sessions", kind, times=1)
    assert rest(one, "sessions", "list").count == 60
    assert len(asked(server, "/sessions")) == 2


@pytest.mark.parametrize(
    ("kind", "error_type", "text"),
    [
        (429, ServerError, "HTTP 429"),
        (500, ServerError, "HTTP 500"),
        ("reset", ServerUnreachableError, "no connection"),
        ("truncated", ServerError, "broke off"),
        ("html", ServerError, "HTML, not JSON"),
        ("hang", RemoteTimeout, "IBLNM_REMOTE__STALL_TIMEOUT_S"),
        ("drip", RemoteTimeout, "IBLNM_REMOTE__DEADLINE_S"),
    ],
)
@pytest.mark.slow
def test_a_fault_that_stays_is_given_up(server, settings, kind, error_type, text):
    one = connect(settings)
    server.faults.add("GET /sessions", kind, times=None)
    with pytest.raises(error_type, match=text) as caught:
        rest(one, "sessions", "list")
    assert "tried 3 times" in str(caught.value)
    assert len(asked(server, "/sessions")) == QUICK["max_attempts"]
    assert is_transient(caught.value)


@pytest.mark.parametrize(
    ("kind", "error_type", "n_asked"),
    # the credentials may only have expired: one new login, one more attempt
    [
        (400, RemoteError, 1),
        (403, RemoteError, 1),
        (404, NotFoundError, 1),
        (401, AuthenticationError, 2),
    ],
)
def test_a_refusal_is_not_tried_again(server, settings, kind, error_type, n_asked):
    one = connect(settings)
    server.faults.add("GET /sessions", kind, times=None)
    with pytest.raises(error_type, match=f"HTTP {kind}") as caught:
        rest(one, "sessions", "list")
    assert len(asked(server, "/sessions")) == n_asked
    assert not is_transient(caught.value)
    assert caught.value.status == kind


@pytest.mark.slow
def test_waits_grow_and_have_a_limit(server, settings):
    one = connect(settings)
    server.faults.add("GET /sessions", 500, times=None)
    patient = settings.remote.model_copy(update={"first_backoff_s": 0.2, "max_attempts": 4})
    one = connect(settings.model_copy(update={"remote": patient}))
    with pytest.raises(ServerError):
        rest(one, "sessions", "list")
    times = [request.time for request in asked(server, "/sessions")]
    waits = [after - before for before, after in itertools.pairwise(times)]
    for wait, full in zip(waits, (0.2, 0.4, 0.8), strict=True):
        assert full / 2 <= wait <= full + 0.15
    started = time.monotonic()
    with pytest.raises(ServerError):
        rest(one, "sessions", "list", max_total_s=0.5)
    assert time.monotonic() - started < 0.6


@pytest.mark.slow
def test_the_server_says_how_long_to_wait(server, settings):
    one = connect(settings)
    server.faults.add("GET /sessions", 429, times=1, retry_after=1)
    started = time.monotonic()
    assert rest(one, "sessions", "list").count == 60
    assert 1.0 <= time.monotonic() - started < 1.5
    # longer than is allowed in all: given up at once
    server.faults.add("GET /sessions", 503, times=1, retry_after=3600)
    started = time.monotonic()
    with pytest.raises(ServerError, match="tried once"):
        rest(one, "sessions", "list")
    assert time.monotonic() - started < 0.5


def test_an_expired_token_is_renewed_once(server, settings):
    one = connect(settings)
    server.revoke_tokens()
    assert rest(one, "sessions", "list").count == 60
    assert len(asked(server, "/auth-token")) == 2
    server.revoke_tokens()
    server.requests.clear()
    errors = []

    def ask():
        try:
            rest(one, "sessions", "list")
        except IblnmError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(asked(server, "/auth-token")) == 1


def test_an_expired_token_and_a_password_that_changed(server, settings):
    one = connect(settings)
    server.revoke_tokens()
    server.password = "another"
    with pytest.raises(AuthenticationError, match="IBLNM_ALYX_PASSWORD") as caught:
        rest(one, "sessions", "list")
    assert settings.alyx_password.get_secret_value() not in str(caught.value)


def test_token_file(server, settings, tmp_path):
    file = tmp_path / "token"
    by_token = settings.model_copy(
        update={"alyx_token_file": file, "alyx_password": None, "alyx_user": None}
    )
    with pytest.raises(MissingFileError, match="token"):
        connect(by_token)
    file.write_text(" \n")
    with pytest.raises(UnreadableFileError, match="empty"):
        connect(by_token)
    file.write_text(server.new_token() + "\n")
    one = connect(by_token)
    assert rest(one, "sessions", "list").count == 60
    assert not asked(server, "/auth-token")
    server.revoke_tokens()
    with pytest.raises(AuthenticationError, match=r"/auth-token gives .* into .*token") as caught:
        rest(one, "sessions", "list")
    assert file.read_text().strip() not in str(caught.value)
    file.write_text(server.new_token())
    assert rest(one, "sessions", "list").count == 60


def test_login_is_refused(settings):
    with pytest.raises(AuthenticationError) as caught:
        connect(settings.model_copy(update={"alyx_user": "somebody"}))
    message = str(caught.value)
    assert "Unable to log in with provided credentials" in message
    assert "check IBLNM_ALYX_USER and IBLNM_ALYX_PASSWORD" in message
    assert settings.alyx_password.get_secret_value() not in message


def test_wrong_addresses_name_the_setting(server, settings):
    for url in ("http://127.0.0.1:9", "http://no-such-host.invalid"):
        with pytest.raises(ServerUnreachableError, match="is IBLNM_ALYX_URL right"):
            connect(settings.model_copy(update={"alyx_url": url}))
    for url in ("alyx.example.org", "http://"):
        with pytest.raises(RemoteError, match="is IBLNM_ALYX_URL the address"):
            connect(settings.model_copy(update={"alyx_url": url}))
    server.faults.add("POST /auth-token", 404, times=1)
    with pytest.raises(RemoteError, match="is IBLNM_ALYX_URL the address"):
        connect(settings)
    server.faults.add("POST /auth-token", "html", times=None)
    with pytest.raises(ServerError, match="is IBLNM_ALYX_URL the address of an Alyx server"):
        connect(settings)


def test_settings_that_are_missing(settings):
    for missing, named in (
        ({"alyx_url": None}, "IBLNM_ALYX_URL"),
        ({"alyx_password": None}, "IBLNM_ALYX_PASSWORD or IBLNM_ALYX_TOKEN_FILE"),
        ({"alyx_user": None}, "IBLNM_ALYX_USER"),
    ):
        with pytest.raises(IblnmError, match=named):
            connect(settings.model_copy(update=missing))


def test_addresses_hold_no_credentials():
    for name in ("alyx_url", "data_server"):
        with pytest.raises(IblnmError) as caught:
            Settings(**{name: "https://me:very-secret@alyx.example.org"})
        assert "very-secret" not in str(caught.value)


def test_texts_of_the_client_hold_no_secrets(settings):
    one = connect(settings)
    secrets = settings.alyx_password.get_secret_value(), one.alyx._token["token"]
    for text in (repr(one), repr(one.alyx), repr(settings), settings.model_dump_json()):
        assert not any(secret in text for secret in secrets)


def test_the_home_stays_empty(settings, home):
    one = connect(settings)
    rest(one, "sessions", "list")
    one.search(subject="SYN-001")
    one.alyx.logout()
    del one
    assert list(home.rglob("*")) == []
    assert not (settings.cache_dir / ".rest").exists()


def test_answers_are_never_stale(server, settings):
    one = connect(settings)
    before = rest(one, "sessions", "list").count
    server.model.register_session()
    assert rest(one, "sessions", "list").count == before + 1
    server.faults.add("GET /sessions", 500, times=None)
    with pytest.raises(TransientError):
        rest(one, "sessions", "list")


@pytest.mark.slow
def test_methods_of_the_library(server, settings):
    """What notebooks call on ONE goes through the same door."""
    import requests

    server.model.add_dataset(
        eid := server.model.eids()[0], "alf/thing.values.npy", content := _npy([1, 2, 3])
    )
    one = connect(settings)
    subject = server.model.sessions[eid].fields["subject"]
    assert eid in map(str, one.search(subject=subject))
    assert "alf/thing.values.npy" in one.list_datasets(eid)
    assert one.load_dataset(eid, "thing.values.npy").tolist() == [1, 2, 3]
    path = one.load_dataset(eid, "thing.values.npy", download_only=True)
    assert path.read_bytes() == content
    with pytest.raises(requests.HTTPError) as caught:
        one.alyx.rest("sessions", "read", id="96268231-87d4-3791-b39f-6e3059cfa72e")
    assert caught.value.response.status_code == 404
    server.faults.add("GET /sessions", "hang", times=None)
    with pytest.raises(RemoteTimeout):
        one.list_datasets(eid)


def test_a_client_of_the_users_own(tmp_path):
    import requests

    class Alyx:
        def rest(self, endpoint, action, id=None, **query):
            if action == "list":
                return [query]
            response = requests.Response()
            response.status_code = int(id)
            raise requests.HTTPError("no", response=response)

    class One:
        alyx = Alyx()

    page = rest(One(), "sessions", "list", subject="M1")
    assert page == [{"subject": "M1", "no_cache": True}]
    assert page.count == 1
    with pytest.raises(NotFoundError):
        rest(One(), "sessions", "read", "404")
    with pytest.raises(requests.HTTPError):
        rest(One(), "sessions", "read", "500")


def _npy(values):
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.array(values))
    return buffer.getvalue()


def _start(settings, eid, barrier, results):
    barrier.wait()
    try:
        one = connect(settings)
        results.put((rest(one, "sessions", "list").count, len(one.list_datasets(eid))))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
        results.put(repr(error))


@pytest.mark.slow
def test_processes_that_start_at_once(server, settings, home):
    n_processes = 6
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(n_processes), context.Queue()
    eid = server.model.eids()[0]
    processes = [
        context.Process(target=_start, args=(settings, eid, barrier, results))
        for _ in range(n_processes)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert found == [(60, len(server.model.sessions[eid].datasets))] * n_processes
    assert len(asked(server, "/auth-token")) == n_processes
    assert list(home.rglob("*")) == []


@pytest.mark.slow
def test_messages_are_short_and_plain(server, settings):
    one = connect(settings)
    for kind in (400, 401, 403, 404, 429, 500, "hang", "drip", "reset", "truncated", "html"):
        server.faults.clear()
        server.faults.add("GET /sessions", kind, times=None)
        with pytest.raises(IblnmError) as caught:
            rest(one, "sessions", "list")
        message = str(caught.value)
        assert message.startswith("GET /sessions: ")
        assert server.url in message
        assert "\n" not in message
        assert not re.search(r"0x[0-9a-f]+|object at|urllib3|requests\.", message)
        assert len(message) < 300
        json.dumps(message)


@pytest.mark.slow
def test_the_messages_of_the_documentation_are_true(server, settings, tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "alyx.md").read_text(encoding="utf-8")
    listed = page.partition("What you may see:\n\n```\n")[2].partition("\n```")[0].splitlines()
    patient = settings.remote.model_copy(update={"max_attempts": 4})
    settings = settings.model_copy(update={"remote": patient})
    file = tmp_path / "alyx.token"
    by_token = settings.model_copy(update={"alyx_token_file": file})
    seen = []

    def see(ask, *, instead_of=server.url):
        with pytest.raises(IblnmError) as caught:
            ask()
        message = str(caught.value).replace(instead_of, "https://alyx.example.org")
        seen.append(message.replace(str(file), "/home/me/alyx.token"))

    see(lambda: connect(settings.model_copy(update={"alyx_user": "me"})))
    file.write_text(server.new_token())
    one = connect(by_token)
    server.revoke_tokens()
    see(lambda: rest(one, "sessions", "list"))
    closed = "http://127.0.0.1:9"
    see(lambda: connect(settings.model_copy(update={"alyx_url": closed})), instead_of=closed)
    one = connect(settings)
    server.faults.add("GET /sessions", "hang", times=None)
    see(lambda: rest(one, "sessions", "list"))
    server.faults.add("POST /auth-token", "html", times=None)
    see(lambda: connect(settings))

    def timeless(message):
        return re.sub(r"than [0-9.]+ s|, [0-9.]+ s in all|user '\w+'", "", message)

    assert list(map(timeless, listed)) == list(map(timeless, seen))
