"""The wide table for fastFMM."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from iblnm.errors import DataError
from iblnm.export.fastfmm import WideTable, times_path, wide_table, write_wide_table
from iblnm.storage import write_table


@pytest.fixture(scope="module")
def settings(cohort, tmp_path_factory):
    """Settings of the simulated cohort with its catalog in a file."""
    root = tmp_path_factory.mktemp("fastfmm")
    (root / "data").mkdir()
    (root / "data" / "sessions").symlink_to(cohort.settings.sessions_h5_dir)
    write_table(cohort.catalog, root / "metadata" / "sessions.pqt")
    performance = pd.DataFrame(
        {"eid": cohort.catalog["eid"], "n_trials": 120, "fraction_correct": 0.9}
    )
    contrasts = list(cohort.settings.analysis_contrasts)
    performance["contrasts"] = [contrasts for _ in performance.index]
    write_table(performance, root / "data" / "performance.pqt")
    return cohort.settings.model_copy(update={"root": root})


@pytest.mark.slow
def test_rows_are_selected_trials_with_their_curves(settings, cohort):
    found = wide_table(settings, "stimOn_times", window=(-0.2, 0.5))
    table = found.table
    samples = [name for name in table if name.startswith("photometry_")]
    assert samples == [f"photometry_{i}" for i in range(1, len(found.times) + 1)]
    assert found.times[0] == pytest.approx(-0.2)
    assert (np.diff(found.times) > 0).all() and found.times[-1] < 0.5
    assert np.isfinite(table[samples].to_numpy()).all()
    assert not [name for name in table if name.startswith("photometry") and name not in samples]
    assert table["id"].min() == 1 and table["id"].nunique() == table["subject"].nunique()
    assert set(table.groupby("subject")["session"].max()) == {2}
    expected = incomplete = 0
    for (eid, fiber), (responses, trials) in cohort.truth.items():
        chosen = (trials["probabilityLeft"] == 0.5) & (trials["choice"] != 0)
        chosen &= trials["response_time"] > 0.05
        own = responses.sel(event="stimOn_times").to_numpy()
        time = responses["time"].to_numpy()
        before = (time >= -0.1 - 1e-6) & (time < -1e-6)
        inside = (time >= -0.2 - 1e-6) & (time < 0.5 - 1e-6)
        with np.errstate(all="ignore"):
            curves = own[:, inside] - np.nanmean(own[:, before], axis=1, keepdims=True)
        whole = np.isfinite(curves).all(axis=1)
        expected += int((whole & chosen).sum())
        incomplete += int((~whole & chosen).sum())
        rows = table[(table["eid"] == eid) & (table["fiber_idx"] == fiber)]
        np.testing.assert_array_equal(rows["trial"], np.flatnonzero(whole & chosen))
        np.testing.assert_allclose(rows[samples], curves[whole & chosen], atol=1e-6)
    assert len(table) == expected > 100
    assert found.n_incomplete == incomplete > 0
    contra = table["side"] == "contra"
    np.testing.assert_array_equal(table["side_coded"], np.where(contra, 0.5, -0.5))


def test_the_file_is_read_as_it_was_made(settings, tmp_path):
    found = wide_table(settings, "feedback_times", targets=["LC-NE"], window=(-0.1, 0.3))
    assert set(found.table["target_NM"]) == {"LC-NE"}
    path = tmp_path / "wide.csv"
    write_wide_table(found, path)
    read = pd.read_csv(path)
    assert read.columns.tolist() == found.table.columns.tolist()
    np.testing.assert_allclose(read["photometry_3"], found.table["photometry_3"], rtol=1e-5)
    times = pd.read_csv(times_path(path))
    assert times["sample"].tolist() == [n for n in read if n.startswith("photometry_")]
    np.testing.assert_allclose(times["time_s"], found.times, atol=1e-6)


def test_a_name_is_no_formula_in_a_spreadsheet(tmp_path):
    table = pd.DataFrame({"subject": ["=1+1", "DM-001", None], "photometry_1": [-1.0, 2.0, 3.0]})
    path = tmp_path / "wide.csv"
    write_wide_table(WideTable(table, np.zeros(1)), path)
    assert path.read_text().splitlines()[1:] == ["'=1+1,-1", "DM-001,2", "NA,3"]


def test_an_event_without_responses_is_named(settings, tmp_path):
    with pytest.raises(DataError, match="goCue_times"):
        wide_table(settings, "goCue_times")
    with pytest.raises(DataError, match=r"sessions\.pqt"):
        wide_table(settings.model_copy(update={"root": tmp_path}), "stimOn_times")


@pytest.mark.slow
def test_the_command_says_what_it_wrote(settings, tmp_path, monkeypatch):
    from iblnm_dagster import export_commands

    monkeypatch.setattr(export_commands, "get_settings", lambda: settings)
    path = tmp_path / "out" / "wide.csv"
    done = CliRunner().invoke(export_commands.export, ["fastfmm", "--to", str(path)])
    assert done.exit_code == 0, done.output
    assert f"{len(pd.read_csv(path))} trials of 6 sessions and 3 mice" in done.output
    assert "fastFMM::fui(photometry ~ " in done.output
