"""The report: self-contained, of the session's own stage, with nothing that could run."""

import base64
import hashlib
import re

import pandas as pd
import pytest
from bench.hostile import NAMES

from iblnm.pipeline.graph import find_stage
from iblnm.schemas import SESSIONS
from iblnm.storage import read_table, write_table
from iblnm.storage.store import SessionStore
from iblnm.viewer.document import stored_document
from iblnm.viewer.report import read_report, report_path, save_report
from iblnm.viewer.stamp import stamp_of
from iblnm.viewer.wire import unpack

pytestmark = pytest.mark.slow

MARKUP = "</script><img src=x onerror=alert(1)>{{style}}"


@pytest.fixture
def eid(small_archive):
    return small_archive[1]["sessions"][0]["eid"]


def _report(settings, eid):
    row = SessionStore(settings).load("session", eid)
    return find_stage("session_report").run({"session": row}, eid=eid, settings=settings)


def test_a_report_needs_nothing_else_and_holds_the_document(viewed_settings, eid):
    result = _report(viewed_settings, eid)
    page = result.value
    assert result.numbers["bytes"] == len(page.encode()) < 1_000_000
    # no address but those of links that a person follows
    loaded = re.findall(r'(?:src|href)\s*=\s*"([^"]+)"', page)
    assert not [address for address in loaded if address.startswith(("http", "//"))]
    assert "{{" not in page.split("<script>")[0]
    path = save_report(page, report_path(viewed_settings.root, eid))
    stamp, blocks = read_report(path)
    assert stamp == stamp_of(viewed_settings.root, eid)
    assert blocks == stored_document(SessionStore(viewed_settings), eid, viewed_settings).blocks
    assert SessionStore(viewed_settings).load("session_report", eid) == page


def test_only_the_script_and_style_of_the_report_may_run(viewed_settings, eid):
    page = _report(viewed_settings, eid).value
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page).group(1)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert "unsafe" not in policy


def test_markup_in_names_stays_data(viewed_settings, eid):
    path = viewed_settings.root / "metadata" / "sessions" / f"{eid}.pqt"
    row = SESSIONS.restore(read_table(path)).assign(subject=MARKUP, lab=MARKUP)
    write_table(row, path, SESSIONS)
    page = _report(viewed_settings, eid).value
    assert MARKUP not in page
    assert "onerror" not in page
    assert page.count("<script") == len(re.findall("</script>", page))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_hostile_names_stay_data(viewed_settings, eid, name):
    root = viewed_settings.root
    path = root / "metadata" / "sessions" / f"{eid}.pqt"
    row = SESSIONS.restore(read_table(path))
    row = row.assign(subject=name, lab=name, task_protocol=name, line=name, url=name)
    for column in ("brain_region", "target_NM"):
        row[column] = pd.Series([[name] * len(row["brain_region"].iloc[0])], dtype=object)
    write_table(row, path, SESSIONS)
    before = {item for item in root.parent.rglob("*") if not item.is_relative_to(root)}
    page = _report(viewed_settings, eid).value
    assert name == "$" or name not in page
    assert "onerror" not in page and "evil.example" not in page
    assert page.count("<script") == page.count("</script>")
    saved = save_report(page, report_path(root, eid))
    assert saved.is_relative_to(root)
    assert {item for item in root.parent.rglob("*") if not item.is_relative_to(root)} == before
    told = unpack(read_report(saved)[1]["session"])
    assert told["facts"]["subject"] == told["facts"]["task_protocol"] == name
    assert {recording["target_NM"] for recording in told["recordings"]} == {name}


def test_a_truncated_report_is_none(tmp_path):
    path = tmp_path / "x.html"
    assert read_report(path) is None
    path.write_text('<meta name="iblnm-stamp" content="ab">')
    assert read_report(path) is None
