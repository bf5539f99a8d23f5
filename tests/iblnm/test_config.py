"""Settings: where values come from, and the names that notebooks import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import iblnm.config as config
from iblnm.analysis import registry
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


def test_constants_are_of_the_kinds_that_scripts_use(monkeypatch, tmp_path):
    settings = Settings(_env_file=None, root=tmp_path)
    monkeypatch.setattr(config, "get_settings", lambda: settings)
    assert {"BandInversion", "InsufficientTrials"} <= config.ANALYSIS_QC_BLOCKERS
    assert isinstance(config.ANALYSIS_QC_BLOCKERS, set)
    assert config.SESSION_TYPES_TO_ANALYZE == ("training", "biased", "ephys")
    assert set(config.SESSION_TYPES_TO_ANALYZE) < set(config.SESSION_TYPES)
    assert config.TARGETNMS_TO_ANALYZE == ["VTA-DA", "SNc-DA", "DR-5HT", "LC-NE", "NBM-ACh"]
    assert set(config.TARGETNMS_TO_ANALYZE) < set(config.VALID_TARGETNMS)
    assert frozenset({0, 6.25, 12.5, 25, 100}) == config.REQUIRED_CONTRASTS
    assert (
        config.MIN_PERFORMANCE
        == {"training": config.MIN_TRAINING_PERFORMANCE}
        == {"training": 0.7}
    )
    assert config.TARGET2NM["VTA"] == "DA"
    assert config.REGION_NAME_FIXES == {"DRN": "DR", "SNC": "SNc"}
    assert (100.0, settings.figures.dpi) == (config.WHEEL_FS, config.FIGURE_DPI)
    assert config.QCVAL2NUM["PASS"] > config.QCVAL2NUM["WARNING"] > config.QCVAL2NUM["FAIL"]
    assert np.isnan(config.QCVAL2NUM["NOT SET"])
    assert set(config.SESSIONTYPE2FLOAT) == set(config.SESSIONTYPE2COLOR)
    assert len(config.NM_CMAPS["DA"](0.5)) == len(config.QCCMAP(0.5)) == 4
    assert config.SESSION_SCHEMA["brain_region"] == (list, [])
    assert config.SESSION_SCHEMA["eid"][0] is str


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("RESPONSES_FPATH", "responses"),
        ("RESPONSE_MATRIX_FPATH", "response_matrix"),
        ("MEAN_TRACES_FPATH", "mean_traces"),
        ("TRIAL_REGRESSORS_FPATH", "trial_regressors"),
    ],
)
def test_paths_of_results_are_where_the_analyses_write_them(name, table):
    assert registry.producer(getattr(config, name).relative_to(config.PROJECT_ROOT).as_posix())
    assert getattr(config, name).stem == table


def test_folders_of_results_are_those_of_the_analyses():
    folders = {entry.folder for entry in registry.ANALYSES}
    for path in (config.RESPONSES_DIR, config.MOVEMENT_ENCODING_DIR, config.TASK_ENCODING_DIR):
        assert path.name in folders
        assert path.parent == config.RESULTS_DIR
