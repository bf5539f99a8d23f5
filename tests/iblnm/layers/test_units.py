"""Units, their regions, and the output of four versions of bombcell."""

import numpy as np
import pandas as pd
import pytest

from iblnm.layers.bombcell import bombcell_units, good_share, read_bombcell, read_mask
from iblnm.layers.errors import BombcellError, SpikeSortingError
from iblnm.layers.regions import COARSE_REGIONS, coarse_region, region_of_ids
from iblnm.layers.units import UNIT_COLUMNS, session_units

from .conftest import probe_in

SESSION = {"subject": "ZM_1", "session_n": 2.0}


def test_every_real_acronym_has_a_coarse_region(layers_data, known):
    table = pd.read_csv(layers_data / "units" / "acronyms.csv", keep_default_na=False)
    found = table["acronym"].map(coarse_region)
    assert len(table) == known["units/acronyms"]["n"] and found.isin(COARSE_REGIONS).all()
    assert table["n_units"].sum() == known["units/acronyms"]["n_units"]


def test_real_units_have_the_regions_of_their_ids(layers_data, known):
    table = pd.read_parquet(layers_data / "units" / "clusters.pqt")
    acronym, coarse = region_of_ids(table["atlas_id"].to_numpy())
    assert (acronym == table["acronym"]).all()
    # the library's coarse map has no fiber tracts and ventricles
    as_cosmos = pd.Series(coarse).replace({"fiber tracts": "root", "VS": "root"})
    assert (as_cosmos.to_numpy() == table["cosmos_acronym"].to_numpy()).all()
    for pid, right in known["units/clusters"].items():
        own = acronym[(table["pid"] == pid).to_numpy()]
        assert len(own) == right["n_units"] and len(set(own)) == right["n_regions"]
        for region, n in right["top"].items():
            assert (own == region).sum() == n


def test_units_of_a_probe(sorting):
    folder, ids = sorting
    np.save(folder / "channels.localCoordinates.npy", np.arange(18.0).reshape(9, 2))
    np.save(folder / "channels.brainLocationIds_ccf_2017.npy", np.full(9, 128))
    np.save(folder / "electrodeSites.brainLocationIds_ccf_2017.npy", np.full(9, -382))
    np.save(folder / "electrodeSites.mlapdv.npy", np.full((9, 3), (-1000, 2000, -3000)))
    table = session_units([probe_in(folder)], SESSION)
    assert table.columns[: len(UNIT_COLUMNS)].tolist() == list(UNIT_COLUMNS)
    assert table["uuid"].tolist() == ids
    assert table["n_spikes"].tolist() == [3, 0, 2]
    assert table["channel"].tolist() == [7, 8, 7]
    assert table["axial_um"].tolist() == [15.0, 17.0, 15.0]
    assert table["region"].tolist() == ["CA1"] * 3 and set(table["coarse_region"]) == {"HPF"}
    assert set(table["histology"]) == {"electrodeSites"}
    assert table[["x", "y", "z"]].iloc[0].tolist() == pytest.approx([-1e-3, 2e-3, -3e-3])
    # metrics have fewer rows than there are clusters
    assert table["label"].fillna(-1).tolist() == [1.0, -1.0, 0.5]


def test_units_without_places(sorting):
    folder, _ = sorting
    table = session_units([probe_in(folder)], SESSION)
    assert table["region"].isna().all() and table["atlas_id"].isna().all()
    (folder / "clusters.channels.npy").unlink()
    assert session_units([probe_in(folder)], SESSION)["channel"].isna().all()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("clusters.channels.npy", [1, 2], "2 values for 3 clusters"),
        ("channels.brainLocationIds_ccf_2017.npy", [1, 2], "not among the 2 sites"),
        ("spikes.clusters.npy", [0, 5], "cluster 5 has no uuid"),
    ],
)
def test_files_of_another_length_are_named(sorting, name, values, message):
    folder, _ = sorting
    np.save(folder / name, np.array(values))
    with pytest.raises(SpikeSortingError, match=message):
        session_units([probe_in(folder)], SESSION)


@pytest.mark.parametrize(
    ("clusters", "message"),
    [
        ([0, 0, 1], "cluster 0 has two rows"),
        (["a", "1", "2"], "cluster_id a is no whole number"),
        ([0.5, 1.0, 2.0], "cluster_id 0.5 is no whole number"),
        ([0.0, np.nan, 2.0], "cluster_id nan is no whole number"),
    ],
)
def test_metrics_that_do_not_fit_are_named(sorting, clusters, message):
    folder, _ = sorting
    metrics = pd.DataFrame({"cluster_id": clusters, "label": 1.0})
    metrics.to_parquet(folder / "clusters.metrics.pqt")
    with pytest.raises(SpikeSortingError, match=f"probe00.*{message}"):
        session_units([probe_in(folder)], SESSION)


def test_metrics_of_unknown_clusters_add_no_units(sorting):
    folder, ids = sorting
    metrics = pd.DataFrame({"cluster_id": np.arange(9), "label": np.arange(9.0)})
    metrics.to_parquet(folder / "clusters.metrics.pqt")
    table = session_units([probe_in(folder)], SESSION)
    assert table["uuid"].tolist() == ids
    assert table["label"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("version", ["v0.94", "2026-02", "2025-12", "2025-10"])
def test_four_versions_of_bombcell_load(layers_data, known, version):
    folder = layers_data / "bombcell"
    path = folder / f"templates._bc_qMetrics.{version}.parquet"
    labels = folder / "cluster_bc_unitType.tsv"
    right = known["bombcell"]
    table = read_bombcell(path, labels)
    assert table["cluster_id"].tolist() == list(range(right["n_units"]))
    assert table["bc_unitType"].value_counts().to_dict() == right["unit_types"]
    assert table.loc[table["bc_unitType"] == "GOOD", "cluster_id"].tolist() == right["good"]
    assert table["nSpikes"].astype(int).tolist() == list(right["nSpikes"].values())
    assert good_share(table) == pytest.approx(1 / 15)
    alone = read_bombcell(path)
    assert alone["bc_unitType"].notna().any() == right["label_in"][version]


def test_bombcell_is_joined_by_the_cluster(layers_data):
    table = read_bombcell(layers_data / "bombcell" / "templates._bc_qMetrics.v0.94.parquet")
    units = pd.DataFrame({"uuid": ["u6", "u0"], "cluster_id": [6, 0], "probe": "probe00"})
    joined = bombcell_units(table, units, eid="e", pid="p", probe="probe00")
    assert len(joined) == 15 and joined["uuid"].notna().sum() == 2
    assert joined.loc[joined["uuid"] == "u6", "bc_unitType"].tolist() == ["GOOD"]


def test_bad_output_of_bombcell_is_named(tmp_path):
    path = tmp_path / "templates._bc_qMetrics.parquet"
    path.write_bytes(b"PAR1 cut")
    with pytest.raises(BombcellError, match="probe00"):
        read_bombcell(path, probe="probe00")
    pd.DataFrame({"phy_clusterID": [0.0, 0.0]}).to_parquet(path)
    with pytest.raises(BombcellError, match="two rows"):
        read_bombcell(path)
    pd.DataFrame({"cluster": [0.0]}).to_parquet(path)
    with pytest.raises(BombcellError, match="phy_clusterID"):
        read_bombcell(path)
    np.save(tmp_path / "mask.npy", np.zeros(4))
    with pytest.raises(BombcellError, match="mask of 4 spikes, the sorting has 5"):
        read_mask(tmp_path / "mask.npy", 5)
