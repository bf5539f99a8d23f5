"""The page *Datasets* in a browser: hostile names are shown as they are."""

import pandas as pd
import pytest
from bench.hostile import NAMES

from iblnm.layers.items import ITEMS, STATUS_COLUMNS
from iblnm.layers.page import build_page, save_page

By = pytest.importorskip("selenium.webdriver.common.by").By
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
    rows = browser.find_elements(By.CSS_SELECTOR, "#body tr")
    assert len(rows) == len(names)
    shown = [
        browser.execute_script("return arguments[0].cells[0].textContent", row) for row in rows
    ]
    assert shown == names
    rows[2].find_element(By.CSS_SELECTOR, "td.cell").click()
    assert names[2] in browser.find_element(By.ID, "why").text
    assert len(browser.find_elements(By.CSS_SELECTOR, "#todo tr")) == len(names)
    assert not browser.find_elements(By.TAG_NAME, "img")
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 2
    assert browser.title == "Datasets"
