"""Scripts of a lab run as they stand, on our files and on those of the documented layout."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pandas as pd
import pytest
from documented_layout import rewrite_session_file, rewrite_sessions_table

import iblnm.data.group as group_module
import iblnm.data.session as session_module
from iblnm import config
from iblnm.config import Settings

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parents[3] / "examples" / "notebooks_of_the_lab"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.fixture(scope="module", params=["our files", "documented layout"])
def root(request, processed_root, tmp_path_factory) -> Settings:
    """Settings of a root that the scripts may write to."""
    folder = tmp_path_factory.mktemp("lab")
    settings = Settings(_env_file=None, root=folder, one_cache_dir=processed_root.one_cache_dir)
    if request.param == "our files":
        shutil.copytree(processed_root.root, folder, dirs_exist_ok=True)
        of_animals(pd.read_parquet(settings.metadata_dir / "sessions.pqt"), settings)
        return settings
    for path in processed_root.sessions_h5_dir.glob("*.h5"):
        rewrite_session_file(path, settings.sessions_h5_dir / path.name)
    settings.metadata_dir.mkdir(parents=True)
    sessions = pd.read_parquet(processed_root.metadata_dir / "sessions.pqt")
    of_animals(rewrite_sessions_table(sessions), settings)
    return settings


def of_animals(sessions: pd.DataFrame, settings: Settings) -> None:
    """Store the sessions as those of one animal each: models need two animals of a target."""
    sessions = sessions.assign(subject=[f"m{i}" for i in range(len(sessions))])
    sessions.to_parquet(settings.metadata_dir / "sessions.pqt")


def n_rows(settings: Settings) -> dict[str, int]:
    """Rows of every stored table."""
    tables = sorted(settings.root.rglob("*.pqt"))
    return {str(path.relative_to(settings.root)): len(pd.read_parquet(path)) for path in tables}


@pytest.fixture
def run(root, monkeypatch, capsys):
    """Runs a script in this process, on the root; returns its names and what it prints."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    for module in (config, group_module, session_module):
        monkeypatch.setattr(module, "get_settings", lambda: root)

    def run_script(name: str) -> tuple[dict, str]:
        names: dict = {"__name__": "__main__"}
        code = compile((FOLDER / f"{name}.py").read_text(encoding="utf-8"), f"{name}.py", "exec")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(code, names)
        return names, capsys.readouterr().out.splitlines()[-1]

    yield run_script
    pyplot.close("all")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_and_no_table_gets_smaller(run, root, name):
    before, files = n_rows(root), {path.name for path in root.sessions_h5_dir.glob("*.h5")}
    names, _ = run(name)
    after = n_rows(root)
    assert {path: n for path, n in before.items() if after.get(path, 0) < n} == {}
    assert {path.name for path in root.sessions_h5_dir.glob("*.h5")} == files
    group = names.get("group")
    if group is not None:
        assert len(group.sessions) == 4
        assert not group.sessions["eid"].duplicated().any()


def test_responses_are_of_every_recording(run):
    names, said = run("response_analysis")
    group = names["group"]
    assert set(group.response_magnitudes["eid"]) == set(group.recordings["eid"])
    assert {target for target, _ in names["models"]} == set(group.recordings["target_NM"])
    assert names["coefficients"]["Coef."].notna().any()
    assert said.startswith(f"{len(names['features'])} recordings, ")
    assert sum(map(len, names["mean_trace"].values())) == 3 * len(group.recordings)
    assert all(len(mean) == 60 for of in names["mean_trace"].values() for mean in of)


def test_components_are_arrays_by_recording(run):
    names, _ = run("task_encoding")
    assert names["second"].shape == (names["n_recordings"],)
    assert sum(map(len, names["of_target"].values())) == names["n_recordings"] > 0
    assert len(names["strongest"]) == 2
    assert set(names["means"]["pc"]) == set(names["statistics"]["pc"]) == {1, 2}


def test_performance_and_times_are_one_row_per_session_and_trial(run, root):
    names, said = run("task_performance")
    assert len(names["performance"]) == len(names["group"].sessions) == 4
    assert names["performance"]["fraction_correct"].between(0.5, 1).all()
    assert said.endswith("0 failures")
    names, _ = run("trials_collection")
    assert names["timing"].columns.tolist() == [
        "eid", "trial", "reaction_time", "movement_time", "response_time",
    ]  # fmt: skip
    stored = pd.read_parquet(root.data_dir / "trial_timing.pqt")
    assert len(stored) == len(names["timing"]) > 300


def test_movement_and_codings_are_fitted(run):
    names, _ = run("movement_encoding")
    assert names["fitted"]
    assert all(len(key) == 3 for key in names["wheel"])
    names, _ = run("contrast_codings")
    assert {coding for _, coding in names["fits"]} == {"log", "linear", "rank"}


def test_the_viewer_draws_one_session(run):
    assert run("viewer")[1].endswith(": 1 figure")
