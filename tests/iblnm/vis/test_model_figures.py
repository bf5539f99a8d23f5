"""Mixed models, movement and wheel: symbols, intervals and their filling."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.lmm.figures import (
    contrast_slopes_figure,
    lmm_coefficients_figure,
    marginal_means_figure,
)
from iblnm.analysis.movement.figures import movement_encoding_figure, movement_slopes_figure
from iblnm.analysis.movement.wheel_figures import wheel_models_figure
from iblnm.config import Settings

SETTINGS = Settings(_env_file=None)

TARGETS = ("VTA-DA", "LC-NE")
COUNTS = {"n_subjects": 3, "n_sessions": 6, "n_recordings": 7, "n_trials": 1500}
INTERVAL = {"ci_low": 0.02, "ci_high": 0.5}


def bars(ax, label):
    """Symbols and ends of the intervals of an errorbar, and whether the symbols are filled."""
    container = next(c for c in ax.containers if c.get_label() == label)
    line, _, segments = container.lines
    points = np.asarray(line.get_data(), dtype=float)
    ends = np.array(segments[0].get_segments())
    return points, ends, line.get_markerfacecolor()


@pytest.fixture
def coefficients():
    rows = [
        {
            "target_NM": target,
            "event": event,
            "term": term,
            "estimate": 0.1 * i + 0.05 * j,
            **INTERVAL,
            "p_corrected": 0.01 if term == "contrast" else 0.5,
            "converged": True,
            **COUNTS,
        }
        for i, target in enumerate(TARGETS)
        for event in ("stimOn_times", "feedback_times")
        for j, term in enumerate(("Intercept", "contrast", "contrast:side"))
    ]
    return pd.DataFrame(rows)


@pytest.mark.slow
def test_coefficients_and_intervals_are_those_of_the_table(coefficients):
    figure = lmm_coefficients_figure(coefficients, settings=SETTINGS)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["At stimulus onset", "At feedback"]
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["contrast", "contrast × side"]
    points, ends, face = bars(ax, "LC-NE sure")
    assert points[0].tolist() == pytest.approx([0.15])
    assert ends[0][:, 0].tolist() == pytest.approx([0.02, 0.5])
    assert face != "white"
    points, _, face = bars(ax, "LC-NE unsure")
    assert points[0].tolist() == pytest.approx([0.2])
    assert round(points[1][0]) == 1
    assert face == "white"
    title = figure.get_suptitle()
    assert "n = 3 mice, 6 sessions, 7 recordings, 1,500 trials per" in title.replace("\n", " ")
    assert "filled: corrected p < 0.05" in title
    assert figure.get_supxlabel().startswith("Coefficient (z")


@pytest.mark.slow
def test_no_symbol_is_filled_whose_interval_holds_zero(coefficients):
    coefficients.loc[coefficients["target_NM"] == "LC-NE", "ci_low"] = -0.01
    figure = lmm_coefficients_figure(coefficients, settings=SETTINGS)
    labels = {container.get_label() for ax in figure.axes for container in ax.containers}
    assert labels == {"LC-NE unsure", "VTA-DA sure", "VTA-DA unsure"}


@pytest.mark.slow
def test_a_symbol_without_a_p_is_open_where_the_others_have_one(coefficients):
    coefficients["p_corrected"] = np.nan
    figure = lmm_coefficients_figure(coefficients, settings=SETTINGS)
    labels = {container.get_label() for ax in figure.axes for container in ax.containers}
    assert labels == {f"{target} unsure" for target in TARGETS}


@pytest.mark.slow
def test_fits_that_did_not_converge_are_named_and_not_drawn(coefficients):
    failed = (coefficients["target_NM"] == "LC-NE") & (coefficients["event"] == "feedback_times")
    coefficients.loc[failed, "converged"] = False
    coefficients.loc[failed, ["estimate", "ci_low", "ci_high", "p_corrected"]] = np.nan
    figure = lmm_coefficients_figure(coefficients, settings=SETTINGS)
    title = figure.get_suptitle().replace("\n", " ")
    assert "did not converge (gray cross or missing): LC-NE feedback_times" in title
    labels = [c.get_label() for c in figure.axes[1].containers]
    assert "LC-NE sure" not in labels
    assert "LC-NE unsure" not in labels


@pytest.mark.slow
def test_singular_fits_are_named_and_explained(coefficients):
    assert (
        "singular" not in lmm_coefficients_figure(coefficients, settings=SETTINGS).get_suptitle()
    )
    coefficients["singular"] = coefficients["target_NM"] == "LC-NE"
    title = (
        lmm_coefficients_figure(coefficients, settings=SETTINGS).get_suptitle().replace("\n", " ")
    )
    meaning = (
        "singular (variance between animals, in intercept, slope or a mix, estimated as zero)"
    )
    assert f"{meaning}: at stimulus onset LC-NE; at feedback LC-NE; bars" in title
    coefficients["singular"] = True
    title = (
        lmm_coefficients_figure(coefficients, settings=SETTINGS).get_suptitle().replace("\n", " ")
    )
    assert f"{meaning}: all fits; bars" in title


@pytest.mark.slow
def test_counts_of_the_analysis_replace_those_per_target(coefficients):
    figure = lmm_coefficients_figure(coefficients, counts={"subjects": 5}, settings=SETTINGS)
    assert "n = 5 mice\n" in figure.get_suptitle()


@pytest.mark.slow
def test_marginal_means_are_at_their_levels_in_order():
    levels = {"contrast": ["100", "0", "12.5"], "side": ["contra", "ipsi"]}
    coded = {"100": 2.0, "0": -2.0, "12.5": 0.5, "contra": 0.5, "ipsi": -0.5}
    rows = [
        {
            "target_NM": "VTA-DA",
            "event": event,
            "factor": factor,
            "level": level,
            "coded": coded[level],
            "mean": coded[level] + (event == "feedback_times"),
            **INTERVAL,
        }
        for event in ("feedback_times", "stimOn_times")
        for factor, names in levels.items()
        for level in names
    ]
    rows.append(rows[0] | {"factor": "reward", "level": "correct", "mean": 1.0})
    figure = marginal_means_figure(pd.DataFrame(rows), settings=SETTINGS)
    assert len(figure.axes) == 6
    first, side, reward, below = figure.axes[:4]
    assert first.get_ylabel() == "At stimulus onset\nResponse (z)"
    points, _, _ = bars(first, "VTA-DA sure")
    np.testing.assert_allclose(points, [[0, 1, 2], [-2.0, 0.5, 2.0]])
    assert [t.get_text() for t in below.get_xticklabels()] == ["0", "12.5", "100"]
    np.testing.assert_allclose(bars(below, "VTA-DA sure")[0][1], [-1.0, 1.5, 3.0])
    np.testing.assert_allclose(bars(side, "VTA-DA sure")[0], [[0, 1], [-0.5, 0.5]])
    assert reward.texts[0].get_text() == "not in the model"


@pytest.mark.slow
def test_wide_intervals_of_marginal_means_end_in_an_arrow_and_are_named():
    rows = [
        {"target_NM": target, "event": "feedback_times", "factor": "side", "level": level}
        | {"coded": coded, "mean": mean, "ci_low": mean - half, "ci_high": mean + up}
        for target, half, up in (("VTA-DA", 0.1, 0.1), ("LC-NE", 0.2, 30.0))
        for level, coded, mean in (("contra", 0.5, 2.0), ("ipsi", -0.5, 0.0))
    ]
    figure = marginal_means_figure(pd.DataFrame(rows), settings=SETTINGS)
    (ax,) = figure.axes
    low, high = ax.get_ylim()
    # means from 0 to 2: intervals may reach a quarter of that beyond, and there is a margin
    assert high == pytest.approx(2.5 + 0.04 * 2.7)
    assert low == pytest.approx(-0.2 - 0.04 * 2.7)
    arrows = [text for text in ax.texts if text.get_gid() == "beyond"]
    assert [arrow.xy[1] for arrow in arrows] == [high, high]
    np.testing.assert_array_equal([arrow.xy[0] for arrow in arrows], bars(ax, "LC-NE sure")[0][0])
    # open arrows, no symbols: those stand for targets
    assert {arrow.arrow_patch.get_arrowstyle().__class__.__name__ for arrow in arrows} == {
        "CurveB"
    }
    assert not [line for line in ax.lines if line.get_label() == "_beyond"]
    title = figure.get_suptitle().replace("\n", " ")
    assert "arrows: intervals that go on beyond the axis (LC-NE)" in title
    narrow = marginal_means_figure(pd.DataFrame(rows[:2]), settings=SETTINGS)
    assert "arrows" not in narrow.get_suptitle()


@pytest.mark.slow
def test_levels_that_an_event_has_not_are_not_in_the_model():
    rows = [
        {"target_NM": "LC-NE", "event": event, "level": level, "slope": 0.2, **INTERVAL}
        for event, level in (
            ("stimOn_times", "all"),
            ("feedback_times", "all"),
            ("feedback_times", "correct"),
        )
    ]
    stimulus, feedback = contrast_slopes_figure(pd.DataFrame(rows), settings=SETTINGS).axes
    texts = [(text.get_text(), text.get_position()[0]) for text in stimulus.texts]
    assert texts == [("not in the model", 1)]
    assert not feedback.texts


def test_slopes_stand_at_their_condition():
    rows = [
        {"target_NM": t, "event": "feedback_times", "factor": f, "level": level, "slope": slope}
        | {**INTERVAL, "p_corrected": p}
        for t, shift in zip(TARGETS, (0.0, 1.0), strict=True)
        for f, level, slope, p in (
            ("all", "all", 0.2 + shift, 0.01),
            ("reward", "incorrect", 0.4 + shift, 0.2),
        )
    ]
    figure = contrast_slopes_figure(
        pd.DataFrame(rows), counts={"subjects": 4, "trials": 10}, settings=SETTINGS
    )
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["all", "incorrect"]
    points, _, face = bars(ax, "LC-NE unsure")
    assert points[1].tolist() == [1.4]
    assert round(points[0][0]) == 1
    assert face == "white"
    assert "n = 4 mice, 10 trials" in figure.get_suptitle()


@pytest.fixture
def encoding():
    return pd.DataFrame(
        {
            "target_NM": ["VTA-DA"] * 3 + ["LC-NE"] * 3,
            "timing_col": "reaction_time",
            "subject": ["a", "b", "c", "d", "e", "f"],
            "n_trials": 100,
            "delta_r2_contrast": [0.1, 0.2, 0.3, 0.0, 0.1, -0.1],
            "delta_r2_timing": [0.01, 0.02, np.nan, 0.0, 0.0, 0.0],
        }
    )


def test_every_held_out_animal_is_a_point_in_percent(encoding):
    figure = movement_encoding_figure(encoding, settings=SETTINGS)
    contrast, timing = figure.axes
    points = {line.get_label(): line.get_ydata() for line in contrast.lines}
    np.testing.assert_allclose(points["VTA-DA"], [10, 20, 30])
    np.testing.assert_allclose(points["_VTA-DA"], [20, 20])
    points = {line.get_label(): line.get_ydata() for line in timing.lines}
    np.testing.assert_allclose(points["VTA-DA"], [1, 2])
    assert timing.get_title(loc="left") == "Reaction time"
    assert contrast.get_ylabel() == "ΔR² (%)"
    assert "n = 6 mice, 300 trials per target" in figure.get_suptitle()


def permuted(**columns):
    base = {"timing_col": "reaction_time", "null_median": -0.02}
    return pd.DataFrame({**columns, **base})


@pytest.mark.slow
def test_no_star_where_the_interval_over_animals_holds_zero(encoding):
    tests = permuted(
        target_NM=["VTA-DA", "LC-NE"],
        predictor="contrast",
        null_high=[0.05, 0.1],
        p_corrected=0.01,
        ci_low=[0.1, -0.01],
        ci_high=0.4,
    )
    figure = movement_encoding_figure(encoding, tests, settings=SETTINGS)
    (star,) = figure.axes[0].texts
    assert star.xy[0] == 0
    assert "interval over animals without zero" in figure.get_suptitle().replace("\n", " ")


@pytest.mark.slow
def test_a_star_stands_above_the_box_of_its_own_test(encoding):
    tests = permuted(
        target_NM=["VTA-DA", "LC-NE"],
        predictor="contrast",
        null_high=[0.05, 0.1],
        p_corrected=[0.01, 0.6],
    )
    figure = movement_encoding_figure(encoding, tests, settings=SETTINGS)
    contrast, timing = figure.axes
    boxes = [area for area in contrast.collections if area.get_label() == "_permuted"]
    ends = [area.get_paths()[0].get_extents().intervaly for area in boxes]
    np.testing.assert_allclose(ends, [[-2, 5], [-2, 10]])
    (star,) = contrast.texts
    assert (star.get_text(), star.xy) == ("*", pytest.approx((0, 30)))
    assert not timing.texts
    bar = next(line for line in contrast.lines if line.get_label() == "_VTA-DA")
    # the interval of another test, over animals, is not drawn beside it
    assert min(bar.get_ydata()) > ends[0][1]
    assert not [line for line in contrast.lines if line.get_label() == "_interval"]


@pytest.mark.slow
def test_columns_have_their_own_scale_and_stars_stand_above_points_and_boxes(encoding):
    both = pd.concat([encoding, encoding.assign(timing_col="movement_time")])
    tests = permuted(
        target_NM=["VTA-DA"] * 2,
        predictor=["contrast", "timing"],
        null_high=[0.4, 0.002],
        p_corrected=0.01,
    )
    figure = movement_encoding_figure(both, tests, settings=SETTINGS)
    contrast, timing, contrast_below, timing_below = figure.axes
    # the box ends above the points, then the points above the box
    assert contrast.texts[0].xy == pytest.approx((0, 40))
    assert timing.texts[0].xy == pytest.approx((0, 2))
    assert contrast.get_ylim() == contrast_below.get_ylim()
    assert timing.get_ylim() == timing_below.get_ylim()
    assert contrast.get_ylim()[1] > 40
    assert 2 < timing.get_ylim()[1] < 3
    assert "columns have scales of their own" in figure.get_suptitle().replace("\n", " ")
    figure.draw_without_rendering()
    for ax in (contrast, timing):
        star = ax.texts[0].get_window_extent()
        points = next(line for line in ax.lines if line.get_label() == "VTA-DA").get_xydata()
        assert not any(star.contains(*place) for place in ax.transData.transform(points))
        assert star.y1 <= ax.get_window_extent().y1 + 4


@pytest.mark.slow
def test_slopes_on_timing_by_contrast():
    table = pd.DataFrame(
        {
            "target_NM": "LC-NE",
            "timing_col": ["reaction_time"] * 2 + ["movement_time"] * 2,
            "contrast": [100.0, 0.0, 0.0, 100.0],
            "timing_coef": [-1.0, -0.5, 0.1, 0.2],
            "ci_low": -2.0,
            "ci_high": 2.0,
            "p_corrected": 0.01,
            "n_trials": [300, 200, 200, 290],
            "n_subjects": 3,
        }
    )
    figure = movement_slopes_figure(table, settings=SETTINGS)
    points, ends, _ = bars(figure.axes[0], "LC-NE unsure")
    np.testing.assert_allclose(points, [[0, 1], [-0.5, -1.0]])
    np.testing.assert_allclose(ends[0][:, 1], [-2, 2])
    assert figure.axes[1].get_ylabel() == "Slope on movement time\n(z per decade)"
    # trials of the contrasts add up, animals do not
    assert "n = 3 mice, 500 trials" in figure.get_suptitle()


@pytest.mark.slow
def test_wheel_models_have_coefficient_and_added_variance():
    table = pd.DataFrame(
        {
            "target_NM": "VTA-DA",
            "dv": ["peak_velocity"] * 2 + ["reaction_time"] * 2,
            "contrast": [0.0, 100.0] * 2,
            "nm_coefficient": [0.3, 0.4, -0.01, -0.02],
            "nm_ci_low": [0.2, 0.3, -0.02, -0.03],
            "nm_ci_high": [0.4, 0.5, 0.0, -0.01],
            "delta_r2": [0.05, 0.06, 0.01, 0.02],
            "p_corrected": [0.001, 0.001, 0.2, 0.001],
            "n_trials": 100,
            "n_subjects": 4,
        }
    )
    figure = wheel_models_figure(table, settings=SETTINGS)
    upper, other, lower, _ = figure.axes
    points, ends, _ = bars(upper, "VTA-DA sure")
    np.testing.assert_allclose(points, [[0, 1], [0.3, 0.4]])
    np.testing.assert_allclose(ends[1][:, 1], [0.3, 0.5])
    assert bars(other, "VTA-DA unsure")[0][1].tolist() == [-0.01]
    line = next(line for line in lower.lines if line.get_label() == "VTA-DA")
    np.testing.assert_allclose(line.get_ydata(), [5, 6])
    assert upper.get_ylabel() == "Coefficient (rad/s per z)"
    assert other.get_ylabel() == "Coefficient (s per z)"
    assert "n = 4 mice, 200 trials" in figure.get_suptitle()


@pytest.mark.slow
def test_empty_tables_say_so(coefficients, encoding, reason):
    assert "is empty" in reason(lmm_coefficients_figure(coefficients.head(0), settings=SETTINGS))
    coefficients["estimate"] = np.nan
    assert "has estimate" in reason(lmm_coefficients_figure(coefficients, settings=SETTINGS))
    for draw in (marginal_means_figure, contrast_slopes_figure):
        assert "is empty" in reason(draw(pd.DataFrame(), settings=SETTINGS))
    for draw in (movement_encoding_figure, movement_slopes_figure, wheel_models_figure):
        assert "is empty" in reason(draw(encoding.head(0), settings=SETTINGS))
    assert (
        "1 mouse" in movement_encoding_figure(encoding.head(1), settings=SETTINGS).get_suptitle()
    )
