"""A viewer that is served, and a client that can say what a browser would not."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time

import pytest

OWN = {"x-iblnm-viewer": "1", "content-type": "application/json"}


class Served:
    """A running viewer."""

    def __init__(self, settings):
        import uvicorn

        from iblnm.viewer.server import build_app

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self.app = build_app(settings)
        config = uvicorn.Config(self.app, port=self.port, log_level="warning", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)

    def ask(self, method, path, content=None, **headers):
        """Status, headers and body of an answer; None leaves a header out."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        body = None if content is None else json.dumps(content).encode()
        given = {"host": self.host, **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body is not None:
            given = {"content-length": str(len(body)), **given}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        result = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return result

    def label(self, eid, content, **headers):
        """Ask for a label as the page does."""
        given = {"x_iblnm_viewer": "1", "content_type": "application/json", "origin": self.url}
        return self.ask("POST", f"/api/sessions/{eid}/labels", content, **{**given, **headers})

    def close(self):
        self.server.should_exit = True
        self.thread.join()
        self.app.state.pages.close()


@pytest.fixture
def served(viewed_settings):
    viewer = Served(viewed_settings)
    yield viewer
    viewer.close()
