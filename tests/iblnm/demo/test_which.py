"""The simulated archive follows the group that a root runs."""

import json

import pytest

from iblnm.config import Settings
from iblnm.demo import ensure_demo
from iblnm.errors import ArchiveMismatchError


def test_a_root_of_data_layers_does_not_take_another_archive(tmp_path):
    settings = Settings(root=tmp_path, layers={"enabled": True})
    settings.demo_dir.mkdir()
    (settings.demo_dir / "demo.json").write_text("{}")
    with pytest.raises(ArchiveMismatchError, match="root of their own"):
        ensure_demo(settings)


@pytest.mark.slow
def test_the_archive_of_data_layers_is_built_once(tmp_path):
    settings = Settings(root=tmp_path, layers={"enabled": True})
    folder = ensure_demo(settings)
    truth = json.loads((folder / "truth.json").read_text())
    assert len(truth["sessions"]) == 36
    stamp = (folder / "truth.json").stat().st_mtime_ns
    assert (ensure_demo(settings) / "truth.json").stat().st_mtime_ns == stamp


def test_settings_choose_group_and_project():
    assert Settings().group == "photometry"
    layers = Settings(layers={"enabled": True})
    assert (layers.group, layers.project) == ("data_layers", "psychedelics")
    assert Settings(layers={"enabled": True}, project="mine").project == "mine"
