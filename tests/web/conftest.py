"""A headless browser, and the Dagster page of a small processed archive."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from iblnm.config import Settings

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVERS = ("chromedriver", "chromium.chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--force-device-scale-factor=1",
    "--lang=en-US",
    "--host-resolver-rules=MAP evil.example 127.0.0.1",
    "--window-size=1680,1050",
)
START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 20
_COMMAND = [sys.executable, "-m", "iblnm_dagster.cli"]


def _found(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def _driver(tmp_path_factory) -> Iterator:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser, driver = _found(BROWSERS), _found(DRIVERS)
    if not browser or not driver:
        pytest.skip("no chromium with its driver (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    opened = webdriver.Chrome(options=options, service=service)
    yield opened
    opened.quit()


@pytest.fixture
def browser(_driver, tmp_path, request) -> Iterator:
    """The browser on an empty page; afterwards a screenshot, and no error on the console."""
    _driver.get("about:blank")
    _driver.get_log("browser")
    yield _driver
    _driver.save_screenshot(str(tmp_path / f"{request.node.name}.png"))
    errors = [entry for entry in _driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not errors


@dataclass(frozen=True)
class DagsterPage:
    """A running page and what it must show."""

    url: str
    root: Path
    matrix: pd.DataFrame

    def row(self, check: str, outcome: str) -> pd.Series:
        """One session's row of a check with the given outcome."""
        rows = self.matrix[(self.matrix["check"] == check) & (self.matrix["outcome"] == outcome)]
        assert len(rows), f"no session has outcome {outcome} of {check}"
        return rows.iloc[0]


@pytest.fixture(scope="session")
def dagster_page(small_archive, tmp_path_factory) -> Iterator[DagsterPage]:
    """``iblnm dev`` on a small archive, processed with a limit that some sessions fail."""
    cache, _ = small_archive
    root = tmp_path_factory.mktemp("web") / "root"
    root.mkdir()
    trials = [len(pd.read_parquet(p)) for p in cache.rglob("_ibl_trials.table.pqt")]
    assert min(trials) < max(trials)
    limit = {"IBLNM_THRESHOLDS__MIN_TRIALS": str(max(trials))}
    subprocess.run(
        [*_COMMAND, "batch", "--workers", "1"],
        env=_environment(root, cache, **limit),
        cwd=root,
        check=True,
        capture_output=True,
        timeout=300,
    )
    with _serve_page(root, cache, **limit) as url:
        yield DagsterPage(url, root, pd.read_parquet(root / "metadata" / "qc_matrix.pqt"))


@dataclass(frozen=True)
class PageOnPostgres:
    """A running page on a root with its history in PostgreSQL, where nothing was run yet."""

    url: str
    eid: str
    query: Callable[[str], list[tuple]]


@pytest.fixture
def page_on_postgres(small_archive, postgres_server, tmp_path) -> Iterator[PageOnPostgres]:
    """``iblnm dev`` on PostgreSQL, with a session that is known."""
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions

    cache, truth = small_archive
    eid = truth["sessions"][0]["eid"]
    file = postgres_server.new_database(tmp_path)
    settings = Settings(root=tmp_path / "root", one_cache_dir=cache, pg_url_file=file)
    with open_instance(settings) as instance:
        add_sessions(instance, [eid])
    more = {"IBLNM_PG_URL_FILE": str(file), "IBLNM_SYNC__IS_ON": "false"}
    with _serve_page(settings.root, cache, **more) as url:
        yield PageOnPostgres(url, eid, lambda sql: postgres_server.query(sql, file.stem))


def _environment(root: Path, cache: Path, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    return {**own, "IBLNM_ROOT": str(root), "IBLNM_ONE_CACHE_DIR": str(cache), **more}


@contextmanager
def _serve_page(root: Path, cache: Path, **more: str) -> Iterator[str]:
    """``iblnm dev`` on a root, with further settings as variables; its address."""
    port = _free_port()
    log = root / "dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_COMMAND, "dev", "-p", str(port)],
            env=_environment(root, cache, **more),
            cwd=root,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_served(url, process, log)
        yield url
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_served(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"the page did not start:\n{log.read_text(errors='replace')[-4000:]}")


def _stop(process: subprocess.Popen) -> None:
    """End the page, which ends what it started; then whatever is left of its process group."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=STOP_TIMEOUT_S)
