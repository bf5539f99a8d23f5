"""Distributions of quality metrics and of the videos' verdicts are those of the tables."""

import numpy as np
import pandas as pd
import pytest

from iblnm.schemas import VIDEO
from iblnm.vis.quality import (
    METRICS,
    is_logarithmic,
    qc_histograms_figure,
    qc_recordings,
    qc_violins_figure,
)
from iblnm.vis.quality_trends import (
    monthly_medians,
    qc_components_figure,
    qc_trend_figure,
    quality_components,
)
from iblnm.vis.video import verdict_counts, video_figure

FIGURES = (qc_histograms_figure, qc_violins_figure, qc_trend_figure, qc_components_figure)


@pytest.fixture(scope="module")
def table(quality, sessions):
    performance = pd.DataFrame({"eid": sessions["eid"], "n_trials": 100})
    return qc_recordings(quality, sessions, performance)


def test_recordings_get_target_of_their_fibre(quality, sessions):
    two = sessions.copy()
    two["target_NM"] = [["LC-NE", "SI-ACh"], *two["target_NM"][1:]]
    fibres = quality.copy()
    fibres.loc[0, "fiber_idx"] = 1
    fibres.loc[1, "eid"] = "not listed"
    found = qc_recordings(fibres, two)
    assert found.loc[0, "target_NM"] == "SI-ACh"
    assert found.loc[1, "target_NM"] == "unknown"
    assert found.loc[2, "target_NM"] == "VTA-DA"


@pytest.mark.parametrize("draw", FIGURES)
def test_every_figure_tells_animals_sessions_and_trials(draw, table):
    title = draw(table).get_suptitle()
    assert "n = 4 mice, 12 sessions, 12 recordings, 1,200 trials" in title


@pytest.mark.parametrize("draw", FIGURES)
def test_nothing_and_one_animal_are_no_crash(draw, table):
    assert "no data" in draw(table.head(0)).texts[-1].get_text()
    assert draw(table[table["subject"] == "mouse0"]).get_suptitle()
    assert draw(table[table["eid"] == "session0"]).get_suptitle()


def test_histograms_hold_every_value_of_their_band(table):
    figure = qc_histograms_figure(table)
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert labels[0] == "n unique samples (fraction)"
    assert "bleaching tau (s)" in labels
    ax = figure.axes[labels.index("median absolute deviance (a.u.)")]
    assert ax.get_xscale() == "log"
    for patch in ax.patches:
        # a step outline: the area between neighbouring corners
        heights = patch.get_xy()[1:-1:2, 1]
        assert heights.sum() == 12


def test_only_wide_ranges_are_logarithmic(table):
    chosen = [metric for metric in METRICS if is_logarithmic(table[metric], metric)]
    assert chosen == ["median_absolute_deviance"]
    assert not is_logarithmic(pd.Series([0.0, np.nan]), "bleaching_tau")


def test_violins_show_each_recording_and_the_median(table):
    figure = qc_violins_figure(table)
    ax = next(ax for ax in figure.axes if ax.get_ylabel() == "ar score (R²)")
    signal = table[(table["band"] == "GCaMP") & (table["target_NM"] == "LC-NE")]
    points = next(line for line in ax.lines if line.get_label() == "LC-NE")
    np.testing.assert_allclose(np.sort(points.get_ydata()), np.sort(signal["ar_score"]))
    medians = [line.get_ydata()[0] for line in ax.lines if line.get_color() == "k"]
    assert signal["ar_score"].median() in medians
    assert [tick.get_text() for tick in figure.axes[-1].get_xticklabels()] == ["VTA-DA", "LC-NE"]


def test_trend_line_breaks_where_months_are_missing(table):
    moved = table.copy()
    last = moved["eid"] == "session11"
    moved.loc[last, "start_time"] = pd.Timestamp("2024-06-20")
    medians = monthly_medians(moved[moved["band"] == "GCaMP"], "ar_score")
    assert medians.index.month.tolist() == [1, 2, 3, 4, 5, 6]
    assert medians.isna().tolist() == [False, False, False, True, True, False]
    figure = qc_trend_figure(moved)
    ax = next(ax for ax in figure.axes if ax.get_ylabel() == "ar score (R²)")
    line = next(line for line in ax.lines if line.get_label() == "monthly median")
    np.testing.assert_allclose(line.get_ydata(), medians)


def test_components_are_those_of_the_correlation_matrix(table):
    signal = table[table["band"] == "GCaMP"]
    scores, loadings, ratio = quality_components(signal)
    used = signal[loadings.index].astype(float)
    used["median_absolute_deviance"] = np.log10(used["median_absolute_deviance"])
    values = np.linalg.eigvalsh(used.corr())[::-1]
    np.testing.assert_allclose(ratio, values[:2] / values.sum())
    assert "n_early_samples" not in loadings.index
    figure = qc_components_figure(table)
    drawn = np.concatenate(
        [
            line.get_xdata()
            for line in figure.axes[0].lines
            if line.get_label() in {"VTA-DA", "LC-NE"}
        ]
    )
    np.testing.assert_allclose(np.sort(drawn), np.sort(scores["PC1"]))


def test_too_few_recordings_for_components_name_the_limit(table):
    figure = qc_components_figure(table[table["eid"].isin(["session0", "session1"])])
    assert "3 recordings and 2 metrics are needed" in figure.texts[-1].get_text().replace(
        "\n", " "
    )


@pytest.fixture
def video():
    n = 6
    return VIDEO.conform(
        pd.DataFrame(
            {
                "eid": [f"s{i}" for i in range(n)],
                "subject": ["A", "A", "B", "B", "C", "C"],
                "session_type": ["training", "biased", "biased", "ephys", None, "ephys"],
                "qc_timestamps": ["PASS", "PASS", "FAIL", None, "NOT SET", "WARNING"],
                "qc_focus": ["PASS"] * n,
                "length_discrepancy": [0.1, 0.2, 3600.0, -130.0, np.nan, 1.0],
                "framerate_from_tpts": [60.0, 60.0, 59.0, 60.0, np.nan, 150.0],
            }
        )
    )


def test_verdicts_are_counted_and_what_is_not_set_is_shown(video):
    table = verdict_counts(video)
    assert table.loc["timestamps"].tolist() == [2, 1, 0, 1, 2]
    assert table.loc["focus", "PASS"] == 6
    figure = video_figure(video, counts={"trials": 600})
    assert "n = 3 mice, 6 sessions, 600 trials" in figure.get_suptitle()
    bars = {c.get_label(): [bar.get_width() for bar in c] for c in figure.axes[0].containers}
    row = [text.get_text() for text in figure.axes[0].get_yticklabels()].index("timestamps")
    assert {name: widths[row] for name, widths in bars.items()} == {
        "PASS": 2,
        "WARNING": 1,
        "CRITICAL": 0,
        "FAIL": 1,
        "not set": 2,
    }
    lengths = {line.get_label(): list(line.get_ydata()) for line in figure.axes[1].lines}
    assert lengths["biased"] == [0.2, 3600.0]
    assert lengths["ephys"] == [-130.0, 1.0]
    assert "no data" in video_figure(video.head(0)).texts[-1].get_text()
    assert video_figure(video.tail(2).head(1)).axes
