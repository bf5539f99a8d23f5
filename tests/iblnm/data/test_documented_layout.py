"""Session files and tables that another program wrote in the layout of the user's document."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from documented_layout import SCALARS, TRIALS, rewrite_session_file, rewrite_sessions_table

import iblnm.data.group as group_module
from iblnm import config
from iblnm.config import Settings
from iblnm.data import PhotometrySession, PhotometrySessionGroup
from iblnm.errors import UnreadableFileError
from iblnm.util import collect_catalog, collect_qc

OFF = {
    "session_types": False,
    "targetnms": False,
    "min_performance": False,
    "required_contrasts": False,
    "verbose": False,
}


@pytest.fixture(scope="module", params=["fixed", "variable"])
def documented(request, processed_root, tmp_path_factory):
    """Settings of a root with the files of `processed_root` in the documented layout."""
    settings = Settings(_env_file=None, root=tmp_path_factory.mktemp("documented"))
    for path in processed_root.sessions_h5_dir.glob("*.h5"):
        rewrite_session_file(path, settings.sessions_h5_dir / path.name, text=request.param)
    settings.metadata_dir.mkdir(parents=True)
    sessions = pd.read_parquet(processed_root.metadata_dir / "sessions.pqt")
    rewrite_sessions_table(sessions).to_parquet(settings.metadata_dir / "sessions.pqt")
    return settings


def group_of(settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PhotometrySessionGroup.from_catalog(
            settings.metadata_dir / "sessions.pqt", settings=settings, **OFF
        )


@pytest.mark.slow
def test_a_session_is_what_it_was_in_our_own_file(documented, processed_root):
    for path in documented.sessions_h5_dir.glob("*.h5"):
        found = PhotometrySession.from_h5(path, settings=documented)
        own = PhotometrySession.from_h5(
            processed_root.sessions_h5_dir / path.name, settings=processed_root
        )
        for name in SCALARS:
            value, expected = getattr(found, name), getattr(own, name)
            assert value == expected or (pd.isna(value) and pd.isna(expected)), name
        assert found.brain_region == own.brain_region
        assert found.errors == []
        assert list(found.recordings) == list(own.recordings)
        assert [fiber["fiber_idx"] for fiber in found.recordings.values()] == list(
            range(len(own.recordings))
        )
        pd.testing.assert_frame_equal(found.trials[TRIALS], own.trials[TRIALS], check_dtype=False)
        derived = ["reaction_time", "movement_time", "response_time", "choice_side"]
        pd.testing.assert_frame_equal(found.trials[derived], own.trials[derived])
        for name, responses in own.responses.items():
            assert found.responses[name]["event"].to_numpy().tolist() == list(
                documented.response_events
            )
            np.testing.assert_array_equal(found.responses[name], responses)
        signal = found.photometry["GCaMP_preprocessed"]
        np.testing.assert_array_equal(signal, own.photometry["GCaMP_preprocessed"])
        np.testing.assert_array_equal(found.wheel_velocity, own.wheel_velocity)
        np.testing.assert_allclose(found.wheel_velocity["time"], own.wheel_velocity["time"])


@pytest.mark.slow
def test_what_was_read_can_be_stored_and_read_again(documented, tmp_path):
    path = next(documented.sessions_h5_dir.glob("*.h5"))
    session = PhotometrySession.from_h5(path, settings=documented)
    session.save_h5(tmp_path / path.name)
    again = PhotometrySession.from_h5(tmp_path / path.name, settings=documented)
    pd.testing.assert_frame_equal(again.trials, session.trials)
    assert list(again.responses) == list(session.responses)


_NOT_IN_THE_LAYOUT = ("source", "correction", "signal_sd")


@pytest.mark.slow
def test_the_analyses_of_a_group_give_the_same(documented, processed_root):
    found, own = group_of(documented), group_of(processed_root)
    assert len(found) == len(own) > 2
    for get in ("get_response_magnitudes", "get_trial_regressors", "get_trial_timing"):
        made, expected = getattr(found, get)(), getattr(own, get)()
        # who extracted and corrected the data is not in the documented layout: it is missing
        unknown = [name for name in _NOT_IN_THE_LAYOUT if name in made]
        assert made[unknown].isna().all(axis=None)
        made, expected = (t.drop(columns=unknown) for t in (made, expected))
        pd.testing.assert_frame_equal(made, expected, check_dtype=False)
    pd.testing.assert_frame_equal(found.get_mean_traces(), own.get_mean_traces())
    pd.testing.assert_frame_equal(
        found.get_response_features(nan_handling=None),
        own.get_response_features(nan_handling=None),
    )
    catalog = collect_catalog(documented.sessions_h5_dir)
    assert set(catalog["eid"]) == set(found.sessions["eid"])


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(documented, monkeypatch, capsys):
    page = (Path(__file__).parents[3] / "docs" / "earlier_package.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setattr(config, "get_settings", lambda: documented)
    monkeypatch.setattr(group_module, "get_settings", lambda: documented)
    names: dict = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(block, "earlier_package.md", "exec"), names)
    group = names["group"]
    assert len(names["performance"]) == len(group.sessions)
    assert "session type in biased, ephys" in capsys.readouterr().out
    assert set(group.response_magnitudes["eid"]) == set(group.recordings["eid"])


def test_quality_with_a_few_metrics_is_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("VTA", "SNc"):
            group = file.create_group(f"photometry/{name}/qc")
            group["band"] = np.array([b"GCaMP", b"Isosbestic"])
            group["n_unique_samples"] = [0.5, 0.25]
    found = collect_qc(tmp_path).set_index(["brain_region", "band"])
    assert found.loc[("SNc", "Isosbestic"), "n_unique_samples"] == 0.25
    assert found["eid"].tolist() == ["a"] * 4


def test_our_text_is_text_for_a_plain_reader(processed_root):
    path = next(processed_root.sessions_h5_dir.glob("*.h5"))
    with h5py.File(path) as file:
        dataset = file["trials/stim_side"]
        assert dataset.dtype.kind == "S"
        assert set(np.char.decode(dataset[()])) == {"left", "right"}


def test_another_layout_costs_that_session_and_says_what_is_wrong(documented, tmp_path):
    folder = tmp_path / "h5"
    folder.mkdir()
    paths = sorted(documented.sessions_h5_dir.glob("*.h5"))
    for path in paths:
        (folder / path.name).write_bytes(path.read_bytes())
    with h5py.File(folder / paths[0].name, "a") as file:
        del file["wheel/responses"].attrs["fs"]
    with pytest.raises(UnreadableFileError, match=r"the group wheel .* sampling rate"):
        PhotometrySession.from_h5(folder / paths[0].name, settings=documented)
    with h5py.File(folder / paths[0].name, "a") as file:
        file["trials/choice"][()] = 7
    group = group_of(documented)
    group.h5_dir = folder
    magnitudes = group.get_response_magnitudes()
    assert set(magnitudes["eid"]) == {path.stem for path in paths[1:]} & set(
        group.recordings["eid"]
    )
    assert "choice 7" in group.skipped.sessions[paths[0].stem]
