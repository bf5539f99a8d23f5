"""The demo server with a log of requests, and faults on demand."""

from __future__ import annotations

import base64
import socket
import struct
import time
import urllib.parse
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.alyx.faults import Fault, Faults
from iblnm.demo.alyx import server as demo

_LOGGED = 100_000
_ON_DEMAND = "a fault on demand"
_UNKNOWN_READER = 401, b"<html><h1>Authorization Required</h1></html>", "text/html"
_NO_PERMISSION = "You do not have permission to perform this action."


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


class AlyxServer(demo.AlyxServer):
    """The demo server; see `iblnm.demo.alyx.server.AlyxServer`.

    Attributes
    ----------
    faults : Faults
    requests : deque of Request
        The latest 100,000.
    clock_ahead_s : float
        By how much the dates of the answers are ahead of this machine's clock [s].
    reader : tuple of str or None
        User and password that the file server asks for (HTTP basic authentication).
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self.faults = Faults()
        self.requests = _Log(maxlen=_LOGGED)
        self.clock_ahead_s = 0.0
        self.reader: tuple[str, str] | None = None
        super().__init__(*args, **kwargs)

    def revoke_tokens(self) -> None:
        """Let all tokens be invalid, as if they had expired."""
        self._tokens.clear()


class _Handler(demo.Handler):
    def serve(self) -> None:
        """Answer, or show the fault that is planned for the request."""
        alyx = self.server.alyx
        split = urllib.parse.urlsplit(self.path)
        fault = alyx.faults.of(f"{self.command} {urllib.parse.unquote(self.path)}")
        shown = None if fault is None else fault.kind
        status, content, kind = self.answer() if self._may_read() else _UNKNOWN_READER
        if shown == "one_line":
            content = content.replace(b"\n", b"")
        if isinstance(shown, int):
            detail = _NO_PERMISSION if shown in (401, 403) else _ON_DEMAND
            status, content, kind = demo.failure(shown, detail)
        elif shown == "html":
            page = b"<html><body>Please sign in</body></html>"
            status, content, kind = 200, page, "text/html"
        silent = shown in ("hang", "reset")
        path, params = urllib.parse.unquote(split.path), dict(urllib.parse.parse_qsl(split.query))
        alyx.requests.append(
            Request(self.command, path, params, time.monotonic(), 0 if silent else status, shown)
        )
        if fault is None:
            self.send(status, content, kind)
        elif silent:
            self._break_off(shown)
        else:
            self._send_faulty(status, content, kind, fault)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Date of the answer, by the server's clock."""
        seconds = time.time() if timestamp is None else timestamp
        return super().date_time_string(seconds + self.server.alyx.clock_ahead_s)

    def _may_read(self) -> bool:
        reader = self.server.alyx.reader
        if reader is None or not self.path.startswith("/data/"):
            return True
        known = base64.b64encode(":".join(reader).encode()).decode()
        return self.headers.get("Authorization") == f"Basic {known}"

    def _break_off(self, shown: str) -> None:
        self.close_connection = True
        if shown == "hang":
            self.server.alyx.closing.wait()
            return
        # closing with this option sends a reset instead of an orderly end
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def _send_faulty(self, status: int, content: bytes, kind: str, fault: Fault) -> None:
        headers = {"Content-Length": str(len(content))}
        if status in (429, 503):
            headers["Retry-After"] = f"{fault.retry_after:g}"
        if fault.kind == "drip":
            self.send_head(status, {"Content-Type": kind, **headers})
            self.end_headers()
            self._drip(content, fault.delay_s)
            return
        if fault.kind == "wrong_hash" and content:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault.kind == "truncated":
            content = content[: len(content) // 2]
            self.close_connection = True
        self.send(status, content, kind, headers)

    def _drip(self, content: bytes, delay_s: float) -> None:
        for i in range(len(content)):
            if self.server.alyx.closing.wait(delay_s):
                self.close_connection = True
                return
            self.wfile.write(content[i : i + 1])


AlyxServer.handler = _Handler
