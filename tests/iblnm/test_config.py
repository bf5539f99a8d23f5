"""Settings: where values come from, and the names that notebooks import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import iblnm.config as config
from iblnm.config import Settings


def test_environment_sets_nested_values(monkeypatch, tmp_path):
    monkeypatch.setenv("IBLNM_ROOT", str(tmp_path))
    monkeypatch.setenv("IBLNM_THRESHOLDS__MIN_TRIALS", "120")
    monkeypatch.setenv("IBLNM_SIGNAL__RESPONSE_WINDOW", "[-2, 3]")
    settings = Settings()
    assert settings.thresholds.min_trials == 120
    assert settings.thresholds.min_block_length == 10
    assert settings.signal.response_window == (-2.0, 3.0)
    assert settings.sessions_h5_dir == tmp_path / "data" / "sessions"


def test_without_settings_the_archive_is_the_demo(tmp_path):
    assert Settings(root=tmp_path).is_demo
    assert Settings(root=tmp_path).cache_dir == tmp_path / ".demo"
    configured = Settings(root=tmp_path, one_cache_dir=tmp_path / "alf")
    assert not configured.is_demo
    assert configured.cache_dir == tmp_path / "alf"


def test_the_password_is_not_shown():
    settings = Settings(alyx_password="geheim-42")
    assert "geheim-42" not in repr(settings)
    assert "geheim-42" not in settings.model_dump_json()


def test_settings_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="frozen"):
        Settings().project = "another"


def test_names_for_notebooks():
    assert config.SESSIONS_FPATH.parts[-2:] == ("metadata", "sessions.pqt")
    assert config.SESSIONS_H5_DIR.parts[-2:] == ("data", "sessions")
    assert config.RESPONSE_EVENTS == ["stimOn_times", "firstMovement_times", "feedback_times"]
    assert config.TARGET_FS == 30.0
    assert config.RESPONSE_WINDOWS == {"early": (0.1, 0.35), "late": (0.35, 0.6)}
    assert config.VALID_NEUROMODULATORS == ["5HT", "ACh", "DA", "NE"]
    assert set(config.TARGETNM_COLORS) == set(Settings().valid_targets)
    assert "SESSIONS_FPATH" in dir(config)
    with pytest.raises(AttributeError, match="NO_SUCH_NAME"):
        _ = config.NO_SUCH_NAME


def test_importing_does_nothing_else(tmp_path):
    code = "import iblnm, sys; print([m for m in ('numpy', 'pandas', 'one') if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
    assert list(Path(tmp_path).iterdir()) == []
