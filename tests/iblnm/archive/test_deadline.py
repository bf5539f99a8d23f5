"""Servers that never come to an end are left in time, in any thread."""

import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest
import requests
from pydantic import SecretStr

from iblnm.archive.deadline import Deadline, deadline_session, within
from iblnm.archive.transport import Call, Transport
from iblnm.config import RemoteSettings
from iblnm.errors import RemoteError, RemoteTimeout, ServerError, ServerUnreachableError

pytestmark = pytest.mark.slow

SLACK_S = 1.0
PATIENCE = RemoteSettings(
    connect_timeout_s=0.6,
    stall_timeout_s=0.6,
    deadline_s=0.8,
    max_attempts=1,
    min_bytes_per_s=20_000,
)
BODY = b'{"a": 1}'
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n"
)


@contextmanager
def serving(answer, context=None):
    """A server that gives every connection to `answer(sock, closing)`; its address."""
    closing = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def handle(sock):
        try:
            if context is not None:
                sock = context.wrap_socket(sock, server_side=True)
            answer(sock, closing)
        except OSError:
            pass  # the client has left
        finally:
            sock.close()

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    scheme = "http" if context is None else "https"
    try:
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/x"
    finally:
        closing.set()
        listener.close()


def hang(sock, closing):
    sock.recv(10_000)
    closing.wait(6)


def drip(sock, closing, part):
    # not for ever, so that a client that waits fails its test instead of hanging it
    for _ in range(60):
        if closing.wait(0.1):
            return
        sock.sendall(part)


def drip_head(sock, closing):
    sock.recv(10_000)
    sock.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    drip(sock, closing, b"a")


def drip_body(sock, closing):
    sock.recv(10_000)
    sock.sendall(HEAD % 10_000)
    drip(sock, closing, b" ")


def drip_chunks(sock, closing):
    sock.recv(10_000)
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    drip(sock, closing, b"1\r\n \r\n")


def answer_at_once(sock, closing):
    sock.recv(10_000)
    sock.sendall(HEAD % len(BODY) + BODY)


def never_read(sock, closing):
    closing.wait(6)


def call(url, method="GET", data=None):
    return Call(method, url, "GET /x", {}, data)


def transport(patience=PATIENCE):
    return Transport(patience, list)


def seconds_until(error_type, function):
    started = time.monotonic()
    with pytest.raises(error_type) as caught:
        function()
    return time.monotonic() - started, str(caught.value)


@pytest.mark.parametrize("answer", [hang, drip_head, drip_body, drip_chunks])
def test_a_server_without_end_is_left_at_the_deadline(answer):
    with serving(answer) as url:
        spent, message = seconds_until(RemoteTimeout, lambda: transport().json(call(url)))
    assert 0.5 < spent < PATIENCE.deadline_s + SLACK_S
    assert "IBLNM_REMOTE__" in message
    assert "GET /x" in message


@pytest.mark.parametrize("answer", [hang, drip_head, drip_body])
def test_also_a_login(answer):
    with serving(answer) as url:
        body = {"username": "me", "password": "secret"}
        spent, message = seconds_until(
            RemoteTimeout, lambda: transport().json(call(url, "POST", body))
        )
    assert spent < PATIENCE.deadline_s + SLACK_S
    assert "secret" not in message


@pytest.mark.parametrize("answer", [hang, drip_head, drip_body])
def test_also_in_a_daemon_thread(answer):
    errors = []

    def ask(url):
        try:
            transport().json(call(url))
        except RemoteTimeout as error:
            errors.append(error)

    with serving(answer) as url:
        thread = threading.Thread(target=ask, args=(url,), daemon=True)
        thread.start()
        thread.join(PATIENCE.deadline_s + SLACK_S)
        assert not thread.is_alive()
    assert len(errors) == 1


@pytest.mark.parametrize("answer", [drip_head, drip_body])
def test_also_a_download(answer, tmp_path):
    path = tmp_path / "file"
    with serving(answer) as url:
        spent, _ = seconds_until(
            RemoteTimeout, lambda: transport().download(call(url), path, size=10_000)
        )
    # ten thousand bytes may take half a second more, but these never come
    assert spent < PATIENCE.deadline_s + 0.5 + SLACK_S


def test_a_steady_download_may_take_longer_than_one_answer(tmp_path):
    patience = PATIENCE.model_copy(update={"deadline_s": 0.5, "min_bytes_per_s": 100_000})
    content = bytes(range(256)) * 800

    def steadily(sock, closing):
        sock.recv(10_000)
        sock.sendall(HEAD % len(content))
        for i in range(10):
            time.sleep(0.1)
            part = len(content) // 10
            sock.sendall(content[i * part : (i + 1) * part])

    with serving(steadily) as url:
        started = time.monotonic()
        path = tmp_path / "file"
        transport(patience).download(call(url), path, size=len(content))
        assert time.monotonic() - started > 2 * patience.deadline_s * 0.99
        assert path.read_bytes() == content
        spent, _ = seconds_until(RemoteTimeout, lambda: transport(patience).json(call(url)))
    assert spent < patience.deadline_s + SLACK_S


def test_attempts_together_have_a_limit():
    patience = PATIENCE.model_copy(update={"max_attempts": 50, "max_total_s": 1.5})
    with serving(hang) as url:
        spent, message = seconds_until(RemoteTimeout, lambda: transport(patience).json(call(url)))
    assert spent < patience.max_total_s + SLACK_S
    assert "tried" in message


def test_name_server_that_hangs(monkeypatch):
    released = threading.Event()

    def look_up(*_, **__):
        released.wait(6)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    url = "http://alyx.example.org/x"
    spent, message = seconds_until(ServerUnreachableError, lambda: transport().json(call(url)))
    released.set()
    assert spent < PATIENCE.connect_timeout_s + SLACK_S
    assert "IBLNM_ALYX_URL" in message


def test_host_that_does_not_answer():
    # a listener whose queue is full lets further connections wait
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        url = f"http://127.0.0.1:{address[1]}/x"
        spent, _ = seconds_until(ServerUnreachableError, lambda: transport().json(call(url)))
        for sock in waiting:
            sock.close()
    assert spent < PATIENCE.connect_timeout_s + SLACK_S


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Server context and certificate of 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
        "-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True, cwd=folder)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no openssl to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


@pytest.mark.parametrize("answer", [hang, drip_head, drip_body])
def test_also_over_tls(answer, tls, monkeypatch):
    context, certificate = tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serving(answer_at_once, context) as url:
        assert transport().json(call(url)) == {"a": 1}
    with serving(answer, context) as url:
        spent, _ = seconds_until(RemoteTimeout, lambda: transport().json(call(url)))
    assert spent < PATIENCE.deadline_s + SLACK_S


def test_tls_handshake_that_hangs(tls, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls[1]))
    with serving(never_read) as url:
        address = url.replace("http://", "https://")
        started = time.monotonic()
        with pytest.raises((RemoteTimeout, ServerUnreachableError)):
            transport().json(call(address))
    assert time.monotonic() - started < PATIENCE.connect_timeout_s + SLACK_S


def test_unknown_certificate_names_the_remedy(tls):
    with (
        serving(answer_at_once, tls[0]) as url,
        pytest.raises(RemoteError, match="REQUESTS_CA_BUNDLE"),
    ):
        transport().json(call(url))


def test_without_a_deadline_requests_is_as_usual():
    with serving(answer_at_once) as url:
        session = deadline_session()
        assert session.get(url, timeout=5).json() == {"a": 1}
        with within(Deadline(5.0)) as deadline:
            assert session.get(url, timeout=5).json() == {"a": 1}
        assert deadline.received > len(BODY)
        with within(Deadline(0.0)), pytest.raises(requests.RequestException):
            session.get(url, timeout=5)


def test_credentials_come_from_the_call_alone(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen = []

    def answer(sock, closing):
        seen.append(sock.recv(10_000).decode())
        sock.sendall(HEAD % len(BODY) + BODY)

    with serving(answer) as url:
        headers = {"Authorization": "Token abc"}
        transport().json(Call("GET", url, "x", headers))
        transport().json(Call("GET", url, "x", {}, auth=("me", SecretStr("pw"))))
        transport().json(Call("GET", url, "x", {}))
    assert "Authorization: Token abc" in seen[0]
    assert "Authorization: Basic bWU6cHc=" in seen[1]
    assert "Authorization" not in seen[2]


def test_what_a_server_repeats_is_redacted():
    def repeat(sock, closing):
        body = b'{"detail": "user me with password hush and token t0ken"}'
        sock.recv(10_000)
        sock.sendall(HEAD.replace(b"200 OK", b"500 No") % len(body) + body)

    with serving(repeat) as url, pytest.raises(ServerError) as caught:
        said = call(url, data={"password": "hush"})
        assert "hush" not in repr(said)
        Transport(PATIENCE, lambda: ["hush", "t0ken", ""]).json(said)
    assert "user me with password *** and token ***" in str(caught.value)


def test_a_server_that_moved_is_named():
    def move(sock, closing):
        sock.recv(10_000)
        sock.sendall(b"HTTP/1.1 301 Moved\r\nLocation: https://new.org/x?password=hush\r\n")
        sock.sendall(b"Content-Length: 0\r\n\r\n")

    with serving(move) as url, pytest.raises(RemoteError, match="set IBLNM_ALYX_URL to") as caught:
        transport().json(call(url))
    assert str(caught.value).endswith("https://new.org")
