"""Scripts for a cluster's Slurm, and what they rest on: stable parts, requeued tasks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from iblnm.archive import watch
from iblnm.archive.claims import works
from iblnm.config import get_settings
from iblnm_dagster import slurm
from iblnm_dagster.cli import cli
from iblnm_dagster.instance import open_instance
from iblnm_dagster.owners import machine_of, owner_is_alive, worker_tag
from iblnm_dagster.resources import Archive
from iblnm_dagster.selection import discover_sessions, shard

SECRET = "correct horse"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Both scripts, as the command writes them for a root with a space in its name."""
    monkeypatch.setenv("IBLNM_ROOT", str(tmp_path / "my root"))
    monkeypatch.setenv("IBLNM_ALYX_USER", "o'brien")
    monkeypatch.setenv("IBLNM_ALYX_PASSWORD", SECRET)
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    arguments = ["cluster", "slurm", "--tasks", "64", "--to", "jobs", "--sbatch=--partition=short"]
    result = CliRunner().invoke(cli, arguments)
    get_settings.cache_clear()
    assert result.exit_code == 0, result.output
    folder = tmp_path / "jobs"
    return folder / slurm.ARRAY, folder / slurm.FOLLOWING, result.output


def _what_it_runs(script: Path, **variables: str) -> list[str]:
    """Arguments of the commands of a script, run with a Python that only tells them."""
    teller = script.parent / "teller"
    teller.write_text(
        '#!/bin/bash\necho "$PWD|$IBLNM_ROOT|$IBLNM_ALYX_USER|$OMP_NUM_THREADS|$*"\n'
    )
    teller.chmod(0o755)
    text = script.read_text().replace(slurm.sys.executable, str(teller))
    told = subprocess.run(
        ["bash", "-c", text],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], **variables},
    )
    return told.stdout.splitlines()


def test_the_array_runs_one_part_a_task_and_leaves_the_tables_alone(written, tmp_path):
    array, _, _ = written
    text = array.read_text()
    assert "#SBATCH --array=1-64\n" in text
    assert "#SBATCH --requeue\n" in text
    assert "#SBATCH --signal=B:TERM@120\n" in text
    assert "#SBATCH --partition=short\n" in text
    told = _what_it_runs(array, SLURM_ARRAY_TASK_ID="7")
    command = "-m iblnm_dagster.cli batch --shard 7/64 --workers 1"
    assert told == [f"{tmp_path}|{tmp_path / 'my root'}|o'brien|1|{command}"]


def test_the_job_after_it_makes_the_tables(written, tmp_path):
    _, following, output = written
    assert "--array" not in following.read_text()
    commands = [line.rpartition("|")[2] for line in _what_it_runs(following)]
    assert commands == ["-m iblnm_dagster.cli catalogue"]
    assert '--dependency="afterany:${array%%;*}"' in output


def test_no_password_is_written(written):
    array, following, output = written
    assert SECRET not in array.read_text() + following.read_text() + output
    assert "IBLNM_ALYX_PASSWORD" not in array.read_text() + following.read_text()
    assert "IBLNM_ALYX_PASSWORD is a password and is not written" in output
    assert {"IBLNM_ALYX_PASSWORD", "IBLNM_DATA_PASSWORD"} <= slurm.secret_variables()


def test_the_line_that_submits_waits_for_all_tasks(written, tmp_path):
    """With an sbatch that tells its arguments and answers as Slurm does, cluster named."""
    *_, output = written
    (tmp_path / "sbatch").write_text('#!/bin/bash\necho "$*" >> told\necho "71;cluster"\n')
    (tmp_path / "sbatch").chmod(0o755)
    line = output.rpartition("\nsubmit")[2].strip()
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["bash", "-c", line], check=True, env={"PATH": path}, capture_output=True)
    first, second = (tmp_path / "told").read_text().splitlines()
    assert first == f"--parsable {written[0]}"
    assert second == f"--dependency=afterany:71 {written[1]}"


def test_a_part_is_the_same_however_much_is_done_already():
    known = [f"{i:03d}" for i in range(101)]
    parts = [shard(known, f"{i}/8", known) for i in range(1, 9)]
    left = known[3::2]
    again = [shard(left, f"{i}/8", known) for i in range(1, 9)]
    assert sorted(eid for part in again for eid in part) == sorted(left)
    assert all(set(now) <= set(before) for now, before in zip(again, parts, strict=True))


def test_a_requeued_task_knows_that_what_it_ran_before_is_dead(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "71")
    before = worker_tag().replace(machine_of(worker_tag()), "othernode/0a1b2c3d")
    assert owner_is_alive(before) is None  # perhaps another process of this start
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert owner_is_alive(before) is False
    assert not works(before, owner_is_alive, {before: 1e18})
    assert owner_is_alive(worker_tag()) is True
    monkeypatch.setenv("SLURM_JOB_ID", "72")  # another task of the array
    assert owner_is_alive(before) is None
    monkeypatch.delenv("SLURM_JOB_ID")
    assert owner_is_alive(before) is None


@pytest.mark.slow
def test_of_tasks_that_begin_together_one_looks_at_all_sessions(small_settings, monkeypatch):
    asked = []
    observe = watch.observe

    def telling(*args, full, **options):
        asked.append(full)
        return observe(*args, full=full, **options)

    monkeypatch.setattr(watch, "observe", telling)
    with open_instance(small_settings) as instance:
        found = [
            discover_sessions(instance, Archive(small_settings), of_many=of_many)
            for of_many in (True, True, False)
        ]
    assert asked == [True, False, True]
    assert [len(eids) for eids in found] == [4, 0, 0]
