"""The guard of the pages, in front of an application that counts who reaches it."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from iblnm.viewer.security import LOCAL_HOSTS, VIEWER, Guard, Rules, named_hosts
from tests.asgi import ADDRESS, ask, connect

OWN = f"http://{ADDRESS}"
JSON = {"content_type": "application/json"}
PAGE = Rules(posted_only=("/graphql",))


@pytest.fixture
def reached():
    return []


@pytest.fixture
def app(reached):
    async def answer(request):
        reached.append(request.method)
        return PlainTextResponse("yes")

    async def talk(socket):
        reached.append("socket")
        await socket.accept()

    methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]
    inner = Starlette(
        routes=[
            Route("/graphql", answer, methods=methods),
            Route("/runs", answer, methods=methods),
            WebSocketRoute("/graphql", talk),
        ]
    )
    return Guard(inner, rules=PAGE)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/runs", {"host": "evil.example"}),
        ("GET", "/runs", {"host": "evil.example:3000"}),
        ("GET", "/runs", {"host": "127.0.0.1.evil.example:3000"}),
        ("GET", "/runs", {"host": None}),
        ("GET", "/graphql?query=mutation{x}", {}),
        ("HEAD", "/graphql?query=mutation{x}", {}),
        ("GET", "/graphql/?query={x}", {"origin": OWN}),
        ("POST", "/graphql", JSON),
        ("POST", "/graphql", {**JSON, "origin": "null"}),
        ("POST", "/graphql", {**JSON, "origin": "http://evil.example"}),
        ("POST", "/graphql", {**JSON, "origin": "http://127.0.0.1:3001"}),
        ("POST", "/graphql", {**JSON, "origin": "file://127.0.0.1:3000"}),
        ("POST", "/graphql", {"content_type": "text/plain", "origin": OWN}),
        ("POST", "/graphql", {"content_type": "application/graphql", "origin": OWN}),
        ("POST", "/graphql?query=mutation{x}", {"origin": OWN}),
        ("PUT", "/runs", {**JSON, "origin": OWN}),
        ("OPTIONS", "/graphql", {"origin": "http://evil.example"}),
    ],
)
def test_what_a_foreign_page_can_send_reaches_nothing(app, reached, method, target, headers):
    assert ask(app, method, target, b"{}", **headers)[0] == 403
    assert reached == []


def test_the_page_itself_is_answered(app, reached):
    assert ask(app, "GET", "/runs?view=list")[0] == 200
    assert ask(app, "GET", "/graphql")[0] == 200
    assert ask(app, "GET", "/runs", host="LOCALHOST:8000")[0] == 200
    assert ask(app, "GET", "/runs", host="[::1]:3000")[0] == 200
    for kind in ("application/json", "application/json; charset=utf-8"):
        assert ask(app, "POST", "/graphql", b"{}", content_type=kind, origin=OWN)[0] == 200
    assert reached == ["GET"] * 4 + ["POST"] * 2


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "null"}, {"origin": "http://evil.example"}, {"origin": "http://localhost:80"}],
)
def test_a_socket_of_a_foreign_page_is_closed_before_it_opens(app, reached, headers):
    assert [m["type"] for m in connect(app, "/graphql", **headers)] == ["websocket.close"]
    under = {"host": "evil.example", "origin": "http://evil.example"}
    assert [m["type"] for m in connect(app, "/graphql", **under)] == ["websocket.close"]
    assert reached == []


def test_a_socket_of_the_page_opens(app, reached):
    assert connect(app, "/graphql", origin=OWN)[0]["type"] == "websocket.accept"
    assert reached == ["socket"]


def test_a_name_of_the_settings_is_one_of_the_page(reached, app):
    hosts = named_hosts("https://lab.example/dagster", "http://localhost:3001")
    assert hosts == (*LOCAL_HOSTS, "lab.example")
    guard = Guard(app._app, hosts=hosts, rules=PAGE)
    own = {"host": "lab.example", "origin": "https://lab.example", **JSON}
    assert ask(guard, "POST", "/graphql", b"{}", **own)[0] == 200
    assert ask(app, "POST", "/graphql", b"{}", **own)[0] == 403


def test_the_viewer_has_no_sockets_for_others(app, reached):
    guard = Guard(app._app, rules=VIEWER)
    assert connect(guard, "/graphql", origin="http://evil.example")[0]["type"] == "websocket.close"
    assert reached == []
