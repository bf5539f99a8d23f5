"""A page of another site, in the same browser: it changes nothing, and reads nothing."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, urlsplit

import pytest

from iblnm_dagster.instance import open_instance
from iblnm_dagster.partitions import known_sessions

pytest.importorskip("selenium")
pytestmark = [pytest.mark.web, pytest.mark.slow]

PATIENCE_S = 20
ADD = """mutation { addDynamicPartition(partitionsDefName: "eid", partitionKey: "%s",
    repositorySelector: {repositoryLocationName: "iblnm_dagster.definitions",
                         repositoryName: "__repository__"})
    { __typename ... on PythonError { message } ... on UnauthorizedError { message } } }"""
DELETE = ADD.replace("addDynamicPartition", "deleteDynamicPartitions").replace(
    'partitionKey: "%s"', 'partitionKeys: ["%s"]'
)
KEY = "0d000000-0000-4000-8000-0000000000d0"
FETCH = """const [url, options, done] = arguments;
    fetch(url, options).then((a) => a.text()).then(done, (e) => done("refused: " + e));"""
SOCKET = """const [url, done] = arguments;
    const socket = new WebSocket(url, "graphql-ws");
    socket.onopen = () => socket.send(JSON.stringify({type: "connection_init"}));
    socket.onmessage = (event) => done(JSON.parse(event.data).type);
    socket.onclose = () => done("closed");"""


@pytest.fixture
def foreign(browser):
    """Opens a page of another site, with what is given in its body."""
    content = b""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def open_page(body: str = "") -> None:
        nonlocal content
        content = f"<!doctype html><link rel=icon href=data:,><body>{body}</body>".encode()
        browser.get(f"http://evil.example:{server.server_port}/")

    yield open_page
    browser.get("about:blank")
    browser.get_log("browser")  # what was refused is on the console, as it should be
    server.shutdown()
    server.server_close()


@pytest.fixture
def known(dagster_page):
    """Keys of the sessions that the page knows."""
    from iblnm.config import Settings

    def keys() -> set[str]:
        with open_instance(Settings(root=dagster_page.root)) as instance:
            return set(known_sessions(instance))

    return keys


def _fetch(browser, url, **options):
    return browser.execute_async_script(FETCH, url, options)


def test_a_foreign_page_adds_no_session(browser, foreign, dagster_page, known):
    before = known()
    graphql = f"{dagster_page.url}/graphql"
    address = f"{graphql}?query={quote(ADD % KEY)}"
    foreign(f'<img src="{address}"><iframe src="{address}"></iframe>')
    foreign(
        f'<form method="post" action="{address}"><input name="query"></form>'
        "<script>document.forms[0].submit()</script>"
    )
    deadline = time.monotonic() + PATIENCE_S
    while "refused" not in browser.page_source and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "refused" in browser.page_source
    body = json.dumps({"query": ADD % KEY})
    for kind in ("text/plain", "application/json"):
        for mode in ("no-cors", "cors"):
            foreign()
            options = {"method": "POST", "body": body, "mode": mode}
            answer = _fetch(browser, graphql, headers={"Content-Type": kind}, **options)
            assert "DynamicPartition" not in answer
    assert browser.execute_async_script(SOCKET, graphql.replace("http", "ws")) == "closed"
    assert known() == before


def test_a_name_that_leads_here_reads_nothing(browser, foreign, dagster_page, known):
    before = known()
    browser.get(f"http://evil.example:{urlsplit(dagster_page.url).port}/")
    assert "refused: the page is not asked under a name of this machine" in browser.page_source
    answer = _fetch(
        browser,
        "/graphql",
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps({"query": ADD % KEY}),
    )
    assert answer.startswith("refused")
    assert known() == before


def test_the_page_itself_adds_a_session_and_subscribes(browser, dagster_page, known):
    before = known()
    browser.get(f"{dagster_page.url}/server_info")

    def say(query):
        headers = {"Content-Type": "application/json"}
        body = json.dumps({"query": query})
        return _fetch(browser, "/graphql", method="POST", headers=headers, body=body)

    assert "AddDynamicPartitionSuccess" in say(ADD % KEY)
    assert known() == before | {KEY}
    assert "DeleteDynamicPartitionsSuccess" in say(DELETE % KEY)
    assert known() == before
    socket = f"{dagster_page.url.replace('http', 'ws')}/graphql"
    assert browser.execute_async_script(SOCKET, socket) == "connection_ack"
