"""Distributions of quality metrics and of the videos' verdicts are those of the tables."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.quality.figures import (
    is_logarithmic,
    qc_histograms_figure,
    qc_violins_figure,
    quality_counts,
)
from iblnm.analysis.quality.trend_figures import (
    qc_components_figure,
    qc_trend_figure,
    trend_counts,
)
from iblnm.analysis.quality.video_figures import verdict_counts, video_figure
from iblnm.config import Settings
from iblnm.schemas import VIDEO

SETTINGS = Settings(_env_file=None)

METRICS = {"ar_score": (0.5, 1.0), "median_absolute_deviance": (1e-5, 1e-2)}


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    rows = [
        {
            "eid": f"s{i}",
            "fiber_idx": 0,
            "band": band,
            "subject": f"m{i % 4}",
            "target_NM": (None, "VTA-DA", "LC-NE")[min(i, 1 + i % 2)],
            "metric": metric,
            "value": 10 ** rng.uniform(*np.log10(limits)),
        }
        for i in range(12)
        for band in ("GCaMP", "Isosbestic")
        for metric, limits in METRICS.items()
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def scores(values):
    own = values[values["metric"] == "ar_score"]
    parts = [own.assign(component=k, score=own["value"] * k) for k in (1, 2, 3)]
    return pd.concat(parts).drop(columns=["metric", "value"])


@pytest.fixture(scope="module")
def components():
    return pd.DataFrame(
        {
            "band": "GCaMP",
            "component": [1, 1, 2, 2],
            "metric": ["ar_score", "median_absolute_deviance"] * 2,
            "loading": [0.6, 0.8, 0.8, -0.6],
            "explained_variance_ratio": [0.7, 0.7, 0.3, 0.3],
            "n_recordings": 12,
        }
    )


@pytest.fixture(scope="module")
def trend():
    return pd.DataFrame(
        {
            "target_NM": "LC-NE",
            "band": "GCaMP",
            "metric": "ar_score",
            "month": ["2024-01", "2024-02", "2024-05"],
            "median": [0.5, 0.6, 0.8],
            "q25": [0.4, 0.5, 0.7],
            "q75": [0.6, 0.7, 0.9],
            "n_recordings": [3, 4, 5],
            "n_sessions": [3, 4, 5],
            "n_subjects": [1, 2, 2],
        }
    )


def test_counts_are_of_the_signal_band_and_its_sessions(values):
    performance = pd.DataFrame({"eid": [f"s{i}" for i in range(20)], "n_trials": 100})
    counts = quality_counts(values[values["eid"] != "s0"], performance)
    assert counts == {"subjects": 4, "sessions": 11, "recordings": 11, "trials": 1100}


@pytest.mark.slow
def test_histograms_hold_every_value_of_their_band(values):
    figure = qc_histograms_figure(values, counts={"trials": 1200}, settings=SETTINGS)
    assert "n = 4 mice, 12 sessions, 12 recordings, 1,200 trials" in figure.get_suptitle()
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert labels == ["ar score (R²)", "median absolute deviance (a.u.)"]
    assert [ax.get_xscale() for ax in figure.axes] == ["linear", "log"]
    assert figure.get_supylabel() == "Recordings (count)"
    for ax in figure.axes:
        for patch in ax.patches:
            # a step outline: every bin has two corners of its height
            assert patch.get_xy()[1:-1:2, 1].sum() == 12
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["GCaMP", "Isosbestic"]


def test_only_positive_metrics_of_wide_range_are_logarithmic(values):
    wide = values.loc[values["metric"] == "median_absolute_deviance", "value"]
    assert is_logarithmic(wide, "median_absolute_deviance")
    assert not is_logarithmic(wide, "ar_score")
    assert not is_logarithmic(pd.Series([0.0, np.nan]), "bleaching_tau")


@pytest.mark.slow
def test_violins_show_each_recording_and_the_median(values):
    figure = qc_violins_figure(values, settings=SETTINGS)
    ax = figure.axes[0]
    own = values[(values["band"] == "GCaMP") & (values["metric"] == "ar_score")]
    own = own[own["target_NM"] == "LC-NE"]["value"]
    points = next(line for line in ax.lines if line.get_label() == "LC-NE")
    np.testing.assert_allclose(np.sort(points.get_ydata()), np.sort(own))
    assert own.median() in [line.get_ydata()[0] for line in ax.lines if line.get_color() == "k"]
    ticks = [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
    assert ticks == ["VTA-DA", "LC-NE", "unknown"]


def test_trend_line_breaks_where_months_are_missing(trend):
    figure = qc_trend_figure(trend, settings=SETTINGS)
    line = next(line for line in figure.axes[0].lines if line.get_label() == "LC-NE")
    np.testing.assert_allclose(line.get_ydata(), [0.5, 0.6, np.nan, np.nan, 0.8])
    assert "n = 12 recordings" in figure.get_suptitle()
    assert figure.get_supxlabel() == "Month of recording"


def test_trend_counts_what_has_a_target_and_a_month(values):
    known = values["target_NM"].notna()
    assert 0 < known.sum() < len(values)
    values = values.assign(start_time="2024-01-05T10:00:00")
    performance = pd.DataFrame({"eid": values["eid"].unique()}).assign(n_trials=100)
    counts = trend_counts(values, performance)
    eids = values.loc[known & values["start_time"].notna(), "eid"].unique()
    assert counts["sessions"] == len(eids)
    assert counts["trials"] == 100 * len(eids)


@pytest.mark.slow
def test_months_without_recordings_take_no_room_and_are_marked(trend):
    ax = qc_trend_figure(trend, settings=SETTINGS).axes[0]
    line = next(line for line in ax.lines if line.get_label() == "LC-NE")
    np.testing.assert_allclose(line.get_xdata(), [0, 1, np.nan, np.nan, 2])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2024-01", "2024-02", "2024-05"]
    dotted = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert dotted == [1.5]
    title = qc_trend_figure(trend, settings=SETTINGS).get_suptitle().replace("\n", " ")
    assert "dotted: months left out" in title
    assert (
        "months left out" not in qc_trend_figure(trend.head(2), settings=SETTINGS).get_suptitle()
    )


@pytest.mark.slow
def test_small_values_are_drawn_in_a_power_of_ten(values):
    small = values[values["metric"] == "ar_score"].assign(metric="median_absolute_deviance")
    small = small.assign(value=3e-4 * small["value"])
    label = "median absolute deviance (10⁻⁴ a.u.)"
    ax = qc_histograms_figure(small, settings=SETTINGS).axes[0]
    assert ax.get_xlabel() == label
    edges = ax.patches[0].get_xy()[:, 0]
    own = 1e4 * small["value"]
    # the outline holds all values, with 2 % of their range to spare
    margin = 0.02 * (own.max() - own.min())
    assert (edges.min(), edges.max()) == pytest.approx((own.min() - margin, own.max() + margin))
    violins = qc_violins_figure(small, settings=SETTINGS).axes[0]
    assert violins.get_ylabel() == label.replace(" (", "\n(")
    points = next(line for line in violins.lines if line.get_label() == "LC-NE").get_ydata()
    chosen = small[(small["band"] == "GCaMP") & (small["target_NM"] == "LC-NE")]
    np.testing.assert_allclose(np.sort(points), np.sort(1e4 * chosen["value"]))
    texts = [tick.get_text() for tick in ax.get_xticklabels()]
    assert max(len(text) for text in texts) <= 4


@pytest.mark.slow
def test_components_are_drawn_as_they_are_given(scores, components):
    figure = qc_components_figure(scores, components, settings=SETTINGS)
    left, right = figure.axes
    drawn = {line.get_label(): line for line in left.lines}
    own = scores[(scores["band"] == "GCaMP") & (scores["target_NM"] == "LC-NE")]
    for component, read in ((1, "get_xdata"), (2, "get_ydata")):
        expected = own.loc[own["component"] == component, "score"]
        np.testing.assert_allclose(np.sort(getattr(drawn["LC-NE"], read)()), np.sort(expected))
    assert left.get_xlabel() == "PC1 (70 % of variance; s.d.)"
    widths = [bar.get_width() for bar in right.containers[1]]
    assert dict(zip(METRICS, widths, strict=True)) == {
        "ar_score": 0.8,
        "median_absolute_deviance": -0.6,
    }


@pytest.mark.slow
def test_nothing_and_one_recording_are_no_crash(values, scores, components, trend, reason):
    assert "is empty" in reason(qc_histograms_figure(values.head(0), settings=SETTINGS))
    assert "is empty" in reason(
        qc_violins_figure(values[values["band"] == "Isosbestic"], settings=SETTINGS)
    )
    assert "is empty" in reason(
        qc_components_figure(scores.head(0), components, settings=SETTINGS)
    )
    assert "is empty" in reason(qc_trend_figure(trend.head(0), settings=SETTINGS))
    for draw in (qc_histograms_figure, qc_violins_figure):
        assert "1 mouse" in draw(values[values["eid"] == "s1"], settings=SETTINGS).get_suptitle()
    assert qc_components_figure(scores[scores["eid"] == "s1"], components, settings=SETTINGS).axes
    assert qc_trend_figure(trend.head(1), settings=SETTINGS).axes


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


@pytest.mark.slow
def test_verdicts_are_counted_and_what_is_not_set_is_shown(video, reason):
    table = verdict_counts(video)
    assert table.loc["timestamps"].tolist() == [2, 1, 0, 1, 2]
    assert table.loc["focus", "PASS"] == 6
    figure = video_figure(video, counts={"trials": 600}, settings=SETTINGS)
    assert "n = 3 mice, 6 sessions\n" in figure.get_suptitle()
    bars = {c.get_label(): [bar.get_width() for bar in c] for c in figure.axes[0].containers}
    row = [text.get_text() for text in figure.axes[0].get_yticklabels()].index("timestamps")
    assert [widths[row] for widths in bars.values()] == [2, 1, 0, 1, 2]
    lengths = {line.get_label(): list(line.get_ydata()) for line in figure.axes[1].lines}
    assert lengths["biased"] == [0.2, 3600.0]
    assert lengths["ephys"] == [-130.0, 1.0]
    assert "is empty" in reason(video_figure(video.head(0), settings=SETTINGS))
    assert video_figure(video.iloc[4:5], settings=SETTINGS).axes


@pytest.mark.parametrize("longest", [-1500.0, 700.0, 4000.0])
@pytest.mark.slow
def test_the_largest_difference_of_length_is_within_the_axis(video, longest):
    video["length_discrepancy"] = [longest, *[0.5] * (len(video) - 1)]
    ax = video_figure(video, settings=SETTINGS).axes[1]
    low, high = ax.get_ylim()
    shown = np.concatenate([line.get_ydata() for line in ax.lines if len(line.get_ydata())])
    assert low < 1.5 * min(-120.0, longest)
    assert high > 1.5 * max(120.0, longest)
    assert longest in shown


@pytest.mark.slow
def test_few_frame_rates_are_bars_with_their_number_and_many_a_histogram(video):
    ax = video_figure(video, settings=SETTINGS).axes[2]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["59", "60", "150"]
    assert [bar.get_width() for bar in ax.patches] == [1, 3, 1]
    assert [text.get_text() for text in ax.texts] == ["1", "3", "1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Sessions (count)", "Frame rate (Hz)")
    many = video.assign(framerate_from_tpts=np.arange(60.0, 66.0))
    ax = video_figure(many, settings=SETTINGS).axes[2]
    assert sum(bar.get_height() for bar in ax.patches) == 6
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Frame rate (Hz)", "Sessions (count)")
