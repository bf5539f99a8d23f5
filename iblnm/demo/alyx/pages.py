"""Pages of the REST lists, with the limits and the order that Alyx has."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

from iblnm.demo.alyx.endpoints import ENDPOINTS, Endpoint, session_row
from iblnm.demo.alyx.model import AlyxModel
from iblnm.demo.alyx.query import parse, select

MAX_LIMIT = 1000
DEFAULT_LIMIT = 250
_ADVISED_FROM = 5000
_LISTS = ("users", "datasets", "dataset_types")


def page(model: AlyxModel, name: str, params: dict[str, str], address: str) -> bytes:
    """Answer of a list: count, links, results.

    Parameters
    ----------
    model : AlyxModel
    name : str
        Endpoint.
    params : dict
        Query parameters.
    address : str
        Of the server.

    Raises
    ------
    QueryError
        If the query is one that Alyx answers with status 500.
    """
    endpoint = ENDPOINTS[name]
    items = _filtered(list(endpoint.items(model).values()), endpoint, params)
    if endpoint.by_start_time:
        # the database orders by start time alone: equal ones come as they happen to lie
        order = model.random.random
        items.sort(key=lambda item: (item.fields["start_time"] or "", order()), reverse=True)
    asked = _number(params.get("limit"), DEFAULT_LIMIT) or DEFAULT_LIMIT
    limit, offset = min(asked, MAX_LIMIT), _number(params.get("offset"), 0)
    chosen = items[offset : offset + limit]
    if name == "sessions":
        rows = ",".join(map(session_row, chosen))
    else:
        rows = ",".join(json.dumps(endpoint.row(model, item, address)) for item in chosen)
    query = {**params, "limit": str(limit)}
    head: dict[str, Any] = {"count": len(items), "next": None, "previous": None}
    if offset + limit < len(items):
        head["next"] = _link(address, name, query, offset + limit)
    if offset > 0:
        head["previous"] = _link(address, name, query, max(0, offset - limit))
    advice = _advice(asked > MAX_LIMIT, offset, len(items))
    if advice:
        head["detail"] = advice
    return f'{json.dumps(head)[:-1]}, "results": [{rows}]}}'.encode()


def _filtered(items: list[Any], endpoint: Endpoint, params: dict[str, str]) -> list[Any]:
    for key, value in params.items():
        lookup = endpoint.params.get(key)
        if not lookup or not value:
            continue
        if key == "date_range":
            items = select(items, endpoint.fields, lookup, tuple(value.split(",")))
            continue
        for wanted in value.split(",") if key in _LISTS else [value]:
            items = select(items, endpoint.fields, lookup, wanted)
    for key, wanted in parse(params["django"]) if params.get("django") else []:
        items = select(items, endpoint.fields, key, wanted)
    return items


def _link(address: str, name: str, params: dict[str, str], offset: int) -> str:
    query = urllib.parse.urlencode({**params, "offset": offset})
    return f"{address}/{name}?{query}"


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default


def _advice(capped: bool, offset: int, count: int) -> str:
    if not capped and (offset or count <= _ADVISED_FROM):
        return ""
    words = f"The requested page size was capped at {MAX_LIMIT} records. " if capped else ""
    return f"{words}This query matches {count} records." if count > MAX_LIMIT else words.strip()
