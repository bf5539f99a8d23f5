"""The page *Datasets* in a browser: hostile names are shown as they are, many sessions soon."""

import pandas as pd
import pytest
from bench.hostile import NAMES
from bench.layer_tables import simulate_sessions

from iblnm.layers.items import ITEMS, STATUS_COLUMNS
from iblnm.layers.page import build_page, save_page

By = pytest.importorskip("selenium.webdriver.common.by").By
support = pytest.importorskip("selenium.webdriver.support.ui")
EIDS = [f"51b90000-0000-4000-8000-{i:012d}" for i in range(len(NAMES))]


def test_hostile_names_are_shown_as_texts(browser, tmp_path):
    names = list(NAMES.values())
    sessions = pd.DataFrame({"eid": EIDS, "subject": names, "condition": names})
    sessions = sessions.assign(start_time="2024-05-01", **dict.fromkeys(STATUS_COLUMNS))
    detail = pd.DataFrame(
        [
            {"eid": eid, "item": item.column, "file": None, "collection": name, "reason": name}
            for eid, name in zip(EIDS, names, strict=True)
            for item in ITEMS
        ]
    ).assign(revision=None, version=None)
    histology = sessions[["eid", "subject", "start_time"]].assign(
        pid=None, probe=names, state=names, next_task="ALIGN"
    )
    path = save_page(build_page(sessions, detail, histology), tmp_path / "datasets.html")
    browser.get(path.as_uri())
    rows = browser.find_elements(By.CSS_SELECTOR, "#sessions tbody tr")
    assert len(rows) == len(names)
    shown = [
        browser.execute_script("return arguments[0].cells[0].textContent", row) for row in rows
    ]
    assert shown == names
    rows[2].find_element(By.CSS_SELECTOR, "td.cell").click()
    assert names[2] in browser.find_element(By.ID, "why").text
    assert len(browser.find_elements(By.CSS_SELECTOR, "#todo tbody tr")) == len(names)
    assert not browser.find_elements(By.TAG_NAME, "img")
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 2
    assert browser.title == "Datasets"


def test_rows_are_made_as_they_come_into_sight_and_chosen_by_state(browser, tmp_path):
    sessions, detail, histology = simulate_sessions(300)
    path = save_page(build_page(sessions, detail, histology), tmp_path / "datasets.html")
    browser.get(path.as_uri())

    def rows():
        return browser.execute_script(
            "return [...document.querySelectorAll('#sessions tbody tr')]"
            ".filter((row) => row.cells.length > 1).map((row) => row.cells[0].title.slice(-36))"
        )

    assert rows()[:40] == sessions["eid"].tolist()[:40]
    assert len(rows()) < 200
    grid = browser.find_element(By.ID, "grid")
    assert browser.execute_script(
        "const [grid] = arguments; grid.scrollTop = grid.scrollHeight;"
        "return grid.scrollHeight - document.querySelector('#sessions thead').offsetHeight",
        grid,
    ) == pytest.approx(300 * 20, abs=40)
    support.WebDriverWait(browser, 20).until(lambda _: rows()[-1] == sessions["eid"].iloc[-1])
    item = "probe01_spikes"
    for name, text in (("item", item), ("state", "extraction error")):
        support.Select(browser.find_element(By.NAME, name)).select_by_visible_text(text)
    wanted = sessions.loc[sessions[item] == "extraction error", "eid"].tolist()
    assert rows()[:40] == wanted[:40]
    assert f"{len(wanted)} of 300" in browser.find_element(By.ID, "summary").text
    at = list(STATUS_COLUMNS).index(item)
    browser.find_elements(By.CSS_SELECTOR, "#sessions tbody tr")[0].find_elements(
        By.CSS_SELECTOR, "td.cell"
    )[at].click()
    told = browser.find_element(By.ID, "why").text
    of_cell = detail[(detail["eid"] == wanted[0]) & (detail["item"] == item)].iloc[0]
    assert wanted[0] in told
    assert of_cell["reason"] in told
