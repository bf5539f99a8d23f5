"""Methods of a group for regression, components and canonical correlation."""

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import simulate_magnitudes

from iblnm.analysis import compare_cca_weights, cross_project_cca
from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.config import Settings
from iblnm.data import PhotometrySessionGroup
from iblnm.errors import DataError
from iblnm.schemas import PERFORMANCE


@pytest.fixture(scope="module")
def tables():
    magnitudes, _ = simulate_magnitudes(
        targets=("DR-5HT", "VTA-DA"), n_subjects=6, sessions_per_subject=2, n_trials=150, seed=3
    )
    magnitudes = RESPONSE_MAGNITUDES.conform(magnitudes)
    first = magnitudes.drop_duplicates(["eid", "fiber_idx"])
    sessions = pd.DataFrame(
        {
            "eid": first["eid"],
            "subject": first["subject"],
            "session_type": "biased",
            "NM": first["NM"],
            "brain_region": [[r] for r in first["brain_region"]],
            "hemisphere": [[h] for h in first["hemisphere"]],
            "target_NM": [[t] for t in first["target_NM"]],
        }
    ).reset_index(drop=True)
    rng = np.random.default_rng(0)
    n = len(sessions)
    performance = sessions[["eid"]].assign(
        n_trials=150,
        psych_50_bias=rng.normal(0, 5, n),
        psych_50_threshold=rng.normal(20, 3, n),
        psych_50_lapse_left=rng.uniform(0, 0.2, n),
        psych_50_lapse_right=rng.uniform(0, 0.2, n),
    )
    return sessions, magnitudes, PERFORMANCE.conform(performance)


@pytest.fixture
def group(tables, tmp_path):
    sessions, magnitudes, performance = tables
    group = PhotometrySessionGroup(sessions, one=object(), settings=Settings(root=tmp_path))
    group.response_magnitudes = magnitudes
    group.performance = performance
    return group


def test_results_start_empty(group):
    for name in ("glm_response_features", "cca_result", "cohort_cca_results", "glm_pca_result"):
        assert getattr(group, name) is None
    with pytest.raises(DataError, match=r"call fit_cohort_cca\(\) first"):
        group.cross_project_cca()


def test_features_by_recording(group):
    plain = group.get_glm_response_features("feedback_times")
    assert plain.shape == (24, 7) and plain is group.glm_response_features
    assert plain.index.names == ["eid", "target_NM", "fiber_idx"]
    weighted = group.get_glm_response_features("feedback_times", weight_by_se=True)
    assert weighted["reward"].abs().mean() > 3 * plain["reward"].abs().mean()
    behavior = group.get_psychometric_features(params=["psych_50_threshold"])
    assert behavior.index.equals(weighted.index)


def test_performance_is_read_from_a_path(group, tables, tmp_path):
    path = tmp_path / "performance.pqt"
    tables[2].assign(psych_50_threshold=33.0).to_parquet(path)
    assert (group.get_psychometric_features(path)["psych_50_threshold"] == 33).all()


def test_behavior_keeps_the_names_of_its_table_and_is_relative_to_the_fiber(group, tables):
    found = group.get_psychometric_features()
    assert found.columns.tolist() == [
        "psych_50_threshold", "psych_50_bias", "psych_50_lapse_contra", "psych_50_lapse_ipsi",
    ]  # fmt: skip
    fits = tables[2].set_index("eid")
    sides = tables[0].set_index("eid")["hemisphere"].str[0]
    for (eid, *_), row in found.iterrows():
        left = sides[eid] == "l"
        assert row["psych_50_bias"] == fits.loc[eid, "psych_50_bias"] * (1 if left else -1)
        contra = "psych_50_lapse_right" if left else "psych_50_lapse_left"
        assert row["psych_50_lapse_contra"] == fits.loc[eid, contra]
    assert set(sides) == {"l", "r"}
    group.response_features = pd.DataFrame(
        {"a": 1.0}, index=pd.MultiIndex.from_tuples([("x", "DR-5HT")], names=["eid", "target_NM"])
    )
    own = group.get_psychometric_features(params=["n_trials", "psych_50_bias"])
    assert own.index.equals(group.response_features.index) and own.isna().all(axis=None)
    with pytest.raises(KeyError, match="psych_20_bias"):
        group.performance = tables[2].drop(columns="psych_20_bias")
        group.get_psychometric_features(params=["psych_20_bias"])


def test_components(group):
    pca = group.pca_glm_coefficients(n_components=2)
    ica = group.ica_glm_coefficients(n_components=2, seed=1)
    assert pca is group.glm_pca_result and ica is group.glm_ica_result
    assert pca.scores.shape == ica.scores.shape == (24, 2)
    assert set(pca.subjects) == set(group.recordings["subject"])


def test_canonical_correlation_of_all_recordings_and_of_targets(group):
    group.get_response_features(min_trials=1, nan_handling=None)
    group.response_features = group.response_features.dropna(axis=1).iloc[:, :5]
    everything = group.fit_cca(n_permutations=19)
    assert everything.n_recordings == 24 and everything.n_components == 4
    assert everything.x_weights.index.tolist() == group.response_features.columns.tolist()
    assert everything.y_weights.columns.tolist() == ["CC1", "CC2", "CC3", "CC4"]
    fitted = group.fit_cohort_cca(n_permutations=19)
    assert list(fitted) == ["DR-5HT", "VTA-DA"]
    assert fitted["DR-5HT"].n_sessions == 12
    x, y = group.cohort_cca_data["DR-5HT"]
    assert x.shape == (12, 6) and y.shape == (12, 4)
    assert isinstance(x, np.ndarray)
    np.testing.assert_allclose(
        [x.mean(axis=0), x.std(axis=0, ddof=1)], [[0] * 6, [1] * 6], atol=1e-9
    )
    own = cross_project_cca(x, y, fitted["DR-5HT"])
    assert own == pytest.approx(fitted["DR-5HT"].correlation)
    cross = group.cross_project_cca()
    assert cross.iloc[:, :2].to_numpy().tolist() == [["DR-5HT", "VTA-DA"], ["VTA-DA", "DR-5HT"]]
    across = cross_project_cca(x, y, fitted["VTA-DA"])
    assert cross["correlation"][0] == pytest.approx(across)
    similar = group.compare_cca_weights()
    assert similar.columns.tolist() == [
        "cohort_a", "cohort_b", "neural_cosine", "behavioral_cosine",
    ]  # fmt: skip
    both = compare_cca_weights(fitted["DR-5HT"], fitted["VTA-DA"])
    assert similar.iloc[0].to_dict() == {"cohort_a": "DR-5HT", "cohort_b": "VTA-DA", **both}
    with pytest.raises(DataError, match="no result for LC-NE; fitted are DR-5HT, VTA-DA"):
        group.cross_project_cca(["LC-NE"])


def test_variants_of_the_canonical_correlation(group):
    with_intercept = group.fit_cohort_cca(0, exclude_intercept=False)
    assert "intercept" in with_intercept["DR-5HT"].x_weights.index
    sparse = group.fit_cohort_cca(9, sparse=True)
    assert sparse["DR-5HT"].alpha in group.settings.encoding.penalties
    fixed = group.fit_cohort_cca(9, sparse=True, alpha=0.01)
    assert fixed["DR-5HT"].alpha == 0.01
    with pytest.raises(ValueError, match="12 complete recordings; 13 are needed"):
        group.fit_cohort_cca(0, min_recordings=13)


def test_a_filter_forgets_the_results(group):
    group.fit_cohort_cca(0)
    group.filter(group.recordings["target_NM"] == "DR-5HT")
    assert group.cohort_cca_results is None and group.glm_response_features is None
    assert group.get_glm_response_features().shape == (12, 7)
