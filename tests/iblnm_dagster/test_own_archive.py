"""The first hour on own data: `iblnm init`, the first line, tables that are asked for."""

from __future__ import annotations

import pandas as pd
import pytest
from click.testing import CliRunner

from iblnm.config import Settings, get_settings
from iblnm.errors import MissingFileError
from iblnm_dagster.cli import cli
from iblnm_dagster.own_archive import projects_of, ready_tables


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, without any setting."""
    for name in ("IBLNM_ROOT", "IBLNM_ONE_CACHE_DIR", "IBLNM_ONE_MODE", "IBLNM_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


@pytest.fixture
def archive(place):
    folder = place / "my data" / "mouse" / "2024-03-05" / "001" / "alf"
    folder.mkdir(parents=True)
    pd.DataFrame({"choice": [1.0]}).to_parquet(folder / "_ibl_trials.table.pqt")
    return place / "my data"


def run(*arguments, answers=None):
    result = CliRunner().invoke(cli, list(arguments), input=answers)
    get_settings.cache_clear()
    return result


def test_init_asks_three_questions_and_the_settings_follow(place, archive):
    former = "IBLNM_ROOT=/elsewhere\r\nIBLNM_DEMO_SEED=3\r\n"
    (place / ".env").write_bytes(former.encode("utf-16"))
    result = run("init", answers="my data\nout\n\n")
    assert result.exit_code == 0, result.output
    settings = Settings()
    assert settings.one_cache_dir == archive.resolve()
    assert settings.root == (place / "out").resolve()
    assert (settings.one_mode, settings.project) == ("local", "ibl_fibrephotometry")
    assert settings.demo_seed == 3
    assert "1 session folders and no tables of ONE" in result.output


def test_init_of_an_alyx(place):
    token = place / "alyx.token"
    token.write_text("secret")
    result = run("init", "--data", "https://alyx.example.org", answers="out\nalyx.token\n")
    assert result.exit_code == 0, result.output
    settings = Settings()
    assert (settings.one_mode, settings.alyx_url) == ("remote", "https://alyx.example.org")
    assert settings.alyx_token_file == token.resolve()
    assert "secret" not in (place / ".env").read_text() + result.output


def test_the_project_is_that_of_most_sessions(tmp_path):
    table = pd.DataFrame({"projects": ["b", "a,b", None, "", "c"]}, index=list("vwxyz"))
    table.index.name = "id"
    table.to_parquet(tmp_path / "sessions.pqt")
    assert projects_of(tmp_path)[0] == "b"
    assert projects_of(tmp_path / "nowhere") == []


@pytest.mark.slow
def test_a_command_says_first_where_it_works(place, archive, monkeypatch):
    monkeypatch.setenv("IBLNM_ONE_CACHE_DIR", str(archive))
    monkeypatch.setenv("IBLNM_ROOT", str(place / "out"))
    first = run("summary").output.splitlines()[0]
    assert str(archive) in first
    assert str(place / "out") in first
    monkeypatch.delenv("IBLNM_ONE_CACHE_DIR")
    assert "iblnm init" in run("summary").output.splitlines()[0]


def test_tables_are_made_only_if_that_is_asked_for(place, archive, capsys, monkeypatch):
    monkeypatch.setenv("IBLNM_ONE_CACHE_DIR", str(archive))
    monkeypatch.setenv("IBLNM_ROOT", str(place / "out"))
    settings = Settings(_env_file=None, one_cache_dir=archive, root=place / "out")
    refused = run("batch")
    assert isinstance(refused.exception, MissingFileError)
    assert not (place / "out" / "metadata" / "one_tables").exists()
    ready_tables(settings, make=True)
    assert "1 sessions with 1 files" in capsys.readouterr().out
    assert not list(archive.glob("*.pqt"))
    ready_tables(settings, make=False)  # those that were made here are kept up to date
    assert "1 sessions" in capsys.readouterr().out
