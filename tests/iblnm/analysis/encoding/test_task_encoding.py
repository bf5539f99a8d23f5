"""Stage of task encoding on simulated cohorts with planted coefficients and relations."""

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import planted_effects, simulate_magnitudes

from iblnm.analysis.encoding.compute import task_encoding
from iblnm.analysis.encoding.tables import TABLES
from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.analysis.result import write_result
from iblnm.config import Settings
from iblnm.schemas import PERFORMANCE
from iblnm.storage.parquet import read_provenance, read_table

pytestmark = pytest.mark.slow

TARGETS = ("DR-5HT", "VTA-DA")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    small = {"n_permutations": 99, "n_bootstrap": 100}
    return Settings(root=tmp_path_factory.mktemp("root"), encoding=small)


@pytest.fixture(scope="module")
def magnitudes():
    table, _ = simulate_magnitudes(
        targets=TARGETS, n_subjects=10, sessions_per_subject=3, n_trials=250, seed=1
    )
    return RESPONSE_MAGNITUDES.conform(table)


@pytest.fixture(scope="module")
def performance(magnitudes):
    """Thresholds of DR-5HT follow the response to contrast; the rest is noise."""
    rng = np.random.default_rng(0)
    stim = magnitudes[magnitudes["event"] == "stimOn_times"]
    slope = stim.groupby("eid")[["contrast", "response_early"]].apply(
        lambda t: np.polyfit(np.log1p(t["contrast"]), t["response_early"], 1)[0]
    )
    target = stim.groupby("eid")["target_NM"].first()
    n = len(slope)
    related = 20 + 30 * (slope - slope.groupby(target).transform("mean")) + rng.normal(0, 0.3, n)
    table = pd.DataFrame(
        {
            "eid": slope.index,
            "n_trials": 250,
            "psych_50_bias": rng.normal(0, 5, n),
            "psych_50_threshold": np.where(target == "DR-5HT", related, rng.normal(20, 3, n)),
            "psych_50_lapse_left": rng.uniform(0, 0.2, n),
            "psych_50_lapse_right": rng.uniform(0, 0.2, n),
        }
    )
    return PERFORMANCE.conform(table)


@pytest.fixture(scope="module")
def result(magnitudes, performance, settings):
    return task_encoding(magnitudes, performance, settings)


def test_every_table_holds_its_schema_and_is_written_with_its_counts(result, tmp_path):
    assert set(result.tables) == set(TABLES)
    paths = write_result(result, tmp_path, TABLES)
    assert set(paths) == set(TABLES)
    stored = read_table(paths["cca_results"], TABLES["cca_results"])
    assert len(stored) == len(result.tables["cca_results"]) == 2 * 2 * len(TARGETS)
    parameters = read_provenance(paths["glm_coefficients"]).parameters
    assert parameters["counts"]["used"]["recordings"] == 60
    assert parameters["seed"] == 42 and parameters["n_permutations"] == 99


def test_counts_go_from_candidate_to_used(result, magnitudes):
    counts = result.counts
    assert counts["candidate"]["sessions"] == counts["used"]["sessions"] == 60
    assert counts["used"]["subjects"] == 20
    unbiased = magnitudes[(magnitudes["probabilityLeft"] == 0.5) & (magnitudes["choice"] != 0)]
    assert counts["eligible"]["trials"] == len(unbiased.drop_duplicates(["eid", "trial"]))


def test_mean_coefficients_are_the_planted_ones(result):
    glm = result.tables["glm_coefficients"]
    for target in TARGETS:
        planted = planted_effects(target)["feedback_times"]
        mine = glm[(glm["target_NM"] == target) & (glm["event"] == "feedback_times")]
        for term in ("reward", "contrast", "side"):
            own = mine[mine["term"] == term].groupby("subject")["estimate"].mean()
            error = own.std() / np.sqrt(len(own))
            assert own.mean() == pytest.approx(planted[term], abs=max(4 * error, 0.05))
    tested = glm[glm["p"].notna()]
    assert (tested["p_corrected"] >= tested["p"]).all()
    assert set(glm["correction"]) == {"holm within event, term"}


def test_components_separate_the_targets(result):
    tests = result.tables["glm_component_tests"]
    overall = tests[(tests["test"] == "kruskal_wallis") & (tests["event"] == "feedback_times")]
    assert overall.groupby("method")["p_corrected"].min().max() < 0.01
    assert overall["n_a"].eq(20).all()  # animals
    loadings = result.tables["glm_component_loadings"]
    ratios = loadings.drop_duplicates(["event", "method", "component"])
    total = ratios.groupby(["event", "method"])["explained_variance_ratio"].sum()
    assert (total <= 1 + 1e-9).all()
    assert "intercept" not in set(loadings["term"])


def test_the_planted_relation_is_found_in_its_target_only(result):
    table = result.tables["cca_results"].set_index(["event", "variant", "target_NM"])
    for variant in ("plain", "elastic_net"):
        planted = table.loc[("stimOn_times", variant, "DR-5HT")]
        assert planted["p"] == 0.01
        assert planted["correlation"] > planted["null_q95"]
        assert planted["correlation_held_out"] > 0.5
        assert planted["n_recordings"] == 30 and planted["n_subjects"] == 10
        other = table.loc[("stimOn_times", variant, "VTA-DA")]
        assert other["p_corrected"] > 0.05
        assert other["correlation_held_out"] < 0.5
    assert table["correction"].eq("holm within variant").all()
    weights = result.tables["cca_weights"]
    mine = weights[
        (weights["event"] == "stimOn_times")
        & (weights["variant"] == "plain")
        & (weights["target_NM"] == "DR-5HT")
    ].set_index("feature")
    size = mine["loading"].abs()
    assert size.drop(["contrast", "threshold"]).max() < 0.5
    assert size["contrast"] > 0.9 and size["threshold"] > 0.9
    assert mine.loc["threshold", "loading"] * mine.loc["contrast", "loading"] > 0


def test_projections_and_similarities_are_complete(result):
    cross = result.tables["cca_cross_projections"]
    assert len(cross) == 2 * 2 * 4
    own = cross[cross["data_target"] == cross["weights_target"]]
    results = result.tables["cca_results"]
    merged = own.merge(
        results,
        left_on=["event", "variant", "data_target"],
        right_on=["event", "variant", "target_NM"],
    )
    np.testing.assert_allclose(merged["correlation_x"], merged["correlation_y"], atol=1e-9)
    similar = result.tables["cca_weight_similarities"]
    assert (similar.loc[similar["target_a"] == similar["target_b"], "cosine"] > 1 - 1e-9).all()
    scores = result.tables["cca_projections"]
    one = scores[(scores["event"] == "stimOn_times") & (scores["variant"] == "plain")]
    one = one[one["target_NM"] == "DR-5HT"]
    stated = results.set_index(["event", "variant", "target_NM"]).loc[
        ("stimOn_times", "plain", "DR-5HT"), "correlation"
    ]
    assert np.corrcoef(one["encoding_score"], one["behaviour_score"])[0, 1] == pytest.approx(
        stated
    )


@pytest.mark.parametrize("n_subjects", [0, 1])
def test_a_small_cohort_gives_empty_tables_and_says_what_is_missing(
    magnitudes, performance, settings, n_subjects
):
    few = magnitudes["subject"].drop_duplicates()[:n_subjects]
    result = task_encoding(magnitudes[magnitudes["subject"].isin(few)], performance, settings)
    for name, table in result.tables.items():
        TABLES[name].validate(table)
    assert result.tables["cca_weights"].empty
    assert result.counts["used"]["subjects"] == n_subjects
    if n_subjects:
        assert any("3 complete recordings; 10 are needed" in note for note in result.notes)


def test_recordings_without_a_side_are_counted_and_left_out(magnitudes, performance, settings):
    own = magnitudes[magnitudes["subject"].isin(magnitudes["subject"].unique()[:2])].copy()
    blind = own["eid"] == own["eid"].iloc[0]
    own.loc[blind, ["hemisphere", "side", "relative_contrast"]] = None
    result = task_encoding(own, performance, settings)
    assert "stimOn_times: 1 recordings without regression, fewer than 20 trials" in result.notes
    assert result.counts["used"]["recordings"] == result.counts["candidate"]["recordings"] - 1
