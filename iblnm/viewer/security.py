"""Who may talk to a page of this machine: scripts that it served itself, under a known name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iblnm.constants import LOOPBACK

LOCAL_HOSTS = tuple(f"[{name}]" if ":" in name else name for name in LOOPBACK)
OWN_HEADER = "x-iblnm-viewer"
MAX_BODY = 16_384
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ISOLATION = {
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_REFUSED = 1008


@dataclass(frozen=True)
class Rules:
    """What a page asks of those who write to it."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every answer that does not have them."""
    own_header: str = ""
    """A header that has to be ``1``, which a form cannot set."""
    max_body: int | None = None
    """Bytes of a request."""
    posted_only: tuple[str, ...] = ()
    """Ends of paths at which nothing is asked in the address."""


VIEWER = Rules(
    headers={
        "content-security-policy": POLICY,
        "referrer-policy": "no-referrer",
        **ISOLATION,
    },
    own_header=OWN_HEADER,
    max_body=MAX_BODY,
)


class Guard:
    """Refuse requests under a foreign name, and from elsewhere those that could write.

    A web page of another site can make a browser send requests here: under a name of its own
    that it lets resolve to 127.0.0.1 (DNS rebinding; refused by the Host header), as an image or
    a link (which only read), as a form, a script's request or a WebSocket (refused by the Origin
    header, which a browser sets and a page cannot).

    Parameters
    ----------
    app : ASGI application
    hosts : tuple of str
        Names under which the page may be asked.
    rules : Rules
    """

    def __init__(
        self, app: ASGIApp, hosts: tuple[str, ...] = LOCAL_HOSTS, rules: Rules = VIEWER
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["type"] == "websocket":
            if self._refused_name(headers) or _foreign(headers):
                await send({"type": "websocket.close", "code": _REFUSED})
                return
            await self._app(scope, receive, send)
            return
        if reason := self._refusal(scope, headers):
            answer = Response(f"refused: {reason}\n", 403, dict(self._rules.headers))
            await answer(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.encode(), value.encode())
                        for name, value in self._rules.headers.items()
                        if name.encode() not in own
                    ),
                ]
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _refused_name(self, headers: Headers) -> str:
        if _name(headers.get("host", "")) in self._hosts:
            return ""
        return "the page is not asked under a name of this machine"

    def _refusal(self, scope: Scope, headers: Headers) -> str:
        rules, method = self._rules, scope["method"]
        if reason := self._refused_name(headers):
            return reason
        if method in ("GET", "HEAD"):
            closed = scope["path"].rstrip("/").endswith(rules.posted_only or ("\0",))
            return "questions are posted" if closed and scope["query_string"] else ""
        if method != "POST":
            return f"no {method}"
        if rules.own_header and headers.get(rules.own_header) != "1":
            return f"the header {rules.own_header} is missing"
        if _foreign(headers):
            return "the request comes from another page"
        if headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return "JSON is expected"
        length = headers.get("content-length", "")
        limit = rules.max_body
        if limit is not None and not (length.isdecimal() and int(length) <= limit):
            return f"at most {limit} bytes are expected"
        return ""


def named_hosts(*urls: str) -> tuple[str, ...]:
    """The names of this machine and those of addresses.

    Examples
    --------
    >>> named_hosts("https://Lab.example:8443/page", "http://127.0.0.1:3000")
    ('127.0.0.1', 'localhost', '[::1]', 'lab.example')
    """
    given = (_name(urlsplit(url).netloc.rpartition("@")[2]) for url in urls)
    return tuple(dict.fromkeys([*LOCAL_HOSTS, *filter(None, given)]))


def _foreign(headers: Headers) -> bool:
    origin = urlsplit(headers.get("origin", ""))
    return origin.scheme not in ("http", "https") or origin.netloc != headers.get("host", "")


def _name(host: str) -> str:
    """Host without the port."""
    name = host if host.endswith("]") else host.rsplit(":", 1)[0] if ":" in host else host
    return name.lower()
