"""The command."""

from __future__ import annotations

import pandas as pd
import pytest
from click.testing import CliRunner

from iblnm.config import get_settings
from iblnm.errors import ArchiveMismatchError
from iblnm.pipeline.matrix import STANDINGS, session_standings
from iblnm.pipeline.qc_summary import pass_share
from iblnm_dagster.cli import cli


@pytest.fixture
def run(settings, monkeypatch):
    """Function that runs the command on the test's root and archive."""
    monkeypatch.setenv("IBLNM_ROOT", str(settings.root))
    monkeypatch.setenv("IBLNM_ONE_CACHE_DIR", str(settings.cache_dir))
    get_settings.cache_clear()
    runner = CliRunner()
    yield lambda *arguments, **options: runner.invoke(cli, list(arguments), **options)
    get_settings.cache_clear()


def test_help_names_every_command(run):
    text = run("--help").output
    for name in ("demo", "batch", "sync", "catalogue", "summary", "reset", "dev"):
        assert f"\n  {name} " in text


@pytest.mark.slow
def test_batch_then_summary_then_reset(run, settings, monkeypatch):
    result = run("batch", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert "4 new sessions; 4 to run" in result.output
    assert "4 sessions, " in result.output
    errors = pd.read_parquet(settings.metadata_dir / "errors.pqt")
    assert list(errors.columns)[:4] == ["eid", "error_type", "error_message", "traceback"]
    assert "0 new sessions; 0 to run" in run("batch").output
    summary = run("summary").output
    lines = {line.split()[0]: line.split()[1:] for line in summary.splitlines() if line}
    assert lines["responses"][:2] == ["4", "4"]
    matrix = pd.read_parquet(settings.metadata_dir / "qc_matrix.pqt")
    failed = errors.loc[errors["severity"] == "FAILURE", "eid"]
    standing = session_standings(matrix, failed).value_counts()
    for name, words in STANDINGS.items():
        assert f"{standing.get(name, 0)} sessions {words}" in summary
    passing, evaluated = pass_share(matrix)
    assert f"{passing} of {evaluated} evaluated sessions pass every BLOCK and ERROR" in summary
    assert "another limit" not in summary
    monkeypatch.setenv("IBLNM_THRESHOLDS__MIN_TRIALS", "7")
    get_settings.cache_clear()
    total = matrix["outcome"].isin(["pass", "warn", "fail"]).sum()
    expected = f"4 checks of {total} were evaluated with another limit than the settings "
    assert f"{expected}(insufficient_trials): iblnm batch --checks-only" in run("summary").output
    kept = run("reset", input="n\n")
    assert kept.exit_code == 1
    assert settings.sessions_h5_dir.exists() and settings.remembered_dir.exists()
    assert run("reset", "--yes").exit_code == 0
    assert not settings.data_dir.exists() and not settings.remembered_dir.exists()
    assert (settings.cache_dir / "sessions.pqt").exists()
    assert "nothing to delete" in run("reset", "--yes").output


@pytest.mark.slow
def test_sync_adds_sessions_once(run):
    assert run("sync").output.strip().endswith("4 new sessions")
    assert run("sync").output.strip().endswith("0 new sessions")


@pytest.mark.slow
def test_another_archive_under_the_same_root_is_refused(run, tmp_path, monkeypatch):
    assert run("sync").exit_code == 0
    monkeypatch.setenv("IBLNM_ONE_CACHE_DIR", str(tmp_path / "elsewhere"))
    get_settings.cache_clear()
    result = run("sync")
    assert isinstance(result.exception, ArchiveMismatchError)
    assert "IBLNM_ROOT" in str(result.exception)
    assert "iblnm reset" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("batch", "--assets", "no_such"), "no such asset: no_such; there are session"),
        (("batch", "--check", "no_such"), "no_such"),
        (("demo",), "another archive"),
    ],
)
def test_mistakes_are_explained(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
