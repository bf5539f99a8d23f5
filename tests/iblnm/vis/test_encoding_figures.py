"""Encoding models, components and canonical correlation as in their tables."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.encoding.cca_figures import (
    cca_counts,
    cca_projections_figure,
    cca_targets_figure,
    cca_weights_figure,
)
from iblnm.analysis.encoding.figures import components_figure, glm_coefficients_figure
from iblnm.config import Settings

SETTINGS = Settings(_env_file=None)

STIMULUS = {"event": "stimOn_times"}


@pytest.fixture
def coefficients():
    rows = [
        {
            "eid": f"{subject}{i}",
            "subject": subject,
            "target_NM": target,
            "fiber_idx": 0,
            "event": event,
            "term": term,
            "estimate": level + i + (event == "feedback_times"),
            "n_trials": 200,
        }
        for subject, target, level in (
            ("a", "LC-NE", 1.0),
            ("b", "LC-NE", 3.0),
            ("c", "DR-5HT", 5.0),
        )
        for i in range(2)
        for event in ("stimOn_times", "feedback_times")
        for term in ("intercept", "contrast", "contrast:side")
    ]
    return pd.DataFrame(rows)


def test_points_are_animals_and_bars_their_mean_and_sem(coefficients, reason):
    figure = glm_coefficients_figure(coefficients, settings=SETTINGS)
    assert "n = 3 mice, 6 sessions, 6 recordings, 1,200 trials" in figure.get_suptitle()
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["contrast", "contrast × side", "", ""]
    ax = figure.axes[2]
    points = {line.get_label(): np.sort(line.get_ydata()) for line in ax.lines}
    # each animal is the mean of its two recordings
    np.testing.assert_allclose(points["LC-NE"], [2.5, 4.5])
    bar = next(c for c in ax.containers if c.get_label() == "_LC-NE")
    np.testing.assert_allclose(bar.lines[2][0].get_segments()[0][:, 1], [2.5, 4.5])
    assert ax.get_ylabel() == "At feedback\nCoefficient (z per coded unit)"
    unfitted = coefficients.assign(estimate=np.nan)
    assert "none of 36 rows" in reason(glm_coefficients_figure(unfitted, settings=SETTINGS))
    assert "is empty" in reason(glm_coefficients_figure(coefficients.head(0), settings=SETTINGS))
    assert glm_coefficients_figure(
        coefficients[coefficients["subject"] == "c"], settings=SETTINGS
    ).axes


def test_components_show_loadings_and_scores_of_animals(coefficients, reason):
    own = coefficients[coefficients["event"] == "stimOn_times"]
    own = own[own["term"] == "contrast"]
    scores = pd.concat(
        [
            own.assign(method="pca", component=c, score=own["estimate"] * k)
            for c, k in (("PC1", 1), ("PC2", -1))
        ]
    )
    loadings = pd.DataFrame(
        {
            **STIMULUS,
            "method": "pca",
            "component": ["PC1", "PC1", "PC2", "PC2"],
            "term": ["contrast", "contrast:side"] * 2,
            "loading": [0.6, 0.8, 0.8, -0.6],
            "explained_variance_ratio": [0.75, 0.75, 0.2, 0.2],
        }
    )
    tests = pd.DataFrame(
        {**STIMULUS, "method": "pca", "component": ["PC1"], "test": "kruskal_wallis"}
    ).assign(p_corrected=0.012)
    figure = components_figure(scores, loadings, tests, counts={"trials": 1200}, settings=SETTINGS)
    upper, second, lower, _ = figure.axes
    assert upper.get_title(loc="left") == "PC1 (75 % of variance)"
    assert [bar.get_width() for bar in second.patches] == [0.8, -0.6]
    assert [t.get_text() for t in upper.get_yticklabels()] == ["contrast", "contrast × side"]
    points = {line.get_label(): np.sort(line.get_ydata()) for line in lower.lines}
    np.testing.assert_allclose(points["LC-NE"], [1.5, 3.5])
    assert lower.get_title(loc="left") == "Kruskal–Wallis p = 0.012"
    assert "n = 3 mice, 6 sessions, 6 recordings, 1,200 trials" in figure.get_suptitle()
    assert "is empty" in reason(
        components_figure(scores, loadings, method="ica", settings=SETTINGS)
    )


@pytest.fixture
def projections():
    table = pd.DataFrame(
        {
            **STIMULUS,
            "variant": ["plain"] * 4 + ["elastic_net"],
            "eid": ["a0", "a1", "b0", "c0", "c0"],
            "subject": ["a", "a", "b", "c", "c"],
            "target_NM": ["LC-NE"] * 3 + ["DR-5HT"] * 2,
            "fiber_idx": 0,
            "encoding_score": [1.0, 2.0, 3.0, 4.0, 0.0],
            "behaviour_score": [1.5, 2.5, 2.0, 0.5, 0.0],
        }
    )
    return table


def test_counts_are_those_of_the_recordings_in_the_pair(projections, coefficients):
    counts = cca_counts(projections, coefficients)
    assert counts == {"sessions": 4, "recordings": 4, "subjects": 3, "trials": 800}
    assert cca_counts(projections, coefficients, variant="elastic_net")["sessions"] == 1


def test_projections_are_scores_with_correlation_and_p(projections, reason):
    results = pd.DataFrame(
        {**STIMULUS, "variant": "plain", "target_NM": ["LC-NE"], "correlation": 0.5}
    ).assign(p_corrected=0.02)
    figure = cca_projections_figure(
        projections, results, counts={"trials": 800}, settings=SETTINGS
    )
    first, second = figure.axes
    line = next(line for line in second.lines if line.get_label() == "LC-NE")
    np.testing.assert_allclose(line.get_xydata(), [[1, 1.5], [2, 2.5], [3, 2]])
    assert second.texts[0].get_text() == "n = 3\nin-sample r = 0.50, p = 0.02"
    results = results.assign(correlation_held_out=-0.1, p_within_subject_corrected=0.4)
    assert "within animals" not in figure.get_suptitle()
    figure = cca_projections_figure(
        projections, results, counts={"trials": 800}, settings=SETTINGS
    )
    assert "permutations within animals" in figure.get_suptitle().replace("\n", " ")
    ax = figure.axes[1]
    assert ax.texts[0].get_text().splitlines() == [
        "held-out r = -0.10, n = 3",
        "p = 0.4 within animals",
        "in-sample r = 0.50, p = 0.02",
    ]
    # the text stands above the points
    assert ax.get_ylim()[1] > 2.5 + 0.4 * (2.5 - 1.5)
    assert first.texts[0].get_text() == "n = 1"
    assert "n = 3 mice, 4 sessions, 4 recordings, 800 trials" in figure.get_suptitle()
    assert figure.get_supxlabel() == "Encoding score (s.d.)"
    assert "is empty" in reason(cca_projections_figure(projections.head(0), settings=SETTINGS))
    plain = projections[projections["variant"] == "plain"]
    assert "with elastic net" in reason(
        cca_projections_figure(plain, variant="elastic_net", settings=SETTINGS)
    )


@pytest.fixture
def unidentified():
    """Results in which LC-NE has a correlation of 1 whatever the data."""
    return pd.DataFrame(
        {
            **STIMULUS,
            "variant": "plain",
            "target_NM": ["LC-NE", "DR-5HT"],
            "correlation": [1.0, 0.998],
            "correlation_held_out": [0.3, 0.4],
            "null_median": [1.0, 0.99],
        }
    )


def test_a_correlation_of_one_by_construction_is_not_drawn(projections, unidentified, reason):
    figure = cca_projections_figure(projections, unidentified, settings=SETTINGS)
    first, second = figure.axes
    assert second.texts[0].get_text() == "not identified:\n3 recordings ≤ features"
    assert first.texts[0].get_text() == "held-out r = 0.40, n = 1\nin-sample r = 1.00"
    assert len(first.lines) == 1
    assert not second.lines
    # numbers are those of the points that are there
    assert "n = 1 mouse, 1 session, 1 recording" in figure.get_suptitle()
    only = projections[projections["target_NM"] == "LC-NE"]
    said = reason(cca_projections_figure(only, unidentified, settings=SETTINGS))
    assert "canonical scores not identified, recordings ≤ features: LC-NE" in said


def test_what_is_not_identified_is_not_counted(projections, coefficients, unidentified):
    counts = cca_counts(projections, coefficients, unidentified)
    assert counts == {"sessions": 1, "recordings": 1, "subjects": 1, "trials": 200}


def test_weights_that_are_not_identified_set_no_scale(unidentified):
    table = pd.DataFrame(
        {
            **STIMULUS,
            "variant": "plain",
            "target_NM": ["LC-NE", "DR-5HT"] * 2,
            "view": ["encoding"] * 2 + ["behavior"] * 2,
            "feature": "contrast",
            "weight": [12.0, 0.4, -9.0, 0.2],
        }
    )
    figure = cca_weights_figure(table, unidentified, settings=SETTINGS)
    for ax in figure.axes:
        assert [line.get_label() for line in ax.lines if line.get_label()[0] != "_"] == ["DR-5HT"]
        assert max(abs(end) for end in ax.get_xlim()) < 0.5
    title = figure.get_suptitle().replace("\n", " ")
    assert "left out: LC-NE at stimulus onset" in title


def test_cells_of_weights_that_are_not_identified_are_empty(unidentified):
    names = ["DR-5HT", "LC-NE"]
    base = {**STIMULUS, "variant": "plain"}
    cross = pd.DataFrame(
        {**base, "data_target": np.repeat(names, 2), "weights_target": names * 2}
    ).assign(correlation=[0.8, 0.2, 0.1, 1.0])
    similarities = pd.DataFrame(
        {**base, "view": "encoding", "target_a": np.repeat(names, 2), "target_b": names * 2}
    ).assign(cosine=[1.0, 0.5, 0.5, 1.0])
    figure = cca_targets_figure(cross, similarities, unidentified, settings=SETTINGS)
    nan = np.nan
    squares = [np.ma.filled(ax.images[0].get_array(), nan) for ax in figure.axes[:2]]
    np.testing.assert_array_equal(squares[0], [[0.8, nan], [0.1, nan]])
    np.testing.assert_array_equal(squares[1], [[1.0, nan], [nan, nan]])
    assert "gray: not identified" in figure.get_suptitle().replace("\n", " ")


def test_weights_stand_in_the_row_of_their_feature(reason):
    table = pd.DataFrame(
        {
            **STIMULUS,
            "variant": "plain",
            "target_NM": ["LC-NE"] * 3,
            "view": ["encoding", "encoding", "behavior"],
            "feature": ["contrast", "side", "lapse_contra"],
            "weight": [0.3, -0.4, 0.9],
        }
    )
    figure = cca_weights_figure(table, counts={"subjects": 4}, settings=SETTINGS)
    encoding, behavior = figure.axes
    line = next(line for line in encoding.lines if line.get_label() == "LC-NE")
    np.testing.assert_allclose(line.get_xydata(), [[0.3, 0], [-0.4, 1]])
    assert [t.get_text() for t in behavior.get_yticklabels()] == ["lapse contra"]
    assert "n = 4 mice" in figure.get_suptitle()
    assert "is empty" in reason(cca_weights_figure(table.head(0), settings=SETTINGS))


def test_targets_are_compared_in_squares(reason):
    names = ["LC-NE", "DR-5HT"]
    cross = pd.DataFrame(
        {
            **STIMULUS,
            "variant": "plain",
            "data_target": np.repeat(names, 2),
            "weights_target": names * 2,
            "correlation": [0.9, 0.1, 0.2, 0.8],
        }
    )
    similarities = pd.DataFrame(
        {
            **STIMULUS,
            "variant": "plain",
            "view": ["encoding"] * 4 + ["behavior"] * 4,
            "target_a": np.repeat([*names, *names], 2),
            "target_b": names * 4,
            "cosine": [1, 0.5, 0.5, 1, 1, -0.5, -0.5, 1],
        }
    )
    figure = cca_targets_figure(cross, similarities, settings=SETTINGS)
    squares = [np.asarray(ax.images[0].get_array()) for ax in figure.axes[:3]]
    # rows: recordings of, columns: weights of, in the order of the settings
    np.testing.assert_allclose(squares[0], [[0.8, 0.2], [0.1, 0.9]])
    np.testing.assert_allclose(squares[1], [[1, 0.5], [0.5, 1]])
    np.testing.assert_allclose(squares[2], [[1, -0.5], [-0.5, 1]])
    assert "is empty" in reason(cca_targets_figure(cross.head(0), similarities, settings=SETTINGS))
