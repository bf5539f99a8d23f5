"""The HTTP side of the demo server."""

from __future__ import annotations

import json
import secrets
import socket
import struct
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from iblnm.demo.alyx import schema
from iblnm.demo.alyx.endpoints import ENDPOINTS
from iblnm.demo.alyx.faults import Fault, Faults
from iblnm.demo.alyx.model import AlyxModel
from iblnm.demo.alyx.pages import page
from iblnm.demo.alyx.query import QueryError

USER = "demo"
PASSWORD = "demo-password"
_LOGGED = 100_000
_UUID_LENGTH = 36


@dataclass(frozen=True)
class Request:
    """One request that the server has seen.

    Parameters
    ----------
    method, path : str
    params : dict
        Query parameters.
    time : float
        Seconds of `time.monotonic`.
    status : int
        Status of the answer; 0 if a fault left none.
    fault : int, str or None
        Kind of the fault shown.
    """

    method: str
    path: str
    params: dict[str, str]
    time: float
    status: int
    fault: int | str | None


class _Log(deque[Request]):
    """Requests, which can be gone through while others come in."""

    def __iter__(self) -> Iterator[Request]:
        return iter(list(super().__iter__()))


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
    faults : Faults
    requests : deque of Request
        The latest 100,000.

    Examples
    --------
    >>> from iblnm.demo.alyx import AlyxModel
    >>> with AlyxServer(AlyxModel()) as server:
    ...     server.url.startswith("http://127.0.0.1:")
    True
    """

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
        self.faults = Faults()
        self.requests = _Log(maxlen=_LOGGED)
        self.closing = threading.Event()
        self.password = password
        self._tokens: set[str] = set()
        self._http = _Http(("127.0.0.1", port), _Handler)
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

    def revoke_tokens(self) -> None:
        """Let all tokens be invalid, as if they had expired."""
        self._tokens.clear()

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept by the server, not printed."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def _serve(self) -> None:
        alyx = self.server.alyx
        split = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(split.path)
        params = dict(urllib.parse.parse_qsl(split.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        words = urllib.parse.unquote(self.path)
        fault = alyx.faults.of(f"{self.command} {words}")
        status, content, kind = self._planned(fault)
        if fault is None or status == 0:
            try:
                with alyx.model.lock:
                    status, content, kind = self._answer(path, params, body)
            except _Refused as refusal:
                status, content, kind = _failure(refusal.status, str(refusal))
            except QueryError as error:
                status, content, kind = _failure(500, str(error))
        shown = None if fault is None else fault.kind
        silent = shown in ("hang", "reset")
        alyx.requests.append(
            Request(self.command, path, params, time.monotonic(), 0 if silent else status, shown)
        )
        self._send(status, content, kind, fault)

    def _planned(self, fault: Fault | None) -> tuple[int, bytes, str]:
        if fault is not None and isinstance(fault.kind, int):
            return _failure(fault.kind, "a fault on demand")
        if fault is not None and fault.kind == "html":
            return 200, b"<html><body>Please sign in</body></html>", "text/html"
        return 0, b"", ""

    def _answer(self, path: str, params: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
        alyx = self.server.alyx
        if path == "/auth-token":
            return self._log_in(body)
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

    def _log_in(self, body: bytes) -> tuple[int, bytes, str]:
        text = body.decode()
        given = json.loads(text) if text.startswith("{") else dict(urllib.parse.parse_qsl(text))
        if (given.get("username"), given.get("password")) != (USER, self.server.alyx.password):
            detail = {"non_field_errors": ["Unable to log in with provided credentials."]}
            return 400, json.dumps({**detail, "status_code": 400}).encode(), "application/json"
        return _json({"token": self.server.alyx.new_token()})

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

    def _send(self, status: int, content: bytes, kind: str, fault: Fault | None) -> None:
        shown = None if fault is None else fault.kind
        if shown == "hang":
            self.server.alyx.closing.wait()
            self.close_connection = True
            return
        if shown == "reset":
            # closing with this option sends a reset instead of an orderly end
            self.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self.close_connection = True
            self.connection.close()
            return
        if shown == "wrong_hash":
            content = content[:-1] + bytes([content[-1] ^ 1]) if content else content
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if fault is not None and status in (429, 503):
            self.send_header("Retry-After", f"{fault.retry_after:g}")
        if status in (401, 403):
            self.send_header("WWW-Authenticate", "Token")
        if shown == "truncated":
            content = content[: len(content) // 2]
            self.close_connection = True
        if shown == "drip":
            self.end_headers()
            self._drip(content, fault.delay_s if fault else 0.0)
            return
        self._headers_buffer.append(b"\r\n")
        # one packet: a second small one would wait for the client's acknowledgement
        head = b"".join(self._headers_buffer)
        self._headers_buffer = []
        self.wfile.write(head + content)

    def _drip(self, content: bytes, delay_s: float) -> None:
        for i in range(len(content)):
            if self.server.alyx.closing.wait(delay_s):
                self.close_connection = True
                return
            self.wfile.write(content[i : i + 1])


def _json(value: Any) -> tuple[int, bytes, str]:
    return 200, json.dumps(value).encode(), "application/json"


def _failure(status: int, detail: str) -> tuple[int, bytes, str]:
    if status == 401 or (status == 403 and detail == "a fault on demand"):
        detail = "You do not have permission to perform this action."
    body = {"detail": detail, "status_code": status}
    return status, json.dumps(body).encode(), "application/json"
