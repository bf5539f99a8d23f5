"""Where outputs go when nobody says so."""

import pytest
from click.testing import CliRunner

from iblnm import root_folder
from iblnm.config import Settings, get_settings
from iblnm_dagster.cli import cli


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An installed package: its folder lies in no checkout; an empty current folder."""
    monkeypatch.setattr(root_folder, "_PACKAGE", tmp_path / "site-packages" / "iblnm")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def test_a_checkout_is_its_own_root():
    assert (Settings().root / "pyproject.toml").is_file()


def test_an_installed_package_fills_no_folder_that_is_no_root(installed, tmp_path):
    root = Settings().root
    assert root.name == "iblnm" and tmp_path in root.parents and root != installed
    assert not root.exists()
    (installed / "dagster.yaml").write_text("")
    assert Settings().root == installed


def test_a_folder_with_files_is_not_taken(installed):
    (installed / "thesis.txt").write_text("")
    result = CliRunner().invoke(cli, ["demo", "--here"])
    assert result.exit_code == 2
    assert f"{installed} is not empty" in result.output
    assert [path.name for path in installed.iterdir()] == ["thesis.txt"]


def test_the_current_folder_is_taken_where_it_is_asked_for(installed, monkeypatch):
    seen = []
    monkeypatch.setattr("iblnm.demo.ensure_demo", lambda settings: seen.append(settings.root))
    monkeypatch.setattr("iblnm_dagster.cli.process", lambda settings, **_: None)
    monkeypatch.setenv("IBLNM_ROOT", "")  # put back at the end
    try:
        result = CliRunner().invoke(cli, ["demo", "--here"])
    finally:
        get_settings.cache_clear()
    assert result.exit_code == 0, result.output
    assert seen == [installed]
    assert f"outputs in {installed}" in result.output
