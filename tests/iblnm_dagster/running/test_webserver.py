"""Dagster's own application behind the guard: what changes its instance, and what does not."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from dagster import DagsterInstance

from iblnm.config import Settings
from iblnm_dagster.running.webserver import guarded
from tests.asgi import ADDRESS, ask, connect

pytestmark = pytest.mark.slow

OWN = {"origin": f"http://{ADDRESS}", "content_type": "application/json"}
LIMIT = 'mutation { setConcurrencyLimit(concurrencyKey: "planted", limit: 3) }'


@pytest.fixture
def instance(tmp_path):
    with DagsterInstance.local_temp(str(tmp_path)) as opened:
        yield opened


@pytest.fixture
def make_app(instance):
    from contextlib import ExitStack

    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import EmptyWorkspaceTarget
    from dagster_webserver.app import create_app_from_workspace_process_context

    with ExitStack() as stack:

        def make(*, read_only: bool = False):
            context = stack.enter_context(
                WorkspaceProcessContext(instance, EmptyWorkspaceTarget(), read_only=read_only)
            )
            return guarded(create_app_from_workspace_process_context(context), Settings())

        yield make


def _limits(instance):
    return instance.event_log_storage.get_concurrency_keys()


def test_a_mutation_in_an_address_changes_nothing(make_app, instance):
    app = make_app()
    for headers in ({}, OWN, {"host": "evil.example", "origin": "http://evil.example"}):
        assert ask(app, "GET", f"/graphql?query={quote(LIMIT)}", **headers)[0] == 403
    assert ask(app, "POST", f"/graphql?query={quote(LIMIT)}")[0] == 403
    body = {"query": LIMIT}
    assert ask(app, "POST", "/graphql", body, content_type="application/json")[0] == 403
    assert _limits(instance) == set()


def test_the_page_changes_what_it_is_asked_to(make_app, instance):
    status, headers, body = ask(make_app(), "POST", "/graphql", {"query": LIMIT}, **OWN)
    assert (status, json.loads(body)["data"]) == (200, {"setConcurrencyLimit": True})
    assert _limits(instance) == {"planted"}
    assert headers["cross-origin-resource-policy"] == ["same-origin"]


def test_the_page_is_served_and_shown_in_no_frame(make_app):
    app = make_app()
    status, headers, body = ask(app, "GET", "/runs")
    assert status == 200
    assert b"<html" in body
    assert headers["x-frame-options"] == ["DENY"]
    assert ask(app, "GET", "/runs", host="evil.example")[0] == 403


def test_subscriptions_are_for_the_page(make_app):
    app = make_app()
    begin = {"type": "connection_init"}
    sent = connect(app, "/graphql", begin, origin=OWN["origin"])
    assert sent[0]["type"] == "websocket.accept"
    assert json.loads(sent[1]["text"]) == {"type": "connection_ack"}
    sent = connect(app, "/graphql", begin, origin="http://evil.example")
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_a_page_that_is_read_only_answers_and_changes_nothing(make_app, instance):
    app = make_app(read_only=True)
    status, _, body = ask(app, "POST", "/graphql", {"query": "{ version }"}, **OWN)
    assert status == 200
    assert "version" in json.loads(body)["data"]
    answer = json.loads(ask(app, "POST", "/graphql", {"query": LIMIT}, **OWN)[2])
    assert "UnauthorizedError" in json.dumps(answer) or answer.get("errors")
    ask(app, "POST", "/report_asset_materialization/trials", {}, **OWN)
    assert _limits(instance) == set()
    assert instance.all_asset_keys() == []
