"""A cluster for real, on loopback: a job array on PostgreSQL, one task killed and requeued."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from iblnm.config import Settings, get_settings
from iblnm_dagster.batch_command import update_catalogue
from iblnm_dagster.cli import cli
from iblnm_dagster.instance import open_instance
from iblnm_dagster.resources import Archive
from iblnm_dagster.running.worker import Worker
from iblnm_dagster.selection import discover_sessions

pytestmark = pytest.mark.slow
TABLES = ("metadata/sessions.pqt", "data/performance.pqt", "data/qc_photometry.pqt")
# of the day, of the machine, of the root
_NOT_THE_SAME = {"logged_errors", "source"}
_PATIENCE_S = 400.0
_GOING_ON = ("PENDING", "RUNNING", "COMPLETING")


@pytest.fixture(scope="module")
def slurm():
    from bench.slurm import Slurm, why_not

    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    try:
        cluster = Slurm().__enter__()
    except RuntimeError as error:
        pytest.skip(str(error))
    try:
        yield cluster
    finally:
        cluster.__exit__()


@pytest.fixture
def settings(small_archive, postgres_server, tmp_path, monkeypatch):
    """A root with its history in PostgreSQL, as settings and in the environment."""
    settings = Settings(
        root=tmp_path / "root",
        one_cache_dir=small_archive[0],
        pg_url_file=postgres_server.new_database(tmp_path),
    )
    for name in ("root", "one_cache_dir", "pg_url_file"):
        monkeypatch.setenv(f"IBLNM_{name.upper()}", str(getattr(settings, name)))
    get_settings.cache_clear()
    yield settings
    get_settings.cache_clear()


def _until(condition, what: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.25)


def _runs(postgres_server, settings) -> list[tuple]:
    statement = "SELECT partition, status FROM runs WHERE partition IS NOT NULL"
    try:
        return postgres_server.query(statement, settings.pg_url_file.stem)
    except Exception as error:
        if "does not exist" not in str(error):
            raise
        return []


def test_a_job_array_with_a_task_that_is_killed_and_requeued_gives_the_tables_of_one_batch(
    settings, slurm, postgres_server, small_archive, tmp_path
):
    folder = tmp_path / "jobs"
    written = CliRunner().invoke(cli, ["cluster", "slurm", "--tasks", "2", "--to", str(folder)])
    assert written.exit_code == 0, written.output
    line = written.output.rpartition("\nsubmit")[2].strip()
    environment = {**slurm.environment, "PYTHONPATH": os.pathsep.join(_import_path())}
    subprocess.run(["bash", "-c", line], env=environment, check=True, capture_output=True)
    _until(lambda: "STARTED" in dict(map(reversed, _runs(postgres_server, settings))), "a run")
    begun = {eid for eid, status in _runs(postgres_server, settings) if status == "STARTED"}
    assert begun
    task = "1"
    array = next(name for name in slurm.states() if name.endswith(f"_{task}"))
    following = next(name for name in slurm.states() if "_" not in name)
    # the other task waits meanwhile: with the whole array at its end the tables would be made
    slurm.signal_task("2", signal.SIGSTOP)
    assert slurm.signal_task(task) >= 1
    _until(lambda: slurm.requeue(array), f"{array} is requeued")
    assert slurm.states()[following] == "PENDING"
    slurm.signal_task("2", signal.SIGCONT)
    reference = _reference(small_archive, tmp_path)
    _until(lambda: slurm.states()[following] not in _GOING_ON, "the tables are made")
    states = slurm.states()
    logs = "\n".join(f"{path.name}:\n{path.read_text()}" for path in folder.glob("*.log"))
    if set(states.values()) != {"COMPLETED"}:
        pytest.fail(f"{states}\n{logs}\n{slurm.told()}")
    assert postgres_server.password not in logs

    ended = [status for _, status in _runs(postgres_server, settings)]
    eids = [session["eid"] for session in small_archive[1]["sessions"]]
    done = [eid for eid, status in _runs(postgres_server, settings) if status == "SUCCESS"]
    assert sorted(done) == sorted(eids)  # every session once
    assert set(ended) <= {"SUCCESS", "CANCELED"}
    for table in TABLES:
        mine, same = (_read(root, table) for root in (settings.root, reference.root))
        pd.testing.assert_frame_equal(mine, same)
    outcomes = "SELECT count(*) FROM outcomes.attempts WHERE state = 'stored'"
    assert postgres_server.query(outcomes, settings.pg_url_file.stem)[0][0] >= 4 * 6
    assert not list(settings.metadata_dir.glob("*.sqlite"))
    assert not (settings.root / ".dagster" / "history").exists()


def _reference(small_archive, tmp_path) -> Settings:
    """A root with SQLite, its sessions run one after the other, in this process."""
    place = {"root": tmp_path / "reference", "one_cache_dir": small_archive[0]}
    settings = Settings(**place, pg_url_file=None)
    with open_instance(settings) as instance:
        eids = discover_sessions(instance, Archive(settings))
        assert len(eids) == 4
        worker = Worker(settings, instance)
        assert [worker.run(eid).status for eid in eids] == ["passed"] * len(eids)
        update_catalogue(settings, instance)
    return settings


def _read(root, name) -> pd.DataFrame:
    table = pd.read_parquet(root / name)
    order = [column for column in table if isinstance(table[column].iloc[0], str)]
    table = table.sort_values(order, ignore_index=True)
    return table.drop(columns=[column for column in table if column in _NOT_THE_SAME])


def _import_path() -> list[str]:

    import iblnm

    return [str(Path(iblnm.__file__).parents[1])]
