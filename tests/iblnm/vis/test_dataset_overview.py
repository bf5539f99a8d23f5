"""Stages, recordings and the figures that count them."""

import base64

import numpy as np
import pandas as pd
import pytest
from bench.hostile import NAMES
from bench.outcomes import simulate_outcomes

from iblnm.config import Settings
from iblnm.pipeline.groups import running_rules
from iblnm.vis import (
    outcome_matrix_figure,
    overview_figures,
    recordings_per_mouse_figure,
    recordings_per_target_figure,
    recordings_table,
    save_figure,
    session_matrix_figure,
    session_stages,
    thumbnail,
)
from iblnm.vis.style import target_color

RAW = ["raw_behavior_data/_iblrig_taskData.raw.jsonable"]
RAW += ["raw_photometry_data/_neurophotometrics_fpData.raw.pqt"]
EXTRACTED = ["alf/_ibl_trials.table.pqt", "alf/photometry/photometry.signal.pqt"]
VIDEO = ["raw_video_data/_iblrig_leftCamera.raw.mp4"]
EIDS = {
    "nothing": [],
    "raw": RAW,
    "failing": RAW + EXTRACTED + VIDEO,
    "not_run": RAW + EXTRACTED + VIDEO,
    "warned": RAW + EXTRACTED + VIDEO,
    "dropped": RAW + EXTRACTED + VIDEO,
    "no_video": RAW + EXTRACTED,
    "bad_video": RAW + EXTRACTED + VIDEO,
    "perfect": RAW + EXTRACTED + VIDEO,
}


@pytest.fixture
def settings(tmp_path):
    return Settings(root=tmp_path)


@pytest.fixture
def sessions():
    n = len(EIDS)
    return pd.DataFrame(
        {
            "eid": list(EIDS),
            "subject": ["A", "A", "A", "A", "B", "B", "B", "B", "C"],
            "session_n": [1.0, 2, 3, 4, 1, 2, 3, 4, 1],
            "target_NM": [["VTA-DA"]] * 4 + [["LC-NE", "VTA-DA"]] * 4 + [[None]],
            "label": pd.array(["drop" if e == "dropped" else None for e in EIDS], "string"),
            "excluded": [[1] if e == "warned" else [0, 1] if e == "dropped" else [] for e in EIDS],
            "datasets": list(EIDS.values()),
            "n_recordings": [1] * 4 + [2] * 4 + [1],
            "number": range(n),
        }
    )


@pytest.fixture
def matrix():
    rows = [
        {
            "eid": eid,
            "check": rule.name,
            "asset": rule.asset,
            "severity": rule.severity,
            "outcome": "pass",
        }
        for eid in EIDS
        for rule in running_rules()
    ]
    frame = pd.DataFrame(rows)

    def put(eid, check, outcome):
        frame.loc[(frame["eid"] == eid) & (frame["check"] == check), "outcome"] = outcome

    put("failing", "band_inversion", "fail")
    put("not_run", "choice_sign", "not run")
    put("warned", "few_unique_samples", "warn")
    put("bad_video", "video_length_error", "warn")
    return frame


def test_each_stage_has_the_sessions_it_should(sessions, matrix, settings):
    stages = session_stages(sessions, matrix, settings)
    reached = {name: stages.index[stages[name]].tolist() for name in stages}
    everything = list(EIDS)
    assert reached == {
        "all": everything,
        "raw": everything[1:],
        "complete": everything[2:],
        "passing_qc": ["warned", "no_video", "bad_video", "perfect"],
        "video_ready": ["warned", "perfect"],
    }


def test_a_session_without_outcomes_does_not_pass(sessions, matrix, settings):
    stages = session_stages(sessions, matrix[matrix["eid"] != "perfect"], settings)
    assert stages.loc["perfect"].tolist() == [True, True, True, False, False]


def test_recordings_are_fibers_and_dropped_ones_do_not_pass(sessions, matrix, settings):
    stages = session_stages(sessions, matrix, settings)
    table = recordings_table(sessions, stages).set_index(["eid", "fiber_idx"])
    assert len(table) == 4 + 8 + 1
    assert table.loc[("warned", 0), "passing_qc"]
    assert not table.loc[("warned", 1), "passing_qc"]
    assert not table.loc[("warned", 1), "video_ready"]
    assert table.loc[("warned", 1), "complete"]
    assert table.loc[("perfect", 0), "target"] == "unknown"
    assert table.loc[("no_video", 1), "target"] == "VTA-DA"


def test_bars_per_target_have_the_heights_of_the_counts(sessions, matrix, settings):
    recordings = recordings_table(sessions, session_stages(sessions, matrix, settings))
    figure = recordings_per_target_figure(recordings, settings)
    (ax,) = figure.axes
    names = [label.get_text() for label in ax.get_xticklabels()]
    total, passing = ([bar.get_height() for bar in group] for group in ax.containers)
    assert dict(zip(names, total, strict=True)) == {
        "VTA-DA": 2 + 4,
        "LC-NE": 4,
        "unknown": 1,
        "DR-5HT": 0,
        "SNc-DA": 0,
        "NBM-ACh": 0,
    }
    by_name = dict(zip(names, passing, strict=True))
    assert (by_name["VTA-DA"], by_name["LC-NE"], by_name["unknown"]) == (2, 3, 1)
    assert "n = 11 recordings, 6 passing, 3 mice" in figure.get_suptitle()
    assert ax.get_ylabel() == "Complete recordings (count)"


def test_bars_per_mouse_add_up(sessions, matrix, settings):
    from matplotlib.colors import to_hex

    recordings = recordings_table(sessions, session_stages(sessions, matrix, settings))
    figure = recordings_per_mouse_figure(recordings, settings)
    (ax,) = figure.axes
    mice = [label.get_text() for label in ax.get_yticklabels()]
    assert mice == ["B", "A", "C"]
    length = dict.fromkeys(mice, 0.0)
    filled = dict.fromkeys(mice, 0.0)
    for container in ax.containers:
        for bar in container:
            mouse = mice[round(bar.get_y() + bar.get_height() / 2)]
            color = to_hex(bar.get_facecolor())
            (length if color == "#e9ecee" else filled)[mouse] += bar.get_width()
    assert length == {"B": 8, "A": 2, "C": 1}
    assert filled == {"B": 5, "A": 0, "C": 1}
    assert ax.get_xlabel() == "Complete recordings (count)"


def test_session_matrix_shows_those_of_the_stage_in_the_targets_color(sessions, matrix, settings):
    from matplotlib.colors import to_hex

    stages = session_stages(sessions, matrix, settings)
    figure = session_matrix_figure(
        sessions, stages["passing_qc"], title="Passing", settings=settings
    )
    (ax,) = figure.axes
    cells = {
        to_hex(drawn.get_facecolor()[0]): drawn.get_paths()[0].to_polygons(closed_only=True)
        for drawn in ax.collections
    }
    # B: three of four sessions, each with two targets; C: one without target
    assert len(cells[target_color("LC-NE", settings)]) == 3
    assert len(cells[target_color("VTA-DA", settings)]) == 3
    assert len(cells["#ffffff"]) == 4 + 2
    # C is the third mouse, and this its first session
    (only,) = cells[target_color(None, settings)]
    assert only.min(axis=0) == pytest.approx([0.56, 1.58])
    assert only.max(axis=0) == pytest.approx([1.44, 2.42])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["VTA-DA", "LC-NE", "target unknown", "not at this stage"]
    assert figure.get_suptitle() == "Passing\nn = 4 of 9 sessions, 2 of 3 mice"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A", "B", "C"]
    assert ax.get_xlabel() == "Session of the mouse (number)"


def test_mice_of_any_name_are_drawn(tmp_path, sessions, matrix, settings):
    names = {mouse: f"{mouse} {name}" for mouse, name in zip("ABC", NAMES.values(), strict=False)}
    names["A"] = NAMES["mathematics"]
    named = sessions.assign(subject=sessions["subject"].replace(names))
    stages = session_stages(named, matrix, settings)
    figure = session_matrix_figure(named, stages["complete"], title="Any", settings=settings)
    (path,) = save_figure(figure, tmp_path / "matrix", types=["svg"])
    drawn = path.read_text()
    assert NAMES["mathematics"] in drawn
    assert "<script" not in drawn and "<!--<" not in drawn


@pytest.mark.slow
def test_all_figures_of_a_cohort_are_drawn_and_saved(tmp_path, settings):
    import matplotlib

    before = dict(matplotlib.rcParams)
    matrix, sessions = simulate_outcomes(120, seed=2)
    figures = overview_figures(sessions, matrix, settings)
    assert set(figures) == {
        "sessions_all",
        "sessions_raw",
        "sessions_complete",
        "sessions_passing_qc",
        "sessions_video_ready",
        "recordings_per_target",
        "recordings_per_mouse",
    }
    for name, figure in figures.items():
        svg, pdf, png = save_figure(figure, tmp_path / "deep" / name)
        assert svg.read_text().lstrip().startswith("<?xml")
        assert pdf.read_bytes().startswith(b"%PDF")
        assert png.read_bytes().startswith(b"\x89PNG")
    again, *_ = save_figure(figures["sessions_all"], tmp_path / "again")
    assert again.read_bytes() == (tmp_path / "deep" / "sessions_all.svg").read_bytes()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.slow
def test_figures_of_nothing_are_drawn(settings):
    matrix, sessions = simulate_outcomes(2)
    for figure in overview_figures(sessions.head(0), matrix.head(0), settings).values():
        assert figure.axes
    assert outcome_matrix_figure(matrix.head(0)).axes


def test_outcomes_are_drawn_with_most_problems_first():
    matrix, _ = simulate_outcomes(50, seed=4)
    worst = matrix["check"].iloc[5]
    matrix.loc[matrix["check"] == worst, "outcome"] = "fail"
    figure = outcome_matrix_figure(matrix)
    (ax,) = figure.axes
    assert ax.get_xticklabels()[0].get_text() == worst
    image = ax.images[0].get_array()
    assert image.shape == (50, len(running_rules()))
    assert np.all(image[:, 0] == 2)
    assert "n = 50 sessions" in ax.get_title()


@pytest.mark.slow
def test_thumbnail_is_small_and_says_when_it_cannot_be():
    figure = outcome_matrix_figure(simulate_outcomes(300, seed=4)[0])
    address = thumbnail(figure)
    assert len(address) <= 60_000
    prefix, data = address.split(",")
    assert prefix == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="100 bytes"):
        thumbnail(figure, max_bytes=100)
