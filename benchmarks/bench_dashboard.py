"""The dashboard, and the Checks views of the Dagster page.

Run: python benchmarks/bench_dashboard.py

The Checks views are opened in a headless chromium (left out where there is none) on an instance
with 5,000 sessions, whose evaluations are rows copied from one real run (see bench_checks).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from _common import row, temporary_root
from bench_checks import simulate_sessions
from bench_framework import _free_port, warm_worker

from iblnm.config import Settings

CHECK = "insufficient_trials"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--window-size=1680,1050",
)


def page_cost(folder: Path, n_sessions: int) -> Path:
    """Seconds to build the page and its size; where it was written."""
    from bench.outcomes import simulate_outcomes

    from iblnm.validation import RULES
    from iblnm.vis import build_dashboard, save_dashboard

    matrix, sessions = simulate_outcomes(n_sessions)
    start = time.perf_counter()
    page = build_dashboard(
        matrix, sessions, RULES, settings=Settings(), dagster_url="http://127.0.0.1:3000"
    )
    path = save_dashboard(page, folder / f"dashboard_{n_sessions}.html")
    name = f"dashboard of {n_sessions} sessions"
    row(f"{name}, built and written", time.perf_counter() - start, "s", "<= 30 for 5000")
    row(f"{name}, size", len(page.encode()) / 1e6, "MB", "< 2 for 1000")
    return path


def figure_cost(folder: Path, n_sessions: int) -> None:
    """Seconds to draw and write all figures of the overview."""
    from bench.outcomes import simulate_outcomes

    from iblnm.vis import overview_figures, save_figure

    matrix, sessions = simulate_outcomes(n_sessions)
    start = time.perf_counter()
    for name, figure in overview_figures(sessions, matrix).items():
        save_figure(figure, folder / name)
    row(f"overview figures of {n_sessions} sessions", time.perf_counter() - start, "s")


def mark_as_recorded(settings: Settings) -> None:
    """Give the copied evaluations event numbers: the page leaves out those without."""
    import sqlalchemy as db
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as table

    from iblnm_dagster.instance import open_instance

    with (
        open_instance(settings) as instance,
        instance.event_log_storage.index_connection() as connection,
    ):
        connection.execute(db.update(table).values(evaluation_event_storage_id=table.c.id))


@contextmanager
def browser() -> Iterator:
    """A headless chromium, or None."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        print("no chromium with its driver: nothing is opened")
        yield None
        return
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in FLAGS:
        options.add_argument(flag)
    opened = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=driver)
    )
    try:
        yield opened
    finally:
        opened.quit()


def opening_cost(opened, path: Path) -> None:
    """Seconds until the page is drawn, and to sort it."""
    start = time.perf_counter()
    opened.get(path.as_uri())
    row(f"  {path.stem} opened", time.perf_counter() - start, "s")
    took = opened.execute_script(
        "const start = performance.now();"
        "document.querySelector('th.check button').click(); document.body.offsetHeight;"
        "return performance.now() - start"
    )
    row(f"  {path.stem} sorted by a check", took / 1000, "s")


@contextmanager
def dagster_page(settings: Settings) -> Iterator[str]:
    """The address of a running page, which ends with the block."""
    port = _free_port()
    environment = {
        **os.environ,
        "IBLNM_ROOT": str(settings.root),
        "IBLNM_ONE_CACHE_DIR": str(settings.cache_dir),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "iblnm_dagster.cli", "dev", "-p", str(port)],
        env=environment,
        cwd=settings.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            with suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"{address}/server_info", timeout=5).close()
                break
            time.sleep(0.5)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def views_cost(opened, address: str, n_sessions: int) -> None:
    """Seconds until the Checks view of an asset and the Partitions view of a check are there."""
    from selenium.webdriver.common.by import By

    def text() -> str:
        return opened.execute_script("return document.body.textContent")

    def answers() -> float:
        """Seconds of the slowest answer of the server since the last call."""
        slowest = opened.execute_script(
            "const asked = performance.getEntriesByType('resource')"
            ".filter(entry => entry.name.includes('/graphql'));"
            "performance.clearResourceTimings();"
            "return Math.max(0, ...asked.map(entry => entry.duration))"
        )
        return slowest / 1000

    def seconds(action: Callable[[], None], *wanted: str) -> float:
        start = time.perf_counter()
        action()
        while not all(re.search(part, text()) for part in wanted):
            if time.perf_counter() - start > 120:
                raise SystemExit(f"not on the page after two minutes: {wanted}")
            time.sleep(0.02)
        return time.perf_counter() - start

    view = f"{address}/assets/trials?view=checks&checkDetail={CHECK}"
    for visit in ("first", "second"):
        opened.get("about:blank")
        took = seconds(lambda: opened.get(view), "Latest execution", "negative_reaction_time")
        name = f"Checks view, {n_sessions} sessions, {visit} visit"
        row(name, took, "s", "<= 3")
        row("  of it the server's slowest answer", answers(), "s")
        tab = opened.find_elements(By.XPATH, "//button[normalize-space()='Partitions']")[-1]
        wanted = (f"{n_sessions:,} Partitions Selected", r"Passed \([1-9]")
        row(f"Partitions of a check, {visit} visit", seconds(tab.click, *wanted), "s", "<= 3")
        row("  of it the server's slowest answer", answers(), "s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--evaluations", type=int, default=1, help="per check and session")
    arguments = parser.parse_args()
    from iblnm.demo import build_archive

    with temporary_root() as folder, browser() as opened:
        for n_sessions in sorted({1000, arguments.sessions}):
            path = page_cost(folder, n_sessions)
            if opened:
                opening_cost(opened, path)
        figure_cost(folder / "figures", 1000)
        if not opened:
            return
        truth = build_archive(
            folder / "alf", n_subjects=1, sessions_per_subject=2, duration_s=600.0, defects=False
        )
        one, many = (
            Settings(root=folder / name, one_cache_dir=folder / "alf") for name in ("one", "many")
        )
        warm_worker(one, [session["eid"] for session in truth["sessions"]], checks=True)
        simulate_sessions(one, many, arguments.sessions, arguments.evaluations)
        mark_as_recorded(many)
        with dagster_page(many) as address:
            views_cost(opened, address, arguments.sessions)


if __name__ == "__main__":
    main()
