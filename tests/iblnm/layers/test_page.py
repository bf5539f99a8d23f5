"""The page *Datasets*: nothing of the data can run, and what is not known is no fault."""

import base64
import hashlib
import json
import re

import pandas as pd
import pytest
from bench.hostile import NAMES

from iblnm.layers.items import ITEMS, STATUS_COLUMNS
from iblnm.layers.page import build_page

EIDS = ["51b90000-0000-4000-8000-000000000001", "51b90000-0000-4000-8000-000000000002"]


def tables(name):
    """Two sessions: one whose every text is the name, one of which little is known."""
    sessions = pd.DataFrame(
        {
            "eid": EIDS,
            "subject": [name, None],
            "start_time": ["2024-05-01T10:00:00", None],
            "condition": pd.array([name, pd.NA], dtype="string"),
            **{column: pd.array([None, None], dtype=object) for column in STATUS_COLUMNS},
        }
    )
    sessions["probe00_sorter"] = [name, ""]
    sessions["image_stacks"] = pd.array([True, None], dtype="boolean")
    places = ("file", "collection", "revision", "version", "reason")
    detail = pd.DataFrame(
        [{"eid": EIDS[0], "item": item.column, **dict.fromkeys(places, name)} for item in ITEMS]
    )
    histology = pd.DataFrame(
        {
            "subject": [name, None],
            "eid": EIDS,
            "start_time": ["2024-05-01T10:00:00", None],
            "pid": [None, "p"],
            "probe": [name, None],
            "state": ["traced", "no-stacks"],
            "next_task": ["ALIGN", "TRACE STACKS"],
        }
    )
    return sessions, detail, histology


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_hostile_names_stay_texts(name):
    page = build_page(*tables(name))
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert [attributes for attributes, _ in scripts] == [' type="application/json" id="data"', ""]
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page and "<!--" not in page
    data = json.loads(scripts[0][1])
    assert data["sessions"][0] == [EIDS[0], name, "2024-05-01", name]
    assert data["sessions"][1] == [EIDS[1], None, "", None]
    assert name in data["values"]
    assert any(name in str(text) for text in data["reasons"])
    assert data["todo"][1][:4] == ["ALIGN", name, "2024-05-01T10:00:00", name]
    assert data["todo"][0] == ["TRACE STACKS", None, None, None, EIDS[1], "p", "no-stacks"]


def test_only_the_pages_own_script_may_run_and_nothing_is_fetched():
    page = build_page(*tables("x"))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r'(?:src|href)\s*=\s*"', page)
    assert "innerHTML" not in script
