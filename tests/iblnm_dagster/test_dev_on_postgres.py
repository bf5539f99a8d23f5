"""The page, a sensor and `--stale` with the history in PostgreSQL, through `iblnm dev` itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request

import pytest
from click.testing import CliRunner
from iblutil.io import parquet

from iblnm.config import Settings, get_settings
from iblnm_dagster.cli import cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the page's processes are forks"),
]
_PATIENCE_S = 300.0
_PLACE = {
    "repositoryLocationName": "iblnm_dagster.definitions",
    "repositoryName": "__repository__",
}
_LAUNCH = """mutation($e: ExecutionParams!) { launchRun(executionParams: $e) { __typename } }"""
_START = """mutation($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename } }"""
_CHECKS = """query($a: AssetKeyInput!, $c: String!) {
    assetCheckExecutions(assetKey: $a, checkName: $c, limit: 9) { status partition } }"""


def _ask(port: int, query: str, **variables) -> dict:
    url = f"http://127.0.0.1:{port}"
    headers = {"Content-Type": "application/json", "Origin": url}
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def _until(found, what: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not found():
        assert time.monotonic() < end, what
        time.sleep(0.25)


def _list_first(cache, tables, n: int) -> list[str]:
    """The archive lists its first sessions alone; their eids."""
    (sessions, about), (datasets, about_datasets) = tables
    listed = sessions.iloc[:n]
    eids = [str(eid) for eid in listed.index]
    of_these = datasets.index.get_level_values("eid").astype(str).isin(eids)
    parquet.save(cache / "datasets.pqt", datasets[of_these], about_datasets)
    parquet.save(cache / "sessions.pqt", listed, about)
    return eids


def test_runs_of_the_page_and_of_the_sensor_their_checks_and_what_is_stale(
    writable_archive, postgres_server, port, tmp_path, monkeypatch
):
    tables = [parquet.load(writable_archive / f"{name}.pqt") for name in ("sessions", "datasets")]
    (first,) = _list_first(writable_archive, tables, 1)
    settings = Settings(
        root=tmp_path / "root",
        one_cache_dir=writable_archive,
        pg_url_file=postgres_server.new_database(tmp_path),
    )
    for name in ("root", "one_cache_dir", "pg_url_file"):
        monkeypatch.setenv(f"IBLNM_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("IBLNM_SYNC__IS_ON", "false")
    monkeypatch.setenv("IBLNM_SYNC__INTERVAL_S", "5")
    get_settings.cache_clear()
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.partitions import add_sessions

    with open_instance(settings) as instance:
        add_sessions(instance, [first])
    command = [sys.executable, "-m", "iblnm_dagster.cli", "dev", "-p", str(port)]
    log = tmp_path / "dev.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=dict(os.environ))

    def done() -> set[str]:
        sql = "SELECT partition, status FROM runs WHERE partition IS NOT NULL"
        runs = postgres_server.query(sql, settings.pg_url_file.stem)
        assert not [run for run in runs if run[1] == "FAILURE"], runs
        return {eid for eid, status in runs if status == "SUCCESS"}

    def is_served() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            answer = _ask(port, "{ repositoriesOrError { __typename } }")
        except OSError:
            return False
        return answer["repositoriesOrError"]["__typename"] == "RepositoryConnection"

    try:
        _until(is_served, "the page")
        tags = [{"key": "dagster/partition", "value": first}]
        params = {
            "selector": {**_PLACE, "jobName": "process_session"},
            "executionMetadata": {"tags": tags},
        }
        launched = _ask(port, _LAUNCH, e=params)["launchRun"]
        assert launched == {"__typename": "LaunchRunSuccess"}
        _until(lambda: done() == {first}, "the run of the page")
        both = set(_list_first(writable_archive, tables, 2))
        started = _ask(port, _START, s={**_PLACE, "sensorName": "new_sessions"})["startSensor"]
        assert started == {"__typename": "Sensor"}
        _until(lambda: done() == both, "the run that the sensor asks for")
        asked = {"a": {"path": ["trials"]}, "c": "insufficient_trials"}
        shown = _ask(port, _CHECKS, **asked)["assetCheckExecutions"]
        assert {check["partition"] for check in shown} == both
        assert {check["status"] for check in shown} <= {"SUCCEEDED", "FAILED"}
        assert postgres_server.password not in log.read_text()
    finally:
        process.terminate()
        process.wait(30)
    current = CliRunner().invoke(cli, ["batch", "--stale", "--dry-run"])
    assert "nothing is out of date" in current.output, current.output
    monkeypatch.setenv("IBLNM_WHEEL__FS", "50")
    get_settings.cache_clear()
    found = CliRunner().invoke(cli, ["batch", "--stale", "--dry-run"])
    get_settings.cache_clear()
    assert found.exit_code == 0, found.output
    (line,) = [line for line in found.output.splitlines() if line.startswith("wheel_velocity")]
    assert line.split()[1:3] == ["2", "wheel.fs"], found.output
