"""A root of the data layers through the command, as a user does it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import h5py
import pandas as pd
import pytest

from iblnm.archive.watch import open_source
from iblnm.config import Settings
from iblnm.demo import build_layers_archive
from iblnm.pipeline.groups import DATA_LAYERS, run_group
from iblnm.pipeline.selection import with_stored_performance
from iblnm.storage.store import SessionStore

FIGURES = ("dataset_status", "insertions", "units", "pairs")


def test_what_is_new_is_asked_of_the_archive_of_the_group(tmp_path):
    layers = {"enabled": True}
    settings = Settings(root=tmp_path, layers=layers)
    archive = settings.cache_dir
    archive.mkdir(parents=True)
    for name in ("sessions.pqt", "datasets.pqt"):
        (archive / name).touch()
    (archive / "recordings.csv").touch()  # it is there, so none is built
    assert open_source(settings).__class__.__name__ == "LocalChanges"
    assert not (archive / "demo.json").exists()


def test_performance_is_asked_for_where_a_stage_computes_it(tmp_path):
    store = SessionStore(Settings(root=tmp_path))
    sessions = pd.DataFrame({"eid": ["a"]})
    assert {"fraction_correct", "contrasts"} <= set(with_stored_performance(sessions, store))
    with run_group(DATA_LAYERS):
        assert list(with_stored_performance(sessions, store)) == ["eid"]


@pytest.mark.slow
def test_from_the_archive_to_tables_and_figures(tmp_path):
    root = tmp_path / "root"
    truth = build_layers_archive(root / ".demo", n_animals=1)["sessions"]
    eids = [eid for eid, session in truth.items() if session.get("condition")][:2]
    (tmp_path / "eids.txt").write_text("\n".join(eids))

    def iblnm(*arguments: str) -> str:
        environment = {name: v for name, v in os.environ.items() if not name.startswith("IBLNM_")}
        done = subprocess.run(
            [sys.executable, "-m", "iblnm_dagster.cli", *arguments],
            env={**environment, "IBLNM_ROOT": str(root), "IBLNM_LAYERS__ENABLED": "true"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    said = iblnm("batch", "--eids", str(tmp_path / "eids.txt"))
    assert re.search(r"^single_unit +2 +2 ", said, re.MULTILINE), said
    assert "2 insertions, 1 subjects" in said
    assert "layers_overview" in iblnm("analyse")
    assert "probe" in iblnm("histology")
    for name in FIGURES:
        assert (root / "figures" / "layers" / f"{name}.png").stat().st_size > 5000
    tables = {
        name: pd.read_parquet(root / f"{name}.pqt")
        for name in (
            "metadata/sessions",
            "data/units",
            "results/single_unit",
            "metadata/qc_matrix",
        )
    }
    assert set(tables["metadata/sessions"]["eid"]) == set(eids)
    assert "true_duplicate_session" not in set(tables["metadata/qc_matrix"]["check"])
    units = tables["data/units"]
    assert set(tables["results/single_unit"]["uuid"]) == set(units["uuid"])
    with h5py.File(root / "data" / "spikes.h5") as spikes:
        counted = {uuid: len(spikes[uuid]["times"]) for uuid in units["uuid"]}
    assert counted == dict(zip(units["uuid"], units["n_spikes"], strict=True))
