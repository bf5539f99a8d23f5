"""The HTTP side of the demo server."""

from __future__ import annotations

import html
import json
import secrets
import threading
import urllib.parse
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from iblnm.demo.alyx import schema
from iblnm.demo.alyx.endpoints import ENDPOINTS
from iblnm.demo.alyx.model import AlyxModel
from iblnm.demo.alyx.pages import page
from iblnm.demo.alyx.query import QueryError

USER = "demo"
PASSWORD = "demo-password"
_UUID_LENGTH = 36

Answer = tuple[int, bytes, str]
"""Status, content, media type."""


class AlyxServer:
    """Serves a model on 127.0.0.1 until the block is left.

    Parameters
    ----------
    model : AlyxModel
    files_dir : Path, optional
        Archive whose files are handed out for datasets without content of their own.
    port : int
        0 takes a free one.
    password : str
        Of the user `USER`.

    Attributes
    ----------
    url : str
        Address of the REST; files are below ``<url>/data``.

    Examples
    --------
    >>> from iblnm.demo.alyx import AlyxModel
    >>> with AlyxServer(AlyxModel()) as server:
    ...     server.url.startswith("http://127.0.0.1:")
    True
    """

    handler: type[Handler]

    def __init__(
        self,
        model: AlyxModel,
        files_dir: Path | str | None = None,
        *,
        port: int = 0,
        password: str = PASSWORD,
    ):
        self.model = model
        self.files_dir = None if files_dir is None else Path(files_dir)
        self.closing = threading.Event()
        self.password = password
        self._tokens: set[str] = set()
        self._http = _Http(("127.0.0.1", port), self.handler)
        self._http.alyx = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> AlyxServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    def new_token(self) -> str:
        """A token that is accepted from now on."""
        token = secrets.token_hex(20)
        self._tokens.add(token)
        return token

    def is_valid(self, authorization: str | None) -> bool:
        """Whether a header ``Authorization`` is accepted."""
        return (authorization or "").removeprefix("Token ") in self._tokens

    def environment(self) -> dict[str, str]:
        """Settings of iblnm that connect to this server."""
        return {
            "IBLNM_ONE_MODE": "remote",
            "IBLNM_ALYX_URL": self.url,
            "IBLNM_ALYX_USER": USER,
            "IBLNM_ALYX_PASSWORD": self.password,
            "IBLNM_DATA_SERVER": f"{self.url}/data",
        }


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # a thread that drips must not keep the server from closing
    block_on_close = False
    request_queue_size = 64
    alyx: AlyxServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away, as the base class would."""


class _Refused(Exception):
    def __init__(self, status: int, detail: str):
        super().__init__(detail)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed of a request."""

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def do_PATCH(self) -> None:
        self.serve()

    def serve(self) -> None:
        """Answer the request."""
        self.send(*self.answer())

    def answer(self) -> Answer:
        """Status, content and media type of the answer."""
        split = urllib.parse.urlsplit(self.path)
        params = dict(urllib.parse.parse_qsl(split.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            with self.server.alyx.model.lock:
                return self._answer(urllib.parse.unquote(split.path), params, body)
        except _Refused as refusal:
            return failure(refusal.status, str(refusal))
        except QueryError as error:
            return failure(500, str(error))

    def send(
        self, status: int, content: bytes, kind: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an answer, with its length as that of the content."""
        length = {"Content-Type": kind, "Content-Length": str(len(content))}
        self.send_head(status, {**length, **(headers or {})})
        # one packet: a second small one would wait for the client's acknowledgement
        head = b"".join(self._headers_buffer) + b"\r\n"
        self._headers_buffer = []
        self.wfile.write(head + content)

    def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Prepare the head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status in (401, 403):
            self.send_header("WWW-Authenticate", "Token")

    def _answer(self, path: str, params: dict[str, str], body: bytes) -> Answer:
        alyx = self.server.alyx
        if path == "/auth-token":
            return self._log_in(body)
        if path.startswith("/data/") and path.endswith("/"):
            return 200, self._listing(path.removeprefix("/data/")), "text/html"
        if path.startswith("/data/"):
            return 200, self._file(path), "application/octet-stream"
        if not alyx.is_valid(self.headers.get("Authorization")):
            raise _Refused(403, "Invalid token.")
        if path == "/me":
            return _json({"username": USER})
        if path == "/api/schema":
            return _json(schema.openapi())
        name, _, key = path.strip("/").partition("/")
        endpoint = ENDPOINTS.get(name)
        if endpoint is None:
            raise _Refused(404, "Not found.")
        if not key:
            content = page(alyx.model, name, params, alyx.url)
            return 200, content, "application/json"
        item = endpoint.items(alyx.model).get(key)
        if item is None:
            raise _Refused(404, "Not found.")
        return _json(endpoint.detail(alyx.model, item, alyx.url))

    def _log_in(self, body: bytes) -> Answer:
        text = body.decode()
        given = json.loads(text) if text.startswith("{") else dict(urllib.parse.parse_qsl(text))
        if (given.get("username"), given.get("password")) != (USER, self.server.alyx.password):
            detail = {"non_field_errors": ["Unable to log in with provided credentials."]}
            return 400, json.dumps({**detail, "status_code": 400}).encode(), "application/json"
        return _json({"token": self.server.alyx.new_token()})

    def _listing(self, path: str) -> bytes:
        """The page of a folder, as file servers show it."""
        root = self.server.alyx.files_dir
        folder = None if root is None else (root / path).resolve()
        if folder is None or not folder.is_relative_to(root.resolve()) or not folder.is_dir():
            raise _Refused(404, "Not found.")
        found = sorted(item for item in folder.iterdir() if not item.name.startswith("."))
        names = ["../", *(item.name + "/" * item.is_dir() for item in found)]
        links = [f'<a href="{urllib.parse.quote(name)}">{html.escape(name)}</a>' for name in names]
        head = f"<html>\n<head><title>Index of /{html.escape(path)}</title></head>\n<body>\n"
        return (head + "\n".join(links) + "\n</body>\n</html>\n").encode()

    def _file(self, path: str) -> bytes:
        alyx = self.server.alyx
        words = path.rpartition("/")[2].split(".")
        key = next((word for word in words if len(word) == _UUID_LENGTH), "")
        dataset = alyx.model.datasets.get(key)
        if dataset is None:
            raise _Refused(404, "Not found.")
        if dataset.content is not None:
            return dataset.content
        session = alyx.model.sessions[dataset.eid]
        on_disk = (alyx.files_dir or Path()) / session.path / dataset.rel_path
        if alyx.files_dir is None or not on_disk.is_file():
            raise _Refused(404, "Not found.")
        return on_disk.read_bytes()


AlyxServer.handler = Handler


def _json(value: Any) -> Answer:
    return 200, json.dumps(value).encode(), "application/json"


def failure(status: int, detail: str) -> Answer:
    """The answer to a request that is refused."""
    body = {"detail": detail, "status_code": status}
    return status, json.dumps(body).encode(), "application/json"
