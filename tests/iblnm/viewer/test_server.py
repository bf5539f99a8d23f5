"""The server: who may ask, what it answers, and that it stays small."""

import gzip
import http.client
import json
import os
import re
import subprocess
import sys
import time
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from bench.hostile import NAMES

from iblnm.pipeline.label_rows import read_rows
from iblnm.viewer.security import POLICY
from iblnm.viewer.server import is_free
from iblnm.viewer.wire import unpack

DROP = {"fiber_idx": None, "verdict": "drop", "who": "me", "why": "a big artifact"}


@pytest.fixture
def eid(small_archive):
    return small_archive[1]["sessions"][0]["eid"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3001", "127.0.0.1.evil.example", ""]
)
@pytest.mark.slow
def test_a_foreign_name_is_refused(served, eid, host):
    for path in ("/", "/api/sessions", f"/api/sessions/{eid}"):
        assert served.ask("GET", path, host=host)[0] == 403


def test_own_names_are_served_with_the_policy(served):
    for host in (served.host, f"localhost:{served.port}"):
        status, headers, _ = served.ask("GET", "/api/sessions", host=host)
        assert status == 200
        assert headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": None},
        {"origin": "null"},
        {"x_iblnm_viewer": None},
        {"content_type": "text/plain"},
        {"content_length": "20000"},
        {"host": "evil.example", "origin": "http://evil.example"},
    ],
)
@pytest.mark.slow
def test_a_post_from_elsewhere_is_refused_and_writes_nothing(
    served, viewed_settings, eid, headers
):
    assert served.label(eid, DROP, **headers)[0] == 403
    assert not viewed_settings.labels_fpath.exists()


def test_every_post_is_guarded_not_only_that_of_labels(served, eid):
    known = {"eid": eid, "name": "viewer.js", "check": "x", "block": "session", "fiber:int": "0"}
    paths = [re.sub(r"{([^}]+)}", lambda m: known[m[1]], r.path) for r in served.app.routes]
    assert len(paths) > 8
    for path in paths:
        assert served.ask("POST", path, {}, origin="http://evil.example")[0] == 403
        assert served.ask("POST", path, {}, origin=served.url)[0] == 403


def test_the_live_page_has_no_inline_script_or_style(served, eid):
    page = served.ask("GET", f"/sessions/{eid}")[2].decode()
    scripts = re.findall(r"<script([^>]*)>([^<]*)</script>", page)
    assert scripts == [(' src="/static/viewer.js"', "")]
    assert "<style" not in page
    assert not re.search(r"\s(on\w+|style)=", page)
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(served, eid, method):
    assert served.ask(method, f"/api/sessions/{eid}/labels", origin=served.url)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/api/sessions/..%2f..%2fetc%2fpasswd",
        "/api/sessions/11111111-1111-4111-8111-111111111111",
        "/api/sessions/nonsense",
        "/figures/sessions/..%2fx.html",
        "/static/..%2fserver.py",
        "/static/viewer.html",
    ],
)
@pytest.mark.slow
def test_only_known_sessions_and_files(served, path):
    assert served.ask("GET", path)[0] == 404


def test_hostile_names_are_sent_as_data(served, viewed_settings):
    table = viewed_settings.metadata_dir / "sessions.pqt"
    sessions = pd.read_parquet(table)
    names = list(NAMES.values())[: len(sessions)]
    names += list(NAMES.values())[len(sessions) :]
    for start in range(0, len(names), len(sessions)):
        own = names[start : start + len(sessions)]
        own += own[:1] * (len(sessions) - len(own))
        sessions["subject"] = sessions["lab"] = sessions["session_type"] = own
        sessions.to_parquet(table)
        status, headers, body = served.ask("GET", "/api/sessions")
        assert status == 200 and headers["content-type"] == "application/json"
        assert headers["x-content-type-options"] == "nosniff"
        found = json.loads(body)
        for key in ("subject", "lab", "type"):
            assert set(found[key][0]) == set(own)
    for name in names:
        for place in ("/static/", "/api/checks/", "/sessions/", "/api/sessions/"):
            status, headers, body = served.ask("GET", place + quote(name, safe=""))
            assert status in (200, 307, 404), (place, name)
            assert "html" not in headers.get("content-type", "") or name.encode() not in body


def test_a_session_that_the_catalog_does_not_know_gets_no_label(served, viewed_settings):
    for unknown in ("11111111-1111-4111-8111-111111111111", "nonsense"):
        assert served.label(unknown, DROP)[0] == 404
    assert not viewed_settings.labels_fpath.exists()


def test_labels_are_stored_replaced_and_removed(served, viewed_settings, eid):
    path = viewed_settings.labels_fpath
    assert served.label(eid, DROP)[0] == 200
    status, _, body = served.label(
        eid, {**DROP, "verdict": "keep", "why": "not so bad, after all"}
    )
    assert status == 200
    assert [row["verdict"] for row in json.loads(body)["labels"]] == ["keep"]
    mask = {"fiber_idx": 0, "verdict": "mask", "who": "me", "why": "x", "t0": 1.5, "t1": 2.25}
    assert served.label(eid, mask)[0] == 200
    rows = read_rows(path)
    assert [(row["verdict"], row["t0"], row["t1"]) for row in rows] == [
        ("keep", None, None),
        ("mask", 1.5, 2.25),
    ]
    assert served.label(eid, {**mask, "remove": True})[0] == 200
    assert [row["verdict"] for row in read_rows(path)] == ["keep"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"why": ""}, "why is empty"),
        ({"verdict": "burn"}, "keep or drop"),
        ({"why": "two\nlines"}, "one line"),
        ({"verdict": "mask", "t0": 3, "t1": 2}, "later than t0"),
        ({"verdict": "mask", "t0": "x", "t1": 2}, "t0 is 'x'"),
        ({"t0": 1, "t1": 2}, "only a mask"),
        ({"fiber_idx": -1}, "fiber_idx"),
    ],
)
@pytest.mark.slow
def test_a_wrong_label_is_refused_with_the_reason(served, viewed_settings, eid, change, words):
    status, _, body = served.label(eid, {**DROP, **change})
    assert status == 400
    assert words in json.loads(body)["error"]
    assert not viewed_settings.labels_fpath.exists()


@pytest.mark.slow
def test_traces_are_samples_when_zoomed_in_and_bins_when_zoomed_out(served, eid):
    base = f"/api/sessions/{eid}/traces/0"
    near = unpack(served.ask("GET", f"{base}?t0=100&t1=110&bins=800")[2])["series"]
    assert len(near["z"]["t"]) == pytest.approx(300, abs=2)
    assert np.isfinite(near["GCaMP"]["low"]).all()
    far = unpack(served.ask("GET", f"{base}?t0=0&t1=500&bins=800")[2])["series"]
    assert far["z"]["low"].shape == (800,)
    assert served.ask("GET", f"{base}?t0=5&t1=1&bins=800")[0] == 400
    assert served.ask("GET", f"/api/sessions/{eid}/traces/7?t0=0&t1=5&bins=80")[0] == 404


@pytest.mark.slow
def test_a_fiber_that_is_not_there_is_no_error_and_another_block_is(served, eid):
    assert served.ask("GET", f"/api/sessions/{eid}/blocks/fiber-7")[0] == 204
    assert served.ask("GET", f"/api/sessions/{eid}/blocks/other")[0] == 404


@pytest.mark.slow
def test_a_session_comes_with_checks_and_blocks(served, eid):
    found = json.loads(served.ask("GET", f"/api/sessions/{eid}")[2])
    assert {c["outcome"] for c in found["checks"]} <= {"pass", "warn", "fail", "not evaluated"}
    assert found["blocks"] == ["fiber-0"] or found["blocks"][0] == "fiber-0"
    _, headers, block = served.ask("GET", f"/api/sessions/{eid}/blocks/session")
    assert headers["content-encoding"] == "gzip"
    assert unpack(gzip.decompress(block))["eid"] == eid


def test_the_outcomes_of_a_check_are_in_the_order_of_the_list(served, viewed_settings):
    import pandas as pd

    listing = json.loads(served.ask("GET", "/api/sessions")[2])
    matrix = pd.read_parquet(viewed_settings.metadata_dir / "qc_matrix.pqt")
    letters = json.loads(served.ask("GET", "/api/checks/insufficient_trials")[2])["outcomes"]
    rows = matrix[matrix["check"] == "insufficient_trials"].set_index("eid")["outcome"]
    assert [rows[eid][0] for eid in listing["eid"]] == list(letters)


def test_the_list_counts_checks_and_what_could_not_be_made(viewed_settings, eid):
    """A session whose asset failed, or that nobody evaluated, does not pass as good."""
    import pandas as pd

    from iblnm.viewer.catalog import Catalog

    matrix = viewed_settings.metadata_dir / "qc_matrix.pqt"
    table = pd.read_parquet(matrix)
    other = next(name for name in table["eid"] if name != eid)
    table[table["eid"] != other].to_parquet(matrix)
    errors = pd.DataFrame({"eid": [eid, eid, other], "severity": ["FAILURE", "WARN", "WARN"]})
    errors.to_parquet(viewed_settings.metadata_dir / "errors.pqt")
    listing = Catalog(viewed_settings).listing()
    at = listing["eid"].index
    own = table[table["eid"] == eid]["outcome"]
    assert listing["n_pass"][at(eid)] == (own == "pass").sum() > 20
    assert listing["n_broken"][at(eid)] == 1
    assert listing["n_broken"][at(other)] == 0
    assert [listing[name][at(other)] for name in ("n_fail", "n_warn", "n_pass")] == [0, 0, 0]


@pytest.mark.slow
def test_the_server_imports_no_pandas(viewed_settings, eid):
    """It would triple its memory; pyarrow.compute would add 15 MB."""
    code = f"""
import asyncio, sys
from pathlib import Path
from iblnm.config import Settings
from iblnm.viewer.server import build_app
from iblnm.viewer.traces import Sources, pack_traces, read_traces
import numpy as np
settings = Settings(root=Path({str(viewed_settings.root)!r}))
pages = build_app(settings).state.pages
pages._catalog.session({eid!r})
pages._catalog.outcomes("insufficient_trials")
path = str(next(Path({str(viewed_settings.cache_dir)!r}).rglob("photometry.signal.pqt")))
signal = {{"path": path, "columns": ["G0"], "column": "G0", "window": None,
          "reading": {{"is_raw": False, "max_still_s": 5.0, "max_saturated_s": None}}}}
trend = (np.array([0.0, 1e4]), np.ones(2))
sources = Sources(Path("x"), "", signal, {{"GCaMP": trend}}, {{}})
assert len(read_traces(sources, 0, 100)["GCaMP"][0])
names = ("pandas", "scipy", "xarray", "matplotlib", "pyarrow.compute")
print([name for name in names if name in sys.modules])
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_process_of_the_viewer_serves_without_dagster(viewed_settings, port, tmp_path):
    environment = {**os.environ, "IBLNM_ROOT": str(viewed_settings.root)}
    command = [sys.executable, "-X", "importtime", "-m", "iblnm.viewer", "-p", str(port)]
    log = tmp_path / "imports.txt"
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while is_free(port) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        connection = http.client.HTTPConnection(f"127.0.0.1:{port}", timeout=60)
        connection.request("GET", "/api/checks/insufficient_trials")
        assert connection.getresponse().status == 200
    finally:
        process.terminate()
        process.wait(timeout=60)
    lines = log.read_text().splitlines()
    names = {line.rpartition("|")[2].strip().split(".")[0] for line in lines}
    assert "starlette" in names
    assert not names & {"dagster", "pandas", "scipy", "xarray", "matplotlib"}
