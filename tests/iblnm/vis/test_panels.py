"""Titles with numbers of animals, empty figures, means over animals."""

import numpy as np
import pandas as pd
import pytest

from iblnm.vis.panels import (
    NoDataError,
    count_text,
    give_title,
    mean_and_sem,
    need_rows,
    or_no_data,
    panel_grid,
    wrapped_grid,
)
from iblnm.vis.style import save_figure


def test_title_counts_animals_sessions_recordings_and_trials():
    table = pd.DataFrame(
        {
            "subject": ["A", "A", "B"],
            "eid": ["x", "x", "y"],
            "fiber_idx": [0, 1, 0],
            "trial": [0, 0, 0],
        }
    )
    figure, _ = panel_grid(1, 3, size=(3, 2))
    give_title(figure, "Title", table, note="what bars are")
    expected = "Title\nn = 2 mice, 2 sessions, 3 recordings, 2 trials\nwhat bars are"
    assert figure.get_suptitle() == expected
    # what the table does not tell comes from the analysis, what it tells does not
    give_title(figure, "Title", table.drop(columns="trial"), {"trials": 12345, "sessions": 9})
    assert "2 sessions, 3 recordings, 12,345 trials" in figure.get_suptitle()


def test_unknown_numbers_are_left_out_and_one_is_singular():
    assert count_text({"subjects": 1, "sessions": 2}) == "n = 1 mouse, 2 sessions"
    assert count_text({}) == ""


def test_a_long_note_is_wrapped_to_the_figure():
    figure, _ = panel_grid(1, 1, size=(2, 2))
    give_title(figure, "T", note="word " * 30)
    figure.canvas.draw()
    width = figure._suptitle.get_window_extent().width
    assert width <= figure.bbox.width


def test_no_data_names_the_reason():
    @or_no_data("Some figure")
    def draw(table):
        need_rows(table, ("a",), "things")

    figure = draw(pd.DataFrame({"a": [np.nan, np.nan]}))
    assert figure.get_suptitle() == "Some figure"
    assert figure.texts[-1].get_text() == "no data\nnone of 2 rows of things has a"
    figure = draw(None)
    assert "the table of things is empty" in figure.texts[-1].get_text()


def test_only_missing_data_is_answered_with_an_empty_figure():
    @or_no_data("Some figure")
    def draw():
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        draw()
    with pytest.raises(NoDataError, match="is empty"):
        need_rows(pd.DataFrame(), (), "things")


def test_mean_and_standard_error_leave_out_what_is_missing():
    values = np.array([[1.0, 5.0, np.nan], [3.0, np.nan, np.nan], [5.0, np.nan, np.nan]])
    mean, sem = mean_and_sem(values)
    np.testing.assert_allclose(mean, [3, 5, np.nan])
    np.testing.assert_allclose(sem, [2 / np.sqrt(3), np.nan, np.nan])


def test_panels_that_are_not_needed_are_absent():
    figure, axes = wrapped_grid(5, columns=3)
    assert len(axes) == 5 == len(figure.axes)


@pytest.mark.slow
def test_the_same_drawing_is_the_same_file(tmp_path):
    def draw():
        figure, axes = panel_grid(1, 1)
        axes[0, 0].plot([0, 1], [0, 1])
        return figure

    first, again = (save_figure(draw(), tmp_path / name) for name in "ab")
    assert [path.suffix for path in first] == [".svg", ".pdf", ".png"]
    for one, two in zip(first, again, strict=True):
        assert one.read_bytes() == two.read_bytes(), one
