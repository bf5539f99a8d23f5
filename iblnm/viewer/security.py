"""Who may talk to the viewer: pages that it served itself, under a name of this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
OWN_HEADER = "x-iblnm-viewer"
MAX_BODY = 16_384
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Refuse requests under a foreign name and writing requests from elsewhere.

    A web page of another site can make a browser send requests here: under a name of its own
    that it lets resolve to 127.0.0.1 (DNS rebinding; refused by the Host header), or as a form
    (refused by the Origin header, and by a header that only a script of this page can set).

    Parameters
    ----------
    app : ASGI application
    hosts : tuple of str
        Names under which the viewer may be asked.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = LOCAL_HOSTS):
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reason = self._refusal(Request(scope))
        if reason:
            await Response(f"refused: {reason}\n", 403, dict(_HEADERS))(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] += [
                    (name.encode(), value.encode())
                    for name, value in _HEADERS.items()
                    if name.encode() not in own
                ]
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> str:
        host = request.headers.get("host", "")
        if _name(host) not in self._hosts:
            return "the viewer is not asked under a name of this machine"
        if request.method in ("GET", "HEAD"):
            return ""
        if request.method != "POST":
            return f"no {request.method}"
        if request.headers.get(OWN_HEADER) != "1":
            return f"the header {OWN_HEADER} is missing"
        origin = urlsplit(request.headers.get("origin", ""))
        if origin.scheme not in ("http", "https") or origin.netloc != host:
            return "the request comes from another page"
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return "JSON is expected"
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return f"at most {MAX_BODY} bytes are expected"
        return ""


def _name(host: str) -> str:
    """Host without the port."""
    return host if host.endswith("]") else host.rsplit(":", 1)[0] if ":" in host else host
