"""The Dagster page on a processed archive: what it says of a failed and a passed session."""

import json
import time
import urllib.request

import pytest

from iblnm.validation import RULES, rules_for

By = pytest.importorskip("selenium.webdriver.common.by", reason="selenium is not installed").By
Wait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
Page = pytest.importorskip("bench.dagster_ui").Page
pytestmark = [pytest.mark.web, pytest.mark.slow]

PATIENCE_S = 40
CHECK = "insufficient_trials"


@pytest.fixture
def page(browser, dagster_page):
    return Page(browser, dagster_page.url)


def test_checks_view_names_every_rule_of_the_asset(page):
    page.open("/assets/trials?view=checks")
    rules = rules_for("trials")
    page.wait_for(f"Checks ({len(rules)})", *(rule.name for rule in rules))


@pytest.mark.parametrize(("outcome", "verdict"), [("fail", "Failed"), ("pass", "Passed")])
def test_checks_view_of_a_session_shows_severity_value_and_message(
    page, dagster_page, outcome, verdict, tmp_path
):
    row = dagster_page.row(CHECK, outcome)
    page.open(f"/assets/trials?view=checks&checkDetail={CHECK}")
    page.wait_for("Execution history", "blocking", RULES[CHECK].description)
    page.click("//button[normalize-space()='Partitions']")
    field = page.find("//input[starts-with(@placeholder, 'Filter by')][last()]")
    field.send_keys(row.eid)
    page.click(f"//*[@title='{row.eid}']")
    page.wait_for(row.eid, verdict, row.message)
    shown = page.text()
    assert "severity" in shown
    assert "BLOCK" in shown
    assert f"{row.value:g}" in shown
    assert f"{row.limit:g}" in shown
    page.browser.save_screenshot(str(tmp_path / f"{outcome}.png"))


def test_links_of_the_dashboard_lead_to_the_session(page, dagster_page):
    row = dagster_page.row(CHECK, "fail")
    file = dagster_page.root / "figures" / "qc" / "dashboard.html"
    page.browser.get(f"{file.as_uri()}#open={row.eid}~{CHECK}")
    assert row.message in page.text("//aside")
    links = page.browser.find_elements(By.CSS_SELECTOR, "#panel a")
    addresses = [link.get_attribute("href") for link in links]
    of_dagster = [link for link in addresses if link.startswith(dagster_page.url)]
    others = [link for link in addresses if link not in of_dagster]
    places = (f"sessions/{row.eid}", f"/reference/rules/{CHECK}.html")  # viewer, report, rule
    assert all(any(place in link for place in places) for link in others)
    of_session, session, check = of_dagster[:3]
    page.browser.get(of_session)
    page.wait_for(f"Check {CHECK} failed", row.message.split(";")[0].split()[0], "dashboard")
    cell = page.find(f"//a[contains(@href, '~{CHECK}')]").get_attribute("href")
    assert cell.endswith(f"/figures/qc/dashboard.html#open={row.eid}~{CHECK}")
    page.browser.get(session)
    page.wait_for(row.eid, "Materialized", "Latest materialization")
    page.browser.get(check)
    page.wait_for(RULES[CHECK].description, "Execution history")


def test_the_first_page_shows_the_runs_of_the_batch(page):
    page.open("/")
    page.wait_for("Timeline", "process_session", "update_catalogue")


def test_a_run_of_the_batch_can_be_executed_again(dagster_page):
    runs = '{ runsOrError(filter: {pipelineName: "process_session", statuses: [SUCCESS]}) '
    runs += "{ ... on Runs { results { runId parentRunId } } } }"
    made = _ask(dagster_page.url, runs)["runsOrError"]["results"]
    run = next(run["runId"] for run in made if run["parentRunId"] is None)
    again = "mutation($p: ReexecutionParams) { launchRunReexecution(reexecutionParams: $p) "
    again += "{ __typename ... on LaunchRunSuccess { run { runId } } } }"
    params = {"parentRunId": run, "strategy": "ALL_STEPS"}
    launched = _ask(dagster_page.url, again, p=params)["launchRunReexecution"]
    assert launched["__typename"] == "LaunchRunSuccess"
    status = "query($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }"
    deadline = time.monotonic() + 2 * PATIENCE_S
    while time.monotonic() < deadline:
        found = _ask(dagster_page.url, status, r=launched["run"]["runId"])["runOrError"]["status"]
        if found in ("SUCCESS", "FAILURE"):
            break
        time.sleep(0.5)
    assert found == "SUCCESS"


def _ask(url, query, **variables):
    body = json.dumps({"query": query, "variables": variables}).encode()
    headers = {"Content-Type": "application/json", "Origin": url}
    request = urllib.request.Request(f"{url}/graphql", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]


@pytest.mark.parametrize("name", ["qc_dashboard", "dataset_overview"])
def test_thumbnail_is_shown(page, dagster_page, name):
    page.open(f"/assets/{name}")
    page.wait_for("Latest materialization", "preview", "path")
    page.click("//*[contains(text(), 'Show Markdown')]")
    image = page.find("//*[contains(@class, 'dagster-markdown')]//img")
    Wait(page.browser, PATIENCE_S).until(
        lambda browser: browser.execute_script("return arguments[0].naturalWidth", image) > 300
    )


def test_the_page_tells_nobody(page, dagster_page):
    page.open("/assets/qc_matrix")
    page.wait_for("qc_matrix", "Latest materialization")
    requested = page.browser.execute_script(
        "return JSON.stringify(performance.getEntriesByType('resource').map((e) => e.name))"
    )
    foreign = [
        address
        for address in json.loads(requested)
        if not address.startswith((dagster_page.url, "data:", "blob:"))
    ]
    assert not foreign
