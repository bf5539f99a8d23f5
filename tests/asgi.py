"""Requests to an ASGI application, without a server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

ADDRESS = "127.0.0.1:3000"


def _scope(kind: str, target: str, headers: dict[str, str | None]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    given = {"host": ADDRESS, **headers}
    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "subprotocols": ["graphql-ws"],
        "headers": [(k.encode(), v.encode()) for k, v in given.items() if v is not None],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 3000),
    }


def _exchange(app: Any, scope: dict, received: list[dict]) -> list[dict]:
    sent: list[dict] = []

    async def receive() -> dict:
        if received:
            return received.pop(0)
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def ask(
    app: Any, method: str, target: str, body: bytes | dict = b"", **headers: str | None
) -> tuple[int, dict[str, list[str]], bytes]:
    """Status, headers and body of an answer; in names of headers ``_`` stands for ``-``."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("content-length", str(len(content)))
    scope = {**_scope("http", target, named), "method": method}
    messages = _exchange(app, scope, [{"type": "http.request", "body": content}])
    start = messages[0]
    found: dict[str, list[str]] = {}
    for name, value in start["headers"]:
        found.setdefault(name.decode().lower(), []).append(value.decode())
    return start["status"], found, b"".join(m.get("body", b"") for m in messages[1:])


def connect(app: Any, target: str, *texts: dict, **headers: str | None) -> list[dict]:
    """What a WebSocket is sent that says something and leaves."""
    received = [
        {"type": "websocket.connect"},
        *({"type": "websocket.receive", "text": json.dumps(text)} for text in texts),
        {"type": "websocket.disconnect", "code": 1000},
    ]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _exchange(app, _scope("websocket", target, named), received)
