"""Shared fixtures: small demo archives, roots of their own, the real recordings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from iblnm.config import Settings

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside():
    """Settings of the developer's shell or .env must not reach the tests."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("IBLNM_")}
    if "IBLNM_REAL_DATA" in kept:
        os.environ["IBLNM_REAL_DATA"] = kept["IBLNM_REAL_DATA"]
    previous = Settings.model_config["env_file"]
    Settings.model_config["env_file"] = None
    yield
    Settings.model_config["env_file"] = previous
    os.environ.update(kept)


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory) -> tuple[Path, dict]:
    """Two subjects, two short sessions each, no defects; (cache folder, truth). Read only."""
    from iblnm.demo import build_archive

    cache = tmp_path_factory.mktemp("small") / "alf"
    truth = build_archive(
        cache, seed=3, n_subjects=2, sessions_per_subject=2, duration_s=600.0, defects=False
    )
    return cache, truth


@pytest.fixture
def small_settings(small_archive, tmp_path) -> Settings:
    """Settings with the small archive and an empty root of the test's own."""
    return Settings(root=tmp_path / "root", one_cache_dir=small_archive[0])


@pytest.fixture
def writable_archive(small_archive, tmp_path) -> Path:
    """A copy of the small archive that a test may damage."""
    return Path(shutil.copytree(small_archive[0], tmp_path / "alf"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real recordings; skips where it is absent."""
    folder = Path(os.environ.get("IBLNM_REAL_DATA", REPOSITORY / ".." / "shared" / "data"))
    if not (folder / "alf" / "sessions.pqt").exists():
        pytest.skip(f"no real recordings at {folder} (set IBLNM_REAL_DATA)")
    return folder.resolve()


@pytest.fixture
def own_home(tmp_path, monkeypatch) -> Path:
    """A home of the test's own: ONE keeps addresses and tokens there."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    return home


@pytest.fixture
def alyx_server(small_archive):
    """The small archive behind an Alyx server; may be changed, belongs to the test."""
    from iblnm.demo.alyx import AlyxServer, from_archive

    with AlyxServer(from_archive(small_archive[0]), small_archive[0]) as server:
        yield server


@pytest.fixture
def open_client(own_home, tmp_path):
    """Opens ONE's own client on a server, with nothing of iblnm between."""

    def open_(server, folder: str = "downloads"):
        from one.api import ONE

        client = ONE(
            mode="remote",
            base_url=server.url,
            username="demo",
            password=server.password,
            cache_dir=tmp_path / folder,
            cache_rest=None,
            silent=True,
        )
        parameters = client.alyx._par.set("HTTP_DATA_SERVER", f"{server.url}/data")
        client.alyx._par = parameters
        return client

    return open_
