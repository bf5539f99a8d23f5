"""The server of the viewer: pages, lists, documents and traces; it writes labels only."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from iblnm.config import Settings
from iblnm.errors import DataError, InvalidNameError
from iblnm.storage.names import validate_eid
from iblnm.viewer.catalog import Catalog, as_json
from iblnm.viewer.report import DRAWING, LIVE, page_part, page_script, report_path
from iblnm.viewer.security import Guard
from iblnm.viewer.sessions import OpenSessions
from iblnm.viewer.traces import pack_traces, read_what_there_is

_MAX_BINS = 4_000
# parameters of mallopt(3): large arrays are mapped, the heap is trimmed, threads share it
_MALLOC = {-3: 128 * 1024, -1: 128 * 1024, -8: 1}
# what the viewer does not use is not imported
_QUIET = {
    "log_level": "warning",
    "lifespan": "off",
    "ws": "none",
    "http": "h11",
    "loop": "asyncio",
}
_LABEL_KEYS = ("fiber_idx", "verdict", "who", "why", "t0", "t1")


def build_app(settings: Settings, *, hosts: tuple[str, ...] | None = None) -> Starlette:
    """The viewer as an ASGI application.

    Parameters
    ----------
    settings : Settings
    hosts : tuple of str, optional
        Names under which it may be asked; those of this machine by default.
    """
    pages = _Viewer(settings)
    guard = Middleware(Guard) if hosts is None else Middleware(Guard, hosts=hosts)
    app = Starlette(
        routes=[
            Route("/", pages.home),
            Route("/sessions/{eid}", pages.page),
            Route("/figures/sessions/{eid}.html", pages.report),
            Route("/figures/qc/dashboard.html", pages.dashboard),
            Route("/static/{name}", pages.static),
            Route("/api/sessions", pages.listing),
            Route("/api/checks/{check}", pages.outcomes),
            Route("/api/sessions/{eid}", pages.session),
            Route("/api/sessions/{eid}/blocks/{block}", pages.block),
            Route("/api/sessions/{eid}/traces/{fiber:int}", pages.traces),
            Route("/api/sessions/{eid}/labels", pages.change_labels, methods=["POST"]),
        ],
        middleware=[guard, Middleware(GZipMiddleware, minimum_size=1_000)],
        exception_handlers={DataError: _data_error, RuntimeError: _data_error},
    )
    app.state.pages = pages
    return app


def serve(settings: Settings, *, port: int, with_parent: bool = False) -> None:
    """Serve the viewer on 127.0.0.1 until interrupted.

    Parameters
    ----------
    settings : Settings
    port : int
    with_parent : bool
        End when the process that started this one ends.
    """
    import uvicorn

    _give_memory_back()
    app = build_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, **_QUIET))
    if with_parent:
        _watch_parent(lambda: setattr(server, "should_exit", True))
    try:
        server.run()
    finally:
        app.state.pages.close()


def _give_memory_back() -> None:
    """Let arrays that are freed leave the process, where the C library is glibc.

    It would otherwise keep them for later, a little more with every session.
    """
    import ctypes

    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        for parameter, value in _MALLOC.items():
            ctypes.CDLL(None).mallopt(parameter, value)


def port_of(url: str) -> int:
    """Port of an address; that of its scheme if it names none."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def is_free(port: int) -> bool:
    """Whether nobody listens at a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class _Viewer:
    """What the routes do."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._catalog = Catalog(settings)
        self._open = OpenSessions(settings)
        self._static: dict[str, tuple[str, Callable[[], str]]] = {
            "viewer.js": ("text/javascript", lambda: page_script((*DRAWING, *LIVE))),
            "viewer.css": (
                "text/css",
                lambda: page_part("uPlot.min.css") + page_part("style.css"),
            ),
        }

    def close(self) -> None:
        self._open.close()

    async def home(self, request: Request) -> Response:
        listing = await run_in_threadpool(self._catalog.listing)
        if not listing["eid"]:
            return await self.page(request)
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/sessions/{listing['eid'][-1]}{query}", 303)

    async def page(self, request: Request) -> Response:
        return Response(page_part("viewer.html"), media_type="text/html")

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == "LICENSE.uPlot":
            path = files("iblnm.viewer") / "page" / name
            return Response(path.read_text(encoding="utf-8"), media_type="text/plain")
        if name not in self._static:
            raise HTTPException(404)
        kind, make = self._static[name]
        return Response(make(), media_type=kind, headers={"cache-control": "no-cache"})

    async def listing(self, request: Request) -> Response:
        listing = await run_in_threadpool(self._catalog.listing)
        return _json({**listing, "who": _user(), "archive": str(self._settings.root)})

    async def outcomes(self, request: Request) -> Response:
        check = request.path_params["check"]
        return _json({"outcomes": await run_in_threadpool(self._catalog.outcomes, check)})

    async def session(self, request: Request) -> Response:
        eid = self._known(request)
        stamp, blocks = await self._open.blocks(eid)
        found = await run_in_threadpool(self._catalog.session, eid)
        has_report = report_path(self._settings.root, eid).exists()
        in_dagster = urlencode({"view": "partitions", "partition": eid})
        links = {
            "dagster": f"{self._settings.dagster_url}/assets/responses?{in_dagster}",
            "report": f"/figures/sessions/{eid}.html" if has_report else None,
            "dashboard": "/figures/qc/dashboard.html" if self._has_dashboard() else None,
            "h5": str(self._settings.sessions_h5_dir / f"{eid}.h5"),
        }
        names = [name for name in blocks if name != "session"]
        return _json({**found, "stamp": stamp, "blocks": names, "links": links})

    async def block(self, request: Request) -> Response:
        eid = self._known(request)
        _, blocks = await self._open.blocks(eid)
        name = request.path_params["block"]
        block = blocks.get(name)
        if block is None:
            # a page asks for a fiber before it knows whether the session has one
            if re.fullmatch(r"fiber-[0-9]+", name):
                return Response(status_code=204)
            raise HTTPException(404)
        # it is compressed already
        headers = {"content-encoding": "gzip", "cache-control": "no-cache"}
        return Response(block, media_type="application/octet-stream", headers=headers)

    async def traces(self, request: Request) -> Response:
        eid = self._known(request)
        try:
            start, stop = (float(request.query_params[name]) for name in ("t0", "t1"))
            n_bins = int(request.query_params["bins"])
        except (KeyError, ValueError):
            raise HTTPException(400, "t0, t1 and bins are expected") from None
        if not (start < stop and 0 < n_bins <= _MAX_BINS and stop - start < 1e7):
            raise HTTPException(400, f"t0 < t1 and up to {_MAX_BINS} bins are expected")
        sources = await self._open.sources(eid, request.path_params["fiber"])
        if sources is None:
            raise HTTPException(404)

        def read() -> bytes:
            traces, problem = read_what_there_is(sources, start, stop)
            packer, content = pack_traces(traces, start, stop, n_bins)
            return packer.pack({**content, "problem": problem})

        block = await run_in_threadpool(read)
        headers = {"content-encoding": "identity"}
        return Response(block, media_type="application/octet-stream", headers=headers)

    async def report(self, request: Request) -> Response:
        path = report_path(self._settings.root, self._known(request))
        return _file(path, "the session has no report yet")

    async def dashboard(self, request: Request) -> Response:
        path = self._settings.figures_dir / "qc" / "dashboard.html"
        return _file(path, "the dashboard was not made yet")

    async def change_labels(self, request: Request) -> Response:
        from iblnm.pipeline.label_rows import add_row, remove_row

        eid = self._known(request)
        try:
            content = json.loads(await request.body())
            row = {name: content.get(name) for name in _LABEL_KEYS}
            remove = bool(content.get("remove"))
        except (ValueError, AttributeError):
            raise HTTPException(400, "a JSON object is expected") from None
        row |= {"eid": eid, "when": date.today().isoformat()}
        change = remove_row if remove else add_row
        try:
            changed = await run_in_threadpool(change, self._settings.labels_fpath, row)
        except DataError as error:
            return _json({"error": str(error)}, 400)
        if not changed:
            message = "the label is not in the root's own file; set keep or drop instead"
            return _json({"error": message}, 400)
        return _json(await run_in_threadpool(self._catalog.labels, eid))

    def _has_dashboard(self) -> bool:
        return (self._settings.figures_dir / "qc" / "dashboard.html").exists()

    def _known(self, request: Request) -> str:
        """The eid of the address, if the catalog knows it."""
        try:
            eid = validate_eid(request.path_params["eid"])
        except InvalidNameError:
            raise HTTPException(404, "no session identifier") from None
        if eid not in self._catalog:
            raise HTTPException(404, "the catalog knows no such session")
        return eid


def _json(value: Any, status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(as_json(value), status, media_type="application/json", headers=headers)


def _file(path: Path, otherwise: str) -> Response:
    if not path.exists():
        raise HTTPException(404, otherwise)
    # its own policy, by the hash of its script, is in the file
    headers = {"content-security-policy": "frame-ancestors 'none'"}
    return FileResponse(path, media_type="text/html", headers=headers)


async def _data_error(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 409)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _watch_parent(end: Callable[[], None]) -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        end()

    threading.Thread(target=watch, daemon=True).start()
