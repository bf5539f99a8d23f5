"""The simulated archive: every cell, epoch, rung and broken rule is the planted one."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from iblnm.archive.connection import connect
from iblnm.config import Settings
from iblnm.demo.layers import build_layers_archive
from iblnm.layers.collect import collect, histology_table, insertion_table, sessions_table
from iblnm.layers.items import STATES, STATUS_COLUMNS
from iblnm.layers.overview import pair_counts, status_codes
from iblnm.layers.page import build_page
from iblnm.layers.spike_file import read_units, write_spike_index
from iblnm.layers.tables import DATASET_DETAIL, UNITS
from iblnm.pipeline import graph
from iblnm.pipeline.checking import evaluate_stored
from iblnm.pipeline.groups import DATA_LAYERS, run_group, running_rules
from iblnm.schemas import LABELS
from iblnm.storage.parquet import write_table
from iblnm.storage.store import SessionStore

pytestmark = pytest.mark.slow
COSTLY = ("single_unit", "population")
LACKING_RAW_DATA = {
    *("old_session", "nothing", "cameras", "odd_probes", "without_file", "unreadable_settings")
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Root with the stages of all sessions; (settings, truth, broken rules by eid)."""
    folder = tmp_path_factory.mktemp("layers")
    truth = build_layers_archive(folder / "alf", n_animals=1)["sessions"]
    settings = Settings(
        root=folder / "root",
        one_cache_dir=folder / "alf",
        layers={"enabled": True, "n_permutations": 50},
    )
    settings.metadata_dir.mkdir(parents=True)
    shutil.copy(folder / "alf" / "recordings.csv", settings.metadata_dir)
    one, store = connect(settings), SessionStore(settings)
    broken = {}
    with run_group(DATA_LAYERS):
        for eid, right in truth.items():
            values = {}
            for stage in graph.all_stages():
                blocked = stage.name in ("bombcell", *COSTLY) and right["name"] == "mismatch"
                skipped = stage.name in COSTLY and not right["condition"]
                if blocked or skipped or (stage.name == "units" and right["name"] == "mismatch"):
                    continue
                if any(name not in values for name in stage.inputs):
                    continue
                result = stage.run(values, one=one, eid=eid, settings=settings)
                if result.value is not None:
                    values[stage.name] = result.value
                    path = settings.root / stage.folder / f"{eid}.pqt"
                    write_table(result.value, path, stage.table)
            broken[eid] = {
                outcome.rule
                for name in graph.checked_stages()
                if name in values
                for outcome in evaluate_stored(store, name, eid, settings)
                if not outcome.passed
            }
        yield settings, truth, broken


@pytest.fixture(scope="module")
def store(made):
    return SessionStore(made[0])


def _plain(value):
    return None if pd.isna(value) else value


def test_every_cell_is_the_planted_one(made, store):
    _, truth, _ = made
    table = store.collect("dataset_status").set_index("eid")
    assert set(table.index) == set(truth)
    for eid, right in truth.items():
        found = {name: _plain(table.loc[eid, name]) for name in STATUS_COLUMNS}
        assert found == right["status"], right["name"]
    states = table[[name for name in STATUS_COLUMNS if name.endswith("spikes")]]
    assert set(np.unique(states.to_numpy(str))) == set(STATES)


def test_every_item_has_a_reason(made, store):
    detail = collect(store, "dataset_items", DATASET_DETAIL)
    assert len(detail) == 38 * len(made[1])
    assert detail["reason"].str.len().min() > 5


def test_every_epoch_is_the_planted_one(made, store):
    table = store.collect("passive_epochs").set_index("eid")
    for eid, right in made[1].items():
        for name, value in right["epochs"].items():
            found = _plain(table.loc[eid, name])
            expected = pytest.approx(value, abs=1e-6) if isinstance(value, float) else value
            assert found == expected, (right["name"], name)


def test_every_rung_is_the_planted_one(made, store):
    _, truth, _ = made
    table = histology_table(store)
    for eid, right in truth.items():
        own = table[table["eid"] == eid]
        states = dict(zip(own["probe"], own["state"], strict=True))
        assert states == right["histology"], right["name"]
    assert set(table["state"]) == {
        *("no-insertion", "no-stacks", "no-tracing", "traced", "aligned", "resolved", "unknown")
    }


def test_rules_name_the_planted_faults_and_no_other(made):
    _, truth, broken = made
    for eid, right in truth.items():
        lacking = {"raw_data_missing"} if right["name"] in LACKING_RAW_DATA else set()
        assert broken[eid] == {*right["broken_rules"], *lacking}, right["name"]
    named = {rule for right in truth.values() for rule in right["broken_rules"]}
    assert named <= {rule.name for rule in running_rules()}
    assert {"extraction_error", "spikes_clusters_mismatch", "histology_unknown"} <= named


def test_the_rules_of_the_photometry_are_not_those_of_this_root():
    names = {rule.name for rule in running_rules()}
    assert "extraction_error" in names or "invalid_strain" in names
    assert not {"extraction_error", "invalid_strain"} <= names


def test_units_and_spikes_are_the_planted_ones(made, store):
    settings, truth, _ = made
    for eid, right in truth.items():
        if right["name"] == "mismatch" or not right["units"]:
            assert not (settings.data_dir / "spikes" / f"{eid}.h5").exists()
            continue
        spikes = store.load("spikes", eid).set_index("probe")
        stored = read_units(settings.data_dir / "spikes" / f"{eid}.h5")
        units = store.load("units", eid).set_index("uuid")
        for probe, own in right["units"].items():
            assert spikes.loc[probe, "n_duplicates"] == own["n_duplicates"]
            assert [len(stored[uuid]) for uuid in own["uuids"]] == own["n_spikes"]
            assert units.loc[own["uuids"], "n_spikes"].tolist() == own["n_spikes"]
        assert set(units["coarse_region"]) == {"HPF", "TH"}
        assert units["label"].notna().all()


def test_rates_and_the_planted_effect_are_recovered(made, store):
    _, truth, _ = made
    for eid, right in truth.items():
        if not right["condition"]:
            continue
        table = store.load("single_unit", eid).set_index("uuid")
        own = right["units"]["probe00"]
        rates = table.loc[own["uuids"]]
        np.testing.assert_allclose(rates["spontaneous_mean_rate_pre"], own["rate_pre"])
        np.testing.assert_allclose(rates["spontaneous_mean_rate_post"], own["rate_post"])
        index = table.groupby("coarse_region")["spontaneous_mean_rate_MI"].mean()
        effect = 1 / 3 if right["condition"] == "LSD" else 0.0
        assert index["HPF"] == pytest.approx(effect, abs=0.1)
        assert index["TH"] == pytest.approx(0.0, abs=0.1)
        population = store.load("population", eid)
        assert set(population["region"]) == {"all", "HPF", "TH"}
        # the recording ends 3,000 s, the drug was given at 960 s: all 15 windows fit, less one
        assert population.loc[population["kind"] == "window", "start"].nunique() >= 9


def test_no_output_calls_a_single_unit_modulated(store):
    names = " ".join([*store.load("single_unit", store.eids("single_unit")[0]).columns])
    assert "modulated" not in names and "significant" not in names


def test_tables_over_all_sessions(made, store):
    settings, truth, _ = made
    sessions = sessions_table(store, LABELS.empty(), {})
    assert len(sessions) == len(truth)
    assert set(STATUS_COLUMNS) <= set(sessions.columns)
    nothing = sessions[sessions["subject"] == _subject(truth, "nothing")].iloc[0]
    assert (nothing["n_probes"], nothing["n_tasks"]) == (0, 3)
    two = sessions[sessions["subject"] == _subject(truth, "two_probes")].iloc[0]
    assert two["n_probes"] == 2
    assert sessions["control_recording"].fillna(False).sum() == 1
    assert sessions["probe01_sorter"].notna().all()
    units = collect(store, "units", UNITS)
    assert units["uuid"].is_unique and "label" in units
    assert insertion_table(store)["bombcell_good"].dropna().eq(0.5).all()
    n = write_spike_index(
        settings.data_dir / "spikes.h5", (settings.data_dir / "spikes").glob("*.h5")
    )
    assert n == len(units)
    with h5py.File(settings.data_dir / "spikes.h5") as file:
        row = units.iloc[7]
        assert len(file[row["uuid"]]["times"][:]) == row["n_spikes"]
    assert status_codes(sessions).shape == (len(truth), 38)
    pairs = pair_counts(units)
    assert pairs.loc["HPF", "TH"] > 0 and (pairs.to_numpy() == pairs.to_numpy().T).all()


def _subject(truth, name):
    return next(right["subject"] for right in truth.values() if right["name"] == name)


def test_the_page_of_datasets_is_small_and_tells_reasons(made, store):
    sessions = sessions_table(store, LABELS.empty(), {})
    detail = collect(store, "dataset_items", DATASET_DETAIL)
    page = build_page(sessions, detail, histology_table(store))
    assert "tracked by DeepLabCut only" in page and "TRACE STACKS" in page
    many = pd.concat([sessions] * 38, ignore_index=True).head(1000)
    assert len(build_page(many, detail, histology_table(store)).encode()) < 2_000_000
