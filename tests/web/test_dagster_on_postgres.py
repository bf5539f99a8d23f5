"""The Dagster page on a root with its history in PostgreSQL: a session is run from it."""

import pytest

from iblnm.validation import RULES

Wait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
Page = pytest.importorskip("bench.dagster_ui").Page
pytest.importorskip("dagster_postgres", reason="the extra postgres is not installed")
pytestmark = [pytest.mark.web, pytest.mark.slow]

JOB = "/locations/iblnm_dagster.definitions/jobs/process_session"
CHECK = "insufficient_trials"
PATIENCE_S = 120
WIDTHS = (1280, 1920)


def test_a_session_is_run_from_the_page_and_its_checks_are_told(
    page_on_postgres, browser, tmp_path
):
    page = Page(browser, page_on_postgres.url, PATIENCE_S)
    eid = page_on_postgres.eid
    page.open(JOB)
    page.click("//button[contains(., 'Materialize all')]")
    page.click("//*[contains(text(), 'Select a partition')]")
    page.click(f"//*[@title='{eid}' or normalize-space(text())='{eid}']")
    page.click("//button[normalize-space()='Launch 1 run']")
    page.wait_for("Launched run")
    runs = "SELECT partition, status FROM runs"
    Wait(browser, PATIENCE_S, poll_frequency=1).until(
        lambda _: page_on_postgres.query(runs) == [(eid, "SUCCESS")],
        "the run of the session has not ended",
    )
    size = browser.get_window_size()
    try:
        for width in WIDTHS:
            browser.set_window_size(width, 1000)
            page.open("/asset-groups")
            page.wait_for("Global asset lineage", "behavior", "cohort_figures")
            _is_within_the_window(browser, tmp_path / f"graph_{width}.png")
            page.open(f"/assets/trials?view=checks&checkDetail={CHECK}")
            page.wait_for("Execution history", RULES[CHECK].description)
            page.click("//button[normalize-space()='Partitions']")
            page.find("//input[starts-with(@placeholder, 'Filter by')][last()]").send_keys(eid)
            page.click(f"//*[@title='{eid}']")
            page.wait_for(eid, "trials; at least", "severity", "BLOCK")
            _is_within_the_window(browser, tmp_path / f"check_{width}.png")
    finally:
        browser.set_window_size(size["width"], size["height"])


def _is_within_the_window(browser, path):
    browser.save_screenshot(str(path))
    width, window = browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert width <= window
