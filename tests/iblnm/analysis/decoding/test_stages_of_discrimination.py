"""Stages of similarity, decoding and ANOVA, and the group's methods, on simulated cohorts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import simulate_magnitudes

from iblnm.analysis import decode_targets, registry
from iblnm.analysis.anova.compute import response_anova
from iblnm.analysis.decoding.compute import target_decoding
from iblnm.analysis.result import write_result
from iblnm.analysis.similarity.compute import response_similarity
from iblnm.analysis.vectors.compute import response_matrix
from iblnm.analysis.vectors.matrix import from_table
from iblnm.config import Settings
from iblnm.data import PhotometrySessionGroup
from iblnm.storage.parquet import read_provenance, read_table

DISCRIMINATION = {"n_permutations": 19, "n_similarity_permutations": 49, "n_bootstrap": 200}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(root=tmp_path_factory.mktemp("root"), discrimination=DISCRIMINATION)


@pytest.fixture(scope="module")
def magnitudes():
    targets = ("VTA-DA", "LC-NE", "NBM-ACh")
    table, _ = simulate_magnitudes(
        targets=targets, n_subjects=4, n_trials=700, subject_sd=0.2, seed=3
    )
    return table


@pytest.fixture(scope="module")
def matrix(magnitudes, settings):
    return response_matrix(magnitudes, settings).tables["response_matrix"]


@pytest.fixture(scope="module")
def decoding(matrix, settings):
    return target_decoding(matrix, settings)


@pytest.mark.slow
def test_decoding_of_planted_profiles(decoding, matrix):
    predictions = decoding.tables["decoding_predictions"]
    assert predictions["eid"].tolist() == matrix["eid"].tolist()
    accuracy = decoding.tables["decoding_accuracy"].set_index("measure")
    row = accuracy.loc["balanced_accuracy"]
    assert row["value"] > 0.6
    assert row["low"] > 1 / 3
    assert row["p"] == row["p_corrected"] == pytest.approx(1 / 20)
    right = (predictions["predicted"] == predictions["target_NM"]).mean()
    assert accuracy.loc["accuracy", "value"] == pytest.approx(right)
    assert decoding.numbers["fits not converged"] == 0
    assert decoding.parameters["convergence"]["n_fits"] > 100
    assert decoding.counts["used"]["subjects"] == 12
    assert len(decoding.tables["decoding_null"]) == 19
    features = set(from_table(matrix)[0].columns)
    assert set(decoding.tables["decoding_contributions"]["feature"]) == features
    assert len(decoding.tables["decoding_coefficients"]) == 3 * len(features)


def test_every_left_out_animal_is_decoded_where_animals_are_alike(settings):
    """Differences between the animals of a target and noise are small beside those planted."""
    table, _ = simulate_magnitudes(
        targets=("VTA-DA", "LC-NE", "NBM-ACh"),
        n_subjects=4,
        n_trials=700,
        subject_sd=0.05,
        slope_sd=0.02,
        noise_sd=0.5,
        seed=1,
    )
    clear = response_matrix(table, settings).tables["response_matrix"]
    vectors, subjects = from_table(clear)
    labels = vectors.index.get_level_values("target_NM").to_numpy()
    found = decode_targets(vectors, labels, subjects.to_numpy())
    assert subjects.nunique() >= 10
    assert (found["predictions"].to_numpy() == labels).all()


@pytest.mark.slow
def test_all_stages_write_what_the_schemas_say(decoding, matrix, magnitudes, settings, tmp_path):
    for name, result in (
        ("target_decoding", decoding),
        ("response_similarity", response_similarity(matrix, settings)),
        ("response_anova", response_anova(magnitudes, settings)),
    ):
        schemas = registry.analysis(name).tables
        assert set(schemas) == set(result.tables)
        for stem, path in write_result(result, tmp_path, schemas).items():
            pd.testing.assert_frame_equal(
                read_table(path, schemas[stem]), result.tables[stem], check_dtype=False
            )
            parameters = read_provenance(path).parameters
            assert parameters["counts"]["used"]["subjects"] <= 12


@pytest.mark.slow
def test_similarity_of_planted_profiles(matrix, settings):
    result = response_similarity(matrix, settings)
    pairs = result.tables["similarity_pairs"]
    n = len(matrix)
    assert len(pairs) == n * (n - 1) // 2
    square = result.tables["similarity_matrix"]
    columns = [f"{e}_{f}" for e, f in zip(matrix["eid"], matrix["fiber_idx"], strict=True)]
    assert list(square.columns[4:]) == columns
    first = pairs.iloc[0]
    assert square[f"{first['eid_j']}_{first['fiber_idx_j']}"][0] == first["similarity"]
    own = pairs[(pairs["subject_i"] == pairs["subject_j"])]
    assert own["same_subject"].all()
    contrasts = result.tables["similarity_contrasts"].set_index("target_NM")
    assert contrasts.loc["all", "difference"] > 0
    assert contrasts["correction"].notna().all()
    means = result.tables["target_similarity"]
    assert len(means) == 9
    assert (means["similarity_other_subjects"] != means["similarity"]).any()


@pytest.mark.slow
def test_a_target_of_one_mouse_is_left_out_and_named(matrix, settings):
    lonely = matrix["target_NM"].eq("LC-NE") & matrix["subject"].ne(
        matrix.loc[matrix["target_NM"] == "LC-NE", "subject"].iloc[0]
    )
    result = target_decoding(matrix[~lonely].reset_index(drop=True), settings)
    assert "LC-NE" not in set(result.tables["decoding_predictions"]["target_NM"])
    assert any("LC-NE" in note and "fewer than 2" in note for note in result.notes)
    assert result.counts["candidate"]["recordings"] > result.counts["eligible"]["recordings"]


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.slow
def test_small_cohorts_give_empty_tables_and_say_why(matrix, magnitudes, settings, n, tmp_path):
    small = matrix[:n].reset_index(drop=True)
    trials = magnitudes[: 50 * n]
    for name, table in (
        ("target_decoding", small),
        ("response_similarity", small),
        ("response_anova", trials),
    ):
        declared = registry.analysis(name)
        result = declared.compute(table, settings)
        write_result(result, tmp_path, declared.tables)
        if "similarity_pairs" in result.tables and n == 2:
            assert len(result.tables["similarity_pairs"]) == 1
            continue
        main = next(iter(result.tables.values()))
        assert main.empty
        assert result.notes
        assert result.counts["used"]["subjects"] == 0


@pytest.mark.slow
def test_anova_names_incomplete_mice_and_uses_the_others(magnitudes, settings):
    target, event = "VTA-DA", "stimOn_times"
    table = magnitudes.copy()
    mouse = table.loc[table["target_NM"] == target, "subject"].iloc[0]
    cell = (table["subject"] == mouse) & (table["contrast"] == 100) & (table["side"] == "ipsi")
    table.loc[cell & (table["event"] == event), "response_early"] = np.nan
    result = response_anova(table, settings, min_subjects=3)
    anova = result.tables["response_anova"].set_index(["target_NM", "event"])
    assert anova.loc[(target, event), "n_subjects"].unique().tolist() == [3]
    assert anova.loc[("LC-NE", event), "n_subjects"].unique().tolist() == [4]
    assert anova.loc[(target, event), "source"].tolist() == ["contrast", "side", "contrast:side"]
    lacking = result.tables["anova_missing_cells"]
    named = lacking[(lacking["event"] == event) & (lacking["target_NM"] == target)]
    assert named[["subject", "contrast", "side"]].to_numpy().tolist() == [[mouse, 100.0, "ipsi"]]
    corrected = result.tables["response_anova"]
    assert (corrected["p_corrected"] >= corrected["p_gg"] - 1e-12).all()
    assert (corrected["correction"] == "holm within event").all()


@pytest.mark.slow
def test_outcome_is_a_factor_of_feedback_only(magnitudes, settings):
    result = response_anova(magnitudes, settings, min_trials=1)
    sources = result.tables["response_anova"].groupby("event")["source"].unique()
    assert not any("feedbackType" in name for name in sources["stimOn_times"])
    if "feedback_times" in sources:
        assert "contrast:side:feedbackType" in sources["feedback_times"]


@pytest.mark.slow
def test_the_groups_methods_fill_their_attributes(magnitudes, settings):
    recordings = magnitudes.drop_duplicates(["eid", "fiber_idx"])
    sessions = recordings.groupby("eid", sort=False).agg(
        subject=("subject", "first"),
        session_type=("session_type", "first"),
        brain_region=("brain_region", list),
        hemisphere=("hemisphere", list),
        target_NM=("target_NM", list),
    )
    group = PhotometrySessionGroup(sessions.reset_index(), settings=settings)
    group.response_magnitudes = magnitudes
    assert group.similarity_matrix is group.decoder is group.anova_results is None
    similarity = group.response_similarity_matrix()
    assert similarity.shape == (len(group.response_features),) * 2
    assert group.similarity_matrix is similarity
    decoder = group.decode_target(Cs=[0.1, 1.0])
    assert decoder is group.decoder
    assert decoder.balanced_accuracy > 0.6
    assert decoder.contributions["delta"].notna().all()
    assert decoder.confusion.shape == (3, 3)
    assert group.anova_response_magnitudes("response_early", 2, 10) is group.anova_results
    assert {event for _, event in group.anova_results} >= {"stimOn"}
    known = {"Source", "F", "Num DF", "Den DF", "Pr(>F)", "method"}
    for table in group.anova_results.values():
        assert known <= set(table)
        assert table["Source"].is_unique
