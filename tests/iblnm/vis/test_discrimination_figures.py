"""Similarity and decoding: cells, orders and bars are those of the tables."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.decoding.figures import (
    confusion_figure,
    contributions_figure,
    decoder_coefficients_figure,
    decoding_null_figure,
)
from iblnm.analysis.similarity.figures import (
    similarity_matrix_figure,
    target_similarity_figure,
)
from iblnm.config import Settings

SETTINGS = Settings(_env_file=None)

LABELS = ["LC-NE", "VTA-DA", "LC-NE", "VTA-DA"]


@pytest.fixture
def similarity():
    index = pd.MultiIndex.from_arrays(
        [list("abcd"), LABELS, [0] * 4, ["m1", "m2", "m1", "m3"]],
        names=["eid", "target_NM", "fiber_idx", "subject"],
    )
    values = np.array(
        [[1, 0.1, 0.9, -0.2], [0.1, 1, 0.3, 0.5], [0.9, 0.3, 1, 0.0], [-0.2, 0.5, 0.0, 1]]
    )
    return pd.DataFrame(values, index=index, columns=index)


@pytest.fixture
def pairs(similarity):
    subjects = similarity.index.get_level_values("subject")
    return pd.DataFrame(
        [
            {
                **{f"eid_{k}": "abcd"[n] for k, n in (("i", i), ("j", j))},
                **{f"fiber_idx_{k}": 0 for k in "ij"},
                **{f"subject_{k}": subjects[n] for k, n in (("i", i), ("j", j))},
                "target_i": LABELS[i],
                "target_j": LABELS[j],
                "comparison": "within" if LABELS[i] == LABELS[j] else "between",
                "same_subject": subjects[i] == subjects[j],
                "similarity": similarity.iloc[i, j],
            }
            for i in range(4)
            for j in range(i + 1, 4)
        ]
    )


def test_matrix_is_grouped_by_target_in_the_order_of_the_settings(similarity, reason):
    figure = similarity_matrix_figure(similarity, counts={"trials": 50}, settings=SETTINGS)
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    order = [1, 3, 0, 2]
    np.testing.assert_allclose(drawn, similarity.to_numpy()[np.ix_(order, order)])
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names == ["VTA-DA (2)", "LC-NE (2)"]
    assert "n = 3 mice, 4 sessions, 4 recordings, 50 trials" in figure.get_suptitle()
    assert figure.axes[1].get_ylabel() == "Cosine similarity"
    assert "no recording" in reason(
        similarity_matrix_figure(similarity.iloc[:0, :0], settings=SETTINGS)
    )
    assert similarity_matrix_figure(similarity.iloc[:1, :1], settings=SETTINGS).axes


def test_a_table_of_the_stage_is_drawn_like_the_matrix(similarity):
    wide = similarity.reset_index().set_axis(
        ["eid", "target_NM", "fiber_idx", "subject", "a_0", "b_0", "c_0", "d_0"], axis=1
    )
    drawn = [
        np.asarray(
            similarity_matrix_figure(table, settings=SETTINGS).axes[0].images[0].get_array()
        )
        for table in (similarity, wide)
    ]
    np.testing.assert_allclose(*drawn)


def test_summary_has_cells_distributions_and_the_contrast(pairs, reason):
    means = pd.DataFrame(
        {
            "target_i": ["LC-NE", "LC-NE", "VTA-DA", "VTA-DA"],
            "target_j": ["LC-NE", "VTA-DA"] * 2,
            "similarity": [0.9, -0.001, -0.001, 0.5],
            "similarity_other_subjects": [np.nan, 0.05, 0.05, 0.5],
        }
    )
    contrasts = pd.DataFrame(
        {"target_NM": ["LC-NE", "all"], "difference": [0.1, 0.45], "low": [0, 0.2]}
    ).assign(high=0.6, p=0.013)
    figure = target_similarity_figure(
        means, pairs, contrasts, counts={"trials": 50}, settings=SETTINGS
    )
    others, every, histogram = figure.axes[:3]
    assert [text.get_text() for text in others.texts] == ["0.50", "0.05", "0.05", ""]
    assert [text.get_text() for text in every.texts] == ["0.50", "0.00", "0.00", "0.90"]
    labels = [text.get_text() for text in histogram.get_legend().get_texts()]
    assert labels == [
        "within, other animal (1)",
        "within, same animal (1)",
        "between, other animal (4)",
    ]
    title = figure.get_suptitle()
    assert "n = 3 mice, 4 sessions, 4 recordings, 50 trials" in title
    assert "within − between 0.45 (0.20 to 0.60), p = 0.013" in title
    assert "is empty" in reason(
        target_similarity_figure(means.head(0), pairs.head(0), settings=SETTINGS)
    )
    assert target_similarity_figure(means.head(1), pairs.head(1), settings=SETTINGS).axes


@pytest.fixture
def predictions():
    return pd.DataFrame(
        {
            "eid": list("abcde"),
            "fiber_idx": 0,
            "subject": ["m1", "m1", "m2", "m3", "m4"],
            "target_NM": ["LC-NE"] * 3 + ["VTA-DA"] * 2,
            "predicted": ["LC-NE", "VTA-DA", "LC-NE", "VTA-DA", None],
        }
    )


def test_confusion_is_in_percent_of_the_true_target_without_missing_predictions(
    predictions, reason
):
    accuracy = pd.DataFrame(
        {"measure": ["accuracy", "balanced_accuracy"], "value": [0.5, 0.833], "p": [np.nan, 0.002]}
    ).assign(low=0.6, high=0.95)
    figure = confusion_figure(predictions, accuracy, counts={"trials": 9}, settings=SETTINGS)
    ax = figure.axes[0]
    np.testing.assert_allclose(
        np.asarray(ax.images[0].get_array()), [[100, 0], [100 / 3, 200 / 3]]
    )
    assert [t.get_text() for t in ax.texts] == ["100\n(1)", "0\n(0)", "33\n(1)", "67\n(2)"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["VTA-DA", "LC-NE"]
    title = figure.get_suptitle().replace("\n", " ")
    assert "n = 4 mice, 5 sessions, 5 recordings, 9 trials" in title
    assert (
        "1 without prediction; chance 50 %; balanced accuracy 83 % (60 to 95 %), p = 0.002"
        in title
    )
    predictions["predicted"] = None
    assert "none of 5 recordings has a prediction" in reason(
        confusion_figure(predictions, settings=SETTINGS)
    )
    assert "is empty" in reason(confusion_figure(predictions.head(0), settings=SETTINGS))


def test_coefficients_are_ordered_by_condition(reason):
    table = pd.DataFrame(
        {
            "target_NM": ["LC-NE", "LC-NE", "VTA-DA", "VTA-DA"],
            "feature": ["feedback_c0_ipsi_correct", "stimOn_c100_contra_correct"] * 2,
            "coefficient": [1.0, -2.0, 0.0, 4.0],
        }
    )
    figure = decoder_coefficients_figure(table, counts={"subjects": 2}, settings=SETTINGS)
    image = figure.axes[0].images[0]
    np.testing.assert_allclose(np.asarray(image.get_array()), [[4, 0], [-2, 1]])
    assert image.get_clim() == (-4, 4)
    names = [t.get_text() for t in figure.axes[0].get_xticklabels()]
    assert names == ["stimOn c100 contra correct", "feedback c0 ipsi correct"]
    assert "n = 2 mice" in figure.get_suptitle()
    table["coefficient"] = np.nan
    assert "no coefficients" in reason(decoder_coefficients_figure(table, settings=SETTINGS))


def test_contributions_are_sorted_with_their_intervals(reason):
    table = pd.DataFrame(
        {"feature": ["a_b", "c"], "contribution": [0.01, 0.1], "low": [0.0, 0.05], "high": 0.2}
    )
    figure = contributions_figure(table)
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["c", "a b"]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [10, 1])
    ends = [segment[:, 0] for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(ends, [[5, 20], [0, 20]])
    assert "percentage points" in ax.get_xlabel()
    # beside the end of the interval, so that it covers none
    assert [(t.get_text(), t.xy[0]) for t in ax.texts] == [("10.0", 20), ("1.0", 20)]
    assert "no loss" not in figure.get_suptitle()
    assert "is empty" in reason(contributions_figure(table.head(0)))


def test_contributions_of_zero_are_explained():
    values = {"feature": list("abcd"), "contribution": [0.0, 0.02, 0.3 - 0.1 - 0.2, -0.0004]}
    figure = contributions_figure(pd.DataFrame(values))
    assert [t.get_text() for t in figure.axes[0].texts] == ["2.0", "0", "0", "-0.04"]
    title = figure.get_suptitle().replace("\n", " ")
    assert "0: no loss without it, the others suffice (2 of 4)" in title


def test_null_shows_the_observed_value(reason):
    null = pd.DataFrame({"balanced_accuracy": np.linspace(0.1, 0.4, 99)})
    null = null.assign(observed=0.7, p=0.01)
    figure = decoding_null_figure(null)
    (ax,) = figure.axes
    assert sum(bar.get_height() for bar in ax.patches) == 99
    assert ax.lines[0].get_xdata()[0] == pytest.approx(70)
    assert "99 permutations of whole animals; p = 0.01" in figure.get_suptitle().replace("\n", " ")
    assert "is empty" in reason(decoding_null_figure(null.head(0)))
