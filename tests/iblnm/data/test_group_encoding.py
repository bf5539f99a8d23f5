"""Methods of a group for regression, components and canonical correlation."""

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import simulate_magnitudes

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
    behavior = group.get_psychometric_features(params=["threshold"])
    assert behavior.index.sort_values().equals(plain.index)


def test_performance_is_read_from_a_path(group, tables, tmp_path):
    path = tmp_path / "performance.pqt"
    tables[2].assign(psych_50_threshold=33.0).to_parquet(path)
    assert (group.get_psychometric_features(path)["threshold"] == 33).all()


def test_components(group):
    pca = group.pca_glm_coefficients(n_components=2)
    ica = group.ica_glm_coefficients(n_components=2, seed=1)
    assert pca is group.glm_pca_result and ica is group.glm_ica_result
    assert pca.scores.shape == ica.scores.shape == (24, 2)
    assert set(pca.subjects) == set(group.recordings["subject"])


def test_canonical_correlation_of_all_recordings_and_of_targets(group):
    everything = group.fit_cca(n_permutations=19)
    assert everything.n_recordings == 24 and everything.n_components == 4
    assert "intercept" not in everything.x_weights.index
    fitted = group.fit_cohort_cca(n_permutations=19)
    assert list(fitted) == ["DR-5HT", "VTA-DA"]
    assert fitted["DR-5HT"].n_sessions == 12
    x, y = group.cohort_cca_data["DR-5HT"]
    assert x.shape == (12, 6) and y.shape == (12, 4)
    cross = group.cross_project_cca()
    assert cross.loc["DR-5HT", "DR-5HT"] == pytest.approx(fitted["DR-5HT"].correlation)
    similar = group.compare_cca_weights(["VTA-DA"])
    assert similar["x"].shape == (1, 1)
    with pytest.raises(DataError, match="no result for LC-NE; fitted are DR-5HT, VTA-DA"):
        group.cross_project_cca(["LC-NE"])


def test_variants_of_the_canonical_correlation(group):
    with_intercept = group.fit_cohort_cca(0, exclude_intercept=False)
    assert "intercept" in with_intercept["DR-5HT"].x_weights.index
    sparse = group.fit_cohort_cca(9, sparse=True)
    assert sparse["DR-5HT"].penalty in group.settings.encoding.penalties
    fixed = group.fit_cohort_cca(9, sparse=True, alpha=0.01)
    assert fixed["DR-5HT"].penalty == 0.01
    assert group.fit_cohort_cca(0, min_recordings=13) == {}


def test_a_filter_forgets_the_results(group):
    group.fit_cohort_cca(0)
    group.filter(group.recordings["target_NM"] == "DR-5HT")
    assert group.cohort_cca_results is None and group.glm_response_features is None
    assert group.get_glm_response_features().shape == (12, 7)
