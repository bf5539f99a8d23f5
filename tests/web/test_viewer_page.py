"""The viewer and the report in a real browser."""

import json
import re
import time

import pandas as pd
import pytest

from iblnm.pipeline.graph import find_stage
from iblnm.pipeline.label_rows import read_rows
from iblnm.schemas import SESSIONS
from iblnm.storage import read_table, write_table
from iblnm.storage.store import SessionStore
from iblnm.viewer.report import report_path, save_report

pytestmark = [pytest.mark.web, pytest.mark.slow]
By = pytest.importorskip("selenium.webdriver.common.by", reason="selenium is not installed").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
ActionChains = pytest.importorskip("selenium.webdriver").ActionChains
Select = pytest.importorskip("selenium.webdriver.support.ui").Select
TIMEOUT_S = 60
MARKUP = "<img src=x onerror=alert(1)>"


class Page:
    """What a person does on the page."""

    def __init__(self, browser):
        self.browser = browser

    def open(self, address):
        self.browser.get(address)
        self.settle()

    def settle(self):
        """Wait until session and traces are drawn."""
        self.until(
            "return document.body.dataset.ready && "
            "document.querySelector('.traces').dataset.drawn !== ''"
        )

    def until(self, script, *arguments):
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            found = self.browser.execute_script(script, *arguments)
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"not within {TIMEOUT_S} s: {script}")

    def css(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()
        self.settle()

    @property
    def shown_s(self):
        """First and last time that is shown."""
        return [float(v) for v in self.css(".range").text.replace(" s", "").split(" to ")]

    @property
    def eid(self):
        return re.search(r"/sessions/([0-9a-f-]{36})", self.browser.current_url).group(1)

    def drag(self, start, stop):
        """Drag over the preprocessed trace, from and to shares of its width."""
        over = self.css("#plot-preprocessed .u-over")
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", over)
        width, middle = over.size["width"], over.size["width"] / 2
        chain = ActionChains(self.browser, duration=30)
        chain.move_to_element_with_offset(over, int(width * start - middle), 0)
        chain.click_and_hold()
        chain.move_to_element_with_offset(over, int(width * stop - middle), 0)
        chain.release().perform()
        self.settle()

    def colors(self, selector):
        """How many colors a canvas shows."""
        return self.browser.execute_script(
            "const c = document.querySelector(arguments[0]);"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "const s = new Set(); for (let i = 0; i < d.length; i += 4)"
            " s.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return s.size",
            selector,
        )


@pytest.fixture
def page(browser):
    return Page(browser)


@pytest.fixture
def eid(small_archive):
    return small_archive[1]["sessions"][0]["eid"]


def test_open_choose_zoom_toggle_sort_reload(page, served, viewed_settings):
    page.open(served.url)
    assert page.colors(".heat") > 50
    assert len(page.all(".list li")) == 4

    # choose: by the list, next and previous, a filter
    first = page.eid
    page.css("[name=next]").click()
    page.until("return !location.href.includes(arguments[0])", first)
    page.settle()
    assert page.eid != first
    subject = page.css(".list li b").text
    page.css("[name=subject]").send_keys(subject)
    page.until("return document.querySelectorAll('.list li').length === 2")
    page.css(".list li:last-child a").click()
    page.settle()
    assert f"subject={subject}" in page.browser.current_url
    assert page.css("h2").text.startswith(subject)

    # zoom by dragging, from the hour to the second
    start, stop = page.shown_s
    page.drag(0.25, 0.5)
    near = page.shown_s
    assert near[0] == pytest.approx(start + 0.25 * (stop - start), abs=5)
    assert near[1] - near[0] == pytest.approx((stop - start) / 4, rel=0.05)
    page.css("button[title='show 1 s']").click()
    page.settle()
    assert page.shown_s[1] - page.shown_s[0] == pytest.approx(1, abs=1e-3)

    # toggles and sorting change what is drawn
    drawn = page.css(".heat").get_attribute("data-drawn")
    page.css("[name=baseline]").click()
    Select(page.css("[name=sort]")).select_by_value("reaction")
    assert page.css(".heat").get_attribute("data-drawn") != drawn
    assert page.css(".heat").get_attribute("data-first") != "0"
    Select(page.css("[name=group]")).select_by_value("outcome")
    assert "correct" in page.css(".responses .legend").text
    Select(page.css("[name=unit]")).select_by_value("dff")
    page.settle()

    # the address holds all of it
    address = page.browser.current_url
    for part in ("t=", "baseline=0", "sort=reaction", "group=outcome", "unit=dff"):
        assert part in address
    shown = page.shown_s
    page.browser.refresh()
    page.settle()
    assert page.shown_s == pytest.approx(shown)
    assert not page.css("[name=baseline]").is_selected()
    assert Select(page.css("[name=group]")).first_selected_option.text == "outcome"


def test_a_mask_is_drawn_with_the_mouse_and_survives_a_reload(page, served, viewed_settings, eid):
    page.open(f"{served.url}/sessions/{eid}")
    start, stop = page.shown_s
    page.css("[name=mark]").click()
    page.drag(0.4, 0.45)
    assert page.shown_s == [start, stop]
    page.css("form.label [name=why]").send_keys("cable came loose")
    who = page.css("form.label [name=who]")
    who.clear()
    who.send_keys("a student")
    page.css("[name=save]").click()
    page.until("return document.querySelector('tr[data-verdict=mask]')")
    (row,) = read_rows(viewed_settings.labels_fpath)
    assert (row["eid"], row["fiber_idx"], row["verdict"]) == (eid, 0, "mask")
    assert row["t0"] == pytest.approx(start + 0.4 * (stop - start), abs=5)
    assert row["t1"] == pytest.approx(start + 0.45 * (stop - start), abs=5)
    assert (row["who"], row["why"]) == ("a student", "cable came loose")
    page.browser.refresh()
    page.settle()
    assert page.all("tr[data-verdict=mask]")
    assert "to be masked" in page.css(".traces").text
    page.css("[name=remove]").click()
    page.until("return !document.querySelector('tr[data-verdict=mask]')")
    assert read_rows(viewed_settings.labels_fpath) == []


def test_everything_by_keyboard(page, served, viewed_settings, eid):
    page.open(f"{served.url}/sessions/{eid}")
    start, stop = page.shown_s
    page.press("+")
    assert page.shown_s[1] - page.shown_s[0] == pytest.approx((stop - start) / 2, rel=0.01)
    before = page.shown_s
    page.press(Keys.ARROW_RIGHT)
    assert page.shown_s[0] > before[0]
    page.press("0")
    assert page.shown_s == [start, stop]
    page.press("s", "g", "b", "u")
    for part in ("sort=contrast", "group=outcome", "baseline=0", "unit=dff"):
        assert part in page.browser.current_url
    # a label: to the form, session, drop, over the hidden window to the reason
    page.press("l")
    page.press(Keys.TAB, Keys.ARROW_DOWN, Keys.TAB, "noise", Keys.TAB)
    page.browser.switch_to.active_element.send_keys(Keys.CONTROL, "a")
    page.press("me", Keys.ENTER)
    page.until("return document.querySelector('tr[data-verdict=drop]')")
    (row,) = read_rows(viewed_settings.labels_fpath)
    assert (row["verdict"], row["why"], row["who"]) == ("drop", "noise", "me")
    page.browser.execute_script("document.activeElement.blur()")
    here = page.eid
    page.press("p" if page.all(".list li:last-child.current") else "n")
    page.until("return !location.href.includes(arguments[0])", here)
    page.settle()
    page.press("?")
    assert page.css("dialog").is_displayed()


def test_a_post_from_another_page_is_refused(page, served, viewed_settings, eid, tmp_path):
    """Another origin on this machine: a form, and a script without the browser's consent."""
    other = tmp_path / "other.html"
    action = f"{served.url}/api/sessions/{eid}/labels"
    other.write_text(f'<form method="post" action="{action}"><button>go</button></form>')
    page.browser.get(other.as_uri())
    page.css("button").click()
    page.until("return document.body && document.body.textContent.includes('refused')")
    assert not viewed_settings.labels_fpath.exists()
    # the browser reports the 403 itself
    assert any("403" in entry["message"] for entry in page.browser.get_log("browser"))


def test_markup_in_names_is_text(page, served, viewed_settings, eid):
    settings = viewed_settings
    path = settings.metadata_dir / "sessions" / f"{eid}.pqt"
    row = SESSIONS.restore(read_table(path)).assign(subject=MARKUP)
    for name in ("brain_region", "target_NM"):
        row[name] = pd.Series([[MARKUP] * len(row["brain_region"].iloc[0])], dtype=object)
    write_table(row, path, SESSIONS)
    table = settings.metadata_dir / "sessions.pqt"
    sessions = pd.read_parquet(table)
    sessions.loc[sessions["eid"] == eid, "subject"] = MARKUP
    sessions.to_parquet(table)
    page.open(f"{served.url}/sessions/{eid}")
    assert page.css("h2").text.startswith(MARKUP)
    assert MARKUP in page.css(".tabs").text
    assert MARKUP in page.css(".list").text
    assert not page.all("img")
    result = find_stage("session_report").run({"session": row}, eid=eid, settings=settings)
    report = save_report(result.value, report_path(settings.root, eid))
    page.open(report.as_uri())
    assert page.css("h2").text.startswith(MARKUP)
    assert not page.all("img")


def test_the_report_shows_the_panels_without_a_server(page, viewed_settings, eid):
    row = SessionStore(viewed_settings).load("session", eid)
    result = find_stage("session_report").run({"session": row}, eid=eid, settings=viewed_settings)
    path = save_report(result.value, report_path(viewed_settings.root, eid))
    page.open(path.as_uri())
    for name in ("#plot-raw", "#plot-preprocessed", "#plot-events", "#panel-psychometric"):
        assert page.colors(f"{name} canvas") > 3, name
    assert page.colors(".heat") > 50
    assert len(page.all("table.checks tbody tr")) > 10
    start, stop = page.shown_s
    # what is drawn, not only what is said
    scales = (
        "return Object.values(document.getElementById('session').page.traces.plots)"
        ".map((plot) => [plot.scales.x.min, plot.scales.x.max])"
    )
    assert page.browser.execute_script(scales) == [pytest.approx([start, stop], abs=0.5)] * 3
    page.drag(0.5, 0.75)
    assert page.shown_s[1] - page.shown_s[0] == pytest.approx((stop - start) / 4, rel=0.05)
    assert not page.all("form.label")


def test_states_are_told(page, served, viewed_settings, eid):
    (viewed_settings.sessions_h5_dir / f"{eid}.h5").write_bytes(b"no session file")
    page.open(f"{served.url}/sessions/{eid}")
    assert "cannot be read" in page.css("#plot-preprocessed").text
    assert "cannot be read" in page.css(".responses").text
    assert page.all("table.checks tbody tr")


def test_an_empty_root_says_what_to_do(page, viewed_settings, served):
    (viewed_settings.metadata_dir / "sessions.pqt").unlink()
    for path in (viewed_settings.metadata_dir / "sessions").glob("*.pqt"):
        path.unlink()
    page.browser.get(served.url)
    page.until("return document.body.textContent.includes('iblnm demo')")


def test_a_request_that_is_overtaken_is_aborted(page, served, eid):
    page.open(f"{served.url}/sessions/{eid}")
    page.browser.execute_script(
        "window.aborted = 0; const own = window.fetch;"
        "window.fetch = (path, options) => { if (options && options.signal)"
        " options.signal.addEventListener('abort', () => window.aborted++);"
        " return own(path, options); }"
    )
    for _ in range(4):
        ActionChains(page.browser).send_keys("+").perform()
    page.settle()
    assert page.browser.execute_script("return window.aborted") >= 1
    assert json.loads(page.browser.execute_script("return JSON.stringify(1)")) == 1
