"""The dashboard in a real browser, on simulated outcomes."""

import time
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from bench.outcomes import simulate_outcomes

from iblnm.config import Settings
from iblnm.pipeline.groups import running_rules
from iblnm.pipeline.matrix import STANDINGS, session_standings
from iblnm.pipeline.qc_summary import pass_share
from iblnm.pipeline.staleness import Stale
from iblnm.vis.qc_dashboard import build_dashboard, readdress, save_dashboard

pytestmark = [pytest.mark.web, pytest.mark.slow]
URL = "http://127.0.0.1:3000"
RULES = {rule.name: rule for rule in running_rules()}
SETTINGS = Settings(_env_file=None)
By = pytest.importorskip("selenium.webdriver.common.by", reason="selenium is not installed").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
Select = pytest.importorskip("selenium.webdriver.support.ui").Select
WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait


class Page:
    """What a person does on the page."""

    def __init__(self, browser, path, hash_=""):
        self.browser = browser
        browser.get(f"{path.as_uri()}{hash_}")

    def css(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def settle(self):
        """Wait for what typing and scrolling put off."""
        self.browser.execute_async_script(
            "setTimeout(() => requestAnimationFrame(() => arguments[0]()), 180)"
        )

    def totals(self):
        return {
            entry.find_element(By.CSS_SELECTOR, "dt").text: entry.find_element(
                By.CSS_SELECTOR, "dd"
            ).text
            for entry in self.all("#totals div")
        }

    @property
    def n_sessions(self):
        WebDriverWait(self.browser, 30).until(lambda _: "sessions" in self.totals())
        return int(self.totals()["sessions"].split()[0])

    def eids(self):
        """All sessions that are shown, in order."""
        href = self.css("#save").get_attribute("href")
        return unquote(href.split(",", 1)[1]).split()

    def choose(self, name, value):
        Select(self.css(f"[name={name}]")).select_by_value(value)
        self.settle()

    def type(self, name, text):
        self.css(f"[name={name}]").send_keys(text)
        self.settle()

    def set_date(self, name, value):
        self.browser.execute_script(
            "const e = document.querySelector(`[name=${arguments[0]}]`);"
            "e.value = arguments[1]; e.dispatchEvent(new Event('input', {bubbles: true}))",
            name,
            value,
        )
        self.settle()

    def sort(self, key):
        self.css(f"th[data-key={key}] button").click()
        self.settle()

    def clear(self):
        self.css("[type=reset]").click()
        self.settle()

    def cell(self, row, check):
        column = self.css(f"th[data-key={check}]").get_attribute("data-c")
        return self.css(f'td[data-r="{row}"][data-c="{column}"]')

    def focused(self):
        focused = self.browser.switch_to.active_element
        return focused.get_attribute("data-r"), focused.get_attribute("data-c")


@pytest.fixture(scope="module")
def simulated():
    return simulate_outcomes(150, seed=11, share_broken=0.03, share_not_run=0.02)


@pytest.fixture(scope="module")
def errors(simulated):
    """What could not be made of a session without problems, one with, and one that warns."""
    standing = session_standings(simulated[0], ())
    eids = [standing.index[standing == name][0] for name in ("clean", "failure", "incomplete")]
    rows = [(eid, "wheel_velocity", "MalformedFileError", f"wheel of {eid}") for eid in eids]
    rows.append((eids[1], "photometry", "UnreadableFileError", "short by 100 bytes"))
    names = ["eid", "asset", "error_type", "error_message"]
    return pd.DataFrame(rows, columns=names).assign(severity="FAILURE")


@pytest.fixture(scope="module")
def file(simulated, errors, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "dashboard.html"
    html = build_dashboard(*simulated, RULES, settings=SETTINGS, dagster_url=URL, errors=errors)
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture
def page(browser, file):
    return Page(browser, file)


@pytest.fixture(scope="module")
def table(simulated):
    """Outcomes: sessions by checks."""
    return simulated[0].pivot_table(
        index="eid", columns="check", values="outcome", aggfunc="first"
    )


def test_totals_agree_with_the_catalog_and_filters_with_both(page, simulated, errors, table):
    matrix, _ = simulated
    passing, evaluated = pass_share(matrix)
    standing = session_standings(matrix, errors["eid"])
    totals = page.totals()
    assert totals["sessions"] == "150"
    share = f"{round(100 * passing / evaluated)} % {passing} of {evaluated}"
    assert totals["pass all BLOCK and ERROR checks"] == share
    counts = {name: int(totals[words].split()[0]) for name, words in STANDINGS.items()}
    assert counts == {name: (standing == name).sum() for name in STANDINGS}
    assert sum(counts.values()) == 150
    assert totals["with a failure"].endswith("3 of an asset")
    assert (table.loc[errors["eid"][0]] == "pass").all()
    for name in STANDINGS:
        page.choose("standing", name)
        assert set(page.eids()) == set(standing.index[standing == name])


def test_what_could_not_be_made_is_a_badge_and_is_told_on_click(page, errors):
    page.type("q", f"malformedfileerror {errors['eid'][1]}")
    assert page.eids() == [errors["eid"][1]]
    badge = page.css('td[data-r="0"] b.failure')
    assert badge.text == "wheel_velocity +1"
    badge.click()
    panel = page.css("#panel")
    for text in ("Could not be made (2)", *errors.loc[[1, 3], "error_message"]):
        assert text in panel.text
    links = [link.get_attribute("href") for link in page.all("#panel .failures a")]
    assert links == [
        f"{URL}/assets/{asset}?view=partitions&partition={errors['eid'][1]}"
        for asset in ("wheel_velocity", "photometry")
    ]


def test_every_check_has_a_column_and_its_count(page, table):
    heads = page.all("tr.names th.check")
    assert heads[0].get_attribute("data-key") == "missing_raw_data"
    assert len(heads) == len(RULES)
    counts = page.all("tr.counts th:not(.meta)")
    for head, count in zip(heads, counts, strict=True):
        outcomes = table[head.get_attribute("data-key")]
        assert count.text == str(outcomes.isin(["warn", "fail"]).sum())


@pytest.mark.parametrize(
    ("name", "column"), [("subject", "subject"), ("lab", "lab"), ("type", "session_type")]
)
def test_filter_by_a_property_of_the_session(page, simulated, name, column):
    _, sessions = simulated
    value = sessions[column].iloc[40]
    page.choose(name, value)
    expected = sessions.loc[sessions[column] == value, "eid"]
    assert 0 < len(expected) < 150
    assert set(page.eids()) == set(expected)
    assert page.n_sessions == len(expected)
    assert page.totals()["sessions"].endswith("of 150")


def test_filter_by_target_and_dates(page, simulated):
    _, sessions = simulated
    page.choose("target", "VTA-DA")
    has_target = sessions["target_NM"].map(lambda names: "VTA-DA" in names)
    assert set(page.eids()) == set(sessions.loc[has_target, "eid"])
    page.clear()
    page.set_date("from", "2023-01-15")
    page.set_date("to", "2023-01-20")
    day = sessions["start_time"].str[:10]
    inside = (day >= "2023-01-15") & (day <= "2023-01-20")
    assert set(page.eids()) == set(sessions.loc[inside, "eid"])
    assert inside.sum() > 0


def test_filter_by_outcome_of_a_check(page, table, errors):
    page.choose("check", "band_inversion")
    assert page.css("[name=outcome]").get_attribute("value") == "wf"
    assert set(page.eids()) == set(table.index[table["band_inversion"] == "fail"])
    page.choose("outcome", "n")
    assert set(page.eids()) == set(table.index[table["band_inversion"] == "not run"])
    page.clear()
    page.choose("outcome", "f")
    failing = set(table.index[(table == "fail").any(axis=1)])
    assert set(page.eids()) == failing | set(errors["eid"])
    page.clear()
    assert page.n_sessions == 150


def test_only_what_has_problems(page, table, errors):
    page.css("[name=problems]").click()
    page.settle()
    broken = set(table.index[table.isin(["warn", "fail"]).any(axis=1)])
    assert set(page.eids()) == broken | set(errors["eid"])
    page.type("q", table.index[0])
    page.css("[name=problems]").click()
    page.css("[name=columns]").click()
    page.settle()
    broken = table.loc[table.index[0]].isin(["warn", "fail"])
    shown = {head.get_attribute("data-key") for head in page.all("tr.names th.check")}
    assert shown == set(broken.index[broken])


def test_search_finds_eids_mice_and_words_of_messages(page, simulated, table):
    _, sessions = simulated
    page.type("q", "sim-004")
    assert set(page.eids()) == set(sessions.loc[sessions["subject"] == "SIM-004", "eid"])
    page.clear()
    page.type("q", "choice sign: the VALUE")
    assert set(page.eids()) == set(table.index[table["choice_sign"] == "fail"])
    page.clear()
    page.type("q", "no such words")
    assert page.n_sessions == 0
    assert page.css("#empty").is_displayed()


def test_sort_by_session_columns(page, simulated):
    _, sessions = simulated
    days = sessions.set_index("eid")["start_time"].str[:16]
    assert days[page.eids()].is_monotonic_decreasing
    page.sort("start")
    assert days[page.eids()].is_monotonic_increasing
    for key, column in (("subject", "subject"), ("lab", "lab"), ("type", "session_type")):
        values = sessions.set_index("eid")[column]
        page.sort(key)
        assert values[page.eids()].is_monotonic_increasing
        assert page.css(f"th[data-key={key}]").get_attribute("aria-sort") == "ascending"
        page.sort(key)
        assert values[page.eids()].is_monotonic_decreasing


def test_sort_by_number_of_problems(page, table, errors):
    page.sort("problems")
    fails = (table == "fail").sum(axis=1)
    fails = fails.add(errors["eid"].value_counts(), fill_value=0)
    warns = (table == "warn").sum(axis=1)
    rank = (fails * 1000 + warns)[page.eids()]
    assert rank.is_monotonic_decreasing
    assert rank.iloc[0] > rank.iloc[-1]


def test_sort_by_a_check_worst_first_then_by_value(page, simulated, table):
    matrix, _ = simulated
    rank = {"fail": 0, "warn": 1, "not run": 2, "pass": 3}
    values = matrix[matrix["check"] == "early_samples"].set_index("eid")["value"]
    page.sort("early_samples")
    assert table["early_samples"].map(rank)[page.eids()].is_monotonic_increasing
    page.sort("early_samples")
    ordered = values[page.eids()]
    n = ordered.notna().sum()
    assert ordered.iloc[:n].round(2).is_monotonic_decreasing
    assert ordered.iloc[n:].isna().all()
    page.sort("early_samples")
    ordered = values[page.eids()]
    assert ordered.iloc[:n].round(2).is_monotonic_increasing
    assert ordered.iloc[n:].isna().all()


def test_click_on_a_failing_cell_tells_value_limit_and_message(page, simulated, tmp_path):
    matrix, _ = simulated
    page.sort("band_inversion")
    eid = page.eids()[0]
    cell = page.cell(0, "band_inversion")
    assert cell.get_attribute("aria-label") == "band_inversion: fail"
    cell.click()
    panel = page.css("#panel")
    row = matrix.set_index(["eid", "check"]).loc[(eid, "band_inversion")]
    rule = RULES["band_inversion"]
    assert panel.is_displayed()
    for text in ("band_inversion", row.message, rule.description, "BLOCK", "photometry_qc", eid):
        assert text in panel.text
    numbers = [entry.text for entry in page.all("#panel dd.number")]
    value, limit = (float(text.removesuffix(" frames").replace(",", "")) for text in numbers)
    assert value == pytest.approx(row.value, rel=5e-5)
    assert limit == row.limit
    assert all(text.endswith(" frames") for text in numbers)
    links = [link.get_attribute("href") for link in page.all("#panel a")]
    assert f"{URL}/assets/photometry_qc?view=partitions&partition={eid}" in links
    assert f"{URL}/assets/session?view=partitions&partition={eid}" in links
    assert f"{URL}/assets/photometry_qc?view=checks&checkDetail=band_inversion" in links
    page.browser.save_screenshot(str(tmp_path / "panel.png"))
    page.css("#panel .close").click()
    assert not panel.is_displayed()


def test_other_problems_of_a_session_are_one_click_away(page, table):
    broken = table.isin(["warn", "fail"])
    eid = broken.sum(axis=1).idxmax()
    page.type("q", eid)
    page.css('td[data-r="0"][data-c="0"]').click()
    names = [entry.text.splitlines()[0] for entry in page.all("#panel li button span")]
    assert set(names) == set(broken.columns[broken.loc[eid]])
    first = names[0]
    page.all("#panel li button")[0].click()
    assert page.css("#panel-title").text == first
    assert len(page.all("#panel li button")) == len(names) - 1


def test_a_chosen_check_comes_into_view_and_the_panel_leaves_the_cell_free(page):
    name = list(RULES)[-1]
    page.choose("check", name)
    scroller = page.css("#scroller").rect
    time.sleep(0.3)
    shown = page.css(f"th[data-key={name}]").rect
    assert shown["x"] + shown["width"] <= scroller["x"] + scroller["width"]
    page.cell(0, name).click()
    cell, panel = page.cell(0, name).rect, page.css("#panel").rect
    assert cell["x"] + cell["width"] <= panel["x"]


def test_the_first_session_is_in_the_upper_part_of_the_window(page):
    assert page.cell(0, "missing_raw_data").rect["y"] <= 350


def test_keyboard_moves_opens_and_closes(page):
    page.cell(0, "missing_raw_data").click()
    page.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.css("#panel").is_displayed()
    row, column = page.focused()
    assert row == "0"
    for key in (Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT):
        page.browser.switch_to.active_element.send_keys(key)
    assert page.focused() == ("2", str(int(column) + 1))
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.css("#panel-title").text == "missing_extracted_data"
    page.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert page.focused() == ("2", str(int(column) + 1))
    page.browser.switch_to.active_element.send_keys(Keys.CONTROL + Keys.END)
    assert page.focused() == ("149", str(5 + len(RULES)))
    page.browser.switch_to.active_element.send_keys(Keys.CONTROL + Keys.HOME)
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_UP)
    before = page.eids()
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    page.settle()
    assert page.eids() != before


def test_state_is_in_the_address(page, file, browser):
    page.choose("lab", "mainenlab")
    page.type("q", "sim")
    page.sort("band_inversion")
    page.cell(1, "choice_sign").click()
    address, eids, title = browser.current_url, page.eids(), page.css("#panel").text
    assert "lab=mainenlab" in address
    browser.get("about:blank")
    browser.get(address)
    again = Page(browser, file, address[address.index("#") :])
    assert again.eids() == eids
    assert again.css("#panel").text == title
    assert again.css("[name=lab]").get_attribute("value") == "mainenlab"
    assert again.css("th[data-key=band_inversion]").get_attribute("aria-sort") == "other"


def test_an_address_of_a_cell_shows_it_beside_its_numbers(browser, file, page):
    eid, check = page.eids()[-1], list(RULES)[-1]
    browser.get("about:blank")
    page = Page(browser, file, f"#open={eid}~{check}")
    assert check in page.css("#panel").text
    scroller, panel = page.css("#scroller").rect, page.css("#panel").rect
    cell = page.cell(page.n_sessions - 1, check).rect
    assert scroller["y"] < cell["y"] < scroller["y"] + scroller["height"]
    assert cell["x"] + cell["width"] <= panel["x"]


def test_links_of_a_cell_lead_to_its_run_wherever_the_page_is(browser, simulated, tmp_path):
    matrix, sessions = simulated
    row = matrix[matrix["outcome"] == "fail"].iloc[0]
    runs = {(row["eid"], row["check"]): "1234-run"}
    html = build_dashboard(
        matrix, sessions, RULES, dagster_url="http://127.0.0.1:3000", runs=runs, settings=SETTINGS
    )
    path = save_dashboard(html, tmp_path / "dashboard.html")
    readdress(path, "http://127.0.0.1:3055")
    page = Page(browser, path, f"#open={row['eid']}~{row['check']}")
    links = [link.get_attribute("href") for link in page.all("#panel a")]
    assert links[0] == f"http://127.0.0.1:3055/runs/1234-run?logs={row['check']}"
    assert not [link for link in links if ":3000" in link]
    other = matrix[(matrix["outcome"] == "pass") & (matrix["check"] == row["check"])].iloc[0]
    browser.get("about:blank")
    page = Page(browser, path, f"#open={other['eid']}~{other['check']}")
    first = page.all("#panel a")[0].get_attribute("href")
    assert first.endswith(f"/runs?q%5B0%5D=tag%3Adagster%2Fpartition%3D{other['eid']}")


def test_what_is_out_of_date_is_counted_found_and_explained(browser, simulated, tmp_path):
    matrix, sessions = simulated
    eid = sessions["eid"].iloc[3]
    stale = [Stale(eid, "preprocessed", "signal.lowpass_hz 0.01 → 0.02 <b>")]
    html = build_dashboard(
        matrix, sessions, RULES, dagster_url="http://127.0.0.1", stale=stale, settings=SETTINGS
    )
    page = Page(browser, save_dashboard(html, tmp_path / "dashboard.html"), f"#open={eid}~")
    assert "out of date\n1 1 %" in page.css("#totals").text
    assert (
        "Out of date (1)\npreprocessed signal.lowpass_hz 0.01 → 0.02 <b>"
        in page.css("#panel").text
    )


def test_an_address_with_unknown_names_shows_everything(browser, file):
    page = Page(browser, file, "#subject=nobody&sort=nothing&check=none&open=x~y&from=soon")
    assert page.n_sessions == 150
    assert not page.css("#panel").is_displayed()


def test_outcomes_differ_without_color(page):
    script = "return getComputedStyle(arguments[0], '::before').content"
    glyphs = {
        name: page.browser.execute_script(script, page.css(f"#legend i.{name}")) for name in "pwfn"
    }
    assert len(set(glyphs.values())) == 4
    for name, glyph in glyphs.items():
        found = page.all(f"td.o.{name}")
        assert found
        assert page.browser.execute_script(script, found[0]) == glyph


def test_markup_in_texts_stays_text(browser, simulated, tmp_path):
    matrix, sessions = simulated
    evil = "<img src=x onerror=\"document.title='broken in'\"></script><script>1</script>"
    matrix = matrix.assign(message=evil, outcome="fail")
    sessions = sessions.assign(subject=f"A{evil}", lab=evil, session_type=evil)
    path = tmp_path / "evil.html"
    path.write_text(
        build_dashboard(matrix, sessions, RULES, settings=SETTINGS, dagster_url=URL),
        encoding="utf-8",
    )
    page = Page(browser, path)
    page.cell(0, "choice_sign").click()
    page.settle()
    assert page.css("#panel .message").text == evil
    assert page.css('td[data-r="0"][data-c="0"]').text.startswith("A<img")
    assert not page.all("img")
    assert len(page.all("script")) == 2
    assert browser.title == "Quality of sessions"


def test_printing_shows_all_rows(page):
    assert len(page.all("#body tr:not(.gap)")) < 100
    page.browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert len(page.all("#body tr:not(.gap)")) == 150
    page.browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert len(page.all("#body tr:not(.gap)")) < 100


def test_five_thousand_sessions_stay_usable(browser, tmp_path):
    path = tmp_path / "large.html"
    matrix, sessions = simulate_outcomes(5000, seed=1)
    path.write_text(
        build_dashboard(matrix, sessions, RULES, settings=SETTINGS, dagster_url=URL),
        encoding="utf-8",
    )
    started = time.perf_counter()
    page = Page(browser, path)
    assert page.n_sessions == 5000
    opened = time.perf_counter() - started
    took = browser.execute_script(
        "const t = performance.now();"
        "document.querySelector('th[data-key=choice_sign] button').click();"
        "document.body.offsetHeight; return performance.now() - t"
    )
    browser.execute_script("const s = document.querySelector('#scroller'); s.scrollTop = 1e9")
    page.settle()
    rows = page.all("#body tr:not(.gap)")
    assert len(rows) < 100
    assert rows[-1].get_attribute("aria-rowindex") == str(5000 + 3)
    assert np.array([opened, took / 1000]) == pytest.approx(0, abs=5)
