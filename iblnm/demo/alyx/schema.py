"""The description of the server (OpenAPI 3) that the ONE client asks for first."""

from __future__ import annotations

from typing import Any

from iblnm.demo.alyx.endpoints import ENDPOINTS

_ANSWER = {"200": {"description": ""}}


def openapi() -> dict[str, Any]:
    """Endpoints, actions and query parameters."""
    paths: dict[str, Any] = {"/auth-token": {"post": {"responses": _ANSWER}}}
    for name, endpoint in ENDPOINTS.items():
        listed = sorted({*endpoint.params, "django", "limit", "offset"})
        parameters = [{"in": "query", "name": item, "schema": {}} for item in listed]
        paths[f"/{name}"] = {"get": {"parameters": parameters, "responses": _ANSWER}}
        one = {"get": {"parameters": [{"in": "path", "name": "id"}], "responses": _ANSWER}}
        if name == "files":
            one["patch"] = {"parameters": [], "responses": _ANSWER}
        paths[f"/{name}/{{id}}"] = one
    return {
        "openapi": "3.0.3",
        "info": {"title": "Alyx, simulated", "version": "3.6.1"},
        "paths": paths,
        "components": {"schemas": {}},
    }
