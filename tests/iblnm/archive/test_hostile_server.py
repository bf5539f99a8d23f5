"""A server that answers without end, sends elsewhere, or says what it was told in secret."""

from __future__ import annotations

import base64
import datetime
import gzip
import ipaddress
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from iblnm.archive.client import Client
from iblnm.archive.remote import exposed_credentials
from iblnm.config import Settings
from iblnm.errors import IblnmError, MalformedFileError, RemoteError

pytestmark = pytest.mark.slow

WORD = "data-secret"


class Server:
    """Answers what a test says; keeps the requests."""

    def __init__(self, context: ssl.SSLContext | None = None):
        own = self
        self.seen = []
        self.posted = []
        self.answer = None

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                own.seen.append((self.path, dict(self.headers)))
                own.answer(self)

            def do_POST(self):
                own.posted.append(self.path)
                body = json.dumps({"token": "t" * 40}).encode()
                own.send(self, 200, body, {"Content-Type": "application/json"})

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http" if context is None else "https"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @staticmethod
    def send(handler, status, body=b"", headers=()):
        handler.send_response(status)
        for name, value in dict(headers).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def start():
    servers = []

    def start_(context=None):
        servers.append(Server(context))
        return servers[-1]

    yield start_
    for server in servers:
        server.close()


@pytest.fixture
def make_client(tmp_path):
    def make(server, **remote):
        patience = {"max_attempts": 1, "deadline_s": 5.0, "stall_timeout_s": 2.0, **remote}
        settings = Settings(
            root=tmp_path,
            one_mode="remote",
            one_cache_dir=tmp_path / "one",
            alyx_url=server.url,
            alyx_user="me",
            alyx_password="alyx-secret",
            data_server=server.url,
            data_user="reader",
            data_password=WORD,
            remote=patience,
        )
        return Client(settings)

    return make


def test_an_answer_that_grows_a_thousandfold_is_refused(start, make_client):
    server = start()
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    assert len(bomb) < 60_000
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    server.answer = lambda handler: server.send(handler, 200, bomb, headers)
    client = make_client(server, max_answer_bytes=10_000_000)
    with pytest.raises(MalformedFileError, match="IBLNM_REMOTE__MAX_ANSWER_BYTES"):
        client.ask("sessions", "list")
    assert list(make_client(server).ask("sessions", "list")) == []


def test_a_download_without_a_recorded_size_ends(start, make_client, tmp_path):
    server = start()

    def without_end(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(bytes(1 << 16))
        except OSError:
            pass

    server.answer = without_end
    client = make_client(server, max_unrecorded_bytes=3_000_000)
    with pytest.raises(MalformedFileError, match="IBLNM_REMOTE__MAX_UNRECORDED_BYTES"):
        client.download(f"{server.url}/a.npy", tmp_path / "a.npy")
    assert (tmp_path / "a.npy").stat().st_size < 6_000_000


def test_no_credentials_follow_to_another_server(start, make_client, tmp_path):
    server, other = start(), start()
    to_other = {"Location": f"{other.url}/b.npy"}
    server.answer = lambda handler: server.send(handler, 302, b"", to_other)
    other.answer = lambda handler: other.send(handler, 200, b"content")
    make_client(server).download(f"{server.url}/a.npy", tmp_path / "a.npy")
    assert (tmp_path / "a.npy").read_bytes() == b"content"
    assert "Authorization" in server.seen[0][1]
    assert "Authorization" not in other.seen[0][1]
    with pytest.raises(IblnmError, match="the server has moved"):
        make_client(server).ask("sessions", "list")
    assert len(other.seen) == 1


def _self_signed(folder, *, days):
    """Server's side of TLS with a certificate that ends so many days from now; and the file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(place, critical=False)
    )
    certificate, private = folder / f"certificate{days}.pem", folder / f"key{days}.pem"
    encoding = serialization.Encoding.PEM
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(encoding))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(encoding, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context, certificate


@pytest.mark.parametrize(
    "days, is_known, reason",
    [(30, False, "self-signed|self signed"), (-1, True, "expired"), (30, True, None)],
)
def test_no_credentials_reach_a_server_whose_certificate_is_not_trusted(
    days, is_known, reason, start, make_client, tmp_path, monkeypatch
):
    context, certificate = _self_signed(tmp_path, days=days)
    if is_known:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server = start(context)
    json_type = {"Content-Type": "application/json"}
    server.answer = lambda handler: server.send(handler, 200, b"[]", json_type)
    client = make_client(server)
    if reason is None:  # the same server is asked once it is trusted
        assert list(client.ask("sessions", "list")) == []
        assert server.posted and server.seen
        return
    with pytest.raises(RemoteError, match=reason) as caught:
        client.ask("sessions", "list")
    assert "no trusted connection to https://127.0.0.1" in str(caught.value)
    with pytest.raises(RemoteError, match=reason):
        client.download(f"{server.url}/a.npy", tmp_path / "a.npy")
    assert not server.posted and not server.seen
    assert not (tmp_path / "a.npy").exists()


def test_credentials_that_a_server_echoes_are_not_shown(start, make_client):
    server = start()
    basic = base64.b64encode(f"reader:{WORD}".encode()).decode()
    detail = {"detail": f"no access with Basic {basic}, nor {WORD}, nor {'t' * 40}"}
    server.answer = lambda handler: server.send(
        handler, 400, json.dumps(detail).encode(), {"Content-Type": "application/json"}
    )
    with pytest.raises(IblnmError) as caught:
        make_client(server).ask("sessions", "list")
    message = str(caught.value)
    assert "no access with Basic ***, nor ***, nor ***" in message
    assert basic not in message


def test_credentials_that_others_can_read_are_told_of(tmp_path):
    file = tmp_path / "alyx.token"
    file.write_text("x")
    file.chmod(0o644)
    known = {"root": tmp_path, "alyx_token_file": file}
    (plain,) = exposed_credentials(Settings(alyx_url="https://alyx.example.org", **known))
    assert "chmod 600" in plain
    file.chmod(0o600)
    assert exposed_credentials(Settings(alyx_url="http://127.0.0.1:8000", **known)) == []
    (plain,) = exposed_credentials(Settings(alyx_url="http://alyx.example.org", **known))
    assert "plain http" in plain
