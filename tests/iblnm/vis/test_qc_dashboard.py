"""The dashboard's data, decoded again, and what must hold of the page as a file."""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from bench.hostile import NAMES as HOSTILE
from bench.outcomes import simulate_outcomes

from iblnm.config import Settings
from iblnm.pipeline.groups import running_rules
from iblnm.pipeline.staleness import Stale
from iblnm.schemas import ERRORS, QC_MATRIX, SESSIONS_TABLE
from iblnm.vis.qc_dashboard import build_dashboard

URL = "http://127.0.0.1:3000"
RULES = {rule.name: rule for rule in running_rules()}
SETTINGS = Settings(_env_file=None)
NAMES = {"p": "pass", "w": "warn", "f": "fail", "n": "not run"}


def payload(page: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))


def unpack(packed: dict, n: int) -> list:
    values = [packed["usual"]] * n
    for i, other in zip(np.cumsum(packed["steps"]), packed["others"], strict=True):
        values[i] = other
    return values


@pytest.fixture(scope="module")
def simulated():
    return simulate_outcomes(200, seed=1)


@pytest.fixture(scope="module")
def data(simulated):
    return payload(build_dashboard(*simulated, RULES, settings=SETTINGS, dagster_url=URL))


def test_reports_are_linked_where_they_are(simulated, data):
    eids = data["sessions"]["eid"]
    assert data["reports"] == "0" * len(eids)
    page = build_dashboard(
        *simulated, RULES, settings=SETTINGS, dagster_url=URL, reports=[eids[2], "another"]
    )
    marks = payload(page)["reports"]
    assert [eid for eid, mark in zip(eids, marks, strict=True) if mark == "1"] == [eids[2]]
    assert payload(page)["viewer"] == SETTINGS.viewer_url


def test_what_is_out_of_date_is_told_with_its_reason(simulated, data):
    assert data["stale"] == {"assets": [], "reasons": [], "rows": []}
    eids = data["sessions"]["eid"]
    why = "signal.lowpass_hz 0.01 → 0.02"
    found = [Stale(eid, asset, why) for eid in eids[:2] for asset in ("preprocessed", "responses")]
    page = build_dashboard(
        *simulated,
        RULES,
        settings=SETTINGS,
        dagster_url=URL,
        stale=[*found, Stale("gone", "a", "b")],
    )
    told = payload(page)["stale"]
    assert told["reasons"] == [why]
    assert [(eids[i], told["assets"][k], told["reasons"][r]) for i, k, r in told["rows"]] == [
        (item.eid, item.asset, item.why) for item in found
    ]


@pytest.mark.slow
def test_every_outcome_value_limit_and_message_comes_back(simulated, data):
    matrix, _ = simulated
    checks = [check["name"] for check in data["checks"]]
    eids = data["sessions"]["eid"]
    assert sorted(checks) == sorted(RULES)
    assert len(data["outcomes"]) == len(matrix) == 200 * len(checks)
    texts = dict(
        zip(
            np.cumsum(data["messages"]["cells"]).tolist(),
            [data["messages"]["texts"][i] for i in data["messages"]["text_of"]],
            strict=True,
        )
    )
    values = [unpack(check["value"], 200) for check in data["checks"]]
    limits = [unpack(check["limit"], 200) for check in data["checks"]]
    table = matrix.set_index(["eid", "check"])
    for s, eid in enumerate(eids):
        for c, name in enumerate(checks):
            row = table.loc[(eid, name)]
            cell = s * len(checks) + c
            assert NAMES[data["outcomes"][cell]] == row.outcome
            if row.outcome == "not run":
                assert values[c][s] is None
            else:
                assert values[c][s] == pytest.approx(row.value, rel=5e-5)
                assert limits[c][s] == row.limit
            if row.outcome == "pass":
                assert cell not in texts
            else:
                assert texts[cell] == row.message


def test_sessions_are_described(simulated, data):
    _, sessions = simulated
    stored = data["sessions"]
    for name, key in (("subject", "subject"), ("lab", "lab"), ("session_type", "type")):
        names, codes = stored[key]
        assert [names[i] for i in codes] == sessions[name].tolist()
    names, codes = stored["target"]
    assert [[names[i] for i in entry] for entry in codes] == sessions["target_NM"].tolist()
    assert stored["start"][0] == sessions["start_time"][0][:16].replace("T", " ")
    assert data["colors"]["VTA-DA"] == "#ff413d"


def test_targets_that_the_settings_do_not_know_have_colors_of_their_own(simulated):
    matrix, sessions = simulated
    others = [["DLS-DA"], ["DMS-DA"], ["NAcc-DA"]]
    sessions = sessions.assign(target_NM=(others * len(sessions))[: len(sessions)])
    page = build_dashboard(matrix, sessions, RULES, settings=SETTINGS, dagster_url=URL)
    colors = payload(page)["colors"]
    assert len({colors[name] for (name,) in others}) == 3
    assert {name: colors[name] for name in SETTINGS.target_colors} == SETTINGS.target_colors


def test_checks_are_grouped_by_asset_and_described(data):
    assets = [check["asset"] for check in data["checks"]]
    changes = sum(a != b for a, b in pairwise(assets))
    assert changes == len(set(assets)) - 1
    assert assets[0] == "session"
    assert assets[-1] == "sessions"
    by_name = {check["name"]: check for check in data["checks"]}
    trials = by_name["insufficient_trials"]
    assert trials["severity"] == "BLOCK"
    assert trials["unit"] == "trials"
    assert trials["text"] == RULES["insufficient_trials"].description
    assert by_name["true_duplicate_session"]["cohort"] is True


def test_integers_stay_exact_and_infinite_values_survive(simulated):
    matrix, sessions = simulated
    matrix = matrix.copy()
    matrix.loc[0, "value"] = 123456789.0
    matrix.loc[len(RULES), "value"] = np.inf
    matrix["outcome"] = "pass"
    data = payload(build_dashboard(matrix, sessions, RULES, settings=SETTINGS, dagster_url=URL))
    name = matrix.loc[0, "check"]
    check = next(check for check in data["checks"] if check["name"] == name)
    of = dict(zip(data["sessions"]["eid"], unpack(check["value"], 200), strict=True))
    assert of[matrix.loc[0, "eid"]] == 123456789
    assert of[matrix.loc[len(RULES), "eid"]] == "Infinity"


def test_a_kept_session_and_a_pass_without_number_keep_their_words(simulated):
    matrix, sessions = simulated
    matrix = matrix.head(len(RULES)).assign(outcome="pass", message="words", value=1.0)
    matrix.loc[3, "value"] = np.nan
    page = build_dashboard(matrix, sessions.head(0), RULES, settings=SETTINGS, dagster_url=URL)
    assert len(payload(page)["messages"]["cells"]) == 1
    kept = matrix.assign(label="keep")
    data = payload(
        build_dashboard(kept, sessions.head(0), RULES, settings=SETTINGS, dagster_url=URL)
    )
    assert len(data["messages"]["cells"]) == len(RULES)
    assert data["messages"]["texts"] == ["words"]
    assert data["sessions"]["label"] == [["keep"], [0]]


def test_sessions_of_one_table_only_are_shown(simulated):
    matrix, sessions = simulated
    eid = matrix["eid"].iloc[0]
    page = build_dashboard(
        matrix[matrix["eid"] == eid],
        sessions[sessions["eid"] != eid],
        RULES,
        settings=SETTINGS,
        dagster_url=URL,
    )
    data = payload(page)
    assert data["sessions"]["eid"][-1] == eid
    assert data["sessions"]["subject"][1][-1] == -1
    n_checks = len(data["checks"])
    assert set(data["outcomes"][:-n_checks]) == {"n"}
    assert set(data["outcomes"][-n_checks:]) != {"n"}


def test_what_could_not_be_made_is_on_the_page_whole(simulated):
    matrix, sessions = simulated
    eids = sessions["eid"].tolist()
    rows = [
        (eids[3], "MalformedFileError", "columns are <missing>", "wheel_velocity", "FAILURE"),
        (eids[3], "UnreadableFileError", "x" * 5000, "photometry", "FAILURE"),
        (eids[5], "ChoiceSign", "a check, which the matrix has", "trials", "BLOCK"),
        ("of-no-table", "TransientError", None, "session", "FAILURE"),
    ]
    names = ["eid", "error_type", "error_message", "asset", "severity"]
    errors = ERRORS.conform(pd.DataFrame(rows, columns=names))
    page = build_dashboard(
        matrix, sessions, RULES, settings=SETTINGS, dagster_url=URL, errors=errors
    )
    data = payload(page)
    told = [(data["sessions"]["eid"][i], *rest) for i, *rest in data["failures"]]
    assert told[0] == (eids[3], "wheel_velocity", "MalformedFileError", "columns are <missing>")
    assert told[1][:3] == (eids[3], "photometry", "UnreadableFileError")
    assert 400 < len(told[1][3]) < 600
    assert told[2:] == [("of-no-table", "session", "TransientError", "")]
    assert "<missing>" not in page


def test_checks_without_rule_come_last(simulated):
    matrix, sessions = simulated
    extra = matrix.head(1).assign(check="homemade", asset="notebook")
    data = payload(
        build_dashboard(
            pd.concat([extra, matrix]), sessions, RULES, settings=SETTINGS, dagster_url=URL
        )
    )
    assert [check["name"] for check in data["checks"] if check["asset"] == "notebook"] == [
        "homemade"
    ]


def test_empty_tables_make_a_page():
    page = build_dashboard(
        QC_MATRIX.empty(), SESSIONS_TABLE.empty(), RULES, settings=SETTINGS, dagster_url=URL
    )
    assert payload(page)["sessions"]["eid"] == []


def test_texts_cannot_become_markup(simulated):
    matrix, sessions = simulated
    evil = "</script><script>alert(1)</script><!-- {{script}} & \u2028"
    matrix = matrix.assign(message=evil)
    sessions = sessions.assign(subject="<img src=x onerror=alert(1)>", lab="{{data}}")
    page = build_dashboard(matrix, sessions, RULES, settings=SETTINGS, dagster_url=URL)
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "\u2028" not in page
    data = payload(page)
    assert evil in data["messages"]["texts"]
    assert data["sessions"]["subject"][0] == ["<img src=x onerror=alert(1)>"]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_stay_texts(simulated, name):
    matrix, sessions = (table.head(100) for table in simulated)
    eid = sessions["eid"].iloc[0]
    sessions = sessions.assign(subject=name, lab=name, session_type=name)
    sessions["target_NM"] = pd.Series([[name]] * len(sessions), index=sessions.index)
    failure = {"eid": eid, "asset": name, "error_type": name, "error_message": name}
    errors = pd.DataFrame([{**failure, "severity": "FAILURE"}])
    page = build_dashboard(
        matrix.assign(message=name, label=name),
        sessions,
        RULES,
        errors=errors,
        settings=SETTINGS,
        dagster_url=URL,
    )
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page and "<!--" not in page and "\u2028" not in page
    data = payload(page)
    for key in ("subject", "lab", "type", "target"):
        assert data["sessions"][key][0] == [name]
    assert data["failures"][0] == [0, name, name, name]
    assert data["messages"]["texts"] == [name]


def test_only_the_pages_own_script_may_run_and_nothing_is_fetched(simulated):
    page = build_dashboard(*simulated, RULES, settings=SETTINGS, dagster_url=URL)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    script = re.search(r"<script>(.*)</script>", page, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "innerHTML" not in script
    assert "@import" not in page


def test_same_input_same_page(simulated):
    now = datetime(2025, 3, 1, 12, tzinfo=UTC)
    one, two = (
        build_dashboard(*simulated, RULES, settings=SETTINGS, dagster_url=URL, built_at=now)
        for _ in range(2)
    )
    assert one == two
    assert payload(one)["built"] == "2025-03-01 12:00 UTC"


@pytest.mark.slow
def test_a_thousand_sessions_fit_in_two_megabytes():
    matrix, sessions = simulate_outcomes(1000)
    errors = pd.DataFrame({"eid": sessions["eid"].sample(200, random_state=0)}).assign(
        asset="photometry", severity="FAILURE", error_type="E", error_message="m" * 300
    )
    page = build_dashboard(
        matrix, sessions, RULES, settings=SETTINGS, dagster_url=URL, errors=errors
    )
    assert len(page.encode()) < 2_000_000


def test_refusals(simulated):
    matrix, sessions = simulated
    with pytest.raises(ValueError, match="javascript:alert"):
        build_dashboard(
            matrix, sessions, RULES, settings=SETTINGS, dagster_url="javascript:alert(1)"
        )
    with pytest.raises(ValueError, match="maybe"):
        build_dashboard(
            matrix.assign(outcome="maybe"), sessions, RULES, settings=SETTINGS, dagster_url=URL
        )
